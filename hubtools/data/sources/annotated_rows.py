"""Rows whose labels are read from annotation: entries of Swiss-Prot files, and of answers of UniProt."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hubtools.common.errors import UserError
from hubtools.data.rows.annotation import Annotator, entry_of_row
from hubtools.data.sources.swissprot import DATES, read_entries
from hubtools.specs.data_sources import UniProtData
from hubtools.specs.files.table_file import TableFile

if TYPE_CHECKING:
    import pandas as pd


def labelled_answer(table: pd.DataFrame, data: UniProtData, annotator: Annotator) -> pd.DataFrame:
    """The entries of an answer that have a label, without the columns that it was read from."""
    where = f"task {annotator.task.name}"
    read = annotator.rules.fields
    labels = [annotator.label(entry_of_row(row, read, where)) for row in table.to_dict("records")]
    kept = [label is not None for label in labels]
    table = table[kept].drop(columns=[name for name in read if name not in data.fields])
    table[data.columns.label] = _objects([label for label in labels if label is not None], table.index)
    _refuse_nothing_left(len(table), annotator, data.query)
    return table


def labelled_entries(file: TableFile, path: Path, annotator: Annotator | None) -> pd.DataFrame:
    """The labelled entries of a flat file; the others are dropped as they are read."""
    import pandas as pd

    if annotator is None:
        raise UserError(
            "a Swiss-Prot file has no column of labels",
            where=file.location,
            fix="Say how labels are read: data.annotation.",
        )
    columns: dict[str, list[Any]] = {"accession": [], "id": [], "organism_id": [], "sequence": []}
    columns |= {name: [] for name in DATES}
    labels = []
    for entry in read_entries(file, path, annotator.rules.fields):
        label = annotator.label(entry)
        if label is None:
            continue
        labels.append(label)
        values = (entry.accession, entry.name, entry.organism_id, entry.sequence)
        for name, value in zip(columns, (*values, *map(entry.dates.get, DATES)), strict=True):
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
