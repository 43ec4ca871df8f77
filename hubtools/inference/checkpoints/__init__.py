"""Checkpoints, and what bench trained, asked about proteins of one's own without training anything.

``embedder`` reads proteins as a probe does, ``embedding_files`` writes what it gives; ``substitution_scan`` scores every substitution of a protein.
"""
