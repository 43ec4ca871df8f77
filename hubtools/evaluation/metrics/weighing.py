"""A metric under the weights of a bootstrap: what a formula reads, and how a simple function becomes one.

A metric is prepared once for some predictions and then computed for any number of weightings of the bootstrap's units
at once (:func:`statistic`). Weights of one give the value itself; multiplicities give a bootstrap replicate, equal to
the metric on the rows drawn that often.

A formula goes from :class:`Rows` to a function of (R, n_units) weights. Most need not be written so: :func:`of_counts`
makes one of a function of counts, :func:`of_moments` of one of sums, :func:`of_each_row` of a value of each row, whose
mean it is, and :func:`mean_over_outputs` of a ranking of one output.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np

from hubtools.evaluation.metrics.counting import Counts, counting, divide, moments, sum_by_unit
from hubtools.evaluation.metrics.ranking import Statistic
from hubtools.evaluation.predictions import Predictions
from hubtools.evaluation.statistics.resampling import blocks, bootstrap_units, encode, pair_weights
from hubtools.specs.metric_names import METRICS


@dataclass(frozen=True, eq=False)
class Rows:
    """What a formula reads: at least one row.

    Attributes:
        metric: its name, for messages.
        kind: classification, multilabel or regression.
        truth: (n,) classes, (n, L) of 0 and 1, or (n,) values.
        scores: (n, L) probabilities, or (n,) values.
        units: (n,) what the bootstrap draws each row with.
        n_units: how many there are.
        decision: like truth; None for regression, and where a metric reads scores.
        positive: index of the class to be detected, where the task names one.
        information: (L,) bits of each label, where they were counted in training.
        proteins: (n,) codes of the residues' proteins from 0; None where a row is no residue.
        positions: (n,) residue numbers from 1, or None.
        cleaved: indices of the classes whose stretch is cut off, where the task names them.
    """

    metric: str
    kind: str
    truth: np.ndarray
    scores: np.ndarray
    units: np.ndarray
    n_units: int
    decision: np.ndarray | None = None
    positive: int | None = None
    information: np.ndarray | None = None
    proteins: np.ndarray | None = None
    positions: np.ndarray | None = None
    cleaved: tuple[int, ...] = ()


Formula = Callable[[Rows], Statistic]


def of_counts(function: Callable[[Counts], np.ndarray]) -> Formula:
    """A formula of a function that computes (R,) values from :class:`Counts` under R weightings."""

    @functools.wraps(function)
    def formula(rows: Rows) -> Statistic:
        counts = counting(rows.truth, _decided(rows), rows.units, rows.n_units, rows.scores.shape[1])
        columns = 3 * rows.scores.shape[1]

        def of(weights: np.ndarray) -> np.ndarray:
            # Of thousands of labels the counts of all replicates would be gigabytes.
            return np.concatenate([function(counts(weights[part])) for part in blocks(len(weights), columns)])

        return of

    return formula


def of_moments(function: Callable[[np.ndarray], np.ndarray]) -> Formula:
    """A formula of a function that computes (R,) values from (R, 8) sums of :func:`moments`."""

    @functools.wraps(function)
    def formula(rows: Rows) -> Statistic:
        sums = sum_by_unit(rows.units, rows.n_units, moments(rows.truth, rows.scores.astype(np.float64)))
        return lambda weights: function(weights @ sums)

    return formula


def of_each_row(function: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Formula:
    """The mean over rows of a function of truth and decision that gives (n,) values."""

    @functools.wraps(function)
    def formula(rows: Rows) -> Statistic:
        each = np.stack([function(rows.truth, _decided(rows)), np.ones(len(rows.truth))], axis=1)
        sums = sum_by_unit(rows.units, rows.n_units, each)
        return lambda weights: divide(*(weights @ sums).T)

    return formula


def mean_over_outputs(ranking: Callable[[np.ndarray, np.ndarray, np.ndarray], Statistic], rows: Rows) -> Statistic:
    """A ranking of the positive class, or its mean over the outputs for which it is defined in each replicate.

    Args:
        ranking: from (n,) bool, (n,) scores and (n,) units to values under weights.
        rows: of a classification or of labels.
    """
    outputs: Iterable[int] = range(rows.scores.shape[1]) if rows.positive is None else [rows.positive]
    has = rows.truth.astype(bool) if rows.truth.ndim == 2 else None
    if has is not None:
        # What no row has is undefined in every replicate: of thousands of labels that is most of them.
        outputs = np.flatnonzero(has.any(axis=0))
    single = [
        ranking(rows.truth == output if has is None else has[:, output], rows.scores[:, output], rows.units)
        for output in outputs
    ]
    if not single:
        return lambda weights: np.full(len(weights), np.nan)

    def of(weights: np.ndarray) -> np.ndarray:
        # One output after another: their (R,) values are small, the arrays behind each are not.
        values = np.stack([output(weights) for output in single])
        defined = ~np.isnan(values)
        return divide(values.sum(axis=0, where=defined), defined.sum(axis=0))

    return of


def _decided(rows: Rows) -> np.ndarray:
    if rows.decision is None:
        raise ValueError(f"{rows.metric} needs hard decisions")
    return rows.decision


def replicates(
    metric: str,
    predictions: Predictions,
    decision: np.ndarray | None,
    weights: np.ndarray,
    *,
    units: np.ndarray | None = None,
    positive: int | None = None,
    cleaved: tuple[int, ...] = (),
) -> np.ndarray:
    """A metric under many weightings.

    Args:
        metric: a name of METRICS.
        predictions: truth and scores.
        decision: hard decisions, (n,) classes or (n, L) of 0 and 1; None for regression.
        weights: (R, n_units) how often each unit counts.
        units: (n,) unit of each row, or (n, 2) units of a pair's proteins; by default those of :func:`bootstrap_units`.
        positive: index of the class to be detected, for two-class tasks that name one.
        cleaved: indices of the classes whose stretch is cut off, for residue tasks that name them.

    Returns:
        (R,) float64, NaN where undefined.
    """
    codes = bootstrap_units(predictions)[0] if units is None else units
    return statistic(metric, predictions, decision, codes, weights.shape[1], positive, cleaved)(weights)


def value(
    metric: str,
    predictions: Predictions,
    decision: np.ndarray | None,
    *,
    positive: int | None = None,
    cleaved: tuple[int, ...] = (),
) -> float | None:
    """A metric of the predictions as they are, or None where it is undefined. Arguments as of :func:`replicates`."""
    one_unit = np.zeros(len(predictions), dtype=np.int64)
    once = np.ones((1, 1))
    result = float(
        replicates(metric, predictions, decision, once, units=one_unit, positive=positive, cleaved=cleaved)[0]
    )
    return None if np.isnan(result) else result


def statistic(
    metric: str,
    predictions: Predictions,
    decision: np.ndarray | None,
    units: np.ndarray,
    n_units: int,
    positive: int | None = None,
    cleaved: tuple[int, ...] = (),
) -> Statistic:
    """Prepare a metric: the work that does not depend on weights is done once.

    Args:
        metric: a name of METRICS.
        predictions: truth and scores.
        decision: hard decisions as of :func:`replicates`; ranking metrics and regression need none.
        units: (n,) unit of each row, or (n, 2) units of a pair's proteins.
        n_units: number of units.
        positive: index of the class to be detected, for two-class tasks that name one.
        cleaved: indices of the classes whose stretch is cut off, for residue tasks that name them.

    Returns:
        A function from (R, n_units) weights to (R,) values.

    Raises:
        ValueError: the metric is not for this kind of problem, or lacks what it needs.
    """
    kind = predictions.problem.kind
    if metric not in METRICS or kind not in METRICS[metric].kinds:
        raise ValueError(f"metric {metric!r} is not for {kind}")
    if METRICS[metric].level:
        raise ValueError(f"metric {metric!r} is of each {METRICS[metric].level} within its protein, not of rows")
    if len(predictions) == 0:
        return lambda weights: np.full(len(weights), np.nan)
    if units.ndim == 2:
        dyads, n_dyads, weigh = pair_weights(units)
        of = statistic(metric, predictions, decision, dyads, n_dyads, positive)
        return lambda weights: np.concatenate([of(weigh(weights[rows])) for rows in blocks(len(weights), n_dyads)])
    information = predictions.information
    rows = Rows(metric, kind, predictions.truth, predictions.scores, units, n_units, decision, positive, information)
    if METRICS[metric].needs_cleaved and predictions.positions is not None:
        proteins = encode(predictions.ids)[0]
        rows = replace(rows, proteins=proteins, positions=predictions.positions, cleaved=cleaved)
    return METRICS[metric].load()(rows)
