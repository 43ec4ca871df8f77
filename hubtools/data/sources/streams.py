"""Files read line by line: through zip archives and gzip, in any usual encoding, with a bound on memory and a bar for large ones."""

from __future__ import annotations

import contextlib
import errno
import gzip
import io
import lzma
import re
import struct
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import IO, Any, cast

from tqdm import tqdm

from hubtools.common import telling
from hubtools.common.bounds import FREE_UNPACKED, LONGEST_LINE, MOST_UNPACKED_RATIO
from hubtools.common.errors import UserError, in_brackets, near
from hubtools.common.inside import why_not_inside
from hubtools.common.readers import reads
from hubtools.specs.files.table_file import TableFile

# Files at least this large show how far they have been read.
_LARGE = 64 << 20  # bytes
_LINES_BETWEEN_UPDATES = 1 << 16
_GZIP = b"\x1f\x8b"
LINE_END = re.compile(r"\r\n|\r|\n")


@reads("packed file")
@contextlib.contextmanager
def unpacked(file: TableFile, path: Path | None) -> Iterator[tuple[io.BufferedReader, IO[bytes]]]:
    """The content of a source file, and the file as it lies on the disk, whose position tells how far one is.

    Args:
        file: what it is.
        path: where it is; None: standard input.

    Raises:
        UserError: the archive or the gzip stream is damaged or ends early, the member is not there, or the file cannot
            be read; also for what comes up while the content is read.
    """
    with contextlib.ExitStack() as stack:
        archive = None
        try:
            stored, consumed = _standard_input(stack) if path is None else _opened(stack, path)
            content = stored
            if file.member is not None:
                archive = stack.enter_context(_archive(stored, file.location))
                content = cast(io.BufferedReader, stack.enter_context(_member(archive, file)))
            # What begins like gzip is gzip, whatever it is called: no format that is read here begins so.
            if file.path_for_format.lower().endswith(".gz") or content.peek(2)[:2] == _GZIP:
                content = cast(io.BufferedReader, stack.enter_context(gzip.GzipFile(fileobj=content)))
            if content is not stored:
                content = io.BufferedReader(_Unpacked(content, consumed, file.location))
            yield content, stored
        except zipfile.BadZipFile as error:
            if archive is not None:
                raise _damaged(file, error) from None
            raise UserError(
                "not a zip archive", where=file.location, fix="Remove member, or correct the address."
            ) from None
        except (gzip.BadGzipFile, EOFError, zlib.error, lzma.LZMAError) as error:
            # zipfile, too, lets zlib's own error through.
            if archive is not None and not isinstance(content, gzip.GzipFile):
                raise _damaged(file, error) from None
            raise UserError(
                f"not a complete gzip file{_detail(error)}", where=file.location, fix="Fetch it again."
            ) from None
        except FileNotFoundError:
            raise UserError("there is no such file", where=file.location) from None
        except OSError as error:
            # bz2 raises one of its own without a number, of a member that is packed so and damaged.
            if error.strerror is None or (archive is not None and error.errno == errno.EINVAL):
                raise _damaged(file, error) from None
            raise UserError(f"cannot read it ({error.strerror})", where=file.location) from None


class _Unpacked(io.RawIOBase):
    """Unpacked content, refused where it grows beyond what real data do: a few bytes can be packed zeros without end."""

    def __init__(self, content: IO[bytes], consumed: Callable[[], int], location: str) -> None:
        self._content, self._consumed, self._location, self._unpacked = content, consumed, location, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        block = self._content.read(len(buffer))
        buffer[: len(block)] = block
        self._unpacked += len(block)
        refuse_growth(self._unpacked, self._consumed(), self._location)
        return len(block)


def refuse_growth(unpacked: int, packed: int, where: str) -> None:
    """Raise where bytes that were unpacked are more than real data are packed into so few."""
    if unpacked > FREE_UNPACKED + MOST_UNPACKED_RATIO * packed:
        raise UserError(
            f"it unpacks to more than {MOST_UNPACKED_RATIO} times its size, as no data do",
            where=where,
            fix="Unpack it yourself, if it is yours.",
        )


class _Counting(io.RawIOBase):
    """A stream that tells how many bytes were read, where it has no position."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream, self.count = stream, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        block: bytes = getattr(self._stream, "read1", self._stream.read)(len(buffer))
        buffer[: len(block)] = block
        self.count += len(block)
        return len(block)


def _opened(stack: contextlib.ExitStack, path: Path) -> tuple[io.BufferedReader, Callable[[], int]]:
    stored = stack.enter_context(path.open("rb"))
    return stored, stored.tell


def _standard_input(stack: contextlib.ExitStack) -> tuple[io.BufferedReader, Callable[[], int]]:
    """Standard input as bytes, of which the first can be looked at, and how many were read."""
    if sys.stdin is None:
        raise UserError("standard input is closed", fix="Give a file, or send the proteins through a pipe.")
    counted = _Counting(sys.stdin.buffer)
    reader = cast(io.BufferedReader, io.BufferedReader(counted))
    # Else it would close standard input when it is forgotten.
    stack.callback(reader.detach)
    return reader, lambda: counted.count


def _archive(content: IO[bytes] | Path, where: str) -> zipfile.ZipFile:
    """An archive to be read.

    Raises:
        UserError: it is of a version of the format that Python does not know.
        zipfile.BadZipFile: it is none, whatever zipfile itself says of it.
    """
    try:
        return zipfile.ZipFile(content)
    except NotImplementedError as error:
        raise UserError(f"cannot unpack it ({error})", where=where, fix="Unpack it yourself.") from None
    except (ValueError, OverflowError, EOFError, struct.error) as error:
        raise zipfile.BadZipFile(str(error)) from None


def _names(archive: zipfile.ZipFile) -> list[str]:
    """Of the files in an archive; one without a name cannot be asked for."""
    return [info.filename for info in archive.infolist() if info.filename and not info.is_dir()]


def _damaged(file: TableFile, error: Exception) -> UserError:
    return UserError(f"the zip archive is damaged{_detail(error)}", where=file.location, fix="Fetch it again.")


def _detail(error: Exception) -> str:
    """What a library says of a damaged stream, where that is more than its own words for "it does not unpack"."""
    return "" if isinstance(error, (zlib.error, lzma.LZMAError)) else in_brackets(error)


def _member(archive: zipfile.ZipFile, file: TableFile) -> IO[bytes]:
    assert file.member is not None
    names = _names(archive)
    if file.member not in names:
        fix = near(file.member, names) if names else "It holds no file: fetch it again."
        raise UserError(f"the archive has no member {file.member!r}", where=file.location, fix=fix)
    try:
        return archive.open(file.member)
    # It is encrypted, or packed by a method that Python does not know; or its own header is damaged.
    except (RuntimeError, ValueError, struct.error) as error:
        raise UserError(f"cannot unpack it ({error})", where=file.location, fix="Unpack it yourself.") from None


@reads("zip archive")
def only_member(path: Path) -> str:
    """The one file in a zip archive; what macOS adds does not count.

    Raises:
        UserError: it is no archive, or holds no file or several.
    """
    try:
        with _archive(path, str(path)) as archive:
            found = _names(archive)
    except zipfile.BadZipFile:
        raise UserError("not a zip archive", where=str(path), fix="Fetch it again, or rename it.") from None
    except FileNotFoundError:
        raise UserError("there is no such file", where=str(path)) from None
    except OSError as error:
        raise UserError(f"cannot read it ({error.strerror})", where=str(path)) from None
    names = [name for name in found if not name.startswith("__MACOSX/") and not Path(name).name.startswith(".")]
    if len(names) != 1:
        several = f"{len(names):,} files ({', '.join(names[:10])}{' …' if len(names) > 10 else ''})"
        raise UserError(
            f"the archive holds {several if names else 'no file'}", where=str(path), fix="Unpack it and give one file."
        )
    if (why := why_not_inside(names[0])) is not None:
        raise UserError(
            f"the archive's file is called {names[0][:80]!r}: {why}",
            where=str(path),
            fix="Unpack it and give the file.",
        )
    return names[0]


@reads("text file")
def ended_lines(file: TableFile, path: Path | None, *, bar: bool = True) -> Iterator[str]:
    """The lines of a text file with what ends each (LF, CRLF or CR), one at a time.

    The text is UTF-8, or what its byte order mark says: UTF-16.

    Args:
        file: what it is.
        path: where it is; None: standard input.
        bar: whether a large file shows how far it has been read.

    Raises:
        UserError: as :func:`unpacked`, or the content is no such text.
    """
    size = path.stat().st_size if path is not None and path.is_file() else 0
    shown = bar and size >= _LARGE and telling.bars_shown()
    with (
        unpacked(file, path) as (content, stored),
        tqdm(total=size, unit="B", unit_scale=True, desc=f"reading {file.name}", disable=not shown) as progress,
    ):
        marks = {b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}
        encoding = marks.get(content.peek(2)[:2], "utf-8")
        # Line ends are left as they are: inside a quoted cell they belong to it.
        text = io.TextIOWrapper(content, encoding=encoding, newline="")
        number = 0
        try:
            # One character more tells a line that is too long from one that is as long as may be.
            for line in iter(partial(text.readline, LONGEST_LINE + 1), ""):
                if len(line) > LONGEST_LINE:
                    raise UserError(
                        f"line {number + 1:,} has more than {LONGEST_LINE:,} characters",
                        where=file.path_for_format,
                        fix="Is it of the format that its name says?",
                    )
                if shown and not number % _LINES_BETWEEN_UPDATES:
                    progress.update(stored.tell() - progress.n)
                number += 1
                yield line if number > 1 else line.removeprefix("\ufeff")
        except UnicodeDecodeError as error:
            raise _not_text(file, number, error) from None
        finally:
            # A reader that was dropped may be collected after its file.
            if not content.closed:
                text.detach()


def _not_text(file: TableFile, before: int, error: UnicodeDecodeError) -> UserError:
    """What is said of a file that is not text.

    Args:
        file: the file.
        before: lines that were read.
        error: about the bytes after them.
    """
    if b"\0" in error.object and error.encoding.startswith("utf-8"):
        return UserError("it is not text", where=file.path_for_format, fix="Is it of the format that its name says?")
    line = before + 1 + len(LINE_END.findall(error.object[: error.start].decode(error.encoding, "ignore")))
    if not error.encoding.startswith("utf-8"):
        return UserError(f"it is not text in UTF-16 (line {line})", where=file.path_for_format, fix="Save it as UTF-8.")
    return UserError(
        f"it is not text in UTF-8 (line {line}), perhaps Latin-1", where=file.path_for_format, fix="Save it as UTF-8."
    )


def text_lines(file: TableFile, path: Path | None, *, bar: bool = True) -> Iterator[str]:
    """The lines of :func:`ended_lines` without what ends them.

    Raises:
        UserError: as there.
    """
    for line in ended_lines(file, path, bar=bar):
        yield line.rstrip("\r\n")
