"""Who does what is asked for: this process, or an engine, and what that engine is given."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from hubtools.api.engines.divisible import Divisible
from hubtools.common.errors import UserError
from hubtools.runs.store import DEFAULT_ROOT

if TYPE_CHECKING:
    from hubtools.api.computing import ExecutionOptions
    from hubtools.inference.folding.kept_folds import KeptFolds
    from hubtools.runs.engines.job_engine import AttachedEngine, JobEngine, Submission
    from hubtools.runs.kept_plan import KeptPlan
    from hubtools.specs.base import Spec

Workers = int | Literal["auto"]


@dataclass(frozen=True)
class EngineChoice:
    """Who a user wants something to be done by; nothing where this process does it.

    Attributes:
        workers: processes of this machine, or ``auto`` for as many as suit it.
        engine: name of an engine.
        profile: name or file of what that engine is asked for; by default that of the engine's name, where there is one.
    """

    workers: Workers | None = None
    engine: str | None = None
    profile: str | None = None


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


def to_workers(asked: Divisible, workers: Workers) -> Dispatched | None:
    """Several processes of this machine, where several are wanted and there is something to divide; None where one does it.

    Args:
        asked: what is to be done.
        workers: how many, or as many as suit the machine.

    Raises:
        UserError: what was asked for cannot be kept.
    """
    from hubtools.runs.engines.capacity import capacity
    from hubtools.runs.engines.workers import with_seats
    from hubtools.training.compute.machine import COMPANY

    if isinstance(workers, int) and workers < 1:
        raise UserError(f"{workers} workers do nothing", where="workers", fix="Give 1 or more, or auto.")
    if workers == 1 or len(asked) < 2:
        return None
    execution = asked.execution
    if callable(execution.track):
        if workers == "auto":
            return None
        raise UserError(
            "a function is not told of runs of other processes",
            where="track",
            fix="Name a tracker, or leave out workers.",
        )
    done = asked.done()
    left = [number for number in range(len(asked)) if number not in done]
    if len(left) < 2:
        return None
    found = capacity(
        lambda: asked.needs(left),
        len(left),
        asked=workers if isinstance(workers, int) else None,
        device=execution.device,
        threads=execution.threads,
        all_cores=asked.all_cores,
    )
    divided = asked.cut(left, len(found.seats), True)
    number = min(len(found.seats), len(divided))
    if number < 2:
        return None
    if done and asked.shows_done:
        divided.append(tuple(sorted(done)))
    seats = [{**seat, COMPANY: str(number)} for seat in found.seats[:number]]
    work = submission(asked, replace(execution, threads=found.threads), divided, "workers")
    each = f", {found.threads} thread{'s'[: found.threads > 1]} each" if found.threads else ""
    return Dispatched(with_seats(seats), work, f"{number} workers{each} ({found.why})")


def submission(
    asked: Divisible,
    execution: ExecutionOptions,
    divided: Sequence[tuple[int, ...]],
    engine: str,
    options: Spec | None = None,
) -> Submission:
    """Keep what was asked for beside what comes of it, and say what an engine needs to do its jobs.

    Args:
        asked: what is to be done.
        execution: where and how to compute, as a job is told.
        divided: numbers of the parts of each job.
        engine, options: its name, and what its profile says.

    Raises:
        UserError: what was asked for cannot be kept.
    """
    from hubtools.runs.engines.job_engine import NoOptions, Submission

    options = options or NoOptions()
    kept = asked.keep(engine, options.model_dump(mode="json", exclude_defaults=True))
    # Not from the current folder, which may be somebody else's.
    start = [sys.executable, "-P", "-m", "hubtools.cli.main", "run-job", "--runs", str(asked.root)]
    return Submission(
        plan=kept,
        root=asked.root,
        directory=Path.cwd(),
        jobs=divided,
        command=[*start, *asked.options, *execution.arguments()],
        options=options,
        gpu=None if execution.device == "auto" else execution.device == "cuda",
        frozen=[asked.frozen(numbers) for numbers in divided],
    )


@dataclass(frozen=True)
class HandedOver:
    """What an engine was given that goes on by itself.

    Attributes:
        engine: its name.
        plan: id of what was asked for, which is kept.
        jobs: names of the new jobs, with the numbers of their parts.
        done, under_way: parts for which there was nothing to do, and those that wait or run in jobs of before.
        part: what a part is called.
    """

    engine: str
    plan: str
    jobs: dict[str, tuple[int, ...]]
    done: int
    under_way: int
    part: str = "run"

    def __str__(self) -> str:
        parts = sum(len(numbers) for numbers in self.jobs.values())
        names = list(self.jobs)
        named = f" ({' to '.join(dict.fromkeys([names[0], names[-1]]))})" if names else ""
        given = f"{_many(parts, self.part)} in {_many(len(self.jobs), 'job')} handed to {self.engine}{named}"
        rest = [f"{self.done} done before"] * bool(self.done) + [f"{self.under_way} waiting or running"] * bool(
            self.under_way
        )
        return ", ".join([given if parts else "nothing to hand over", *rest])


def _many(number: int, what: str) -> str:
    return f"{number} {what}{'s'[: number != 1]}"


def hand_over(asked: Divisible, engine: str, profile: str | None = None) -> HandedOver | Dispatched:
    """Give an engine what is left to do: neither what is done, nor what it has already.

    Args:
        asked: what is to be done.
        engine: name of an engine.
        profile: name or file of a profile; by default that of the engine's name, where there is one.

    Returns:
        What was handed over; of an engine whose jobs end with this process, what is to be waited for.

    Raises:
        UserError: there is no such engine or profile, or it takes no jobs.
    """
    from hubtools.runs.engines.job_engine import AttachedEngine, DetachedEngine
    from hubtools.runs.engines.known_engines import ENGINES

    to = ENGINES[engine]
    options = _options_of(to, profile)
    done = asked.done()
    taken = asked.taken(to) if isinstance(to, DetachedEngine) else set[int]()
    left = [number for number in range(len(asked)) if number not in done | taken]
    most = getattr(options, "jobs", None) or getattr(options, "parallel", None) or 1
    divided = asked.cut(left, most, False)
    # What a job was given is its own: whoever else is on its node does not count. Ray also gives parts of a core.
    cores = getattr(options, "cpus", None)
    threads = asked.execution.threads or (max(1, int(cores)) if cores else None)
    work = submission(asked, replace(asked.execution, threads=threads), divided, engine, options)
    if isinstance(to, AttachedEngine):
        return Dispatched(to, work, f"{_many(len(divided), 'job')} for {engine}")
    if not isinstance(to, DetachedEngine):
        raise UserError(
            f"the engine {engine} takes no jobs", fix="Is the package that brings it of this version of bench?"
        )
    given = to.submit(work) if divided else {}
    if given:
        asked.give(work.plan, given)
    return HandedOver(engine, work.plan, given, len(done), len(taken - done), asked.part)


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


def cancel(runs: str | os.PathLike[str] = DEFAULT_ROOT) -> dict[str, int]:
    """Stop the jobs of a folder of runs, or of structures, that wait or run in a cluster's queue. What is done stays.

    Args:
        runs: that folder.

    Returns:
        Name of an engine -> number of jobs that were stopped.

    Raises:
        UserError: an engine is not known here, or cannot be asked.
    """
    from hubtools.inference.folding.kept_folds import all_folds
    from hubtools.runs.engines.job_engine import DetachedEngine
    from hubtools.runs.engines.known_engines import ENGINES
    from hubtools.runs.kept_plan import read_plans

    stopped: dict[str, int] = {}
    kept: list[KeptPlan | KeptFolds] = [*read_plans(Path(runs))[0], *all_folds(Path(runs))]
    for plan in kept:
        if plan.jobs and isinstance(engine := ENGINES[plan.engine], DetachedEngine):
            live = [job for job, state in engine.states(list(plan.jobs)).items() if state != "ended"]
            engine.cancel(live)
            stopped[plan.engine] = stopped.get(plan.engine, 0) + len(live)
    return stopped
