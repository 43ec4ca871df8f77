"""Variants of wild types: mutants parsed, applied to their wild type, and checked against whatever else the row says."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hubtools.common.errors import UserError, near
from hubtools.common.readers import reads
from hubtools.data.rows.sequences import canonical_sequences
from hubtools.data.sources.source_rows import ID, cell_text, columns_present, require_column
from hubtools.specs.task import Task

if TYPE_CHECKING:
    import pandas as pd

STANDARD = "ACDEFGHIKLMNPQRSTVWY"
# Columns of a variant beside id, sequence and label; all are text but `active`, which may be missing altogether.
VARIANT_COLUMNS = ("wildtype", "mutations", "group", "protein", "category")
_SUBSTITUTION = re.compile(r"([A-Z])(-?[0-9]{1,9})([A-Z])")
_WILD_TYPE = {"", "WT", "_WT", "WILDTYPE", "WILD-TYPE"}
_NOT_SUBSTITUTIONS = (
    (re.compile(r"\*|TER|STOP", re.IGNORECASE), "a stop codon"),
    (re.compile(r"DEL|-$|DUP", re.IGNORECASE), "a deletion or duplication"),
    (re.compile(r"INS", re.IGNORECASE), "an insertion"),
    (re.compile(r"FS$", re.IGNORECASE), "a frameshift"),
)


class Substitution(NamedTuple):
    """One substitution; the position counts from 0 on the wild type's sequence."""

    before: str
    position: int
    after: str

    def __str__(self) -> str:
        return f"{self.before}{self.position + 1}{self.after}"


def substitutions(mutations: str) -> list[Substitution]:
    """The canonical text of a variant (positions from 1, joined by colons) as substitutions; none for the wild type."""
    return [Substitution(part[0], int(part[1:-1]) - 1, part[-1]) for part in mutations.split(":") if part]


def canonical_variants(
    raw: pd.DataFrame, labels: Sequence[float], wild_types: dict[str, str] | None, task: Task
) -> tuple[pd.DataFrame, Counter[str], list[str]]:
    """Rows of a variant-effect task.

    Args:
        raw: rows as the files have them.
        labels: measured value of each.
        wild_types: sequences of the lookup files by id; None where a column of the rows holds the sequence itself.
        task: the task.

    Returns:
        Rows with ``id``, ``sequence`` (the mutated one), ``label``, ``cluster`` (None), the text columns of
        ``VARIANT_COLUMNS`` and, where the task says what is functional, ``active`` (0 or 1). ``mutations`` is written
        as A42G:D50N with positions from 1 on the wild type's sequence, in order, and is empty for the wild type.
        Then how many sequences were altered, by reason, and findings.

    Raises:
        UserError: a mutant that is not made of substitutions, does not fit its wild type, or is not the sequence
            that stands beside it.
    """
    import pandas as pd

    columns, ids = task.data.columns, raw[ID].tolist()
    names, wild, changed = _wild_types(raw, wild_types, task)
    cells = [cell_text(cell) for cell in _cells(raw, columns.mutant, "mutant", task)]
    parsed = [_parse(cell, sequence, name, task) for cell, sequence, name in zip(cells, wild, ids, strict=True)]
    _refuse_mismatch(parsed, wild, ids, task)
    mutated = [_applied(sequence, changes) for sequence, changes in zip(wild, parsed, strict=True)]
    _prove_sequences(raw, mutated, task)
    given = {
        key: [cell_text(cell) for cell in _cells(raw, column, key, task)]
        for key in ("group", "protein", "category")
        if (column := getattr(columns, key))
    }
    group = given.get("group", names)
    rows = pd.DataFrame(
        {
            "id": ids,
            "sequence": mutated,
            "wildtype": wild,
            "mutations": [":".join(map(str, changes)) for changes in parsed],
            "group": group,
            "protein": given.get("protein", group),
            "category": given.get("category", [""] * len(ids)),
        },
        dtype=object,
    )
    rows["label"] = pd.Series(list(labels), dtype=object)
    rows["cluster"] = pd.Series([None] * len(ids), dtype=object)
    if columns.active:
        rows["active"] = _active(_cells(raw, columns.active, "active", task), ids, task)
    _one_sequence_an_assay(rows, task)
    return rows, changed, _findings(rows)


def _cells(raw: pd.DataFrame, column: str | None, role: str, task: Task) -> list[Any]:
    assert column is not None
    require_column(columns_present(raw), column, f"task {task.name}", role)
    return raw[column].tolist()


def _wild_types(
    raw: pd.DataFrame, known: dict[str, str] | None, task: Task
) -> tuple[list[str], list[str], Counter[str]]:
    """Name and sequence of each row's wild type, and how many sequences were altered, by reason."""
    column = task.data.columns.reference
    if known is not None and column is None:
        if len(known) > 1:
            raise UserError(
                f"the lookup file holds {len(known):,} sequences, and nothing says which is a row's wild type",
                where=f"task {task.name}",
                fix="Name the column under data.columns.reference.",
            )
        name, sequence = next(iter(known.items()))
        return [name] * len(raw), [sequence] * len(raw), Counter()
    cells = _cells(raw, column, "reference", task)
    if known is not None:
        names = [cell_text(cell) for cell in cells]
        for row, name in zip(raw[ID], names, strict=True):
            if name not in known:
                raise UserError(
                    f"there is no wild type {name!r} in the lookup files",
                    where=f"task {task.name}, {row}",
                    fix=near(name, known),
                )
        return names, [known[name] for name in names], Counter()
    # The column holds the sequences: each distinct one is brought into form once.
    distinct = list(dict.fromkeys(cells))
    first = {cell: row for row, cell in reversed(list(zip(raw[ID], cells, strict=True)))}
    sequences, _, changed = canonical_sequences(distinct, [first[cell] for cell in distinct], task.name)
    of = dict(zip(distinct, sequences, strict=True))
    name_of = {cell: f"wild type {hashlib.sha256(of[cell].encode()).hexdigest()[:8]}" for cell in distinct}
    return [name_of[cell] for cell in cells], [of[cell] for cell in cells], changed


@reads("mutant cell")
def _parse(cell: str, wild: str, name: str, task: Task) -> list[Substitution]:
    """The substitutions of one cell, in order of position; a residue that stays what it was is none."""
    if cell.upper() in _WILD_TYPE:
        return []
    where, found = f"task {task.name}, {name}", {}
    for part in re.split(r"[:,]", cell):
        match = _SUBSTITUTION.fullmatch(part.strip())
        if match is None or match[1] not in STANDARD or match[3] not in STANDARD:
            what = next((noun for pattern, noun in _NOT_SUBSTITUTIONS if pattern.search(part)), None)
            raise UserError(
                f"{part.strip()!r} is {what}" if what else f"{part.strip()!r} is no substitution",
                where=where,
                fix="Only substitutions by one of the twenty amino acids can be scored, such as A42G or A42G:D50N. "
                "Remove the row.",
            )
        position = int(match[2]) - task.data.first_residue
        if position in found:
            raise UserError(f"residue {match[2]} is mutated twice in {cell!r}", where=where, fix="Correct the row.")
        found[position] = Substitution(match[1], position, match[3])
    return [found[position] for position in sorted(found)]


def _refuse_mismatch(parsed: list[list[Substitution]], wild: list[str], ids: list[str], task: Task) -> None:
    """Raise where a mutant names another residue than the wild type has there; drop what changes nothing."""
    start = task.data.first_residue
    for changes, sequence, name in zip(parsed, wild, ids, strict=True):
        for before, position, after in changes:
            inside = 0 <= position < len(sequence)
            if inside and sequence[position] == before:
                continue
            if inside:
                why = f"the wild type has {sequence[position]} at {position + start}, not {before}"
            else:
                why = f"the wild type is residues {start} to {start + len(sequence) - 1}"
            raise UserError(
                f"{before}{position + start}{after}: {why}",
                where=f"task {task.name}, {name}",
                fix=_numbering(parsed, wild, sequence, start),
            )
        changes[:] = [change for change in changes if change.before != change.after]


def _numbering(parsed: list[list[Substitution]], wild: list[str], sequence: str, start: int) -> str:
    """The remedy: another number of the first residue where one makes all mutants of the sequence fit."""
    named = {
        (change.position + start, change.before)
        for changes, own in zip(parsed, wild, strict=True)
        if own == sequence
        for change in changes
    }
    low, high = min(number for number, _ in named), max(number for number, _ in named)
    fitting = [
        first
        for first in range(high - len(sequence) + 1, low + 1)
        if all(sequence[number - first] == letter for number, letter in named)
    ]
    if len(fitting) == 1:
        return f"With data.first_residue: {fitting[0]} all its mutants fit."
    return f"data.first_residue ({start}) is the number of the wild type's first residue in the names of mutants."


def _applied(wild: str, changes: list[Substitution]) -> str:
    letters = list(wild)
    for change in changes:
        letters[change.position] = change.after
    return "".join(letters)


def _prove_sequences(raw: pd.DataFrame, mutated: list[str], task: Task) -> None:
    """Where the rows hold sequences too: each is the mutant applied to the wild type."""
    columns = task.data.columns
    present = columns.residues in columns_present(raw)
    if not present and "sequence" not in columns.model_fields_set:
        return
    cells = _cells(raw, columns.residues, "sequence", task)
    sequences, _, _ = canonical_sequences(cells, raw[ID].tolist(), task.name)
    for name, given, expected in zip(raw[ID], sequences, mutated, strict=True):
        if given == expected:
            continue
        where = f"task {task.name}, {name}"
        if len(given) != len(expected):
            what = f"its sequence has {len(given):,} residues, the mutant applied to the wild type {len(expected):,}"
        else:
            at = next(i for i, (a, b) in enumerate(zip(given, expected, strict=True)) if a != b)
            number = at + task.data.first_residue
            what = f"its sequence has {given[at]} at {number}, the mutant applied to the wild type {expected[at]}"
        raise UserError(what, where=where, fix="Correct the row, data.columns.mutant or the wild type.")


def _active(cells: list[Any], ids: list[str], task: Task) -> list[int]:
    known = {"1": 1, "0": 0, "1.0": 1, "0.0": 0, "true": 1, "false": 0}
    active = []
    for cell, name in zip(cells, ids, strict=True):
        text = cell_text(cell).lower()
        if text not in known:
            raise UserError(
                f"{cell_text(cell)!r} does not say whether the variant is functional",
                where=f"task {task.name}, {name}",
                fix="data.columns.active names a column of 0 and 1.",
            )
        active.append(known[text])
    return active


def _one_sequence_an_assay(rows: pd.DataFrame, task: Task) -> None:
    """An assay is of one protein in one category: otherwise means over them are not defined."""
    for key, noun in (("wildtype", "wild types"), ("protein", "proteins"), ("category", "categories")):
        several = rows.groupby("group", sort=False)[key].nunique()
        if (several > 1).any():
            raise UserError(
                f"the assay {several[several > 1].index[0]} has {several.max()} {noun}",
                where=f"task {task.name}",
                fix=f"Correct data.columns.group{'' if key == 'wildtype' else f' or data.columns.{key}'}.",
            )


def _findings(rows: pd.DataFrame) -> list[str]:
    """Lines about variants that an assay measured more than once, and about the wild type among them."""
    lines = []
    keys = rows["group"] + "\0" + rows["sequence"]
    if repeated := int(keys.duplicated().sum()):
        differ = int((rows["label"].astype(float).groupby(keys).nunique() > 1).sum())
        line = f"{repeated:,} rows repeat a variant of the same assay"
        lines.append(f"{line}, {differ:,} variants have different values" if differ else line)
    if wild := int((rows["mutations"] == "").sum()):
        lines.append(f"{wild:,} rows are the wild type itself: their score is 0")
    return lines


def depth(rows: Any) -> np.ndarray:
    """Number of substitutions of each variant: (n,)."""
    return np.array([mutations.count(":") + 1 if mutations else 0 for mutations in rows["mutations"]])
