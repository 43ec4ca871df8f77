"""Memory: how much this process holds, and what is not there, told from other errors and asked for again in smaller pieces."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import resource
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import torch

from hubtools.common import telling

T = TypeVar("T")
# Below this many tokens every row is a batch of its own.
LEAST = 2
# What the allocators of the CPU, of Apple's GPUs and of the matrix library say where they raise a plain RuntimeError.
_SAID = ("can't allocate memory", "not enough memory", "out of memory", "cublas_status_alloc_failed")


def out_of_memory(error: BaseException) -> bool:
    """Whether an error means that memory, the device's or this machine's, did not suffice."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(said in str(error).lower() for said in _SAID)


def resident_memory() -> int:
    """Bytes of this process now; 0 where the system does not say."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def peak_resident() -> int:
    """Most bytes of this process so far, or since :func:`forget_peak`."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def forget_peak() -> None:
    """From here on :func:`peak_resident` counts anew, where the system lets it (Linux); else its answer is an upper bound."""
    # What man 5 proc says of the number 5: the peak becomes what is resident now.
    with contextlib.suppress(OSError), Path("/proc/self/clear_refs").open("w") as file:
        file.write("5")


def release(device: torch.device) -> None:
    """Give back what nothing holds any longer, such as a failed attempt's tensors or another model's weights."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
    # glibc keeps what is freed below its top for later, which may be a whole model; other libraries have no such call.
    with contextlib.suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


def warn(what: str, budget: int, smaller: int) -> None:
    """One line for the user: nothing is lost, but it could have been faster with less at once."""
    telling.warn(f"out of memory in {what} at {budget:,} tokens a batch; going on with {smaller:,}")


def within_memory(work: Callable[[int], T], budget: int, device: torch.device, what: str) -> T:
    """What ``work`` returns for a token budget, which is halved for as long as memory does not suffice.

    The work starts anew each time. Where batches are sorted with the longest first, as they are for prediction, what
    does not fit is met at once and little is done twice.

    Raises:
        Exception: what ``work`` raised last, where even single rows do not fit.
    """
    while True:
        try:
            return work(budget)
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error) or budget // 2 < LEAST:
                raise
        # Outside of the handler, where the traceback no longer keeps the tensors alive.
        release(device)
        warn(what, budget, budget // 2)
        budget //= 2
