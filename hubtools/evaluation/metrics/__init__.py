"""What a prediction is worth: metrics, thresholds, calibration.

``counting``, ``ranking`` and ``assays`` compute; ``formulas`` gives every metric by its name, weighted as the bootstrap asks;
``scoring`` is the result of a split, ``strata`` of its parts; ``thresholds`` are chosen on validation; ``calibration_error``;
``evaluate_adapter`` speaks the library evaluate.
"""
