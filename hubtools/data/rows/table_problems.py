"""Everything that is wrong with a user's table, looked for at once: who corrects a sheet wants the whole list."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from hubtools.data.rows.inspection import NO_NUMBER, NUMBER, UserTable
from hubtools.data.rows.label_cells import label_text, one_value
from hubtools.data.rows.label_guesses import has_label
from hubtools.data.rows.sequences import remedy, without_gaps
from hubtools.specs.problem import Problem

_NO_RESIDUE = re.compile(r"[^A-Z\s]")
# Rows that a line names.
_NAMED = 5


def problems_of(
    sheet: UserTable, sequences: Sequence[str], label: str, row_id: str | None, problem: Problem
) -> list[tuple[str, int]]:
    """What is wrong, a line each, and in how many rows.

    Args:
        sheet: the table.
        sequences: columns of sequences.
        label: column of the labels.
        row_id: column of unique names, if there is one.
        problem: that the labels are meant for.
    """
    names = [f"row {number:,}" for number in range(1, len(sheet.columns[label]) + 1)]
    if row_id is not None:
        names = [f"{name} ({text})" if text else name for name, text in zip(names, sheet.texts(row_id), strict=True)]
    found: list[tuple[str, int]] = []

    def add(what: str, rows: list[int], fix: str) -> None:
        if rows:
            several = f"{what} in {len(rows):,} rows" if len(rows) > 1 else what
            shown = ", ".join(names[row] for row in rows[:_NAMED]) + (" …" if len(rows) > _NAMED else "")
            found.append((f"{several}: {shown}. {fix}", len(rows)))

    for column in sequences:
        texts = sheet.texts(column)
        add(
            f"no sequence in {column!r}",
            [row for row, text in enumerate(texts) if not text],
            "Complete or remove them.",
        )
        odd: dict[str, list[int]] = {}
        if not problem.level.by_residue:
            texts = [without_gaps(text) for text in texts]
        for row, text in enumerate(texts):
            for letter in dict.fromkeys(_NO_RESIDUE.findall(text.rstrip("*").upper())):
                odd.setdefault(letter, []).append(row)
        for letter, rows in odd.items():
            at = texts[rows[0]].upper().index(letter) + 1
            add(f"{letter!r} in {column!r}, first at position {at}, is no residue", rows, remedy(letter))
    if row_id is not None:
        counts = Counter(sheet.texts(row_id))
        twice = [row for row, text in enumerate(sheet.texts(row_id)) if text and counts[text] > 1]
        add(f"an id in {row_id!r} that is not unique", twice, "Rename or remove them, or use --id none.")
    cells = sheet.columns[label]
    if problem.kind == "regression" and problem.level.proteins and not problem.level.by_residue:
        values = [label_text(one_value(cell)) for cell in cells]
        no_numbers = [
            row
            for row, text in enumerate(values)
            if has_label(cells[row]) and not NUMBER.fullmatch(text) and text.lower() not in NO_NUMBER
        ]
        shown = ", ".join(dict.fromkeys(repr(values[row])[:20] for row in no_numbers[:_NAMED]))
        add(f"no number in {label!r} ({shown})", no_numbers, "Correct them, or say that they are none: --masked-label.")
    return found
