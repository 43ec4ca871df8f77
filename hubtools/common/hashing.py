"""Canonical hashes: the same content gives the same identity on every machine."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no whitespace, refusing NaN, so that equal values give equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest(value: Any) -> str:
    """sha256 of the canonical JSON of a value, as 64 hex digits."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def file_sha256(path: Path) -> str:
    """sha256 of a file's content, read in blocks."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def bytes_sha256(content: bytes) -> str:
    """sha256 of bytes, as 64 hex digits."""
    return hashlib.sha256(content).hexdigest()


def is_sha256(text: str) -> bool:
    """Whether a text can be one: what is read from a note that may be damaged.

    >>> is_sha256("0" * 64), is_sha256("0" * 63)
    (True, False)
    """
    return re.fullmatch(r"[0-9a-f]{64}", text) is not None
