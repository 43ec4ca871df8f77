"""Source files read line by line: through zip archives and gzip, with a bound on memory and a bar for large ones."""

from __future__ import annotations

import contextlib
import gzip
import sys
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, cast

from tqdm import tqdm

from hubtools.specs.errors import UserError
from hubtools.specs.sources import TableFile

# Files at least this large show how far they have been read.
_LARGE = 64 << 20  # bytes
_LINES_BETWEEN_UPDATES = 1 << 16


@contextlib.contextmanager
def unpacked(file: TableFile, path: Path) -> Iterator[tuple[IO[bytes], IO[bytes]]]:
    """The content of a source file, and the file as it lies on the disk, whose position tells how far one is.

    Raises:
        UserError: the archive or the gzip stream is damaged or ends early, the member is not there, or the file cannot
            be read; also for what comes up while the content is read.
    """
    with contextlib.ExitStack() as stack:
        try:
            stored: IO[bytes] = stack.enter_context(path.open("rb"))
            content = stored
            if file.member is not None:
                archive = stack.enter_context(zipfile.ZipFile(stored))
                names = [info.filename for info in archive.infolist() if not info.is_dir()]
                if file.member not in names:
                    from hubtools.data.tables import near  # Which reads its files through this module.

                    raise UserError(
                        f"the archive has no member {file.member!r}", where=file.location, fix=near(file.member, names)
                    )
                content = stack.enter_context(archive.open(file.member))
            if file.path_for_format.endswith(".gz"):
                content = stack.enter_context(cast(IO[bytes], gzip.GzipFile(fileobj=content)))
            yield content, stored
        except zipfile.BadZipFile:
            raise UserError(
                "not a zip archive", where=file.location, fix="Remove member, or correct the address."
            ) from None
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise UserError(f"not a complete gzip file ({error})", where=file.location) from None
        except OSError as error:
            raise UserError(f"cannot read it ({error.strerror})", where=file.location) from None


def not_text(file: TableFile, byte: int) -> UserError:
    """What is said of a file that is not UTF-8 from that byte on."""
    return UserError(
        f"not text in UTF-8 (byte {byte})", where=file.path_for_format, fix="Convert it, or state its format."
    )


def text_lines(file: TableFile, path: Path) -> Iterator[str]:
    """The lines of a text file, without what ends them, one at a time.

    Raises:
        UserError: as :func:`unpacked`, or the content is not UTF-8.
    """
    size = path.stat().st_size if path.is_file() else 0
    shown = size >= _LARGE and sys.stderr.isatty()
    with (
        unpacked(file, path) as (content, stored),
        tqdm(total=size, unit="B", unit_scale=True, desc=f"reading {file.name}", disable=not shown) as bar,
    ):
        before = 0
        for number, raw in enumerate(content):
            try:
                line = raw.decode("utf-8")
            except UnicodeDecodeError as error:
                raise not_text(file, before + error.start) from None
            before += len(raw)
            if not number:
                line = line.removeprefix("\ufeff")
            if shown and not number % _LINES_BETWEEN_UPDATES:
                bar.update(stored.tell() - bar.n)
            yield line.removesuffix("\n").removesuffix("\r")


def fasta_entries(file: TableFile, path: Path) -> Iterator[tuple[int, str, str]]:
    """Number of the header's line, header (without ``>``) and the lines below it, entry by entry.

    Raises:
        UserError: something stands before the first header, or the file cannot be read.
    """
    start, header, body = 0, None, list[str]()
    for number, line in enumerate(text_lines(file, path), 1):
        if line.startswith(">"):
            if header is not None:
                yield start, header, "\n".join(body)
            start, header, body = number, line[1:], []
        elif header is not None:
            body.append(line)
        elif line.strip():
            raise UserError(
                "a FASTA file starts with '>'", where=f"{file.path_for_format}:{number}", fix="State its format."
            )
    if header is not None:
        yield start, header, "\n".join(body)
