"""The rows of a task as its sources have them: fetched, read, joined."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hubtools.common.errors import UserError, near
from hubtools.common.hashing import digest, file_sha256
from hubtools.data.rows.annotation import Annotator, entry_of_row
from hubtools.data.rows.sequences import canonical_sequences
from hubtools.data.sources.file_cache import DataCache
from hubtools.data.sources.pins import pinned
from hubtools.data.sources.swissprot import read_entries
from hubtools.data.sources.table_files import arrow_to_rows, read_table, renamed
from hubtools.data.sources.uniprot_answers import frozen_file, read_answer
from hubtools.specs.data_sources import HubData, HubFile, LocalData, PackageData, TableFile, UniProtData
from hubtools.specs.record import SourceFile
from hubtools.specs.task import Task

if TYPE_CHECKING:
    import pandas as pd

# Columns that no source file can have: where a row comes from, and what it is called.
FILE, ID = "\0file", "\0id"
# Formats whose rows have a name of their own.
_OWN_IDS = {"fasta": "id", "uniprot": "accession", "swissprot": "accession"}


def source_digest(task: Task, cache: DataCache) -> str:
    """What the data of a task are, without reading a row: part of a run's identity.

    The sha256 of files at addresses and in packages, the content of local files, the commit of a data set on the Hub,
    the rows of an answer of UniProt. What the task file does not pin is resolved first.

    Raises:
        UserError: a local file is missing, or a source that is not pinned cannot be had.
    """
    data = pinned(task, cache)[0].data
    if isinstance(data, UniProtData):
        assert data.frozen is not None
        return digest({"rows": data.frozen.sha256})
    if isinstance(data, HubData):
        return digest({"dataset": data.dataset, "config": data.config, "revision": data.revision})
    if isinstance(data, LocalData):
        return digest({"sha256": [file_sha256(cache.fetch(file)) for file in data.files]})
    return digest({"sha256": [file.sha256 for file in data.files]})


def read_rows(
    task: Task, cache: DataCache, removed: Counter[str] | None = None
) -> tuple[pd.DataFrame, list[SourceFile], list[str]]:
    """All rows of a task's files in one table, cells as the files have them; what the files are; findings.

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
    rows, sources = [], []
    facts: list[tuple[TableFile, pd.DataFrame]] = []
    joined: dict[str, list[pd.DataFrame]] = {}
    for file in task.data.files:
        table, source = _read(file, task, cache, annotator)
        sources.append(source)
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
    return merged, sources, findings


def read_lookup(task: Task, cache: DataCache) -> tuple[dict[str, str], Counter[str]] | None:
    """The sequences that rows of a task name: of pairs the proteins, of variants the wild types.

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
        table, where = _read(file, task, cache)[0], f"task {task.name}, {file.name}"
        for column in ("id", "sequence"):
            require_column(columns_present(table), column, where, "lookup")
        ids = [cell_text(value) for value in table["id"]]
        sequences, _, altered = canonical_sequences(table["sequence"].tolist(), ids, task.name)
        changed += altered
        for name, sequence in zip(ids, sequences, strict=True):
            if found.setdefault(name, sequence) != sequence:
                raise UserError(f"{name!r} has two different sequences", where=where, fix="Keep one.")
    return found, changed


def _read(
    file: TableFile, task: Task, cache: DataCache, annotator: Annotator | None = None
) -> tuple[pd.DataFrame, SourceFile]:
    data = task.data
    if isinstance(data, UniProtData):
        return _read_uniprot(file, data, task, cache, annotator)
    if isinstance(data, HubData):
        assert isinstance(file, HubFile)
        return renamed(_read_hub(file, data), file), SourceFile(name=file.name, location=f"{data.dataset}:{file.split}")
    path: Path = cache.fetch(file, data if isinstance(data, PackageData) else None)
    sha256 = getattr(file, "sha256", None) or file_sha256(path)
    if file.table_format == "swissprot":
        return _read_swissprot(file, path, annotator), SourceFile(name=file.name, location=file.location, sha256=sha256)
    return read_table(file, path), SourceFile(name=file.name, location=file.location, sha256=sha256)


def fetch_sources(task: Task, cache: DataCache) -> list[Path]:
    """Everything a pinned task reads, on this machine: the paths of its files. A data set on the Hub is in the cache
    of ``datasets`` and gives none.

    Raises:
        UserError: a source cannot be had.
    """
    data = task.data
    if isinstance(data, UniProtData):
        return [frozen_file(data, cache)]
    if isinstance(data, HubData):
        _prepared(data)
        return []
    return [cache.fetch(file, data if isinstance(data, PackageData) else None) for file in data.files]


def _read_uniprot(
    file: TableFile, data: UniProtData, task: Task, cache: DataCache, annotator: Annotator | None
) -> tuple[pd.DataFrame, SourceFile]:
    path = frozen_file(data, cache)
    table = read_answer(data, path)
    if annotator is not None:
        where = f"task {task.name}"
        read = annotator.rules.fields
        entries = (entry_of_row(row, read, where) for row in table.to_dict("records"))
        labels = [annotator.label(entry) for entry in entries]
        kept = [label is not None for label in labels]
        table = table[kept].drop(columns=[name for name in read if name not in data.fields])
        table[data.columns.label] = _objects([label for label in labels if label is not None], table.index)
        _refuse_nothing_left(len(table), annotator, data.query)
    location = f"{file.location}: {data.query}"
    return table, SourceFile(name=file.name, location=location, sha256=file_sha256(path))


def _read_swissprot(file: TableFile, path: Path, annotator: Annotator | None) -> pd.DataFrame:
    """The labelled entries of a flat file; the others are dropped as they are read."""
    import pandas as pd

    if annotator is None:
        raise UserError(
            "a Swiss-Prot file has no column of labels",
            where=file.location,
            fix="Say how labels are read: data.annotation.",
        )
    columns: dict[str, list[Any]] = {"accession": [], "id": [], "organism_id": [], "sequence": []}
    labels = []
    for entry in read_entries(file, path, annotator.rules.fields):
        label = annotator.label(entry)
        if label is None:
            continue
        labels.append(label)
        for name, value in zip(columns, (entry.accession, entry.name, entry.organism_id, entry.sequence), strict=True):
            columns[name].append(value)
    _refuse_nothing_left(len(labels), annotator, file.location)
    table = pd.DataFrame(columns, dtype=object)
    table[annotator.task.data.columns.label] = _objects(labels, table.index)
    return table


def _objects(values: list[Any], index: Any) -> pd.Series:
    """A column of objects, one a row, also where they are arrays."""
    import pandas as pd

    cells = np.empty(len(values), dtype=object)
    for position, value in enumerate(values):
        cells[position] = value
    return pd.Series(cells, index=index)


def _refuse_nothing_left(rows: int, annotator: Annotator, where: str) -> None:
    if not rows:
        why = "; ".join(annotator.findings()) or "it has no entries"
        raise UserError(f"no protein has a label ({why})", where=where, fix="Correct data.annotation.")


def _read_hub(file: HubFile, data: HubData) -> pd.DataFrame:
    builder = _prepared(data)
    try:
        rows = builder.as_dataset(split=file.split)
    except (OSError, ValueError) as error:
        raise _hub_failure(error, data) from None
    return arrow_to_rows(rows.with_format("arrow")[:])


def _prepared(data: HubData) -> Any:
    """The builder of a data set whose files are on this machine."""
    import datasets

    assert data.revision is not None
    try:
        builder = datasets.load_dataset_builder(data.dataset, data.config, revision=data.revision)
        # Where the Hub does not answer, datasets takes whatever revision it has kept, and says so only in its log.
        if builder.hash != data.revision:
            raise UserError(
                f"the Hub cannot be reached, and another revision is in the cache ({builder.hash:.8})",
                where=f"{data.dataset} at {data.revision[:8]}",
                fix="Check the network and HF_ENDPOINT, or try later.",
            )
        builder.download_and_prepare()
    except (OSError, ValueError) as error:
        # datasets' and huggingface_hub's own errors are all of these two kinds.
        raise _hub_failure(error, data) from None
    return builder


def _hub_failure(error: OSError | ValueError, data: HubData) -> UserError:
    """One line for what ``datasets`` raises; it drops the Hub's own answer as cause, so its words have to do."""
    line = (str(error).strip() or type(error).__name__).splitlines()[0]
    if "gated dataset" in line:
        what = "the data set is gated and this token has no access"
        fix = f"Ask for access on https://huggingface.co/datasets/{data.dataset}, then run: hf auth login."
    elif line.startswith("Revision "):
        what, fix = "the data set has no such revision", "Correct data.revision."
    elif "doesn't exist on the Hub" in line:
        what = "the Hub has no such data set, or this token may not see it"
        fix = "Correct data.dataset; for a private one run: hf auth login."
    elif isinstance(error, ValueError):
        # An unknown configuration or split: the line lists those that there are.
        what, fix = line, "Correct data.config or the file's split."
    else:
        what, fix = f"the Hub cannot be read ({line})", "Check the network and HF_ENDPOINT, or try later."
    return UserError(what, where=f"{data.dataset} at {(data.revision or 'main')[:8]}", fix=fix)


def _ids(task: Task, file: TableFile, table: pd.DataFrame) -> list[str]:
    column = task.data.columns.id
    if column is None:
        column = _OWN_IDS.get(file.table_format)
        if column is None:
            return [f"{file.name}:{number}" for number in range(1, len(table) + 1)]
    require_column(columns_present(table), column, f"task {task.name}, {file.name}", "id")
    return [cell_text(value) for value in table[column]]


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
