"""``bench run``: plan, run after run, a table at the end."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from hubtools.api.computing import ExecutionOptions
from hubtools.api.engines.dispatch import Dispatched, EngineChoice, hand_over, to_workers
from hubtools.api.engines.planned_runs import PlannedRuns
from hubtools.cli import run_report
from hubtools.cli.shared.commands import StrictCommand
from hubtools.cli.shared.engine_options import engine_options
from hubtools.cli.shared.execution_options import execution_options
from hubtools.cli.shared.terminal import RUNS, TEMPLATES, hush_transformers
from hubtools.common.bounds import MOST_SEEDS, at_most, yaml_values
from hubtools.common.errors import UserError
from hubtools.common.readers import reads
from hubtools.specs.recipe import CHEAP_BASELINES

if TYPE_CHECKING:
    from hubtools.api.plans import RunPlan
    from hubtools.api.running import FinishedRuns, RunEvent
    from hubtools.runs.session import Session


@reads("option --seeds")
def parse_seeds(context: click.Context, parameter: click.Parameter, value: tuple[str, ...]) -> list[int]:
    """Seeds given as ``--seed 1 --seed 2`` or ``--seeds 1,2,3`` or ``1-5``."""
    seeds: list[int] = []
    for part in filter(None, (part.strip() for part in ",".join(value).split(","))):
        # numpy takes no larger seed.
        match = re.fullmatch(r"([0-9]{1,9})(?:-([0-9]{1,9}))?", part)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if last < first:
            raise UserError(
                f"{part!r} is not a seed", where="--seeds", fix="Give numbers: --seeds 1,2,3 or --seeds 1-5."
            )
        at_most(len(seeds) + last - first + 1, MOST_SEEDS, "seeds", "--seeds")
        seeds += range(first, last + 1)
    return list(dict.fromkeys(seeds))


@reads("option --fractions")
def parse_fractions(context: click.Context, parameter: click.Parameter, value: tuple[str, ...]) -> list[float]:
    """Shares of the training data, given as ``--fraction 0.1 --fraction 1`` or ``--fractions 0.01,0.1,1``."""
    fractions = []
    for part in filter(None, (part.strip() for part in ",".join(value).split(","))):
        try:
            fraction = float(part)
        except ValueError:
            fraction = 0.0
        if not 0 < fraction <= 1:
            raise UserError(
                f"{part!r} is not a share of the training data",
                where="--fraction",
                fix="Give numbers above 0 and at most 1: --fraction 0.1 or --fractions 0.01,0.1,1.",
            )
        fractions.append(fraction)
    return list(dict.fromkeys(fractions))


@reads("option --set")
def parse_settings(context: click.Context, parameter: click.Parameter, value: tuple[str, ...]) -> dict[str, Any]:
    """``--set key=value``, the value read as YAML would (numbers, true, null)."""
    import yaml

    settings = {}
    for text in value:
        key, equals, raw = text.partition("=")
        if not equals or not key.strip():
            raise UserError(f"{text!r} is not key=value", where="--set", fix="For example --set learning_rate=1e-4.")
        try:
            parsed = yaml_values(raw)
        except yaml.YAMLError:
            raise UserError(
                f"cannot read the value of {text!r}", where="--set", fix="For example --set learning_rate=1e-4."
            ) from None
        # YAML 1.1 reads 1e-4 as text; people mean the number.
        if isinstance(parsed, str):
            with contextlib.suppress(ValueError):
                parsed = float(parsed)
        if key.strip() in settings:
            raise UserError(f"{key.strip()} is set twice", where="--set", fix="Say it once.")
        settings[key.strip()] = parsed
    return settings


# What is asked for: the runs, and the folder that they go to.
_PLAN = (
    click.option(
        "--checkpoint",
        "checkpoints",
        multiple=True,
        metavar="NAME",
        help="Hub id (also id@revision) or folder; repeatable.",
    ),
    click.option(
        "--task",
        "tasks",
        multiple=True,
        metavar="NAME",
        help="Task name, file, folder or hub://user/repo[@revision][/name]; repeatable. Default: the suite's.",
    ),
    click.option("--suite", metavar="NAME", help="Suite name or file. Default without --task: core."),
    click.option(
        "--recipe",
        "recipes",
        multiple=True,
        metavar="NAME",
        help="How to adapt and train: name or file; repeatable. Default: the suite's, else full.",
    ),
    click.option(
        "--seed", "--seeds", "seeds", multiple=True, callback=parse_seeds, metavar="N", help="One seed, 1,2,3 or 1-5."
    ),
    click.option(
        "--set", "settings", multiple=True, callback=parse_settings, metavar="KEY=VALUE", help="Replace a recipe field."
    ),
    click.option(
        "--baselines/--no-baselines",
        default=None,
        help="Trivial baselines beside. Default: those of the suite; without one, beside a checkpoint, those that take seconds.",
    ),
    click.option(
        "--subset",
        type=click.IntRange(min=10),
        metavar="N",
        help="At most N proteins (or pairs) of each split (kept apart on boards).",
    ),
    click.option(
        "--fraction",
        "--fractions",
        "fractions",
        multiple=True,
        callback=parse_fractions,
        metavar="SHARE",
        help="Learn from this share of the training data, 0.1 or 0.01,0.1,1 (kept apart on boards).",
    ),
    RUNS,
)
FORCE = click.option("--force", is_flag=True, help="Run again what is already done.")


def plan_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options that :func:`planned_by` reads, and the folder of runs."""
    for option in reversed(_PLAN):
        command = option(command)
    return command


@click.command(cls=StrictCommand)
@plan_options
@execution_options()
@FORCE
@engine_options("runs", "auto, of more than one run")
@click.option("--dry-run", is_flag=True, help="Show the plan and stop.")
@TEMPLATES
def run(
    *,
    root: Path,
    execution: ExecutionOptions,
    force: bool,
    by: EngineChoice,
    dry_run: bool,
    **options: Any,
) -> None:
    """Fine-tune and evaluate checkpoints on tasks; record and score each run, and write the card of a single one.

    The same command twice does nothing new; an interrupted one goes on where it stopped. Started several times at once, on one
    --runs, the processes divide the runs, and each ends when all are done.

    \b
    bench run --checkpoint Rostlab/prot_bert
    bench run --checkpoint Rostlab/prot_bert --task localisation
    bench run --checkpoint ./my-esm --task secondary-structure --recipe probe --seed 1
    torchrun --nproc-per-node 4 "$(which bench)" run --checkpoint ./my-esm --task localisation
    """
    planned = planned_by(options)
    # Of several processes, started by torchrun, one speaks.
    main = os.environ.get("RANK", "0") == "0"
    if main:
        run_report.show_plan(planned.runs, root)
    if dry_run:
        if main:
            click.echo("nothing was run (--dry-run)", err=True)
        return
    from hubtools.api.running import check_writable, single
    from hubtools.runs.costs import energy
    from hubtools.training.compute import distributed

    check_writable(root)
    asked = PlannedRuns(planned.runs, root, execution, force, _typed())
    # Baselines beside one run take seconds: less than another process takes to start.
    workers = by.workers or (1 if distributed.started() or single(planned.runs) else "auto")
    given = hand_over(asked, by.engine, by.profile) if by.engine is not None else to_workers(asked, workers)
    if isinstance(given, Dispatched):
        click.echo(given.why, err=True)
        with stoppable():
            _run_by(given, planned)
        return
    if given is not None:
        run_report.handed_over(given, root)
        return
    if main and len(planned) > 1:
        from hubtools.runs.kept_plan import keep_plan, plan_of

        keep_plan(root, plan_of(planned.runs, _typed()))
    energy.look_ahead()
    session = execution.session(root, planned)
    hush_transformers()
    with stoppable(), distributed.joined(session.execution.device):
        if distributed.is_main():
            _run_all(planned, session, force)
        else:
            _help_all(planned, session, force)


def _typed() -> str:
    """The command line, as the plan keeps it."""
    return shlex.join(["bench", *sys.argv[1:]])


def planned_by(options: Mapping[str, Any]) -> RunPlan:
    """The runs that the options of ``bench run`` ask for, by their names there."""
    from hubtools.api.plans import plan

    return plan(
        options["checkpoints"],
        options["tasks"],
        options["recipes"],
        suite=options["suite"],
        seeds=options["seeds"],
        set=options["settings"],
        baselines=_baselines(options),
        subset=options["subset"],
        fractions=options["fractions"],
    )


def _baselines(options: Mapping[str, Any]) -> bool | Sequence[str] | None:
    """What is asked for, or else that each number has something beside that it must beat, where somebody asks for a number.

    ``BENCH_BASELINES=0`` is ``--no-baselines`` where there is no suite: for scripts that mean single runs.
    """
    if options["baselines"] is not None or options["suite"] or not options["tasks"]:
        return cast("bool | None", options["baselines"])
    return () if os.environ.get("BENCH_BASELINES") == "0" else CHEAP_BASELINES


class Terminated(KeyboardInterrupt):
    """SIGTERM, which a cluster sends before it kills: the run ends as with Ctrl-C, and can go on elsewhere."""


@contextlib.contextmanager
def stoppable() -> Iterator[None]:
    """End with one line and the shell's exit code for the signal; records are written on the way out."""
    from hubtools.training.compute import distributed

    def stop(number: int, frame: Any) -> None:
        # A second one must not disturb the writing of the record; torchrun sends SIGTERM after Ctrl-C.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if distributed.started():
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        raise Terminated if number == signal.SIGTERM else KeyboardInterrupt

    handled = [signal.SIGTERM, signal.SIGINT] if distributed.started() else [signal.SIGTERM]
    # Processes beside the main one have nothing to write, and end at once.
    before = {number: signal.signal(number, stop if distributed.is_main() else signal.SIG_DFL) for number in handled}
    try:
        yield
    except KeyboardInterrupt as stopped:
        click.echo("\nstopped; what is done is kept. The same command goes on.", err=True)
        distributed.leave(143 if isinstance(stopped, Terminated) else 130)
    except distributed.ProcessLost as lost:
        if distributed.is_main():
            click.echo(f"error: {lost}", err=True)
        distributed.leave(1)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _help_all(planned: RunPlan, session: Session, force: bool) -> None:
    """What the processes beside the main one do: the same runs, in silence."""
    from hubtools.api.running import Told, unseen
    from hubtools.runs.many.turns import in_turn
    from hubtools.training.compute.distributed import ProcessLost

    try:
        for _, outcome in in_turn(planned, session, Told(planned, unseen), force=force):
            if isinstance(outcome, UserError):
                raise outcome
    except ProcessLost:
        raise
    except Exception as error:
        # Outside of what a record tells; the main process will only see that this one is gone.
        raise ProcessLost(str(error)) from error


def _run_all(planned: RunPlan, session: Session, force: bool) -> None:
    from hubtools.api.running import perform

    _end(perform(planned.runs, session, force=force, on_event=say), session.root)


def _run_by(to: Dispatched, planned: RunPlan) -> None:
    """The same by an engine."""
    from hubtools.api.running import perform_by

    _end(perform_by(to.engine, to.work, planned.runs, on_event=say), to.work.root)


def _end(done: FinishedRuns, root: Path) -> None:
    run_report.summary(done, root)
    if done.problems:
        sys.exit(1)


def say(event: RunEvent) -> None:
    """A line when a run begins, and one when it has ended."""
    click.echo(str(event) if event.begins else f"    {event}", err=True)
