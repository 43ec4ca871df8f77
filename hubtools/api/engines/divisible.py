"""What several processes can do in parts, as whoever divides it sees it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    from hubtools.api.computing import ExecutionOptions
    from hubtools.runs.engines.job_engine import DetachedEngine


class KeptJobs(Protocol):
    """What was asked for and kept, with the jobs that an engine was given of it."""

    @property
    def engine(self) -> str:
        """Its name."""

    @property
    def jobs(self) -> Mapping[str, Sequence[int]]:
        """Names, with the numbers of their parts."""


Kept = TypeVar("Kept", bound=KeptJobs)


def live(engine: DetachedEngine, kept: Iterable[Kept]) -> list[tuple[Kept, list[int]]]:
    """Of what was kept, what an engine still has: each with the numbers of the parts whose jobs wait or run.

    Raises:
        UserError: the engine cannot be asked.
    """
    given = [one for one in kept if one.engine == engine.name and one.jobs]
    states = engine.states([job for one in given for job in one.jobs])
    found = (
        (one, [number for job, numbers in one.jobs.items() if states.get(job) != "ended" for number in numbers])
        for one in given
    )
    return [(one, numbers) for one, numbers in found if numbers]


class Divisible(ABC):
    """What was asked for at once: the runs of a plan, or proteins that are folded. A part of it has a number, from 0.

    Attributes:
        root: folder of what comes of it, where it is kept what was asked for.
        execution: where and how to compute.
        part: what a part is called, for people.
        all_cores: whether a part is worth several cores.
        shows_done: whether workers find what is done, too, so that they say what is there.
        options: of the command that does a job, besides where and how it computes.
    """

    root: Path
    execution: ExecutionOptions
    part: str
    all_cores: bool = False
    shows_done: bool = False
    options: Sequence[str] = ()

    @abstractmethod
    def __len__(self) -> int:
        """How many parts it has."""

    @abstractmethod
    def done(self) -> set[int]:
        """Numbers of the parts for which there is nothing to do."""

    @abstractmethod
    def taken(self, engine: DetachedEngine) -> set[int]:
        """Numbers of the parts that jobs of an engine have which wait or run, by whatever command.

        Raises:
            UserError: the engine cannot be asked.
        """

    @abstractmethod
    def needs(self, left: Collection[int]) -> float:
        """Bytes of main memory, roughly, of a process that does the largest of some parts on a processor."""

    @abstractmethod
    def cut(self, left: Sequence[int], workers: int, warm: bool) -> list[tuple[int, ...]]:
        """Some parts as jobs, the longest first.

        Args:
            left: numbers of the parts.
            workers: how many jobs are done at a time.
            warm: whether a process stays from job to job, so that a job costs no start.
        """

    @abstractmethod
    def keep(self, engine: str, options: Mapping[str, Any]) -> str:
        """Keep what was asked for, for the processes that do it; its id.

        Args:
            engine: who does it.
            options: what its profile says, as JSON has them.

        Raises:
            UserError: it cannot be written.
        """

    @abstractmethod
    def give(self, plan: str, jobs: Mapping[str, Sequence[int]]) -> None:
        """Keep which jobs an engine has.

        Args:
            plan: id of what is kept.
            jobs: names, with the numbers of their parts.

        Raises:
            UserError: it cannot be written.
        """

    def frozen(self, numbers: Sequence[int]) -> bool:
        """Whether these parts are runs that leave the encoder as it is, so that several processes fit a GPU."""
        return False
