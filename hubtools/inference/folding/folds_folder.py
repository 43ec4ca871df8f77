"""A folder of predicted structures: a file a protein, ``folds.tsv`` with a row of each, ``fold.json`` with how they were made.

Each structure is written when it is there, and the note and the table after it, so that what was stopped goes on. A protein is not folded
again where the note has it with the same residues, and its file is as it was written.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field, ValidationError

from hubtools.common.bounds import LARGEST_JSON, read_bounded
from hubtools.common.errors import UserError
from hubtools.common.escaping import spreadsheet_cell
from hubtools.common.files import is_file, is_folder, replacing, write_atomic
from hubtools.common.hashing import digest, file_sha256
from hubtools.common.inside import file_stem, inside
from hubtools.common.readers import reads
from hubtools.common.texts import visible
from hubtools.data.rows.chain_breaks import chains_of, residues_in
from hubtools.specs.names import Sha256
from hubtools.specs.record.identities import Line, OpenPart, RecordPart

if TYPE_CHECKING:
    from hubtools.inference.asking import Protein
    from hubtools.models.folding.folding_models import FoldedStructure

NOTE, TABLE = "fold.json", "folds.tsv"
ENDINGS = {"pdb": ".pdb", "mmcif": ".cif"}
PAE_ENDING = ".pae.npz"
# Columns of the table, in their order.
COLUMNS = ("id", "file", "length", "chains", "mean_plddt", "ptm", "iptm", "seconds", "seed")


class FoldedRow(RecordPart):
    """One predicted structure.

    ``length`` counts the residues of all chains; ``seed`` is of what was drawn.
    """

    id: Line
    file: Line
    length: int
    chains: int
    mean_plddt: float = Field(description="Mean over residues of the pLDDT of their α carbon, 0 to 100.")
    ptm: float
    iptm: float | None = None
    seconds: float
    seed: int | None = None
    residues: Sha256 = Field(description="Of the sequence that was folded.")
    sha256: Sha256 = Field(description="Of the file.")


class FoldNote(OpenPart):
    """How the structures of a folder were made, and which there are.

    ``settings`` determine a structure, and are the same for all; ``about`` is of the last command that wrote here.
    """

    settings: dict[str, Any]
    about: dict[str, Any]
    folded: list[FoldedRow] = Field(default_factory=list)


@reads("note of folds")
def read_fold_note(path: Path) -> FoldNote:
    """The note of a folder.

    Raises:
        UserError: it is none.
    """
    try:
        return FoldNote.model_validate_json(read_bounded(path, LARGEST_JSON))
    except (OSError, ValidationError, ValueError, RecursionError):
        raise UserError(
            "it is no note of bench fold",
            where=str(path),
            fix="Remove it to have all proteins of its folder folded again.",
        ) from None


def table_text(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> str:
    """A table with tabs between; empty where a value is None, four digits of what is no whole number."""
    text = io.StringIO()
    writer = csv.writer(text, delimiter="\t", lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        cells = (row[column] for column in columns)
        plain = ("" if cell is None else f"{cell:.4g}" if isinstance(cell, float) else cell for cell in cells)
        writer.writerow(map(spreadsheet_cell, plain))
    return text.getvalue()


def fold_stems(proteins: Sequence[Protein]) -> list[str]:
    """What the files of proteins are called, without ending.

    Raises:
        UserError: two would have one name.
    """
    stems = [file_stem(protein.id) for protein in proteins]
    seen: dict[str, Protein] = {}
    for stem, protein in zip(stems, proteins, strict=True):
        # Some disks know no case.
        if (other := seen.setdefault(stem.lower(), protein)) is not protein:
            raise UserError(
                f"two proteins, {other.id} and {protein.id}, would be one file ({stem})", fix="Rename one of them."
            )
    return stems


class FoldsFolder:
    """A folder that structures are written to, and found again in.

    Args:
        folder: made where it is not there.
        settings: what determines a structure.
        about: how and where this command folds.
        form: of the files, ``pdb`` or ``mmcif``.

    Raises:
        UserError: it holds something else, or structures that were made otherwise.
    """

    def __init__(self, folder: Path, settings: dict[str, Any], about: dict[str, Any], form: str) -> None:
        self.folder, self.form = folder, form
        self.rows: dict[str, FoldedRow] = {}
        settings = {"format": form} | settings
        if is_file(folder / NOTE):
            note = read_fold_note(folder / NOTE)
            other = [name for name in settings | note.settings if settings.get(name) != note.settings.get(name)]
            if other and note.folded:
                was, now = (values.get(other[0]) for values in (note.settings, settings))
                raise UserError(
                    f"its structures were made with another {other[0]} ({was}, now {now})",
                    where=str(folder),
                    fix="Name another folder.",
                )
            self.rows = {row.file: row for row in note.folded}
        elif is_folder(folder) and any(folder.iterdir()):
            raise UserError(
                f"there is something else in it (no {NOTE})",
                where=str(folder),
                fix="Name another folder, or an empty one.",
            )
        self.settings, self.about = settings, about

    def file_of(self, stem: str) -> str:
        """Name of the file of a structure."""
        return f"{stem}{ENDINGS[self.form]}"

    def found(self, protein: Protein, stem: str) -> FoldedRow | None:
        """The row of a protein whose structure is there, of these residues and whole; None where it is to be folded."""
        row = self.rows.get(self.file_of(stem))
        if row is None or row.residues != digest(protein.sequence):
            return None
        path = inside(self.folder, row.file)
        return row if is_file(path) and file_sha256(path) == row.sha256 else None

    def add(self, protein: Protein, stem: str, folded: FoldedStructure, seconds: float, seed: int | None) -> FoldedRow:
        """Write a structure, then the note and the table.

        Args:
            protein: that was folded.
            stem: of its file.
            folded: its structure.
            seconds: that folding took.
            seed: of what was drawn; None where nothing was.

        Raises:
            UserError: the folder cannot be written.
        """
        path = inside(self.folder, self.file_of(stem))
        write_atomic(path, structure_text(folded.atoms, self.form, stem))
        if folded.pae is not None:
            with replacing(inside(self.folder, f"{stem}{PAE_ENDING}")) as temporary, temporary.open("wb") as stream:
                np.savez_compressed(stream, pae=folded.pae.astype(np.float32))
        row = FoldedRow(
            id=visible(protein.id),
            file=path.name,
            length=residues_in(protein.sequence),
            chains=len(chains_of(protein.sequence)),
            mean_plddt=round(folded.mean_plddt, 2),
            ptm=round(folded.ptm, 4),
            iptm=None if folded.iptm is None else round(folded.iptm, 4),
            seconds=round(seconds, 2),
            seed=seed,
            residues=digest(protein.sequence),
            sha256=file_sha256(path),
        )
        self.rows[row.file] = row
        self.write()
        return row

    def write(self) -> None:
        """The note and the table, of all structures of the folder.

        Raises:
            UserError: the folder cannot be written.
        """
        note = FoldNote(settings=self.settings, about=self.about, folded=list(self.rows.values()))
        write_atomic(self.folder / NOTE, note.model_dump_json(indent=2) + "\n")
        write_atomic(self.folder / TABLE, table_text(COLUMNS, (row.model_dump() for row in note.folded)))


def structure_text(atoms: Any, form: str, name: str) -> str:
    """A structure file.

    Args:
        atoms: biotite's AtomArray.
        form: ``pdb`` or ``mmcif``.
        name: of the block of data in mmCIF.
    """
    from biotite.structure.io import pdb, pdbx

    text = io.StringIO()
    file: Any = pdb.PDBFile() if form == "pdb" else pdbx.CIFFile()
    if form == "pdb":
        file.set_structure(atoms)
    else:
        pdbx.set_structure(file, atoms, data_block=name)
    file.write(text)
    return text.getvalue()
