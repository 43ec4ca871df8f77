"""What a table says of residues, laid onto the chains of structures: by sequence, never by the numbers of a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hubtools.common.bounds import LARGEST_JSON, LONGEST_PROTEIN, json_values, read_bounded
from hubtools.common.errors import UserError, near
from hubtools.common.readers import reads
from hubtools.data.sources.source_rows import cell_text
from hubtools.data.structures.matching import IDENTITY, best_match
from hubtools.reporting.answer_style import PALETTE

if TYPE_CHECKING:
    import pandas as pd

    from hubtools.data.structures.chains import WholeStructure

_MADE_BY = "Give what bench predict writes for a task of residues, or a table with these columns."


@dataclass(frozen=True)
class ResidueValues:
    """What is said of one protein.

    Attributes:
        sequence: its residues; X where nothing is said of one.
        values: (residues,) float64: a value, or the place of a label in the table's names; NaN where nothing is said.
    """

    sequence: str
    values: np.ndarray


@dataclass(frozen=True)
class ResiduePredictions:
    """A table of what is said of residues.

    Attributes:
        title: what is said, in words.
        names: labels, in the order of their colours; empty where values are said.
        proteins: by id.
        several: residues with several labels, of which the first counts.
        share: whether values are probabilities.
    """

    title: str
    names: tuple[str, ...]
    proteins: Mapping[str, ResidueValues]
    several: int = 0
    share: bool = False

    @property
    def colours(self) -> list[str]:
        """Of each label, in turn."""
        return [PALETTE[place % len(PALETTE)] for place in range(len(self.names))]

    @property
    def factors_said(self) -> str:
        """What B factors are, in words."""
        if self.names:
            numbered = ", ".join(f"{place} {name}" for place, name in enumerate(self.names, 1))
            return f"{self.title} ({numbered}; 0 nothing predicted)"
        return f"{self.title}{' in percent' if self.share else ''}"

    def factors(self, values: np.ndarray) -> np.ndarray:
        """Values of residues as B factors: labels are counted from 1, probabilities are percent."""
        return values + 1 if self.names else values * (100 if self.share else 1)

    def notes(self, structure: WholeStructure, values: Mapping[int, np.ndarray]) -> list[str]:
        """A line where residues of the chains that are painted have no prediction."""
        said = sum(int(np.isfinite(one).sum()) for one in values.values())
        residues = sum(len(structure.chains[place]) for place in values)
        return [f"{structure.name}: {said:,} of {residues:,} residues have a prediction"] if said < residues else []

    @property
    def bounds(self) -> tuple[float, float]:
        """The least and the largest value; of probabilities 0 and 1."""
        if self.share:
            return 0.0, 1.0
        said = np.concatenate([one.values[np.isfinite(one.values)] for one in self.proteins.values()])
        return (float(said.min()), float(said.max())) if len(said) else (0.0, 1.0)

    def of(self, structure: WholeStructure, alone: bool, where: str) -> dict[int, np.ndarray]:
        """What is said of a structure's chains, of copies of a chain the same.

        Proteins are those that are called as the file, or as the file with ``_`` and a chain behind, as bench calls the chains of
        structure files.

        Args:
            structure: the file.
            alone: whether it is the only one, so that whatever is called otherwise may be of it.
            where: for messages.

        Returns:
            Chain, from 0 -> (residues of the chain,) values, NaN where nothing is said; without chains of which nothing is said.

        Raises:
            UserError: a protein that is called so is none of its chains, or of the only structure none is.
        """
        found: dict[int, np.ndarray] = {}
        refused: UserError | None = None
        named = self._named(structure)
        for name, chain in named or [(name, None) for name in self.proteins if alone]:
            protein = self.proteins[name]
            asked = [one for one in structure.chains if chain in (None, one.name)]
            try:
                match = best_match(protein.sequence, asked, IDENTITY, f"{where}, {name}")
            except UserError as error:
                refused = UserError(error.what, where=error.where, fix="Name the structure of this protein.")
                if named:
                    raise refused from None
                # Of the only structure any protein of the table may be.
                continue
            there = match.places >= 0
            values = np.full(len(match.chain), np.nan)
            values[match.places[there]] = protein.values[there]
            for place, own in enumerate(structure.chains):
                if own.residues == match.chain.residues and chain in (None, own.name):
                    found[place] = values
        if refused is not None and not found:
            raise refused
        return found

    def _named(self, structure: WholeStructure) -> list[tuple[str, str | None]]:
        """Names of proteins that are of a structure, each with the chain that it names."""
        if structure.name in self.proteins:
            return [(structure.name, None)]
        chains = {f"{structure.name}_{chain.name}": chain.name for chain in structure.chains}
        return [(name, chains[name]) for name in self.proteins if name in chains]


@reads("table of predictions")
def residue_predictions(table: pd.DataFrame, where: str, label: str | None = None) -> ResiduePredictions:
    """What a table says of residues.

    Args:
        table: with the columns ``id``, ``position`` (from 1), ``residue``, and ``value``, or ``predicted`` and, where known,
            ``p_LABEL`` for each label; a row a residue, as ``bench predict`` writes it.
        where: the file, for messages.
        label: in place of the decided labels the probability of this one.

    Raises:
        UserError: it has other columns, or a cell that cannot be.
    """
    columns = [str(name) for name in table.columns]
    for needed in ("id", "position", "residue"):
        if needed not in columns:
            raise UserError(f"there is no column {needed!r}", where=where, fix=f"{near(needed, columns)} {_MADE_BY}")
    labels = tuple(name.removeprefix("p_") for name in columns if name.startswith("p_"))
    names, several = tuple[str, ...](), 0
    if label is not None:
        if label not in labels:
            raise UserError(f"there is no probability of {label!r}", where=where, fix=near(label, list(labels)))
        values, title = _numbers(table[f"p_{label}"], where), f"probability of {label}"
    elif "value" in columns:
        values, title = _numbers(table["value"], where), "predicted value"
    elif "predicted" in columns:
        values, names, several = _labels(table["predicted"], labels)
        title = "predicted label"
    else:
        raise UserError("there is no column 'value' or 'predicted'", where=where, fix=_MADE_BY)
    return ResiduePredictions(title, names, _by_protein(table, values, where), several, label is not None)


@reads("how predictions were made")
def read_about(path: Path) -> dict[str, str]:
    """What stands beside a table of predictions on how they were made.

    Raises:
        UserError: it is something else.
    """
    try:
        about = json_values(read_bounded(path, LARGEST_JSON))
    except ValueError as error:
        raise UserError(f"not JSON ({error})", where=str(path), fix="Remove it, or predict again.") from None
    return {name: cell_text(value) for name, value in about.items()} if isinstance(about, dict) else {}


def made_by(about: Mapping[str, str]) -> tuple[str, ...]:
    """A line on who made predictions, where that is known."""
    if "model" not in about:
        return ()
    of = f" ({about['task']})" if "task" in about else ""
    return (f"Predicted by {about['model']}{of}. A prediction, not a measurement.",)


def _numbers(cells: Any, where: str) -> np.ndarray:
    try:
        values = np.array([float(cell_text(cell) or "nan") for cell in cells], dtype=np.float64)
    except ValueError as error:
        raise UserError(f"a value is no number ({error})", where=where, fix="Correct the table.") from None
    # What is endless has no colour.
    return np.where(np.isfinite(values), values, np.nan)


def _labels(cells: Any, known: Sequence[str]) -> tuple[np.ndarray, tuple[str, ...], int]:
    """The place of each residue's first label, the labels, and how many residues have more."""
    first = [[part for part in cell_text(cell).split(";") if part] for cell in cells]
    said = {parts[0] for parts in first if parts}
    names = (*known, *sorted(said - set(known)))
    at = {name: place for place, name in enumerate(names)}
    values = np.array([at[parts[0]] if parts else np.nan for parts in first], dtype=np.float64)
    return values, names, sum(len(parts) > 1 for parts in first)


def _by_protein(table: pd.DataFrame, values: np.ndarray, where: str) -> dict[str, ResidueValues]:
    rows: dict[str, list[tuple[int, str, float]]] = {}
    for name, position, residue, value in zip(
        table["id"], table["position"], table["residue"], values.tolist(), strict=True
    ):
        text, letter = cell_text(position).removesuffix(".0"), cell_text(residue)
        if not (text.isascii() and text.isdigit() and 0 < int(text[:9]) <= LONGEST_PROTEIN and len(text) < 9):
            raise UserError(f"{text[:40]!r} is no position", where=where, fix="They are counted from 1.")
        if len(letter) != 1 or not "A" <= letter <= "Z":
            raise UserError(f"{letter[:40]!r} is no residue", where=where, fix="They are letters from A to Z.")
        rows.setdefault(cell_text(name), []).append((int(text), letter, value))
    found = {}
    for protein, own in rows.items():
        places = [place for place, _, _ in own]
        if len(set(places)) < len(places):
            raise UserError(f"{protein!r} has a residue twice", where=where, fix="Give each protein a name of its own.")
        sequence = np.full(max(places), "X")
        said = np.full(max(places), np.nan)
        for place, letter, value in own:
            sequence[place - 1], said[place - 1] = letter, value
        found[protein] = ResidueValues("".join(sequence), said)
    return found
