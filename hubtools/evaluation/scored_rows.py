"""What a row of predictions has beside its truth and scores: a position, two proteins, an assay. One object a level."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from hubtools.specs.problem import Problem


@dataclass(frozen=True)
class ScoredRows:
    """The rows of a level in memory and in the file of predictions.

    Attributes:
        proteins: columns of the names of a row's proteins; none where its id is that of the protein.
        clusters: columns of the clusters of its proteins.
        positions: whether each row has the number of a residue.
        assays: whether each row was measured in an assay.
        sized: whether each row has the length of its protein, and its position is that of a pair of residues.
    """

    proteins: tuple[str, ...] = ()
    clusters: tuple[str, ...] = ("cluster",)
    positions: bool = False
    assays: bool = False
    sized: bool = False

    def cluster_shape(self, n: int) -> tuple[int, ...]:
        """Of the clusters of n rows."""
        return (n,) if len(self.clusters) == 1 else (n, len(self.clusters))

    def together(self, columns: tuple[str, ...], values: Callable[[str], np.ndarray]) -> np.ndarray | None:
        """Columns of the file as one array, None where there are none: (n,) of one, (n, 2) of two."""
        if not columns:
            return None
        return values(columns[0]) if len(columns) == 1 else np.stack([values(name) for name in columns], axis=1)

    def refuse(self, predictions: Any) -> None:
        """Raise where predictions lack what their level has, or have what it lacks.

        Raises:
            ValueError: they do.
        """
        if self.positions and predictions.positions is None:
            raise ValueError("a residue task needs positions")
        if self.assays != (predictions.assays is not None):
            raise ValueError("variants need their assays, and nothing else has them")
        if self.sized != (predictions.residues is not None):
            raise ValueError("pairs of residues need the length of their protein, and nothing else has it")
        if bool(self.proteins) != (predictions.proteins is not None):
            raise ValueError("a pair task needs the two proteins of each row, and no other has them")


# By the name of the level.
SCORED: dict[str, ScoredRows] = {
    "protein": ScoredRows(),
    "residue": ScoredRows(positions=True),
    "pair": ScoredRows(proteins=("protein", "partner"), clusters=("cluster", "partner_cluster")),
    "variant": ScoredRows(assays=True),
    "residue pair": ScoredRows(positions=True, sized=True),
    "structure": ScoredRows(positions=True),
}


def scored_rows(problem: Problem) -> ScoredRows:
    """What the rows of predictions of this problem have."""
    return SCORED[problem.level.name]
