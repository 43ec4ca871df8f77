"""Structures of proteins by a folding checkpoint: ``folds_folder`` writes and finds again, ``known_structures`` holds what was predicted against
what is known.
"""
