"""Where task, recipe, suite and template files are: the user's folder first, then the shipped ones.

Tasks may also lie in the folders that ``BENCH_TASKS`` names and in installed packages; see :func:`places`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from hubtools.common import telling
from hubtools.common.errors import UserError, nearest
from hubtools.common.files import is_file, is_folder
from hubtools.common.inside import inside
from hubtools.specs.lookup.task_packages import package_folders
from hubtools.specs.references import is_address

KINDS = {
    "task": "tasks",
    "recipe": "benchmarks/recipes",
    "suite": "benchmarks",
    "published": "benchmarks/published",
    "profile": "benchmarks/profiles",
}
# Kinds that a command lists.
LISTED = {"task", "recipe", "suite"}
TASKS_VARIABLE = "BENCH_TASKS"
# The file of a folder, package or repository that is one task; elsewhere a file is called like its task.
ONE_TASK = "task.yaml"


# What bench ships, as a place is called.
OURS = "bench"
# Files of which it was said in this process that they hide bench's own.
_SAID: set[Path] = set()


@dataclass(frozen=True)
class Place:
    """A folder in which files of a kind are looked for.

    Attributes:
        origin: what people call it.
        folder: where its files are.
    """

    origin: str
    folder: Path


@dataclass(frozen=True)
class Found:
    """A file that has a name, and those of the same name that it hides.

    Attributes:
        path, origin: the file and where it comes from.
        hidden: the same of what is further down in the order of places.
    """

    path: Path
    origin: str
    hidden: tuple[Found, ...] = ()

    @property
    def hides_ours(self) -> bool:
        """Whether it takes the place of something else that bench ships."""
        ours = [other.path for other in self.hidden if other.origin == OURS]
        return any(other.read_bytes() != self.path.read_bytes() for other in ours)


def shipped_root() -> Path:
    """Folder that holds ``tasks/``, ``benchmarks/`` and ``reports/``: inside the package in a wheel, else the checkout."""
    package = Path(__file__).resolve().parents[2]
    inside = package / "_content"
    return inside if inside.is_dir() else package.parent


def places(kind: str) -> list[Place]:
    """Where files of a kind are looked for, first match wins.

    The working directory, for tasks then the folders of ``BENCH_TASKS`` and those of installed packages, and last what
    bench ships.

    Raises:
        UserError: ``BENCH_TASKS`` names what is no folder.
    """
    here, shipped = Path.cwd(), shipped_root()
    found = [] if here == shipped else [Place(f"./{KINDS[kind]}", here / KINDS[kind])]
    if kind == "task":
        for entry in filter(None, os.environ.get(TASKS_VARIABLE, "").split(os.pathsep)):
            folder = Path(entry).expanduser()
            if not is_folder(folder):
                raise UserError(f"there is no folder {entry}", where=TASKS_VARIABLE, fix=f"Correct {TASKS_VARIABLE}.")
            found.append(Place(f"{TASKS_VARIABLE} ({entry})", _tasks_in(folder)))
        found += [Place(f"package {name}", _tasks_in(folder)) for name, folder in package_folders()]
    return [*found, Place(OURS, shipped / KINDS[kind])]


def _tasks_in(folder: Path) -> Path:
    """A folder's ``tasks/`` where it has one."""
    return folder / "tasks" if is_folder(folder / "tasks") else folder


def catalogue(kind: str, among: Sequence[Place] | None = None) -> dict[str, Found]:
    """All files of a kind by name: which one it is, where it comes from, and what it hides.

    Args:
        kind: of file.
        among: where to look, first match wins; by default in all :func:`places`.
    """
    found: dict[str, list[Found]] = {}
    for place in places(kind) if among is None else among:
        for path in sorted(place.folder.glob("*.yaml")):
            same = found.setdefault(_name_of(path, kind), [])
            if all(path.resolve() != other.path.resolve() for other in same):
                same.append(Found(path, place.origin))
    return {name: Found(first.path, first.origin, tuple(others)) for name, (first, *others) in sorted(found.items())}


def available(kind: str) -> dict[str, Path]:
    """All files of a kind (``task``, ``recipe``, ``suite``) by name."""
    return {name: found.path for name, found in catalogue(kind).items()}


def _name_of(path: Path, kind: str) -> str:
    """The file's stem; what stands in it where the file is called task.yaml."""
    if kind == "task" and path.name == ONE_TASK:
        stated = re.search(r"^name:\s*[\"']?([a-z0-9-]+)", path.read_text(encoding="utf-8", errors="replace"), re.M)
        if stated:
            return stated[1]
    return path.stem


def is_path(name: str) -> bool:
    """Whether what a user writes for a task, recipe or suite is a file or folder, not a name."""
    return Path(name).suffix in {".yaml", ".yml"} or "/" in name or os.sep in name or name in {".", ".."}


def find(kind: str, name: str) -> Path:
    """The file of a task, recipe or suite, named by a path or by its name; a task also by a folder that holds one.

    Raises:
        UserError: nothing has that name; the message lists near misses. A folder holds no task or several.
    """
    as_path = Path(name)
    if kind == "task" and is_path(name) and is_folder(as_path):
        return task_file_in(as_path)
    if is_path(name):
        if not is_file(as_path):
            listed = f": bench {kind}s list" if kind in LISTED else f": those of {KINDS[kind]}/"
            raise UserError(f"no {kind} file {name}", fix=f"Give a path to a YAML file, or a name{listed}.")
        return as_path
    known = catalogue(kind)
    if name in known:
        found = known[name]
        if found.hides_ours and found.path.resolve() not in _SAID:
            _SAID.add(found.path.resolve())
            here = Path.cwd()
            shown = found.path.relative_to(here) if found.path.is_relative_to(here) else found.path
            telling.warn(f"note: the {kind} {name} is {shown}, which hides the one that bench ships")
        return found.path
    if kind == "task" and is_folder(as_path):
        return task_file_in(as_path)
    close = nearest(name, known)
    hint = f"Did you mean {close}?" if close else f"Known: {', '.join(known) or 'none'}."
    raise UserError(f"no {kind} is called {name!r}", fix=hint)


def origin_of(kind: str, name: str) -> str:
    """Where the task, recipe or suite that a user names comes from, for a record: no folder of this machine is in it.

    Args:
        kind: of file.
        name: as the user gave it.
    """
    if is_address(name):
        return "the Hub"
    found = None if is_path(name) else catalogue(kind).get(name)
    if found is None:
        return "a file"
    return f"{found.origin.partition(' (')[0]}{', in place of the one that bench ships' if found.hides_ours else ''}"


def task_file_in(folder: Path) -> Path:
    """The one task file of a folder.

    Raises:
        UserError: none, or several.
    """
    files = [path.relative_to(folder).as_posix() for path in [*folder.glob("*.yaml"), *folder.glob("tasks/*.yaml")]]
    return inside(folder, choose_task_file(files, str(folder), lambda file: f"{folder.as_posix()}/{file}"))


def choose_task_file(files: Iterable[str], where: str, address: Callable[[str], str]) -> str:
    """Which file of a folder or repository is its task: ``task.yaml``, or the only one in ``tasks/``, or beside it.

    Args:
        files: relative paths, with slashes.
        where: the folder or repository, for messages.
        address: from a file to what a user writes to name its task.

    Raises:
        UserError: none, or several.
    """
    paths = [PurePosixPath(file) for file in sorted(files)]
    paths = [path for path in paths if path.suffix == ".yaml" and not path.name.startswith(".")]
    if PurePosixPath(ONE_TASK) in paths:
        return ONE_TASK
    chosen = [path for path in paths if path.parts[:-1] == ("tasks",)] or [
        path for path in paths if len(path.parts) == 1
    ]
    if not chosen:
        raise UserError("no task file is there", where=where, fix=f"It needs {ONE_TASK}, or tasks/NAME.yaml.")
    if len(chosen) > 1:
        shown = ", ".join(path.stem for path in chosen[:20]) + (" …" if len(chosen) > 20 else "")
        raise UserError(
            f"{len(chosen)} tasks are there: {shown}", where=where, fix=f"Name one: {address(str(chosen[0]))}."
        )
    return str(chosen[0])
