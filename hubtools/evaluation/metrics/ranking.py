"""Rank statistics under many weightings at once: AUROC, average precision, Spearman's ρ, NDCG; and the curve of precision against recall.

Each of the statistics sorts the rows once and returns a function from weights, (R, n_units) multiplicities of the units that
rows belong to, to (R,) values; a bootstrap replicate never sorts again. A row of weight 2 counts exactly as if it were in
the data twice; rows of equal score are tied, whatever their order. NaN where a statistic is not defined.

A weighting is a walk along the sorted rows with running sums. Some tens of weightings are walked together, in pieces of
rows that stay in a core's cache: weights are turned to (n_units, weightings), so that what one row adds is one stretch of
memory, and what many rows add between two thresholds is a product with a sparse matrix.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

Statistic = Callable[[np.ndarray], np.ndarray]

# Weightings that are walked together, and rows of a piece: 256 KiB an array of float32.
_TOGETHER = 64
_PIECE = 1024
# Up to this many rows sums are float64. Beyond, float32 still counts exactly (below 2^24), and its quotients are good to
# 1e-7, while a bootstrap takes half the time.
_DOUBLE = 2**16
# Beyond _DOUBLE rows, AUROC and Spearman's ranks are of scores in this many levels of equal size, average precision puts
# very many thresholds, but the highest, together, and NDCG this many ranks. Each changes the value by less than 1e-5.
_LEVELS = 2048
_RANKS = 32
# Spearman's products of ranks are summed over cells of so many levels of either value where so many resamples of the units are
# no farther than this from the exact value.
_SIDE, _PROBES, _NEAR = 256, 8, 2e-6


def auroc(positive: np.ndarray, scores: np.ndarray, units: np.ndarray) -> Statistic:
    """Area under the ROC curve: how often a positive row scores above a negative one, ties counting half.

    Args:
        positive: (n,) bool.
        scores: (n,) higher means more likely positive.
        units: (n,) unit of each row.

    Returns:
        Weights to values; NaN without a positive or without a negative.
    """
    tie = _levels(_ties(scores))
    n_ties = int(tie.max(initial=-1)) + 1
    has_high = np.bincount(tie[positive], minlength=n_ties) > 0
    has_low = np.bincount(tie[~positive], minlength=n_ties) > 0
    # One step holds negatives and then the positives above them; where both are tied it holds these alone.
    mixed = has_high & has_low
    apart = mixed[1:] | mixed[:-1] | (has_low[1:] & ~has_low[:-1])
    step_of_tie = np.concatenate([np.zeros(min(1, n_ties), dtype=np.int64), np.cumsum(apart)])
    step = step_of_tie[tie]
    n_steps = int(step_of_tie[-1]) + 1 if n_ties else 0
    half = np.zeros(n_steps)
    half[step_of_tie[mixed]] = 0.5
    dtype = _dtype(len(scores))
    high = _Pieces(step[positive], units[positive], n_steps, dtype)
    low = _Pieces(step[~positive], units[~positive], n_steps, dtype)
    half = half.astype(dtype)[:, None]

    def of(weights: np.ndarray) -> np.ndarray:
        below, positives, wins = (np.zeros(weights.shape[1]) for _ in range(3))
        for at, here, lower in zip(high.slices, high.times(weights), low.times(weights), strict=True):
            running = np.cumsum(lower, axis=0)
            total = running[-1].astype(np.float64)
            running -= lower * half[at]
            found = here.sum(axis=0, dtype=np.float64)
            wins += below * found + np.einsum("tr,tr->r", here, running)
            below += total
            positives += found
        return _ratio(wins, positives * below)

    return _together(of, dtype)


def average_precision(positive: np.ndarray, scores: np.ndarray, units: np.ndarray) -> Statistic:
    """Area under the precision–recall curve as average precision: Σ (recall step) × precision, no interpolation.

    Arguments as of :func:`auroc`.

    Returns:
        Weights to values; NaN without a positive or without a negative.
    """
    order = np.argsort(-scores, kind="stable")
    scores, units, positive = scores[order], units[order], positive[order]
    high = scores[positive]
    # A step is the threshold at one distinct positive score; below the lowest one, nothing adds to the area. Of very many
    # the lower ones are put together, and the precision within such a step is the one in its middle.
    thresholds = _codes(high)
    if len(scores) > _DOUBLE:
        thresholds = _merged(thresholds)
    starts = np.flatnonzero(np.diff(thresholds, prepend=-1))
    n_steps = len(starts)
    lowest = high[np.append(starts[1:], len(high)) - 1] if n_steps else high
    step_of_low = np.searchsorted(-lowest, -scores[~positive], "left")
    dtype = _dtype(len(scores))
    hits = _Pieces(thresholds, units[positive], n_steps, dtype)
    misses = _Pieces(step_of_low, units[~positive], n_steps, dtype)
    negatives = np.bincount(units[~positive], minlength=1)
    # How much of its own step counts as called at a threshold.
    part = np.where(high[starts] == lowest, 1.0, 0.5).astype(dtype)[:, None] if n_steps else np.ones((0, 1))

    def of(weights: np.ndarray) -> np.ndarray:
        true, called, area = (np.zeros(weights.shape[1], dtype=dtype) for _ in range(3))
        area = area.astype(np.float64)
        for at, steps, wrong in zip(hits.slices, hits.times(weights), misses.times(weights), strict=True):
            found, called_here = np.cumsum(steps, axis=0), np.cumsum(wrong, axis=0)
            found += true
            called_here += called
            true, called = found[-1].copy(), called_here[-1].copy()
            missing = 1 - part[at]
            if missing.any():
                found -= missing * steps
                called_here -= missing * wrong
            called_here += found
            # Nothing called at a threshold means no step in recall there: the precision does not matter.
            np.maximum(called_here, 0.5, out=called_here)
            np.divide(found, called_here, out=found)
            area += np.einsum("tr,tr->r", steps, found)
        # Every replicate that has a negative row anywhere is defined.
        has_low = negatives @ weights[: len(negatives)] > 0
        return np.where(has_low, _ratio(area, true.astype(np.float64)), np.nan)

    return _together(of, dtype)


def precision_recall(positive: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Precision and recall at every threshold, from the lowest score to above the highest, where precision is 1 and recall 0.

    Args:
        positive, scores: as of :func:`auroc`, with a positive row.

    Returns:
        Precision and recall, (distinct scores + 1,) each, as scikit-learn's ``precision_recall_curve`` has them.
    """
    order = np.argsort(-scores, kind="stable")
    ordered = scores[order]
    # A threshold calls all rows of one score, so that the last of them counts.
    last = np.append(np.flatnonzero(ordered[1:] != ordered[:-1]), len(ordered) - 1)
    true = np.cumsum(positive[order])[last]
    precision, recall = true / (1 + last), true / true[-1]
    return np.append(precision[::-1], 1.0), np.append(recall[::-1], 0.0)


def spearman(x: np.ndarray, y: np.ndarray, units: np.ndarray) -> Statistic:
    """Spearman's ρ: Pearson's r of the ranks, tied values sharing their mean rank.

    Of very many rows it is computed from counts of cells where that gives what some resamples give exactly.

    Args:
        x: (n,) values.
        y: (n,) values.
        units: (n,) unit of each row.

    Returns:
        Weights to values; NaN where x or y is constant.
    """
    x, y = _ties(x), _ties(y)
    if len(x) > _DOUBLE:
        by_cells = _together(_Cells(x, y, units), np.float32)
        n_units = int(units.max()) + 1
        probes = np.random.default_rng(0).multinomial(n_units, np.full(n_units, 1 / n_units), size=_PROBES)
        exact = np.array([_weighted_spearman(x, y, row[units]) for row in probes])
        if (np.abs(by_cells(probes) - exact) <= _NEAR).all():
            return by_cells
    return _spearman_of_levels(x, y, units)


def _weighted_spearman(x: np.ndarray, y: np.ndarray, weights: np.ndarray) -> float:
    """Spearman's ρ of rows of (n,) weights; x and y as :func:`_ties` gives them."""
    rank_x, rank_y = (_centred(np.bincount(ties, weights))[ties] for ties in (x, y))
    weighted = weights * rank_x
    return float(weighted @ rank_y / np.sqrt((weighted @ rank_x) * (weights @ rank_y**2)))


def _spearman_of_levels(x: np.ndarray, y: np.ndarray, units: np.ndarray) -> Statistic:
    """Spearman's ρ from a pass over all rows; arguments as of :func:`spearman`, x and y as :func:`_ties` gives them."""
    dtype = _dtype(len(x))
    x_level, y_level = _levels(x), _levels(y)
    n_x, n_y = (int(level.max(initial=-1)) + 1 for level in (x_level, y_level))
    by_x, by_y = _Pieces(x_level, units, n_x, dtype), _Pieces(y_level, units, n_y, dtype)
    pieces = [slice(start, start + _PIECE) for start in range(0, len(x), _PIECE)]

    def ranks(steps: _Pieces, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean rank of each level less the mean of all, doubled; and its weight."""
        rows = np.concatenate(list(steps.times(weights)))
        return _centred(rows), rows

    def of(weights: np.ndarray) -> np.ndarray:
        (rank_x, rows_x), (rank_y, rows_y) = ranks(by_x, weights), ranks(by_y, weights)
        squares_x = np.einsum("lr,lr,lr->r", rows_x, rank_x, rank_x)
        squares_y = np.einsum("lr,lr,lr->r", rows_y, rank_y, rank_y)
        total = np.maximum(rows_x.sum(axis=0, dtype=np.float64), 1)
        scaled_x, scaled_y = (rank_x / total).astype(dtype), (rank_y / total).astype(dtype)
        products = np.zeros(weights.shape[1])
        for piece in pieces:
            weighted = np.take(weights, units[piece], axis=0)
            weighted *= np.take(scaled_x, x_level[piece], axis=0)
            products += np.einsum("nr,nr->r", weighted, np.take(scaled_y, y_level[piece], axis=0))
        return _ratio(products * total**2, np.sqrt(squares_x) * np.sqrt(squares_y))

    # The ranks of all levels are at hand at once.
    return _together(of, dtype, max(1, min(_TOGETHER, _LEVELS * _TOGETHER // max(n_x, n_y, 1))))


class _Cells:
    """Spearman's ρ of very many rows, from how many lie in each cell of a grid of levels of x and y: no pass over rows.

    What levels take from the sums of products of ranks is not neglected. It is computed where all weights are one, with its
    slope by the weight of each unit, and added in every weighting: exact to first order in how far weights are from even.
    What is left is some 1e-7 where many units share each level, and 1e-4 where few do: :func:`spearman` asks whether it is little.

    Arguments as of :func:`spearman`, x and y as :func:`_ties` gives them. Called as what :func:`_together` takes.
    """

    def __init__(self, x: np.ndarray, y: np.ndarray, units: np.ndarray) -> None:
        from scipy.sparse import csr_array

        x_level, y_level = _levels(x, _SIDE), _levels(y, _SIDE)
        self.n_rows, self.n_units = len(x), int(units.max()) + 1
        self.shape = int(x_level.max()) + 1, int(y_level.max()) + 1
        ones = np.ones(len(x), dtype=np.float32)
        of_rows = x_level * self.shape[1] + y_level, units
        self.counts = csr_array((ones, of_rows), shape=(self.shape[0] * self.shape[1], self.n_units))
        self.counts.sum_duplicates()
        exact, coarse = _slopes(x, y), _slopes(x_level, y_level)
        self.slopes = np.stack([np.bincount(units, e - c) for e, c in zip(exact, coarse, strict=True)])
        # The sums grow with the cube of the weights, hence with a third of their slope along them.
        self.at_one = self.slopes.sum(axis=1, keepdims=True) / 3

    def __call__(self, weights: np.ndarray) -> np.ndarray:
        weights = weights[: self.n_units]
        cells = (self.counts @ weights).reshape(*self.shape, -1)
        rows_x, rows_y = (cells.sum(axis=axis).astype(np.float64) for axis in (1, 0))
        total = np.maximum(rows_x.sum(axis=0), 1)
        rank_x, rank_y = (_centred(rows) / total for rows in (rows_x, rows_y))
        xy = np.einsum("xr,xr->r", np.einsum("xyr,yr->xr", cells, rank_y.astype(cells.dtype)), rank_x)
        xx = np.einsum("lr,lr,lr->r", rows_x, rank_x, rank_x)
        yy = np.einsum("lr,lr,lr->r", rows_y, rank_y, rank_y)
        varies = (xx > 0) & (yy > 0)
        left = self.slopes @ weights - 2 * self.at_one * (total / self.n_rows)
        xy, xx, yy = np.stack([xy, xx, yy]) + left
        return np.where(varies, _ratio(xy, np.sqrt(np.maximum(xx, 0)) * np.sqrt(np.maximum(yy, 0))), np.nan)


def _slopes(x_level: np.ndarray, y_level: np.ndarray) -> np.ndarray:
    """How the sums over rows of products of ranks, x with y, x with x and y with y, grow with the weight of each row: (3, n).

    Ranks are the mean rank less the mean of all, doubled, as a share of the rows; weights are one. A row adds its own product, and
    moves the ranks of the rows below and above it.
    """
    n = len(x_level)

    def rank(level: np.ndarray, values: np.ndarray | None = None) -> np.ndarray:
        return _centred(np.bincount(level, values))[level] / n

    x, y = rank(x_level), rank(y_level)
    pairs = ((x, x_level, y, y_level), (x, x_level, x, x_level), (y, y_level, y, y_level))
    return np.stack([a * b - rank(of_a, b) - rank(of_b, a) for a, of_a, b, of_b in pairs])


def _centred(rows: np.ndarray) -> np.ndarray:
    """Of what each level holds, all that lies below it less all that lies above."""
    through = np.cumsum(rows, axis=0, dtype=np.float64)
    return 2 * through - rows - through[-1:]


def ndcg(truth: np.ndarray, scores: np.ndarray, units: np.ndarray) -> Statistic:
    """Normalised discounted cumulative gain of the top tenth: how much of what is best is ranked first.

    As ProteinGym defines it: the gain of a row is its value scaled to 0 (least) to 1 (largest of all rows), the discount
    of rank r is 1 / log2(r + 1), and the first tenth of the ranks (rounded down) counts. Rows of equal score share
    their mean gain, as in ``sklearn.metrics.ndcg_score``, which gives the same for these gains and ``k``; ProteinGym
    lets the sorting algorithm decide about ties, and gives no score to fewer than ten rows, where here one rank counts.

    Args:
        truth: (n,) values, larger is better.
        scores: (n,) higher means thought better.
        units: (n,) unit of each row.

    Returns:
        Weights, which must be whole numbers, to values; NaN where the truth is constant.
    """
    dtype = _dtype(len(truth))
    by_score, by_truth = _Ranked(-scores, truth, units, dtype), _Ranked(-truth, truth, units, dtype)
    n_units = int(units.max(initial=-1)) + 1
    sizes = np.bincount(units, minlength=n_units)
    least_of, largest_of = np.full(n_units, np.inf), np.full(n_units, -np.inf)
    np.minimum.at(least_of, units, truth)
    np.maximum.at(largest_of, units, truth)

    def of(weights: np.ndarray) -> np.ndarray:
        weights = weights[:n_units]
        n = np.rint(sizes @ weights).astype(np.int64)
        top = np.maximum(n // 10, 1)
        discounts = np.zeros(int(top.max(initial=0)) + 1)
        discounts[1:] = np.cumsum(1 / np.log2(np.arange(2, len(discounts) + 1)))
        gained = by_score.discounted(weights, top, discounts)
        possible = by_truth.discounted(weights, top, discounts)
        present = weights > 0
        least = np.where(present, least_of[:, None], np.inf).min(axis=0, initial=np.inf)
        largest = np.where(present, largest_of[:, None], -np.inf).max(axis=0, initial=-np.inf)
        varies = largest > least
        # Scaling gains to 0 and 1 takes the least value off both sums; the range cancels in their ratio.
        off = np.where(varies, least, 0.0) * discounts[np.minimum(n, top)]
        return np.where(varies, _ratio(gained - off, possible - off), np.nan)

    return _together(of, dtype)


# What is said of each class and label of a task beside its decisions.
RANKING = {"auroc": auroc, "auprc": average_precision}


class _Ranked:
    """Rows in the order of a key, tied ones together: how much of their gains the discounts of the top ranks leave."""

    def __init__(self, key: np.ndarray, gains: np.ndarray, units: np.ndarray, dtype: Any) -> None:
        order = np.argsort(key, kind="stable")
        tie = _codes(key[order])
        if len(tie) > _DOUBLE:
            tie = _coarse(tie, int(units.max()) + 1)
        n_ties = int(tie[-1]) + 1 if len(tie) else 0
        self.rows = _Pieces(tie, units[order], n_ties, dtype)
        self.sums = _Pieces(tie, units[order], n_ties, dtype, gains[order])

    def discounted(self, weights: np.ndarray, top: np.ndarray, discounts: np.ndarray) -> np.ndarray:
        """(R,) sums of mean gain × discounts of the ranks, walked until the top ranks are full everywhere."""
        before, gained = np.zeros((1, weights.shape[1])), np.zeros(weights.shape[1])
        for rows, sums in zip(self.rows.times(weights), self.sums.times(weights), strict=True):
            counts = np.concatenate([before, before + np.cumsum(rows, axis=0, dtype=np.float64)])
            reached = discounts[np.minimum(counts, top).astype(np.int64)]
            gained += np.einsum("tr,tr->r", np.diff(reached, axis=0), sums / np.maximum(rows, 1))
            before = counts[-1:]
            if (before[0] >= top).all():
                break
        return gained


class _Pieces:
    """Sums over the rows of each step, under many weightings at once, some steps at a time.

    Args:
        step: (n,) step of each row, from 0, in any order.
        units: (n,) unit of each row.
        n_steps: number of steps; rows of a later one are left out.
        dtype: of the sums.
        values: (n,) what each row adds; 1 by default.
    """

    def __init__(
        self, step: np.ndarray, units: np.ndarray, n_steps: int, dtype: Any, values: np.ndarray | None = None
    ) -> None:
        from scipy.sparse import csr_array

        inside = step < n_steps
        added = np.ones(len(step), dtype=dtype) if values is None else values.astype(dtype)
        self.n_units = int(units.max(initial=-1)) + 1
        sums = csr_array((added[inside], (step[inside], units[inside])), shape=(n_steps, self.n_units))
        sums.sum_duplicates()
        self.slices = [slice(start, min(start + _PIECE, n_steps)) for start in range(0, n_steps, _PIECE)]
        self.pieces = [sums[at] for at in self.slices]

    def times(self, weights: np.ndarray) -> Iterator[np.ndarray]:
        """(steps of a piece, R) sums for (n_units, R) weights, piece by piece."""
        weights = weights[: self.n_units]
        for piece in self.pieces:
            yield piece @ weights


def _merged(thresholds: np.ndarray) -> np.ndarray:
    """Ordered thresholds of positive rows: the highest as they are, the others of levels that hold equally many rows."""
    top = 2 * _LEVELS
    if not len(thresholds) or thresholds[-1] < 8 * _LEVELS:
        return thresholds
    first = np.searchsorted(thresholds, thresholds, "left")
    return _codes(np.where(first <= top, first, top + 1 + (first - top) * 2 * top // len(first)))


def _coarse(ties: np.ndarray, n_units: int) -> np.ndarray:
    """Ordered ties for NDCG: as they are among the highest ranks, whose discounts differ most, and around the end of the first
    tenth, which is elsewhere in each replicate, by about the root of the number of units; some together between and beyond.
    """
    first = np.searchsorted(ties, ties, "left")
    end, spread = len(ties) / 10, min(1.0, 4 / n_units**0.5)
    whole = (first <= 2 * _LEVELS) | (np.abs(first - end) <= spread * end)
    return _codes(np.where(whole, first, first // _RANKS * _RANKS))


def _codes(ordered: np.ndarray) -> np.ndarray:
    """0, 1, … for the distinct values of an ordered array."""
    if not len(ordered):
        return np.zeros(0, dtype=np.int64)
    return np.concatenate([[0], np.cumsum(ordered[1:] != ordered[:-1])])


def _ties(values: np.ndarray) -> np.ndarray:
    """Ordered codes of the values: 0, 1, … for the distinct ones."""
    order = np.argsort(values, kind="stable")
    found = np.empty(len(values), dtype=np.int64)
    found[order] = _codes(values[order])
    return found


def _levels(ties: np.ndarray, most: int = _LEVELS) -> np.ndarray:
    """Ordered codes; of many rows with more distinct ones, those of levels that hold equally many rows, ties kept together."""
    if len(ties) <= _DOUBLE or ties.max() < most:
        return ties
    rows = np.bincount(ties)
    return _codes((np.cumsum(rows) - rows) * most // len(ties))[ties]


def _dtype(n_rows: int) -> Any:
    return np.float64 if n_rows <= _DOUBLE else np.float32


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    return np.divide(numerator, denominator, out=np.full(len(numerator), np.nan), where=denominator > 0)


def _together(of: Statistic, dtype: Any, most: int = _TOGETHER) -> Statistic:
    """Walk some weightings at a time, turned to (n_units, weightings), so that memory does not grow with their number."""

    def walked(weights: np.ndarray) -> np.ndarray:
        parts = max(1, -(-len(weights) // most))
        return np.concatenate(
            [of(np.ascontiguousarray(part.T, dtype=dtype)) for part in np.array_split(weights, parts)]
        )

    return walked
