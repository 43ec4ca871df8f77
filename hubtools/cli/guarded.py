"""What a command prints, whatever is in it: nothing acts on the terminal or on the job, and no secret is shown.

Texts come from everywhere (rows of data, file names, what a library says of a failed request, a traceback), so the streams
themselves are guarded: nobody who prints can forget it. Colours and bars stay, on a terminal alone.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from typing import Any, TextIO

from hubtools.common.escaping import terminal
from hubtools.common.secrets import scrub

# What Rich, click and bars write on a terminal: colours, and moves of the cursor inside what they wrote.
_DRAWING = re.compile(r"(\x1b\[[0-9;]*[mABCDGHJK]|\x1b\[\?25[lh])")


class GuardedStream:
    """A text stream that writes what is shown, and not what is acted upon. All else is that of the stream inside."""

    def __init__(self, stream: TextIO) -> None:
        self._stream, self._inside = stream, False
        self._draws = stream.isatty()

    def write(self, text: str) -> int:
        """Write a text as :func:`hubtools.common.escaping.terminal` has it, without secrets."""
        if text:
            shown = scrub(text)
            if self._draws:
                parts = _DRAWING.split(shown)
                shown = "".join(part if at % 2 else self._plain(part) for at, part in enumerate(parts))
            else:
                shown = self._plain(shown)
            self._stream.write(shown)
        return len(text)

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


def guard_streams() -> None:
    """Guard what this process prints from now on."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is not None and not isinstance(stream, GuardedStream):
            setattr(sys, name, GuardedStream(stream))


def workflow_command(line: str) -> None:
    """Print a command for the runner of GitHub Actions on standard error, its texts already escaped."""
    if isinstance(sys.stderr, GuardedStream):
        sys.stderr.command(line)
    else:
        print(line, file=sys.stderr)
