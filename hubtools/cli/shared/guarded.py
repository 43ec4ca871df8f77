"""What a command prints, whatever is in it: nothing acts on the terminal or on the job, and no secret is shown.

Texts come from everywhere (rows of data, file names, what a library says of a failed request, a traceback), so the streams
themselves are guarded: nobody who prints can forget it. Colours and bars stay, on a terminal alone.
"""

from __future__ import annotations

import contextlib
import re
import sys
import traceback
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Any, TextIO

from hubtools.common.escaping import terminal
from hubtools.common.secrets import scrub

# What Rich, click and bars write on a terminal: colours, and moves of the cursor inside what they wrote.
_DRAWING = re.compile(r"(\x1b\[[0-9;]*[mABCDGHJK]|\x1b\[\?25[lh])")


class GuardedStream:
    """A text stream that writes what is shown, and not what is acted upon. All else is that of the stream inside."""

    def __init__(self, stream: TextIO) -> None:
        self._stream, self._inside = stream, False
        # Whether nobody reads it any more; libraries that find out end the process in ways of their own.
        self.broken = False
        self._draws = stream.isatty()

    def write(self, text: str) -> int:
        """Write a text as :func:`hubtools.common.escaping.terminal` has it, without secrets."""
        if not isinstance(text, str):
            # By this click tells a stream of texts from one of bytes.
            raise TypeError(f"a text is written here, not {type(text).__name__}")
        if text:
            shown = scrub(text)
            if self._draws:
                parts = _DRAWING.split(shown)
                shown = "".join(part if at % 2 else self._plain(part) for at, part in enumerate(parts))
            else:
                shown = self._plain(shown)
            with self._noticing():
                self._stream.write(shown)
        return len(text)

    def flush(self) -> None:
        """As that of the stream inside."""
        with self._noticing():
            self._stream.flush()

    @contextlib.contextmanager
    def _noticing(self) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError:
            self.broken = True
            raise

    def _plain(self, text: str) -> str:
        shown = terminal(text, inside=self._inside)
        if text:
            line = text[max(text.rfind("\n"), text.rfind("\r")) + 1 :]
            begun = self._inside and not ("\n" in text or "\r" in text)
            self._inside = begun or bool(line.strip())
        return shown

    def writelines(self, lines: Iterable[str]) -> None:
        """Each as :meth:`write`."""
        for line in lines:
            self.write(line)

    def command(self, line: str) -> None:
        """A command for the runner of GitHub Actions, as it is but for secrets."""
        self._stream.write(scrub(line) + "\n")
        self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _print_traceback(kind: type[BaseException], error: BaseException, at: TracebackType | None) -> None:
    text = "".join(traceback.format_exception(kind, error, at))
    print(terminal(scrub(text)), end="", file=sys.stderr)


@contextlib.contextmanager
def guarded_streams() -> Iterator[None]:
    """Guard what is printed inside the block, and the traceback where it is what ends the process."""
    before = sys.stdout, sys.stderr
    for name, stream in zip(("stdout", "stderr"), before, strict=True):
        if stream is not None and not isinstance(stream, GuardedStream):
            setattr(sys, name, GuardedStream(stream))
    sys.excepthook = _print_traceback
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def workflow_command(line: str) -> None:
    """Print a command for the runner of GitHub Actions on standard error, its texts already escaped."""
    if isinstance(sys.stderr, GuardedStream):
        sys.stderr.command(line)
    else:
        print(line, file=sys.stderr)
