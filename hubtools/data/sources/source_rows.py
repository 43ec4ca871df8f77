"""The rows of a task as its source has them, joined."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from hubtools.common.errors import UserError, near
from hubtools.data.rows.annotation import Annotator
from hubtools.data.rows.sequences import canonical_sequences
from hubtools.data.sources.file_cache import DataCache
from hubtools.data.sources.known_sources import pinned, source_of
from hubtools.data.sources.table_files import renamed
from hubtools.specs.files.table_file import TableFile
from hubtools.specs.task import Task

if TYPE_CHECKING:
    import pandas as pd

# Columns that no source file can have: where a row comes from, and what it is called.
FILE, ID = "\0file", "\0id"
# Formats whose rows have a name of their own.
_OWN_IDS = {"fasta": "id", "uniprot": "accession", "swissprot": "accession", "structure": "id", "contacts": "id"}


def read_rows(task: Task, cache: DataCache, removed: Counter[str] | None = None) -> tuple[pd.DataFrame, list[str]]:
    """All rows of a task's files in one table, cells as the files have them; findings.

    FASTA files whose body is not the sequence are joined to the others by id: their body and the ``KEY=VALUE`` pairs
    of their headers become columns. The columns ``FILE`` and ``ID`` say where a row comes from and what it is called.
    A cell of a column that a row's file does not have is NaN. The columns of a file with ``joins`` that the rows lack are
    added to them. Where the task has rules for annotation, the label column
    holds what they say, and proteins to which none applies are left out and counted in ``removed``. Lookup files are
    listed and hold no rows (:func:`read_lookup`).

    Raises:
        UserError: a file cannot be had or read, or the files do not fit together.
    """
    import pandas as pd

    task, findings = pinned(task, cache)
    annotator = Annotator(task) if task.data.annotation else None
    rows = []
    facts: list[tuple[TableFile, pd.DataFrame]] = []
    joined: dict[str, list[pd.DataFrame]] = {}
    for file in task.data.files:
        table = _read(file, task, cache, annotator)
        if file.lookup:
            continue
        if file.joins is not None:
            facts.append((file, table))
            continue
        if file.joined_as is not None:
            joined.setdefault(file.joined_as, []).append(table)
            continue
        table[ID] = _ids(task, file, table)
        table[FILE] = file.name
        rows.append(table)
    if not rows:
        raise UserError(f"task {task.name}: no file holds the sequences", fix="One file needs body: sequence.")
    merged = pd.concat(rows, ignore_index=True)
    if annotator is not None:
        findings += annotator.findings()
        if removed is not None:
            removed.update(annotator.removed)
    for body, tables in joined.items():
        table = pd.concat(tables, ignore_index=True)
        if unused := int((~table["id"].isin(merged[ID])).sum()):
            findings.append(f"{unused:,} entries of {body} belong to no sequence")
        merged = _join(merged, table, body, task)
    for joining, table in facts:
        merged = _join_facts(merged, table, joining, task)
    return merged, findings


def read_lookup(task: Task, cache: DataCache) -> tuple[dict[str, str], Counter[str]] | None:
    """The sequences that rows of a task name: of pairs and of contacts the proteins, of variants the wild types.

    A lookup file is a FASTA file, or a table with the columns ``id`` and ``sequence`` (as they are called after
    ``rename``).

    Returns:
        Canonical sequences by id, and how many were altered, by reason; None where the task has no lookup file.

    Raises:
        UserError: a file cannot be had or read, a sequence cannot be, or an id has two sequences.
    """
    task = pinned(task, cache)[0]
    files = [file for file in task.data.files if file.lookup]
    if not files:
        return None
    found: dict[str, str] = {}
    changed: Counter[str] = Counter()
    for file in files:
        table, where = _read(file, task, cache), f"task {task.name}, {file.name}"
        for column in ("id", "sequence"):
            require_column(columns_present(table), column, where, "lookup")
        ids = [cell_text(value) for value in table["id"]]
        sequences, _, altered = canonical_sequences(table["sequence"].tolist(), ids, task.name)
        changed += altered
        for name, sequence in zip(ids, sequences, strict=True):
            if found.setdefault(name, sequence) != sequence:
                raise UserError(f"{name!r} has two different sequences", where=where, fix="Keep one.")
    return found, changed


def _read(file: TableFile, task: Task, cache: DataCache, annotator: Annotator | None = None) -> pd.DataFrame:
    """The rows of a file of a pinned task, columns called as the task calls them."""
    return renamed(source_of(task.data).read(file, cache, annotator), file)


def _ids(task: Task, file: TableFile, table: pd.DataFrame) -> list[str]:
    column = task.data.columns.id
    if column is None:
        column = _OWN_IDS.get(file.table_format)
        if column is None:
            return [f"{file.name}:{number}" for number in range(1, len(table) + 1)]
    require_column(columns_present(table), column, f"task {task.name}, {file.name}", "id")
    cells = table[column].tolist()
    if (odd := next((cell for cell in cells if isinstance(cell, (list, tuple, dict, set, bytes))), None)) is not None:
        raise UserError(
            f"{column} holds {str(odd)[:80]}, which is no id",
            where=f"task {task.name}, {file.name}",
            fix="Name a column of texts or numbers in data.columns.id.",
        )
    return [cell_text(value) for value in cells]


def require_column(present: list[str], column: str, file: str, role: str) -> None:
    """Make sure that a file has a column.

    Raises:
        UserError: naming the nearest one and all there are.
    """
    if column not in present:
        raise UserError(f"there is no column {column!r} (data.columns.{role})", where=file, fix=near(column, present))


def columns_present(rows: pd.DataFrame) -> list[str]:
    """The columns that the file of these rows has, which after joining files is more than the columns with values."""
    return [
        name
        for name in rows.columns
        if not name.startswith("\0") and (rows[name].notna().any() or rows[name].map(lambda cell: cell is None).any())
    ]


def cell_text(value: Any) -> str:
    """A cell as text, as conditions, ids and labels are compared: stripped; empty where there is nothing."""
    if value is None or value != value:
        return ""
    return str(value).strip()


def _join_facts(rows: pd.DataFrame, table: pd.DataFrame, file: TableFile, task: Task) -> pd.DataFrame:
    """The rows with the columns of a file of facts that they lack, by the column that both have."""
    key, where = file.joins, f"task {task.name}, {file.name}"
    assert key is not None
    for present, whose in ((columns_present(table), where), (columns_present(rows), f"task {task.name}, rows")):
        if key not in present:
            raise UserError(f"there is no column {key!r} to join by (joins)", where=whose, fix=near(key, present))
    names = table[key].map(cell_text)
    if names.duplicated().any():
        raise UserError(f"{names[names.duplicated()].iloc[0]!r} has two rows", where=where, fix="Keep one.")
    wanted = rows[key].map(cell_text)
    absent = ~wanted.isin(names)
    if absent.any():
        unknown = sorted(set(wanted[absent]))
        raise UserError(
            f"it says nothing of {unknown[0]!r} ({len(unknown):,} such values of {key})", where=where, fix="Add a row."
        )
    added = [column for column in table.columns if column not in rows.columns]
    aligned = table.set_index(names)[added].reindex(wanted).set_index(rows.index)
    return rows.assign(**{column: aligned[column] for column in added})


def _join(rows: pd.DataFrame, table: pd.DataFrame, body: str, task: Task) -> pd.DataFrame:
    repeated = table["id"][table["id"].duplicated()]
    if len(repeated):
        raise UserError(f"{repeated.iloc[0]} has two entries of {body}", where=f"task {task.name}", fix="Keep one.")
    # A row whose own file has the column needs no entry.
    needed = rows[body].isna() if body in rows else True
    absent = ~rows[ID].isin(table["id"]) & needed
    # Where this file says who is in which split, a sequence that it leaves out is in none: counted, not refused.
    rules = (task.data.splits or {}).values()
    decides = bool(rules) and all(set(rule.where) & set(table.columns) for rule in rules)
    if absent.any() and not decides:
        raise UserError(
            f"{rows[ID][absent].iloc[0]} has a sequence and no {body} ({int(absent.sum()):,} such proteins)",
            where=f"task {task.name}",
            fix=f"The identifiers in the files of sequence and {body} must be the same.",
        )
    aligned = table.set_index("id").reindex(rows[ID]).reset_index(drop=True)
    for column in aligned.columns:
        if column in rows.columns:
            both = rows[column].notna() & aligned[column].notna()
            differs = both & (rows[column] != aligned[column])
            if differs.any():
                name = rows[ID][differs].iloc[0]
                raise UserError(f"{name}: two files give different values of {column}", where=f"task {task.name}")
            rows[column] = rows[column].where(rows[column].notna(), aligned[column])
        else:
            rows[column] = aligned[column]
    return rows
