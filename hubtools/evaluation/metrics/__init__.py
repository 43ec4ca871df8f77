"""What a prediction is worth: metrics, thresholds, calibration.

``formulas`` has every metric, made of ``counting`` and ``ranking``; ``weighing`` computes one by its name under the weights of
a bootstrap, ``assays`` within each assay, ``contact_precision`` within each protein; ``scoring`` is the result of a split, ``strata`` of its parts; ``thresholds`` are chosen on validation; ``calibration_error``;
``evaluate_adapter`` speaks the library evaluate.
"""
