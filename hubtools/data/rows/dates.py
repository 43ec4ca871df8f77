"""When proteins became public: the days that rows name, and how many of them are after a day."""

from __future__ import annotations

import calendar
import re
from collections.abc import Iterable
from datetime import date
from typing import TYPE_CHECKING

from hubtools.common.errors import UserError
from hubtools.data.sources.source_rows import ID, cell_text, columns_present, require_column
from hubtools.specs.task import Task

if TYPE_CHECKING:
    import pandas as pd

_MONTHS = {name.upper(): number for number, name in enumerate(calendar.month_abbr) if name}
# The time of a day, as tables of days have it, says nothing more.
_ISO = re.compile(r"(\d{4})(?:-(\d{2})(?:-(\d{2})(?:[T ][\d:.]+)?)?)?", re.ASCII)
_UNIPROT = re.compile(r"(\d{2})-([A-Za-z]{3})-(\d{4})", re.ASCII)


def first_day(text: str) -> date:
    """The day of a text; of a month or a year its first one.

    Raises:
        ValueError: it is no day.
    """
    if found := _ISO.fullmatch(text):
        return date(int(found[1]), int(found[2] or 1), int(found[3] or 1))
    if (found := _UNIPROT.fullmatch(text)) and (month := _MONTHS.get(found[2].upper())):
        return date(int(found[3]), month, int(found[1]))
    raise ValueError(text)


def last_day(text: str) -> date:
    """The day of a text as :class:`hubtools.specs.split_rules.Day` writes it; of a month or a year its last one."""
    year, month, day = (*map(int, text.split("-")), *[0, 0])[:3]
    month = month or 12
    return date(year, month, day or calendar.monthrange(year, month)[1])


def public_days(rows: pd.DataFrame, task: Task) -> list[date | None]:
    """The day on which the protein of each row became public: of several columns the earliest, None where none says it.

    Args:
        rows: as the files have them.
        task: names the columns.

    Raises:
        UserError: a column is not there, or a cell is no day.
    """
    found: list[date | None] = [None] * len(rows)
    for column in task.data.columns.date:
        require_column(columns_present(rows), column, f"task {task.name}", "date")
        for place, cell in enumerate(rows[column]):
            text = cell_text(cell).removesuffix(".0")
            if not text:
                continue
            try:
                day = first_day(text)
            except ValueError:
                raise UserError(
                    f"{column} holds {text[:80]!r}, which is no day",
                    where=f"task {task.name}, {rows[ID].iloc[place]}",
                    fix="Write days as 2021-11-17, or leave the cell empty where none is known.",
                ) from None
            known = found[place]
            found[place] = day if known is None else min(day, known)
    return found


def of_sequences(days: Iterable[date | None], sequences: list[str]) -> list[date | None]:
    """The day of each sequence: where it is there twice, the earlier one."""
    pairs = list(zip(sequences, days, strict=True))
    earliest: dict[str, date] = {}
    for sequence, day in pairs:
        if day is not None:
            earliest[sequence] = min(day, earliest.get(sequence, day))
    return [earliest.get(sequence) for sequence in sequences]


def newer(days: Iterable[date | None], until: str) -> int:
    """How many are after a day, month or year; one of a month or year counts where all of that is after."""
    limit = last_day(until)
    return sum(day is not None and day > limit for day in days)
