"""What an engine is: it takes the jobs of a plan, tells their state, and stops them.

A job is some runs of a plan that is kept in the folder of runs (:mod:`hubtools.runs.kept_plan`), or some of the proteins that a command
folds, and a command that does them in a process of its own. Which process, where and when is the engine's. Two processes that do the
same job divide its runs, or its proteins, by their claims, so an engine that starts one twice costs nothing but a start.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from hubtools.common.errors import UserError
from hubtools.runs.engines.job_events import JobEvent, spans
from hubtools.specs.base import Spec
from hubtools.specs.lookup.spec_files import first_mistake

# "ended" says nothing of success: what a run's end was is in its record.
JobState = Literal["waiting", "running", "ended"]


class NoOptions(Spec):
    """Of an engine that needs none."""


@dataclass(frozen=True)
class Submission:
    """Jobs to be done.

    Attributes:
        plan: id of the plan that is kept.
        root: folder of runs, or of structures, absolute.
        directory: in which the jobs are done, absolute.
        jobs: numbers of the parts of each, the longest job first. A part is a run of a plan, or a protein that is folded.
        command: that does a job, without its numbers.
        options: what the profile says, as the engine's ``spec`` has it.
        gpu: whether the jobs compute on a GPU; None where that is left to the machine.
        frozen: of each job, whether it is runs that all leave the encoder as it is, so that several fit a GPU.
    """

    plan: str
    root: Path
    directory: Path
    jobs: Sequence[tuple[int, ...]]
    command: Sequence[str]
    options: Spec = field(default_factory=NoOptions)
    gpu: bool | None = None
    frozen: Sequence[bool] = ()

    def argv(self, numbers: Sequence[int]) -> list[str]:
        """The command line of a job: it exits with 0 where each part of it has a result, and goes on where it was stopped."""
        return [*self.command, self.plan, spans(numbers)]


class JobEngine(ABC):
    """Who does jobs.

    Attributes:
        name: by which a user asks for it.
        spec: what a profile may say of it.
        attached: whether jobs end with the command that submitted them, which then waits for them and shows what happens.
    """

    name: str
    spec: type[Spec] = NoOptions
    attached: bool = False

    def checked(self, said: Mapping[str, Any], where: str) -> Spec:
        """What a profile says of this engine.

        Args:
            said: key -> value.
            where: the profile's file, for messages.

        Raises:
            UserError: a key that the engine does not know, or a value that it cannot use.
        """
        try:
            return self.spec.model_validate(dict(said))
        except ValidationError as error:
            _, what, fix = first_mistake(error, self.spec)
            raise UserError(f"options: {what}", where=where, fix=fix) from None


class DetachedEngine(JobEngine):
    """Jobs live on when the command ends: a queue of a cluster."""

    @abstractmethod
    def submit(self, work: Submission) -> dict[str, tuple[int, ...]]:
        """Hand all jobs over.

        Returns:
            Name of each job, by which it is asked for later -> numbers of its parts.

        Raises:
            UserError: the engine is not there, or takes no jobs.
        """

    @abstractmethod
    def states(self, jobs: Collection[str]) -> dict[str, JobState]:
        """The state of jobs, by name.

        Raises:
            UserError: the engine cannot be asked.
        """

    @abstractmethod
    def cancel(self, jobs: Collection[str]) -> None:
        """Stop jobs that wait or run; their records are written, and what is done stays.

        Raises:
            UserError: the engine cannot be asked.
        """


class AttachedEngine(JobEngine):
    """Jobs end with the command: it waits for them, and shows what happens."""

    attached = True

    @abstractmethod
    def events(self, work: Submission) -> Iterator[JobEvent]:
        """Do all jobs; what happens to their parts, while it happens.

        Closing the iterator, or an exception inside, stops all jobs: their records are written.

        Raises:
            UserError: no job can be done.
        """
