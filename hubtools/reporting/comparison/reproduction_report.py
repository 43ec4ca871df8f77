"""What came of making a result again, for people and programs: the terminal, JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from statistics import stdev
from typing import TYPE_CHECKING, Any

from hubtools.evaluation.statistics.equivalence import Equivalence, EquivalenceVerdict
from hubtools.findings.arms import Arm
from hubtools.findings.replication import Replication
from hubtools.findings.reproduction import Reproduction
from hubtools.findings.wording import interval, metric_title, number, plural, signed
from hubtools.specs.published_results import Cell

if TYPE_CHECKING:
    from rich.console import Console

EXIT_CODES = {EquivalenceVerdict.AGREE: 0, EquivalenceVerdict.DIFFER: 1, EquivalenceVerdict.CANNOT_TELL: 3}
_COLOURS = {
    EquivalenceVerdict.AGREE: "green",
    EquivalenceVerdict.DIFFER: "red",
    EquivalenceVerdict.CANNOT_TELL: "yellow",
}


def print_reproduction(done: Reproduction, console: Console) -> None:
    """A run and the same made again: verdict first."""
    before, after = done.original[1], done.again[1]
    finding = done.finding
    title = f"{before.identity.task.name} · {Arm((done.original,)).name} · seed {before.identity.seed}"
    _print_verdict(title, finding, console)
    rows = [
        ("then", number(finding.before), f"{before.started:%Y-%m-%d}, run {before.run_id}"),
        ("now", number(finding.after), f"{after.started:%Y-%m-%d}, run {after.run_id}"),
        _difference(finding, "margin"),
    ]
    _print_rows(f"{metric_title(done.metric, arrow=True)} on {done.split}", rows, console)
    if done.apart is not None:
        _print_lines(None, [f"Two predictions differ by {done.apart:.2g} at most."], console)
    lines = [f"{change.what}: {change.before} → {change.after}" for change in done.changed]
    _print_lines("What else is not the same", lines, console)
    _print_lines("To be known", done.notes, console)


def print_replication(done: Replication, console: Console) -> None:
    """A published result and the runs that were to give it: verdict first."""
    cell, finding = done.cell, done.finding
    experiment = cell.experiment
    _print_verdict(cell.id, finding, console)
    _print_lines(
        None, [f"{experiment.title} · {cell.result.checkpoint}", f"{cell.source.citation} {experiment.where}"], console
    )
    rows = [
        ("published", number(finding.before), _behind(cell)),
        ("here", number(finding.after), _scores(done.values)),
        _difference(finding, "tolerance"),
    ]
    _print_rows(f"{metric_title(experiment.metric, arrow=True)} on {experiment.split}", rows, console)
    chance = "the seeds of both" if experiment.same_test else "the seeds, and which rows were tested"
    lines = [f"Chance in the interval: {chance}.", f"The tolerance is bench's: {experiment.reason}", *done.notes]
    _print_lines("To be known", lines, console)


def _print_verdict(title: str, finding: Equivalence, console: Console) -> None:
    from rich.text import Text

    style = f"bold {_COLOURS[finding.verdict]}"
    console.print(Text.assemble((title, "bold"), ": ", (finding.verdict.value, style), f", {finding.reason}."))


def _difference(finding: Equivalence, noun: str) -> tuple[str, str, str]:
    spread = interval(finding.low, finding.high)
    beside = f"95 % interval {spread}, {noun} ±{finding.margin:g}" if spread else f"{noun} ±{finding.margin:g}"
    return "difference", signed(finding.value), beside


def _behind(cell: Cell) -> str:
    """What is published of the runs behind a number."""
    runs = len(cell.result.runs) or cell.experiment.n_runs
    printed = f"printed {cell.result.printed}"
    return f"{printed}; {plural(runs, 'run')}" if runs else printed


def _scores(values: Sequence[float]) -> str:
    shown = f"{plural(len(values), 'seed')}: {', '.join(number(value) for value in values)}"
    return f"{shown}; SD {number(stdev(values))}" if len(values) > 1 else shown


def _print_rows(heading: str, rows: Sequence[tuple[str, str, str]], console: Console) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    console.print(Text(heading))
    console.print(table)


def _print_lines(heading: str | None, lines: Iterable[str], console: Console) -> None:
    from rich.padding import Padding
    from rich.text import Text

    shown = list(lines)
    if heading is not None and shown:
        console.print(Text(heading))
    for line in shown:
        console.print(Padding(Text(line), (0, 0, 0, 0 if heading is None else 2), expand=False))


def as_json(done: Reproduction | Replication) -> str:
    """All of it: one object, keys that stay."""
    values: dict[str, Any] = {"verdict": done.finding.verdict.value, "exit_code": EXIT_CODES[done.finding.verdict]}
    values |= asdict(done.finding) | {"difference": done.finding.value, "notes": done.notes}
    if isinstance(done, Reproduction):
        values |= {"split": done.split, "metric": done.metric, "largest_difference_of_predictions": done.apart}
        values |= {"runs": [str(folder) for folder, _ in (done.original, done.again)]}
        values |= {"changed": [asdict(change) for change in done.changed]}
    else:
        experiment = done.cell.experiment
        values |= {"published": done.cell.id, "split": experiment.split, "metric": experiment.metric}
        values |= {"seeds": done.arm.seeds, "scores": done.values}
        values |= {"runs": [str(folder) for folder, _ in done.arm.runs]}
    return json.dumps(values, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
