"""``bench tasks``: what there is to predict, and whether a task file and its data are in order."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from hubtools.data import TaskData
    from hubtools.models.tokenisation import ResidueTokeniser
    from hubtools.specs.record import DataFacts
    from hubtools.specs.task import Task


@click.group(help="List, show and check tasks.")
def tasks() -> None:
    """The group of commands."""


@tasks.command("list")
@click.option("--markdown", "form", flag_value="markdown", help="The table of tasks/README.md.")
@click.option("--json", "form", flag_value="json", help="For programs.")
def list_all(form: str | None) -> None:
    """All tasks: your own first, then those bench ships."""
    from hubtools.specs import load_task
    from hubtools.specs.content import available

    known = {path: load_task(str(path)) for path in available("task").values()}
    if form == "json":
        click.echo(json.dumps([_summary(task, path) for path, task in known.items()], indent=2, ensure_ascii=False))
    elif form == "markdown":
        click.echo(_markdown([_cells(task, link=path.name) for path, task in known.items()]))
    else:
        table = _table(*_COLUMNS)
        for task in known.values():
            table.add_row(*_cells(task))
        _console().print(table)


_COLUMNS = ("name", "what", "problem", "labels", "test splits", "ranked by", "licence")


def _cells(task: Task, link: str | None = None) -> list[str]:
    return [
        f"[{task.name}]({link})" if link else task.name,
        task.title,
        task.problem.value,
        str(len(task.labels) or "–"),
        ", ".join(task.data.test_splits),
        task.metrics.primary,
        task.licence,
    ]


def _markdown(rows: list[list[str]]) -> str:
    lines = [_COLUMNS, ["---"] * len(_COLUMNS), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _summary(task: Task, path: Path) -> dict[str, Any]:
    return {
        "name": task.name,
        "version": task.version,
        "title": task.title,
        "problem": task.problem.value,
        "labels": task.label_names,
        "test_splits": task.data.test_splits,
        "metrics": task.metrics.names,
        "licence": task.licence,
        "source": task.data.source,
        "path": str(path),
    }


@tasks.command("show")
@click.argument("name")
def show(name: str) -> None:
    """One task: what it asks, on which data, scored how."""
    from rich.padding import Padding

    from hubtools.specs import load_task

    task = load_task(name)
    console = _console()
    console.print(f"[bold]{task.title}[/bold] ({task.name}, version {task.version})")
    console.print(task.summary, end="\n\n")
    for key, value in _description(task).items():
        first, *rest = value.splitlines()
        # Addresses are for copying: they are never broken or cut.
        for label, line in ((key, first), *(("", line) for line in rest)):
            console.print(f"{label:<12} {line}", markup=False, soft_wrap=True)
    if task.notes:
        console.print("\n[bold]Notes[/bold]")
    for note in task.notes:
        console.print(Padding(note, (0, 0, 0, 2)), markup=False)
    console.print("\n[bold]Citation[/bold]")
    console.print(textwrap.indent(task.citation.rstrip(), "  "), markup=False, soft_wrap=True)


def _description(task: Task) -> dict[str, str]:
    from hubtools.specs.metric_names import METRICS
    from hubtools.specs.sources import HubData, PackageData

    data = task.data
    origin = {"url": "files at pinned addresses", "file": "local files"}.get(data.source, data.source)
    if isinstance(data, PackageData):
        origin = f"package {data.package} {data.version}"
    elif isinstance(data, HubData):
        origin = f"{data.dataset} on the Hub at {data.revision}"
    files = "\n".join(
        f"{file.name}: {file.location}{f' ({file.member})' if file.member else ''}" for file in data.files
    )
    labels = "\n".join(
        name if name == value else f"{name} ({value!r} in the data)" for value, name in task.labels.items()
    )
    scored = ", ".join(
        f"{METRICS[name].title}{' (ranks)' if name == task.metrics.primary else ''}" for name in task.metrics.names
    )
    rows = {
        "problem": task.problem.value,
        "labels": labels or f"a number{f' ({task.unit})' if task.unit else ''}",
        "detects": task.metrics.positive or "",
        "data": origin,
        "files": files,
        "splits": "\n".join(_split_words(task)),
        "scored by": scored,
        "worse means": f"a loss of more than {task.margin:g} in {METRICS[task.metrics.primary].title}",
        "licence": task.licence,
        "homepage": task.homepage or "",
    }
    return {key: value for key, value in rows.items() if value}


def _split_words(task: Task) -> list[str]:
    data = task.data
    if data.split is not None:
        lines = [f"{name}: {share:.0%}" for name, share in data.split.fractions.items()]
        lines.append(f"drawn by seed {data.split.seed}; clusters and equal sequences stay on one side")
        if task.problem.is_pair:
            lines.append("shares are of proteins; a pair whose proteins are in different splits is left out")
        declared = set(data.split.fractions)
    else:
        lines = []
        for name, rule in (data.splits or {}).items():
            where = [f"{column} is {' or '.join(value or 'empty' for value in v)}" for column, v in rule.where.items()]
            lines.append(f"{name}: {', '.join(rule.files) or 'all files'}{''.join(f', {part}' for part in where)}")
        declared = set(data.splits or {})
    if "validation" not in declared:
        lines.append(f"validation: {data.validation_fraction:.0%} of train, drawn by seed {data.validation_seed}")
    return lines


@tasks.command("check")
@click.argument("file_or_name")
@click.option("--checkpoint", help="Also prove that each residue is one token of this checkpoint.")
@click.option(
    "--data-mirror",
    "mirrors",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Folder with source files under their sha256; may be repeated.",
)
def check(file_or_name: str, checkpoint: str | None, mirrors: tuple[Path, ...]) -> None:
    """Load a task's data and verify them: columns, labels, lengths, letters, splits.

    Prints what is there. Exits with an error, in one line, at the first thing that is wrong.
    """
    from hubtools.specs import load_task

    # The file first: a wrong key should not wait for the import of the data libraries.
    task = load_task(file_or_name)
    from hubtools.data import DataCache, load_task_data

    tokeniser = _tokeniser(checkpoint) if checkpoint else None
    data = load_task_data(task, DataCache.default(mirrors))
    console = _console()
    console.print(f"[bold]{task.name}[/bold] version {task.version}, {task.problem.value}")
    console.print(_split_table(data))
    if task.labels:
        console.print(_label_table(task, data.facts))
    for line in _remarks(data.facts):
        console.print(line, markup=False)
    if tokeniser:
        console.print(f"alignment with {checkpoint}: {_prove(data, tokeniser)}", markup=False)
    console.print(f"{task.name} is in order", style="green")


def _split_table(data: TaskData) -> Table:
    import numpy as np

    from hubtools.data.sequences import letters_outside

    unit = {"residue": "residues scored", "pair": "pairs"}.get(data.task.problem.level, "labels")
    lengths = ("shortest", "25 %", "median", "75 %", "95 %", "longest")
    table = _table("split", "proteins", "residues", unit, "clusters", *lengths, "other letters", numbers_from=1)
    for name, facts in data.facts.splits.items():
        sequences = data.sequences(name)
        quantiles = np.quantile([len(sequence) for sequence in sequences], (0, 0.25, 0.5, 0.75, 0.95, 1))
        table.add_row(
            name,
            f"{facts.proteins:,}",
            f"{facts.residues:,}",
            f"{facts.labelled:,}",
            "–" if facts.clusters is None else f"{facts.clusters:,}",
            *(f"{round(quantile):,}" for quantile in quantiles),
            " ".join(f"{letter} {count:,}" for letter, count in letters_outside(sequences).items()) or "none",
        )
    return table


def _label_table(task: Task, facts: DataFacts) -> Table:
    table = _table("label", *facts.splits, numbers_from=1)
    for label in task.label_names:
        cells = []
        for split in facts.splits.values():
            count = split.label_counts[label]
            cells.append(f"{count:,} ({count / split.labelled:.1%})")
        table.add_row(label, *cells)
    return table


def _remarks(facts: DataFacts) -> list[str]:
    lines = [f"validation: {facts.validation}"]
    if facts.clusters:
        lines.append(f"clusters: {facts.clusters}")
    lines += [f"changed: {count:,} sequences, {reason}" for reason, count in facts.changed.items()]
    lines += [f"left out: {count:,} rows, {reason}" for reason, count in facts.removed.items()]
    return lines + [f"found: {line}" for line in facts.findings]


def _tokeniser(checkpoint: str) -> ResidueTokeniser:
    from hubtools.models import ResidueTokeniser, resolve_checkpoint

    return ResidueTokeniser.from_checkpoint(resolve_checkpoint(checkpoint))


def _prove(data: TaskData, tokeniser: ResidueTokeniser) -> str:
    facts = tokeniser.prove([sequence for split in data.splits for sequence in data.sequences(split)])
    shown_as_x = ", ".join(f"{letter} {count:,}" for letter, count in facts.replaced.items())
    return f"{facts}{f'; shown as X: {shown_as_x}' if shown_as_x else ''} ({facts.method})"


def _console() -> Console:
    import sys

    from rich.console import Console

    # Piped into a file or a pager there is no width to fit: wrapped tables are hard to search.
    return Console(highlight=False, width=None if sys.stdout.isatty() else 160)


def _table(*columns: str, numbers_from: int | None = None) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for position, column in enumerate(columns):
        number = numbers_from is not None and position >= numbers_from
        table.add_column(column, justify="right" if number else "left", no_wrap=number or position == 0)
    return table
