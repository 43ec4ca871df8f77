"""What metrics of hard decisions and of values are made of: sums over rows.

Sums are made once for each bootstrap unit; a replicate is then one row of a matrix product of weights and sums,
whatever the number of rows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from hubtools.common.bounds import LABELS_LISTED, MOST_LABELS_LISTED

# Up to this many numbers, sums by unit are kept dense (128 MiB), where a matrix product is fastest.
_DENSE = 2**24


def sum_by_unit(units: np.ndarray, n_units: int, columns: np.ndarray) -> np.ndarray:
    """Sums of the columns of (n, k) over the rows of each unit: (n_units, k) float64."""
    return np.stack([np.bincount(units, weights=column, minlength=n_units) for column in columns.T], axis=1)


@dataclass(frozen=True, eq=False)
class Counts:
    """Counts under R weightings for L labels (classes of a classification are labels too).

    Attributes:
        right: (R, L) rows that have the label and are called it.
        true: (R, L) rows that have it.
        called: (R, L) rows called it.
        rows: (R,) rows in all.
    """

    right: np.ndarray
    true: np.ndarray
    called: np.ndarray
    rows: np.ndarray


def counting(
    truth: np.ndarray, decision: np.ndarray, units: np.ndarray, n_units: int, n_outputs: int
) -> Callable[[np.ndarray], Counts]:
    """Prepare the counts: a function from (R, n_units) weights to :class:`Counts`.

    Args:
        truth: (n,) classes or (n, L) of 0 and 1.
        decision: like truth.
        units: (n,) unit of each row.
        n_units: number of units.
        n_outputs: number of classes or labels.
    """
    by_unit: Any
    if truth.ndim == 2:
        has, called = truth.astype(bool), decision.astype(bool)
        parts = [has & called, has, called]
        if n_units * 3 * n_outputs <= _DENSE:
            by_unit = sum_by_unit(units, n_units, np.concatenate(parts, axis=1))
        else:
            by_unit = _sparse_sums(units, n_units, parts)
    else:
        from scipy.sparse import csr_array

        # Sparse, because a protein shows few of a thousand classes; equal entries add up.
        right = truth == decision
        row = np.concatenate([units[right], units, units])
        column = np.concatenate([truth[right], truth + n_outputs, decision + 2 * n_outputs])
        by_unit = csr_array((np.ones(len(row)), (row, column)), shape=(n_units, 3 * n_outputs))
        if n_units * 3 * n_outputs <= _DENSE:
            by_unit = by_unit.toarray()
    rows_by_unit = np.bincount(units, minlength=n_units).astype(np.float64)

    def of(weights: np.ndarray) -> Counts:
        weights = np.asarray(weights, dtype=np.float64)
        right, true, called = np.split(weights @ by_unit, 3, axis=1)
        return Counts(right, true, called, weights @ rows_by_unit)

    return of


def _sparse_sums(units: np.ndarray, n_units: int, parts: list[np.ndarray]) -> Any:
    """As :func:`sum_by_unit` of (n, L) bool side by side: a protein has few of thousands of labels."""
    from scipy.sparse import csr_array

    found = [np.nonzero(part) for part in parts]
    row = np.concatenate([units[row] for row, _ in found])
    column = np.concatenate([column + at * parts[0].shape[1] for at, (_, column) in enumerate(found)])
    return csr_array((np.ones(len(row)), (row, column)), shape=(n_units, len(parts) * parts[0].shape[1]))


def listed(support: np.ndarray) -> np.ndarray:
    """Which labels have a row of their own in tables: all; of thousands those with most rows, in the order of the task.

    Args:
        support: (L,) rows that have each label.
    """
    if len(support) <= MOST_LABELS_LISTED:
        return np.arange(len(support))
    return np.sort(np.argsort(-support, kind="stable")[:LABELS_LISTED])


def divide(numerator: np.ndarray, denominator: np.ndarray, otherwise: float = np.nan) -> np.ndarray:
    """Element-wise quotient; ``otherwise`` where the denominator is not positive."""
    numerator, denominator = np.broadcast_arrays(numerator, denominator)
    return np.divide(numerator, denominator, out=np.full(numerator.shape, otherwise), where=denominator > 0)


def recall_by_label(counts: Counts, otherwise: float = 0.0) -> np.ndarray:
    """(R, L) share of a label's rows that are found."""
    return divide(counts.right, counts.true, otherwise)


def precision_by_label(counts: Counts) -> np.ndarray:
    """(R, L) share of a label's calls that are right; 0 without calls."""
    return divide(counts.right, counts.called, 0.0)


def f1_by_label(counts: Counts) -> np.ndarray:
    """(R, L) harmonic mean of precision and recall; 0 for a label with neither rows nor calls."""
    return _unless_empty(counts, divide(2 * counts.right, counts.true + counts.called, 0.0))


def mcc_by_label(counts: Counts) -> np.ndarray:
    """(R, L) Matthews' coefficient of each label against the rest; 0 where truth or decision is constant."""
    right, true, called, rows = counts.right, counts.true, counts.called, counts.rows[:, None]
    spread = np.sqrt(true * (rows - true)) * np.sqrt(called * (rows - called))
    return _unless_empty(counts, divide(right * rows - true * called, spread, 0.0))


def multiclass_mcc(counts: Counts) -> np.ndarray:
    """R_K, Matthews' coefficient for any number of classes (Gorodkin 2004); 0 where truth or decision is constant."""
    rows = counts.rows
    covariance = counts.right.sum(axis=1) * rows - (counts.true * counts.called).sum(axis=1)
    spread_true = rows**2 - (counts.true**2).sum(axis=1)
    spread_called = rows**2 - (counts.called**2).sum(axis=1)
    coefficient = divide(covariance, np.sqrt(spread_true) * np.sqrt(spread_called), 0.0)
    return np.where(rows > 0, coefficient, np.nan)


def mean_mcc(counts: Counts) -> np.ndarray:
    """Mean over labels of the binary Matthews coefficient."""
    return mcc_by_label(counts).mean(axis=1)


def _unless_empty(counts: Counts, by_label: np.ndarray) -> np.ndarray:
    return np.where(counts.rows[:, None] > 0, by_label, np.nan)


# --- Values ------------------------------------------------------------------------------------------------------


def moments(truth: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    """(n, 8) columns whose sums give every metric of values but the rank correlation.

    Both are centred on their overall mean first: sums of squares of far-away numbers would lose their digits.
    """
    error = prediction - truth
    x, y = truth - truth.mean(), prediction - prediction.mean()
    return np.stack([np.ones_like(x), x, y, x * x, y * y, x * y, np.abs(error), error * error], axis=1)


def shared(x: np.ndarray, y: np.ndarray, n: np.ndarray) -> np.ndarray:
    """Product of two sums over n rows, by n."""
    return divide(x * y, n, 0.0)


def spread(n: np.ndarray, total: np.ndarray, squares: np.ndarray) -> np.ndarray:
    """Sum of squared deviations; exactly 0 where what is left is rounding, that is for a constant."""
    deviations = squares - shared(total, total, n)
    return np.where(deviations > 1e-12 * squares, deviations, 0.0)
