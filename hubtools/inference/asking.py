"""What a saved model is asked: proteins, all residues of proteins, or pairs. One object a level."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hubtools.data.rows.chain_breaks import residues_in
from hubtools.data.structures.structure_letters import UNKNOWN
from hubtools.specs.problem import Problem


@dataclass(frozen=True)
class Protein:
    """One protein to be predicted: a sequence in canonical form (upper-case residues), or two of a pair task.

    Attributes:
        id: what it is called.
        sequence, partner: residues; where a protein of the task is several chains, ``:`` between them.
        structure: a 3Di letter, or #, for each residue, where a structure is known.
    """

    id: str
    sequence: str
    partner: str | None = None
    structure: str | None = None


@dataclass(frozen=True)
class Asked:
    """Questions as the rows of a split.

    Attributes:
        sequences: of the distinct proteins that are read.
        labels: of each question, which mean nothing.
        names, pairs: as in :class:`hubtools.training.encoding.Encoded`.
        structures: 3Di letters of each protein; None where none is known of any.
    """

    sequences: list[str]
    labels: list[Any]
    names: list[str] | None = None
    pairs: np.ndarray | None = None
    structures: list[str] | None = None


def structures_of(proteins: Sequence[Protein]) -> list[str] | None:
    """3Di letters of each protein, # where none is known; None where none is of any."""
    if all(protein.structure is None for protein in proteins):
        return None
    return [protein.structure or UNKNOWN * len(protein.sequence) for protein in proteins]


class ProteinQuestions:
    """One answer a protein.

    Attributes:
        about: columns that say what a row of a table is about.
    """

    about: tuple[str, ...] = ("id", "length")

    def asked(self, proteins: Sequence[Protein], blank: Any) -> Asked:
        """The rows; ``blank`` is a label that means nothing."""
        sequences = [protein.sequence for protein in proteins]
        return Asked(sequences, [blank] * len(proteins), structures=structures_of(proteins))

    def answers(self, proteins: Sequence[Protein], scores: np.ndarray) -> list[np.ndarray]:
        """The scores of each question: (outputs,), or (residues, outputs)."""
        return list(scores)

    def rows(self, protein: Protein, scores: np.ndarray, letters: str | None) -> tuple[np.ndarray, np.ndarray | None]:
        """Scores of the rows of an answer, and of which residues they are, from 1; None where they are of none.

        Args:
            protein: that was asked about.
            scores: the answer.
            letters: residues that the task is about; None for all.
        """
        return np.atleast_2d(scores), None

    def proteins(self, ids: np.ndarray) -> np.ndarray | None:
        """Names of the proteins of rows where these are not ids, as predictions have them."""
        return None

    def cells(self, protein: Protein, position: int | None) -> list[Any]:
        """The cells of :attr:`about`."""
        return [protein.id, residues_in(protein.sequence)]


class ResidueQuestions(ProteinQuestions):
    """An answer for each residue."""

    about = ("id", "position", "residue")

    def asked(self, proteins: Sequence[Protein], blank: Any) -> Asked:
        """A label for each residue."""
        labels = [np.repeat(blank[None], len(protein.sequence), axis=0) for protein in proteins]
        return Asked([protein.sequence for protein in proteins], labels, structures=structures_of(proteins))

    def answers(self, proteins: Sequence[Protein], scores: np.ndarray) -> list[np.ndarray]:
        """Those of each protein's residues."""
        return np.split(scores, np.cumsum([len(protein.sequence) for protein in proteins])[:-1])

    def rows(self, protein: Protein, scores: np.ndarray, letters: str | None) -> tuple[np.ndarray, np.ndarray | None]:
        """Of the residues that the task is about."""
        asked = [place for place, letter in enumerate(protein.sequence) if not letters or letter in letters]
        return scores[asked], np.array(asked, dtype=np.int32) + 1

    def cells(self, protein: Protein, position: int | None) -> list[Any]:
        """Position and letter."""
        assert position is not None
        return [protein.id, position, protein.sequence[position - 1]]


class PairQuestions(ProteinQuestions):
    """One answer for two proteins, each distinct one read once."""

    about = ("id", "length", "partner_length")

    def asked(self, proteins: Sequence[Protein], blank: Any) -> Asked:
        """The distinct proteins, and which two make up each pair."""
        both = [*(pair.sequence for pair in proteins), *(pair.partner or "" for pair in proteins)]
        place = {sequence: index for index, sequence in enumerate(dict.fromkeys(both))}
        pairs = np.array([place[sequence] for sequence in both]).reshape(2, -1).T
        return Asked(list(place), [blank] * len(proteins), [str(index) for index in place.values()], pairs)

    def proteins(self, ids: np.ndarray) -> np.ndarray | None:
        """Two of each row."""
        return np.stack([ids, ids], axis=1)

    def cells(self, protein: Protein, position: int | None) -> list[Any]:
        """Both lengths."""
        return [protein.id, len(protein.sequence), len(protein.partner or "")]


# By the name of the level; of variants no model is saved.
QUESTIONS: dict[str, ProteinQuestions] = {
    "protein": ProteinQuestions(),
    "residue": ResidueQuestions(),
    "pair": PairQuestions(),
}


def questions_of(problem: Problem) -> ProteinQuestions:
    """How a model of this problem is asked."""
    return QUESTIONS[problem.level.name]
