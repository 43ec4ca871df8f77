"""Where a signal peptide is cut off, protein by protein: precision and recall of the site, as SignalP reports them.

A site is behind the longest stretch of residues called with a label of ``metrics.cleaved``; its kind is the label that most
of the stretch has. A called site is right where the protein has a site of that kind no further than some residues away.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from hubtools.evaluation.metrics.counting import divide, sum_by_unit
from hubtools.evaluation.metrics.ranking import Statistic

if TYPE_CHECKING:
    from hubtools.evaluation.metrics.weighing import Formula, Rows

# A true site is one residue of about seventy: within three of it is the loosest that the field counts as right.
WINDOWS = (0, 1, 2, 3)


class Sites(NamedTuple):
    """One site of each protein.

    Attributes:
        last: (p,) number of the last residue before it; -1 where the protein has none.
        kind: (p,) label of the stretch; -1 where the protein has none.
    """

    last: np.ndarray
    kind: np.ndarray


def sites(labels: np.ndarray, proteins: np.ndarray, positions: np.ndarray, cleaved: tuple[int, ...]) -> Sites:
    """The cleavage site of each protein that labels of residues say.

    Args:
        labels: (n,) classes.
        proteins: (n,) codes from 0; residues of a protein stand together.
        positions: (n,) residue numbers, rising within a protein.
        cleaved: the classes whose stretch is cut off.

    Returns:
        Of the protein of code i in place i. Of stretches of equal length the first counts, of kinds as frequent in it
        the one of the lower class.
    """
    n = int(proteins.max()) + 1
    last, kind = np.full(n, -1, dtype=np.int64), np.full(n, -1, dtype=np.int64)
    inside = np.flatnonzero(np.isin(labels, cleaved))
    if not len(inside):
        return Sites(last, kind)
    begins = np.ones(len(inside), dtype=bool)
    same = proteins[inside[1:]] == proteins[inside[:-1]]
    begins[1:] = ~(same & (positions[inside[1:]] - positions[inside[:-1]] == 1))
    starts = np.flatnonzero(begins)
    lengths = np.diff(np.append(starts, len(inside)))
    owners = proteins[inside[starts]]
    # By protein, then the longest, then the first: the first row of each protein is its stretch.
    order = np.lexsort((starts, -lengths, owners))
    chosen = order[np.unique(owners[order], return_index=True)[1]]
    for stretch in chosen:
        rows = inside[starts[stretch] : starts[stretch] + lengths[stretch]]
        last[owners[stretch]] = positions[rows[-1]]
        kind[owners[stretch]] = np.bincount(labels[rows]).argmax()
    return Sites(last, kind)


def _tallies(rows: Rows, window: int) -> np.ndarray:
    """(n_units, 3): proteins whose site is right, that are called to have one, that have one."""
    if rows.proteins is None or rows.positions is None or not rows.cleaved:
        raise ValueError(f"{rows.metric} is about residues: say which labels are cleaved")
    if rows.decision is None:
        raise ValueError(f"{rows.metric} needs hard decisions")
    true, called = (
        sites(labels, rows.proteins, rows.positions, rows.cleaved) for labels in (rows.truth, rows.decision)
    )
    has, calls = true.last >= 0, called.last >= 0
    right = has & calls & (true.kind == called.kind) & (np.abs(true.last - called.last) <= window)
    # All residues of a protein are drawn together.
    units = rows.units[np.unique(rows.proteins, return_index=True)[1]]
    return sum_by_unit(units, rows.n_units, np.stack([right, calls, has], axis=1).astype(np.float64))


def _formula(window: int, below: int) -> Formula:
    def formula(rows: Rows) -> Statistic:
        tallies = _tallies(rows, window)

        def of(weights: np.ndarray) -> np.ndarray:
            right, calls, has = (weights @ tallies).T
            # Without a site in truth there is nothing to find; without a call none is right (zero_division=0).
            return np.where(has > 0, divide(right, (calls, has)[below], 0.0), np.nan)

        return of

    within = f"no more than {window} residues away" if window else "at that very residue"
    formula.__doc__ = f"Proteins whose site is right, {within}, of those {('called to have', 'that have')[below]} one."
    return formula


precision_0, precision_1, precision_2, precision_3 = (_formula(window, 0) for window in WINDOWS)
recall_0, recall_1, recall_2, recall_3 = (_formula(window, 1) for window in WINDOWS)
