"""How an encoder is asked, and how it computes the same otherwise, hung on and taken off again.

``packing`` lays sequences in one row and ``attention`` keeps them apart; ``operators`` are a family's faster equivalents;
``grouping`` reads rows of equal length together, where an encoder does not ignore padding; ``held`` keeps weights of a frozen
encoder in bfloat16; ``translation`` asks code that came with a checkpoint in its own dialect.
"""
