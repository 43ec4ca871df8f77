"""What a task's data are at this moment, pinned: the checksum, commit or frozen answer that its file leaves open.

A source that the task file pins is as it is there. One that it does not pin is resolved, once per command: an address
and a query to the content that this machine fetched first, a data set on the Hub to its latest commit. Everything
downstream sees a task whose sources are pinned, and the record says which ones were not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hubtools.common.errors import UserError
from hubtools.common.hub import hub_api, hub_errors
from hubtools.data.sources.file_cache import DataCache
from hubtools.data.sources.uniprot_answers import first_answer, forget_answer
from hubtools.specs.data_sources import HubData, UniProtData, UrlData
from hubtools.specs.task import Task

if TYPE_CHECKING:
    from hubtools.specs.data_sources import Data


def pinned(task: Task, cache: DataCache) -> tuple[Task, list[str]]:
    """The task with every source pinned, and a line about each that its file leaves open.

    Raises:
        UserError: the source cannot be had.
    """
    data, findings = task.data, list[str]()
    changes: dict[str, object] = {}
    if isinstance(data, UrlData) and any(file.sha256 is None for file in data.files):
        files = []
        for file in data.files:
            if file.sha256 is None:
                first = cache.first_content(file)
                findings.append(f"not pinned: {file.name} was fetched on {first.fetched}, sha256 {first.sha256}")
                file = file.model_copy(update={"sha256": first.sha256})
            files.append(file)
        changes["files"] = files
    elif isinstance(data, HubData) and data.revision is None:
        revision = cache.once(("hub", data.dataset), lambda: _latest_commit(data))
        findings.append(f"not pinned: {data.dataset} was at commit {revision}")
        changes["revision"] = revision
    elif isinstance(data, UniProtData) and data.frozen is None:
        answer = first_answer(data, cache)
        findings.append(f"not frozen: UniProt release {answer.release}, fetched on {answer.fetched}")
        changes["frozen"] = answer.frozen
    if not changes:
        return task, []
    now: Data = data.model_copy(update=changes)
    return task.model_copy(update={"data": now}), findings


def forget(task: Task, cache: DataCache) -> None:
    """Let the sources that the task file does not pin be fetched anew."""
    if isinstance(task.data, UniProtData) and task.data.frozen is None:
        forget_answer(task.data, cache)
    elif isinstance(task.data, UrlData):
        for file in task.data.files:
            if file.sha256 is None:
                cache.forget(file)


def _latest_commit(data: HubData) -> str:
    """The commit that the data set's main branch is at."""
    with hub_errors(f"data set {data.dataset}"):
        found = hub_api().dataset_info(data.dataset).sha
    if not found:
        raise UserError("the Hub names no commit of it", where=data.dataset, fix="Write data.revision.")
    return found
