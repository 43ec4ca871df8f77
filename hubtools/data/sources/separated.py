"""Rows of CSV and TSV, one at a time: strict about quotes and the number of fields, so that no row is lost unseen."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from itertools import islice

from hubtools.common.bounds import LONGEST_LINE
from hubtools.common.errors import UserError
from hubtools.common.readers import reads
from hubtools.data.sources.streams import LINE_END

# The csv module refuses cells of more than 128 KiB unless told; per-residue labels of a long protein are longer.
csv.field_size_limit(LONGEST_LINE)
_SEPARATORS = {"csv": ",", "tsv": "\t"}
_FIX = "Check the separator, quotes around cells that hold it, and what is above the names of the columns (skip_rows)."
# A field of at least so many capital letters and nothing else is taken for a protein.
_PROTEIN = 10


@reads("lines of CSV or TSV")
def separated_rows(
    lines: Iterable[str],
    table_format: str,
    where: str,
    *,
    header: list[str] | None = None,
    skip: int = 0,
    separator: str | None = None,
) -> tuple[list[str], Iterator[list[str]]]:
    """The names of the columns, and the rows below them as they are asked for. Lines whose fields are all empty are no rows.

    Args:
        lines: with what ends them.
        table_format: csv or tsv.
        where: what messages call the file.
        header: names of the columns, where the file has none.
        skip: lines at the top that do not belong to the table.
        separator: between fields; by default a comma, of TSV a tab.

    Raises:
        UserError: there is no row, two columns have one name, or ``header`` is not as long as a row; while rows
            are read, a quote that is not closed or a row with another number of fields, with the row and line where
            it begins.
    """
    rows = _rows(lines, table_format, where, skip, 1 if header is not None else 0, separator)
    return named_columns(rows, table_format, where, header)


def named_columns(
    rows: Iterator[list[str]], table_format: str, where: str, header: list[str] | None = None
) -> tuple[list[str], Iterator[list[str]]]:
    """The names of the columns, which the first row says unless they are given, and the rows below.

    Raises:
        UserError: there is no row, two columns have one name, or ``header`` is not as long as a row.
    """
    name = table_format.upper()
    first = next(rows, None)
    if first is None:
        raise UserError(f"not a {name} table (no rows)", where=where, fix=_FIX)
    if header is not None and len(header) != len(first):
        raise UserError(
            f"header names {len(header)} columns and the file has {len(first)}",
            where=where,
            fix="Name every column in header.",
        )
    names = [column.strip() for column in header or first]
    # Spreadsheets leave empty columns at the right, without names.
    if twice := next((column for column in names if column and names.count(column) > 1), None):
        raise UserError(
            f"not a {name} table (two columns are called {twice!r})", where=where, fix="Rename one of them."
        )
    return names, _before(first, rows) if header is not None else rows


def _before(first: list[str], rows: Iterator[list[str]]) -> Iterator[list[str]]:
    yield first
    yield from rows


def _rows(
    lines: Iterable[str], table_format: str, where: str, skip: int, number: int, separator: str | None = None
) -> Iterator[list[str]]:
    """The rows, of which the first has this number."""
    separator = separator or _SEPARATORS[table_format]
    held: list[str] = []  # The lines of the row that is being read.
    begin, fields = 0, 0  # The number of the first of them, and how many fields every row has.

    def refused(reason: str, line: int, fix: str = _FIX) -> UserError:
        place = f"row {number:,}, line {line:,}" if number else f"line {line:,}"
        return UserError(f"not a {table_format.upper()} table ({place}: {reason})", where=where, fix=fix)

    def not_closed() -> UserError:
        line = begin + _lines_before_quote(held, separator)
        return refused("a quote opens and is not closed", line, "Close it, or remove it.")

    def noted() -> Iterator[str]:
        for line in islice(iter(lines), skip, None):
            held.append(line)
            # Told at once: to the end of a large file, all of it would be one cell.
            if len(held) > 1 and '"' not in line and _is_row(line, fields, separator):
                raise not_closed()
            yield line

    reader = csv.reader(noted(), delimiter=separator, strict=True)
    while True:
        begin = skip + reader.line_num + 1
        held.clear()
        try:
            row = next(reader, None)
        except csv.Error as error:
            if len(held) > 1 or "unexpected end" in str(error):
                raise not_closed() from None
            raise refused(str(error).replace("\t", r"\t"), begin) from None
        if row is None:
            return
        # Spreadsheets leave rows of empty fields at the end, and empty fields behind the last.
        if not row or (len(row) > 1 and not any(map(str.strip, row))):
            continue
        fields = fields or len(row)
        if len(row) > fields and not any(map(str.strip, row[fields:])):
            row = row[:fields]
        # A quote left open may be closed by a later one.
        if len(held) > 1 and any(_is_row(line, fields, separator) for cell in row for line in _lines(cell)[1:]):
            raise not_closed()
        if len(row) != fields:
            raise refused(f"{fields} fields expected, there are {len(row)}", begin)
        yield row
        number += 1


def _lines_before_quote(held: list[str], separator: str) -> int:
    """How many lines of a row stand before the one in which its last quote over several lines opens."""
    try:
        breaks = [len(_lines(cell)) - 1 for cell in next(csv.reader(held, delimiter=separator), [])]
    except csv.Error:  # A cell that is too large.
        return 0
    last = max((place for place, count in enumerate(breaks) if count), default=0)
    return sum(breaks[:last])


def _lines(cell: str) -> list[str]:
    return LINE_END.split(cell)


def _is_row(line: str, fields: int, separator: str) -> bool:
    """Whether a line inside a cell is a row of its own, with a protein in it."""
    parts = line.rstrip("\r\n").split(separator)
    return len(parts) == fields and any(len(part) >= _PROTEIN and part.isalpha() and part.isupper() for part in parts)
