"""``bench run-job``: what an engine starts: one job of a kept plan, or one after the other as they are given. No help lists it."""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path

import click

from hubtools.api.computing import ExecutionOptions
from hubtools.cli.run import say, stoppable
from hubtools.cli.shared.commands import StrictCommand
from hubtools.cli.shared.execution_options import execution_options
from hubtools.cli.shared.terminal import RUNS, hush_transformers
from hubtools.common.errors import UserError
from hubtools.common.readers import reads


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
    """Do runs of a plan that is kept in a folder of runs: those of NUMBERS, counted from 0 (0-3,7), or those of each job that comes."""
    from hubtools.api.engines.engine_job import Conversation, JobRunner, numbers_of, talk_of
    from hubtools.runs.costs import energy
    from hubtools.runs.engines.job_events import JobEvent, Mistake
    from hubtools.runs.kept_plan import read_plan
    from hubtools.training.compute import distributed

    if (numbers is None) == (talk is None):
        raise UserError("a job has its numbers, or they come over --talk", where="bench run-job")
    given = Conversation(talk) if talk is not None else None
    try:
        planned = read_plan(root, plan_id).planned()
        energy.look_ahead()
        session = execution.session(root)
        hush_transformers()
    except UserError as error:
        if given is not None:
            given.tell(JobEvent("refused", mistake=Mistake.of(error)))
        raise
    runner = JobRunner(planned, session, given.tell if given else talk_of(planned, say), force, since)
    fine = True
    with stoppable(), distributed.joined(session.execution.device):
        if given is None:
            fine = runner.do(numbers_of(numbers or "", len(planned)))
        while given is not None and (job := given.next_job()) is not None:
            fine = runner.do(numbers_of(job, len(planned))) and fine
            given.tell(JobEvent("done"))
    if not fine:
        sys.exit(1)
