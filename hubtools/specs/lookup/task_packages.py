"""Tasks that installed packages bring along: the entry point group ``bench.tasks``.

A package says ``[project.entry-points."bench.tasks"]`` and below it ``any-name = "its_module"``; the folder of that
module holds ``tasks/*.yaml`` or ``*.yaml``. The folder is found without importing the module: a list of tasks runs
nobody's code.
"""

from __future__ import annotations

import functools
import importlib.metadata
import importlib.util
import sys
from pathlib import Path

from hubtools.common import telling
from hubtools.common.registry import announced

GROUP = "bench.tasks"


def package_folders() -> list[tuple[str, Path]]:
    """Each package that brings tasks, as ``name version``, and its folder, by name.

    An entry point that leads nowhere is one warning, once per process.
    """
    return list(_folders(tuple(sys.path)))


@functools.lru_cache(maxsize=4)
def _folders(search_path: tuple[str, ...]) -> tuple[tuple[str, Path], ...]:
    found = []
    for point in sorted(announced(GROUP), key=lambda point: (_package(point), point.name)):
        folder = _folder(point.value.partition(":")[0].strip())
        if folder is None:
            telling.warn(
                f"warning: the package {_package(point)} announces tasks in {point.value}, and there is no such module. "
                f"Its entry point {point.name} is left out."
            )
        elif (_package(point), folder) not in found:
            found.append((_package(point), folder))
    return tuple(found)


def _package(point: importlib.metadata.EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist is not None else point.name


def _folder(module: str) -> Path | None:
    """The folder of a module; the top package is looked up, what is below it follows from the names."""
    top, *below = module.split(".")
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError, AttributeError):
        return None
    if spec is None:
        return None
    if spec.submodule_search_locations is None:
        return Path(spec.origin).parent if spec.origin and not below else None
    for location in spec.submodule_search_locations:
        inside = Path(location, *below)
        if inside.is_dir():
            return inside
        if below and inside.with_suffix(".py").is_file():
            return inside.parent
    return None
