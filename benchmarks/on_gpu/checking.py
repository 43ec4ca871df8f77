"""Checks one after the other, each within its time: right, wrong, measured, or left out with the reason."""

from __future__ import annotations

import contextlib
import gc
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch

Verdict = Literal["right", "wrong", "measured", "missed", "left out"]


class LeftOut(Exception):
    """A check does not apply here; its text says why."""


class TooLong(BaseException):
    """A check was stopped at the end of its time; no Exception, which an engine takes for an architecture's answer."""


@dataclass(frozen=True)
class Check:
    """One thing to look at.

    Attributes:
        part: ``correctness``, ``speed`` or ``waiting``.
        name: of it.
        seconds: that it may take; it is not begun where fewer are left.
        run: does it; what it returns is the finding. An AssertionError says what is wrong.
    """

    part: str
    name: str
    seconds: float
    run: Callable[[], Finding]


@dataclass
class Finding:
    """What a check found.

    Attributes:
        said: in words.
        verdict: ``missed`` is a goal that was not reached, which is no error.
        figures: numbers behind the words.
        seconds: that it took.
    """

    said: str
    verdict: Verdict = "right"
    figures: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0


@contextlib.contextmanager
def within(seconds: float) -> Iterator[None]:
    """Stop what is inside after so many seconds, between two calls of Python; on Windows, and outside the main thread, never.

    Raises:
        TooLong: they are over.
    """

    def stop(*_: Any) -> None:
        raise TooLong(f"not done within its {seconds:.0f} s")

    if not hasattr(signal, "setitimer"):
        yield
        return
    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 0.01))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def run_checks(
    checks: Sequence[Check], seconds: float, device: torch.device, told: Callable[[Check, Finding], None]
) -> list[tuple[Check, Finding]]:
    """Every check, in order, as far as the time of all goes.

    Args:
        checks: to run.
        seconds: for all of them.
        device: whose memory is given back after each.
        told: called with each finding.
    """
    ends, found = time.monotonic() + seconds, []
    for check in checks:
        left, started = ends - time.monotonic(), time.monotonic()
        if left < check.seconds:
            finding = Finding(f"it may take {check.seconds:.0f} s, and {max(left, 0):.0f} s are left", "left out")
        else:
            finding = _finding(check)
        finding.seconds = round(time.monotonic() - started, 1)
        gc.collect()
        if device.type == "cuda":
            torch.cuda.empty_cache()
        found.append((check, finding))
        told(check, finding)
    return found


def _finding(check: Check) -> Finding:
    try:
        with within(check.seconds):
            return check.run()
    except LeftOut as reason:
        return Finding(str(reason), "left out")
    # Whatever goes wrong on a machine that nobody has tried is a finding, and the other checks go on.
    except (Exception, TooLong) as error:
        traceback.print_exc(file=sys.stderr)
        said = " ".join(str(error).split())[:300]
        return Finding(
            said if isinstance(error, (AssertionError, TooLong)) else f"{type(error).__name__}: {said}", "wrong"
        )
