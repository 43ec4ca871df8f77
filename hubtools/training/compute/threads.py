"""How many threads compute on a processor: one for each core that is really there and not busy with something else.

Threads that share the work of one operation wait for the slowest of them. Where another process has one of their cores, each
operation waits for that core's turn: two threads beside one busy process take about twice as long as one thread
(``benchmarks/speed/busy.py`` measures it). So it is better to take too few than too many.

A run's identity does not depend on it. The number holds for the whole process, as torch's own.
"""

from __future__ import annotations

import contextlib
import math
import os
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from hubtools.common import telling
from hubtools.training.compute.machine import COMPANY, cores

# Whoever sets one of these has decided; torch has read it when it was imported.
VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
# How often, and how many seconds apart, one looks at what runs.
_LOOKS, _APART = 9, 0.04
# Seconds for which what was seen is taken for what is.
AGAIN = 10.0


@dataclass(frozen=True)
class ThreadCount:
    """A number of threads.

    Attributes:
        number: of threads.
        why: in words.
        wanting: cores that are there and were left to others.
    """

    number: int
    why: str
    wanting: int = 0


_asked: int | None = None
_usual: int | None = None
_settled: ThreadCount | None = None
_looked = -math.inf


def settle(asked: int | None = None) -> None:
    """Set the number of threads of this process: as asked for, as the environment says, or what is free now.

    Args:
        asked: by the user.
    """
    global _asked, _usual
    _asked = asked
    if _usual is None:
        # Of a processor with two threads a core it is the number of cores; or what a program that imports bench has set.
        _usual = torch.get_num_threads()
    _apply(chosen(asked, _usual))


def settle_again() -> None:
    """The same before the next run, which may find the machine quieter or busier; nothing where it was never settled.

    To look takes a third of a second, and runs may be as short: who has looked just now does not look again.
    """
    if _usual is not None and time.monotonic() - _looked > AGAIN:
        _apply(chosen(_asked, _usual))


def why() -> str:
    """Why there are as many threads as there are; empty where bench did not choose."""
    return _settled.why if _settled is not None and _settled.number == torch.get_num_threads() else ""


def chosen(asked: int | None, usual: int) -> ThreadCount:
    """The number of threads.

    Args:
        asked: by the user; goes before all else.
        usual: what torch would take, and at most what is taken.
    """
    if asked is not None:
        company = os.environ.get(COMPANY, "")
        return ThreadCount(asked, f"one of {company} workers" if company.isdecimal() else "as asked for")
    for name in VARIABLES:
        if os.environ.get(name):
            return ThreadCount(usual, name)
    there = cores()
    most = min(usual, there)
    free = max(1, min(most, (os.cpu_count() or 1) - busy()))
    said = f"{free} of {there} core{'s'[: there > 1]}"
    return ThreadCount(free, said if free == most else f"{said}, others are busy", most - free)


def busy(load: Path = Path("/proc/loadavg")) -> int:
    """Threads of other processes that want a core.

    What runs at this moment, seen several times: the average over a minute holds what this process, or the run before it, did
    itself. It is taken where the system does not tell the other.

    Args:
        load: of Linux; its fourth field counts what runs, this thread included.
    """
    seen = []
    for look in range(_LOOKS):
        if look:
            time.sleep(_APART)
        try:
            seen.append(int(load.read_text().split()[3].partition("/")[0]) - 1)
        except (OSError, ValueError, IndexError):
            return round(os.getloadavg()[0]) if hasattr(os, "getloadavg") else 0
    return max(0, int(statistics.median(seen)))


def _apply(found: ThreadCount) -> None:
    global _settled, _looked
    _looked = time.monotonic()
    if found.wanting and (_settled is None or _settled.number != found.number):
        telling.warn(f"note: {found.number} thread{'s'[: found.number > 1]}: {found.why} (--threads says otherwise)")
    _settled = found
    if torch.get_num_threads() != found.number:
        torch.set_num_threads(found.number)
    if not os.environ.get("OPENBLAS_NUM_THREADS"):
        # What numpy computes with is a library of its own, with threads of its own. Comes with scikit-learn.
        with contextlib.suppress(ImportError):
            from threadpoolctl import threadpool_limits

            threadpool_limits(found.number, user_api="blas")
