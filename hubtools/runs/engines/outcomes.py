"""What became of runs, and who is told while they are done. No torch: whoever only shows it need not compute."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from hubtools.common.errors import UserError
from hubtools.runs.plan import PlannedRun
from hubtools.specs.record import RunRecord

if TYPE_CHECKING:
    from hubtools.runs.second_try import Passing


@dataclass(frozen=True)
class Outcome:
    """What became of a planned run.

    Attributes:
        run, folder, record: what was asked for, where it is, what came out.
        was_done: there was nothing to do.
        elsewhere: another process did it, while this command was going on.
        mistake: the user's mistake that made the run fail, if one did.
        passing: why it failed, where that may pass.
        again: why the first try failed, of a run that was tried twice.
    """

    run: PlannedRun
    folder: Path
    record: RunRecord
    was_done: bool
    mistake: UserError | None = None
    elsewhere: bool = False
    passing: Passing | None = None
    again: str | None = None


class Watcher(Protocol):
    """Who is told what happens to runs that are done in turn."""

    def begins(self, number: int) -> None:
        """The run of this number, from 0, is about to be done."""

    def elsewhere(self, number: int, folder: Path, waiting: bool) -> None:
        """Another process is at it: it comes again when the others are done, or is waited for now."""

    def again(self, number: int, why: UserError) -> None:
        """It failed by what may pass: it comes again when the others are done."""
