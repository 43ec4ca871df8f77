"""How an encoder computes the same otherwise, hung on and taken off again.

``packing`` lays sequences in one row and ``attention`` keeps them apart; ``operators`` are a family's faster equivalents;
``grouping`` reads rows of equal length together, where an encoder does not ignore padding.
"""
