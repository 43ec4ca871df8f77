"""Where this user's cache is: data, embeddings, what was measured on this machine, tracebacks."""

from __future__ import annotations

import os
from pathlib import Path

VARIABLE = "BENCH_CACHE"


def cache_folder() -> Path:
    """The folder that the variable names, else ``~/.cache/plm-hubtools``; it need not be there."""
    return Path(os.environ.get(VARIABLE) or "~/.cache/plm-hubtools").expanduser()
