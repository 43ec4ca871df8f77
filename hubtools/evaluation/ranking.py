"""Rank statistics under many weightings at once: AUROC, average precision, Spearman's ρ, NDCG.

Each function sorts the rows once and returns a function from weights, (R, n_units) multiplicities of the units that
rows belong to, to (R,) values. A weighting is then running sums along the sorted rows
(:mod:`hubtools.evaluation.running`), so a bootstrap replicate never sorts again. A row of weight 2 counts exactly as if it were in the data twice; rows of
equal score are tied, whatever their order. NaN where a statistic is not defined.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from hubtools.evaluation.running import RunningSums, in_blocks

Statistic = Callable[[np.ndarray], np.ndarray]

# Elements of one working array (1 MiB): a few of them stay in a core's cache.
_BLOCK = 2**17
# Rows of transposed weights gathered at once; and fewer, where several arrays of them are in use.
_ROWS = 2**10
_FEW = 2**8


def auroc(positive: np.ndarray, scores: np.ndarray, units: np.ndarray) -> Statistic:
    """Area under the ROC curve: how often a positive row scores above a negative one, ties counting half.

    Args:
        positive: (n,) bool.
        scores: (n,) higher means more likely positive.
        units: (n,) unit of each row.

    Returns:
        Weights to values; NaN without a positive or without a negative.
    """
    high, high_units, low, low_units = _sorted_by_truth(positive, scores, units)
    below, through = np.searchsorted(low, high, "left"), np.searchsorted(low, high, "right")
    # Positive rows with the same negatives below them, and tied with them, are one threshold.
    new = np.append(True, (np.diff(below) > 0) | (np.diff(through) > 0))[: len(high)]
    threshold, n_thresholds = np.cumsum(new) - 1, int(new.sum())
    # Each negative counts once from where it is below or tied, once from where it is below.
    joins = [np.searchsorted(counted[new], np.arange(len(low)), "right") for counted in (below, through)]
    twice_below = RunningSums(np.concatenate(joins), np.tile(low_units, 2), n_thresholds)
    positives = RunningSums(threshold, high_units, n_thresholds)

    def of(weights: np.ndarray) -> np.ndarray:
        wins = np.zeros(weights.shape[1])
        for beaten, found in zip(twice_below.of(weights), positives.of(weights), strict=True):
            wins += np.einsum("tr,tr->r", np.diff(found, axis=0).astype(np.float64), beaten[1:].astype(np.float64))
        return _ratio(wins / 2, _weight(weights, high_units) * _weight(weights, low_units))

    return in_blocks(of, units)


def average_precision(positive: np.ndarray, scores: np.ndarray, units: np.ndarray) -> Statistic:
    """Area under the precision–recall curve as average precision: Σ (recall step) × precision, no interpolation.

    Arguments as of :func:`auroc`.

    Returns:
        Weights to values; NaN without a positive or without a negative.
    """
    high, high_units, low, low_units = _sorted_by_truth(positive, -scores, units)
    new = np.append(True, high[1:] != high[:-1])[: len(high)]
    threshold, n_thresholds = np.cumsum(new) - 1, int(new.sum())
    # At the threshold of each distinct positive score: how many rows of either truth are called positive.
    called_low = np.searchsorted(low, high[new], "right")
    positives = RunningSums(threshold, high_units, n_thresholds)
    negatives = RunningSums(np.searchsorted(called_low, np.arange(len(low)), "right"), low_units, n_thresholds)

    def of(weights: np.ndarray) -> np.ndarray:
        area = np.zeros(weights.shape[1])
        for true, false in zip(positives.of(weights), negatives.of(weights), strict=True):
            # Nothing called at a threshold means no step in recall there: the precision does not matter.
            called = np.maximum(true[1:] + false[1:], 1e-30)
            precision = np.divide(true[1:], called, dtype=np.float64)
            area += np.einsum("tr,tr->r", np.diff(true, axis=0).astype(np.float64), precision)
        area = _ratio(area, _weight(weights, high_units))
        return np.where(_weight(weights, low_units) > 0, area, np.nan)

    return in_blocks(of, units)


def spearman(x: np.ndarray, y: np.ndarray, units: np.ndarray) -> Statistic:
    """Spearman's ρ: Pearson's r of the ranks, tied values sharing their mean rank.

    Args:
        x: (n,) values.
        y: (n,) values.
        units: (n,) unit of each row.

    Returns:
        Weights to values; NaN where x or y is constant.
    """
    by_x = np.argsort(x, kind="stable")
    x, y, units = x[by_x], y[by_x], units[by_x]
    group_x, n_x = _ties(x)
    group_y, n_y = _ties(y)
    sums_x, sums_y = RunningSums(group_x, units, n_x), RunningSums(group_y, units, n_y)
    squares_x, squares_y = _squares(group_x, n_x, units), _squares(group_y, n_y, units)

    def of(weights: np.ndarray) -> np.ndarray:
        total = _weight(weights, units)
        # Weight below a value plus weight up to and with it: twice the mean rank, less one. Its mean is the total weight.
        ranks_y, done = np.empty((n_y, len(total)), dtype=weights.dtype), 0
        for sums in sums_y.of(weights):
            centred = sums[1:] + sums[:-1] - total.astype(weights.dtype)
            ranks_y[done : done + len(centred)] = centred
            done += len(centred)
        products, done = np.zeros(len(total)), 0
        for sums in sums_x.of(weights):
            ranks_x = (sums[1:] + sums[:-1]).astype(np.float64)
            ranks_x -= total
            first, last = np.searchsorted(group_x, (done, done + len(ranks_x)))
            for start in range(first, last, _ROWS):
                rows = slice(start, min(start + _ROWS, last))
                weighted = np.take(weights, units[rows], axis=0).astype(np.float64)
                weighted *= np.take(ranks_y, group_y[rows], axis=0)
                of_x = ranks_x if last - first == len(ranks_x) <= _ROWS else ranks_x[group_x[rows] - done]
                products += np.einsum("tr,tr->r", weighted, of_x)
            done += len(ranks_x)
        return _ratio(products, np.sqrt(squares_x(weights, total)) * np.sqrt(squares_y(weights, total)))

    return in_blocks(of, units, held=n_y)


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
    by_score = np.argsort(-scores, kind="stable")
    gains, units_by_score = truth[by_score], units[by_score]
    ordered = scores[by_score]
    # Where each run of tied scores starts, and the end of the last.
    ties = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1]))
    ties = np.append(ties, len(ordered))
    by_truth = np.argsort(-truth, kind="stable")
    ideal, units_by_truth = truth[by_truth], units[by_truth]

    def of(weights: np.ndarray) -> np.ndarray:
        counts = _cumulated(weights, units_by_score)
        n = np.rint(counts[:, -1]).astype(np.int64)
        top = np.maximum(n // 10, 1)
        discounts = np.zeros(int(n.max(initial=0)) + 1)
        discounts[1:] = np.cumsum(1 / np.log2(np.arange(2, len(discounts) + 1)))

        def discounted(counts: np.ndarray) -> np.ndarray:
            """Discounts of all ranks up to each of these counts of rows: (R, m)."""
            return discounts[np.minimum(np.rint(counts).astype(np.int64), top[:, None])]

        weighted = np.zeros_like(counts)
        np.cumsum(np.take(weights, units_by_score, axis=1) * gains, axis=1, out=weighted[:, 1:])
        rows, sums = np.diff(counts[:, ties], axis=1), np.diff(weighted[:, ties], axis=1)
        gained = np.einsum("rg,rg->r", np.diff(discounted(counts[:, ties]), axis=1), sums / np.maximum(rows, 1))
        ideal_counts = _cumulated(weights, units_by_truth)
        possible = np.diff(discounted(ideal_counts), axis=1) @ ideal
        # Scaling gains to 0 and 1 takes the least value off both sums; the range cancels in their ratio.
        present = np.take(weights, units_by_truth, axis=1) > 0
        least = ideal[present.shape[1] - 1 - np.argmax(present[:, ::-1], axis=1)]
        largest = ideal[np.argmax(present, axis=1)]
        off = least * discounted(counts[:, -1:])[:, 0]
        return np.where(largest > least, _ratio(gained - off, possible - off), np.nan)

    return _blocked(of, len(scores))


def _sorted_by_truth(
    positive: np.ndarray, scores: np.ndarray, units: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Ascending scores of positive rows and their units, then of negative rows."""
    order = np.argsort(scores, kind="stable")
    scores, units, positive = scores[order], units[order], positive[order]
    return scores[positive], units[positive], scores[~positive], units[~positive]


def _ties(values: np.ndarray) -> tuple[np.ndarray, int]:
    """Number of each value among the distinct ones, ascending, and how many these are."""
    distinct, groups = np.unique(values, return_inverse=True)
    return groups.reshape(-1), len(distinct)


def _squares(groups: np.ndarray, n_groups: int, units: np.ndarray) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Sum of squares of the centred doubled ranks: (N³ - Σ t³) / 3 for N rows in ties of t (Kendall 1945).

    Written as Σ t (N - t) (N + t) / 3, which is exactly 0 where all rows are tied.

    Returns:
        A function from transposed weights (n_units, R) and their totals (R,) to (R,).
    """
    from scipy.sparse import csr_array

    alone = np.bincount(groups, minlength=n_groups)[groups] == 1
    single = np.bincount(units[alone], minlength=1).astype(np.float64)
    tied, rows = np.unique(groups[~alone], return_inverse=True)
    shape = (len(tied), int(units.max(initial=0)) + 1)
    several = csr_array((np.ones(len(rows)), (rows.reshape(-1), units[~alone])), shape=shape)

    def of(weights: np.ndarray, total: np.ndarray) -> np.ndarray:
        found = np.zeros(len(total))
        for start in range(0, len(single), _FEW):
            tie = weights[start : min(start + _FEW, len(single))].astype(np.float64)
            found += single[start : start + _FEW] @ (tie * (total - tie) * (total + tie))
        for start in range(0, len(tied), _FEW):
            tie = several[start : start + _FEW] @ weights[: shape[1]]
            found += (tie * (total - tie) * (total + tie)).sum(axis=0)
        return found / 3

    return of


def _weight(weights: np.ndarray, units: np.ndarray) -> np.ndarray:
    """(R,) weight of these rows, of transposed weights (n_units, R)."""
    return np.asarray(np.bincount(units, minlength=len(weights)).astype(np.float64) @ weights)


def _cumulated(weights: np.ndarray, units: np.ndarray) -> np.ndarray:
    """Weight before each row and, last, of all rows: (R, n + 1) float64."""
    sums = np.zeros((len(weights), len(units) + 1))
    np.cumsum(np.take(weights, units, axis=1), axis=1, out=sums[:, 1:])
    return sums


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    return np.divide(numerator, denominator, out=np.full(len(numerator), np.nan), where=denominator > 0)


def _blocked(of: Statistic, n_rows: int) -> Statistic:
    """Apply a statistic to few replicates at a time, so that memory does not grow with their number."""
    block = max(1, _BLOCK // max(1, n_rows))

    def blocked(weights: np.ndarray) -> np.ndarray:
        weights = np.asarray(weights, dtype=np.float64)
        return np.concatenate([of(weights[start : start + block]) for start in range(0, len(weights), block)])

    return blocked
