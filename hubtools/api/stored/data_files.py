"""The data of tasks on this machine: pinned, fetched beforehand, listed, removed."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from hubtools.api.asked import Names, names_of
from hubtools.api.stored.removals import RemovedFiles, counted
from hubtools.common import telling
from hubtools.common.errors import UserError
from hubtools.common.files import human, is_file, remove_files
from hubtools.common.notebook import line_html, lines_html, table_html

if TYPE_CHECKING:
    import pandas

    from hubtools.data.sources.file_cache import DataCache
    from hubtools.specs.task import Task

OnFile = Callable[[Path], None]


@dataclass(frozen=True)
class TaskFiles:
    """The source files of a task whose every source is pinned.

    Attributes:
        task: with what pins it, also where its file leaves that open.
        open: what the task file leaves open, or did before :func:`hubtools.freeze_data`, a line each.
    """

    task: Task
    open: tuple[str, ...]
    _cache: DataCache

    @cached_property
    def files(self) -> Mapping[str, Path]:
        """Files on this machine by their sha256, fetched where needed.

        Raises:
            UserError: one cannot be had.
        """
        from hubtools.common.hashing import file_sha256
        from hubtools.data.sources.known_sources import source_of

        return {file_sha256(path): path for path in source_of(self.task.data).fetch(self._cache)}

    @property
    def bytes(self) -> int:
        """Of all files."""
        return sum(path.stat().st_size for path in self.files.values())

    @property
    def elsewhere(self) -> str | None:
        """What is kept by another library, in a sentence; None where nothing is."""
        from hubtools.data.sources.known_sources import source_of

        return source_of(self.task.data).kept_elsewhere()

    def copy(self, folder: str | PathLike[str], on_file: OnFile | None = None) -> list[Path]:
        """Copy the files into a folder, named by their sha256: a data mirror. What is there already stays.

        Args:
            folder: made where it is not there.
            on_file: takes each file when it is there.

        Returns:
            The files there.

        Raises:
            UserError: a file cannot be had, or written.
        """
        from hubtools.common.files import replacing

        copied = []
        for sha256, path in self.files.items():
            target = Path(folder) / sha256
            if not is_file(target):
                with replacing(target) as temporary:
                    shutil.copyfile(path, temporary)
            copied.append(target)
            if on_file is not None:
                on_file(target)
        return copied


@dataclass(frozen=True)
class FrozenData(TaskFiles):
    """A task file that leaves nothing open now; its files are fetched when they are asked for.

    Attributes:
        path: the task file.
        lines: that were added to it, or replaced in it.
        changed: pins that the sources do not give any more, a line each; only where they were asked again.
        asked_again: whether they were.
    """

    path: Path
    lines: tuple[str, ...]
    changed: tuple[str, ...] = ()
    asked_again: bool = False

    @property
    def said(self) -> tuple[str, ...]:
        """What was done, a line each."""
        if not self.open and not self.changed:
            if self.asked_again:
                return (f"{self.task.name}: the sources were asked again, and give what is pinned",)
            return (f"{self.task.name}: everything is pinned already",)
        written = tuple(f"{self.path}: {line}" for line in self.lines)
        if self.task.template:
            left = (
                f"{self.path}: still says that it is a template; once bench tasks check is in order, remove that line"
            )
            return (*written, left)
        return written

    def __repr__(self) -> str:
        return "\n".join(self.said)

    def _repr_html_(self) -> str:
        return lines_html(f"Written to {self.path}", self.lines) or line_html(repr(self))


def freeze_data(
    task: str | PathLike[str],
    *,
    refresh: bool = False,
    mirrors: Sequence[str | PathLike[str]] = (),
    on_change: Callable[[str], None] = telling.warn,
) -> FrozenData:
    """Pin everything that a task file of yours leaves open, by adding lines to it; all else in it stays as it is.

    A query to UniProt gets the release and the checksum of its rows, an address its sha256, a data set on the Hub its commit.

    Args:
        task: name, file or folder.
        refresh: ask every source again, also for what is pinned, and where an earlier answer is kept on this machine. A pin
            that is not given any more is replaced by what is.
        mirrors: folders of data, files named by their sha256.
        on_change: takes a line on each pin that is to be replaced, before one is: checksums and counts, old and new.

    Returns:
        The lines that were added or replaced, and the files, to be copied into a mirror.

    Raises:
        UserError: there is no such task, it comes with bench, a source cannot be had, or lines cannot be added to such a file.
    """
    from hubtools.specs.lookup.content import find
    from hubtools.specs.lookup.pinning import write_pins
    from hubtools.specs.lookup.spec_files import load_task

    name = fspath(task)
    path, spec = find("task", name), load_task(name)
    _refuse_shipped(path)
    from hubtools.data.sources.known_sources import pinned, source_of

    cache = _cache(mirrors)
    changes = list[str]()
    if refresh:
        source_of(spec.data).forget(cache)
        data, changes = source_of(spec.data).refreshed(cache)
        spec = spec.model_copy(update={"data": data})
    resolved, found = pinned(spec, cache)
    for line in changes:
        on_change(f"{spec.name}: {line}")
    lines = write_pins(path, resolved) if found or changes else []
    return FrozenData(resolved, tuple(found), cache, path, tuple(lines), tuple(changes), refresh)


class FetchedData(TaskFiles):
    """The files of a task that are on this machine now."""

    def __repr__(self) -> str:
        return f"{self.task.name}: {counted(len(self.files))}, {human(self.bytes)}"

    def _repr_html_(self) -> str:
        rows = [(sha256, human(path.stat().st_size)) for sha256, path in self.files.items()]
        said = line_html(repr(self), strong=True) + table_html(("sha256", "size"), rows, numbers=["size"])
        return said + lines_html("Not pinned", self.open) + line_html(self.elsewhere or "")


def fetch_data(
    tasks: Names,
    *,
    to: str | PathLike[str] | None = None,
    mirrors: Sequence[str | PathLike[str]] = (),
    on_task: Callable[[FetchedData], None] | None = None,
    on_file: OnFile | None = None,
) -> list[FetchedData]:
    """Download everything that tasks read, to work without a network afterwards.

    Args:
        tasks: names, files or folders.
        to: a folder into which the files are copied, too, named by their sha256: a data mirror.
        mirrors: folders of data, files named by their sha256.
        on_task: takes each task when its files are here.
        on_file: takes each file when it is in the folder.

    Returns:
        The files of each task.

    Raises:
        UserError: there is no such task, or a source cannot be had.

    >>> import hubtools
    >>> hubtools.fetch_data("benchmarks/golden/tasks/golden-class.yaml")
    [golden-class: ...]
    """
    from hubtools.specs.lookup.spec_files import load_task

    specs = [load_task(name) for name in names_of(tasks)]
    from hubtools.data.sources.known_sources import pinned

    cache = _cache(mirrors)
    done = []
    for spec in specs:
        resolved, found = pinned(spec, cache)
        fetched = FetchedData(resolved, tuple(found), cache)
        fetched.files  # noqa: B018  # Fetches them.
        if on_task is not None:
            on_task(fetched)
        if to is not None:
            fetched.copy(to, on_file)
        done.append(fetched)
    return done


@dataclass(frozen=True)
class KeptFile:
    """A source file in the data cache.

    Attributes:
        path: named by its sha256.
        bytes: its size.
        tasks: that read it, by name.
        answer: of UniProt, which it is, in words; None of other files.
    """

    path: Path
    bytes: int
    tasks: tuple[str, ...]
    answer: str | None = None

    @property
    def sha256(self) -> str:
        """Of the content."""
        return self.path.name


@dataclass(frozen=True)
class KeptData(Sequence[KeptFile]):
    """What the data cache holds, the largest first.

    Attributes:
        root: folder of the cache.
        files: all of it.
    """

    root: Path
    files: tuple[KeptFile, ...]

    @overload
    def __getitem__(self, place: int) -> KeptFile: ...

    @overload
    def __getitem__(self, place: slice) -> Sequence[KeptFile]: ...

    def __getitem__(self, place: int | slice) -> KeptFile | Sequence[KeptFile]:
        """One file, or several."""
        return self.files[place]

    def __len__(self) -> int:
        return len(self.files)

    def __iter__(self) -> Iterator[KeptFile]:
        return iter(self.files)

    @property
    def bytes(self) -> int:
        """Of all files."""
        return sum(file.bytes for file in self.files)

    def rows(self) -> list[dict[str, Any]]:
        """One row a file: what :meth:`to_pandas` makes its table of."""
        return [
            {"sha256": file.sha256, "bytes": file.bytes, "tasks": ", ".join(file.tasks), "answer": file.answer}
            for file in self.files
        ]

    def to_pandas(self) -> pandas.DataFrame:
        """One row a file: sha256, bytes, tasks (that read it), answer (of UniProt, else None)."""
        import pandas as pd

        return pd.DataFrame(self.rows(), columns=["sha256", "bytes", "tasks", "answer"])

    def __repr__(self) -> str:
        return f"{counted(len(self))}, {human(self.bytes)} in {self.root}"

    def _repr_html_(self) -> str:
        rows = [(file.sha256[:12], human(file.bytes), ", ".join(file.tasks) or "–", file.answer or "") for file in self]
        return line_html(repr(self), strong=True) + table_html(("sha256", "size", "tasks", "answer"), rows)


def kept_data() -> KeptData:
    """What the data cache holds: size, checksum, and which tasks use it.

    Raises:
        UserError: a data mirror that the environment names is no folder.

    >>> import hubtools
    >>> all(file.path.is_file() for file in hubtools.kept_data())
    True
    """
    from hubtools.data.sources.uniprot_answers import kept_answers

    cache = _cache()
    users = _users(cache)
    answers = {kept.file_sha256: kept for kept in kept_answers(cache)}
    files = []
    for path in (cache.root / "files").glob("*"):
        if not is_file(path):
            continue
        kept = answers.get(path.name)
        told = f"UniProt {kept.release}, {kept.rows:,} entries: {kept.query}" if kept else None
        files.append(KeptFile(path, path.stat().st_size, tuple(users.get(path.name, ())), told))
    return KeptData(cache.root, tuple(sorted(files, key=lambda file: (-file.bytes, file.sha256))))


def remove_data(*what: str, everything: bool = False) -> RemovedFiles:
    """Remove source files from the data cache.

    Args:
        what: the first digits (six or more) of checksums, or tasks, of which all is removed that they pin.
        everything: every source file in the cache, in place of ``what``.

    Raises:
        UserError: nothing is named, or the cache has nothing of it; then nothing is removed. Or a file cannot be removed.

    >>> import hubtools
    >>> hubtools.remove_data(everything=True).bytes >= 0
    True
    """
    if bool(what) == everything:
        raise UserError("nothing is named", where="bench data rm", fix="Name checksums or tasks, or give --all.")
    kept = kept_data()
    chosen = [file.path for file in kept] if everything else []
    for name in what:
        found = [file for file in kept if name in file.tasks]
        if not found and len(name) >= 6:
            found = [file for file in kept if file.sha256.startswith(name)]
        if not found:
            raise UserError(f"the cache has nothing of {name!r}", where=str(kept.root), fix="See: bench data ls.")
        chosen += [file.path for file in found]
    return RemovedFiles.of(remove_files(dict.fromkeys(chosen)))


def _cache(mirrors: Sequence[str | PathLike[str]] = ()) -> DataCache:
    from hubtools.data.sources.file_cache import DataCache

    return DataCache.default([Path(mirror) for mirror in mirrors])


def _refuse_shipped(path: Path) -> None:
    """A file that bench ships is not the user's to change, unless it is the user who is working on bench."""
    from hubtools.specs.lookup.content import shipped_root

    shipped = shipped_root()
    if path.resolve().is_relative_to(shipped.resolve()) and Path.cwd().resolve() != shipped.resolve():
        raise UserError(
            "this file comes with bench",
            where=str(path),
            fix=f"Copy it first, then name the copy: mkdir -p tasks && cp {path} tasks/",
        )


def _users(cache: DataCache) -> dict[str, list[str]]:
    """Which tasks read a file, by its checksum: the pinned ones, and those whose first answer it is."""
    from hubtools.data.sources.known_sources import source_of
    from hubtools.specs.lookup.content import available
    from hubtools.specs.lookup.spec_files import load_task

    users: dict[str, list[str]] = {}
    for path in available("task").values():
        try:
            task = load_task(str(path))
        except UserError:
            continue  # Whose file is wrong is told where the task is used.
        for sha256 in dict.fromkeys(source_of(task.data).kept(cache)):
            users.setdefault(sha256, []).append(task.name)
    return users
