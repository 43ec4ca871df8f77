"""Predicted structures against known ones, which are found by the protein's id and laid onto its sequence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hubtools.common.errors import UserError
from hubtools.data.rows.chain_breaks import chains_of
from hubtools.data.structures.chains import read_chains
from hubtools.data.structures.folder import StructureFolder
from hubtools.data.structures.matching import IDENTITY, best_match
from hubtools.evaluation.metrics.structure_scores import LEAST_RESIDUES, SCORES, compare_structures
from hubtools.evaluation.statistics.arm_interval import Interval, arm_interval
from hubtools.evaluation.statistics.resampled import REPLICATES, Resampled, Units, draw
from hubtools.models.folding.folding_models import CHAIN_NAMES

if TYPE_CHECKING:
    from hubtools.inference.asking import Protein


@dataclass(frozen=True)
class ScoredFold:
    """One protein.

    Attributes:
        id: of the protein.
        file, known: names of the predicted and the known structure.
        length: residues of the protein.
        compared: residues whose α carbon both have.
        scores: by the names of :data:`hubtools.evaluation.metrics.structure_scores.SCORES`.
    """

    id: str
    file: str
    known: str
    length: int
    compared: int
    scores: dict[str, float]

    def row(self) -> dict[str, Any]:
        """As a row of a table."""
        about = {name: getattr(self, name) for name in ("id", "file", "known", "length", "compared")}
        return about | self.scores


@dataclass(frozen=True)
class FoldScores:
    """All proteins that have a known structure.

    Attributes:
        scored: one each.
        means: of each score, with the 95 % interval over proteins.
        without: how many proteins have none.
    """

    scored: tuple[ScoredFold, ...]
    means: dict[str, Interval]
    without: int

    COLUMNS = ("id", "file", "known", "length", "compared", *SCORES)


class KnownStructures:
    """Known structures of proteins, read before the first is folded, so that a wrong file is said at once.

    Args:
        folder: PDB, mmCIF or BinaryCIF, also gzipped, named by the ids of proteins or as their files are.
        proteins: to be folded.
        stems: of their files.

    Raises:
        UserError: there is no such folder, none of it is of these proteins, or a file is not of its protein.
    """

    def __init__(self, folder: Path, proteins: Sequence[Protein], stems: Sequence[str]) -> None:
        if not folder.is_dir():
            raise UserError(f"there is no folder {folder}", where="--against", fix="Name one with structure files.")
        files = StructureFolder(folder, "--against")
        self.places: dict[str, tuple[str, np.ndarray]] = {}
        for protein, stem in zip(proteins, stems, strict=True):
            name = next((one for one in (protein.id, stem) if files.has(one)), None)
            if name is not None:
                path = files.find(name, "--against")
                self.places[stem] = path.name, _known_places(protein, path)
        if not self.places:
            raise UserError(
                f"none of its {len(files.files):,} structures is called as one of {len(proteins):,} proteins",
                where=f"--against {folder}",
                fix=f"Name files by ids, such as {stems[0]}.pdb.",
            )

    def score(self, proteins: Sequence[Protein], stems: Sequence[str], predicted: Sequence[Path]) -> FoldScores:
        """Scores of all proteins that have a known structure.

        Args:
            proteins, stems: as they were given.
            predicted: the file of each.
        """
        scored = []
        for protein, stem, path in zip(proteins, stems, predicted, strict=True):
            if stem not in self.places:
                continue
            name, known = self.places[stem]
            folded = _predicted_places(protein, path)
            both = np.isfinite(known).all(axis=1) & np.isfinite(folded).all(axis=1)
            if both.sum() < LEAST_RESIDUES:
                raise UserError(f"it shares {both.sum()} residues with {name}", where=protein.id, fix="Leave it out.")
            scores = compare_structures(known[both], folded[both])
            scored.append(ScoredFold(protein.id, path.name, name, len(known), int(both.sum()), scores))
        return FoldScores(tuple(scored), mean_scores([one.scores for one in scored]), len(proteins) - len(scored))


def mean_scores(found: Sequence[dict[str, float]]) -> dict[str, Interval]:
    """The mean of each score over proteins, with the 95 % interval over proteins that all of bench has; of one protein none.

    Args:
        found: of each protein, as :func:`compare_structures` gives it.
    """
    n = len(found)
    values = {name: np.array([one[name] for one in found]) for name in SCORES}

    def mean(name: str) -> Any:
        return lambda weights: weights @ values[name] / n

    units = Units(n, None, f"{n:,} proteins", "", n)
    drawn = draw([mean(name) for name in SCORES], units, REPLICATES if n > 1 else 0)
    return {
        name: arm_interval(Resampled(name, (0,), values[name].mean(keepdims=True), row[None], units))
        for name, row in zip(SCORES, drawn, strict=True)
    }


def _known_places(protein: Protein, path: Path) -> np.ndarray:
    """(residues of all chains, 3) α carbons of a known structure in Å; NaN of residues that it lacks.

    Chains of a complex are each laid onto the chain that fits it best; of copies the first of the file comes first.
    """
    left, found = read_chains(path), []
    for sequence in chains_of(protein.sequence):
        where = f"{protein.id}, {path.name}"
        if not left:
            raise UserError("it has fewer chains than the protein", where=where, fix="Fold the chains that it has.")
        try:
            match = best_match(sequence, left, IDENTITY, where)
        except UserError as error:
            raise UserError(error.what, where=where, fix="Give the structure of this protein, or none.") from None
        left = [chain for chain in left if chain is not match.chain]
        places = np.full((len(sequence), 3), np.nan)
        has = match.places >= 0
        places[has] = match.chain.alpha[match.places[has]]
        found.append(places)
    return np.concatenate(found)


def _predicted_places(protein: Protein, path: Path) -> np.ndarray:
    """The same of a predicted structure, whose residues are numbered as those of the protein's chains."""
    read = {chain.name: chain for chain in read_chains(path)}
    found = []
    for name, sequence in zip(CHAIN_NAMES, chains_of(protein.sequence), strict=False):
        places = np.full((len(sequence), 3), np.nan)
        # A chain of X alone has no atoms.
        if name in read:
            places[read[name].numbers - 1] = read[name].alpha
        found.append(places)
    return np.concatenate(found)
