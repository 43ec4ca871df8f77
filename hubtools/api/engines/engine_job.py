"""One job of a plan, done in this process: its runs in turn, with their cards, and a word for whoever started it."""

from __future__ import annotations

import os
import queue
import re
import signal
import socket
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from hubtools.api.computing import quiet
from hubtools.api.running import Collected, RunEvent, has_card, write_card
from hubtools.common.bounds import json_values
from hubtools.common.errors import UserError
from hubtools.common.readers import reads
from hubtools.runs.engines.job_events import JobEvent, Mistake

if TYPE_CHECKING:
    from hubtools.runs.plan import PlannedRun
    from hubtools.runs.session import Session

_SPAN = re.compile(r"([0-9]{1,9})(?:-([0-9]{1,9}))?")


@reads("numbers of a job")
def numbers_of(text: str, runs: int) -> tuple[int, ...]:
    """Numbers of runs, as :func:`hubtools.runs.engines.job_events.spans` writes them.

    Args:
        text: ``0-3,7``.
        runs: how many the plan has.

    Raises:
        UserError: it is no list of numbers, or the plan has no such run.
    """
    found: list[int] = []
    for part in text.split(","):
        span = _SPAN.fullmatch(part)
        first, last = (int(span[1]), int(span[2] or span[1])) if span else (1, 0)
        if not first <= last < runs:
            raise UserError(f"{part!r} are no runs of a plan of {runs}", fix="They are counted from 0: 0-3,7.")
        found += range(first, last + 1)
    return tuple(found)


@dataclass
class JobRunner:
    """Does jobs of a plan, one after the other, in one session, which stays warm.

    Attributes:
        planned: all runs of the plan.
        session: of the jobs.
        tell: is told what happens.
        force: do what is done again.
        since: when the command that submitted the job began.
    """

    planned: Sequence[PlannedRun]
    session: Session
    tell: Callable[[JobEvent], None]
    force: bool = False
    since: datetime | None = None

    def do(self, numbers: Sequence[int]) -> bool:
        """Do a job.

        Args:
            numbers: of its runs in the plan, from 0.

        Returns:
            Whether each of its runs has a result.
        """
        from hubtools.runs.many.turns import in_turn

        runs = tuple(self.planned[number] for number in numbers)
        self.session.planned = runs
        fine = True
        with quiet():
            watcher = _Watching(numbers, self.tell)
            for place, outcome in in_turn(runs, self.session, watcher, force=self.force, since=self.since):
                number = numbers[place]
                if isinstance(outcome, UserError):
                    fine = False
                    self.tell(JobEvent("not begun", number, mistake=Mistake.of(outcome)))
                    continue
                failed = outcome.record.status == "failed"
                fine = fine and not failed
                # Another process may have been killed between a run's end and its card.
                carded = not failed and runs[place].recipe.needs_checkpoint and has_card(self.planned)
                cards = write_card(outcome) if carded else []
                self.tell(
                    JobEvent(
                        "ended",
                        number,
                        str(outcome.folder),
                        was_done=outcome.was_done,
                        done_elsewhere=outcome.elsewhere,
                        mistake=Mistake.of(outcome.mistake) if outcome.mistake else None,
                        problems=tuple(cards),
                        text=outcome.again or "",
                    )
                )
        return fine


@dataclass(frozen=True)
class _Watching:
    """What happens to the runs of a job, by their numbers in the plan."""

    numbers: Sequence[int]
    tell: Callable[[JobEvent], None]

    def begins(self, number: int) -> None:
        """As :class:`hubtools.runs.engines.outcomes.Watcher`."""
        self.tell(JobEvent("begins", self.numbers[number]))

    def elsewhere(self, number: int, folder: Path, waiting: bool) -> None:
        """As there."""
        self.tell(JobEvent("elsewhere", self.numbers[number], str(folder), waiting=waiting))

    def again(self, number: int, why: UserError) -> None:
        """As there."""
        self.tell(JobEvent("again", self.numbers[number], mistake=Mistake.of(why)))


class Conversation:
    """The worker's end of the socket that a pool of workers holds: jobs come in, events go out."""

    def __init__(self, descriptor: int) -> None:
        self._socket = socket.socket(fileno=descriptor)
        # No other program that this one starts holds it open.
        self._socket.set_inheritable(False)
        self._jobs: queue.Queue[str | None] = queue.Queue()
        threading.Thread(target=self._listen, daemon=True).start()

    def tell(self, event: JobEvent) -> None:
        """Send an event; where nobody listens any more this process is told to stop anyway."""
        try:
            self._socket.sendall(event.line().encode())
        except OSError:
            _stop_this_process()

    def next_job(self) -> str | None:
        """Wait for a job; None where there is none to come."""
        return self._jobs.get()

    def _listen(self) -> None:
        try:
            with self._socket.makefile("r", encoding="utf-8") as lines:
                for line in lines:
                    said = json_values(line)
                    if said.get("end"):
                        self._jobs.put(None)
                        return
                    self._jobs.put(str(said["job"]))
        except (OSError, ValueError):
            pass
        # Whoever gives the jobs is gone without a word: nobody waits for what is done here.
        self._jobs.put(None)
        _stop_this_process()


def _stop_this_process() -> None:
    """As Ctrl-C does: the record of the run is written."""
    os.kill(os.getpid(), signal.SIGTERM)


def talk_of(planned: Sequence[PlannedRun], say: Callable[[RunEvent], None]) -> Callable[[JobEvent], None]:
    """Tell events of a job as those of a call of :func:`hubtools.run` are told: for a log that a person reads."""
    return Collected(planned, say, beside=True, raises=False).took
