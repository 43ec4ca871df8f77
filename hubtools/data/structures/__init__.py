"""Structures beside sequences: files of a ``folder`` -> ``chains`` -> by ``matching`` a 3Di letter for each residue of the sequence.

``structure_letters`` are what comes of it. ``row_structures`` does it for the rows of a task, and takes 3Di letters of a column. ``contacts`` are read from chains, or as
listed, or from ``contact_matrices``. biotite is imported where a file is read.
"""
