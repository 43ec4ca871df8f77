"""Who stands where, and who cannot be told apart: tie groups, mean rank, Borda score and improvability.

A tie group has a leader, the best of those that are in no group yet, and all whose difference to it has a 95 % interval
that covers 0. The leader is chosen by the data, so a group says which pairs with the leader the data do not separate. It
does not say that its members are equal, and two of them may well be separable from each other.

Over tasks, ranks are used and scores are never averaged. The intervals are of a bootstrap over tasks, clusters and seeds:
in each replicate tasks are drawn with replacement; each drawn task takes one of its kept resamplings of clusters, the same
for all rows; and each row draws its seeds with replacement. Resampling runs as well as clusters counts a run's own
variation over clusters twice and so errs to the wide side (Owen, Ann. Appl. Stat. 1, 2007). Improvability is that of
TabArena (Erickson et al., 2025).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from hubtools.evaluation.comparison import CONFIDENCE, MIN_SEEDS, Question, difference
from hubtools.evaluation.resampled import Resampled

# Where the worse of two is ahead in fewer or more replicates than this, the interval needs no computing: the exact
# border is 2.5 %. What lies between is left to the comparison itself.
_CLEAR, _TIED = 0.01, 0.06
# An interval never reaches further than this many standard errors of both: a t-interval with two degrees of freedom
# reaches 4.3, and a percentile 6.2 at the very most (Cantelli).
_FAR = 6.3

Separable = Callable[[int, np.ndarray], np.ndarray]


def groups(order: Sequence[int] | np.ndarray, separable: Separable) -> dict[int, tuple[int, int]]:
    """Tie groups.

    Args:
        order: what is grouped, best first.
        separable: leader, (n,) others -> (n,) whether each is told from the leader.

    Returns:
        Of each: its group, from 1, and the leader of the group.
    """
    found: dict[int, tuple[int, int]] = {}
    rest, number = np.asarray(order, dtype=int), 0
    while len(rest):
        leader, others, number = int(rest[0]), rest[1:], number + 1
        told = separable(leader, others) if len(others) else np.zeros(0, dtype=bool)
        found[leader] = (number, leader)
        found |= {int(tied): (number, leader) for tied in others[~told]}
        rest = others[told]
    return found


def question_of(first: Resampled, second: Resampled) -> Question:
    """``recipe`` where both arms have the seeds for it, else ``weights``: the weights of these very runs."""
    return Question.RECIPE if min(len(first.seeds), len(second.seeds)) >= MIN_SEEDS else Question.WEIGHTS


def tie_groups(arms: Sequence[Resampled]) -> list[tuple[int, int]]:
    """Group of each arm and its leader, by the differences to the leader.

    Args:
        arms: of one metric, resampled alike, each with a score.

    Raises:
        ValueError: the arms were not resampled alike.
    """
    if not arms:
        return []
    sign = 1.0 if arms[0].higher_is_better else -1.0
    values = sign * np.array([arm.values.mean() for arm in arms])
    drawn = sign * np.stack([arm.drawn.mean(axis=0) for arm in arms])
    seeds = np.array([len(arm.seeds) for arm in arms])
    reach = _FAR * np.array([_spread(arm) for arm in arms])
    of_seeds = np.array([_of_seeds(arm) for arm in arms])

    def separable(leader: int, others: np.ndarray) -> np.ndarray:
        told = values[leader] - values[others] > reach[leader] + reach[others]
        asked = np.flatnonzero(~told)
        unclear = np.ones(len(asked), dtype=bool)
        if drawn.shape[1]:
            behind = (drawn[others[asked]] >= drawn[leader]).mean(axis=1)
            fewest = np.minimum(seeds[leader], seeds[others[asked]])
            by_weights = fewest < MIN_SEEDS
            whole = ~(np.isnan(drawn[leader]).any() | np.isnan(drawn[others[asked]]).any(axis=1))
            clear = by_weights & whole & (behind < _CLEAR)
            if (by_recipe := whole & ~by_weights).any():
                error = np.hypot(
                    (drawn[others[asked]] - drawn[leader]).std(axis=1), of_seeds[leader] + of_seeds[others[asked]]
                )
                clear |= by_recipe & (values[leader] - values[others[asked]] > 1.1 * _t_quantiles(fewest - 1) * error)
            unclear = ~(clear | (by_weights & whole & (behind > _TIED) & (behind < 0.5)))
            told[asked[clear]] = True
        for place in asked[unclear]:
            first, second = arms[leader], arms[int(others[place])]
            found = difference(second, first, question_of(first, second))
            told[place] = found.low is not None and found.high is not None and not found.low <= 0 <= found.high
        return told

    found = groups(sorted(range(len(arms)), key=lambda i: -values[i]), separable)
    return [found[index] for index in range(len(arms))]


def _spread(arm: Resampled) -> float:
    """A generous standard error of an arm's mean: clusters, and between its seeds. Infinite where there is none."""
    kept = arm.drawn[:, ~np.isnan(arm.drawn).any(axis=0)]
    if kept.shape[1] < 2 or 2 * kept.shape[1] < arm.drawn.shape[1]:
        return np.inf
    between = arm.values.std(ddof=1) if len(arm.values) > 1 else 0.0
    return float(kept.std(axis=1).max() + between)


def _of_seeds(arm: Resampled) -> float:
    """A generous standard error of an arm's mean from its seeds: as they scored, or as their replicates differ."""
    k = len(arm.values)
    if k < MIN_SEEDS or arm.drawn.shape[1] < 2:
        return 0.0
    own = max(0.0, float(arm.drawn.var(axis=1).mean() - arm.drawn.mean(axis=0).var())) * k / (k - 1)
    return float(np.sqrt(max(arm.values.var(ddof=1), own) / k))


def _t_quantiles(degrees: np.ndarray) -> np.ndarray:
    """Of the two-sided interval; with the fewest degrees of freedom that a comparison can have it is the widest."""
    from scipy.stats import t

    different, place = np.unique(np.maximum(degrees, 1), return_inverse=True)
    return t.ppf((1 + CONFIDENCE) / 2, different)[place]


@dataclass(frozen=True, eq=False)
class TaskScores:
    """What the rows of an overall table scored on one task.

    Attributes:
        values: of each of N rows, (k,) scores of its seeds; None where the row has no result.
        drawn: of each row, (k, R) the same under the task's resamplings, the same for all rows; None as a whole where
            not every row kept them: then only tasks and seeds are drawn.
        higher_is_better: direction of the metric.
        bounded: whether 1 is the best score there can be, so that the error is 1 − score; else the score is the error.
    """

    values: tuple[np.ndarray | None, ...]
    drawn: tuple[np.ndarray | None, ...] | None
    higher_is_better: bool
    bounded: bool


@dataclass(frozen=True, eq=False)
class Standing:
    """N rows over T tasks.

    Attributes:
        complete: (N,) whether the row has a result on every task.
        panel: (N,) rows among which all are ranked: the complete ones, or all where fewer than two are complete.
        present: (N, T) where there is a result.
        ranks: (N, T) rank in each task, NaN where there is no result.
        mean_rank, borda, improvability: (3, N) value and the ends of its 95 % interval.
        group: of each row, 0 where it is in none (results are missing).
    """

    complete: np.ndarray
    panel: np.ndarray
    present: np.ndarray
    ranks: np.ndarray
    mean_rank: np.ndarray
    borda: np.ndarray
    improvability: np.ndarray
    group: tuple[int, ...]


def standing(tasks: Sequence[TaskScores], replicates: int = 1_000, seed: int = 0) -> Standing:
    """Rank rows over tasks.

    A missing result counts as nothing: not as zero, not as the last rank. Complete rows are ranked among themselves; a row
    with missing results is placed among the complete ones on the tasks that it has, and changes nobody's rank.

    Args:
        tasks: at least one, over the same rows.
        replicates: of the bootstrap.
        seed: of its draws.
    """
    rng = np.random.default_rng(seed)
    present = np.array([[of is not None for of in task.values] for task in tasks]).T
    complete = np.asarray(present.all(axis=1))
    panel = complete if complete.sum() >= 2 else np.ones_like(complete)
    points = [
        _measures(task, np.array([[np.nan if of is None else of.mean() for of in task.values]]), panel)
        for task in tasks
    ]
    observed = np.stack([np.concatenate(of) for of in points])  # (T, 3, N)
    chosen = rng.integers(len(tasks), size=(replicates, len(tasks)))
    sums = np.zeros((3, replicates, present.shape[0]))
    counts = np.zeros((replicates, present.shape[0]))
    for index, task in enumerate(tasks):
        where, _ = np.nonzero(chosen == index)
        if len(where):
            for total, of in zip(sums, _measures(task, _draw(task, len(where), rng), panel), strict=True):
                np.add.at(total, where, np.nan_to_num(of))
            np.add.at(counts, where, present[:, index].astype(float))
    with np.errstate(invalid="ignore", divide="ignore"):
        drawn = sums / counts
    ends = [_interval(of) for of in drawn]
    means = _mean(observed)
    result = [np.vstack([value, end]) for value, end in zip(means, ends, strict=True)]
    return Standing(
        complete=complete,
        panel=panel,
        present=present,
        ranks=observed[:, 0].T,
        mean_rank=result[0],
        borda=result[1],
        improvability=result[2],
        group=_overall_groups(means[0], drawn[0], complete),
    )


def _overall_groups(mean_rank: np.ndarray, drawn: np.ndarray, complete: np.ndarray) -> tuple[int, ...]:
    """Groups of the complete rows by the paired differences of their mean ranks."""

    def separable(leader: int, others: np.ndarray) -> np.ndarray:
        low, high = _interval(drawn[:, others] - drawn[:, [leader]])
        return (low > 0) | (high < 0)

    rows = np.flatnonzero(complete)
    found = groups(rows[np.argsort(mean_rank[rows], kind="stable")], separable) if len(rows) > 1 else {}
    return tuple(found.get(index, (0, 0))[0] for index in range(len(complete)))


def _mean(of: np.ndarray) -> np.ndarray:
    """Over tasks, of those where there is a value; NaN where there is none."""
    there = ~np.isnan(of)
    with np.errstate(invalid="ignore"):
        return np.where(there, of, 0.0).sum(axis=0) / there.sum(axis=0)


def _interval(drawn: np.ndarray) -> np.ndarray:
    """(2, N) 95 % percentile interval of (R, N) replicates; without those in which a row has no task."""
    ends = np.full((2, drawn.shape[1]), np.nan)
    quantiles = [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2]
    gaps = np.isnan(drawn).any(axis=0)
    if (~gaps).any():
        ends[:, ~gaps] = np.quantile(drawn[:, ~gaps], quantiles, axis=0)
    for column in np.flatnonzero(gaps):
        kept = drawn[~np.isnan(drawn[:, column]), column]
        if len(kept):
            ends[:, column] = np.quantile(kept, quantiles)
    return ends


def _draw(task: TaskScores, n: int, rng: np.random.Generator) -> np.ndarray:
    """(n, N) scores of a task under n draws of clusters, the same for all rows, and of seeds; NaN where missing."""
    resampling = None
    if task.drawn is not None:
        kept = [of for of in task.drawn if of is not None]
        defined = np.flatnonzero(~np.any([np.isnan(of).any(axis=0) for of in kept], axis=0))
        resampling = rng.choice(defined, size=n) if len(defined) else None
    scores = np.full((n, len(task.values)), np.nan)
    for row, values in enumerate(task.values):
        if values is None:
            continue
        seeds = rng.integers(len(values), size=(n, len(values)))
        of = task.drawn[row] if task.drawn is not None else None
        scores[:, row] = (
            values[seeds].mean(axis=1)
            if resampling is None or of is None
            else of[seeds, resampling[:, None]].mean(axis=1)
        )
    return scores


def _measures(task: TaskScores, scores: np.ndarray, panel: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rank, Borda share and improvability in per cent of (n, N) scores, each (n, N); NaN where there is no score."""
    better = scores if task.higher_is_better else -scores
    ahead, level = _beaten_by(better, panel)
    # A row outside of the panel does not meet itself there.
    rivals = (panel & ~np.isnan(scores[0])).sum() - panel
    rank = 1 + ahead + level / 2
    borda = (rivals - ahead - level / 2) / np.maximum(rivals, 1)
    error = 1 - scores if task.bounded else scores
    there = ~np.isnan(error[0])
    improvable = np.full_like(error, np.nan)
    if there.any():
        best = error[:, there].min(axis=1, keepdims=True)
        safe = np.where(error[:, there] > 0, error[:, there], 1.0)
        improvable[:, there] = 100 * np.where(error[:, there] > 0, (error[:, there] - best) / safe, 0.0)
    missing = np.isnan(scores)
    return np.where(missing, np.nan, rank), np.where(missing, np.nan, borda), improvable


def _beaten_by(better: np.ndarray, panel: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How many rows of the panel are ahead of each row, and how many others are level with it; both (n, N)."""
    ahead, level = np.zeros_like(better), np.zeros_like(better)
    reference = np.flatnonzero(panel & ~np.isnan(better[0]))
    for draw in range(len(better)):
        ordered = np.sort(better[draw, reference])
        up_to = np.searchsorted(ordered, better[draw], side="right")
        ahead[draw] = len(ordered) - up_to
        level[draw] = up_to - np.searchsorted(ordered, better[draw], side="left") - panel
    return ahead, level
