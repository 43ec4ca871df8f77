"""``bench data``: pin what tasks read, fetch it beforehand, and see what is kept."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from hubtools.cli.terminal import MIRRORS

if TYPE_CHECKING:
    from hubtools.data.sources.file_cache import DataCache
    from hubtools.specs.task import Task


@click.group(help="Pin, fetch and list the data of tasks.")
def data() -> None:
    """The group of commands."""


@data.command("freeze")
@click.argument("name", metavar="TASK")
@click.option("--copy-to", type=click.Path(path_type=Path), help="Also copy the files there, named by their sha256.")
@click.option("--refresh", is_flag=True, help="Ask again, even where an earlier answer is kept on this machine.")
@MIRRORS
def freeze(name: str, copy_to: Path | None, refresh: bool, mirrors: tuple[Path, ...]) -> None:
    """Pin everything that a task file of yours leaves open, by adding lines to it.

    A query to UniProt gets the release and the checksum of its rows, an address its sha256, a data set on the Hub its
    commit. Comments, order and all else in the file stay as they are.
    """
    from hubtools.specs.lookup.content import find
    from hubtools.specs.lookup.pinning import write_pins
    from hubtools.specs.lookup.spec_files import load_task

    path, task = find("task", name), load_task(name)
    _refuse_shipped(path)
    from hubtools.data.sources.file_cache import DataCache
    from hubtools.data.sources.known_sources import pinned, source_of

    cache = DataCache.default(mirrors)
    if refresh:
        source_of(task.data).forget(cache)
    resolved, found = pinned(task, cache)
    if not found:
        click.echo(f"{task.name}: everything is pinned already")
    else:
        for line in write_pins(path, resolved):
            click.echo(f"{path}: {line}")
    if copy_to is not None:
        _copy(_files(resolved, cache), copy_to)


@data.command("fetch")
@click.argument("names", metavar="TASK...", nargs=-1, required=True)
@click.option("--to", "folder", type=click.Path(path_type=Path), help="Also write the files there: a data mirror.")
@MIRRORS
def fetch(names: tuple[str, ...], folder: Path | None, mirrors: tuple[Path, ...]) -> None:
    """Download everything that tasks read, to work without a network afterwards."""
    from hubtools.specs.lookup.spec_files import load_task

    tasks = [load_task(name) for name in names]
    from hubtools.data.sources.file_cache import DataCache
    from hubtools.data.sources.known_sources import pinned, source_of

    cache = DataCache.default(mirrors)
    for task in tasks:
        resolved, found = pinned(task, cache)
        files = _files(resolved, cache)
        size = sum(path.stat().st_size for path in files.values())
        click.echo(f"{task.name}: {_counted(len(files))}, {_size(size)}")
        for line in found:
            click.echo(f"{task.name}: {line} (bench data freeze {task.name} pins it)")
        if elsewhere := source_of(task.data).kept_elsewhere():
            click.echo(f"{task.name}: {elsewhere}")
        if folder is not None:
            _copy(files, folder)


@data.command("ls")
def ls() -> None:
    """What the data cache holds: size, checksum, and which tasks use it."""
    from hubtools.data.sources.file_cache import DataCache
    from hubtools.data.sources.uniprot_answers import kept_answers

    cache = DataCache.default()
    files = sorted((cache.root / "files").glob("*"), key=lambda path: (-path.stat().st_size, path.name))
    users = _users(cache)
    answers = {kept.file_sha256: kept for kept in kept_answers(cache)}
    for path in files:
        used = ", ".join(users.get(path.name, [])) or "-"
        kept = answers.get(path.name)
        told = f"  UniProt {kept.release}, {kept.rows:,} entries: {kept.query}" if kept else ""
        click.echo(f"{_size(path.stat().st_size):>9}  {path.name[:12]}  {used}{told}")
    total = sum(path.stat().st_size for path in files)
    click.echo(f"{_counted(len(files))}, {_size(total)} in {cache.root}")


@data.command("rm")
@click.argument("what", metavar="SHA256|TASK...", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Every source file in the cache.")
def rm(what: tuple[str, ...], everything: bool) -> None:
    """Remove source files from the data cache: by the first digits of their checksum, or all that a task pins."""
    from hubtools.common.errors import UserError
    from hubtools.data.sources.file_cache import DataCache

    if bool(what) == everything:
        raise UserError("nothing is named", where="bench data rm", fix="Name checksums or tasks, or give --all.")
    cache = DataCache.default()
    files = sorted((cache.root / "files").glob("*"))
    users = _users(cache)
    chosen = set(files) if everything else set[Path]()
    for name in what:
        found = [path for path in files if name in users.get(path.name, [])]
        if not found and len(name) >= 6:
            found = [path for path in files if path.name.startswith(name)]
        if not found:
            raise UserError(f"the cache has nothing of {name!r}", where=str(cache.root), fix="See: bench data ls.")
        chosen.update(found)
    size = sum(path.stat().st_size for path in chosen)
    for path in chosen:
        path.unlink(missing_ok=True)
    click.echo(f"removed {_counted(len(chosen))}, {_size(size)}")


def _files(task: Task, cache: DataCache) -> dict[str, Path]:
    """The source files of a pinned task on this machine, fetched where needed, by their sha256."""
    from hubtools.common.hashing import file_sha256
    from hubtools.data.sources.known_sources import source_of

    return {file_sha256(path): path for path in source_of(task.data).fetch(cache)}


def _copy(files: dict[str, Path], folder: Path) -> None:
    import shutil

    from hubtools.common.files import replacing

    for sha256, path in files.items():
        if not (folder / sha256).is_file():
            with replacing(folder / sha256) as temporary:
                shutil.copyfile(path, temporary)
        click.echo(f"{folder / sha256}  {_size(path.stat().st_size)}")


def _refuse_shipped(path: Path) -> None:
    """A file that bench ships is not the user's to change, unless it is the user who is working on bench."""
    from hubtools.common.errors import UserError
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
    from hubtools.common.errors import UserError
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


def _counted(files: int) -> str:
    return f"{files:,} file" if files == 1 else f"{files:,} files"


def _size(size: float) -> str:
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"
