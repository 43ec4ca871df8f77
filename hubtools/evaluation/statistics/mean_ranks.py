"""Who stands where over several tasks: mean rank, Borda score, improvability, and which rows may be the best.

Over tasks, ranks are used and scores are never averaged. The intervals are of a bootstrap over tasks, clusters and seeds:
in each replicate tasks are drawn with replacement; each drawn task takes one of its kept resamplings of clusters, the same
for all rows; and each row draws its seeds with replacement. Resampling runs as well as clusters counts a run's own
variation over clusters twice and so errs to the wide side (Owen, Ann. Appl. Stat. 1, 2007). Improvability is that of
TabArena (Erickson et al., 2025).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hubtools.evaluation.statistics.best_set import best_of_draws
from hubtools.evaluation.statistics.difference import CONFIDENCE

# With fewer tasks there is nothing to be told of tasks in general: being ahead on every one of four happens by luck.
ENOUGH_TASKS = 5
# Variance of a rank, of which only whole numbers are seen.
_OF_A_RANK = 1 / 12


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
class MeanRanks:
    """N rows over T tasks.

    Attributes:
        complete: (N,) whether the row has a result on every task.
        panel: (N,) rows among which all are ranked: the complete ones, or all where fewer than two are complete.
        present: (N, T) where there is a result.
        ranks: (N, T) rank in each task, NaN where there is no result.
        mean_rank, borda, improvability: (3, N) value and the ends of its 95 % interval.
        best: (N,) whether the row may have the best mean rank; not where results are missing.
    """

    complete: np.ndarray
    panel: np.ndarray
    present: np.ndarray
    ranks: np.ndarray
    mean_rank: np.ndarray
    borda: np.ndarray
    improvability: np.ndarray
    best: np.ndarray


def mean_ranks_of(tasks: Sequence[TaskScores], replicates: int = 1_000, seed: int = 0) -> MeanRanks:
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
    return MeanRanks(
        complete=complete,
        panel=panel,
        present=present,
        ranks=observed[:, 0].T,
        mean_rank=result[0],
        borda=result[1],
        improvability=result[2],
        best=_best(means[0], drawn[0], complete, len(tasks)),
    )


def _best(mean_rank: np.ndarray, drawn: np.ndarray, complete: np.ndarray, tasks: int) -> np.ndarray:
    """Which of the complete rows may have the best mean rank on other tasks, proteins and seeds."""
    found, rows = complete & (complete.sum() > 1), np.flatnonzero(complete)
    if len(rows) > 1 and tasks >= ENOUGH_TASKS:
        found[rows] = best_of_draws(-mean_rank[rows], -drawn[:, rows], tasks - 1, _OF_A_RANK / tasks)
    return found


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
