"""Which protein is in which split, and what splits share.

``splitting`` assigns, by ``draws``, or ``folds`` those of a cross-validation; ``leakage`` removes equal sequences; ``fractions`` draw a share to learn from.
``overlap`` says what splits have in common, by ``identity``; ``clusters`` and ``homology`` group relatives; ``traits`` tell
near from far. ``split_audit`` and ``distributions`` look closer on demand.
"""
