"""What ``bench run`` says at the end: the table of results, and where to go on."""

from __future__ import annotations

import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hubtools.api.running import seconds_of
from hubtools.cli.shared.terminal import new_table, print_fitting, publish_rehearsal
from hubtools.findings.glossary import metric_means
from hubtools.findings.wording import metric_title
from hubtools.runs.store import CARD, DEFAULT_ROOT

if TYPE_CHECKING:
    from hubtools.api.engines.dispatch import HandedOver
    from hubtools.api.running import FinishedRuns
    from hubtools.runs.engines.outcomes import Outcome
    from hubtools.runs.plan import PlannedRun


def show_plan(planned: Sequence[PlannedRun], root: Path) -> None:
    """What is about to be done, on stderr: a line a run, or of very many a matrix, with what is done already and what the rest takes."""
    click.echo(f"{len(planned):,} run{'s' if len(planned) != 1 else ''} planned:", err=True)
    if len(planned) <= _LINES:
        for item in planned:
            click.echo(f"  {item.title}", err=True)
        return
    from hubtools.api.stored.run_status import plan_matrix

    width = shutil.get_terminal_size((80, 24)).columns
    for line in plan_matrix(planned, root, width):
        click.echo(line, err=True)


# Of more runs a matrix is shown.
_LINES = 20


def summary(done: FinishedRuns, root: Path) -> None:
    """The table of results on stdout; how it went, what failed and where to go on, on stderr."""
    complete, planned = done.complete, done.planned
    _print_table(complete)
    counts = f"{len(complete)} of {planned} runs" if len(complete) < planned else f"{planned} run{'s'[: planned > 1]}"
    before = f", {done.done_before} done before" if done.done_before else ""
    before += f", {done.done_elsewhere} done elsewhere" if done.done_elsewhere else ""
    click.echo(f"\n{counts} in {done.seconds:.0f} s{before}: {root}/", err=True)
    for line in _sentences(complete):
        click.echo(line, err=True)
    for name in sorted({outcome.record.primary_metric for outcome in complete})[:3]:
        if means := metric_means(name):
            click.echo(f"{metric_title(name)}: {means}", err=True)
    runs = "" if root == DEFAULT_ROOT else f" --runs {shlex.quote(str(root))}"
    if any(outcome.run.fraction is not None for outcome in complete):
        click.echo(f"curve    bench curve{runs}", err=True)
    if models := [outcome for outcome in complete if outcome.run.recipe.needs_checkpoint]:
        last = models[-1]
        folder = shlex.quote(str(last.folder))
        card = last.folder / CARD / "README.md"
        click.echo(f"card     {card if card.is_file() else f'bench card {folder}'}", err=True)
        click.echo(f"board    bench board{runs}", err=True)
        checkpoint = last.record.identity.checkpoint
        # Of zero-shot scores and of folds there is no model to publish, and none ships with code of its checkpoint's.
        has_model = last.run.task.problem.level.trained and last.run.task.data.folds is None
        if has_model:
            click.echo(f"predict  bench predict {folder} YOUR-PROTEINS.fasta", err=True)
            click.echo(f"demo     bench demo {folder}", err=True)
        if has_model and not (checkpoint and checkpoint.trust_remote_code):
            click.echo(f"publish  {publish_rehearsal(last.folder, last.record)}", err=True)
    for line in done.tried_again:
        click.echo(f"tried twice: {line}", err=True)
    for problem in done.problems:
        click.echo(f"failed: {problem}", err=True)


def _sentences(complete: Sequence[Outcome]) -> list[str]:
    """Whether each model beats the best baseline beside it; of many models the table says it."""
    from hubtools.findings.beaten import against_baselines
    from hubtools.runs.store import OpenRun

    if not 0 < sum(not outcome.run.recipe.baseline for outcome in complete) <= _LINES:
        return []
    return list(map(str, against_baselines([OpenRun(outcome.folder, outcome.record) for outcome in complete])))


def handed_over(given: HandedOver, root: Path) -> None:
    """What an engine was given, and where to look for what becomes of it."""
    click.echo(f"{given}: {root}/", err=True)
    runs = "" if root == DEFAULT_ROOT else f" --runs {shlex.quote(str(root))}"
    click.echo(f"status bench status{runs}", err=True)
    click.echo(f"stop   bench cancel{runs}", err=True)


def _print_table(complete: list[Outcome]) -> None:
    from rich.console import Console
    from rich.text import Text

    if not complete:
        return
    table = new_table("task", "what", "recipe", "seed", "metric", "test", "95 % interval", "seconds")
    # Where the terminal is narrow names are folded; numbers never are.
    for column in table.columns[:3]:
        column.no_wrap, column.overflow = False, "fold"
    for column in table.columns[3:]:
        column.no_wrap = True
    for place in (3, 5, 7):
        table.columns[place].justify = "right"
    for outcome in complete:
        record = outcome.record
        score = record.score()
        table.add_row(
            record.identity.task.name,
            Text(record.identity.checkpoint.name if record.identity.checkpoint else "baseline"),
            outcome.run.procedure,
            str(record.identity.seed),
            record.primary_metric,
            "undefined" if score is None or score.value is None else f"{score.value:.3f}",
            f"{score.low:.3f} – {score.high:.3f}" if score and score.low is not None else "",
            seconds_of(outcome),
            style="dim" if outcome.run.recipe.baseline else "",
        )
    print_fitting(Console(width=None if sys.stdout.isatty() else 140, highlight=False), table, "seconds", "seed")
    # To a table whose rows are single runs, no mark is needed.
    click.echo(
        "95 % intervals are of these weights: they cover which proteins were tested, not another seed.", err=True
    )
