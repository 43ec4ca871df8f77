"""Structures of proteins by a folding checkpoint: ``folds_in_turn`` folds those that no other process is at, ``folds_folder`` writes and finds
again, ``kept_folds`` tells other processes what to fold, ``known_structures`` holds what was predicted against what is known.
"""
