"""Structures of proteins by a folding checkpoint: ``fold_limits`` says how long a protein may be, ``folds_folder`` writes and finds again,
``known_structures`` holds what was predicted against what is known.
"""
