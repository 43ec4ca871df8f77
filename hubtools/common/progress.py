"""Progress on stderr: bars where a person watches, nothing in a log file."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Iterator
from typing import Any

from hubtools.common import telling


def bar(description: str, total: int | None, unit: str = "it", scale: bool = False, hidden: bool = False) -> Any:
    """A progress bar that disappears when done; silent when this is no command on a terminal, or ``hidden``."""
    return _shown(description, hidden, total=total, unit=unit, unit_scale=scale)


@contextlib.contextmanager
def step(description: str) -> Iterator[None]:
    """What is done inside, in words, and for how long so far, where nothing can be counted."""
    if not telling.bars_shown():
        yield
        return
    shown, ended = _shown(description, False, total=None, bar_format="{desc} {elapsed}"), threading.Event()

    def tick() -> None:
        while not ended.wait(1):
            shown.refresh()

    ticking = threading.Thread(target=tick, name="progress", daemon=True)
    with contextlib.closing(shown):
        shown.refresh()
        ticking.start()
        try:
            yield
        finally:
            ended.set()
            ticking.join()


@contextlib.contextmanager
def unless_it_fails(shown: Any) -> Iterator[None]:
    """What a bar counts inside is taken back where it fails, because then it is done again."""
    before = shown.n
    try:
        yield
    except BaseException:
        shown.update(before - shown.n)
        raise


def _shown(description: str, hidden: bool, **options: Any) -> Any:
    from tqdm import tqdm

    disable = hidden or not telling.bars_shown()
    return tqdm(desc=description, leave=False, dynamic_ncols=True, file=sys.stderr, disable=disable, **options)
