"""Which residues touch: scores of pairs of residues, without training or by something small that is fitted on known structures.

``contact_scores`` asks a checkpoint as it is, window by window; ``pair_odds`` is the baseline that knows two amino acids and their
separation; ``attention_regression`` reads attention maps. The pair head of a probe is in ``frozen``.
"""
