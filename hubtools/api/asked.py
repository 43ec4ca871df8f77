"""What a caller may write in more than one way, in one form; and how functions say what they find."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from os import PathLike, fspath
from typing import TYPE_CHECKING

from hubtools.common.bounds import MOST_SEEDS, at_most
from hubtools.common.errors import UserError

if TYPE_CHECKING:
    from hubtools.specs.task import Task

# A name, a path, or several.
Names = str | PathLike[str] | Iterable[str | PathLike[str]]
# Takes a line: what an address was resolved to, what was left out.
Say = Callable[[str], None]
# numpy takes no larger seed.
_LARGEST_SEED = 10**9 - 1


def names_of(asked: Names | None) -> tuple[str, ...]:
    """Names or paths as texts.

    >>> names_of("runs"), names_of(["a", "b"]), names_of(None)
    (('runs',), ('a', 'b'), ())
    """
    if asked is None:
        return ()
    if isinstance(asked, (str, PathLike)):
        return (fspath(asked),)
    return tuple(fspath(one) for one in asked)


def seeds_of(asked: int | Iterable[int] | None) -> list[int]:
    """Seeds, each once.

    Raises:
        UserError: one is none.
    """
    if asked is None:
        return []
    seeds = [asked] if isinstance(asked, int) else list(islice(asked, MOST_SEEDS + 1))
    at_most(len(seeds), MOST_SEEDS, "seeds", "seeds")
    for seed in seeds:
        if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed <= _LARGEST_SEED:
            raise UserError(f"{seed!r} is not a seed", where="seeds", fix="Give whole numbers from 0, as in [1, 2, 3].")
    return list(dict.fromkeys(seeds))


def fractions_of(asked: float | Iterable[float] | None) -> list[float]:
    """Shares of the training data, each once.

    Raises:
        UserError: one is none.
    """
    if asked is None:
        return []
    fractions = [asked] if isinstance(asked, (int, float)) else list(asked)
    for fraction in fractions:
        if not isinstance(fraction, (int, float)) or not 0 < fraction <= 1:
            raise UserError(
                f"{fraction!r} is not a share of the training data",
                where="fractions",
                fix="Give numbers above 0 and at most 1, as in [0.1, 1].",
            )
    return list(dict.fromkeys(map(float, fractions)))


def task_of(asked: str | PathLike[str] | Task) -> tuple[str | None, Task]:
    """A task and the name that finds it again, for a repository with its commit; None where the task itself was given.

    Raises:
        UserError: there is no such task, or its file is wrong.
    """
    from hubtools.data.sources.task_repositories import open_task
    from hubtools.specs.task import Task

    return (None, asked) if isinstance(asked, Task) else open_task(fspath(asked))


def silent(line: str) -> None:
    """Say nothing: what was found is kept in what is returned."""


def refuse_unknown(given: Mapping[str, object], known: type, function: str) -> None:
    """What Python does for arguments that are written out.

    Raises:
        TypeError: an argument is none of the keys of ``known``.
    """
    for name in given:
        if name not in known.__annotations__:
            raise TypeError(f"{function}() got an unexpected keyword argument {name!r}")
