"""A 3Di letter for each residue of each row: of a column, or of files that rows name."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from hubtools.common.errors import UserError
from hubtools.common.hashing import digest
from hubtools.common.readers import reads
from hubtools.common.telling import bar
from hubtools.data.sources.source_rows import cell_text, columns_present, require_column
from hubtools.data.structures.chains import reader_version, require_biotite
from hubtools.data.structures.folder import StructureFolder, folder_digest
from hubtools.data.structures.structure_letters import LETTERS, UNKNOWN
from hubtools.specs.record import StructureFacts

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from hubtools.data.sources.file_cache import DataCache
    from hubtools.specs.task import Task

# The column of canonical rows.
STRUCTURE = "structure"


def has_structures(task: Task) -> bool:
    """Whether the rows of a task have structures."""
    return bool(task.data.columns.structure or task.data.structures)


def row_structures(sequences: list[str], ids: list[str], raw: pd.DataFrame, task: Task, cache: DataCache) -> list[str]:
    """Of each row a 3Di letter (lower case) for each residue, # where none is known.

    Args:
        sequences: canonical ones, whose structures are asked for.
        ids: of the rows.
        raw: the rows as their source has them.
        task: that has structures.
        cache: where letters of files are kept.

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
    chains = _cells(raw, task.data.structures.chain, "structures.chain", task) or [""] * len(ids)
    return _of_files(sequences, ids, named or ids, chains, task, cache)


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
    sequences: list[str], ids: list[str], named: list[str], chains: list[str], task: Task, cache: DataCache
) -> list[str]:
    """Letters of files, read once as long as none of these changes."""
    import numpy as np

    files, where = task.data.structures, f"task {task.name}"
    assert files is not None
    require_biotite(where)

    def read() -> np.ndarray[Any, Any]:
        found = []
        folder = StructureFolder(files.folder, where)
        with contextlib.closing(bar("reading structures", len(ids), unit=" proteins")) as shown:
            for sequence, name, cell, chain in zip(sequences, ids, named, chains, strict=True):
                letters = UNKNOWN * len(sequence)
                if cell:
                    asked = (cell, sequence, f"{where}, {name}", chain or None)
                    letters = folder.letters(*asked, identity=files.identity, plddt=files.plddt)
                found.append(letters)
                shown.update()
        return np.frombuffer("".join(found).encode("ascii"), dtype=np.uint8)

    rule = files.model_dump(mode="json", exclude={"folder"})
    key = [folder_digest(files, where), reader_version(), rule, sequences, named, chains]
    together = cache.array(f"structures-{digest(key)}", read).tobytes().decode("ascii")
    ends = list(itertools.accumulate(map(len, sequences)))
    return [together[start:end] for start, end in zip([0, *ends], ends, strict=False)]


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
