"""``bench status``: how far what was asked for is."""

from __future__ import annotations

import json
import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hubtools.cli.shared.commands import StrictCommand
from hubtools.cli.shared.terminal import RUNS, note

if TYPE_CHECKING:
    from hubtools.api.stored.run_status import RunsStatus


@click.command(cls=StrictCommand)
@RUNS
@click.option("--watch", is_flag=True, help="Show it again and again, until nothing is under way and nothing waits.")
@click.option(
    "--every", type=click.FloatRange(min=0.1), default=5.0, show_default=True, metavar="S", help="Seconds between."
)
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
def status(*, root: Path, watch: bool, every: float, form: str) -> None:
    """How far the runs of a folder are: done, running (where, since when), stopped, failed (why), waiting.

    What was asked for is kept by bench run in RUNS/.plans, whoever does the runs; without that, it is what is recorded. A run that is
    stopped or waits is done by the same bench run again. A plan that is not wanted any more is forgotten by removing its file.
    """
    from hubtools.api.stored.run_status import of_folder
    from hubtools.reporting.run_matrix import status_lines
    from hubtools.runs.many.run_states import FolderReader

    reader, said = FolderReader(root), ""
    while True:
        found = of_folder(reader)
        width = shutil.get_terminal_size((80, 24)).columns
        text = _as_json(found) if form == "json" else "\n".join(status_lines(found, width))
        if watch and sys.stdout.isatty() and form == "text":
            click.clear()
            click.echo(text)
        elif text != said:
            # Into a file or a pipe only what is new.
            click.echo(text)
        said = text
        counts = found.counts
        if not watch or not counts["running"] + counts["waiting"]:
            break
        time.sleep(every)
    for problem in found.problems:
        note(f"left out: {problem}")


def _as_json(found: RunsStatus) -> str:
    plans = [
        {
            "id": plan.id,
            "begun": plan.begun.isoformat(),
            "engine": plan.engine,
            "command": plan.command,
            "runs": len(plan.runs),
            "jobs": found.jobs.get(plan.id, {}),
        }
        for plan in found.plans
    ]
    return json.dumps({"counts": found.counts, "plans": plans, "runs": found.rows(), "problems": found.problems})
