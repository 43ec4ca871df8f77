"""``bench tasks``: what there is to predict, and whether a task file and its data are in order."""

from __future__ import annotations

import json
import re
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hubtools.cli.audit import audit
from hubtools.cli.tasks_new import new
from hubtools.specs.errors import UserError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from hubtools.data import TaskData
    from hubtools.models.tokenisation import ResidueTokeniser
    from hubtools.specs.content import Found
    from hubtools.specs.record import DataFacts
    from hubtools.specs.sources import Data
    from hubtools.specs.task import Task


@click.group(help="List, show and check tasks.")
def tasks() -> None:
    """The group of commands."""


tasks.add_command(audit)


@tasks.command("list")
@click.option("--markdown", "form", flag_value="markdown", help="The table of tasks/README.md.")
@click.option("--json", "form", flag_value="json", help="For programs.")
@click.option("--problem", help="Only tasks of this problem, such as residue-classification.")
def list_all(form: str | None, problem: str | None) -> None:
    """All tasks: your own first, then those bench ships."""
    from hubtools.specs import load_task
    from hubtools.specs.content import catalogue
    from hubtools.specs.problem import Problem

    problems = [each.value for each in Problem]
    if problem is not None and problem not in problems:
        raise UserError(f"there is no problem {problem!r}", fix=f"There are: {', '.join(problems)}.")
    known: list[tuple[Task, Found]] = []
    for found in catalogue("task").values():
        try:
            task = load_task(str(found.path))
        except UserError as error:
            # One wrong file, perhaps a stranger's, should not hide all the others.
            click.echo(f"warning: {error}", err=True)
            continue
        if problem in {None, task.problem.value}:
            known.append((task, found))
    if form == "json":
        click.echo(json.dumps([_summary(task, found) for task, found in known], indent=2, ensure_ascii=False))
    elif form == "markdown":
        click.echo(_markdown([_cells(task, link=found.path.name) for task, found in known]))
    else:
        table, console = _table("name", "what", "problem", "ranked by", "trust", "from"), _console()
        for task, found in known:
            colour = task.semaphore.colour if task.semaphore else None
            trust = f"[{_DOTS[colour]}]●[/] {colour}" if colour else "–"
            table.add_row(task.name, task.title, task.problem.value, task.metrics.primary, trust, found.origin)
        console.print(table)
        for task, found in known:
            for other in found.hidden:
                said = f"{task.name} is that of {found.origin}; it hides {other.path} ({other.origin})"
                console.print(said, markup=False, soft_wrap=True)


# Of more labels than this, only so many are shown.
_SHOWN_LABELS = 40
_DOTS = {"green": "green", "amber": "yellow", "red": "red"}
_COLUMNS = ("name", "what", "problem", "labels", "test splits", "ranked by", "trust", "licence")


def _cells(task: Task, link: str | None = None) -> list[str]:
    return [
        f"[{task.name}]({link})" if link else task.name,
        task.title,
        task.problem.value,
        str(len(task.label_names) or "–"),
        ", ".join(task.data.test_splits),
        task.metrics.primary,
        task.semaphore.colour if task.semaphore else "–",
        task.licence,
    ]


def _markdown(rows: list[list[str]]) -> str:
    lines = [_COLUMNS, ["---"] * len(_COLUMNS), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _summary(task: Task, found: Found) -> dict[str, Any]:
    return {
        "name": task.name,
        "version": task.version,
        "title": task.title,
        "problem": task.problem.value,
        "labels": task.label_names,
        "test_splits": task.data.test_splits,
        "metrics": task.metrics.names,
        "semaphore": task.semaphore.model_dump() if task.semaphore else None,
        "published": len(task.published),
        "licence": task.licence,
        "source": task.data.source,
        "path": str(found.path),
        "from": found.origin,
        "hides": [str(other.path) for other in found.hidden],
    }


@tasks.command("show")
@click.argument("name")
def show(name: str) -> None:
    """One task: what it asks, on which data, scored how."""
    from rich.padding import Padding

    from hubtools.data.task_repositories import SCHEME, open_task

    reference, task = open_task(name)
    description = _description(task)
    if reference.startswith(SCHEME) and task.data.source == "file":
        description["data"] = f"files of {reference}"
    console = _console()
    console.print(f"[bold]{task.title}[/bold] ({task.name}, version {task.version})")
    console.print(task.summary, end="\n\n")
    for key, value in description.items():
        first, *rest = value.splitlines()
        # Addresses are for copying: they are never broken or cut.
        for label, line in ((key, first), *(("", line) for line in rest)):
            console.print(f"{label:<12} {line}", markup=False, soft_wrap=True)
    if task.semaphore:
        colour = task.semaphore.colour
        console.print(f"\n[bold]Trust[/bold] [{_DOTS[colour]}]●[/] {colour}")
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

    table = _table("what", "how", "metric", "value", "split", "source and remarks")
    for entry in task.published:
        value = f"{entry.value:g}{f' {entry.spread}' if entry.spread else ''}"
        source = entry.source + (f". {entry.note}" if entry.note else "")
        cells = (entry.what, entry.how, entry.metric, value, entry.split, source)
        table.add_row(*(Text(cell) for cell in cells))
    return table


def _description(task: Task) -> dict[str, str]:
    from hubtools.specs.metric_names import METRICS
    from hubtools.specs.sources import HubData, PackageData, UniProtData

    data = task.data
    origin = {"url": "files at pinned addresses", "file": "local files"}.get(data.source, data.source)
    if isinstance(data, PackageData):
        origin = f"package {data.package} {data.version}"
    elif isinstance(data, HubData):
        origin = f"{data.dataset} on the Hub at {data.revision or 'its latest commit: not pinned'}"
    elif isinstance(data, UniProtData):
        frozen = data.frozen
        state = f"release {frozen.release}, {frozen.rows:,} entries" if frozen else "not frozen: see bench data freeze"
        origin = f"UniProt, {data.query} ({state})"
    files = "\n".join(
        f"{file.name}: {file.location}{f' ({file.member})' if file.member else ''}"
        f"{', sequences that rows name (lookup)' if file.lookup else ''}"
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
        "data": origin,
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
    more = [f"… {len(words):,} in all"] if len(words) > _SHOWN_LABELS else []
    return words[:_SHOWN_LABELS] + more


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
        what = "proteins drawn" if task.problem.is_pair else "drawn"
        lines.append(f"{what} by seed {data.split.seed}; {_together(data)} stay on one side")
        if task.problem.is_pair:
            lines.append("shares are of proteins; a pair whose proteins are in different splits is left out")
        declared = set(data.split.fractions)
    else:
        lines = []
        for name, rule in (data.splits or {}).items():
            where = [f"{column} is {' or '.join(value or 'empty' for value in v)}" for column, v in rule.where.items()]
            lines.append(f"{name}: {', '.join(rule.files) or 'all files'}{''.join(f', {part}' for part in where)}")
        declared = set(data.splits or {})
    if "validation" not in declared and not task.problem.zero_shot:
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
    from hubtools.data.task_repositories import open_task

    # The file first: a wrong key should not wait for the import of the data libraries.
    _, task = open_task(file_or_name)
    from hubtools.data import DataCache, load_task_data

    tokeniser = _tokeniser(checkpoint) if checkpoint else None
    try:
        data = load_task_data(task, DataCache.default(mirrors))
    except UserError as error:
        raise _pointing_at(error, task, file_or_name) from None
    console = show_data(data)
    if tokeniser:
        console.print(f"alignment with {checkpoint}: {_prove(data, tokeniser)}", markup=False)
    console.print(f"{task.name} is in order", style="green")


def _pointing_at(error: UserError, task: Task, name: str) -> UserError:
    """The error with the line of the task file that it is about, where it names a key."""
    from hubtools.data.task_repositories import task_path
    from hubtools.specs.loading import line_of_key

    text = f"{error.what} {error.fix or ''}"
    named = [
        key
        for key in re.findall(r"\bdata\.[a-z_]+(?:\.[a-z_]+)*", text)
        if key.split(".")[1] in type(task.data).model_fields
    ]
    if "under labels" in text or "sha256 in the task file" in text:
        named.append("labels" if "under labels" in text else "data.files.0.sha256")
    if not named:
        return error
    path = task_path(name)
    rest = (error.where or "").removeprefix(f"task {task.name}").removeprefix(", ")
    place = f"{path}:{line_of_key(path, named[0])}{f', {rest}' if rest else ''}"
    return UserError(error.what, where=place, fix=error.fix)


def show_data(data: TaskData) -> Console:
    """Print what a task's data are: splits, labels, remarks. Returns the console for what comes after."""
    task, console = data.task, _console()
    console.print(f"[bold]{task.name}[/bold] version {task.version}, {task.problem.value}")
    console.print(_split_table(data))
    if task.labels:
        console.print(_label_table(task, data.facts))
    if task.problem.zero_shot:
        console.print(_assay_table(data))
    for line in _remarks(data.facts):
        console.print(line, markup=False)
    return console


def _split_table(data: TaskData) -> Table:
    import numpy as np

    from hubtools.data.sequences import letters_outside

    unit = {"residue": "residues scored", "variant": "variants", "pair": "pairs"}.get(data.task.problem.level, "labels")
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
    """Counts of each label in each split; of many labels, only the most frequent."""
    table = _table("label", *facts.splits, numbers_from=1)
    shown = task.label_names
    if len(shown) > _SHOWN_LABELS:
        table.columns[0].header = f"label ({_SHOWN_LABELS} most frequent of {len(shown):,})"
        totals = {label: sum(split.label_counts[label] for split in facts.splits.values()) for label in shown}
        shown = sorted(shown, key=lambda label: -totals[label])[:_SHOWN_LABELS]
    for label in shown:
        cells = []
        for split in facts.splits.values():
            count = split.label_counts[label]
            cells.append(f"{count:,} ({count / split.labelled:.1%})")
        table.add_row(label, *cells)
    return table


def _assay_table(data: TaskData) -> Table:
    """What each assay holds, split by split."""
    import pandas as pd

    from hubtools.data.variants import depth, substitutions

    table = _table(
        "assay", "protein", "category", "variants", "single", "multiple", "positions", "least", "median", "largest",
        "functional", numbers_from=3,
    )  # fmt: skip
    for split in data.splits.values():
        rows = pd.DataFrame({name: split[name][:] for name in split.column_names if name not in {"id", "sequence"}})
        for name, part in rows.groupby("group", sort=False):
            many = depth(part)
            positions = {change.position for mutations in part["mutations"] for change in substitutions(mutations)}
            table.add_row(
                str(name),
                part["protein"].iloc[0] if part["protein"].iloc[0] != name else "–",
                part["category"].iloc[0] or "–",
                *(f"{count:,}" for count in (len(part), (many == 1).sum(), (many > 1).sum(), len(positions))),
                *(f"{value:.3g}" for value in part["label"].quantile([0, 0.5, 1])),
                f"{part['active'].mean():.1%}" if "active" in part else "–",
            )
    return table


def _remarks(facts: DataFacts) -> list[str]:
    lines = [f"validation: {facts.validation}"]
    if facts.clusters:
        lines.append(f"clusters: {facts.clusters}")
    if facts.split_sha256:
        lines.append(f"split.sha256: {facts.split_sha256}")
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


tasks.add_command(new)
