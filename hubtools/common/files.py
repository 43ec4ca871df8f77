"""Writing files so that a reader never sees a part of one."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from hubtools.common.errors import UserError


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary name beside a file; what is written there takes the file's name when the block ends well.

    Raises:
        UserError: the folder cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            with temporary.open("rb") as stream:
                os.fsync(stream.fileno())
            temporary.chmod(0o644)
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise UserError(
            f"cannot write it ({error.strerror})", where=str(path), fix="Choose a folder that you may write to."
        ) from None


@contextlib.contextmanager
def replacing_folder(folder: Path, mark: str) -> Iterator[Path]:
    """A temporary folder beside another; it takes the other's place when the block ends well.

    Args:
        folder: to be written.
        mark: name of a file that every such folder holds. A folder without it is somebody else's, and stays.

    Raises:
        UserError: something is there that bench did not make.
    """
    if folder.is_symlink() or (folder.exists() and not _ours(folder, mark)):
        raise UserError(
            f"there is something else (no {mark} in it), and it would be lost",
            where=str(folder),
            fix="Name another folder, or an empty one.",
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        staging.chmod(0o755)
        yield staging
        _swap(staging, folder)
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        raise


def _ours(folder: Path, mark: str) -> bool:
    return folder.is_dir() and ((folder / mark).is_file() or not any(folder.iterdir()))


def _swap(staging: Path, folder: Path) -> None:
    """Put a folder in another's place. Whoever is stopped in between finds the other beside, under a hidden name."""
    if not folder.exists():
        staging.replace(folder)
        return
    former = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}.former."))
    folder.replace(former)
    try:
        staging.replace(folder)
    except OSError:
        former.replace(folder)
        raise
    shutil.rmtree(former, ignore_errors=True)


def owner_only(folder: Path) -> Path:
    """A folder that nobody else can write or read, made where it is not there: for programs that pickle what they keep.

    What is unpickled runs. In a folder that others can write (one of a name that anybody can guess, below ``/tmp``, say)
    they could leave something for whoever comes.

    Raises:
        UserError: it is a link or no folder, or it is another user's.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.lstat()
        if not stat.S_ISDIR(status.st_mode) or (hasattr(os, "getuid") and status.st_uid != os.getuid()):
            raise UserError(
                "what is kept in it may run, and it is a link or another user's", where=str(folder), fix="Name another."
            )
        if stat.S_IMODE(status.st_mode) & 0o077:
            folder.chmod(0o700)
    except OSError as error:
        raise UserError(
            f"cannot make it a folder of yours alone ({error.strerror})", where=str(folder), fix="Name another."
        ) from None
    return folder


def write_atomic(path: Path, content: str | bytes) -> None:
    """Write a whole file at once.

    Raises:
        UserError: the folder cannot be written.
    """
    with replacing(path) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)


def human(size: float) -> str:
    """Bytes as people read them: 1.2 GB."""
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"
