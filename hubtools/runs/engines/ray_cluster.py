"""Jobs on a Ray cluster: each a task that starts one process of bench, on whatever node has room; one whose node is lost comes again.

Ray's tasks belong to the program that made them, so the command waits for them. What a task says of its runs comes back when it has ended.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import Field

from hubtools.common.errors import UserError, one_line
from hubtools.runs.engines.job_engine import AttachedEngine, Submission
from hubtools.runs.engines.job_events import JobEvent, Mistake, event_of
from hubtools.runs.engines.workers import with_seats
from hubtools.specs.base import Spec

# Seconds between two looks at what has ended.
LOOK = 0.5
# Variables that say where things lie, for the nodes as for the command: Ray passes none on. None of them holds a secret.
PASSED_ON = ("BENCH_CACHE", "BENCH_DATA_MIRROR", "HF_HOME", "HF_HUB_CACHE", "HF_HUB_OFFLINE")


class RayOptions(Spec):
    """What a profile says of Ray."""

    address: str | None = Field(
        default=None,
        description="Of the cluster, or auto; by default what RAY_ADDRESS says, else a cluster of this machine.",
    )
    cpus: float = Field(default=1, gt=0, description="Cores of a job.")
    gpus: float = Field(default=0, ge=0, le=1, description="GPUs of a job that trains the encoder, or folds.")
    gpus_of_probes: float = Field(
        default=0,
        ge=0,
        le=1,
        description="GPUs of a job whose runs all leave the encoder as it is: 0.25 puts four on one.",
    )
    memory_gb: float | None = Field(default=None, gt=0, description="Main memory that a job needs.")
    resources: dict[str, float] = Field(default={}, description="What else a node must have, by Ray's names.")
    retries: int = Field(default=3, ge=0, description="How often a job comes again whose node was lost.")
    jobs: int = Field(default=64, ge=1, description="Into how many jobs a plan is cut at most.")


class RayEngine(AttachedEngine):
    """A Ray cluster; its nodes share the folder of runs, and have bench where this machine has it."""

    name = "ray"
    spec = RayOptions

    def events(self, work: Submission) -> Iterator[JobEvent]:
        """As :meth:`AttachedEngine.events`; of each job when it has ended."""
        options = work.options if isinstance(work.options, RayOptions) else RayOptions()
        try:
            import ray
        except ImportError:
            raise UserError("Ray is not installed", fix="pip install 'plm-hubtools[ray]'") from None
        own = not ray.is_initialized()
        if own:
            _join(ray, options)
        try:
            yield from _followed(ray, work, options)
        finally:
            if own:
                ray.shutdown()


def _join(ray: Any, options: RayOptions) -> None:
    """Become part of a cluster.

    Raises:
        UserError: it is not there.
    """
    # Ray would lay a GPU's variable empty for tasks without one, which torch takes for none: as is meant. It would say so at length.
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "1")
    # A cluster that is started here tells nobody of it.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    address = options.address or os.environ.get("RAY_ADDRESS")
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, include_dashboard=False)
    except Exception as error:
        said = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise UserError(
            f"no Ray cluster can be joined at {address or 'this machine'} ({one_line(said)[:200]})",
            fix="ray start --head starts one; options.address of the profile, or RAY_ADDRESS, names another.",
        ) from None


def _followed(ray: Any, work: Submission, options: RayOptions) -> Iterator[JobEvent]:
    """Events of each job, as they end."""
    _refuse_impossible(ray, work, options)
    do = ray.remote(_do_job)
    seat = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    waiting: dict[Any, tuple[int, ...]] = {}
    try:
        for numbers, frozen in zip(work.jobs, work.frozen, strict=True):
            asked = _resources(options, frozen)
            # What a task raises is not tried again: it is bench's own end. A node that is lost is another matter.
            task = do.options(max_retries=options.retries, retry_exceptions=False, name=f"bench-{work.plan}", **asked)
            given = (list(work.command), work.plan, str(work.root), str(work.directory), numbers, seat)
            waiting[task.remote(*given)] = tuple(numbers)
        while waiting:
            for task in ray.wait(list(waiting), num_returns=1, timeout=LOOK)[0]:
                numbers = waiting.pop(task)
                yield from _ended(ray, task, numbers)
    finally:
        for task in waiting:
            # As Ctrl-C in the task's process: bench writes its record.
            ray.cancel(task, force=False, recursive=True)
        if waiting:
            ray.wait(list(waiting), num_returns=len(waiting), timeout=60)


def _ended(ray: Any, task: Any, numbers: Sequence[int]) -> Iterator[JobEvent]:
    """What a job said, or that it is lost."""
    try:
        said = ray.get(task)
    except ray.exceptions.RayTaskError as error:
        cause = error.cause if isinstance(error.cause, UserError) else None
        if cause is None:
            cause = UserError(f"its job failed ({one_line(str(error.cause or error))[:300]})")
        yield from (JobEvent("lost", number, mistake=Mistake.of(cause)) for number in numbers)
        return
    except ray.exceptions.RayError as error:
        why = Mistake(f"its job is lost ({type(error).__name__})", fix="The same command goes on.")
        yield from (JobEvent("lost", number, mistake=why) for number in numbers)
        return
    for line in said:
        if (event := event_of(line)) is not None:
            yield event


def _refuse_impossible(ray: Any, work: Submission, options: RayOptions) -> None:
    """Refuse what no node of the cluster will ever have.

    Raises:
        UserError: a job asks for more than every node has.
    """
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    for frozen in sorted(set(work.frozen)):
        asked = _resources(options, frozen)
        needs = {"CPU": asked["num_cpus"], "GPU": asked["num_gpus"], **asked.get("resources", {})}
        if not any(all(node.get(name, 0) >= amount for name, amount in needs.items()) for node in nodes):
            wanted = ", ".join(f"{amount:g} {name}" for name, amount in needs.items() if amount)
            raise UserError(
                f"no node of the Ray cluster has what a job asks for ({wanted})", fix="Ask for less in the profile."
            )


def _resources(options: RayOptions, frozen: bool) -> dict[str, Any]:
    """What a job asks for, as Ray calls it."""
    asked: dict[str, Any] = {"num_cpus": options.cpus, "num_gpus": options.gpus_of_probes if frozen else options.gpus}
    if options.memory_gb:
        asked["memory"] = int(options.memory_gb * 2**30)
    return asked | ({"resources": options.resources} if options.resources else {})


def _do_job(
    command: list[str], plan: str, root: str, directory: str, numbers: Sequence[int], seat: Mapping[str, str]
) -> list[str]:
    """On a node: one worker does the job, is started again where it is killed, and stopped where this task is.

    Args:
        command, plan, root, directory, numbers: of the submission.
        seat: variables of its environment besides the node's.

    Returns:
        Its events, as lines.
    """
    from pathlib import Path

    if not Path(directory).is_dir():
        raise UserError(
            f"there is no folder {directory} on the node", fix="Its nodes must share the folders of the command."
        )
    work = Submission(plan, Path(root), Path(directory), [tuple(numbers)], command)
    # Ray says by the environment which GPUs are the task's, and sets OMP_NUM_THREADS by its cores.
    return [event.line() for event in with_seats([seat]).events(work)]
