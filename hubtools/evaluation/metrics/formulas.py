"""Every metric of :data:`hubtools.specs.metric_names.METRICS`, with the semantics of scikit-learn and scipy.

A metric is prepared once for some predictions and then computed for any number of weightings of the bootstrap's units
at once (:func:`statistic`). Weights of one give the value itself; multiplicities give a bootstrap replicate, equal to
the metric on the rows drawn that often.

What is decided where the field has no single convention (``labels`` are all labels of the task, present or not):

===================  ==============================================================================================
accuracy             rows whose class is right
balanced_accuracy    mean recall over the classes that occur in the truth
macro_f1             mean F1 over all labels; a label with neither truth nor call counts 0 (``zero_division=0``)
micro_f1             F1 of all decisions pooled; for classification that is accuracy
f1                   F1 of the positive class (``zero_division=0``)
mcc                  classification: R_K over all classes. Multi-label: mean over labels of the binary coefficient.
                     0 where truth or decision is constant, so that a majority baseline scores 0
auroc, auprc         of the positive class where the task names one; else the mean over classes, one against the rest;
                     multi-label: the mean over labels. Only classes or labels with both positive and negative rows
                     count; without any the metric is undefined. auprc is average precision, not interpolated
jaccard              mean over rows of |truth ∩ call| / |truth ∪ call|; 1 where both are empty (``zero_division=1``)
subset_accuracy      rows whose labels are all right
spearman, pearson    correlation; undefined where truth or prediction is constant
ndcg                 of the top tenth, gains scaled to 0 to 1, as in ProteinGym; undefined where the truth is constant
rmse, mae            of the rows
r2                   1 - squared error / variance of the truth; undefined where the truth is constant
===================  ==============================================================================================

Of measured variant effects (``hubtools.evaluation.metrics.assays``) auroc is of those that count as functional, and every metric
is computed within each assay and averaged.

No rows, or no weight, leave every metric undefined (NaN here, None in records).
"""

from __future__ import annotations

import numpy as np

from hubtools.evaluation.metrics import counting
from hubtools.evaluation.metrics.ranking import Statistic, auroc, average_precision, ndcg, spearman
from hubtools.evaluation.predictions import Predictions
from hubtools.evaluation.statistics.resampling import blocks, bootstrap_units, pair_weights
from hubtools.specs.metric_names import METRICS

RANKING = {"auroc": auroc, "auprc": average_precision}
_BY_ROW = {"jaccard": counting.jaccard_by_row, "subset_accuracy": counting.exact_by_row}
_RANKS = {"spearman": spearman, "ndcg": ndcg}
_VALUES = {"pearson": counting.pearson, "rmse": counting.rmse, "mae": counting.mae, "r2": counting.r2}
_COUNTS = {
    "accuracy": counting.accuracy,
    "balanced_accuracy": counting.balanced_accuracy,
    "macro_f1": counting.macro_f1,
    "micro_f1": counting.micro_f1,
}


def replicates(
    metric: str,
    predictions: Predictions,
    decision: np.ndarray | None,
    weights: np.ndarray,
    *,
    units: np.ndarray | None = None,
    positive: int | None = None,
) -> np.ndarray:
    """A metric under many weightings.

    Args:
        metric: a name of METRICS.
        predictions: truth and scores.
        decision: hard decisions, (n,) classes or (n, L) of 0 and 1; None for regression.
        weights: (R, n_units) how often each unit counts.
        units: (n,) unit of each row, or (n, 2) units of a pair's proteins; by default those of :func:`bootstrap_units`.
        positive: index of the class to be detected, for two-class tasks that name one.

    Returns:
        (R,) float64, NaN where undefined.
    """
    codes = bootstrap_units(predictions)[0] if units is None else units
    return statistic(metric, predictions, decision, codes, weights.shape[1], positive)(weights)


def value(
    metric: str, predictions: Predictions, decision: np.ndarray | None, *, positive: int | None = None
) -> float | None:
    """A metric of the predictions as they are, or None where it is undefined. Arguments as of :func:`replicates`."""
    one_unit = np.zeros(len(predictions), dtype=np.int64)
    result = float(replicates(metric, predictions, decision, np.ones((1, 1)), units=one_unit, positive=positive)[0])
    return None if np.isnan(result) else result


def statistic(
    metric: str,
    predictions: Predictions,
    decision: np.ndarray | None,
    units: np.ndarray,
    n_units: int,
    positive: int | None = None,
) -> Statistic:
    """Prepare a metric: the work that does not depend on weights is done once.

    Args:
        metric: a name of METRICS.
        predictions: truth and scores.
        decision: hard decisions as of :func:`replicates`; ranking metrics and regression need none.
        units: (n,) unit of each row, or (n, 2) units of a pair's proteins.
        n_units: number of units.
        positive: index of the class to be detected, for two-class tasks that name one.

    Returns:
        A function from (R, n_units) weights to (R,) values.

    Raises:
        ValueError: the metric is not for this kind of problem, or lacks what it needs.
    """
    kind = predictions.problem.kind
    if metric not in METRICS or kind not in METRICS[metric].kinds:
        raise ValueError(f"metric {metric!r} is not for {kind}")
    truth = predictions.truth
    if len(predictions) == 0:
        return lambda weights: np.full(len(weights), np.nan)
    if units.ndim == 2:
        dyads, n_dyads, weigh = pair_weights(units)
        of = statistic(metric, predictions, decision, dyads, n_dyads, positive)
        return lambda weights: np.concatenate([of(weigh(weights[rows])) for rows in blocks(len(weights), n_dyads)])
    if metric in RANKING and kind != "regression":
        return _mean_over_outputs(metric, truth, predictions.scores, units, positive)
    if kind == "regression":
        prediction = predictions.scores.astype(np.float64)
        if metric in _RANKS:
            return _RANKS[metric](truth, prediction, units)
        if metric not in _VALUES:
            raise ValueError(f"{metric} of values needs to know which count as positive")
        sums = counting.sum_by_unit(units, n_units, counting.moments(truth, prediction))
        return lambda weights: _VALUES[metric](weights @ sums)
    if decision is None:
        raise ValueError(f"{metric} needs hard decisions")
    if metric in _BY_ROW:
        rows = np.stack([_BY_ROW[metric](truth, decision), np.ones(len(truth))], axis=1)
        sums = counting.sum_by_unit(units, n_units, rows)
        return lambda weights: counting.divide(*(weights @ sums).T)
    counts = counting.counting(truth, decision, units, n_units, predictions.n_outputs)
    if metric == "f1":
        if positive is None:
            raise ValueError("f1 is about one class: name the positive one")
        return lambda weights: counting.f1_by_label(counts(weights))[:, positive]
    if metric == "mcc":
        mcc = counting.mean_mcc if kind == "multilabel" else counting.multiclass_mcc
        return lambda weights: mcc(counts(weights))
    return lambda weights: _COUNTS[metric](counts(weights))


def _mean_over_outputs(
    metric: str, truth: np.ndarray, scores: np.ndarray, units: np.ndarray, positive: int | None
) -> Statistic:
    """A ranking metric of one output, or its mean over the outputs for which it is defined in each replicate."""
    outputs = range(scores.shape[1]) if positive is None else [positive]
    has = truth.astype(bool) if truth.ndim == 2 else None
    single = [
        RANKING[metric](truth == output if has is None else has[:, output], scores[:, output], units)
        for output in outputs
    ]

    def of(weights: np.ndarray) -> np.ndarray:
        # One output after another: their (R,) values are small, the arrays behind each are not.
        values = np.stack([output(weights) for output in single])
        defined = ~np.isnan(values)
        return counting.divide(values.sum(axis=0, where=defined), defined.sum(axis=0))

    return of
