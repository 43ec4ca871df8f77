"""From a task file to rows: sources, canonical columns, splits, leakage. No torch.

``task_data`` does it all in one call. ``sources`` reads, ``rows`` brings into one form, ``structures`` are laid beside, ``splits`` divides and looks for leaks.
``npm_package`` fetches the programs of pages as data are fetched.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hubtools.data.sources.file_cache import DataCache
    from hubtools.data.sources.known_sources import source_digest
    from hubtools.data.task_data import TaskData, load_task_data

__all__ = ["DataCache", "TaskData", "load_task_data", "source_digest"]

_HOMES = {
    "DataCache": "sources.file_cache",
    "TaskData": "task_data",
    "load_task_data": "task_data",
    "source_digest": "sources.known_sources",
}


def __getattr__(name: str) -> Any:
    """Import on first use: pandas and datasets take a second, and ``bench --help`` needs neither."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
