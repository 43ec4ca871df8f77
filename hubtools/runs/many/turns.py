"""The runs of a plan one after the other, with those that another process is at and those that failed by something that passes."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from hubtools.common.errors import UserError
from hubtools.runs.claims import ClaimedElsewhere, wait_for_one
from hubtools.runs.engines.outcomes import Outcome, Watcher
from hubtools.runs.execute import execute
from hubtools.runs.jobs import in_order
from hubtools.runs.plan import PlannedRun
from hubtools.runs.second_try import PAUSE, SecondTries
from hubtools.runs.session import Session
from hubtools.runs.sweeps.tuned import tuned
from hubtools.training.compute import distributed


def in_turn(
    planned: Sequence[PlannedRun],
    session: Session,
    watcher: Watcher,
    *,
    force: bool = False,
    since: datetime | None = None,
) -> Iterator[tuple[int, Outcome | UserError]]:
    """Do runs, checkpoint by checkpoint, or find them done; those that another process is at come again when the others are done.

    So processes that share a folder of runs divide what is to be done, and each ends when all of it is. A run whose process was
    killed is taken over. What failed by something that may pass (:mod:`hubtools.runs.second_try`) is tried once more at the end, where
    memory did not suffice with less at once. A run whose recipe is to be fitted has its trials first.

    Args:
        planned, session: what to do, with what.
        watcher: is told.
        force: do what is done again.
        since: when the command began: what another process has done since then is not done again. By default now.

    Yields:
        The number of a run, from 0, and what became of it, or why it could not be begun.

    Raises:
        KeyboardInterrupt, ProcessLost: as :func:`execute`.
    """
    left, since = in_order(planned), since or datetime.now(UTC)
    tries = SecondTries(session, single=len(planned) == 1)
    while left:
        busy: dict[int, Path] = {}
        again = list[int]()
        for number in left:
            watcher.begins(number)
            try:
                own, anew = tries.session(number), force and number not in tries.why
                outcome = execute(tuned(planned[number], own), own, force=anew, since=since)
                failure, kind = outcome.record.failure, outcome.passing
                if (
                    failure is None
                    or kind is None
                    or (why := tries.of_failure(number, outcome.run, kind, failure)) is None
                ):
                    yield number, replace(outcome, again=tries.why.get(number))
                else:
                    again.append(number)
                    watcher.again(number, why)
            except ClaimedElsewhere as error:
                busy[number] = error.folder
                watcher.elsewhere(number, error.folder, False)
            except UserError as error:
                if tries.of_mistake(number, error):
                    again.append(number)
                    watcher.again(number, error)
                else:
                    yield number, error
            except distributed.MainProcessFailed:
                pass  # There it is told.
        if len(busy) == len(left):
            for number, folder in busy.items():
                watcher.elsewhere(number, folder, True)
            distributed.by_main(partial(wait_for_one, list(busy.values())))
        if again and len(again) == len(left):
            time.sleep(PAUSE if "network" in map(tries.kinds.get, again) else 0)
        left = [*again, *busy]
