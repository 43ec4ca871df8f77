"""Who does the jobs of a plan, behind one interface: submit jobs, see their state, cancel.

``job_engine`` is the interface, ``known_engines`` those that there are, ``job_events`` what a job says while it is done,
``outcomes`` what became of its runs.
``workers`` are processes of this machine, ``capacity`` counts how many of them it takes; ``slurm`` is the queue
of a cluster, ``ray_cluster`` a cluster of Ray's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hubtools.runs.engines.job_engine import JobState
    from hubtools.runs.kept_plan import KeptPlan


def states(plan: KeptPlan) -> dict[str, JobState]:
    """The state of each job of a plan that was given to an engine; none where its jobs ended with the command.

    Raises:
        UserError: the engine is not known here, or cannot be asked.
    """
    from hubtools.runs.engines.known_engines import states_of

    return states_of(plan)
