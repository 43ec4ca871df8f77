"""What a prediction is worth: metrics, thresholds, calibration.

``formulas`` and ``protein_centric`` (CAFA) have every metric, made of ``counting`` and ``ranking``; ``hierarchy`` gives
labels what is above them; ``weighing`` computes one by its name under the weights of a bootstrap, ``assays`` within each assay, ``contact_precision`` within each protein, with ``structure_scores`` of structures; ``scoring`` is the result of a split, ``strata`` of its parts; ``cleavage`` is where a stretch of residues is cut off; ``thresholds`` are chosen on validation; ``calibration_error``;
``evaluate_adapter`` speaks the library evaluate.
"""
