"""Zero-shot variant effects: metrics within each assay, averaged as ProteinGym does, and what the bootstrap draws.

Values of different assays are on different scales, so a metric is computed within each assay. The score of a task is
the mean over categories of the mean over proteins of the mean over the assays of one protein in that category (Notin
et al. 2023, "ProteinGym: Large-Scale Benchmarks for Protein Fitness Prediction and Design",
doi:10.1101/2023.12.07.570727). With one assay it is that assay's metric. An assay in which a metric is not defined (all
variants functional, for AUROC) is left out of that metric's mean.

With at least twenty proteins the bootstrap draws proteins: what one wants to know is how the method does on another
protein. With fewer it draws variants within each assay, and the interval says nothing about other proteins.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from hubtools.evaluation.metrics.ranking import Statistic
from hubtools.evaluation.metrics.weighing import Rows, statistic
from hubtools.evaluation.predictions import Predictions
from hubtools.evaluation.statistics.resampling import MIN_UNITS, encode
from hubtools.specs.metric_names import METRICS
from hubtools.specs.task import Task


@dataclass(frozen=True)
class AssayUnits:
    """What the bootstrap draws, and how rows and assays belong to it.

    Attributes:
        n_units: number of units: proteins, or variants.
        strata: (n_units,) assay of each variant, within which it is drawn; None where proteins are drawn.
        described: in words.
    """

    n_units: int
    strata: np.ndarray | None
    described: str


def functional(task: Task, predictions: Predictions) -> np.ndarray | None:
    """Which variants count as functional: (n,) bool, or None where the task does not say.

    By the data's own column, else those that reach the cutoff: a number, or the median of each assay.
    """
    assays, cutoff = _of(predictions), task.metrics.cutoff
    if assays.active is not None:
        return assays.active == 1
    if cutoff is None:
        return None
    if cutoff != "median":
        return predictions.truth >= cutoff
    codes, n_assays = encode(assays.group)
    limits = np.array([np.median(predictions.truth[codes == code]) for code in range(n_assays)])
    return predictions.truth >= limits[codes]


def assay_units(predictions: Predictions) -> AssayUnits:
    """The units that the bootstrap draws."""
    assays = _of(predictions)
    n_assays, n_proteins = encode(assays.group)[1], encode(assays.protein)[1]
    several = f"{n_proteins:,} proteins ({n_assays:,} assays)"
    if n_proteins >= MIN_UNITS:
        return AssayUnits(n_proteins, None, several)
    within = f"{len(predictions):,} variants within {'the assay' if n_assays == 1 else f'{n_assays:,} assays'}"
    few = f"only {n_proteins} protein{'s' * (n_proteins != 1)}"
    return AssayUnits(len(predictions), encode(assays.group)[0], f"{within} ({few})")


def assay_statistic(metric: str, task: Task, predictions: Predictions, units: AssayUnits) -> Statistic:
    """A metric of the whole task: (R, n_units) multiplicities of the units -> (R,) values."""
    assays = _of(predictions)
    single = _statistics(metric, task, predictions)
    protein_codes, n_proteins = encode(assays.protein)
    category_codes, n_categories = encode(assays.category)
    # What an assay counts for belongs to its protein and category, whichever of its rows is looked at.
    first = np.unique(encode(assays.group)[0], return_index=True)[1]
    proteins, categories = protein_codes[first], category_codes[first]
    # A protein measured in two categories counts in both.
    cells, cell_of = np.unique(np.stack([categories, proteins], axis=1), axis=0, return_inverse=True)
    cell_of, cell_category, cell_protein = cell_of.reshape(-1), cells[:, 0], cells[:, 1]
    into_cells = np.eye(len(cells))[cell_of]
    into_categories = np.eye(n_categories)[cell_category]

    def mean(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Of (R, assays) values, (R, cells) multiplicities of proteins in categories."""
        means, defined = _averaged(values, np.ones_like(values), into_cells)
        means, defined = _averaged(means, weights * defined, into_categories)
        return _averaged(means, defined, np.ones((n_categories, 1)))[0][:, 0]

    if units.strata is None:
        once = np.ones((1, len(predictions)))
        fixed = np.stack([of(once) for of in single], axis=1)

        def by_protein(weights: np.ndarray) -> np.ndarray:
            return mean(np.broadcast_to(fixed, (len(weights), fixed.shape[1])), weights[:, cell_protein].astype(float))

        assert units.n_units == n_proteins
        return by_protein

    def by_variant(weights: np.ndarray) -> np.ndarray:
        values = np.stack([of(weights) for of in single], axis=1)
        return mean(values, np.ones((len(weights), len(cells))))

    return by_variant


def assay_table(task: Task, predictions: Predictions) -> list[dict[str, Any]]:
    """One row an assay: name, number of variants, protein and category where they say more, every metric."""
    assays = _of(predictions)
    codes, n_assays = encode(assays.group)
    once = np.ones((1, len(predictions)))
    values = {name: [of(once)[0] for of in _statistics(name, task, predictions)] for name in task.metrics.names}
    rows = []
    for code in range(n_assays):
        here = np.flatnonzero(codes == code)
        row: dict[str, Any] = {"name": str(assays.group[here[0]]), "support": len(here)}
        if (assays.protein != assays.group).any():
            row["protein"] = str(assays.protein[here[0]])
        if (assays.category != "").any():
            row["category"] = str(assays.category[here[0]])
        row |= {name: None if np.isnan(found[code]) else float(found[code]) for name, found in values.items()}
        rows.append(row)
    return rows


def _statistics(metric: str, task: Task, predictions: Predictions) -> list[Statistic]:
    """A metric of each assay, of (R, n rows of all assays) weights."""
    codes, n_assays = encode(_of(predictions).group)
    active = functional(task, predictions) if METRICS[metric].zero_shot_only else None
    if METRICS[metric].zero_shot_only and active is None:
        raise ValueError(f"{metric} of measured values needs metrics.cutoff or columns.active")
    prepared = []
    for code in range(n_assays):
        rows = np.flatnonzero(codes == code)
        if active is not None:
            # Functional or not is a class, of which the score is what a probability is elsewhere: the higher, the likelier.
            scores = np.stack([-predictions.scores[rows], predictions.scores[rows]], axis=1).astype(np.float64)
            truth = active[rows].astype(np.int64)
            detected = Rows(metric, "classification", truth, scores, rows, len(predictions), positive=1)
            prepared.append(METRICS[metric].load()(detected))
        else:
            prepared.append(statistic(metric, predictions.rows(rows), None, rows, len(predictions)))
    return prepared


def _averaged(values: np.ndarray, weights: np.ndarray, into: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weighted means of columns that belong together, (R, columns) -> (R, groups), and whether they are defined."""
    weights = np.where(np.isnan(values), 0.0, weights)
    total = weights @ into
    sums = (np.nan_to_num(values) * weights) @ into
    means = np.divide(sums, total, out=np.full(total.shape, np.nan), where=total > 0)
    return means, (total > 0).astype(float)


def _of(predictions: Predictions) -> Any:
    if predictions.assays is None:
        raise ValueError("predictions of variants need their assays")
    return predictions.assays
