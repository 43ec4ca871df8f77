"""``bench run-job``: what an engine starts: one job of what is kept, or one after the other as they are given. No help lists it."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hubtools.api.computing import ExecutionOptions
from hubtools.cli.run import say, stoppable
from hubtools.cli.shared.commands import StrictCommand
from hubtools.cli.shared.execution_options import execution_options
from hubtools.cli.shared.terminal import RUNS, hush_transformers
from hubtools.common.errors import UserError
from hubtools.common.readers import reads

if TYPE_CHECKING:
    from hubtools.api.engines.engine_job import Conversation, JobRunner
    from hubtools.api.engines.fold_jobs import FoldRunner
    from hubtools.inference.folding.kept_folds import KeptFolds
    from hubtools.runs.engines.job_events import JobEvent
    from hubtools.runs.session import Session


@reads("option --since")
def parse_moment(context: click.Context, parameter: click.Parameter, value: str | None) -> datetime | None:
    """A moment as ISO 8601 writes it, with its zone."""
    if value is None:
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise UserError(f"{value!r} is no moment with its zone", where="--since", fix="2026-11-29T18:00:00+00:00")
    return moment


@click.command("run-job", cls=StrictCommand, hidden=True)
@click.argument("plan_id", metavar="PLAN")
@click.argument("numbers", required=False)
@RUNS
@execution_options()
@click.option("--force", is_flag=True, help="Run again what is already done.")
@click.option("--since", callback=parse_moment, metavar="TIME", help="What was done since then is not done again.")
@click.option("--talk", type=click.IntRange(min=3), metavar="FD", help="Socket over which jobs come and events go.")
def run_job(
    *,
    plan_id: str,
    numbers: str | None,
    root: Path,
    execution: ExecutionOptions,
    force: bool,
    since: datetime | None,
    talk: int | None,
) -> None:
    """Do part of what is kept in a folder, runs of a plan or proteins to fold: NUMBERS, counted from 0 (0-3,7), or each job that comes."""
    from hubtools.api.engines.engine_job import Conversation, numbers_of
    from hubtools.runs.engines.job_events import JobEvent
    from hubtools.training.compute import distributed

    if (numbers is None) == (talk is None):
        raise UserError("a job has its numbers, or they come over --talk", where="bench run-job")
    given = Conversation(talk) if talk is not None else None
    with refusals_told(given):
        hush_transformers()
        runner, parts, session = _runner(root, plan_id, execution, given, force, since)
    fine = True
    with stoppable(), distributed.joined(session.execution.device), refusals_told(given):
        if given is None:
            fine = runner.do(numbers_of(numbers or "", parts))
        while given is not None and (job := given.next_job()) is not None:
            fine = runner.do(numbers_of(job, parts)) and fine
            given.tell(JobEvent("done"))
    if not fine:
        sys.exit(1)


@contextlib.contextmanager
def refusals_told(given: Conversation | None) -> Iterator[None]:
    """Tell whoever gives jobs why none can be done."""
    from hubtools.runs.engines.job_events import JobEvent, Mistake

    try:
        yield
    except UserError as error:
        if given is not None:
            given.tell(JobEvent("refused", mistake=Mistake.of(error)))
        raise


def _runner(
    root: Path,
    plan_id: str,
    execution: ExecutionOptions,
    given: Conversation | None,
    force: bool,
    since: datetime | None,
) -> tuple[JobRunner | FoldRunner, int, Session]:
    """Who does jobs of what is kept by this id, of how many parts, and where.

    Raises:
        UserError: nothing is kept by it, or the device cannot be used.
    """
    from hubtools.api.engines.engine_job import JobRunner, talk_of
    from hubtools.inference.folding.kept_folds import has_folds, read_folds
    from hubtools.runs.costs import energy
    from hubtools.runs.kept_plan import read_plan

    if has_folds(root, plan_id):
        from hubtools.api.engines.fold_jobs import FoldRunner

        kept = read_folds(root, plan_id)
        session = execution.session(root)
        tell = given.tell if given else lambda event: _say_of_protein(kept, event)
        return FoldRunner(kept, root, session, execution, tell, alone=given is None), len(kept.proteins), session
    planned = read_plan(root, plan_id).planned()
    energy.look_ahead()
    session = execution.session(root)
    tell = given.tell if given else talk_of(planned, say)
    return JobRunner(planned, session, tell, force, since), len(planned), session


def _say_of_protein(kept: KeptFolds, event: JobEvent) -> None:
    """For a log that a person reads."""
    why = event.mistake.error() if event.mistake else None
    what = {"begins": "folding", "ended": "its structure is there"}.get(event.kind, why or event.kind)
    click.echo(f"{kept.proteins[event.number].id}: {what}", err=True)
