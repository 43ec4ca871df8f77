"""From a task file to rows: cache, sources, canonical columns, splits, leakage. No torch."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hubtools.data.cache import DataCache
    from hubtools.data.loading import TaskData, load_task_data
    from hubtools.data.sources import source_digest

__all__ = ["DataCache", "TaskData", "load_task_data", "source_digest"]

_HOMES = {"DataCache": "cache", "TaskData": "loading", "load_task_data": "loading", "source_digest": "sources"}


def __getattr__(name: str) -> Any:
    """Import on first use: pandas and datasets take a second, and ``bench --help`` needs neither."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
