"""Which arms may be the best: a set that holds the true best with 95 %, over all rows at once, whoever leads.

Multiple comparison with the best (Hsu, "Multiple Comparisons", 1996), by bootstrap as in Mogstad, Romano, Shaikh & Wilhelm,
"Inference for ranks", Review of Economic Studies 2024. Row i is out where some other is too far above it: with d the
difference of two rows, its standard error and degrees of freedom as in a comparison of the two
(:func:`hubtools.evaluation.statistics.difference.pair_chance`),

    g_ij = normal score of the one-sided t-test of d_ij,    G_i = max over j of g_ij

and row i is out where G_i is beyond the quantile of the same maximum of centred draws: resampled clusters, the same for all
rows, and normal chance between seeds. Of the true best no d_ij is positive in truth, so it is out in 5 % of cases at most. A
row of three seeds and more is its recipe; a row of fewer is its very weights.

Rows that are far below row i cannot be what puts it out, and shall not raise its quantile: those are left out of it which
are below at a small level, the rest of the 5 % is the quantile's (the two steps of Romano, Shaikh & Wolf, Econometrica 82,
2014). At last every row above a row of the set is put into it: that only enlarges it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hubtools.evaluation.statistics.difference import (
    CONFIDENCE,
    MIN_SEEDS,
    ROUNDING,
    Chance,
    PairChance,
    Question,
    arm_chance,
    pair_chance,
)
from hubtools.evaluation.statistics.resampled import Resampled

# Of the 5 %: for saying of rows that they are far below, and for what such a row could do after all.
_SCREEN = 0.005
# Rows that every other is held against first: who is hopelessly behind one of them needs nothing exact.
_LEADERS = 8
# Rows whose draws, and whose pairs, are held at once.
_BLOCK, _TOGETHER = 128, 16


def question_of(first: Resampled, second: Resampled) -> Question:
    """``recipe`` where both arms have the seeds for it, else ``weights``: the weights of these very runs."""
    return Question.RECIPE if min(len(first.seeds), len(second.seeds)) >= MIN_SEEDS else Question.WEIGHTS


def best_set(arms: Sequence[Resampled], seed: int = 0) -> np.ndarray:
    """(N,) whether an arm may be the best.

    An arm that is undefined in too many replicates to be compared cannot be told from the best.

    Args:
        arms: of one metric, resampled alike, each with a score.
        seed: of the draws between seeds.

    Raises:
        ValueError: the arms were not resampled alike.
    """
    if len({(arm.metric, arm.units.digest, arm.drawn.shape[1]) for arm in arms}) > 1:
        raise ValueError("the arms are of different metrics or rows, or were resampled a different number of times")
    if not arms:
        return np.zeros(0, dtype=bool)
    sign = 1.0 if arms[0].higher_is_better else -1.0
    values = sign * np.array([arm.values.mean() for arm in arms])
    compared, kept = _defined(arms)
    found = ~compared
    if compared.any():
        order = np.flatnonzero(compared)[np.argsort(-values[compared], kind="stable")]
        rows = _Rows.of([arms[index] for index in order], kept, sign)
        found[order[: _lowest(rows, seed) + 1]] = True
    return values >= values[found].min()


def best_of_draws(
    values: np.ndarray, drawn: np.ndarray, degrees: float, resolution: float, seed: int = 0
) -> np.ndarray:
    """(N,) whether a row may be the best, from draws that hold all the chance there is.

    Args:
        values: (N,) larger is better.
        drawn: (R, N) draws of them.
        degrees: of freedom of a variance over what was drawn.
        resolution: variance of a value that the draws need not show.
        seed: of its draws.
    """
    order, units = np.argsort(-values, kind="stable"), degrees + 1
    means = (drawn - drawn.mean(axis=0)).T[order] * np.sqrt(units / degrees / (len(drawn) - 1))
    same = np.ones(len(values))
    chance = Chance((means**2).sum(axis=1), 0 * same, resolution * same, degrees * same, same)
    last = _lowest(_Rows(values[order], means, chance, [], degrees), seed)
    return values >= values[order[last]]


def _lowest(rows: _Rows, seed: int) -> int:
    """Place of the last row that may be the best."""
    from scipy.special import ndtr

    n = len(rows.values)
    # Of two rows none is far below both.
    level, screen = (1 - CONFIDENCE - _SCREEN, _SCREEN / 2 / (n - 1)) if n > 2 else (1 - CONFIDENCE, 0.0)
    leaders = np.arange(min(_LEADERS, n))
    behind = -rows.scores(leaders, rows.pairs(leaders)).min(axis=0)
    # No quantile of a maximum is beyond Bonferroni's.
    places = np.flatnonzero(ndtr(-behind) > level / max(n - 1, 1))
    near = rows.reach(int(places[-1]), screen)
    if len(near) < n / 2:
        rows = rows.cut(near)
    return max(0, rows.lowest(places, _Draws(rows, seed), level, screen))


def _defined(arms: Sequence[Resampled]) -> tuple[np.ndarray, np.ndarray]:
    """Which arms can be compared, and the (R,) replicates in which all of these are defined, at least half of them."""
    defined = [~np.isnan(arm.drawn).any(axis=0) for arm in arms]
    kept, replicates = np.ones(arms[0].drawn.shape[1], dtype=bool), arms[0].drawn.shape[1]
    compared = np.zeros(len(arms), dtype=bool)
    for index in np.argsort([-of.sum() for of in defined], kind="stable"):
        common = kept & defined[index]
        if common.sum() < 2 or 2 * common.sum() < replicates:
            break
        kept, compared[index] = common, True
    return compared, kept


def _normal_scores(gains: np.ndarray, error: np.ndarray, degrees: np.ndarray) -> np.ndarray:
    """Normal scores of t-tests; infinite where a difference has no chance in it."""
    from scipy.special import ndtri, stdtr

    moving = error > ROUNDING
    # The small tail keeps its digits.
    scores = ndtri(stdtr(degrees, -np.abs(gains) / np.where(moving, error, 1.0)))
    certain = np.where(np.abs(gains) > ROUNDING, np.inf, 0.0)
    return np.sign(gains) * np.where(moving, -scores, certain)


@dataclass(frozen=True, eq=False)
class _Sort:
    """Arms of the same seeds.

    Attributes:
        rows: (n,) which of all these are.
        runs: (n, k * R) their centred replicates, in units in which inner products are k times mean covariances.
        values: (n, k) their centred scores, likewise of k - 1.
    """

    rows: np.ndarray
    runs: np.ndarray
    values: np.ndarray


@dataclass(frozen=True, eq=False)
class _Rows:
    """N arms, best first.

    Attributes:
        values: (N,) mean scores, larger is better.
        means: (N, R) centred mean replicates, in units in which their inner products are covariances.
        chance: of each arm.
        sorts: those with seeds enough for the recipe, by their seeds.
        unit_degrees: degrees of freedom of a variance over the units.
    """

    values: np.ndarray
    means: np.ndarray
    chance: Chance
    sorts: list[_Sort]
    unit_degrees: float

    @classmethod
    def of(cls, arms: Sequence[Resampled], kept: np.ndarray, sign: float) -> _Rows:
        """Arms, best first, over the replicates that are kept."""
        units, whole, replicates = arms[0].units, bool(kept.all()), int(kept.sum())
        scale = np.sqrt((units.degrees + 1) / units.degrees / (replicates - 1))
        means, chances = np.empty((len(arms), replicates)), []
        sorts: dict[tuple[int, ...], list[tuple[int, np.ndarray]]] = {}
        for index, arm in enumerate(arms):
            drawn = arm.drawn if whole else arm.drawn[:, kept]
            drawn = (drawn - drawn.mean(axis=1, keepdims=True)) * (sign * scale)
            means[index] = drawn.mean(axis=0)
            question = question_of(arm, arm)
            chances.append(arm_chance(drawn @ drawn.T, arm.values, question))
            if question is Question.RECIPE:
                sorts.setdefault(arm.seeds, []).append((index, drawn.astype(np.float32).ravel()))
        names = ("clusters", "own", "between", "degrees", "runs")
        scores = [arm.values - arm.values.mean() for arm in arms]
        return cls(
            np.array([sign * arm.values.mean() for arm in arms]),
            means,
            Chance(*(np.array([getattr(one, name) for one in chances], dtype=np.float64) for name in names)),
            [
                _Sort(np.array(rows), np.stack(runs), np.stack([scores[row] for row in rows]))
                for rows, runs in (zip(*members, strict=True) for members in sorts.values())
            ],
            units.degrees,
        )

    def cut(self, rows: np.ndarray) -> _Rows:
        """Some of the rows, in the same order."""
        sorts = []
        for of in self.sorts:
            there = np.isin(of.rows, rows)
            sorts.append(_Sort(np.searchsorted(rows, of.rows[there]), of.runs[there], of.values[there]))
        chance = Chance(*(of[rows] for of in vars(self.chance).values()))
        return _Rows(self.values[rows], self.means[rows], chance, sorts, self.unit_degrees)

    def pairs(self, which: np.ndarray) -> PairChance:
        """Of the differences between some rows and all, each (n, N)."""
        same_seed = np.full((len(which), len(self.values)), np.nan)
        paired = same_seed.copy()
        for of in self.sorts:
            asked, places = np.nonzero(which[:, None] == of.rows)
            if not len(asked):
                continue
            k = of.values.shape[1]
            where = np.ix_(asked, of.rows)
            same_seed[where] = of.runs[places] @ of.runs.T / k
            spread = (of.values**2).sum(axis=1)
            paired[where] = (spread[places, None] + spread - 2 * of.values[places] @ of.values.T) / (k - 1)
        mine, theirs = (
            Chance(*(of[index] for of in vars(self.chance).values()))
            for index in ((which, np.newaxis), (np.newaxis, slice(None)))
        )
        return pair_chance(mine, theirs, self.means[which] @ self.means.T, same_seed, paired, self.unit_degrees)

    def scores(self, which: np.ndarray, found: PairChance) -> np.ndarray:
        """(n, N) by how much each row is above some, as normal scores."""
        gains = self.values - self.values[which, None]
        return _normal_scores(gains, found.error, found.degrees)

    def reach(self, last: int, screen: float) -> np.ndarray:
        """Places of the rows down to one, and of those below that are not far below all of these, by generous errors."""
        from scipy.special import stdtr

        error = np.sqrt((self.means**2).sum(axis=1) + self.chance.between / self.chance.runs)
        degrees = np.minimum(self.chance.degrees, self.unit_degrees)
        above = slice(0, last + 1)
        with np.errstate(invalid="ignore", divide="ignore"):
            halves = (self.values - self.values[last]) / (error[above].max() + error) / 2
        far = stdtr(np.minimum(degrees, degrees[above].min()), halves) <= screen
        far[above] = False
        return np.flatnonzero(~far)

    def lowest(self, places: np.ndarray, draws: _Draws, level: float, screen: float) -> int:
        """The lowest of some places, best first, whose row is in the set; -1 where none is."""
        from scipy.special import stdtr

        for end in range(len(places), 0, -_TOGETHER):
            block = places[max(0, end - _TOGETHER) : end]
            found = self.pairs(block)
            scores = self.scores(block, found)
            scores[np.arange(len(block)), block] = -np.inf
            with np.errstate(invalid="ignore", divide="ignore"):
                halves = (self.values - self.values[block, None]) / found.error / 2
            near = ~(stdtr(found.degrees, halves) <= screen)
            near[np.arange(len(block)), block] = False
            for index in reversed(range(len(block))):
                if draws.share(int(block[index]), np.flatnonzero(near[index]), scores[index].max(), level) > level:
                    return int(block[index])
        return -1


class _Draws:
    """Centred draws of the rows' scores: their replicates, and normal chance between seeds that these do not hold."""

    def __init__(self, rows: _Rows, seed: int) -> None:
        replicates = rows.means.shape[1]
        self.of = (rows.means * np.sqrt(replicates - 1)).astype(np.float32)
        rng = np.random.default_rng(seed)
        rest = np.sqrt(np.maximum(rows.chance.between - rows.chance.own, 0) / rows.chance.runs).astype(np.float32)
        for index in np.flatnonzero(rest):
            self.of[index] += rest[index] * rng.standard_normal(replicates, dtype=np.float32)

    def share(self, row: int, others: np.ndarray, score: float, enough: float) -> float:
        """Share of draws in which some other row is as far above this one, in standard errors; or what is more than enough."""
        most = np.full(self.of.shape[1], -np.inf, dtype=np.float32)
        for start in range(0, len(others), _BLOCK):
            ahead = self.of[others[start : start + _BLOCK]] - self.of[row]
            ahead -= ahead.mean(axis=1, keepdims=True)
            spread = np.sqrt(np.einsum("ij,ij->i", ahead, ahead) / (ahead.shape[1] - 1))
            moving = spread > ROUNDING
            np.maximum(most, (ahead[moving] / spread[moving, None]).max(axis=0, initial=-np.inf), out=most)
            if (share := float((most >= score).mean())) > enough:
                break
        return share if len(others) else float(score <= 0)
