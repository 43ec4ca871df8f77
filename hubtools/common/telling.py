"""Progress and warnings are the caller's.

Who imports bench gets its warnings from the logger ``hubtools``, as any library's, and no bars. A command shows both on stderr.
"""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Iterator

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
