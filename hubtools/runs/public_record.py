"""A record as others may see it: without the folders of the machine that made it."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from hubtools.specs.data_sources import LocalData
from hubtools.specs.record import RunRecord
from hubtools.specs.references import is_address

# Options of `bench run` whose value may be a path.
_PATHS = {"--task", "--recipe", "--checkpoint"}
# The folders of an absolute path, up to its last name; the slashes of an address are none.
_FOLDERS = re.compile(r"""(?<![\w:/.])~?/(?:[^/\s'"]+/)+|(?<!\w)[A-Za-z]:\\(?:[^\\\s'"]+\\)+""")


def _words(command: str) -> list[str]:
    """The words of a command; a record may come from anybody, and its quotes need not close."""
    try:
        return shlex.split(command)
    except ValueError:
        return command.split()


def task_reference(record: RunRecord) -> str | None:
    """``hub://user/repository@commit/name`` where the task is from the Hub: what finds it again, anywhere."""
    words = _words(record.command)
    named = words[words.index("--task") + 1] if "--task" in words[:-1] else ""
    return named if is_address(named) else None


def public_record(record: RunRecord) -> RunRecord:
    """A copy that names local files by their names alone; identity and results stay as they are.

    Files of a task on the Hub are written ``hub://user/repository@commit/file``.
    """
    public = record.model_copy(deep=True)
    public.command = public_command(record)
    if not isinstance(record.task_spec.data, LocalData):
        return public
    reference = task_reference(record)
    repository = f"{reference.rsplit('/', 1)[0]}/" if reference else ""
    for file in public.task["data"]["files"]:
        file["path"] = Path(file["path"]).name
    for source in public.data.files if public.data else []:
        source.location = repository + Path(source.location).name
    return public


def public_command(record: RunRecord) -> str:
    """The command that makes the run again, local files by their names alone."""
    words = _words(record.command)
    checkpoint = record.identity.checkpoint
    on_hub = checkpoint is not None and checkpoint.source == "hub"
    for index, option in enumerate(words[:-1]):
        value = words[index + 1]
        if option in _PATHS and not is_address(value) and not (option == "--checkpoint" and on_hub):
            words[index + 1] = Path(value).name
    return shlex.join(words)


def public_failure(record: RunRecord) -> str:
    """Why the run did not finish, in one line that names files by their names alone; empty where that is not known."""
    failure = record.failure
    return _FOLDERS.sub("", f"{failure.kind}: {failure.message}") if failure else ""
