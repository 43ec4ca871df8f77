"""Contacts: precision of the likeliest pairs of residues, within each protein, averaged over proteins.

Of a protein of L residues, residues that are not resolved included, P@L/k is the share of true contacts among the L/k (rounded
down, at least one) pairs with the highest scores, of those whose residues are both resolved and as far apart in the sequence
as the range says: 6 to 11 short, 12 to 23 medium, from 24 on long. Of fewer pairs than L/k it is the share among all of
them. Where several pairs have the score of the last that is counted, it is the mean over the orders in which they could
stand. A protein without a pair in the range is left out of the mean; one without a true contact there counts as 0.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from hubtools.data.structures.contacts import pairs_of
from hubtools.evaluation.metrics.structure_scores import of_coordinates
from hubtools.evaluation.statistics.resampling import encode, rows_of_each
from hubtools.specs.level import STRUCTURE
from hubtools.specs.metric_names import METRICS, RANGES

if TYPE_CHECKING:
    from hubtools.evaluation.metrics.ranking import Statistic
    from hubtools.evaluation.predictions import Predictions
    from hubtools.specs.task import Task

# A record with a row for each of more proteins is no longer read.
MAX_PROTEINS = 100


def precision(truth: np.ndarray, scores: np.ndarray, apart: np.ndarray, length: int, part: int, name: str) -> float:
    """P@L/part of one protein in a range; NaN where it has no pair there.

    Args:
        truth: (n,) 1 of true contacts, else 0.
        scores: (n,) the higher, the likelier.
        apart: (n,) separations.
        length: L, in residues.
        part: what L is divided by.
        name: of the range.
    """
    least, most = RANGES[name]
    here = (apart >= least) if most is None else (apart >= least) & (apart <= most)
    truth, scores = truth[here], scores[here]
    if not len(truth):
        return float("nan")
    top = min(max(1, length // part), len(truth))
    last = -np.partition(-scores, top - 1)[top - 1]
    above, level = scores > last, scores == last
    return float((truth[above].sum() + (top - above.sum()) * truth[level].mean()) / top)


def mean_over_proteins(metric: str, predictions: Predictions, owner: np.ndarray) -> Statistic:
    """The mean of a metric over proteins: (R, n_units) multiplicities of the units -> (R,) values.

    Args:
        metric: a name of METRICS that is computed within proteins.
        predictions: of one split.
        owner: (proteins,) unit of each protein, in order of first appearance.
    """
    values = by_protein(metric, predictions)
    defined = ~np.isnan(values)

    def of(weights: np.ndarray) -> np.ndarray:
        counts = weights[:, owner[defined]].astype(np.float64)
        total = counts.sum(axis=1)
        return np.divide(counts @ values[defined], total, out=np.full(len(total), np.nan), where=total > 0)

    return of


def by_protein(metric: str, predictions: Predictions) -> np.ndarray:
    """A metric of each protein, in order of first appearance; NaN where it is not defined."""
    if METRICS[metric].level == STRUCTURE.name:
        return of_coordinates(METRICS[metric].load(), predictions)
    assert predictions.positions is not None and predictions.residues is not None
    first, second = pairs_of(predictions.positions.astype(np.int64) - 1)
    apart = second - first
    # Of contacts a formula is of one protein.
    single: Callable[..., Any] = METRICS[metric].load()
    return np.array(
        [
            single(predictions.truth[rows], predictions.scores[rows], apart[rows], int(predictions.residues[rows[0]]))
            for rows in rows_of_each(predictions.ids)
        ]
    )


def protein_table(task: Task, predictions: Predictions) -> list[dict[str, Any]]:
    """One row a protein: name, number of scored rows, every metric; none of many proteins."""
    codes, n_proteins = encode(predictions.ids)
    if n_proteins > MAX_PROTEINS:
        return []
    first = np.unique(codes, return_index=True)[1]
    support = np.bincount(codes, minlength=n_proteins)
    values = {name: by_protein(name, predictions) for name in task.metrics.names}
    return [
        {"name": str(predictions.ids[first[code]]), "support": int(support[code])}
        | {name: None if np.isnan(found[code]) else float(found[code]) for name, found in values.items()}
        for code in range(n_proteins)
    ]


# By name, as METRICS finds them.
precision_l_short = partial(precision, part=1, name="short")
precision_l2_short = partial(precision, part=2, name="short")
precision_l5_short = partial(precision, part=5, name="short")
precision_l_medium = partial(precision, part=1, name="medium")
precision_l2_medium = partial(precision, part=2, name="medium")
precision_l5_medium = partial(precision, part=5, name="medium")
precision_l_long = partial(precision, part=1, name="long")
precision_l2_long = partial(precision, part=2, name="long")
precision_l5_long = partial(precision, part=5, name="long")
