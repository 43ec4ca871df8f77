"""How far two arms predict the same, row by row: a score may stay while one prediction in ten is another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, product

import numpy as np

from hubtools.evaluation.metrics.thresholds import decide
from hubtools.evaluation.predictions import Predictions
from hubtools.evaluation.statistics.resampled import ArmPredictions
from hubtools.specs.task import Task


@dataclass(frozen=True)
class Agreement:
    """Two arms row by row. Numbers of rows are means over pairs of runs: those of the same seed, else all.

    Attributes:
        rows: rows of the split.
        differing: rows on which the two decide differently; None for values, which nothing is decided on.
        a_right, b_right: of these, where only A, and only B, is right in everything that is asked of the row.
        among_seeds: rows on which two runs of the same arm decide differently, mean over both arms; None where neither
            arm has two runs.
        correlation: Pearson's, of the mean predictions of values; None otherwise, or where one is constant.
    """

    rows: int
    differing: float | None
    a_right: float | None
    b_right: float | None
    among_seeds: float | None
    correlation: float | None


def agreement(
    task: Task,
    one: ArmPredictions,
    other: ArmPredictions,
) -> Agreement:
    """Compare the predictions of two arms on the same rows.

    Args:
        task: the task.
        one, other: the arms on one split.
    """
    first = one.predictions[0]
    if task.problem.kind == "regression":
        return Agreement(len(first), None, None, None, None, _correlation(one.predictions, other.predictions))
    a, b = ([_decided(task, *run) for run in zip(arm.predictions, arm.thresholds, strict=True)] for arm in (one, other))
    truth = first.truth.reshape(len(first), -1)
    paired = [(i, j) for i, j in product(range(len(a)), range(len(b))) if one.seeds[i] == other.seeds[j]]
    paired = paired or list(product(range(len(a)), range(len(b))))
    counts = np.array([_counts(a[i], b[j], truth) for i, j in paired], dtype=np.float64).mean(axis=0)
    among = [_counts(first_run, second, truth)[0] for arm in (a, b) for first_run, second in combinations(arm, 2)]
    differing, a_right, b_right = (float(count) for count in counts)
    return Agreement(len(first), differing, a_right, b_right, float(np.mean(among)) if among else None, None)


def _decided(task: Task, predictions: Predictions, thresholds: list[float] | None) -> np.ndarray:
    """(n, L) decisions, one column of classes."""
    decision = decide(task, predictions, thresholds)
    assert decision is not None
    return decision.reshape(len(predictions), -1)


def _counts(one: np.ndarray, other: np.ndarray, truth: np.ndarray) -> tuple[int, int, int]:
    """Rows that differ; of these, where only the one, and only the other, is right."""
    right, other_right = (one == truth).all(axis=1), (other == truth).all(axis=1)
    return int((one != other).any(axis=1).sum()), int((right & ~other_right).sum()), int((other_right & ~right).sum())


def _correlation(a: Sequence[Predictions], b: Sequence[Predictions]) -> float | None:
    one, other = (np.mean([run.scores.astype(np.float64) for run in runs], axis=0) for runs in (a, b))
    if len(one) < 2 or not one.std() or not other.std():
        return None
    return float(np.corrcoef(one, other)[0, 1])
