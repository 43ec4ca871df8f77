"""Metrics of CAFA, which ask of each protein how well its labels are told, at one threshold for all: Fmax and Smin.

A label is predicted where its score reaches the threshold, 0.01, 0.02, … 1.00. Proteins without a true label are left out.
What a threshold makes of a protein does not depend on which others are drawn: so it is summed once for each unit of the
bootstrap, and a replicate is a product of weights and sums, of some hundred columns whatever the number of labels.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from hubtools.evaluation.metrics.counting import divide, sum_by_unit
from hubtools.evaluation.metrics.ranking import Statistic, average_precision
from hubtools.evaluation.metrics.weighing import Rows
from hubtools.evaluation.statistics.resampling import blocks

# As float32, which scores are: a score of 0.1 reaches the threshold 0.1.
THRESHOLDS = (np.arange(1, 101) / 100).astype(np.float32)


def fmax(rows: Rows) -> Statistic:
    """The largest F over thresholds of mean precision and mean recall (Radivojac et al., Nature Methods 10, 2013).

    Precision is the mean over the proteins with at least one label at the threshold, recall over all. 0 at a threshold
    that no protein reaches.
    """

    def columns(truth: np.ndarray, reached: _Reached) -> np.ndarray:
        has = truth.sum(axis=1)
        counts = has > 0
        right, called = reached.sums(truth), reached.sums()
        precision = divide(right, called, 0.0)
        recall = divide(right, has[:, None], 0.0)
        return np.concatenate([precision, called > 0, recall, np.ones((len(truth), 1))], axis=1) * counts[:, None]

    sums = _sums(rows, columns)

    def of(weights: np.ndarray) -> np.ndarray:
        precision, predicted, recall, total = np.split(weights @ sums, [100, 200, 300], axis=1)
        precision, recall = divide(precision, predicted, 0.0), divide(recall, total)
        best = divide(2 * precision * recall, precision + recall, 0.0).max(axis=1)
        return np.where(total[:, 0] > 0, best, np.nan)

    return _in_blocks(of)


def smin(rows: Rows) -> Statistic:
    """The least distance √(ru² + mi²) over thresholds, in bits (Clark and Radivojac, Bioinformatics 29, 2013).

    ru is the information of true labels that are not predicted, mi that of predicted ones that are not true, each a mean
    over proteins. How much information a label has is counted in training; undefined where that is not known.
    """
    if rows.information is None:
        return lambda weights: np.full(len(weights), np.nan)
    information = rows.information

    def columns(truth: np.ndarray, reached: _Reached) -> np.ndarray:
        counts = truth.sum(axis=1) > 0
        true = truth * information
        missed = true.sum(axis=1)[:, None] - reached.sums(true)
        wrong = reached.sums(information * (1 - truth))
        return np.concatenate([missed, wrong, np.ones((len(truth), 1))], axis=1) * counts[:, None]

    sums = _sums(rows, columns)

    def of(weights: np.ndarray) -> np.ndarray:
        missed, wrong, total = np.split(weights @ sums, [100, 200], axis=1)
        missed, wrong = divide(missed, total), divide(wrong, total)
        return np.sqrt(missed**2 + wrong**2).min(axis=1)

    return _in_blocks(of)


def micro_auprc(rows: Rows) -> Statistic:
    """Average precision of all labels of all rows, ranked together: scikit-learn's ``average="micro"``."""
    positive, scores = rows.truth.astype(bool), rows.scores
    # Below the lowest true label nothing adds to the area; that a row has such labels at all is said by one of them.
    lowest = scores[positive].min(initial=np.inf)
    kept = scores >= lowest
    below = ~kept & ~positive
    first = np.argmax(below, axis=1)
    some = below[np.arange(len(below)), first]
    kept[np.flatnonzero(some), first[some]] = True
    units = np.broadcast_to(rows.units[:, None], kept.shape)[kept]
    return average_precision(positive[kept], scores[kept], units)


class _Reached:
    """Which thresholds the scores of some rows reach: of thousands of labels few reach the lowest one.

    Args:
        scores: (n, L) float32.
    """

    def __init__(self, scores: np.ndarray) -> None:
        self.n = len(scores)
        self.at = np.nonzero(scores >= THRESHOLDS[0])
        highest = np.searchsorted(THRESHOLDS, scores[self.at], side="right") - 1
        self.cells = self.at[0] * len(THRESHOLDS) + highest

    def sums(self, values: np.ndarray | None = None) -> np.ndarray:
        """(n, L) values, by default 1 each, to (n, 100) sums over the labels that reach each threshold."""
        weights = None if values is None else values[self.at]
        size = self.n * len(THRESHOLDS)
        sums = np.bincount(self.cells, weights=weights, minlength=size).reshape(self.n, -1)
        return np.cumsum(sums[:, ::-1], axis=1)[:, ::-1].astype(np.float64)


def _sums(rows: Rows, columns: Callable[[np.ndarray, _Reached], np.ndarray]) -> np.ndarray:
    """Sums of columns by unit, some rows at a time."""
    total: np.ndarray | float = 0.0
    for part in blocks(len(rows.truth), rows.truth.shape[1]):
        truth = rows.truth[part].astype(np.float64)
        found = columns(truth, _Reached(rows.scores[part]))
        total = total + sum_by_unit(rows.units[part], rows.n_units, found)
    return np.asarray(total)


def _in_blocks(of: Statistic) -> Statistic:
    """Some weightings at a time, so that memory does not grow with their number."""
    width = 4 * len(THRESHOLDS)
    return lambda weights: np.concatenate(
        [of(weights[part].astype(np.float64)) for part in blocks(len(weights), width)]
    )
