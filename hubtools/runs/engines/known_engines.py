"""The engines that a user names: bench's own, and those that packages bring. Workers are asked for by their number."""

from __future__ import annotations

from hubtools.common.registry import Registry
from hubtools.runs.engines.job_engine import DetachedEngine, JobEngine, JobState
from hubtools.runs.engines.ray_cluster import RayEngine
from hubtools.runs.engines.slurm import SlurmEngine
from hubtools.runs.kept_plan import KeptPlan

ENGINES: Registry[JobEngine] = Registry(
    "engine",
    JobEngine,
    "bench.engines",
    [SlurmEngine(), RayEngine()],
)


def states_of(plan: KeptPlan) -> dict[str, JobState]:
    """The state of each job of a plan that was given to an engine; none where it was not, or its jobs ended with the command.

    Raises:
        UserError: the engine is not known here, or cannot be asked.
    """
    engine = ENGINES[plan.engine] if plan.jobs else None
    return engine.states(list(plan.jobs)) if isinstance(engine, DetachedEngine) else {}
