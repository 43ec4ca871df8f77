"""A folder of predicted structures: a file a protein, ``folds.tsv`` with a row of each, ``fold.json`` with how they were made.

Each structure is written when it is there, and after it, beside its claim, a note of it alone, so that what was stopped goes on. Notes are
gathered into the one of the folder every now and then, and by each process at its end. A protein is not folded again where a note has it with
the same residues, and its file is as it was written. Several processes divide proteins by their claims (:mod:`hubtools.runs.claims`), in a
hidden folder that is gone when all is gathered.
"""

from __future__ import annotations

import contextlib
import csv
import io
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
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
from hubtools.runs.claims import ClaimedElsewhere, claimed, clock, held, wait_for_one
from hubtools.specs.names import Sha256
from hubtools.specs.record.identities import Line, OpenPart, RecordPart

if TYPE_CHECKING:
    from hubtools.inference.asking import Protein
    from hubtools.models.folding.folding_models import FoldedStructure
    from hubtools.runs.claims import Claim

NOTE, TABLE = "fold.json", "folds.tsv"
ENDINGS = {"pdb": ".pdb", "mmcif": ".cif"}
PAE_ENDING = ".pae.npz"
# Where proteins are claimed; and seconds between two times that what is there is gathered while more is folded.
CLAIMS, GATHER = ".claims", 60.0
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
    """A folder that structures are written to, and found again in; several processes may be at it.

    Args:
        folder: made where it is not there.
        form: of the files, ``pdb`` or ``mmcif``.

    Attributes:
        rows: of the structures that are there, by the names of their files.
        settings, about: of the note, as far as there is one.
        own: how and where this process folds.

    Raises:
        UserError: it holds something else.
    """

    def __init__(self, folder: Path, form: str) -> None:
        self.folder, self.form = folder, form
        self.rows: dict[str, FoldedRow] = {}
        self.settings: dict[str, Any] = {}
        self.about: dict[str, Any] = {}
        self.own: dict[str, Any] = {}
        self._order: dict[str, int] = {}
        self._note_of = (0, 0)
        # Hidden is what processes leave for each other. Listed first: by now another one may have begun here.
        others = is_folder(folder) and any(not path.name.startswith(".") for path in folder.iterdir())
        if others and not is_file(folder / NOTE):
            raise UserError(
                f"there is something else in it (no {NOTE})",
                where=str(folder),
                fix="Name another folder, or an empty one.",
            )
        self.read()

    def read(self) -> None:
        """Read again which structures there are.

        Raises:
            UserError: the note is none.
        """
        self._read_note()
        for path in self._places():
            self._read_place(path)

    def require(self, settings: Mapping[str, Any]) -> None:
        """Refuse a folder whose structures were made otherwise, or are being made so.

        Args:
            settings: what determines a structure, as far as it is known.

        Raises:
            UserError: they were.
        """
        asked = {"format": self.form, **settings}
        # Of another model there may be others, and then the model is another.
        other = next((name for name in asked if self.settings and asked[name] != self.settings.get(name)), None)
        if other is None or not (self.rows or self._busy()):
            return
        raise UserError(
            f"its structures were made with another {other} ({self.settings.get(other)}, now {asked[other]})",
            where=str(self.folder),
            fix="Name another folder.",
        )

    def begin(self, settings: Mapping[str, Any], about: Mapping[str, Any], stems: Sequence[str]) -> None:
        """Say how structures are made from here on.

        Args:
            settings: what determines a structure.
            about: how and where this process folds.
            stems: of the files of all proteins that were asked for, in the order of the table.

        Raises:
            UserError: there are structures that were made otherwise, or the folder cannot be written.
        """
        self.order_as(stems)
        with self._alone():
            self.read()
            self.require(settings)
            asked = {"format": self.form, **settings}
            if self.settings != asked:
                self.settings, self.about = asked, dict(about)
                self._write_note()
        self.own = dict(about)

    def order_as(self, stems: Sequence[str]) -> None:
        """Have the table list these files last, in this order."""
        self._order = {self.file_of(stem): place for place, stem in enumerate(stems)}

    def file_of(self, stem: str) -> str:
        """Name of the file of a structure."""
        return f"{stem}{ENDINGS[self.form]}"

    def found(self, protein: Protein, stem: str, *, whole: bool = True) -> FoldedRow | None:
        """The row of a protein whose structure is there, of these residues and whole; None where it is to be folded.

        Args:
            protein: that is looked for.
            stem: of its file.
            whole: whether the file is looked at, too.
        """
        row = self.rows.get(self.file_of(stem))
        if row is None or row.residues != digest(protein.sequence):
            return None
        path = inside(self.folder, row.file)
        return row if not whole or (is_file(path) and file_sha256(path) == row.sha256) else None

    @contextlib.contextmanager
    def claimed(self, stem: str) -> Iterator[Claim]:
        """Hold a protein for this process, and know whether another one has folded it in the meantime.

        Raises:
            ClaimedElsewhere: another process is at it.
            UserError: the folder cannot be written.
        """
        place = self._place_of(stem)
        with claimed(place) as claim:
            self._read_place(place)
            if self._note_of != _stamp(self.folder / NOTE):
                self.read()
            yield claim

    def add(
        self, claim: Claim, protein: Protein, stem: str, folded: FoldedStructure, seconds: float, seed: int | None
    ) -> FoldedRow:
        """Write a structure, and after it that it is there.

        Args:
            claim: of the protein.
            protein: that was folded.
            stem: of its file.
            folded: its structure.
            seconds: that folding took.
            seed: of what was drawn; None where nothing was.

        Raises:
            ClaimLost: another process has taken the protein over.
            UserError: the folder cannot be written.
        """
        claim.require()
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
        note = FoldNote(settings=self.settings, about=self.own, folded=[row])
        write_atomic(claim.folder / NOTE, note.model_dump_json() + "\n")
        return row

    def gather(self, wait: bool = True) -> None:
        """Write the note and the table, of all structures of the folder, whoever folded them.

        Args:
            wait: whether it has to be; else it is not where another process is at it, or was a moment ago.

        Raises:
            UserError: the folder cannot be written.
        """
        _, written = _stamp(self.folder / NOTE)
        # Without a note nothing was begun.
        if not written or (not wait and time.time() - written / 1e9 < GATHER):
            return
        with contextlib.nullcontext() if wait else contextlib.suppress(ClaimedElsewhere), self._alone(wait) as claim:
            self.rows, places = {}, {}
            self._read_note()
            for place in self._places():
                places[place] = _stamp(place / NOTE)
                if (note := self._read_place(place)) and str(note.about.get("made")) >= str(self.about.get("made")):
                    self.about = note.about
            self._write_note()
            for place, stamp in places.items():
                # Of one that another process is folding anew it is not known yet what comes.
                with contextlib.suppress(ClaimedElsewhere), claimed(place) as own:
                    if _stamp(place / NOTE) == stamp:
                        (place / NOTE).unlink(missing_ok=True)
                    own.remove()
            claim.remove()

    def _write_note(self) -> None:
        """The note and the table; the proteins of this command last, in their order."""
        rows = sorted(self.rows.values(), key=lambda row: self._order.get(row.file, -1))
        note = FoldNote(settings=self.settings, about=self.about, folded=rows)
        write_atomic(self.folder / NOTE, note.model_dump_json(indent=2) + "\n")
        write_atomic(self.folder / TABLE, table_text(COLUMNS, (row.model_dump() for row in note.folded)))

    def _read_note(self) -> None:
        self._note_of = _stamp(self.folder / NOTE)
        if is_file(self.folder / NOTE):
            note = read_fold_note(self.folder / NOTE)
            self.settings, self.about = note.settings, note.about
            self.rows |= {row.file: row for row in note.folded}

    def _read_place(self, place: Path) -> FoldNote | None:
        """What a process has said of a protein that is not in the note yet; None where there is nothing."""
        if not is_file(place / NOTE):
            return None
        try:
            note = read_fold_note(place / NOTE)
        except UserError:
            return None  # Gathered in this moment, or damaged: then the protein is folded again.
        if self.settings and note.settings != self.settings:
            return None  # Of structures that somebody has removed.
        self.rows |= {row.file: row for row in note.folded}
        return note

    def _place_of(self, stem: str) -> Path:
        return inside(self.folder / CLAIMS, f"_{stem}")

    def _places(self) -> list[Path]:
        """Where proteins are claimed, or were."""
        return sorted((self.folder / CLAIMS).glob("_*"))

    def _busy(self) -> bool:
        """Whether a process folds here that lives, as far as is known."""
        now = clock(self.folder / CLAIMS)
        return any((one := held(place, now)) is not None and not one.lost for place in self._places())

    @contextlib.contextmanager
    def _alone(self, wait: bool = True) -> Iterator[Claim]:
        """Hold the note of the folder for this process."""
        place = self.folder / CLAIMS
        with contextlib.ExitStack() as stack:
            while True:
                try:
                    claim = stack.enter_context(claimed(place))
                    break
                except ClaimedElsewhere:
                    if not wait:
                        raise
                    wait_for_one([place])
            yield claim


def _stamp(path: Path) -> tuple[int, int]:
    """By which it is known that a file was replaced, or is gone."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return 0, 0
    return found.st_ino, found.st_mtime_ns


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
