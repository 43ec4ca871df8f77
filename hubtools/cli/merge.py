"""``bench merge``: one folder of runs of several."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import click

from hubtools.cli.shared.commands import StrictCommand
from hubtools.cli.shared.terminal import note
from hubtools.common import telling


@click.command(cls=StrictCommand)
@click.argument("sources", metavar="RUNS...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--into",
    required=True,
    metavar="DIRECTORY",
    type=click.Path(path_type=Path),
    help="Folder of runs that they go to.",
)
def merge(*, sources: tuple[Path, ...], into: Path) -> None:
    """Make one folder of runs of several: whole runs are copied, each file held against its record.

    A run that is there already counts once. One that is there with other predictions is left as it is and named, as is what
    cannot be read: then the exit code is 1. Runs that are not complete are left out. Cards are made again by bench card.

    \b
    bench merge node1/runs node2/runs --into runs
    """
    from tqdm import tqdm

    import hubtools

    # How many there are is not known before; a person sees that it goes on.
    with tqdm(unit="run", disable=not telling.bars_shown(), leave=False) as progress:
        done = hubtools.merge([str(source) for source in sources], into, on_run=lambda run: progress.update() and None)
    for run in done.runs:
        if run.what in {"conflict", "unreadable"}:
            note(f"{run.what}: {run.why}")
    if left := done.of("unfinished"):
        note(f"left out: {len(left):,} not complete, the first {left[0].why}")
    click.echo(f"{done!r}")
    if done.of("copied"):
        note(f"board  bench board {shlex.quote(str(into))}")
    if done.problems:
        sys.exit(1)
