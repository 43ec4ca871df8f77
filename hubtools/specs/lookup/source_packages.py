"""Sources of data that installed packages bring along: the entry point group ``bench.sources``.

A package says ``[project.entry-points."bench.sources"]`` and below it ``its-name = "its_module:ItsSource"``. The module is
imported when a task file says ``source: its-name``, not before.
"""

from __future__ import annotations

from typing import Any

from hubtools.common.errors import UserError
from hubtools.common.registry import announced

GROUP = "bench.sources"
_REGISTERED: dict[str, Any] = {}


def register_source(name: str, source: Any) -> None:
    """Let task files say ``source: name`` in this process, without a package.

    Args:
        name: what stands in the task file.
        source: a subclass of :class:`hubtools.data.sources.kinds.source.Source`.
    """
    _REGISTERED[name] = source


def brought_sources() -> list[str]:
    """The names of sources that are not bench's own."""
    return sorted({*_REGISTERED, *(point.name for point in announced(GROUP))})


def source_bringer(name: str) -> str | None:
    """The package that brings the source of that name, in words; None where none does."""
    point = next(iter(announced(GROUP, name)), None)
    return None if point is None or point.dist is None else f"the package `{point.dist.name}` {point.dist.version}"


def brought_source(name: str) -> Any | None:
    """The class of the source of that name; None where nobody brings it.

    Raises:
        UserError: the package that announces it does not have it.
    """
    if name not in _REGISTERED:
        point = next(iter(announced(GROUP, name)), None)
        if point is None:
            return None
        try:
            _REGISTERED[name] = point.load()
        except (ImportError, AttributeError) as error:
            raise UserError(
                f"an installed package announces the source {name} in {point.value}, which cannot be imported ({error})",
                fix="Repair that package, or uninstall it.",
            ) from None
    return _REGISTERED[name]
