"""A record as others may see it: without the folders of the machine that made it."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

from hubtools.common.errors import UserError
from hubtools.common.secrets import scrub
from hubtools.specs.data_sources import OWN_SOURCES
from hubtools.specs.record import RunRecord, SourceFile
from hubtools.specs.references import is_address

# Options of `bench run` whose value may be a path.
_PATHS = {"--task", "--recipe", "--checkpoint"}
# The folders of an absolute path, up to its last name; the slashes of an address are none.
_FOLDERS = re.compile(r"""(?<![\w:/.])~?/(?:[^/\s'"]+/)+|(?<!\w)[A-Za-z]:\\(?:[^\\\s'"]+\\)+""")


def words_of(command: str) -> list[str]:
    """The words of a command; a record may come from anybody, and its quotes need not close."""
    try:
        return shlex.split(command)
    except ValueError:
        return command.split()


def task_reference(record: RunRecord) -> str | None:
    """``hub://user/repository@commit/name`` where the task is from the Hub: what finds it again, anywhere."""
    words = words_of(record.command)
    named = words[words.index("--task") + 1] if "--task" in words[:-1] else ""
    return named if is_address(named) else None


def public_record(record: RunRecord) -> RunRecord:
    """A copy that names local files by their names alone; identity and results stay as they are."""
    public = record.model_copy(deep=True)
    public.command = public_command(record)
    data = public.task["data"]
    if public.data:
        public.data.files = public_files(record)
    if data["source"] == "file":
        for file in data["files"]:
            file["path"] = Path(file["path"]).name
    elif data["source"] not in OWN_SOURCES:
        public.task["data"] = _brought_data(record)
    return public


def _brought_data(record: RunRecord) -> dict[str, Any]:
    """The data of a source that a package brings, without folders: as the package has it, where that is installed."""
    try:
        return record.exact_task().data.without_folders().model_dump(mode="json")
    except UserError:
        kept: dict[str, Any] = _without_folders(record.task["data"])
        return kept


def public_files(record: RunRecord) -> list[SourceFile]:
    """The data files, without the folders of the machine that had them.

    Files of a task on the Hub are written ``hub://user/repository@commit/file``.
    """
    if record.data is None or (record.data.source != "file" and record.data.source in OWN_SOURCES):
        return record.data.files if record.data else []
    reference = task_reference(record)
    repository = f"{reference.rsplit('/', 1)[0]}/" if reference else ""
    public = [file.model_copy() for file in record.data.files]
    for file in public:
        local = record.data.source == "file"
        file.location = repository + Path(file.location).name if local else _without_folders(file.location)
    return public


def _without_folders(value: Any) -> Any:
    """A part of a record with absolute paths by their names alone."""
    if isinstance(value, dict):
        return {key: _without_folders(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_without_folders(entry) for entry in value]
    return _FOLDERS.sub("", value) if isinstance(value, str) else value


def public_command(record: RunRecord) -> str:
    """The command that makes the run again, local files by their names alone."""
    words = words_of(record.command)
    checkpoint = record.identity.checkpoint
    on_hub = checkpoint is not None and checkpoint.source == "hub"
    for index, option in enumerate(words[:-1]):
        value = words[index + 1]
        if option in _PATHS and not is_address(value) and not (option == "--checkpoint" and on_hub):
            name = Path(value).name
            # The current folder, or the one above, has no name of its own there.
            words[index + 1] = name if name not in {"", ".."} else _called(record, option)
    return scrub(shlex.join(words))


def _called(record: RunRecord, option: str) -> str:
    identity = record.identity
    checkpoint = identity.checkpoint.name if identity.checkpoint else ""
    return {"--task": identity.task.name, "--recipe": identity.recipe.name, "--checkpoint": checkpoint}[option]


def public_failure(record: RunRecord) -> str:
    """Why the run did not finish, in one line that names files by their names alone; empty where that is not known."""
    failure = record.failure
    return _FOLDERS.sub("", f"{failure.kind}: {failure.message}") if failure else ""
