"""Whose turn it is, where several processes share a folder of runs: claim a run, or see it done elsewhere, wait, take it over.

A claim is a lock on a file in the run's folder. The system gives it back when its process ends, however it ends: so a run whose
process was killed is taken over by whoever asks next, and goes on where that one stopped.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from filelock import Timeout

from hubtools.common.errors import UserError
from hubtools.common.files import file_lock, make_folder, unwritable

LOCK = ".lock"
# Seconds between two looks at runs that others are at.
LOOK = 1.0


class ClaimedElsewhere(UserError):
    """Another process is at this very run.

    Args:
        folder: of the run.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        fix = "Wait for it, or use another --runs."
        super().__init__("another process is running it right now", where=str(folder), fix=fix)


@contextlib.contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Hold a run's folder for this process.

    Raises:
        ClaimedElsewhere: another process holds it.
        UserError: the folder cannot be written.
    """
    try:
        make_folder(folder)
        lock = file_lock(folder / LOCK, timeout=0)
        lock.acquire()
    except Timeout:
        raise ClaimedElsewhere(folder) from None
    except OSError as error:
        raise unwritable(Path(error.filename or folder), error) or error from None
    try:
        yield
    finally:
        lock.release()


def wait_for_one(folders: Sequence[Path]) -> None:
    """Wait until one of these runs can be claimed: its process has ended, and the run is done, failed or left."""
    while True:
        for folder in folders:
            try:
                with claimed(folder):
                    return
            except ClaimedElsewhere:
                continue
        time.sleep(LOOK)
