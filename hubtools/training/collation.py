"""Rows of each level as a model is trained on them: what is read together, and which labels a batch has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from hubtools.models.windows import Piece
from hubtools.specs.problem import Problem
from hubtools.training.encoding import Encoded

# A protein of the split, and a window of it.
Row = tuple[int, Piece]


class Labelled(NamedTuple):
    """The labels of a batch.

    Attributes:
        labels: (labels, …).
        owners: (labels,) protein, or pair, of each.
        positions: (labels,) its 0-based residue, where residues are labelled.
        inputs: what the model is told beside tokens and masks.
    """

    labels: np.ndarray
    owners: np.ndarray
    positions: np.ndarray | None
    inputs: dict[str, Any]


class ProteinCollation:
    """One label a protein: its windows are read together, and in training some of them may stand for all.

    Attributes:
        together: whether all windows of a protein are in one batch.
    """

    together = True

    def units(self, windows: Mapping[int, list[Row]]) -> list[list[Row]]:
        """What stays in one batch, of the windows of each protein."""
        return [*windows.values()]

    def labelled(self, split: Encoded, rows: Sequence[Row], chosen: Sequence[int] | None) -> Labelled:
        """The labels of a batch.

        Args:
            split: encoded split.
            rows: windows of proteins.
            chosen: rows of the split, where these are not proteins.
        """
        distinct, inputs = _proteins(rows)
        return Labelled(np.stack([split.labels[p] for p in distinct]), np.array(distinct), None, inputs)

    def stacked(self, labels: Sequence[Any]) -> np.ndarray:
        """The labels of some rows of a split as one array."""
        return np.stack(labels)

    def places(self, residue_mask: torch.Tensor) -> torch.Tensor | None:
        """Which tokens of a batch have a label of their own; None where proteins have."""
        return None

    def all_rows(self, split: Encoded) -> tuple[np.ndarray, np.ndarray | None]:
        """Protein or pair, and 0-based residue, of all that a split may have labels of, in order."""
        return np.arange(len(split)), None


class ResidueCollation(ProteinCollation):
    """A label for each residue: it is read in the window where it lies most centrally, and windows need not be together."""

    together = False

    def units(self, windows: Mapping[int, list[Row]]) -> list[list[Row]]:
        """Each window alone."""
        return [[row] for rows in windows.values() for row in rows]

    def labelled(self, split: Encoded, rows: Sequence[Row], chosen: Sequence[int] | None) -> Labelled:
        """Those of the residues in the core of a window."""
        labels = np.concatenate([split.labels[p][piece.core_start : piece.core_stop] for p, piece in rows])
        owners = np.concatenate([np.full(piece.core_stop - piece.core_start, p) for p, piece in rows])
        positions = np.concatenate([np.arange(piece.core_start, piece.core_stop) for _, piece in rows])
        return Labelled(labels, owners, positions, {})

    def stacked(self, labels: Sequence[Any]) -> np.ndarray:
        """All residues, one after another."""
        return np.concatenate(labels)

    def places(self, residue_mask: torch.Tensor) -> torch.Tensor | None:
        """The residues."""
        return residue_mask.flatten().nonzero().squeeze(1)

    def all_rows(self, split: Encoded) -> tuple[np.ndarray, np.ndarray | None]:
        """All residues of all proteins."""
        lengths = split.lengths
        return np.repeat(np.arange(len(split)), lengths), np.concatenate([np.arange(n) for n in lengths])


class PairCollation(ProteinCollation):
    """One label for two proteins, which are in a batch once for all pairs that have them."""

    def labelled(self, split: Encoded, rows: Sequence[Row], chosen: Sequence[int] | None) -> Labelled:
        """Those of the chosen pairs, and which proteins of the batch make up each."""
        assert split.pairs is not None and chosen is not None
        distinct, inputs = _proteins(rows)
        place = {protein: at for at, protein in enumerate(distinct)}
        inputs["pairs"] = torch.tensor([[place[p] for p in pair] for pair in split.pairs[list(chosen)].tolist()])
        return Labelled(np.stack([split.labels[row] for row in chosen]), np.array(chosen), None, inputs)


def _proteins(rows: Sequence[Row]) -> tuple[list[int], dict[str, Any]]:
    """The distinct proteins of windows, and which window is of which."""
    distinct = list(dict.fromkeys(protein for protein, _ in rows))
    place = {protein: at for at, protein in enumerate(distinct)}
    return distinct, {"protein": torch.tensor([place[p] for p, _ in rows]), "n_proteins": len(distinct)}


# By the name of the level; variants are not trained on.
COLLATIONS: dict[str, ProteinCollation] = {
    "protein": ProteinCollation(),
    "residue": ResidueCollation(),
    "pair": PairCollation(),
}


def collation_of(problem: Problem) -> ProteinCollation:
    """How rows of a task of this problem are put into batches."""
    return COLLATIONS[problem.level.name]
