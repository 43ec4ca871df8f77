"""Running sums of weights along sorted rows, for many replicates at once.

A rank statistic needs the weight of all rows up to each of some thresholds. Rows of one unit share their weight, so
these sums are a sparse matrix (thresholds × units) times the transposed weights (units × replicates), whose running
sum goes down the thresholds. Here both are one product: row t of the matrix has, beside its units, a one that points at
the sum of row t - 1, which has just been computed. Each non-zero is then an addition of one contiguous row of
replicates, which a processor does several numbers at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

# Thresholds whose sums are held at once, and numbers in one block of transposed weights (2 MiB in single precision).
_ROWS = 2**10
_BLOCK = 2**19
# Numbers that a statistic may hold for all replicates of a block (256 MiB in single precision).
_HELD = 2**26
# Whole numbers below this are exact in single precision, which is twice as fast.
_EXACT = 2**24


class RunningSums:
    """Sums of weights of the rows up to and with each threshold.

    Args:
        thresholds: (n,) at which threshold a row joins the sum; a row at ``n_thresholds`` or later never does.
        units: (n,) unit of each row.
        n_thresholds: T.
    """

    def __init__(self, thresholds: np.ndarray, units: np.ndarray, n_thresholds: int) -> None:
        from scipy.sparse import csr_array

        joins = thresholds < n_thresholds
        rows, columns = thresholds[joins], units[joins]
        at = np.arange(n_thresholds)
        shape = (n_thresholds, 1 + _ROWS + int(units.max(initial=0)) + 1)
        entries = (np.concatenate([rows, at]), np.concatenate([columns + 1 + _ROWS, at % _ROWS]))
        # Rows of one unit at one threshold add up to one entry.
        matrix = csr_array((np.ones(len(rows) + n_thresholds, dtype=np.float32), entries), shape=shape)
        self._n = n_thresholds
        self._starts, self._columns, self._counts = matrix.indptr, matrix.indices, matrix.data

    def of(self, weights: np.ndarray) -> Iterator[np.ndarray]:
        """Sums for transposed weights, (n_units, R), by pieces of the thresholds.

        Yields:
            (m + 1, R) sums: of the threshold before the piece, then of each in it. Overwritten by the next.
        """
        from scipy.sparse._sparsetools import csr_matvecs

        n_units, n_replicates = weights.shape
        sums = np.zeros((1 + _ROWS + n_units, n_replicates), dtype=weights.dtype)
        sums[1 + _ROWS :] = weights
        counts = self._counts.astype(weights.dtype, copy=False)
        for start in range(0, self._n, _ROWS):
            m = min(_ROWS, self._n - start)
            if start:
                sums[0] = sums[_ROWS]
            sums[1 : m + 1] = 0
            first, last = self._starts[start], self._starts[start + m]
            piece = self._starts[start : start + m + 1] - first
            # It adds into the rows it is given, one after another, and reads earlier ones: that is the running sum.
            csr_matvecs(
                m,
                len(sums),
                n_replicates,
                piece,
                self._columns[first:last],
                counts[first:last],
                sums.reshape(-1),
                sums[1 : m + 1].reshape(-1),
            )
            yield sums[: m + 1]


def in_blocks(
    of: Callable[[np.ndarray], np.ndarray], units: np.ndarray, held: int = 0
) -> Callable[[np.ndarray], np.ndarray]:
    """Apply a statistic of transposed weights (n_units, R) to blocks of replicates.

    Args:
        of: transposed weights to (R,) values; in single precision where twice the sum of all rows is exact in it.
        units: (n,) unit of each row.
        held: how many numbers the statistic holds for each replicate.

    Returns:
        A function from (R, n_units) weights to (R,) values.
    """

    def blocked(weights: np.ndarray) -> np.ndarray:
        block = int(np.clip(_BLOCK // max(1, weights.shape[1]), 16, 256))
        block = max(1, min(block, _HELD // max(1, held)))
        rows = np.bincount(units, minlength=weights.shape[1])
        whole = np.issubdtype(weights.dtype, np.integer)
        values = []
        for start in range(0, len(weights), block):
            transposed = np.ascontiguousarray(weights[start : start + block].T, dtype=np.float32)
            if not whole or 2.01 * (rows.astype(np.float32) @ transposed).max(initial=0) > _EXACT:
                transposed = np.ascontiguousarray(weights[start : start + block].T, dtype=np.float64)
            values.append(of(transposed))
        return np.concatenate(values) if values else np.zeros(0)

    return blocked
