"""The result of one split as the run record keeps it: metrics with intervals, a row per class, the confusion."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from hubtools.evaluation.metrics import counting
from hubtools.evaluation.metrics.assays import assay_table
from hubtools.evaluation.metrics.calibration_error import calibration
from hubtools.evaluation.metrics.contact_precision import by_protein, protein_table
from hubtools.evaluation.metrics.counting import Counts
from hubtools.evaluation.metrics.hierarchy import as_read
from hubtools.evaluation.metrics.ranking import RANKING
from hubtools.evaluation.metrics.thresholds import decide, quick_thresholds
from hubtools.evaluation.metrics.weighing import value
from hubtools.evaluation.predictions import Predictions
from hubtools.evaluation.statistics.arm_interval import arm_interval
from hubtools.evaluation.statistics.resampled import KEPT_REPLICATES, Resampled, Units, draw, prepare
from hubtools.evaluation.statistics.resampling import encode
from hubtools.specs.metric_names import METRICS
from hubtools.specs.record import LabelsNotListed, Score, SplitResult, UnseenLabels
from hubtools.specs.task import Task

# What a row of results is about, by what metrics are computed within.
_TABLES = {"assay": assay_table, "protein": protein_table}
# A table of more classes than this is no longer read, and would make the record large.
MAX_CONFUSION_CLASSES = 100


def primary_score(task: Task, predictions: Predictions, thresholds: list[float] | None = None) -> float:
    """The task's primary metric, for choosing epochs and settings on validation.

    Args:
        task: the task.
        predictions: of validation.
        thresholds: by default chosen on these very predictions, which only validation may do.

    Returns:
        The value, or NaN where it is undefined (for example a rank correlation of constant predictions); a comparison
        with NaN is false, so an undefined score is never the better one.
    """
    primary, decision = task.metrics.primary, None
    if task.problem.level.within == "protein":
        by_each = by_protein(primary, predictions)
        defined = by_each[~np.isnan(by_each)]
        return float(defined.mean()) if len(defined) else math.nan
    if not METRICS[primary].reads_scores:
        # Thresholds of thousands of labels take longer than the metric, and this is asked after every epoch.
        chosen = quick_thresholds(task, predictions) if thresholds is None else thresholds
        decision = decide(task, predictions, chosen)
    read, cleaved = as_read(primary, task, predictions), task.cleaved_indices
    score = value(primary, read, decision, positive=task.positive_index, cleaved=cleaved)
    return math.nan if score is None else score


def score_split(
    task: Task,
    predictions: Predictions,
    thresholds: list[float] | None,
    *,
    replicates: int = KEPT_REPLICATES,
    seed: int = 0,
) -> SplitResult:
    """The result of :func:`score_and_resample` alone."""
    return score_and_resample(task, predictions, thresholds, replicates=replicates, seed=seed)[0]


def score_and_resample(
    task: Task,
    predictions: Predictions,
    thresholds: list[float] | None,
    *,
    replicates: int = KEPT_REPLICATES,
    seed: int = 0,
) -> tuple[SplitResult, dict[str, np.ndarray], Units]:
    """All metrics of the task on one split, with 95 % intervals from a bootstrap over whole units.

    A replicate in which a metric is undefined is left out of that metric's interval and counted; where fewer than
    half are left there is no interval.

    Args:
        task: the task.
        predictions: of the split.
        thresholds: chosen on validation (:func:`hubtools.evaluation.choose_thresholds`); None where none is needed.
        replicates: bootstrap replicates; 0 for none.
        seed: of the bootstrap.

    Returns:
        The result; metric -> (replicates,) values; and what was drawn.
    """
    names = task.metrics.names
    prepared, units = prepare(task, predictions, thresholds, names)
    replicates = replicates if units.n_units > 1 else 0
    drawn = draw(prepared, units, replicates, seed)
    points = [float(of(np.ones((1, units.n_units)))[0]) for of in prepared]
    values = [None if math.isnan(point) else point for point in points]
    result = SplitResult(
        n_proteins=n_proteins(predictions),
        n_labelled=len(predictions),
        scores={name: score_of(name, point, row, units) for name, point, row in zip(names, values, drawn, strict=True)},
        interval=_interval(replicates, units.described),
        undefined_replicates=_undefined(names, drawn),
    )
    if task.problem.level.within:
        table = _TABLES[task.problem.level.within](task, predictions)
        result.per_class = table if len(table) > 1 else []
    else:
        decision = decide(task, predictions, thresholds)
        result.per_class, result.not_listed = _per_class(task, predictions, decision, thresholds)
        result.confusion = _confusion(predictions, decision)
        result.calibration = calibration(task, predictions, replicates=replicates, seed=seed)
    return result, dict(zip(names, drawn, strict=True)), units


def n_proteins(predictions: Predictions) -> int:
    """Distinct proteins of a split's rows."""
    if predictions.assays is not None:
        return encode(predictions.assays.protein)[1]
    return encode(predictions.ids if predictions.proteins is None else predictions.proteins)[1]


def _interval(replicates: int, described: str) -> str:
    return f"{replicates:,} bootstrap replicates over {described}" if replicates else f"no intervals: {described}"


def _undefined(names: list[str], drawn: np.ndarray) -> dict[str, int]:
    """In how many replicates each metric was not defined, where in any."""
    counts = {name: int(np.isnan(row).sum()) for name, row in zip(names, drawn, strict=True)}
    return {name: count for name, count in counts.items() if count}


def score_of(name: str, point: float | None, drawn: np.ndarray, units: Units) -> Score:
    """A value with its interval, that of an arm of one run; none where fewer than half of the replicates are defined."""
    low, high = None, None
    if point is not None and len(drawn):
        found = arm_interval(Resampled(name, (0,), np.array([point]), drawn[None], units))
        low, high = found.low, found.high
    return Score(value=point, low=low, high=high, higher_is_better=METRICS[name].higher_is_better)


def _per_class(
    task: Task, predictions: Predictions, decision: np.ndarray | None, thresholds: list[float] | None
) -> tuple[list[dict[str, Any]], LabelsNotListed | None]:
    """One row per class or label, of thousands the most frequent, and what is said of the others. Precision and recall without anything to divide by are 0, as in F1."""
    if decision is None or not len(predictions):
        return [], None
    multilabel = predictions.truth.ndim == 2
    one_unit, once = np.zeros(len(predictions), dtype=np.int64), np.ones((1, 1))
    counts = counting.counting(predictions.truth, decision, one_unit, 1, predictions.n_outputs)(once)
    columns = {
        "precision": counting.precision_by_label(counts)[0],
        "recall": counting.recall_by_label(counts)[0],
        "f1": counting.f1_by_label(counts)[0],
    }
    if multilabel:
        columns["mcc"] = counting.mcc_by_label(counts)[0]
    rows = []
    kept = counting.listed(counts.true[0])
    for index in kept.tolist():
        name = task.label_names[index]
        row: dict[str, Any] = {"name": name, "support": int(counts.true[0, index])}
        if multilabel and thresholds is not None:
            row["threshold"] = float(thresholds[index])
        row |= {column: float(values[index]) for column, values in columns.items()}
        has = predictions.truth[:, index] == 1 if multilabel else predictions.truth == index
        for metric, ranking in RANKING.items():
            score = float(ranking(has, predictions.scores[:, index], one_unit)(once)[0])
            row[metric] = None if math.isnan(score) else score
        rows.append(row)
    return rows, _not_listed(counts, columns["f1"], kept)


def _not_listed(counts: Counts, f1: np.ndarray, kept: np.ndarray) -> LabelsNotListed | None:
    """What is said of labels without a row of their own."""
    left = np.setdiff1d(np.arange(len(f1)), kept)
    if not len(left):
        return None
    present = counts.true[0, left] > 0
    return LabelsNotListed(
        labels=len(left),
        present=int(present.sum()),
        called=int((counts.called[0, left] > 0).sum()),
        macro_f1=float(f1[left][present].mean()) if present.any() else None,
    )


def unseen_labels(task: Task, predictions: Predictions, trained: Mapping[str, int]) -> UnseenLabels | None:
    """Labels of a split that training never has; None where there are none, and where a row has one class.

    Args:
        task: the task.
        predictions: of the split.
        trained: rows of training that have each label, by name.
    """
    if task.problem.kind != "multilabel" or not trained:
        return None
    has = predictions.truth == 1
    unseen = np.array([not trained.get(name) for name in task.label_names])
    found = has.any(axis=0)
    if not (found & unseen).any():
        return None
    rows = has[:, unseen].any(axis=1)
    return UnseenLabels(
        labels=int((found & unseen).sum()),
        of=int(found.sum()),
        rows=int(rows.sum()),
        only=int((rows & ~has[:, ~unseen].any(axis=1)).sum()),
    )


def _confusion(predictions: Predictions, decision: np.ndarray | None) -> list[list[int]] | None:
    """Rows true, columns predicted."""
    n = predictions.n_outputs
    if decision is None or decision.ndim == 2 or n > MAX_CONFUSION_CLASSES:
        return None
    return np.bincount(predictions.truth * n + decision, minlength=n * n).reshape(n, n).tolist()
