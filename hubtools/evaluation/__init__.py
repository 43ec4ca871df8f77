"""What a model's predictions are worth: metrics, thresholds, intervals. No torch.

``predictions`` are read and written, ``scored_rows`` says what a row of them has, ``split_strata`` which traits; ``metrics`` computes, ``statistics`` says how sure it is.
"""

from hubtools.evaluation.metrics.evaluate_adapter import metric
from hubtools.evaluation.metrics.scoring import primary_score, score_and_resample, score_split
from hubtools.evaluation.metrics.thresholds import choose_thresholds, decide
from hubtools.evaluation.metrics.weighing import replicates, statistic, value
from hubtools.evaluation.predictions import Predictions, read_label_names, read_predictions, write_predictions
from hubtools.evaluation.statistics.resampled import ArmPredictions, Resampled, resample
from hubtools.evaluation.statistics.resampling import bootstrap_units, bootstrap_weights

__all__ = [
    "ArmPredictions",
    "Predictions",
    "Resampled",
    "bootstrap_units",
    "bootstrap_weights",
    "choose_thresholds",
    "decide",
    "metric",
    "primary_score",
    "read_label_names",
    "read_predictions",
    "replicates",
    "resample",
    "score_and_resample",
    "score_split",
    "statistic",
    "value",
    "write_predictions",
]
