"""Rows of an Excel workbook (.xlsx), as text, one at a time: what a person sees in the cells, not how they look."""

from __future__ import annotations

import datetime
import io
import zipfile
from collections.abc import Iterator
from typing import Any

from hubtools.common.bounds import FREE_UNPACKED, LONGEST_LINE, MOST_UNPACKED_RATIO
from hubtools.common.errors import UserError, in_brackets, near
from hubtools.common.readers import reads

# A part of a workbook that is parsed as XML declares no type of its own: one that does may define what grows without end.
_DECLARES = (b"<!DOCTYPE", b"<!ENTITY")
_HEAD = 4096  # bytes
# Excel itself has no more columns; rows are bounded by what the parts unpack to.
_MOST_COLUMNS = 16_384
_FIX = "Open it in Excel or LibreOffice and save it anew as .xlsx, or as CSV (UTF-8)."


@reads("content of a workbook")
def workbook_rows(content: bytes, where: str, sheet: str | None = None) -> Iterator[list[str]]:
    """The rows of a sheet, cells as text; rows without any text are left out, and so are cells behind the last filled one.

    Numbers are written as short as they are read back (3, 0.25), dates as 2024-01-31, truth as TRUE and FALSE; an error
    such as #N/A is an empty cell. Of a formula its last computed value is read.

    Args:
        content: of the file.
        where: what messages call the file.
        sheet: its name; by default the first that holds rows.

    Raises:
        UserError: it is no workbook, unpacks to more than such a file can hold, or has no such sheet.
    """
    _sound(content, where)
    try:
        from openpyxl import load_workbook
    except ImportError:
        raise UserError(
            "openpyxl, which reads Excel files, is not installed",
            where=where,
            fix="Install it: pip install openpyxl; or save the sheet as CSV (UTF-8).",
        ) from None
    # A parser of XML, of zip and of numbers lie below: whatever they say of a damaged file is that it is one.
    try:
        book = load_workbook(io.BytesIO(content), read_only=True, data_only=True, keep_links=False)
        sheets = {part.title: part for part in book.worksheets}
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"not a workbook of Excel{in_brackets(error)}", where=where, fix=_FIX) from None
    if sheet is not None and sheet not in sheets:
        raise UserError(f"there is no sheet {sheet!r}", where=where, fix=near(sheet, sheets))
    for part in [sheets[sheet]] if sheet is not None else sheets.values():
        found = False
        for row in _rows(part, where):
            found = True
            yield row
        if found:
            return


def _rows(part: Any, where: str) -> Iterator[list[str]]:
    """The rows of one sheet."""
    # What the sheet says of its own size is often wrong: each row says itself how long it is.
    part.reset_dimensions()
    rows = part.iter_rows(values_only=False)
    while True:
        try:
            row = next(rows, None)
            if row is None:
                return
            cells = [_text(cell) for cell in row]
        except Exception as error:
            raise UserError(f"its sheet {part.title!r} is damaged{in_brackets(error)}", where=where, fix=_FIX) from None
        while cells and not cells[-1].strip():
            cells.pop()
        if len(cells) > _MOST_COLUMNS or any(len(cell) > LONGEST_LINE for cell in cells):
            raise UserError("a row is larger than Excel's can be", where=where, fix=_FIX)
        if cells:
            yield cells


def _text(cell: Any) -> str:
    value = cell.value
    if value is None or cell.data_type == "e":
        return ""
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
    if isinstance(value, datetime.datetime):
        return str(value.date()) if value.time() == datetime.time() else value.isoformat(sep=" ")
    return str(value)


def _sound(content: bytes, where: str) -> None:
    """Look at what a workbook declares, before it is unpacked.

    Raises:
        UserError: it is no zip archive with a workbook in it, or one that no data make.
    """
    if content[:8] == b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1":
        raise UserError("it is a workbook of the old form (.xls), or one with a password", where=where, fix=_FIX)
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            parts = archive.infolist()
            if sum(part.file_size for part in parts) > FREE_UNPACKED + MOST_UNPACKED_RATIO * len(content):
                raise UserError(
                    f"it unpacks to more than {MOST_UNPACKED_RATIO} times its size, as no data do", where=where
                )
            for part in parts:
                if part.filename.endswith((".xml", ".rels")):
                    with archive.open(part) as stream:
                        head = stream.read(_HEAD).replace(b"\0", b"").upper()
                    if any(word in head for word in _DECLARES):
                        raise UserError("its XML declares types of its own, as Excel's never does", where=where)
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"not a workbook of Excel{in_brackets(error)}", where=where, fix=_FIX) from None
