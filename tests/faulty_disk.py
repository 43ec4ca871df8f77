"""A disk that fails: full, read-only, or gone with its process, for everything below one folder and nothing elsewhere."""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

# What fails: to begin a file or folder, to write into it, to put it on the disk, to give it its name, all of it.
STEPS = ("open", "write", "sync", "rename", "read-only")
_EVENTS = {
    "open": {"open", "os.mkdir"},
    "rename": {"os.rename"},
    "read-only": {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir"},
}
_failing: FaultyDisk | None = None


class FaultyDisk:
    """What fails, from which time on.

    Args:
        root: the folder.
        step: one of STEPS, or ``kill``: the process ends where a file would get its name.
        after: how often it goes well before.

    Attributes:
        seen: how often it was tried.
    """

    def __init__(self, root: Path, step: str, after: int = 0) -> None:
        self.root, self.step, self.after, self.seen = str(root.resolve()), step, after, 0

    def below(self, path: object) -> bool:
        """Whether a path is in the folder."""
        return isinstance(path, (str, Path)) and str(Path(path).absolute()).startswith(self.root)

    def meet(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Fail, where it is time."""
        if event not in _EVENTS["rename" if self.step == "kill" else self.step]:
            return
        if event == "open" and not (isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)):
            return
        if any(self.below(path) for path in arguments[:2]):
            self.fail(str(arguments[0]))

    def fail(self, path: str) -> None:
        """Count, and raise or end."""
        self.seen += 1
        if self.seen <= self.after:
            return
        if self.step == "kill":
            os._exit(9)
        number = errno.EROFS if self.step == "read-only" else errno.ENOSPC
        raise OSError(number, os.strerror(number), path)


def _hear(event: str, arguments: tuple[Any, ...]) -> None:
    if _failing is not None and _failing.step not in {"write", "sync"}:
        _failing.meet(event, arguments)


sys.addaudithook(_hear)


@contextlib.contextmanager
def faulty(root: Path, step: str, after: int = 0) -> Iterator[FaultyDisk]:
    """The disk fails inside.

    Libraries that write by themselves (Arrow, safetensors) meet a limit on the size of files, the same in all that is written.
    """
    global _failing
    disk = FaultyDisk(root, step, after)
    limits, sync = resource.getrlimit(resource.RLIMIT_FSIZE), os.fsync

    def refusing(handle: int) -> None:
        if disk.below(Path(f"/proc/self/fd/{handle}").readlink()):
            disk.fail(str(root))
        sync(handle)

    with pytest.MonkeyPatch.context() as patched:
        if step == "sync":
            patched.setattr(os, "fsync", refusing)
        _failing = disk
        try:
            if step == "write":
                resource.setrlimit(resource.RLIMIT_FSIZE, (after, limits[1]))
            yield disk
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
            _failing = None
