"""Structures beside sequences: files of a ``folder`` -> ``chains``, with ``file_records`` -> by ``matching`` a 3Di letter for each residue of the sequence.

``structure_letters`` are what comes of it. ``row_structures`` does it for the rows of a task, and takes 3Di letters of a column. ``contacts`` are read from chains, or as
listed, or from ``contact_matrices``; ``derived_labels`` of residues from chains. ``aligned_error`` is how sure a predicted structure is. biotite is imported where a file is read.
"""
