"""Structures looked at: one page that turns them, with what is said of each residue.

``colours`` are those of confidence and values; ``residue_predictions`` are laid from a table onto chains; ``structure_page`` is the page, with the program that
``viewer_program`` names.
"""
