"""A record as it is written and as others may see it: without the folders of the machine that made it.

What these folders are stands in a file of its own beside ``run.json``, which never leaves the machine: with it the run is made
again, or published, without asking where its files are.
"""

from __future__ import annotations

import contextlib
import re
import shlex
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from hubtools.common.errors import UserError
from hubtools.common.readers import reads
from hubtools.common.secrets import scrub
from hubtools.specs.data_sources import OF_THIS_MACHINE, OWN_SOURCES
from hubtools.specs.record import RunRecord, SourceFile
from hubtools.specs.record.identities import Line, OpenPart
from hubtools.specs.references import is_address

# Options of `bench run` whose value may be a path.
_PATHS = {"--task", "--recipe", "--checkpoint"}
_MAYBE = re.compile(r"[/\\]")
_INNER = r"""(?:[^/\s'"]+/)"""
# In quotes a path may have spaces.
_QUOTED = re.compile(r"""(?<=['"])~?/[^'"]*/(?=[^/'"]+['"])""")
# The folders of an absolute path, up to its last name; the slashes of an address are none.
_FOLDERS = re.compile(rf"""(?<![\w/.~])~?/{_INNER}*(?=[\w.])|(?<!\w)[A-Za-z]:\\(?:[^\\\s'"]+\\)+""")


class Places(OpenPart):
    """Where this machine had the files that ``run.json`` calls by their names alone.

    Attributes:
        command: the command as it was.
        data: of the task.
        files: location of each data file, in order.
        hierarchy: of the task's labels, where they are terms of an ontology.
    """

    command: Line
    data: dict[str, Any]
    files: list[Line]
    hierarchy: dict[str, Any] | None = None


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
    if public.data:
        public.data.files = public_files(record)
        public.data.findings = _without_folders(public.data.findings)
    if "data" in public.task:
        public.task["data"] = _public_data(record)
    if isinstance(ontology := _public_ontology(record), dict):
        public.task["hierarchy"] = ontology
    if public.failure:
        public.failure.message = _without_folders(public.failure.message)
    return public


def places_of(record: RunRecord) -> Places | None:
    """What of a record stays on this machine; None where nothing does."""
    located = record.data.files if record.data else []
    if _public_parts(record) == (record.command, record.task.get("data"), located, record.task.get("hierarchy")):
        return None
    ontology = record.task.get("hierarchy")
    return Places(
        command=record.command,
        data=record.task["data"],
        files=[file.location for file in located],
        hierarchy=ontology if isinstance(ontology, dict) else None,
    )


def _public_parts(record: RunRecord) -> tuple[Any, ...]:
    """What of a record may name folders of a machine, without them."""
    return public_command(record), _public_data(record), public_files(record), _public_ontology(record)


@reads("note of folders beside a record", refuses=())
def placed(record: RunRecord, noted: str) -> RunRecord:
    """The record with the folders of this machine, which were noted beside it.

    Args:
        record: as it was read.
        noted: text of the note. One that is not of this very record changes nothing.
    """
    try:
        places = Places.model_validate_json(noted)
    except ValidationError:
        return record
    task = record.task | {"data": places.data}
    if places.hierarchy is not None:
        task["hierarchy"] = places.hierarchy
    own = record.model_copy(update={"command": places.command, "task": task})
    if record.data and len(record.data.files) == len(places.files):
        located = zip(record.data.files, places.files, strict=True)
        files = [file.model_copy(update={"location": location}) for file, location in located]
        own.data = record.data.model_copy(update={"files": files})
    there = (record.command, record.task.get("data"), public_files(record), record.task.get("hierarchy"))
    return own if _public_parts(own) == there else record


def _public_data(record: RunRecord) -> Any:
    """The task's data, files of the user's by their names alone."""
    data = record.task.get("data")
    if not isinstance(data, dict):
        return data
    source = str(data.get("source"))
    if source in OWN_SOURCES:
        if source in OF_THIS_MACHINE and isinstance(data.get("files"), list):
            data = data | {"files": [_by_its_name(file, "path") for file in data["files"]]}
        if "structures" in data:
            data = data | {"structures": _by_its_name(data["structures"], "folder")}
        return data
    # The data of a source that a package brings: as the package has it, where that is installed.
    try:
        return record.exact_task().data.without_folders().model_dump(mode="json")
    except UserError:
        return _without_folders(data)


def _public_ontology(record: RunRecord) -> Any:
    """How the task's labels lie below one another, the file of an ontology by its name alone."""
    labels = record.task.get("hierarchy")
    if not isinstance(labels, dict) or not isinstance(labels.get("obo"), str):
        return labels
    return labels | {"obo": Path(labels["obo"]).name}


def _by_its_name(file: Any, key: str) -> Any:
    named = isinstance(file, dict) and isinstance(file.get(key), str)
    return file | {key: Path(file[key]).name} if named else file


def public_files(record: RunRecord) -> list[SourceFile]:
    """The data files, without the folders of the machine that had them.

    Files of a task on the Hub are written ``hub://user/repository@commit/file``.
    """
    if record.data is None or record.data.source in OWN_SOURCES.keys() - OF_THIS_MACHINE:
        return record.data.files if record.data else []
    reference = task_reference(record)
    repository = f"{reference.rsplit('/', 1)[0]}/" if reference else ""
    public = [file.model_copy() for file in record.data.files]
    for file in public:
        if record.data.source not in OF_THIS_MACHINE:
            file.location = _without_folders(file.location)
        elif "://" not in file.location:
            file.location = repository + Path(file.location).name
    return public


def _without_folders(value: Any) -> Any:
    """A part of a record with absolute paths by their names alone."""
    if isinstance(value, dict):
        return {key: _without_folders(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_without_folders(entry) for entry in value]
    return (
        _FOLDERS.sub("", _here().sub("", _QUOTED.sub("", value)))
        if isinstance(value, str) and _MAYBE.search(value)
        else value
    )


def _here() -> re.Pattern[str]:
    """The folders of this user: one with a space in its name ends nowhere that could be seen."""
    known = [str(Path.home())]
    with contextlib.suppress(OSError):  # The current folder may be gone.
        known.append(str(Path.cwd()))
    either = "|".join(map(re.escape, sorted(known, key=len, reverse=True)))
    return re.compile(rf"(?<![\w/.~])(?:{either})/{_INNER}*")


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
    return scrub(shlex.join(word if is_address(word) else _without_folders(word) for word in words))


def _called(record: RunRecord, option: str) -> str:
    identity = record.identity
    checkpoint = identity.checkpoint.name if identity.checkpoint else ""
    return {"--task": identity.task.name, "--recipe": identity.recipe.name, "--checkpoint": checkpoint}[option]


def public_failure(record: RunRecord) -> str:
    """Why the run did not finish, in one line that names files by their names alone; empty where that is not known."""
    failure = record.failure
    return f"{failure.kind}: {_without_folders(failure.message)}" if failure else ""
