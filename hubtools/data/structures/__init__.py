"""Structures beside sequences: files -> chains (``chains``) -> a 3Di letter a residue of the sequence (``matching``, ``row_structures``)."""
