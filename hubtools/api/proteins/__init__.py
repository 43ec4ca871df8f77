"""Proteins of one's own: ``given`` reads them, ``embedding_proteins`` embeds them, ``scanning_proteins`` scores their substitutions, ``viewing_structures``
shows their structures.
"""
