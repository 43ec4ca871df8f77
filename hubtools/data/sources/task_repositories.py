"""Tasks by whatever a user may call them: a name, a file, a folder, or a data set repository on the Hub.

A repository holds ``task.yaml`` or ``tasks/NAME.yaml`` and the files that it names. The YAML and those files are
downloaded at one commit; nothing else of the repository is read, and none of its code is ever run.
"""

from __future__ import annotations

import ipaddress
import posixpath
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from hubtools.common.errors import UserError
from hubtools.common.hub import cached_listing, download_files, full_commit, hub_api, hub_errors
from hubtools.common.inside import inside
from hubtools.specs.lookup.content import ONE_TASK, choose_task_file, find
from hubtools.specs.lookup.spec_files import load_task, read_spec, task_in
from hubtools.specs.references import is_address, read_address
from hubtools.specs.task import Task

_NUMBERS = re.compile(r"(0x[0-9a-f]+|[0-9]+)(\.(0x[0-9a-f]+|[0-9]+))*")


@dataclass(frozen=True)
class FetchedTask:
    """A task file that came from a repository.

    Attributes:
        path: the file in huggingface_hub's cache, the data files that it names beside it as in the repository.
        reference: what names exactly this task again, the commit written out.
    """

    path: Path
    reference: str


def open_task(name: str) -> tuple[str, Task]:
    """The task that a user names, and the name that finds it again.

    Args:
        name: a task's name, a YAML file, a folder that holds one, or ``hub://user/repository[@revision][/name]``.

    Returns:
        The name as given, for a repository with its commit; and the task, paths of local files resolved.

    Raises:
        UserError: nothing has that name, the Hub does not give it, or the file is wrong.
    """
    if not is_address(name):
        return name, load_task(name)
    fetched = fetch_task(name)
    # What its owner calls its licence is not the user's to correct.
    return fetched.reference, task_in(fetched.path)


def task_path(name: str) -> Path:
    """The file of a task that :func:`open_task` has opened."""
    return fetch_task(name).path if is_address(name) else find("task", name)


def fetch_task(reference: str) -> FetchedTask:
    """Bring a task file and its data files into huggingface_hub's cache, or find them there.

    A commit that is in the cache needs no network.

    Raises:
        UserError: no such repository, revision or task; it is gated; the Hub is not reached; the file is wrong.
    """
    asked = read_address(reference, "a task", "name")
    repo, name, shown = asked.repo, asked.inside, asked.repository
    with hub_errors(shown):
        commit = hub_api().resolve_revision(repo, repo_type="dataset", revision=asked.revision).resolved
    commit = full_commit(commit, shown)
    download_files(repo, "dataset", commit, [ONE_TASK], shown)
    listed = cached_listing(repo, "dataset", commit) or set()
    file = _task_file(listed, name, shown)
    folder = download_files(repo, "dataset", commit, [file], shown)
    path = inside(folder, file, where=shown)
    task = read_spec(path, Task, f"{shown}, {file}")
    if name is not None and task.name != name:
        raise UserError(
            f"no task {name} is there, {file} is {task.name}", where=shown, fix=f"Write {shown}/{task.name}."
        )
    if needed := _data_files(task, file, listed, shown):
        download_files(repo, "dataset", commit, needed, shown)
    return FetchedTask(path, str(asked.at(commit, task.name)))


def _task_file(listed: set[str], name: str | None, shown: str) -> str:
    """The file of the task in a repository with these files."""
    if name is not None:
        for file in (f"tasks/{name}.yaml", f"{name}.yaml", ONE_TASK):
            if file in listed:
                return file
        known = sorted(Path(file).stem for file in listed if re.fullmatch(r"tasks/[^/]+\.yaml", file))
        there = f"There are: {', '.join(known[:20])}." if known else f"It needs {ONE_TASK}, or tasks/NAME.yaml."
        raise UserError(f"no task {name} is there", where=shown, fix=there)
    return choose_task_file(listed, shown, lambda file: f"{shown}/{Path(file).stem}")


def _addresses(task: Task) -> list[str]:
    frozen = getattr(task.data, "frozen", None)
    urls = [getattr(file, "url", None) for file in task.data.files] + [getattr(frozen, "url", None)]
    return [url for url in urls if url]


def _is_of_this_network(url: str) -> bool:
    """Whether an address is, as it is written, that of this machine or of its private network; names are not resolved."""
    try:
        host = (urlsplit(url).hostname or "").rstrip(".").lower()
    except ValueError:
        return True
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        # Not four numbers: a name, or numbers in another way of writing, such as 0x7f.1 or 2130706433.
        return "." not in host or host.endswith((".localhost", ".local", ".internal")) or bool(_NUMBERS.fullmatch(host))


def _data_files(task: Task, file: str, listed: set[str], shown: str) -> list[str]:
    """The files of the repository that a task names.

    A stranger's task must not make bench read, and a published model tell of, files of this machine; nor ask what only
    this machine can reach.
    """
    if (address := next((url for url in _addresses(task) if _is_of_this_network(url)), None)) is not None:
        raise UserError(
            f"{file} names {address[:80]}, which is an address of this machine or its network",
            where=shown,
            fix="A task on the Hub reads public addresses only.",
        )
    needed = []
    for named in task.local_files:
        path = posixpath.normpath(posixpath.join(posixpath.dirname(file), named.as_posix()))
        if named.is_absolute() or path.split("/")[0] in {"..", "~"}:
            raise UserError(
                f"{file} names {named}, which is outside the repository",
                where=shown,
                fix="A task on the Hub reads files of its own repository only.",
            )
        if files := sorted(name for name in listed if name.startswith(f"{path}/")):
            # A folder, of structures.
            needed += files
            continue
        if path not in listed:
            raise UserError(
                f"{file} names {named}, which the repository lacks", where=shown, fix="Ask its owner to add it."
            )
        needed.append(path)
    return list(dict.fromkeys(needed))
