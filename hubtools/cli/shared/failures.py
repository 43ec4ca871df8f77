"""What no command expected: one line that says what, where and what next, and the traceback in a file.

A command refuses what it knows by ``UserError``. What is left are the errors of libraries and of bench itself.
"""

from __future__ import annotations

import contextlib
import os
import platform
import sys
import tempfile
import traceback
from datetime import UTC, datetime
from pathlib import Path

from hubtools.common.cache_folder import cache_folder
from hubtools.common.errors import UserError, one_line
from hubtools.common.files import FULL_OR_READ_ONLY, unwritable, write_atomic
from hubtools.common.secrets import scrub
from hubtools.common.version import __version__

# Says that the traceback is wanted on the terminal too: for whoever works on bench.
VARIABLE = "BENCH_TRACEBACK"
BROKEN_PIPE = 141  # 128 and the number of the signal, as programs end that do not catch it
ERROR = 2


def told(error: BaseException) -> str:
    """The one line for an error that no command expected.

    Args:
        error: with its traceback.
    """
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return (
            "there is not enough memory. Give a smaller --token-budget, close other programs, or take a larger machine."
        )
    if isinstance(error, OSError) and error.errno in FULL_OR_READ_ONLY:
        said = unwritable(Path(str(error.filename)), error) if error.filename else None
        return str(said or f"cannot write ({error.strerror}). Make room on that disk, or choose another.")
    what = one_line(f"{type(error).__name__}: {error}" if str(error) else type(error).__name__)
    where = f" in {at}" if (at := _place(error)) else ""
    file = _kept(error)
    kept = f"The traceback is in {file}: send it with a report" if file else "Its traceback could not be kept"
    return f"this should not have happened{where}: {what}. {kept}; {VARIABLE}=1 shows it"


def nobody_reads() -> bool:
    """Whether what is printed finds no reader any more (``| head -1``): that is no failure of the command.

    Then what is left to be printed goes nowhere, also when Python ends.
    """
    if not getattr(sys.stdout, "broken", False):
        return False
    with contextlib.suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return True


def _place(error: BaseException) -> str:
    """The deepest place in bench that the error came through."""
    package = Path(__file__).resolve().parents[2]
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        path = Path(frame.filename)
        if path.is_relative_to(package) and path.name not in {"main.py", "failures.py", "guarded.py"}:
            return f"{path.relative_to(package).as_posix()}:{frame.lineno}"
    return ""


def _kept(error: BaseException) -> Path | None:
    """The file that holds the traceback now, without secrets; None where it cannot be written."""
    now = datetime.now(UTC)
    text = scrub(
        "\n".join(
            [
                f"bench {__version__}, Python {platform.python_version()}, {platform.platform()}, {now.isoformat(timespec='seconds')}",
                " ".join(["bench", *sys.argv[1:]]),
                "",
                "".join(traceback.format_exception(error)),
            ]
        )
    )
    name = f"{now:%Y%m%dT%H%M%S}-{os.getpid()}.txt"
    for folder in (cache_folder() / "failures", Path(tempfile.gettempdir())):
        with contextlib.suppress(UserError, OSError):
            folder.mkdir(parents=True, exist_ok=True)
            write_atomic(folder / name, text)
            return folder / name
    return None
