"""``bench data``: pin what tasks read, fetch it beforehand, and see what is kept."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from hubtools.cli.shared.commands import StrictGroup
from hubtools.cli.shared.terminal import MIRRORS
from hubtools.common.files import human

if TYPE_CHECKING:
    from hubtools.api.stored.data_files import FetchedData


@click.group(cls=StrictGroup, help="Pin, fetch and list the data of tasks.")
def data() -> None:
    """The group of commands."""


@data.command("freeze")
@click.argument("name", metavar="TASK")
@click.option("--copy-to", type=click.Path(path_type=Path), help="Also copy the files there, named by their sha256.")
@click.option(
    "--refresh",
    is_flag=True,
    help="Ask the sources again, also for what is pinned, and replace pins they no longer give.",
)
@MIRRORS
def freeze(name: str, copy_to: Path | None, refresh: bool, mirrors: tuple[Path, ...]) -> None:
    """Pin everything that a task file of yours leaves open, by adding lines to it.

    A query to UniProt gets the release and the checksum of its rows, an address its sha256, a data set on the Hub its
    commit. Comments, order and all else in the file stay as they are. With --refresh the sources are asked again, and what
    changed is told (checksums and counts, old and new) before the pin is replaced.
    """
    import hubtools

    frozen = hubtools.freeze_data(name, refresh=refresh, mirrors=mirrors, on_change=click.echo)
    for line in frozen.said:
        click.echo(line)
    if copy_to is not None:
        frozen.copy(copy_to, _say_file)


@data.command("fetch")
@click.argument("names", metavar="TASK...", nargs=-1, required=True)
@click.option("--to", "folder", type=click.Path(path_type=Path), help="Also write the files there: a data mirror.")
@MIRRORS
def fetch(names: tuple[str, ...], folder: Path | None, mirrors: tuple[Path, ...]) -> None:
    """Download everything that tasks read, to work without a network afterwards."""
    import hubtools

    hubtools.fetch_data(names, to=folder, mirrors=mirrors, on_task=_say_task, on_file=_say_file)


@data.command("ls")
def ls() -> None:
    """What the data cache holds: size, checksum, and which tasks use it."""
    import hubtools

    kept = hubtools.kept_data()
    for file in kept:
        told = f"  {file.answer}" if file.answer else ""
        click.echo(f"{human(file.bytes):>9}  {file.sha256[:12]}  {', '.join(file.tasks) or '-'}{told}")
    click.echo(repr(kept))


@data.command("rm")
@click.argument("what", metavar="SHA256|TASK...", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Every source file in the cache.")
def rm(what: tuple[str, ...], everything: bool) -> None:
    """Remove source files from the data cache: by the first digits of their checksum, or all that a task pins."""
    import hubtools

    click.echo(repr(hubtools.remove_data(*what, everything=everything)))


def _say_task(fetched: FetchedData) -> None:
    name = fetched.task.name
    click.echo(repr(fetched))
    for line in fetched.open:
        click.echo(f"{name}: {line} (bench data freeze {name} pins it)")
    if fetched.elsewhere:
        click.echo(f"{name}: {fetched.elsewhere}")


def _say_file(path: Path) -> None:
    click.echo(f"{path}  {human(path.stat().st_size)}")
