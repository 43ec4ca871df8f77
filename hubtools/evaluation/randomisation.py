"""Approximate randomisation: could the two arms have swapped their predictions without anybody noticing?

If two models are equally good, then on each homology cluster it is a toss of a coin which of them made which
predictions. So the predictions of whole clusters are swapped at random between the arms and the difference of the metric
is computed anew, from the swapped predictions; how often it is as large as the observed one is the p-value (Noreen,
"Computer-Intensive Methods for Testing Hypotheses", 1989). Nothing is assumed of the metric or of a distribution. The
runs are what they are: it is a test of the question ``weights``.

Swaps need no code of a metric: the predictions of both arms are put under each other, each with units of its own, and an
arm after swapping is a weighting by 0 and 1 of that table.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from hubtools.evaluation.assays import AssayUnits, assay_statistic, assay_units
from hubtools.evaluation.metrics import statistic
from hubtools.evaluation.predictions import Assays, Predictions
from hubtools.evaluation.ranking import Statistic
from hubtools.evaluation.resampling import MIN_UNITS, blocks, bootstrap_units
from hubtools.evaluation.sameness import other_rows
from hubtools.evaluation.thresholds import decide
from hubtools.specs.task import Task


def randomisation_p(
    task: Task,
    baseline_predictions: Sequence[Predictions],
    baseline_thresholds: Sequence[list[float] | None],
    candidate_predictions: Sequence[Predictions],
    candidate_thresholds: Sequence[list[float] | None],
    *,
    metric: str | None = None,
    replicates: int = 10_000,
    seed: int = 0,
) -> float | None:
    """Two-sided p-value of "the two arms' runs are equally good".

    What is swapped is what the bootstrap draws: clusters, else proteins; of variants proteins, else variants within
    their assay. All runs of an arm are swapped at once, in pairs by order where both arms have equally many; else every
    run of one is paired with every run of the other, which leaves the unswapped difference the difference of the means
    too. Decisions are those of each run's own thresholds.

    Pairs of proteins depend on each other through the proteins they share, and whoever swaps some must swap all that
    hang together: the connected parts of the graph of pairs. Swapping pair by pair would pretend that they are
    independent, and tossing a coin for each protein leaves it open whose a pair with two different tosses is. Most data
    sets hang together as one great part; where parts are not worth twenty of equal size there is no test (None), and the
    bootstrap's p-value remains.

    Args:
        task: the task.
        baseline_predictions, candidate_predictions: of each run on one split, the same rows in the same order.
        baseline_thresholds, candidate_thresholds: of each run, as it chose them on validation.
        metric: by default the task's primary one.
        replicates: random swaps; the smallest p-value is 1 / (replicates + 1).
        seed: of the swaps.

    Returns:
        The p-value; None where there is no test: fewer than two units, an undefined metric, pairs that hang together.

    Raises:
        ValueError: the runs do not have the same rows in the same order.
    """
    name = metric or task.metrics.primary
    before = list(zip(baseline_predictions, baseline_thresholds, strict=True))
    after = list(zip(candidate_predictions, candidate_thresholds, strict=True))
    first = before[0][0]
    for predictions, _ in [*before, *after]:
        if other_rows(first, predictions) is not None:
            raise ValueError("the runs were scored on different rows")
    if first.proteins is not None and not _worth(_parts(first)):
        return None
    if len(before) == len(after):
        paired = list(zip(before, after, strict=True))
    else:
        paired = [(one, other) for one in before for other in after]
    n_units, statistics = 0, []
    for (one, one_thresholds), (other, other_thresholds) in paired:
        of, n_units = _swapping(task, name, one, one_thresholds, other, other_thresholds)
        statistics.append(of)
    if n_units < 2:
        return None

    def difference(swapped: np.ndarray) -> np.ndarray:
        """Candidate less baseline after swapping: (R, n_units) of 0 and 1 -> (R,)."""
        kept = 1 - swapped
        baseline, candidate = np.concatenate([kept, swapped], axis=1), np.concatenate([swapped, kept], axis=1)
        return np.mean([of(candidate) - of(baseline) for of in statistics], axis=0)

    observed = abs(float(difference(np.zeros((1, n_units), dtype=np.int64))[0]))
    if math.isnan(observed):
        return None
    rng = np.random.default_rng(seed)
    as_large = 0
    for rows in blocks(replicates, 2 * n_units):
        block = len(range(*rows.indices(replicates)))
        found = np.abs(difference(rng.integers(0, 2, size=(block, n_units))))
        # Sums of the same numbers in another order; and what is undefined speaks for nobody.
        as_large += int((~(found < observed - 1e-12 * max(1.0, observed))).sum())
    return (1 + as_large) / (1 + replicates)


def _swapping(
    task: Task,
    metric: str,
    one: Predictions,
    one_thresholds: list[float] | None,
    other: Predictions,
    other_thresholds: list[float] | None,
) -> tuple[Statistic, int]:
    """The metric of (R, 2 n_units) multiplicities, first of units of the one run and then of the other, and n_units."""
    if one.assays is not None:
        units = assay_units(one)
        proteins_swap = units.strata is None
        # A protein is swapped with all its assays: those of the other run are of another protein, in the same category.
        both = _stacked(one, _renamed(other) if proteins_swap else other)
        strata = None if units.strata is None else np.tile(units.strata, 2)
        doubled = AssayUnits(2 * units.n_units, strata, units.described)
        return assay_statistic(metric, task, both, doubled), units.n_units
    decisions = [decide(task, one, one_thresholds), decide(task, other, other_thresholds)]
    hard = [decision for decision in decisions if decision is not None]
    codes, n_units, _ = bootstrap_units(one)
    if one.proteins is not None:
        codes, n_units = _parts(one)
    codes = np.concatenate([codes, codes + n_units])
    decision = np.concatenate(hard) if hard else None
    return statistic(metric, _stacked(one, other), decision, codes, 2 * n_units, task.positive_index), n_units


def _parts(pairs: Predictions) -> tuple[np.ndarray, int]:
    """Which pairs hang together through the units of their proteins: the part of each row, and how many parts."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    units, n_units, _ = bootstrap_units(pairs)
    graph = coo_array((np.ones(len(units)), units.T), shape=(n_units, n_units))
    n_parts, part = connected_components(graph, directed=False)
    return part[units[:, 0]].astype(np.int64), int(n_parts)


def _worth(parts: tuple[np.ndarray, int]) -> bool:
    """Whether the parts, weighted by their rows, are worth at least twenty of equal size (Kish's effective number)."""
    sizes = np.bincount(parts[0], minlength=parts[1]).astype(np.float64)
    return bool(sizes.sum() ** 2 >= MIN_UNITS * (sizes**2).sum() > 0)


def _stacked(one: Predictions, other: Predictions) -> Predictions:
    """The rows of both, one run's under the other's."""

    def put(first: np.ndarray | None, second: np.ndarray | None) -> np.ndarray | None:
        return None if first is None or second is None else np.concatenate([first, second])

    def needed(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        return np.concatenate([first, second])

    assays = None
    if one.assays is not None and other.assays is not None:
        first, second = one.assays, other.assays
        assays = Assays(
            needed(first.group, second.group),
            needed(first.protein, second.protein),
            needed(first.category, second.category),
            put(first.active, second.active),
        )
    return Predictions(
        problem=one.problem,
        ids=needed(one.ids, other.ids),
        positions=put(one.positions, other.positions),
        clusters=put(one.clusters, other.clusters),
        truth=needed(one.truth, other.truth),
        scores=needed(one.scores, other.scores),
        assays=assays,
        proteins=put(one.proteins, other.proteins),
    )


def _renamed(variants: Predictions) -> Predictions:
    """The same variants of proteins and assays of other names."""
    assays = variants.assays
    assert assays is not None
    apart = Assays(
        np.char.add(assays.group, " of the other run"),
        np.char.add(assays.protein, " of the other run"),
        assays.category,
        assays.active,
    )
    return replace(variants, assays=apart)
