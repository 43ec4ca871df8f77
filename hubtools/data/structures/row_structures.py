"""A 3Di letter for each residue of each row: of a column, or of files that rows name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from hubtools.common.errors import UserError
from hubtools.common.readers import reads
from hubtools.common.telling import bar
from hubtools.data.sources.source_rows import cell_text, columns_present, require_column
from hubtools.data.structures.chains import LETTERS, UNKNOWN, reader_version, require_biotite
from hubtools.data.structures.folder import StructureFolder
from hubtools.specs.record import StructureFacts

if TYPE_CHECKING:
    import pandas as pd

    from hubtools.specs.split_rules import StructureFiles
    from hubtools.specs.task import Task

# The column of canonical rows.
STRUCTURE = "structure"


def has_structures(task: Task) -> bool:
    """Whether the rows of a task have structures."""
    return bool(task.data.columns.structure or task.data.structures)


def row_structures(sequences: list[str], ids: list[str], raw: pd.DataFrame, task: Task) -> list[str]:
    """Of each row a 3Di letter (lower case) for each residue, # where none is known.

    Args:
        sequences: canonical ones, whose structures are asked for.
        ids: of the rows.
        raw: the rows as their source has them.
        task: that has structures.

    Raises:
        UserError: a cell holds something else; a file is missing, cannot be read, or is not of its protein.
    """
    named = _cells(raw, task.data.columns.structure, "columns.structure", task)
    if task.data.structures is None:
        assert named is not None
        return [
            known_letters(cell, sequence, f"task {task.name}, {name}")
            for cell, sequence, name in zip(named, sequences, ids, strict=True)
        ]
    return _of_files(sequences, ids, named, raw, task.data.structures, task)


def _cells(raw: pd.DataFrame, column: str | None, role: str, task: Task) -> list[str] | None:
    if column is None:
        return None
    require_column(columns_present(raw), column, f"task {task.name}", role.removeprefix("columns."))
    return [cell_text(cell) for cell in raw[column]]


@reads("3Di letters")
def known_letters(cell: str, sequence: str, where: str) -> str:
    """3Di letters in lower case; an empty cell knows nothing.

    Raises:
        UserError: they are not 3Di letters, or not one for each residue.
    """
    text = cell.strip().lower()
    if not text:
        return UNKNOWN * len(sequence)
    if len(text) != len(sequence):
        raise UserError(
            f"{len(text):,} 3Di letters for {len(sequence):,} residues",
            where=where,
            fix="data.columns.structure holds a letter for each residue, # where none is known.",
        )
    bad = next((place for place, letter in enumerate(text) if letter not in LETTERS + UNKNOWN), None)
    if bad is not None:
        raise UserError(
            f"{text[bad]!r} at position {bad + 1} is no 3Di letter",
            where=where,
            fix="They are the letters of the twenty amino acids, and # where none is known. For names of files, name their "
            "folder: data.structures.",
        )
    return text


def _of_files(
    sequences: list[str], ids: list[str], named: list[str] | None, raw: pd.DataFrame, files: StructureFiles, task: Task
) -> list[str]:
    require_biotite(f"task {task.name}")
    folder = StructureFolder(files.folder, f"task {task.name}")
    chains = _cells(raw, files.chain, "structures.chain", task) or [""] * len(ids)
    found = []
    progress = bar("reading structures", len(ids), unit=" proteins")
    try:
        for sequence, name, cell, chain in zip(sequences, ids, named or ids, chains, strict=True):
            found.append(
                folder.letters(
                    cell,
                    sequence,
                    f"task {task.name}, {name}",
                    chain or None,
                    identity=files.identity,
                    plddt=files.plddt,
                )
                if cell
                else UNKNOWN * len(sequence)
            )
            progress.update()
    finally:
        progress.close()
    return found


def refuse_two_structures(rows: pd.DataFrame, column: str, task: Task) -> None:
    """Raise for a wild type of which two rows name different structures: it is read once for all of them."""
    if column == "sequence":
        return
    several = rows.groupby(column, sort=False)[STRUCTURE].nunique()
    if (several > 1).any():
        name = rows["id"][rows[column] == several[several > 1].index[0]].iloc[0]
        raise UserError(
            "rows of its wild type have different structures",
            where=f"task {task.name}, {name}",
            fix="Name one structure in data.columns.structure for all variants of a wild type.",
        )


def structure_facts(parts: Mapping[str, pd.DataFrame], task: Task, column: str) -> StructureFacts:
    """Of the rows of the splits.

    Args:
        parts: canonical rows with structures.
        task: of the rows.
        column: of the sequence that has the structure.
    """
    distinct = {
        pair for part in parts.values() for pair in zip(part[column].tolist(), part[STRUCTURE].tolist(), strict=True)
    }
    files = task.data.structures
    if files is None:
        source = f"3Di letters of the column {task.data.columns.structure}"
    else:
        cut = f", those of a pLDDT below {files.plddt:g} left out" if files.plddt is not None else ""
        source = f"3Di by {reader_version()} of the files in {files.folder.name}{cut}"
    return facts_of([sequence for sequence, _ in distinct], [letters for _, letters in distinct], source)


def facts_of(sequences: list[str], structures: list[str] | None, source: str) -> StructureFacts:
    """Of sequences with their 3Di letters; None: of sequences without."""
    residues = sum(map(len, sequences))
    if structures is None:
        return StructureFacts(
            source="none", proteins=len(sequences), without=len(sequences), residues=residues, unknown=residues
        )
    return StructureFacts(
        source=source,
        proteins=len(sequences),
        without=sum(set(letters) <= {UNKNOWN} for letters in structures),
        residues=residues,
        unknown=sum(letters.count(UNKNOWN) for letters in structures),
    )
