"""``bench sweep``: choose recipe fields on validation, then run the best as any other run."""

from __future__ import annotations

import math
import re
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hubtools.api.computing import ExecutionOptions
from hubtools.cli.run import parse_seeds, parse_settings, stoppable
from hubtools.cli.shared.commands import StrictCommand
from hubtools.cli.shared.execution_options import execution_options
from hubtools.cli.shared.terminal import RUNS, hush_transformers, note
from hubtools.common.errors import UserError
from hubtools.common.readers import reads
from hubtools.runs.store import DEFAULT_ROOT

if TYPE_CHECKING:
    from hubtools.api.running import RunEvent
    from hubtools.runs.session import Session
    from hubtools.runs.sweeps.trials import Sweep, Trial

SHOWN = 5
_UNITS = {"h": 3600, "m": 60, "min": 60, "s": 1}


@reads("option --budget")
def parse_budget(context: click.Context, parameter: click.Parameter, value: str | None) -> float | None:
    """A time such as ``2h``, ``30m`` or ``1h30m``, in seconds."""
    if value is None:
        return None
    text = value.replace(" ", "").lower()
    parts = re.findall(r"([0-9]+(?:\.[0-9]+)?)(h|min|m|s)", text)
    seconds = sum(float(number) * _UNITS[unit] for number, unit in parts)
    if "".join(number + unit for number, unit in parts) != text or not 0 < seconds < math.inf:
        raise UserError(f"{value!r} is not a time", where="--budget", fix="For example --budget 2h, 30m or 1h30m.")
    return seconds


@click.command(cls=StrictCommand)
@click.option("--checkpoint", metavar="NAME", help="Hub id (also id@revision) or folder.")
@click.option(
    "--task", "task_name", required=True, metavar="NAME", help="Task name, file, folder or hub://user/repo[/name]."
)
@click.option(
    "--recipe",
    "recipe_name",
    default="probe",
    show_default=True,
    metavar="NAME",
    help="The recipe whose fields are varied.",
)
@click.option(
    "--over",
    multiple=True,
    metavar="FIELD=VALUES",
    help="learning_rate=1e-4..1e-2, epochs=5..20 or head.hidden=null,64,256; repeatable.",
)
@click.option("--trials", type=click.IntRange(min=1), default=20, show_default=True, help="At most so many trials.")
@click.option("--budget", callback=parse_budget, metavar="TIME", help="Time that all trials may take: 2h, 30m.")
@click.option(
    "--seed",
    "--seeds",
    "seeds",
    multiple=True,
    callback=parse_seeds,
    metavar="N",
    help="Trials and search use the first; the best is run with each. Default: 1.",
)
@click.option(
    "--set", "settings", multiple=True, callback=parse_settings, metavar="KEY=VALUE", help="Replace a recipe field."
)
@click.option("--subset", type=click.IntRange(min=10), metavar="N", help="At most N proteins (or pairs) of each split.")
@RUNS
@execution_options(refused={"shard": "a sweep works in one process, and weights are divided among several"})
@click.option("--dry-run", is_flag=True, help="Check and show what is searched, and stop.")
def sweep(*, seeds: list[int], root: Path, execution: ExecutionOptions, dry_run: bool, **asked: Any) -> None:
    """Search recipe fields for the best validation score, then run the best once, as any other run.

    No trial reads a test split, and none can stand on a board; the best does, and says of how many trials it was
    chosen. The same command twice does nothing new; an interrupted one, or one with more trials, goes on.

    \b
    bench sweep --checkpoint facebook/esm2_t6_8M_UR50D --task localisation \\
        --over learning_rate=1e-4..1e-2 --over head.hidden=null,64,256 --over epochs=20..100
    """
    from hubtools.api.running import check_writable
    from hubtools.api.sweeping import plan_sweep

    planned = plan_sweep(seeds=seeds or [1], **asked)
    until = f"{planned.trials} trials" + ("" if planned.budget is None else f" or {planned.budget:.0f} s")
    click.echo(f"up to {until} of {planned.base.title}:", err=True)
    for dimension in planned.space:
        click.echo(f"  {dimension.field} in {dimension}", err=True)
    if dry_run:
        click.echo("nothing was run (--dry-run)", err=True)
        return
    check_writable(root)

    from hubtools.training.compute.distributed import refuse_company

    refuse_company("bench sweep")
    session = execution.session(root)
    hush_transformers()
    with stoppable():
        _go(planned, session, seeds or [1])


def _go(planned: Sweep, session: Session, seeds: list[int]) -> None:
    from tqdm import tqdm

    from hubtools.api.sweeping import run_sweep
    from hubtools.common.telling import bar
    from hubtools.runs.sweeps.trials import TRIALS, kept_trials

    folder = planned.folder(session)
    known = kept_trials(folder)
    progress = bar("trials", planned.trials, unit="trial")
    progress.update(min(len(known), planned.trials))

    def tell(trial: Trial) -> None:
        # With those that another process did.
        known = kept_trials(folder)
        best = planned.best(known)
        mark = "  best so far" if best is not None and best.number == trial.number else ""
        tqdm.write(f"[{trial.number}/{planned.trials}] {_words(trial)}{mark}", file=sys.stderr)
        progress.update(len(known) - progress.n)

    def tell_best(trials: list[Trial], ended: str) -> None:
        progress.close()
        _print_best(planned, trials)
        click.echo(f"ended: {ended}", err=True)
        click.echo("\nthe best, now as a run of its own; its test split is scored once:", err=True)

    try:
        done = run_sweep(
            planned, session, seeds, on_trial=tell, on_searched=tell_best, on_event=_tell_run, on_note=note
        )
    finally:
        progress.close()
    for path in (done.folder / TRIALS, done.figure):
        click.echo(f"wrote  {path}", err=True)
    runs = "" if session.root == DEFAULT_ROOT else f" --runs {shlex.quote(str(session.root))}"
    click.echo(f"board  bench board{runs}", err=True)
    for problem in done.problems:
        click.echo(f"failed: {problem}", err=True)
    if done.problems:
        sys.exit(1)


def _tell_run(event: RunEvent) -> None:
    click.echo(f"    {event}", err=True)
    if event.outcome is not None and event.outcome.record.status == "complete":
        click.echo(f"run    {event.outcome.folder}", err=True)
        click.echo(f"again  {event.outcome.record.command}", err=True)


def _words(trial: Trial) -> str:
    import json

    values = " ".join(f"{key}={json.dumps(value)}" for key, value in trial.values.items())
    outcome = f"failed: {trial.reason}" if trial.score is None else f"validation {trial.score:.4f}"
    return f"{values}  {outcome}  {trial.seconds:.0f} s"


def _print_best(planned: Sweep, trials: list[Trial]) -> None:
    """The best trials, and which field mattered."""
    from hubtools.cli.shared.terminal import new_console, new_table
    from hubtools.runs.sweeps.trials import importance

    complete = sorted((t for t in trials if t.score is not None), key=lambda t: -planned.direction * (t.score or 0))
    table = new_table("trial", *(d.field for d in planned.space), "validation", "epochs run", "seconds", numbers_from=1)
    for trial in complete[:SHOWN]:
        cells = ["null" if (v := trial.values[d.field]) is None else str(v) for d in planned.space]
        table.add_row(str(trial.number), *cells, f"{trial.score:.4f}", str(trial.epochs), f"{trial.seconds:.0f}")
    console = new_console()
    console.print(table)
    failed = len(trials) - len(complete)
    click.echo(f"{len(trials)} trials, {failed} failed; ranked by {planned.base.task.metrics.primary} on validation")
    if shares := importance(planned, trials):
        said = ", ".join(f"{field} {share:.0%}" for field, share in shares.items())
        click.echo(f"of the scores' variance each field explains (fANOVA): {said}")
