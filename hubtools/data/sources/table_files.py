"""Reading one source file into a table whose cells are as the file has them."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hubtools.common.bounds import FREE_UNPACKED, MOST_ROWS_PER_BYTE, MOST_UNPACKED_RATIO, json_values
from hubtools.common.errors import UserError, near
from hubtools.common.readers import reads
from hubtools.data.sources.fasta import fasta_entries, sequence_entries
from hubtools.data.sources.separated import named_columns, separated_rows
from hubtools.data.sources.spreadsheet import workbook_rows
from hubtools.data.sources.streams import ended_lines, text_lines, unpacked
from hubtools.specs.files.table_file import TableFile

if TYPE_CHECKING:
    import pandas as pd

# A number as it is written in much of the world.
DECIMAL_COMMA = re.compile(r"[-+]?\d*,\d+([eE][-+]?\d+)?")
# A header's KEY=VALUE pairs; a value may hold spaces, as in OS=Homo sapiens OX=9606.
_PAIR = re.compile(r"(\w+)=(.*?)(?=\s+\w+=|$)")


@reads("table or FASTA file")
def read_table(file: TableFile, path: Path) -> pd.DataFrame:
    """The rows of a source file, columns called as the task calls them.

    Raises:
        UserError: as for :func:`table_rows` and :func:`renamed`.
    """
    return renamed(table_rows(file, path), file)


@reads("table or FASTA file")
def table_rows(file: TableFile, path: Path) -> pd.DataFrame:
    """The rows of a source file.

    Cells of CSV, TSV and XLSX are text (an empty cell is the empty string); Parquet and JSON lines keep their types. A FASTA file has the
    columns ``id`` (first word of the header), ``file.body`` (the lines below it) and one for each ``KEY=VALUE`` of the
    header; or the parts that ``file.header`` names, and a column for each line that ``file.lines`` names. A structure file has a row for each distinct chain (``hubtools.data.structures.contacts``, ``derived_labels``), a matrix of contacts one (``contact_matrices``). Zip members and gzip are unpacked.

    Raises:
        UserError: the file is not what its format says; the message names file and line where known.
    """
    readers = {
        "fasta": _read_fasta,
        "csv": _read_separated,
        "tsv": _read_separated,
        "xlsx": _read_separated,
        "parquet": _read_parquet,
        "jsonl": _read_json_lines,
        "structure": _read_structure,
        "contacts": _read_contacts,
    }
    table = readers[file.table_format](file, path)
    if table.empty:
        raise UserError("the file has no rows", where=file.path_for_format)
    return table


def renamed(table: pd.DataFrame, file: TableFile) -> pd.DataFrame:
    """The table with its columns called as the task calls them, and those that the task adds to the file.

    Raises:
        UserError: a column to rename is not there, or its new name is taken.
    """
    columns = [str(name) for name in table.columns]
    for old, new in file.rename.items():
        where = f"{file.path_for_format}, rename"
        if old not in columns:
            raise UserError(f"there is no column {old!r}", where=where, fix=near(old, columns))
        if new in columns and new not in file.rename:
            raise UserError(f"there is a column {new!r} already", where=where, fix="Rename that one too.")
    table = table.rename(columns=file.rename) if file.rename else table
    for column, value in file.adds.items():
        if column in table.columns:
            where = f"{file.path_for_format}, adds"
            raise UserError(f"there is a column {column!r} already", where=where, fix="Give it another name.")
        table[column] = value
    return table


def named_rows(file: TableFile, path: Path | None, *, bar: bool = True) -> tuple[list[str], Iterator[list[str]]]:
    """The names of the columns of a CSV, TSV or XLSX, and its rows as they are asked for, each as long as the names.

    Args:
        file: what it is.
        path: where it is; None: standard input.
        bar: whether a large file shows how far it has been read.

    Raises:
        UserError: the file is not what its format says, also while rows are read.
    """
    where = file.path_for_format
    if file.table_format == "xlsx":
        with unpacked(file, path) as (stream, _):
            content = stream.read()
        rows = islice(workbook_rows(content, where, file.sheet), file.skip_rows, None)
        names, below = named_columns(rows, "xlsx", where, file.header)
        below = _as_long(below, len(names), where, 1 if file.header else 2)
    else:
        names, below = separated_rows(
            ended_lines(file, path, bar=bar),
            file.table_format,
            where,
            header=file.header,
            skip=file.skip_rows,
            separator=file.separator,
        )
    for column in file.decimal_comma:
        if column not in names:
            raise UserError(f"there is no column {column!r}", where=f"{where}, decimal_comma", fix=near(column, names))
    places = [names.index(column) for column in file.decimal_comma]
    return names, _with_points(below, places) if places else below


def _as_long(rows: Iterator[list[str]], length: int, where: str, first: int) -> Iterator[list[str]]:
    """Rows of a sheet, whose empty cells at the end are not there."""
    for number, row in enumerate(rows, first):
        if len(row) > length:
            raise UserError(
                f"row {number:,} has {len(row)} filled columns, and {length} have a name",
                where=where,
                fix="Name each column in the first row, or remove what stands beside the table.",
            )
        yield row + [""] * (length - len(row))


def _with_points(rows: Iterator[list[str]], places: list[int]) -> Iterator[list[str]]:
    for row in rows:
        for place in places:
            if DECIMAL_COMMA.fullmatch(row[place].strip()):
                row[place] = row[place].replace(",", ".")
        yield row


def _read_separated(file: TableFile, path: Path) -> pd.DataFrame:
    import pandas as pd

    names, rows = named_rows(file, path)
    table = pd.DataFrame(list(rows), columns=names, dtype=object)
    unnamed = names.count("")
    # Spreadsheets leave columns without a name; the only one, where it holds something, are row numbers.
    if unnamed > 1 or (unnamed and not any(map(str.strip, table[""]))):
        return table.loc[:, [bool(name) for name in names]]
    return table


def structure_rows(file: TableFile, content: bytes) -> list[dict[str, Any]]:
    """The rows of a structure file.

    Args:
        file: what it is.
        content: its bytes, unpacked.

    Raises:
        UserError: it is no structure, or nothing can be derived of it.
    """
    from hubtools.data.structures.chains import chains_of, kind_of, whole_of

    kind, where = kind_of(Path(file.path_for_format)), file.path_for_format
    if file.derives == "contacts":
        from hubtools.data.structures.contacts import chain_rows

        return chain_rows(chains_of(content, kind, where), file.name, where)
    from hubtools.data.structures.derived_labels import derived_rows

    return derived_rows(whole_of(content, kind, where, file.name), file.name, file.derives, where)


def _read_structure(file: TableFile, path: Path) -> pd.DataFrame:
    import pandas as pd

    from hubtools.data.structures.chains import content_of

    return pd.DataFrame(structure_rows(file, content_of(file, path)), dtype=object)


def _read_contacts(file: TableFile, path: Path) -> pd.DataFrame:
    import pandas as pd

    from hubtools.data.structures.chains import content_of
    from hubtools.data.structures.contact_matrices import matrix_row

    return pd.DataFrame([matrix_row(content_of(file, path), file.name, file.path_for_format)], dtype=object)


def _read_parquet(file: TableFile, path: Path) -> pd.DataFrame:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with unpacked(file, path) as (stream, _):
        content = stream.read()
    try:
        packed = pq.ParquetFile(pa.BufferReader(content))
        _sound(packed.metadata, len(content), file.path_for_format)
        return arrow_to_rows(packed.read(), file.path_for_format)
    # Of a schema that is too deep, Arrow says so by an OSError; cells may be no text, no date, or of two columns of one name.
    except (pa.ArrowException, OSError, RecursionError, ValueError, OverflowError, KeyError) as error:
        raise UserError(f"not a Parquet file ({str(error).splitlines()[0]})", where=file.path_for_format) from None


def _sound(about: Any, size: int, where: str) -> None:
    """Look at what a Parquet file declares, before it is unpacked.

    Raises:
        UserError: it declares more than such a file can hold.
    """
    chunks = (
        about.row_group(group).column(column)
        for group in range(about.num_row_groups)
        for column in range(about.num_columns)
    )
    unpacked = sum(chunk.total_uncompressed_size for chunk in chunks)
    if about.num_rows > MOST_ROWS_PER_BYTE * size or unpacked > FREE_UNPACKED + MOST_UNPACKED_RATIO * size:
        raise UserError(
            f"it declares {about.num_rows:,} rows of {unpacked:,} bytes, and has {size:,} bytes, as no data do",
            where=where,
        )


def arrow_to_rows(table: Any, where: str) -> pd.DataFrame:
    """An Arrow table as rows of Python objects: lists stay lists, a null is None.

    Raises:
        UserError: two columns have one name, or a column holds what Python cannot.
    """
    import pandas as pd

    if twice := [name for name in table.column_names if table.column_names.count(name) > 1]:
        raise UserError(f"two columns are called {twice[0]!r}", where=where, fix="Rename one of them.")
    columns = {}
    for name in table.column_names:
        try:
            columns[name] = pd.Series(table[name].to_pylist(), dtype=object)
        except UnicodeDecodeError:
            raise UserError(f"column {name!r} holds text that is not UTF-8", where=where, fix="Save it anew.") from None
        # Such as a date of before the year 1, or a moment finer than a microsecond.
        except (ValueError, OverflowError) as error:
            raise UserError(f"column {name!r} holds what cannot be read ({error})", where=where) from None
    return pd.DataFrame(columns)


def _read_json_lines(file: TableFile, path: Path) -> pd.DataFrame:
    import pandas as pd

    columns: dict[str, list[Any]] = {}
    number = 0
    for line, text in enumerate(text_lines(file, path), 1):
        if not text.strip():
            continue
        try:
            row = json_values(text)
        except ValueError as error:
            said = getattr(error, "msg", error)
            raise UserError(f"it is not JSON ({said})", where=f"{file.path_for_format}:{line}") from None
        if not isinstance(row, dict):
            raise UserError("it is no object", where=f"{file.path_for_format}:{line}", fix="Write {...}, one a line.")
        # A key that is absent is as good as null.
        _append(columns, row, number, None)
        number += 1
    return pd.DataFrame({name: pd.Series(cells, dtype=object) for name, cells in columns.items()})


def _read_fasta(file: TableFile, path: Path) -> pd.DataFrame:
    import pandas as pd

    columns: dict[str, list[Any]] = {}
    entries = sequence_entries if file.lines is None and file.body == "sequence" else fasta_entries
    lines = text_lines(file, path)
    for number, (line, header, body) in enumerate(entries(lines, file.path_for_format)):
        where = f"{file.path_for_format}:{line}"
        row = _header(file, header, where)
        if file.lines is not None:
            row |= _lines(file.lines, body, where)
        else:
            # Line breaks of a sequence mean nothing; numbers on two lines are two numbers.
            row[file.body] = "".join(body.split()) if file.body == "sequence" else body.strip()
        _append(columns, row, number)
    return pd.DataFrame(columns, dtype=object)


def _append(columns: dict[str, list[Any]], row: dict[str, Any], number: int, absent: Any = math.nan) -> None:
    """Add a row to columns: a table of many rows takes far less memory than a dictionary for each."""
    for name in [name for name in row if name not in columns]:
        columns[name] = [absent] * number
    for name, cells in columns.items():
        cells.append(row.get(name, absent))


def _header(file: TableFile, header: str, where: str) -> dict[str, str]:
    """The columns of a FASTA header: its named parts, or its first word and each KEY=VALUE.

    Parts at the end may be absent: they are empty.
    """
    words = header.split(None, 1)
    row = {"id": words[0] if words else ""}
    if file.header is None:
        return (dict(_PAIR.findall(header)) if "=" in header else {}) | row
    parts = [part.strip() for part in header.strip().split(file.header_separator)]
    if len(parts) > len(file.header):
        raise UserError(
            f"the header has {len(parts)} parts and {len(file.header)} are named",
            where=where,
            fix="Name every part in header, or correct header_separator.",
        )
    return row | dict(zip(file.header, parts + [""] * (len(file.header) - len(parts)), strict=True))


def _lines(names: list[str], body: str, where: str) -> dict[str, str]:
    """The lines below a FASTA header, each a column."""
    lines = [line.strip() for line in body.rstrip().split("\n")]
    if len(lines) != len(names):
        raise UserError(
            f"{len(lines)} lines follow the header and {len(names)} are named ({', '.join(names)})",
            where=where,
            fix="Name each line in lines, or correct the file.",
        )
    return dict(zip(names, lines, strict=True))
