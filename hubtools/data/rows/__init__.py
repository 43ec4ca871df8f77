"""Rows in the one canonical form: ids, sequences, labels.

``canonical`` makes it, with ``sequences``, ``labels``, ``pairs``, ``variants`` and ``annotation``; ``label_cells`` takes the
cells of labels apart; ``chain_breaks`` are proteins of several chains; ``dates`` are when proteins became public; ``row_kinds`` tells a protein from a pair and a variant; ``arrow`` and ``facts`` are what comes out;
``inspection`` guesses what a user's table holds, ``label_guesses`` what its labels are, ``table_problems`` all that is wrong with it.
"""
