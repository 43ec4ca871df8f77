"""``bench cancel``: stop the jobs that a cluster has."""

from __future__ import annotations

from pathlib import Path

import click

from hubtools.cli.shared.commands import StrictCommand
from hubtools.cli.shared.terminal import RUNS


@click.command(cls=StrictCommand)
@RUNS
def cancel(*, root: Path) -> None:
    """Stop the jobs of a folder of runs, or of structures, that wait or run in the queue of a cluster.

    What is done stays, and the record of a run that is stopped says so: bench run --on … goes on with it, and bench fold --on … with
    structures. What this machine does by itself is stopped by Ctrl-C.
    """
    from hubtools.api.engines.dispatch import cancel as stop

    stopped = stop(root)
    for engine, jobs in stopped.items():
        click.echo(f"{jobs} job{'s'[: jobs != 1]} of {engine} stopped", err=True)
    if not stopped:
        click.echo(f"no cluster has jobs of {root}/", err=True)
