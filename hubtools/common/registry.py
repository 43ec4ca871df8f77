"""What bench ships and what others add, by name: found when it is named, so that a help text loads nobody's code."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from hubtools.common.errors import UserError, near
from hubtools.common.hashing import file_sha256


class HasName(Protocol):
    """What a registry holds."""

    @property
    def name(self) -> str:
        """How others name it."""
        ...


T = TypeVar("T", bound=HasName)


class UnknownName(UserError, KeyError):
    """Nothing of that name is known here. ``in`` and ``get`` of a registry answer instead."""

    # A KeyError shows its text in quotes.
    __str__ = Exception.__str__


def announced(group: str, name: str | None = None) -> list[importlib.metadata.EntryPoint]:
    """The entry points of installed packages in a group, by name and value.

    What lies in the current folder is not installed, though Python may search it too (``python -m``): whoever steps into a
    folder of somebody else must not run code of it.

    Args:
        group: of the entry points.
        name: only those of that name.
    """
    found = [point for point in importlib.metadata.entry_points(group=group) if name in {None, point.name}]
    return sorted((point for point in found if not _lies_here(point)), key=lambda point: (point.name, point.value))


def _lies_here(point: importlib.metadata.EntryPoint) -> bool:
    return point.dist is not None and Path(str(point.dist.locate_file(""))).resolve() == Path.cwd()


class Registry(Mapping[str, T], Generic[T]):
    """Objects of one kind by their names: those that bench ships, then those of others.

    An installed package brings its own by an entry point, ``any-name = "its_module:OBJECT"``; the object may be a list
    of several. Entry points are loaded when a name is asked for that bench does not ship, or when all are listed. One
    that does not load is one line on stderr.

    Args:
        what: a word for such an object, such as ``metric``.
        kind: their class.
        group: of the entry points.
        shipped: bench's own, which nobody can replace.
    """

    def __init__(self, what: str, kind: type[T], group: str, shipped: Iterable[T]) -> None:
        self.what, self.kind, self.group = what, kind, group
        self.shipped: Mapping[str, T] = {entry.name: entry for entry in shipped}
        self._added: dict[str, T] = {}
        self._bringers: dict[str, str] = {}
        self._looked = False

    def register(self, entry: T) -> T:
        """Add an object, for this process; one that was added under the same name gives way.

        Raises:
            UserError: it is not of this kind, or bench ships one of its name.
        """
        if not isinstance(entry, self.kind):
            raise UserError(f"{entry!r} is no {self.what}", fix=f"Give a {self.kind.__name__}.")
        if entry.name in self.shipped:
            raise UserError(f"bench has a {self.what} {entry.name!r} of its own", fix="Choose another name.")
        self._added[entry.name] = entry
        return entry

    def bringer(self, name: str) -> str | None:
        """The package that brings it, in words; None of what is bench's own or was registered otherwise."""
        self._look()
        return self._bringers.get(name)

    def __getitem__(self, name: str) -> T:
        if name in self.shipped:
            return self.shipped[name]
        if name not in self._added:
            self._look()
        if name not in self._added:
            fix = f"{near(str(name), self)} One that a package brings is known where that package is installed."
            raise UnknownName(f"there is no {self.what} {name!r}", fix=fix)
        return self._added[name]

    def __iter__(self) -> Iterator[str]:
        self._look()
        return iter([*self.shipped, *self._added])

    def __len__(self) -> int:
        return len(list(iter(self)))

    def _look(self) -> None:
        if self._looked:
            return
        self._looked = True
        for point in announced(self.group):
            try:
                found = point.load()
                for entry in found if isinstance(found, (list, tuple)) else [found]:
                    if entry.name in self._added:
                        raise UserError(f"another package brings a {self.what} {entry.name!r}")
                    self.register(entry)
                    if point.dist is not None:
                        self._bringers[entry.name] = f"the package `{point.dist.name}` {point.dist.version}"
            except Exception as error:
                said = " ".join(str(error).split()) or type(error).__name__
                print(f"warning: {self.group} {point.name} = {point.value} is left out: {said}", file=sys.stderr)


def named(where: str) -> Any:
    """What is meant by ``module:name``; the module is imported.

    Raises:
        UserError: there is no such module, or nothing of that name in it.
    """
    module, _, name = where.partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise UserError(f"cannot load {where!r} ({error})", fix="Write it as module:name.") from None


def code_digest(where: str | Callable[..., Any]) -> str | None:
    """sha256 of the file of a function, or of ``module:name``: what others bring is part of what determines a result.

    None for bench's own, for which the version of the protocol stands, and for what is in no file.
    """
    module = where.partition(":")[0] if isinstance(where, str) else where.__module__
    if module.split(".")[0] in {"", "hubtools"}:
        return None
    try:
        loaded = sys.modules.get(module)
        spec = None if loaded else importlib.util.find_spec(module)
    except (ImportError, ValueError):
        return None
    file = getattr(loaded, "__file__", None) or (spec.origin if spec else None)
    return file_sha256(Path(file)) if file and Path(file).is_file() else None
