"""The files in an archive, zip or tar, read without being written anywhere."""

from __future__ import annotations

import gzip
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO

from hubtools.common.errors import UserError, in_brackets
from hubtools.common.inside import why_not_inside
from hubtools.common.readers import reads
from hubtools.data.sources.streams import refuse_growth, unpacked
from hubtools.specs.files.table_file import TableFile

# The name of a file, and what opens it; None of what is no file: a link, a device.
_Member = tuple[str, Callable[[], IO[bytes] | None] | None]


@reads("archive of files")
def archived_files(
    file: TableFile, path: Path, wanted: Callable[[Path], bool], most: int
) -> Iterator[tuple[str, bytes]]:
    """The name in the archive, and the bytes, of each file that is asked for, in the order of the archive; gzipped ones are unpacked.

    What macOS adds does not count.

    Args:
        file: the archive; where its location ends in .zip a zip, else a tar, gzipped or not.
        path: where it lies.
        wanted: whether a file is asked for, by its name.
        most: bytes of the largest; of those that are larger one more is given.

    Raises:
        UserError: it is damaged, unpacks to more than data do, or a file that is asked for is a link, has a name that leads out
            of a folder, or the name of another one.
    """
    size, total, seen = path.stat().st_size, 0, dict[str, str]()
    zipped = file.location.lower().endswith(".zip")
    try:
        for given, opened in _zipped(path) if zipped else _tarred(file, path):
            name = given.removeprefix("./")
            alone = PurePosixPath(name).name
            if name.startswith("__MACOSX/") or alone.startswith("._") or not wanted(Path(alone)):
                continue
            if (why := why_not_inside(name)) is None and opened is None:
                why = "it is a link, or no file"
            if why is not None:
                raise UserError(
                    f"a file in it is called {name[:80]!r}: {why}", where=file.location, fix="Pack the files anew."
                )
            if (other := seen.setdefault(alone.casefold(), name)) is not name:
                raise UserError(
                    f"{other} and {name} have one name", where=file.location, fix="Give each file a name of its own."
                )
            stream = opened() if opened is not None else None
            assert stream is not None
            with stream:
                whole = gzip.GzipFile(fileobj=stream) if alone.lower().endswith(".gz") else stream
                content = whole.read(most + 1)
            refuse_growth(total := total + len(content), size, file.location)
            yield name, content
    except UserError:
        raise
    # What a damaged archive is found by is of many kinds, and always the same finding.
    except (MemoryError, Exception) as error:
        kind = "zip" if zipped else "tar"
        raise UserError(
            f"it cannot be read as a {kind} archive{in_brackets(error)}", where=file.location, fix="Get it again."
        ) from None


def _zipped(path: Path) -> Iterator[_Member]:
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            if info.filename and not info.is_dir():
                yield info.filename, partial(archive.open, info)


def _tarred(file: TableFile, path: Path) -> Iterator[_Member]:
    # Read from the first byte to the last, so that what it unpacks to is bounded as of any file.
    with unpacked(file, path) as (content, _), tarfile.open(fileobj=content, mode="r|") as archive:
        for info in archive:
            if not info.isdir():
                yield info.name, partial(archive.extractfile, info) if info.isreg() else None
        # A whole archive ends with blocks of zeros, of which tarfile reads one; cut between two files it looks as if there were fewer.
        assert archive.fileobj is not None
        if archive.fileobj.tell() == archive.offset:
            raise EOFError("it ends early")
