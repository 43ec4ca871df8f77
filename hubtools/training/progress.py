"""Progress on stderr: bars where a person watches, nothing in a log file."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import Any

from tqdm import tqdm

from hubtools.common import telling


def bar(description: str, total: int | None, unit: str = "it", scale: bool = False, hidden: bool = False) -> Any:
    """A progress bar that disappears when done; silent when this is no command on a terminal, or ``hidden``."""
    return tqdm(
        total=total,
        desc=description,
        unit=unit,
        unit_scale=scale,
        leave=False,
        dynamic_ncols=True,
        file=sys.stderr,
        disable=hidden or not telling.bars_shown(),
    )


@contextlib.contextmanager
def unless_it_fails(shown: Any) -> Iterator[None]:
    """What a bar counts inside is taken back where it fails, because then it is done again."""
    before = shown.n
    try:
        yield
    except BaseException:
        shown.update(before - shown.n)
        raise
