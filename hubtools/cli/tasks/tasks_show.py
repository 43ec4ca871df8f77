"""``bench tasks show``: what a task asks, on which data, scored how."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

import click

from hubtools.cli.terminal import DOTS, SHOWN_LABELS, new_console, new_table
from hubtools.specs.references import is_address

if TYPE_CHECKING:
    from rich.table import Table

    from hubtools.specs.data_sources import Data
    from hubtools.specs.task import Task


@click.command("show")
@click.argument("name")
def show(name: str) -> None:
    """One task: what it asks, on which data, scored how."""
    from rich.padding import Padding

    from hubtools.data.sources.task_repositories import open_task

    reference, task = open_task(name)
    description = _description(task)
    if is_address(reference) and task.data.local_files:
        description["data"] = f"files of {reference}"
    console = new_console()
    console.print(f"[bold]{task.title}[/bold] ({task.name}, version {task.version})")
    console.print(task.summary, end="\n\n")
    for key, value in description.items():
        first, *rest = value.splitlines()
        # Addresses are for copying: they are never broken or cut.
        for label, line in ((key, first), *(("", line) for line in rest)):
            console.print(f"{label:<12} {line}", markup=False, soft_wrap=True)
    if task.semaphore:
        colour = task.semaphore.colour
        console.print(f"\n[bold]Trust[/bold] [{DOTS[colour]}]●[/] {colour}")
        console.print(Padding(task.semaphore.reason, (0, 0, 0, 2)), markup=False)
    if task.notes:
        console.print("\n[bold]Notes[/bold]")
    for note in task.notes:
        console.print(Padding(note, (0, 0, 0, 2)), markup=False)
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


def _description(task: Task) -> dict[str, str]:
    from hubtools.data.sources.known_sources import source_of
    from hubtools.specs.metric_names import METRICS

    data = task.data
    files = "\n".join(
        f"{file.name}: {file.location}{f' ({file.member})' if file.member else ''}"
        f"{', sequences that rows name (lookup)' if file.lookup else ''}"
        f"{f', facts joined by {file.joins}' if file.joins else ''}"
        for file in data.files
    )
    labels = "\n".join(_label_words(task))
    scored = ", ".join(
        f"{METRICS[name].title}{' (ranks)' if name == task.metrics.primary else ''}" for name in task.metrics.names
    )
    rows = {
        "problem": task.problem.value,
        "labels": labels or f"a number{f' ({task.unit})' if task.unit else ''}",
        "detects": task.metrics.positive or "",
        "data": source_of(data).described(),
        "files": files,
        "splits": "\n".join(_split_words(task)),
        "scored by": scored,
        "worse means": f"a loss of more than {task.margin:g} in {METRICS[task.metrics.primary].title}",
        "licence": task.licence,
        "homepage": task.homepage or "",
    }
    return {key: value for key, value in rows.items() if value}


def _label_words(task: Task) -> list[str]:
    """Each label with what the data call it: `helix (H, G, I in the data)`."""
    values: dict[str, list[str]] = {}
    for value, name in task.labels.items():
        values.setdefault(name, []).append(value)
    words = [name if given == [name] else f"{name} ({', '.join(given)} in the data)" for name, given in values.items()]
    more = [f"… {len(words):,} in all"] if len(words) > SHOWN_LABELS else []
    return words[:SHOWN_LABELS] + more


def _together(data: Data) -> str:
    """What a drawn split keeps on one side."""
    rule = data.cluster_rule
    if (data.split is not None and data.split.by == "sequences") or not (rule or data.columns.cluster):
        return "equal sequences"
    if data.columns.cluster:
        return f"clusters (column {data.columns.cluster}) and equal sequences"
    if rule is not None and rule.identity is not None:
        return f"clusters (at least {rule.identity:.0%} identity over {rule.coverage:.0%} of both) and equal sequences"
    assert rule is not None
    return f"clusters (sharing {rule.min_shared:.0%} of the {rule.k}-mers of the smaller) and equal sequences"


def _split_words(task: Task) -> list[str]:
    data = task.data
    if data.split is not None:
        lines = [f"{name}: {share:.0%}" for name, share in data.split.fractions.items()]
        several = task.problem.level.proteins > 1
        what = "proteins drawn" if several else "drawn"
        lines.append(f"{what} by seed {data.split.seed}; {_together(data)} stay on one side")
        if several:
            lines.append("shares are of proteins; a pair whose proteins are in different splits is left out")
        declared = set(data.split.fractions)
    else:
        lines = []
        for name, rule in (data.splits or {}).items():
            where = [f"{column} is {' or '.join(value or 'empty' for value in v)}" for column, v in rule.where.items()]
            lines.append(f"{name}: {', '.join(rule.files) or 'all files'}{''.join(f', {part}' for part in where)}")
        declared = set(data.splits or {})
    if "validation" not in declared and task.problem.level.trained:
        lines.append(f"validation: {data.validation_fraction:.0%} of train, drawn by seed {data.validation_seed}")
    return lines
