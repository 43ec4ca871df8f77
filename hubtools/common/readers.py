"""The functions that read what somebody else may have written: files, cells, addresses, options. Each is in one list.

A reader gives a value, or it raises one of the errors that it names; nothing else comes out of it, whatever it is given.
:data:`READERS` fills when the modules are imported. The suite in ``tests/fuzz`` goes through the list, and a test finds what
parses and is not in it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

Function = TypeVar("Function", bound=Callable[..., Any])


class Reader(NamedTuple):
    """A function that reads.

    Attributes:
        read: the function.
        kind: of what it reads, in words: ``task file``, ``table``.
        refuses: names of the errors, or of classes above them, that say that it cannot be read.
    """

    read: Callable[..., Any]
    kind: str
    refuses: tuple[str, ...]


# By module and name: whoever tests what readers do with any input tests each of them.
READERS: dict[str, Reader] = {}


def reads(kind: str, *, refuses: tuple[str, ...] = ("UserError",)) -> Callable[[Function], Function]:
    """Put a function into the list of those that read what somebody else may have written.

    Args:
        kind: of what it reads, in words.
        refuses: names of the errors by which it says no. By default the one that a user is shown; inner readers, whose
            callers say in words what is wrong, have others. Empty where it always gives a value.
    """

    def listed(function: Function) -> Function:
        name = f"{function.__module__.removeprefix('hubtools.')}.{function.__qualname__}"
        READERS[name] = Reader(function, kind, refuses)
        return function

    return listed
