"""The runs of a plan as jobs."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hubtools.api.computing import ExecutionOptions
from hubtools.api.engines.divisible import Divisible, live
from hubtools.common.errors import UserError
from hubtools.common.files import is_folder

if TYPE_CHECKING:
    from hubtools.runs.engines.job_engine import DetachedEngine
    from hubtools.runs.jobs import Sizes
    from hubtools.runs.kept_plan import KeptPlan
    from hubtools.runs.plan import PlannedRun


@dataclass
class PlannedRuns(Divisible):
    """Runs that are to be done.

    Attributes:
        planned: the runs.
        root: folder of runs.
        execution: where and how to compute.
        force: do what is done again.
        command: as it was typed, for the plan that is kept.
    """

    planned: Sequence[PlannedRun]
    root: Path
    execution: ExecutionOptions
    force: bool = False
    command: str = "hubtools.run"

    part = "run"
    shows_done = True

    def __post_init__(self) -> None:
        from hubtools.data.sources.file_cache import DataCache
        from hubtools.runs.jobs import Sizes

        self.options = [*["--force"] * self.force, "--since", datetime.now(UTC).isoformat()]
        self.sizes: Sizes = Sizes(DataCache.default(self.execution.mirrors))

    def __len__(self) -> int:
        return len(self.planned)

    def done(self) -> set[int]:
        """Numbers of the runs that have a result."""
        from hubtools.runs.many.run_states import FolderReader

        if self.force or not is_folder(self.root):
            return set()
        states = FolderReader(self.root).of(self.planned)
        # Each run once: of one that is asked for twice it is not known which is meant.
        if len(states) != len(self.planned):
            return set()
        return {number for number, one in enumerate(states) if one.state == "done"}

    def taken(self, engine: DetachedEngine) -> set[int]:
        """As :meth:`Divisible.taken`, by whatever plan of this folder."""
        from hubtools.runs.kept_plan import read_plans

        under_way = live(engine, read_plans(self.root)[0])
        keys = {_key(runs[number]) for plan, numbers in under_way for runs in [plan.planned()] for number in numbers}
        return {number for number, run in enumerate(self.planned) if keys and _key(run) in keys}

    def needs(self, left: Collection[int]) -> float:
        """As :meth:`Divisible.needs`."""
        from hubtools.runs.engines.capacity import TOKENS, needed

        budget = self.execution.token_budget
        tokens = budget if isinstance(budget, int) else TOKENS
        return max(needed(self.planned[number], self.sizes, tokens) for number in left)

    def cut(self, left: Sequence[int], workers: int, warm: bool) -> list[tuple[int, ...]]:
        """As :meth:`Divisible.cut`: by checkpoints, each of which is loaded for its job."""
        from hubtools.runs.jobs import jobs

        found = jobs([self.planned[number] for number in left], workers=workers, sizes=self.sizes)
        return [tuple(left[place] for place in job.numbers) for job in found]

    def keep(self, engine: str, options: Mapping[str, Any]) -> str:
        """As :meth:`Divisible.keep`."""
        from hubtools.runs.kept_plan import keep_plan, plan_of

        kept = plan_of(self.planned, self.command, engine=engine, options=options)
        if engine == "workers" and (before := _kept(self.root, kept.id)) is not None and before.jobs:
            kept = before  # Of jobs that an engine has it is known by that which.
        return keep_plan(self.root, kept).id

    def give(self, plan: str, jobs: Mapping[str, Sequence[int]]) -> None:
        """As :meth:`Divisible.give`."""
        from hubtools.runs.kept_plan import keep_plan, read_plan

        keep_plan(self.root, read_plan(self.root, plan).with_jobs(jobs))

    def frozen(self, numbers: Sequence[int]) -> bool:
        """As :meth:`Divisible.frozen`."""
        return all(self.planned[number].recipe.adaptation not in {"full", "adapter"} for number in numbers)


def _kept(root: Path, plan_id: str) -> KeptPlan | None:
    """A plan that was kept, if it was."""
    from hubtools.runs.kept_plan import read_plan

    try:
        return read_plan(root, plan_id)
    except UserError:
        return None


def _key(run: PlannedRun) -> tuple[object, ...]:
    tuning = run.tuning.model_dump_json() if run.tuning else None
    return run.checkpoint, run.task.hash, run.recipe.hash, run.seed, run.subset, run.fraction, tuning
