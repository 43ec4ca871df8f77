"""What disks, kills and hands do to a file: cut, emptied, noise, a folder in its place, not to be read, one bit."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest


def _cut(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def _noise(path: Path) -> None:
    path.write_bytes(random.Random(1).randbytes(max(64, path.stat().st_size)))


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()
    (path / "something").write_text("else")


def _unreadable(path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("permissions do not bind root")
    path.chmod(0)


def _bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    if content:
        content[-len(content) // 4] ^= 1
    path.write_bytes(content)


WAYS: dict[str, Callable[[Path], None]] = {
    "cut": _cut,
    "emptied": lambda path: path.write_bytes(b"") and None,
    "noise": _noise,
    "a folder": _folder,
    "not to be read": _unreadable,
    "gone": Path.unlink,
}
# Of what is found by its checksum alone.
BIT = {"a bit": _bit}
