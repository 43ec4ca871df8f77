"""``bench tasks show``: what a task asks, on which data, scored how."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

import click

from hubtools.cli.shared.commands import StrictCommand
from hubtools.cli.shared.terminal import DOTS, SHOWN_LABELS, new_console, new_table

if TYPE_CHECKING:
    from rich.table import Table

    from hubtools.specs.task import Task


@click.command("show", cls=StrictCommand)
@click.argument("name")
def show(name: str) -> None:
    """One task: what it asks, on which data, scored how."""
    from rich.padding import Padding
    from rich.text import Text

    import hubtools

    described = hubtools.describe_task(name, labels=SHOWN_LABELS)
    task = described.task
    console = new_console()
    console.print(Text.assemble((task.title, "bold"), f" ({task.name}, version {task.version})"))
    console.print(task.summary, end="\n\n", markup=False)
    for key, value in described.facts.items():
        first, *rest = value.splitlines()
        # Addresses are for copying: they are never broken or cut.
        for label, line in ((key, first), *(("", line) for line in rest)):
            console.print(f"{label:<12} {line}", markup=False, soft_wrap=True)
    if task.trust:
        colour = task.trust.colour
        console.print(f"\n[bold]Trust[/bold] [{DOTS[colour]}]●[/] {colour}")
        console.print(Padding(Text(task.trust.reason), (0, 0, 0, 2)), markup=False)
    if task.notes:
        console.print("\n[bold]Notes[/bold]")
    for note in task.notes:
        console.print(Padding(Text(note), (0, 0, 0, 2)), markup=False)
    if task.published:
        console.print("\n[bold]Published[/bold]")
        console.print(_published_table(task))
    console.print("\n[bold]Citation[/bold]")
    console.print(textwrap.indent(task.citation.rstrip(), "  "), markup=False, soft_wrap=True)


def _published_table(task: Task) -> Table:
    from rich.text import Text

    table = new_table("what", "how", "metric", "value", "split", "source and remarks")
    for entry in task.published:
        value = f"{entry.value:g}{f' {entry.spread}' if entry.spread else ''}"
        source = entry.source + (f". {entry.note}" if entry.note else "")
        cells = (entry.what, entry.how, entry.metric, value, entry.split, source)
        table.add_row(*(Text(cell) for cell in cells))
    return table
