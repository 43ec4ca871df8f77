"""The primary metric on proteins that are alike: near to the training set or far from it, short or long."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from hubtools.evaluation.metrics.scoring import n_proteins, score_of
from hubtools.evaluation.predictions import Predictions
from hubtools.evaluation.statistics.resampled import KEPT_REPLICATES, draw, prepare
from hubtools.specs.record import Score, Stratum
from hubtools.specs.task import Task

# Fewer proteins than this say nothing: neither would a bootstrap over so few.
FEWEST = 20
# Below half, the method that every machine has finds no relatives (hubtools.data.splits.identity).
IDENTITY_EDGES = (0.5, 0.7, 0.9)
LENGTH_EDGES = (100, 250, 500, 1000)


def by_identity(
    task: Task, predictions: Predictions, thresholds: list[float] | None, rows: npt.NDArray[np.float64]
) -> list[Stratum]:
    """Strata by identity to the nearest training protein, from far to near; arguments as :func:`by_length`."""
    shares = [round(100 * edge) for edge in IDENTITY_EDGES]
    between = [f"{low} to {high} %" for low, high in itertools.pairwise(shares)]
    names = [f"below {shares[0]} %", *between, f"{shares[-1]} % and more"]
    # An alignment of exactly nine in ten identical columns must not fall below by its last bit.
    return _strata(task, predictions, thresholds, np.digitize(rows + 1e-9, IDENTITY_EDGES), names)


def by_length(
    task: Task, predictions: Predictions, thresholds: list[float] | None, rows: npt.NDArray[np.int64]
) -> list[Stratum]:
    """Strata by length in residues, short to long.

    Args:
        task: the task.
        predictions: of the split.
        thresholds: chosen on validation for the whole task; they are not chosen anew.
        rows: what each row of the predictions is sorted by; shape (n,).

    Returns:
        Those that have any protein; without a score where they have fewer than twenty.
    """
    between = [f"{low + 1:,} to {high:,}" for low, high in itertools.pairwise(LENGTH_EDGES)]
    names = [f"up to {LENGTH_EDGES[0]:,}", *between, f"over {LENGTH_EDGES[-1]:,}"]
    return _strata(task, predictions, thresholds, np.digitize(rows, LENGTH_EDGES, right=True), names)


def _strata(
    task: Task,
    predictions: Predictions,
    thresholds: list[float] | None,
    stratum: npt.NDArray[np.int64],
    names: Sequence[str],
) -> list[Stratum]:
    found = []
    for number, name in enumerate(names):
        chosen = np.flatnonzero(stratum == number)
        if not len(chosen):
            continue
        part = predictions.rows(chosen)
        n = n_proteins(part)
        score = _score(task, part, thresholds) if n >= FEWEST else None
        found.append(Stratum(name=name, n_proteins=n, n_labelled=len(part), score=score))
    return found


def _score(task: Task, part: Predictions, thresholds: list[float] | None) -> Score | None:
    """The primary metric with its interval, over the same kind of units as everywhere; None where it is not defined."""
    primary = task.metrics.primary
    prepared, units = prepare(task, part, thresholds, [primary])
    value = float(prepared[0](np.ones((1, units.n_units)))[0])
    if np.isnan(value):
        return None
    drawn = draw(prepared, units, KEPT_REPLICATES if units.n_units > 1 else 0, 0)
    return score_of(primary, value, drawn[0], units)
