"""Progress and warnings are the caller's.

Who imports bench gets its warnings from the logger ``hubtools``, as any library's, and no bars. A command shows both on stderr.
"""

from __future__ import annotations

import contextlib
import logging
import sys
import threading
from collections.abc import Iterator
from typing import Any

from hubtools.common.errors import one_line

_log = logging.getLogger("hubtools")


class _OnStderr(logging.Handler):
    """A warning is a line of its own, as it is."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print it to what stderr is now."""
        print(self.format(record), file=sys.stderr)


_shown: _OnStderr | None = None


def warn(line: str) -> None:
    """Something that the user should know, and that stops nothing."""
    _log.warning("%s", one_line(line))


def is_command() -> bool:
    """Whether this is a command, which says on stderr how far it is; else a program that imports bench."""
    return _shown is not None


def bars_shown() -> bool:
    """Whether a person watches: this is a command, on a terminal."""
    return is_command() and sys.stderr.isatty()


@contextlib.contextmanager
def on_stderr() -> Iterator[None]:
    """Show warnings, and bars on a terminal: what a command does."""
    global _shown
    if _shown is not None:
        yield
        return
    _shown = _OnStderr(logging.WARNING)
    _log.addHandler(_shown)
    try:
        yield
    finally:
        _log.removeHandler(_shown)
        _shown = None


def bar(description: str, total: int | None, unit: str = "it", scale: bool = False, hidden: bool = False) -> Any:
    """A progress bar that disappears when done; silent when this is no command on a terminal, or ``hidden``."""
    return _drawn(description, hidden, total=total, unit=unit, unit_scale=scale)


@contextlib.contextmanager
def step(description: str) -> Iterator[None]:
    """What is done inside, in words, and for how long so far, where nothing can be counted."""
    if not bars_shown():
        yield
        return
    shown, ended = _drawn(description, False, total=None, bar_format="{desc} {elapsed}"), threading.Event()

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


def _drawn(description: str, hidden: bool, **options: Any) -> Any:
    from tqdm import tqdm

    disable = hidden or not bars_shown()
    return tqdm(desc=description, leave=False, dynamic_ncols=True, file=sys.stderr, disable=disable, **options)
