"""Proteins of one's own: ``given`` reads them, ``embedding_proteins`` embeds them, ``scanning_proteins`` scores their substitutions, ``folding_proteins`` predicts
their structures, of which ``asked_folds`` are divided, ``viewing_structures`` shows them.
"""
