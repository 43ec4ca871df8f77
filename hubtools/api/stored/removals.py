"""What was removed from this machine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hubtools.common.files import human


def counted(files: int) -> str:
    """A number of files in words.

    >>> counted(1), counted(2000)
    ('1 file', '2,000 files')
    """
    return f"{files:,} file" if files == 1 else f"{files:,} files"


@dataclass(frozen=True)
class RemovedFiles:
    """Files that were removed.

    Attributes:
        files: their paths.
        bytes: that this freed.
    """

    files: tuple[Path, ...]
    bytes: int

    @classmethod
    def of(cls, removed: tuple[list[Path], int]) -> RemovedFiles:
        """What :func:`hubtools.common.files.remove_files` says."""
        return cls(tuple(removed[0]), removed[1])

    def __repr__(self) -> str:
        return f"removed {counted(len(self.files))}, {human(self.bytes)}"
