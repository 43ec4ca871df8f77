"""Writing files so that a reader never sees a part of one. Every writer of bench goes through here.

:data:`WRITERS` lists the functions that write. What one of them writes has its name only when it is whole and on the disk
(``fsync``), or is not there; a disk that is full or may not be written is one line for the user.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from io import RawIOBase
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeVar

from hubtools.common.errors import UserError

if TYPE_CHECKING:
    from filelock import BaseFileLock

# How one is called: with a path and its content; as a block that gets the path of a file, or of a folder, to write to; with
# a path and the whole file that moves there.
Shape = Literal["content", "file", "folder", "move"]
Function = TypeVar("Function", bound=Callable[..., Any])
# What a file is called that is begun and not whole; it stays when something stops its writer.
PARTIAL = ".partial"
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
FULL_OR_READ_ONLY = {*_FULL, errno.EROFS}
_THERE = {errno.ENOTEMPTY, errno.EEXIST}
# Tries to replace a folder that others replace at the same time, on a file system without locks.
_TRIES = 200
# Of Linux' renameat2.
_AT_CWD, _RENAME_EXCHANGE = -100, 2


# Folders of which this process holds a claim, and what raises where it has lost it.
_GUARDS: dict[Path, Callable[[], None]] = {}


class WritingFunction(NamedTuple):
    """A function that writes.

    Attributes:
        write: the function; its first argument is the path that is written.
        shape: how it is called.
        appends: whether what was there stays before what is written.
    """

    write: Callable[..., Any]
    shape: Shape
    appends: bool = False


# By name: whoever tests what happens on a full disk tests each of them.
WRITERS: dict[str, WritingFunction] = {}


def _writes(shape: Shape, *, appends: bool = False) -> Callable[[Function], Function]:
    def listed(function: Function) -> Function:
        WRITERS[function.__name__] = WritingFunction(function, shape, appends)
        return function

    return listed


@_writes("file")
@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary name beside a file; what is written there takes the file's name when the block ends well.

    Raises:
        UserError: the folder cannot be written.
    """
    with _told(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            _finish(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


@_writes("file")
@contextlib.contextmanager
def completing(path: Path) -> Iterator[Path]:
    """As :func:`replacing`, under the name ``NAME.partial``, which stays when something stops the block: hours may be in it.

    Raises:
        UserError: the folder cannot be written.
    """
    with _told(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f"{path.name}{PARTIAL}")
        yield partial
        _finish(partial, path)


@_writes("folder")
@contextlib.contextmanager
def replacing_folder(folder: Path, mark: str, *, durable: bool = True) -> Iterator[Path]:
    """A temporary folder beside another; it takes the other's place when the block ends well.

    Of several processes that write the same folder at the same time each does, one after the other, and the last one's stays.

    Args:
        folder: to be written.
        mark: name of a file that every such folder holds. A folder without it is somebody else's, and stays.
        durable: whether it must outlive a loss of power. Of thousands of files that are easily made again that takes long.

    Raises:
        UserError: something is there that bench did not make, or the folder cannot be written.
    """
    with _told(folder):
        if folder.parent.is_dir():
            with _turn(folder.parent):  # What another process has just replaced goes file by file.
                _refuse_foreign(folder, mark)
        folder.parent.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
        try:
            staging.chmod(0o755)
            yield staging
            if durable:
                for path in staging.rglob("*"):
                    if path.is_file() and not path.is_symlink():
                        _sync(path)
            _swap(staging, folder, mark)
        except BaseException:
            shutil.rmtree(staging, ignore_errors=True)
            raise
        _sync_folder(folder.parent)


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


@_writes("content")
def write_atomic(path: Path, content: str | bytes) -> None:
    """Write a whole file at once.

    Raises:
        UserError: the folder cannot be written.
    """
    with replacing(path) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)


@_writes("content", appends=True)
def append_whole(path: Path, content: str) -> None:
    """Add lines to a file that grows; where they do not fit on the disk, the file is left as it was.

    Raises:
        UserError: it cannot be written.
    """
    with _told(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        # Not buffered: what does not fit fails in the write, not when the file is closed.
        with path.open("ab", buffering=0) as stream:
            before, rest = os.fstat(stream.fileno()).st_size, memoryview(content.encode(errors="replace"))
            try:
                while rest:
                    rest = rest[stream.write(rest) :]
            except BaseException:
                _cut(stream, before)
                raise
            try:
                # Of a pipe or a terminal, /dev/stdout for one, there is nothing to be synced.
                if stream.seekable():
                    os.fsync(stream.fileno())
            except OSError:
                _cut(stream, before)
                raise


@_writes("move")
def move_whole(path: Path, source: Path) -> None:
    """Give a file that is whole, on the same disk, its name; what has that name inside bench's own folders goes.

    Raises:
        UserError: the folder cannot be written.
    """
    with _told(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        _sync(source)
        if path.is_dir():
            clear(path)
        source.replace(path)
        _sync_folder(path.parent)


def allocate(path: Path, size: int) -> None:
    """Take the room of a file that will be written through a map: else a full disk would end the process without a word.

    Raises:
        UserError: the disk has not so much.
    """
    if hasattr(os, "posix_fallocate") and size:
        with _told(path), path.open("r+b") as stream:
            os.posix_fallocate(stream.fileno(), 0, size)


def remove_files(paths: Iterable[Path]) -> tuple[list[Path], int]:
    """Remove files; those that went, and how many bytes that freed. One that is gone already is not counted.

    Raises:
        UserError: one cannot be removed; those before it are.
    """
    removed, freed = list[Path](), 0
    for path in paths:
        try:
            size = path.lstat().st_size
            path.unlink()
        except FileNotFoundError:
            continue
        except OSError as error:
            before = f"; {len(removed):,} were removed before it, {human(freed)}" if removed else ""
            raise UserError(
                f"cannot remove it ({reason(error)}){before}",
                where=str(path),
                fix="Is it yours, and its disk one that may be written?",
            ) from None
        removed.append(path)
        freed += size
    return removed, freed


def user_path(name: str) -> Path:
    """The path that a user wrote, ``~`` written out where it is somebody's."""
    path = Path(name)
    try:
        return path.expanduser()
    except RuntimeError:
        return path


def clear(path: Path) -> None:
    """Remove what has a name that bench needs inside its own folders, whatever it is; a link is not followed."""
    with contextlib.suppress(OSError):
        path.unlink()
    shutil.rmtree(path, ignore_errors=True)


def make_folder(path: Path) -> None:
    """A folder inside bench's own; what has its name and is none goes.

    Raises:
        OSError: it cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        path.unlink()  # Not looked at before: by then another process may have made it, with its claim in it.
        path.mkdir(parents=True, exist_ok=True)


def file_lock(path: Path, timeout: float = -1) -> BaseFileLock:
    """A lock on a file of bench's own, in a folder that is there; a folder that has its name goes.

    Args:
        path: of the file.
        timeout: seconds to wait; -1 for as long as it takes.
    """
    from filelock import FileLock

    if path.is_dir():
        clear(path)
    elif path.exists() and not os.access(path, os.R_OK | os.W_OK):
        # Not removed: another process may hold it. One of another user's stays as it is.
        with contextlib.suppress(OSError):
            path.chmod(0o644)
    return FileLock(path, timeout=timeout)


def is_file(path: Path) -> bool:
    """Whether a file is there; no error for a name that the disk would not take, as :meth:`Path.is_file` raises."""
    return os.path.isfile(path)  # noqa: PTH113


def is_folder(path: Path) -> bool:
    """Whether a folder is there; likewise."""
    return os.path.isdir(path)  # noqa: PTH112


def is_there(path: str | Path) -> bool:
    """Whether something is there; likewise."""
    return os.path.exists(path)  # noqa: PTH110


def unwritable(path: Path, error: BaseException) -> UserError | None:
    """One line for an error of the disk, or of a library that met one; None where it is another error."""
    why = reason(error)
    if why is None:
        return None
    full = isinstance(error, OSError) and error.errno in _FULL
    fix = "Make room on that disk, or choose another." if full else "Choose a folder that you may write to."
    return UserError(f"cannot write it ({why})", where=str(path), fix=fix)


def reason(error: BaseException) -> str | None:
    """What the system says of an error of the disk; None where it is another error."""
    if isinstance(error, OSError):
        # Arrow puts a sentence of its own where the system's belongs.
        return os.strerror(error.errno) if error.errno else " ".join(str(error).split())
    # What safetensors raises is an exception of its own, whatever happened.
    found = re.search(r"\(os error (\d+)\)", str(error)) if type(error).__name__ == "SafetensorError" else None
    return os.strerror(int(found[1])) if found else None


@contextlib.contextmanager
def guarded(folder: Path, check: Callable[[], None]) -> Iterator[None]:
    """A block in which ``check`` is called before anything is written below a folder; what it raises stops the writing."""
    _GUARDS[folder.absolute()] = check
    try:
        yield
    finally:
        del _GUARDS[folder.absolute()]


def _allowed(path: Path) -> None:
    for folder, check in list(_GUARDS.items()):
        if path.absolute().is_relative_to(folder):
            check()


@contextlib.contextmanager
def _told(path: Path) -> Iterator[None]:
    """What the disk refuses is the user's to know, in one line."""
    _allowed(path)
    try:
        yield
    except Exception as error:
        # Of what is written from other files it may be one of those that cannot be read.
        named = error.filename if isinstance(error, OSError) and isinstance(error.filename, str) else None
        other = named is not None and not Path(named).is_relative_to(path.parent)
        if (told := unwritable(Path(named) if named and other else path, error)) is None:
            raise
        raise told from None


def _cut(stream: RawIOBase, size: int) -> None:
    with contextlib.suppress(OSError):
        stream.truncate(size)


def _finish(temporary: Path, path: Path) -> None:
    """Give a whole file its name, once it is on the disk."""
    _sync(temporary)
    _allowed(path)
    temporary.chmod(0o644)
    temporary.replace(path)
    _sync_folder(path.parent)


def _sync(path: Path) -> None:
    with path.open("rb") as stream:
        os.fsync(stream.fileno())


def _sync_folder(folder: Path) -> None:
    """So that the new name outlives a loss of power; not every file system can."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _refuse_foreign(folder: Path, mark: str) -> None:
    """Raise where something is there that bench did not make."""
    try:
        # Looked at once: another process may put its own there in the meantime.
        names = None if folder.is_symlink() else [path.name for path in folder.iterdir()]
    except FileNotFoundError:
        return
    except NotADirectoryError:
        names = None
    if names is None or (names and mark not in names):
        raise UserError(
            f"there is something else (no {mark} in it), and it would be lost",
            where=str(folder),
            fix="Name another folder, or an empty one.",
        )


def _swap(staging: Path, folder: Path, mark: str) -> None:
    """Put a folder in another's place.

    Where the system cannot exchange two names at once, whoever is stopped in between finds the other beside, under a hidden name.
    """
    with _turn(folder.parent):
        _allowed(folder)
        for _ in range(_TRIES):
            with _unless_there():
                # In the place of nothing, or of an empty folder.
                staging.replace(folder)
                return
            _refuse_foreign(folder, mark)
            if _exchanged(staging, folder):
                shutil.rmtree(staging, ignore_errors=True)
                return
            former = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}.former."))
            try:
                folder.replace(former)
            except FileNotFoundError:
                former.rmdir()  # Another process was faster; its folder will be here in a moment.
                continue
            with _unless_there():
                try:
                    staging.replace(folder)
                except OSError as error:
                    if error.errno not in _THERE:
                        former.replace(folder)
                    raise
                shutil.rmtree(former, ignore_errors=True)
                return
            shutil.rmtree(former, ignore_errors=True)
    raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))


@contextlib.contextmanager
def _unless_there() -> Iterator[None]:
    """Go on where a folder cannot be renamed because another has its name."""
    try:
        yield
    except OSError as error:
        if error.errno not in _THERE:
            raise


@contextlib.contextmanager
def _turn(parent: Path) -> Iterator[None]:
    """One process at a time, by a lock on the folder itself, which leaves no file; not every file system can."""
    import fcntl

    handle = os.open(parent, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _exchanged(one: Path, other: Path) -> bool:
    """Give each of two folders the other's name, at once; False where the system cannot, and then nothing was done."""
    rename = _renameat2()
    return rename is not None and not rename(
        _AT_CWD, os.fsencode(one.absolute()), _AT_CWD, os.fsencode(other.absolute()), _RENAME_EXCHANGE
    )


@cache
def _renameat2() -> Any:
    try:
        return ctypes.CDLL(None).renameat2
    except (OSError, AttributeError):
        return None


def human(size: float) -> str:
    """Bytes as people read them: 1.2 GB."""
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"
