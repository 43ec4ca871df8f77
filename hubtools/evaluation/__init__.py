"""What a model's predictions are worth: metrics, thresholds, intervals. No torch."""

from hubtools.evaluation.evaluate_adapter import metric
from hubtools.evaluation.metrics import replicates, statistic, value
from hubtools.evaluation.predictions import Predictions, read_label_names, read_predictions, write_predictions
from hubtools.evaluation.resampled import Resampled, resample
from hubtools.evaluation.resampling import bootstrap_units, bootstrap_weights
from hubtools.evaluation.scoring import primary_score, score_and_resample, score_split
from hubtools.evaluation.thresholds import choose_thresholds, decide

__all__ = [
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
