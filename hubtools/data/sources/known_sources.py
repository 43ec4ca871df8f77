"""Which class is the source of a task's data, and what these are at this moment.

A source that the task file pins is as it is there. One that it does not pin is resolved, once per command: an address
and a query to the content that this machine fetched first, a data set on the Hub to its latest commit. Everything
downstream sees a task whose sources are pinned, and the record says which ones were not.
"""

from __future__ import annotations

from typing import Any

from hubtools.common.hashing import digest
from hubtools.data.sources.file_cache import DataCache
from hubtools.data.sources.kinds.hub_source import HubSource
from hubtools.data.sources.kinds.local_source import LocalSource
from hubtools.data.sources.kinds.package_source import PackageSource
from hubtools.data.sources.kinds.source import Source
from hubtools.data.sources.kinds.structures_source import StructuresSource
from hubtools.data.sources.kinds.uniprot_source import UniProtSource
from hubtools.data.sources.kinds.url_source import UrlSource
from hubtools.specs.data_sources import SourceData
from hubtools.specs.lookup.source_packages import brought_source
from hubtools.specs.task import Task

_OWN: dict[type[SourceData], type[Source[Any]]] = {
    kind.spec: kind for kind in (UrlSource, LocalSource, HubSource, PackageSource, UniProtSource, StructuresSource)
}


def source_of(data: SourceData) -> Source[Any]:
    """The source of data that a task file names."""
    kind = _OWN.get(type(data)) or brought_source(data.source)
    assert kind is not None  # Else the task file would have been refused.
    return kind(data)


def pinned(task: Task, cache: DataCache) -> tuple[Task, list[str]]:
    """The task with every source pinned, and a line about each thing that its file leaves open.

    Raises:
        UserError: the source cannot be had.
    """
    data, findings = source_of(task.data).pin(cache)
    return task if data is task.data else task.model_copy(update={"data": data}), findings


def source_digest(task: Task, cache: DataCache) -> str:
    """What the data of a task are, without reading a row: part of a run's identity.

    The sha256 of files at addresses and in packages, the content of local files, the commit of a data set on the Hub,
    the rows of an answer of UniProt. What the task file does not pin is resolved first. With structure files, their
    content too.

    Raises:
        UserError: a local file is missing, or a source that is not pinned cannot be had.
    """
    found = source_of(pinned(task, cache)[0].data).digest(cache)
    if task.data.structures is None:
        return found
    from hubtools.data.structures.folder import folder_digest

    return digest({"rows": found, "structures": folder_digest(task.data.structures, f"task {task.name}")})
