"""Who does the runs of a plan: this process, or an engine, and what that engine is given."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from hubtools.api.computing import ExecutionOptions
from hubtools.common.errors import UserError
from hubtools.common.files import is_folder
from hubtools.runs.store import DEFAULT_ROOT

if TYPE_CHECKING:
    from hubtools.runs.engines.job_engine import AttachedEngine, DetachedEngine, JobEngine, Submission
    from hubtools.runs.jobs import PlanJob
    from hubtools.runs.kept_plan import KeptPlan
    from hubtools.runs.plan import PlannedRun
    from hubtools.specs.base import Spec

Workers = int | Literal["auto"]


@dataclass(frozen=True)
class Dispatched:
    """An engine that works for as long as this process waits, and what it is given.

    Attributes:
        engine, work: both.
        why: in words, for whoever watches.
    """

    engine: AttachedEngine
    work: Submission
    why: str


def to_workers(
    planned: Sequence[PlannedRun],
    root: Path,
    execution: ExecutionOptions,
    workers: Workers,
    *,
    force: bool = False,
    command: str = "hubtools.run",
) -> Dispatched | None:
    """Several processes of this machine, where several are wanted and there is something to divide; None where one does it.

    Args:
        planned: the runs.
        root: folder of runs.
        execution: where and how to compute.
        workers: how many, or as many as suit the machine.
        force, command: as of the command, the latter for the plan that is kept.

    Raises:
        UserError: the plan cannot be kept.
    """
    from hubtools.data.sources.file_cache import DataCache
    from hubtools.runs.engines.capacity import capacity
    from hubtools.runs.engines.workers import with_seats
    from hubtools.runs.jobs import PlanJob, Sizes, jobs
    from hubtools.training.compute.machine import COMPANY

    if isinstance(workers, int) and workers < 1:
        raise UserError(f"{workers} workers do nothing", where="workers", fix="Give 1 or more, or auto.")
    if workers == 1 or len(planned) < 2:
        return None
    if callable(execution.track):
        if workers == "auto":
            return None
        raise UserError(
            "a function is not told of runs of other processes",
            where="track",
            fix="Name a tracker, or leave out workers.",
        )
    done = set[int]() if force else _done(planned, root)
    left = [number for number in range(len(planned)) if number not in done]
    if len(left) < 2:
        return None
    asked = [planned[number] for number in left]
    sizes = Sizes(DataCache.default(execution.mirrors))
    budget = execution.token_budget if isinstance(execution.token_budget, int) else None
    found = capacity(
        asked,
        len(asked),
        asked=workers if isinstance(workers, int) else None,
        device=execution.device,
        threads=execution.threads,
        tokens=budget,
        sizes=sizes,
    )
    divided = _numbered(jobs(asked, workers=len(found.seats), sizes=sizes), left)
    number = min(len(found.seats), len(divided))
    if number < 2:
        return None
    if done:
        # To be found done, at the end.
        divided.append(PlanJob(None, tuple(sorted(done)), 0.0))
    seats = [{**seat, COMPANY: str(number)} for seat in found.seats[:number]]
    own = replace(execution, threads=found.threads)
    work = submission(planned, root, own, divided, "workers", force=force, command=command)
    each = f", {found.threads} thread{'s'[: found.threads > 1]} each" if found.threads else ""
    return Dispatched(with_seats(seats), work, f"{number} workers{each} ({found.why})")


def submission(
    planned: Sequence[PlannedRun],
    root: Path,
    execution: ExecutionOptions,
    divided: Sequence[PlanJob],
    engine: str,
    *,
    force: bool = False,
    command: str,
    options: Spec | None = None,
) -> Submission:
    """Keep a plan beside the runs, and say what an engine needs to do its jobs.

    Args:
        planned, root, execution, force, command: as for :func:`to_workers`.
        divided: the jobs that are to be done.
        engine, options: its name, and what its profile says.

    Raises:
        UserError: the plan cannot be kept.
    """
    from hubtools.runs.engines.job_engine import NoOptions, Submission
    from hubtools.runs.kept_plan import keep_plan, plan_of

    options = options or NoOptions()
    kept = plan_of(planned, command, engine=engine, options=options.model_dump(mode="json", exclude_defaults=True))
    if engine == "workers" and (before := _kept(root, kept.id)) is not None and before.jobs:
        kept = before  # Of jobs that an engine has it is known by that which.
    kept = keep_plan(root, kept)
    # Not from the current folder, which may be somebody else's.
    start = [sys.executable, "-P", "-m", "hubtools.cli.main", "run-job", "--runs", str(root)]
    own = ["--force"] if force else []
    return Submission(
        plan=kept.id,
        root=root,
        directory=Path.cwd(),
        jobs=[job.numbers for job in divided],
        command=[*start, *own, "--since", datetime.now(UTC).isoformat(), *execution.arguments()],
        options=options,
        gpu=None if execution.device == "auto" else execution.device == "cuda",
        frozen=[
            all(planned[number].recipe.adaptation not in {"full", "adapter"} for number in job.numbers)
            for job in divided
        ],
    )


def _kept(root: Path, plan_id: str) -> KeptPlan | None:
    """A plan that was kept, if it was."""
    from hubtools.runs.kept_plan import read_plan

    try:
        return read_plan(root, plan_id)
    except UserError:
        return None


@dataclass(frozen=True)
class HandedOver:
    """What an engine was given that goes on by itself.

    Attributes:
        engine: its name.
        plan: id of the plan, beside the runs.
        jobs: names of the new jobs, with the numbers of their runs in the plan.
        done, under_way: runs for which there was nothing to do, and those that wait or run in jobs of before.
    """

    engine: str
    plan: str
    jobs: dict[str, tuple[int, ...]]
    done: int
    under_way: int

    def __str__(self) -> str:
        runs = sum(len(numbers) for numbers in self.jobs.values())
        names = list(self.jobs)
        named = f" ({' to '.join(dict.fromkeys([names[0], names[-1]]))})" if names else ""
        given = f"{_many(runs, 'run')} in {_many(len(self.jobs), 'job')} handed to {self.engine}{named}"
        rest = [f"{self.done} done before"] * bool(self.done) + [f"{self.under_way} waiting or running"] * bool(
            self.under_way
        )
        return ", ".join([given if runs else "nothing to hand over", *rest])


def _many(number: int, what: str) -> str:
    return f"{number} {what}{'s'[: number != 1]}"


def hand_over(
    planned: Sequence[PlannedRun],
    root: Path,
    execution: ExecutionOptions,
    engine: str,
    *,
    profile: str | None = None,
    force: bool = False,
    command: str = "hubtools.submit",
) -> HandedOver | Dispatched:
    """Give an engine what is left of a plan: neither what is done, nor what it has already.

    Args:
        planned, root, execution, force, command: as for :func:`to_workers`.
        engine: name of an engine.
        profile: name or file of a profile; by default that of the engine's name, where there is one.

    Returns:
        What was handed over; of an engine whose jobs end with this process, what is to be waited for.

    Raises:
        UserError: there is no such engine or profile, or it takes no jobs.
    """
    from hubtools.data.sources.file_cache import DataCache
    from hubtools.runs.engines.job_engine import AttachedEngine, DetachedEngine
    from hubtools.runs.engines.known_engines import ENGINES
    from hubtools.runs.jobs import Sizes, jobs
    from hubtools.runs.kept_plan import keep_plan, read_plan

    to = ENGINES[engine]
    options = _options_of(to, profile)
    done = set() if force else _done(planned, root)
    taken = _taken(planned, root, to) if isinstance(to, DetachedEngine) else set[int]()
    left = [number for number in range(len(planned)) if number not in done | taken]
    most = getattr(options, "jobs", None) or getattr(options, "parallel", None) or 1
    cut = jobs([planned[number] for number in left], workers=most, sizes=Sizes(DataCache.default(execution.mirrors)))
    divided = _numbered(cut, left)
    # What a job was given is its own: whoever else is on its node does not count. Ray also gives parts of a core.
    cores = getattr(options, "cpus", None)
    own = replace(execution, threads=execution.threads or (max(1, int(cores)) if cores else None))
    work = submission(planned, root, own, divided, engine, force=force, command=command, options=options)
    if isinstance(to, AttachedEngine):
        return Dispatched(to, work, f"{_many(len(divided), 'job')} for {engine}")
    if not isinstance(to, DetachedEngine):
        raise UserError(
            f"the engine {engine} takes no jobs", fix="Is the package that brings it of this version of bench?"
        )
    given = to.submit(work) if divided else {}
    if given:
        keep_plan(root, read_plan(root, work.plan).with_jobs(given))
    return HandedOver(engine, work.plan, given, len(done), len(taken - done))


def _numbered(cut: Sequence[PlanJob], numbers: Sequence[int]) -> list[PlanJob]:
    """Jobs of some runs of a plan, by their numbers there."""
    return [replace(job, numbers=tuple(numbers[place] for place in job.numbers)) for job in cut]


def _options_of(engine: JobEngine, profile: str | None) -> Spec:
    """What a profile says of an engine."""
    from hubtools.specs.lookup.content import available, find
    from hubtools.specs.lookup.spec_files import profile_in

    if profile is None and engine.name not in available("profile"):
        return engine.checked({}, engine.name)
    path = find("profile", profile or engine.name)
    found = profile_in(path)
    if found.engine != engine.name:
        raise UserError(
            f"it is a profile of {found.engine}, not of {engine.name}", where=str(path), fix=f"--on {found.engine}"
        )
    return engine.checked(found.options, str(path))


def _done(planned: Sequence[PlannedRun], root: Path) -> set[int]:
    """Numbers of the runs that have a result."""
    from hubtools.runs.many.run_states import FolderReader

    if not is_folder(root):
        return set()
    states = FolderReader(root).of(planned)
    # Each run once: of one that is asked for twice it is not known which is meant.
    return (
        {number for number, one in enumerate(states) if one.state == "done"} if len(states) == len(planned) else set()
    )


def _taken(planned: Sequence[PlannedRun], root: Path, engine: DetachedEngine) -> set[int]:
    """Numbers of the runs that jobs of the engine have which wait or run, by whatever plan of this folder."""
    from hubtools.runs.kept_plan import read_plans

    plans = [plan for plan in read_plans(root)[0] if plan.engine == engine.name and plan.jobs]
    states = engine.states([job for plan in plans for job in plan.jobs])
    live = [
        (plan, [n for job, numbers in plan.jobs.items() if states.get(job) != "ended" for n in numbers])
        for plan in plans
    ]
    keys = {_key(runs[number]) for plan, numbers in live if numbers for runs in [plan.planned()] for number in numbers}
    return {number for number, run in enumerate(planned) if keys and _key(run) in keys}


def _key(run: PlannedRun) -> tuple[object, ...]:
    tuning = run.tuning.model_dump_json() if run.tuning else None
    return run.checkpoint, run.task.hash, run.recipe.hash, run.seed, run.subset, run.fraction, tuning


def cancel(runs: str | os.PathLike[str] = DEFAULT_ROOT) -> dict[str, int]:
    """Stop the jobs of a folder of runs that wait or run in a cluster's queue. What is done stays.

    Args:
        runs: folder of runs.

    Returns:
        Name of an engine -> number of jobs that were stopped.

    Raises:
        UserError: an engine is not known here, or cannot be asked.
    """
    from hubtools.runs.engines.job_engine import DetachedEngine
    from hubtools.runs.engines.known_engines import ENGINES
    from hubtools.runs.kept_plan import read_plans

    stopped: dict[str, int] = {}
    for plan in read_plans(Path(runs))[0]:
        if plan.jobs and isinstance(engine := ENGINES[plan.engine], DetachedEngine):
            live = [job for job, state in engine.states(list(plan.jobs)).items() if state != "ended"]
            engine.cancel(live)
            stopped[plan.engine] = stopped.get(plan.engine, 0) + len(live)
    return stopped
