"""Probes: the encoder reads once, and heads are trained on what it read.

``embedding`` reads, ``embedding_store`` keeps; ``probe`` chooses, ``heads`` and ``ridge`` are trained, on ``examples``, many at
once in a ``stack``.
"""
