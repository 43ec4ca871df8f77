"""What rows of a scored split are like: how near to what was learnt from, and how long."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from hubtools.data.rows.chain_breaks import residues_in
from hubtools.data.rows.row_kinds import rows_of
from hubtools.data.sources.file_cache import DataCache
from hubtools.data.splits.identity import engine
from hubtools.data.splits.overlap import ALWAYS, lowest_told, nearest, too_large
from hubtools.specs.problem import Problem

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class Traits:
    """Of the rows of one split, in the order of the data.

    Attributes:
        ids: (n,) str, of the rows.
        residues: (n,) int64, length; of a pair, of its longer protein.
        identity: (n,) float64, to the nearest training protein, 0 where none of at least half was found; of a pair,
            that of the protein which is less like any: where both have relatives in train, the pair is familiar. None
            where it was not searched.
    """

    ids: npt.NDArray[np.str_]
    residues: npt.NDArray[np.int64]
    identity: npt.NDArray[np.float64] | None


def row_traits(
    parts: Mapping[str, pd.DataFrame], scored: Sequence[str], problem: Problem, cache: DataCache
) -> dict[str, Traits]:
    """Traits of the scored splits; none of variants, whose wild types nobody learnt from.

    The search is that of :func:`hubtools.data.splits.overlap.split_overlaps`, whose answers are kept: it is not done twice.

    Args:
        parts: rows by split, ``train`` among them.
        scored: names of the splits.
        problem: of the task.
        cache: where the answers of the search are.
    """
    if "train" not in parts:
        return {}
    lowest = lowest_told(ALWAYS)
    of = rows_of(problem)
    how, learnt = engine(lowest), of.sequences_read(parts["train"])
    found = {}
    for name in scored:
        part = parts[name]
        proteins = of.sequences_read(part)
        identity, rows = None, [list(part[column]) for column in of.sequences]
        if not too_large(learnt, proteins, how):
            best = dict(zip(proteins, nearest(proteins, learnt, lowest, how, cache).tolist(), strict=True))
            identity = np.array([[best[sequence] for sequence in column] for column in rows], dtype=np.float64).min(0)
        residues = np.array([[residues_in(sequence) for sequence in column] for column in rows], dtype=np.int64).max(0)
        found[name] = Traits(np.asarray(part["id"], dtype=np.str_), residues, identity)
    return found
