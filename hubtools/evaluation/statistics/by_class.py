"""Where a difference comes from: the arms class by class, label by label, assay by assay.

A class is compared by its F1; where the task's metric is a ranking (AUROC, AUPRC), by that of the class against the rest;
an assay by the task's metric within it. Scores are means over the runs of an arm, which are what they are (the question
``weights``): the intervals are over clusters, with the draws of every other comparison. An assay is one protein: its
intervals are over its variants. P-values are corrected by Holm's method within the table.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from hubtools.evaluation.metrics import counting
from hubtools.evaluation.metrics.ranking import RANKING
from hubtools.evaluation.metrics.thresholds import decide
from hubtools.evaluation.predictions import Predictions
from hubtools.evaluation.statistics.difference import Question, difference
from hubtools.evaluation.statistics.resampled import REPLICATES, ArmPredictions, Resampled, Units, prepare, resample
from hubtools.evaluation.statistics.resampling import blocks, bootstrap_units, bootstrap_weights, encode, pair_weights
from hubtools.evaluation.statistics.verdicts import holm
from hubtools.specs.task import Task


@dataclass(frozen=True)
class ClassDifference:
    """Candidate against baseline in one class, label or assay.

    Attributes:
        name: of the class, label or assay.
        support: rows that have the label; rows of the assay.
        metric: f1, auroc, auprc, or the assays' metric.
        baseline, candidate: mean over the runs of each arm; None where the metric is undefined.
        value: how much better the candidate is; None as above.
        low, high: 95 % interval of ``value``; None where there is none.
        p_value: two-sided, of no difference; None as above.
        adjusted_p: the same after Holm's correction for the number of rows that have one.
    """

    name: str
    support: int
    metric: str
    baseline: float | None
    candidate: float | None
    value: float | None
    low: float | None
    high: float | None
    p_value: float | None
    adjusted_p: float | None


def class_differences(
    task: Task,
    baseline_predictions: Sequence[Predictions],
    baseline_thresholds: Sequence[list[float] | None],
    candidate_predictions: Sequence[Predictions],
    candidate_thresholds: Sequence[list[float] | None],
    *,
    replicates: int = REPLICATES,
) -> list[ClassDifference]:
    """One row a class, label or assay, in the order of the task; empty for regression, which has none.

    Of thousands of labels those with most rows.

    Args:
        task: the task.
        baseline_predictions, candidate_predictions: of each run on one split, the same rows in the same order.
        baseline_thresholds, candidate_thresholds: of each run, as it chose them on validation.
        replicates: of the bootstrap.

    Raises:
        ValueError: the runs do not have the same rows in the same order.
    """
    baseline = list(zip(baseline_predictions, baseline_thresholds, strict=True))
    candidate = list(zip(candidate_predictions, candidate_thresholds, strict=True))
    first = baseline[0][0]
    if task.problem.level.within == "protein":
        # One protein alone has nothing that could be drawn.
        return []
    if task.problem.level.within:
        arms = [_by_assay(task, runs, replicates) for runs in (baseline, candidate)]
    elif task.problem.kind == "regression" or not len(first):
        return []
    else:
        arms = [_by_class(task, runs, replicates) for runs in (baseline, candidate)]
    rows = [_row(name, support, one, other) for (name, support, one), (_, _, other) in zip(*arms, strict=True)]
    adjusted = holm([row.p_value for row in rows])
    return [replace(row, adjusted_p=p) for row, p in zip(rows, adjusted, strict=True)]


Run = tuple[Predictions, list[float] | None]
Named = tuple[str, int, Resampled]


def _row(name: str, support: int, baseline: Resampled, candidate: Resampled) -> ClassDifference:
    metric = baseline.metric
    if np.isnan(baseline.values).any() or np.isnan(candidate.values).any():
        return ClassDifference(name, support, metric, None, None, None, None, None, None, None)
    found = difference(baseline, candidate, Question.WEIGHTS)
    scores = found.baseline, found.candidate, found.value
    return ClassDifference(name, support, metric, *scores, found.low, found.high, found.p_value, None)


def _by_class(task: Task, runs: Sequence[Run], replicates: int) -> list[Named]:
    """An arm's F1, or ranking metric, of each class under the task's own resamplings."""
    first = runs[0][0]
    support = first.truth.sum(axis=0) if first.truth.ndim == 2 else np.bincount(first.truth, minlength=first.n_outputs)
    kept = counting.listed(support)
    metric = task.metrics.primary if task.metrics.primary in RANKING else "f1"
    units = _common([prepare(task, predictions, thresholds, [])[1] for predictions, thresholds in runs])
    of = [_of_classes(task, metric, predictions, thresholds, kept) for predictions, thresholds in runs]
    values = np.stack([single(np.ones((1, units.n_units)))[0] for single in of])
    drawn = np.full((len(runs), replicates if units.n_units > 1 else 0, len(kept)), np.nan)
    done = 0
    for weights in bootstrap_weights(units.n_units, drawn.shape[1], 0, units.strata):
        for row, single in zip(drawn, of, strict=True):
            row[done : done + len(weights)] = single(weights)
        done += len(weights)
    seeds = tuple(range(len(runs)))
    return [
        (task.label_names[label], int(support[label]), Resampled(metric, seeds, values[:, at], drawn[:, :, at], units))
        for at, label in enumerate(kept.tolist())
    ]


def _of_classes(
    task: Task, metric: str, predictions: Predictions, thresholds: list[float] | None, kept: np.ndarray
) -> Callable[[np.ndarray], np.ndarray]:
    """A metric of some classes, (k,) by index: (R, n_units) multiplicities -> (R, k), NaN where undefined."""
    units, n_units, _ = bootstrap_units(predictions)
    if units.ndim == 2:
        units, n_columns, weigh = pair_weights(units)
    else:
        n_columns, weigh = n_units, None
    if metric in RANKING:
        has = predictions.truth.astype(bool) if predictions.truth.ndim == 2 else None
        single = [
            RANKING[metric](
                predictions.truth == label if has is None else has[:, label], predictions.scores[:, label], units
            )
            for label in kept.tolist()
        ]

        def of(weights: np.ndarray) -> np.ndarray:
            return np.stack([label(weights) for label in single], axis=1)
    else:
        decision = decide(task, predictions, thresholds)
        assert decision is not None
        truth, every = predictions.truth, np.arange(predictions.n_outputs)
        if truth.ndim == 2:
            truth, decision, every = truth[:, kept], decision[:, kept], kept
        counts = counting.counting(truth, decision, units, n_columns, len(every))
        places = np.searchsorted(every, kept)

        def of(weights: np.ndarray) -> np.ndarray:
            return counting.f1_by_label(counts(weights))[:, places]

    if weigh is None:
        return of
    return lambda weights: np.concatenate([of(weigh(weights[rows])) for rows in blocks(len(weights), n_columns)])


def _by_assay(task: Task, runs: Sequence[Run], replicates: int) -> list[Named]:
    """An arm's metric within each assay. One assay alone is one protein, so variants are what is drawn."""
    first = runs[0][0]
    assert first.assays is not None
    codes, n_assays = encode(first.assays.group)
    named = []
    for code in range(n_assays):
        rows = np.flatnonzero(codes == code)
        parts = [predictions.rows(rows) for predictions, _ in runs]
        arm = ArmPredictions(parts, [None] * len(parts), range(len(parts)))
        found = resample(task, arm, replicates=replicates)
        named.append((str(first.assays.group[rows[0]]), len(rows), found))
    return named


def _common(units: Sequence[Units]) -> Units:
    if len({found.digest for found in units}) > 1:
        raise ValueError("the runs were scored on different rows")
    return units[0]
