"""What ``bench run`` says: a line after each run, the table at the end, and where to go on."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hubtools.common.errors import UserError
from hubtools.runs.store import CARD, DEFAULT_ROOT, FAILURE

if TYPE_CHECKING:
    from hubtools.runs.execute import Outcome


def reason(outcome: Outcome) -> str:
    """Why a run failed, in one line."""
    details, failure = outcome.folder / FAILURE, outcome.record.failure
    return (failure.message if failure else "unknown") + (f" (details: {details})" if details.is_file() else "")


def line(outcome: Outcome) -> str:
    """What came out of a run, in one line."""
    record = outcome.record
    if record.status == "failed":
        return f"failed: {reason(outcome)}"
    score = record.score()
    value = "undefined" if score is None or score.value is None else f"{score.value:.4f}"
    interval = f" [{score.low:.4f}, {score.high:.4f}]" if score and score.low is not None else ""
    aligned = f"; {record.alignment}" if record.alignment else ""
    already = "already done: " if outcome.was_done else ""
    seen = record.training.embeddings if record.training else None
    # Else the seconds would be misread.
    cached = f"; {seen.cached:,} of {seen.cached + seen.computed:,} embeddings cached" if seen and seen.cached else ""
    attempts = len(record.cost.attempts) if record.cost else 1
    several = f" in {attempts} attempts" if attempts > 1 else ""
    return f"{already}test {record.primary_metric} {value}{interval}{aligned}{cached}; {_seconds(outcome)} s{several}"


def _seconds(outcome: Outcome) -> str:
    return f"{outcome.record.cost.wall_seconds:.0f}" if outcome.record.cost else "?"


def write_card(outcome: Outcome, problems: list[str], *, again: bool = False) -> None:
    """The card of a run, unless it is there (or ``again``); what goes wrong here must not end a night of runs."""
    from hubtools.reporting.card.model_card import build_card

    if not again and outcome.was_done and (outcome.folder / CARD / "README.md").is_file():
        return
    try:
        build_card(outcome.folder)
    except Exception as error:
        reason = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
        problems.append(f"card of {outcome.folder.name}: {reason}")


def summary(outcomes: list[Outcome], planned: int, problems: list[str], root: Path, seconds: float) -> None:
    """The table of results on stdout; how it went, what failed and where to go on, on stderr."""
    complete = [outcome for outcome in outcomes if outcome.record.status == "complete"]
    _print_table(complete)
    done = sum(outcome.was_done for outcome in outcomes)
    counts = f"{len(complete)} of {planned} runs" if len(complete) < planned else f"{planned} run{'s'[: planned > 1]}"
    click.echo(f"\n{counts} in {seconds:.0f} s" + (f", {done} done before" if done else "") + f": {root}/", err=True)
    runs = "" if root == DEFAULT_ROOT else f" --runs {shlex.quote(str(root))}"
    if any(outcome.run.fraction is not None for outcome in complete):
        click.echo(f"curve  bench curve{runs}", err=True)
    if models := [outcome for outcome in complete if outcome.run.recipe.needs_checkpoint]:
        last = models[-1]
        folder = shlex.quote(str(last.folder))
        click.echo(f"card   {last.folder / 'card' / 'README.md'}", err=True)
        click.echo(f"board  bench board{runs}", err=True)
        if last.run.recipe.adaptation != "zero-shot":  # There is no model to publish.
            click.echo(f"next   bench publish {folder} --repo YOU/{last.record.identity.task.name} --dry-run", err=True)
    for problem in problems:
        click.echo(f"failed: {problem}", err=True)


def _print_table(complete: list[Outcome]) -> None:
    from rich.console import Console
    from rich.table import Table

    if not complete:
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    # Where the terminal is narrow names are folded; numbers never are.
    for heading in ("task", "what", "recipe"):
        table.add_column(heading, overflow="fold")
    table.add_column("seed", justify="right", no_wrap=True)
    table.add_column("metric", no_wrap=True)
    table.add_column("test", justify="right", no_wrap=True)
    table.add_column("95 % interval", no_wrap=True)
    table.add_column("seconds", justify="right", no_wrap=True)
    for outcome in complete:
        record = outcome.record
        score = record.score()
        table.add_row(
            record.identity.task.name,
            record.identity.checkpoint.name if record.identity.checkpoint else "baseline",
            outcome.run.procedure,
            str(record.identity.seed),
            record.primary_metric,
            "undefined" if score is None or score.value is None else f"{score.value:.3f}",
            f"{score.low:.3f} – {score.high:.3f}" if score and score.low is not None else "",
            _seconds(outcome),
        )
    Console(width=None if sys.stdout.isatty() else 140, highlight=False).print(table)
    # To a table whose rows are single runs, no mark is needed.
    click.echo(
        "95 % intervals are of these weights: they cover which proteins were tested, not another seed.", err=True
    )
