"""The formula of every metric of :data:`hubtools.specs.metric_names.METRICS`, with the semantics of scikit-learn and scipy.

What is decided where the field has no single convention is said at each. Labels are all labels of the task, present or
not. Of measured variant effects (``assays``) auroc is of those that count as functional, and every metric is computed
within each assay and averaged. No rows, or no weight, leave every metric undefined (NaN here, None in records).
"""

from __future__ import annotations

import numpy as np

from hubtools.evaluation.metrics import counting, ranking
from hubtools.evaluation.metrics.counting import Counts, divide
from hubtools.evaluation.metrics.ranking import Statistic
from hubtools.evaluation.metrics.weighing import Rows, mean_over_outputs, of_counts, of_each_row, of_moments

# --- Decisions ---------------------------------------------------------------------------------------------------


@of_counts
def accuracy(counts: Counts) -> np.ndarray:
    """Rows whose class is right."""
    return divide(counts.right.sum(axis=1), counts.rows)


@of_counts
def balanced_accuracy(counts: Counts) -> np.ndarray:
    """Mean recall over the classes that occur in the truth."""
    occurs = counts.true > 0
    return divide(counting.recall_by_label(counts).sum(axis=1, where=occurs), occurs.sum(axis=1))


@of_counts
def macro_f1(counts: Counts) -> np.ndarray:
    """Mean F1 over all labels; a label with neither truth nor call counts 0 (``zero_division=0``)."""
    return counting.f1_by_label(counts).mean(axis=1)


@of_counts
def micro_f1(counts: Counts) -> np.ndarray:
    """F1 of all decisions pooled; for classification that is accuracy."""
    pooled = divide(2 * counts.right.sum(axis=1), (counts.true + counts.called).sum(axis=1), 0.0)
    return np.where(counts.rows > 0, pooled, np.nan)


def f1(rows: Rows) -> Statistic:
    """F1 of the positive class (``zero_division=0``)."""
    if rows.positive is None:
        raise ValueError(f"{rows.metric} is about one class: name the positive one")
    return of_counts(lambda counts: counting.f1_by_label(counts)[:, rows.positive])(rows)


def mcc(rows: Rows) -> Statistic:
    """Of classes R_K over all of them; of labels the mean of the binary coefficient of each.

    0 where truth or decision is constant, so that a majority baseline scores 0.
    """
    return of_counts(counting.mean_mcc if rows.kind == "multilabel" else counting.multiclass_mcc)(rows)


@of_each_row
def jaccard(truth: np.ndarray, decision: np.ndarray) -> np.ndarray:
    """Mean over rows of labels in truth and call by labels in either; 1 where both are empty (``zero_division=1``)."""
    has, called = truth.astype(bool), decision.astype(bool)
    either = (has | called).sum(axis=1)
    return divide((has & called).sum(axis=1), either, 1.0)


@of_each_row
def subset_accuracy(truth: np.ndarray, decision: np.ndarray) -> np.ndarray:
    """Rows whose labels are all right."""
    return (truth.astype(bool) == decision.astype(bool)).all(axis=1).astype(np.float64)


# --- Rankings ----------------------------------------------------------------------------------------------------


def auroc(rows: Rows) -> Statistic:
    """Of the positive class where the task names one; else the mean over classes, one against the rest, or labels.

    Of classes that is scikit-learn's ``roc_auc_score(multi_class="ovr", average="macro")``, not the mean over pairs of
    classes (Hand and Till 2001). Only classes and labels with both positive and negative rows count, in each replicate
    anew, as in balanced accuracy; without any it is undefined.
    """
    if rows.kind == "regression":
        raise ValueError(f"{rows.metric} of values needs to know which count as positive")
    return mean_over_outputs(ranking.auroc, rows)


def auprc(rows: Rows) -> Statistic:
    """Average precision, not interpolated; of which class, and where undefined, as :func:`auroc`.

    Of classes that is scikit-learn's ``average_precision_score(average="macro")`` of one-hot truth.
    """
    return mean_over_outputs(ranking.average_precision, rows)


def spearman(rows: Rows) -> Statistic:
    """Correlation of the ranks; undefined where truth or prediction is constant."""
    return ranking.spearman(rows.truth, rows.scores.astype(np.float64), rows.units)


def ndcg(rows: Rows) -> Statistic:
    """Of the top tenth, gains scaled to 0 to 1, as in ProteinGym; undefined where the truth is constant."""
    return ranking.ndcg(rows.truth, rows.scores.astype(np.float64), rows.units)


# --- Values ------------------------------------------------------------------------------------------------------


@of_moments
def pearson(sums: np.ndarray) -> np.ndarray:
    """Pearson's r; undefined where truth or prediction is constant."""
    n, x, y, xx, yy, xy, _, _ = sums.T
    return divide(
        xy - counting.shared(x, y, n), np.sqrt(counting.spread(n, x, xx)) * np.sqrt(counting.spread(n, y, yy))
    )


@of_moments
def rmse(sums: np.ndarray) -> np.ndarray:
    """Root of the mean squared error."""
    return np.sqrt(divide(sums[:, 7], sums[:, 0]))


@of_moments
def mae(sums: np.ndarray) -> np.ndarray:
    """Mean absolute error."""
    return divide(sums[:, 6], sums[:, 0])


@of_moments
def r2(sums: np.ndarray) -> np.ndarray:
    """1 - squared error / variance of the truth; undefined where the truth is constant."""
    return 1 - divide(sums[:, 7], counting.spread(sums[:, 0], sums[:, 1], sums[:, 3]))
