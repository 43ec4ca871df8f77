"""Who does the runs of a plan: this process, or an engine, and what that engine is given."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from hubtools.api.computing import ExecutionOptions
from hubtools.common.errors import UserError

if TYPE_CHECKING:
    from hubtools.runs.engines.job_engine import AttachedEngine, Submission
    from hubtools.runs.jobs import PlanJob
    from hubtools.runs.plan import PlannedRun

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
    from hubtools.runs.jobs import Sizes, jobs
    from hubtools.training.compute.machine import COMPANY

    if isinstance(workers, int) and workers < 1:
        raise UserError(f"{workers} workers do nothing", where="workers", fix="Give 1 or more, or auto.")
    if workers == 1 or len(planned) < 2:
        return None
    sizes = Sizes(DataCache.default(execution.mirrors))
    budget = execution.token_budget if isinstance(execution.token_budget, int) else None
    found = capacity(
        planned,
        len(planned),
        asked=workers if isinstance(workers, int) else None,
        device=execution.device,
        threads=execution.threads,
        tokens=budget,
        sizes=sizes,
    )
    divided = jobs(planned, workers=len(found.seats), sizes=sizes)
    number = min(len(found.seats), len(divided))
    if number < 2:
        return None
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
    options: Mapping[str, Any] | None = None,
) -> Submission:
    """Keep a plan beside the runs, and say what an engine needs to do its jobs.

    Args:
        planned, root, execution, force, command: as for :func:`to_workers`.
        divided: the jobs that are to be done.
        engine, options: its name, and what its profile says.

    Raises:
        UserError: the plan cannot be kept.
    """
    from hubtools.runs.engines.job_engine import Submission as Work
    from hubtools.runs.kept_plan import keep_plan, plan_of

    kept = keep_plan(root, plan_of(planned, command, engine=engine, options=dict(options or {})))
    # Not from the current folder, which may be somebody else's.
    start = [sys.executable, "-P", "-m", "hubtools.cli.main", "run-job", "--runs", str(root)]
    own = ["--force"] if force else []
    return Work(
        plan=kept.id,
        root=root,
        directory=Path.cwd(),
        jobs=[job.numbers for job in divided],
        command=[*start, *own, "--since", datetime.now(UTC).isoformat(), *execution.arguments()],
        options=dict(options or {}),
        gpu=None if execution.device == "auto" else execution.device == "cuda",
        frozen=[
            all(planned[number].recipe.adaptation not in {"full", "adapter"} for number in job.numbers)
            for job in divided
        ],
    )
