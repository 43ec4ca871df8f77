"""Rows as the files have them -> canonical rows: ids proven unique, sequences and labels in the one form."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from hubtools.common.errors import UserError
from hubtools.data.rows.chain_breaks import canonical_chains, split_chains
from hubtools.data.rows.dates import of_sequences, public_days
from hubtools.data.rows.labels import Labels, without_labels
from hubtools.data.rows.pairs import canonical_pairs, looked_up
from hubtools.data.rows.sequences import canonical_sequences
from hubtools.data.rows.variants import canonical_variants
from hubtools.data.sources.file_cache import DataCache
from hubtools.data.sources.source_rows import FILE, ID, cell_text, columns_present, read_lookup, require_column
from hubtools.data.structures.contacts import listed
from hubtools.specs.task import Task

if TYPE_CHECKING:
    import pandas as pd

# Rows; how many sequences were altered, by reason; findings.
Canonical = tuple["pd.DataFrame", Counter[str], list[str]]


def refuse_ids(raw: pd.DataFrame, task: Task) -> None:
    """Raise for a row without a name, and for a name of two rows."""
    ids = raw[ID].tolist()
    if "" in ids:
        raise UserError("a protein has no id", where=f"task {task.name}, {raw[FILE].iloc[ids.index('')]}")
    if repeated := [name for name, count in Counter(ids).items() if count > 1]:
        raise UserError(
            f"{len(repeated):,} ids occur more than once, the first is {repeated[0]!r}",
            where=f"task {task.name}",
            fix="Predictions are kept by id: make them unique, or name another column in data.columns.id.",
        )


def labelled(raw: pd.DataFrame, task: Task, removed: Counter[str]) -> pd.DataFrame:
    """The rows that have a label, by what the task file says of those that have none; the others are counted.

    Raises:
        UserError: no row has one.
    """
    column = task.data.columns.label
    if not task.data.masked_labels or column not in raw:
        return raw
    missing = without_labels(raw[column].tolist(), task)
    if missing.all():
        raise UserError(
            f"no row has a label: all {len(raw):,} cells of {column} are in masked_labels",
            where=f"task {task.name}",
            fix="Correct data.masked_labels, or data.columns.label.",
        )
    if missing.any():
        removed["no label"] += int(missing.sum())
        raw = raw[~missing].reset_index(drop=True)
    return raw


def protein_rows(raw: pd.DataFrame, task: Task, cache: DataCache) -> Canonical:
    """One protein a row, with one label."""
    ids, labels = raw[ID].tolist(), Labels(task)
    sequences, changed = _sequences(raw, ids, task)
    given = column_cells(raw, task.data.columns.label, "label", task)
    encoded = [labels.protein(cell, name) for cell, name in zip(given, ids, strict=True)]
    return of_proteins(raw, sequences, encoded, task), changed, [task.chains_told] if task.chains > 1 else []


def _sequences(raw: pd.DataFrame, ids: list[str], task: Task) -> tuple[list[str], Counter[str]]:
    """Canonical sequences of proteins of one chain, or of several; how many were altered, by reason."""
    data = task.data
    if data.columns.chains:
        columns = [column_cells(raw, column, "sequence", task) for column in data.columns.chains]
        return canonical_chains(columns, data.chain_names, ids, task.name)
    cells = column_cells(raw, data.columns.residues, "sequence", task)
    if data.chains is not None:
        return canonical_chains(split_chains(cells, ids, data.chains, task.name), data.chain_names, ids, task.name)
    sequences, _, changed = canonical_sequences(cells, ids, task.name, gaps=True)
    return sequences, changed


def residue_rows(raw: pd.DataFrame, task: Task, cache: DataCache) -> Canonical:
    """One protein a row, with a label for each residue."""
    columns, ids, labels = task.data.columns, raw[ID].tolist(), Labels(task)
    cells = column_cells(raw, columns.residues, "sequence", task)
    sequences, sites, changed = canonical_sequences(cells, ids, task.name, task.data.site_marker)
    # Where a mark in the sequence says it, there is no column of labels.
    given: list[Any] = [None] * len(ids) if sites is not None else column_cells(raw, columns.label, "label", task)
    masks = _masks(raw, columns.mask, task)
    marks = [None] * len(ids) if sites is None else sites
    encoded = [
        labels.residues(cell, sequence, name, mask, marked)
        for cell, sequence, name, mask, marked in zip(given, sequences, ids, masks, marks, strict=True)
    ]
    return of_proteins(raw, sequences, encoded, task), changed, []


def of_proteins(raw: pd.DataFrame, sequences: list[str], labels: list[Any], task: Task) -> pd.DataFrame:
    """Rows of one protein each, with labels in canonical form, and the clusters and dates of columns, if there are any."""
    import pandas as pd

    rows = pd.DataFrame({"id": raw[ID].tolist(), "sequence": sequences}, dtype=object)
    rows["label"] = pd.Series(labels, dtype=object)
    rows["cluster"] = pd.Series(_given_clusters(raw, task), dtype=object)
    if task.data.columns.date:
        rows["date"] = pd.Series(of_sequences(public_days(raw, task), sequences), dtype=object)
    return rows


def pair_rows(raw: pd.DataFrame, task: Task, cache: DataCache) -> Canonical:
    """Two proteins a row, from its own columns or a lookup file."""
    columns = task.data.columns
    assert columns.partner is not None
    first = column_cells(raw, columns.residues, "sequence", task)
    second = column_cells(raw, columns.partner, "partner", task)
    labels = column_cells(raw, columns.label, "label", task)
    lookup, altered = read_lookup(task, cache) or (None, Counter())
    rows, changed, findings = canonical_pairs(raw[ID].tolist(), first, second, labels, task, lookup)
    return rows, changed + altered, findings


def contact_rows(raw: pd.DataFrame, task: Task, cache: DataCache) -> Canonical:
    """One protein a row, with a label for each pair of its residues."""
    ids = raw[ID].tolist()
    cells = column_cells(raw, task.data.columns.residues, "sequence", task)
    if (known := read_lookup(task, cache)) is not None:
        lookup, altered = known
        sequences, changed = (
            [looked_up(cell_text(cell), name, lookup, task) for cell, name in zip(cells, ids, strict=True)],
            altered,
        )
    else:
        sequences, _, changed = canonical_sequences(cells, ids, task.name)
    _same_length(raw, ids, sequences, task)
    given = column_cells(raw, task.data.columns.label, "label", task)
    labels = [
        listed(cell, len(sequence), f"task {task.name}, {name}")
        for cell, sequence, name in zip(given, sequences, ids, strict=True)
    ]
    return of_proteins(raw, sequences, labels, task), changed, []


def _same_length(raw: pd.DataFrame, ids: list[str], sequences: list[str], task: Task) -> None:
    """Raise where a matrix of contacts is of another number of residues than its sequence has."""
    if not any(file.table_format == "contacts" for file in task.data.files):
        return
    for name, sequence, residues in zip(ids, sequences, raw["residues"], strict=True):
        if isinstance(residues, int) and residues != len(sequence):
            raise UserError(
                f"its contacts are of {residues:,} residues, its sequence has {len(sequence):,}",
                where=f"task {task.name}, {name}",
                fix="Name the sequence that the matrix is of.",
            )


def variant_rows(raw: pd.DataFrame, task: Task, cache: DataCache) -> Canonical:
    """A mutant of a wild type a row, with its measured value."""
    wild_types, altered = read_lookup(task, cache) or (None, Counter())
    labels, cells = Labels(task), column_cells(raw, task.data.columns.label, "label", task)
    values = [labels.protein(cell, name) for cell, name in zip(cells, raw[ID], strict=True)]
    rows, changed, findings = canonical_variants(raw, values, wild_types, task)
    return rows, changed + altered, findings


def column_cells(raw: pd.DataFrame, column: str, role: str, task: Task) -> list[Any]:
    """The cells of a column that every row needs."""
    for name, part in raw.groupby(FILE, sort=False):
        require_column(columns_present(part), column, f"task {task.name}, {name}", role)
        missing = part[column].isna()
        if missing.any():
            raise UserError(
                f"{part[ID][missing].iloc[0]} has no {column} ({int(missing.sum()):,} such rows)",
                where=f"task {task.name}, {name}",
                fix="Complete or remove these rows"
                + (', or leave them out: masked_labels: [""] under data.' if role == "label" else "."),
            )
    return raw[column].tolist()


def _masks(raw: pd.DataFrame, column: str | None, task: Task) -> list[Any]:
    """The mask of each row; None where the task has none, or says that a file has none."""
    masked = ~raw[FILE].isin([file.name for file in task.data.files if file.unmasked]).to_numpy()
    if column is None or not masked.any():
        return [None] * len(raw)
    given = iter(column_cells(raw[masked], column, "mask", task))
    return [next(given) if has else None for has in masked]


def _given_clusters(raw: pd.DataFrame, task: Task) -> list[str | None]:
    """The cluster column; None where a row, or its whole file, has none."""
    column = task.data.columns.cluster
    if column is None:
        return [None] * len(raw)
    require_column(columns_present(raw), column, f"task {task.name}", "cluster")
    return [cell_text(cell) or None for cell in raw[column]]
