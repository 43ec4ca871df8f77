"""Progress on stderr: bars where a person watches, nothing in a log file."""

from __future__ import annotations

import sys
from typing import Any

from tqdm import tqdm


def bar(description: str, total: int | None, unit: str = "it", scale: bool = False) -> Any:
    """A progress bar that disappears when done; silent when stderr is not a terminal."""
    return tqdm(
        total=total,
        desc=description,
        unit=unit,
        unit_scale=scale,
        leave=False,
        dynamic_ncols=True,
        file=sys.stderr,
        disable=not sys.stderr.isatty(),
    )
