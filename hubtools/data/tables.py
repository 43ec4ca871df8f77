"""Reading one source file into a table whose cells are as the file has them."""

from __future__ import annotations

import csv
import difflib
import gzip
import io
import re
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hubtools.specs.errors import UserError
from hubtools.specs.sources import TableFile

if TYPE_CHECKING:
    import pandas as pd

# The csv module refuses cells of more than 128 KiB unless told; per-residue labels of a long protein are longer.
csv.field_size_limit(2**27)
# A header's KEY=VALUE pairs; a value may hold spaces, as in OS=Homo sapiens OX=9606.
_PAIR = re.compile(r"(\w+)=(.*?)(?=\s+\w+=|$)")


def read_table(file: TableFile, path: Path) -> pd.DataFrame:
    """The rows of a source file.

    CSV and TSV cells stay text (an empty cell is the empty string); Parquet keeps its types. A FASTA file has the
    columns ``id`` (first word of the header), ``file.body`` (the lines below it) and one for each ``KEY=VALUE`` of the
    header. Zip members and gzip are unpacked.

    Raises:
        UserError: the file is not what its format says; the message names file and line where known.
    """
    readers = {"csv": _read_separated, "tsv": _read_separated, "parquet": _read_parquet, "fasta": _read_fasta}
    table = readers[file.table_format](file, _content(file, path))
    if table.empty:
        raise UserError("the file has no rows", where=file.path_for_format)
    return table


def _content(file: TableFile, path: Path) -> bytes:
    try:
        content = path.read_bytes()
        if file.member is not None:
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                names = [info.filename for info in archive.infolist() if not info.is_dir()]
                if file.member not in names:
                    raise UserError(
                        f"the archive has no member {file.member!r}", where=file.location, fix=near(file.member, names)
                    )
                content = archive.read(file.member)
        return gzip.decompress(content) if file.path_for_format.endswith(".gz") else content
    except zipfile.BadZipFile:
        raise UserError(
            "not a zip archive", where=file.location, fix="Remove member, or correct the address."
        ) from None
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise UserError(f"not a complete gzip file ({error})", where=file.location) from None
    except OSError as error:
        raise UserError(f"cannot read it ({error.strerror})", where=file.location) from None


def _text(file: TableFile, content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(
            f"not text in UTF-8 (byte {error.start})",
            where=file.path_for_format,
            fix="Convert it, or state its format.",
        ) from None


def _read_separated(file: TableFile, content: bytes) -> pd.DataFrame:
    import pandas as pd

    def refused(reason: str) -> UserError:
        return UserError(
            f"not a {file.table_format.upper()} table ({reason})",
            where=file.path_for_format,
            fix="Check skip_rows, the separator and the quotes.",
        )

    reader = csv.reader(
        io.StringIO(_text(file, content), newline=""),
        delimiter="\t" if file.table_format == "tsv" else ",",
        strict=True,
    )
    rows: list[list[str]] = []
    try:
        for row in reader:
            if reader.line_num <= file.skip_rows or not row:
                continue
            rows.append(row)
            if len(row) != len(rows[0]):
                raise refused(f"{len(rows[0])} fields expected in line {reader.line_num}, there are {len(row)}")
    except csv.Error as error:
        raise refused(f"line {reader.line_num}: {error}") from None
    if not rows:
        raise refused("no rows")
    if file.header is not None and len(file.header) != len(rows[0]):
        raise UserError(
            f"header names {len(file.header)} columns and the file has {len(rows[0])}",
            where=file.path_for_format,
            fix="Name every column in header.",
        )
    names = [name.strip() for name in file.header or rows.pop(0)]
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise refused(f"two columns are called {twice!r}")
    return pd.DataFrame(rows, columns=names, dtype=object)


def _read_parquet(file: TableFile, content: bytes) -> pd.DataFrame:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return arrow_to_rows(pq.read_table(pa.BufferReader(content)))
    except pa.ArrowInvalid as error:
        raise UserError(f"not a Parquet file ({str(error).splitlines()[0]})", where=file.path_for_format) from None


def arrow_to_rows(table: Any) -> pd.DataFrame:
    """An Arrow table as rows of Python objects: lists stay lists, a null is None."""
    import pandas as pd

    columns = {name: pd.Series(table[name].to_pylist(), dtype=object) for name in table.column_names}
    return pd.DataFrame(columns)


def _read_fasta(file: TableFile, content: bytes) -> pd.DataFrame:
    import pandas as pd

    text = _text(file, content).replace("\r\n", "\n")
    before, *entries = re.split(r"^>", text, flags=re.MULTILINE)
    if before.strip():
        line = 1 + len(before) - len(before.lstrip("\n"))
        raise UserError("a FASTA file starts with '>'", where=f"{file.path_for_format}:{line}", fix="State its format.")
    rows = []
    for entry in entries:
        header, _, body = entry.partition("\n")
        words = header.split(None, 1)
        row = dict(_PAIR.findall(header)) if "=" in header else {}
        # Line breaks of a sequence mean nothing; numbers on two lines are two numbers.
        row[file.body] = "".join(body.split()) if file.body == "sequence" else body.strip()
        row["id"] = words[0] if words else ""
        rows.append(row)
    return pd.DataFrame(rows, dtype=object)


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that is most like one that is not there; None where none is."""
    names = [str(entry) for entry in known]
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    return next(iter([*close, *(entry for entry in names if entry.lower() == name.lower())]), None)


def near(name: str, known: Iterable[str]) -> str:
    """The remedy for a name that is not there: the nearest one, and all of them where they are few."""
    names = [str(entry) for entry in known]
    close = nearest(name, names)
    listed = f"There are: {', '.join(names[:30])}{' …' if len(names) > 30 else ''}."
    return f"Did you mean {close}? {listed}" if close else listed
