"""When a command looks for cyclic garbage: seldom while it imports, and not again among what it imported.

torch and transformers make close to a million objects on import, nearly all of which stay. Left to itself, Python goes through them
again and again while they are made, and more than once when it ends: a third of the processor time of a short command
(``benchmarks/speed/starting.py``). What a Python program of somebody else does with its garbage is left to it.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import sys
from collections.abc import Iterator

# New objects before the young are looked through, and how many times that is done before the older ones are: what is in a
# cycle is still found, in a command that makes many.
SELDOM = (100_000, 50, 100)
# What the thresholds were, while a command imports.
_before: tuple[int, int, int] | None = None


@contextlib.contextmanager
def sought_seldom() -> Iterator[None]:
    """For a command: garbage is looked for seldom until :func:`set_aside`, or to its end, and not when its process ends.

    Where torch is imported already, the process is not this command's alone, and nothing is changed.
    """
    global _before
    if "torch" in sys.modules:
        yield
        return
    _before = gc.get_threshold()
    gc.set_threshold(*SELDOM)
    # The system takes back all memory at once. Files are closed and temporary folders removed where they were made, or at exit.
    atexit.unregister(gc.freeze)
    atexit.register(gc.freeze)
    try:
        yield
    finally:
        _as_before()


def set_aside() -> None:
    """Before a command computes: what it has made so far stays, and garbage is looked for as usual among what follows.

    Tensors are large and few: a cycle that holds some must not wait for a hundred thousand objects more.
    """
    if _before is not None:
        gc.freeze()
        _as_before()


def _as_before() -> None:
    global _before
    if _before is not None:
        gc.set_threshold(*_before)
        _before = None
