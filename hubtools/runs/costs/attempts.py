"""The attempts of a run: what of earlier ones is known when the next begins, and what all of them took."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from stat import S_ISREG

from hubtools.runs.steps import WORK
from hubtools.runs.store import ADAPTER, FAILURE, MODEL, PREDICTIONS, RECORD, REPLICATES, TRAINING_LOG
from hubtools.specs.record import Attempt, Cost, Energy, RunRecord

# What a run writes in its folder; a claim is made by whoever asks, its card is made afterwards.
_WRITTEN = (RECORD, TRAINING_LOG, PREDICTIONS, REPLICATES, FAILURE, WORK, MODEL, ADAPTER)


def earlier(folder: Path, previous: RunRecord | None, record: RunRecord) -> Cost | None:
    """What the attempts before the one that begins took.

    Args:
        folder: of the run, as the last attempt left it.
        previous: the record that is there.
        record: of the attempt that begins.

    Returns:
        None where it is the first, or what was there is another run or complete.
    """
    if previous is None or previous.run_id != record.run_id or previous.status == "complete":
        return None
    attempts = list(previous.cost.attempts) if previous.cost else []
    # Unless it is among them already: the process ended in a way that is neither end nor kill.
    if not attempts or attempts[-1].started != previous.started:
        attempts.append(_last(folder, previous))
    where = [(one.environment.device, one.environment.device_name) for one in (previous, record)]
    peak = previous.cost.peak_memory_bytes if previous.cost and where[0] == where[1] else None
    return together(attempts, Cost(wall_seconds=0, peak_memory_bytes=peak))


def _last(folder: Path, previous: RunRecord) -> Attempt:
    """The attempt that a record is of."""
    if previous.cost is not None and (previous.status == "failed" or previous.status == "interrupted"):
        # Of a version that did not count attempts.
        cost = previous.cost
        return Attempt(
            started=previous.started, wall_seconds=cost.wall_seconds, ended=previous.status, energy=cost.energy
        )
    seconds = (last_written(folder) - previous.started).total_seconds()
    return Attempt(started=previous.started, wall_seconds=round(max(seconds, 0.0), 3), ended="killed")


def last_written(folder: Path) -> datetime:
    """When the newest file that a run wrote in its folder was written; never in the future."""
    paths = [path for name in _WRITTEN for path in (folder / name, *(folder / name).rglob("*"))]
    newest = 0.0
    for path in paths:
        try:
            found = path.lstat()
        except OSError:
            continue
        newest = max(newest, found.st_mtime if S_ISREG(found.st_mode) else 0.0)
    return min(datetime.fromtimestamp(newest, UTC), datetime.now(UTC))


def together(attempts: Sequence[Attempt], cost: Cost) -> Cost:
    """A cost with the sums over attempts in place of its seconds and energy."""
    seconds = round(sum(attempt.wall_seconds for attempt in attempts), 3)
    return cost.model_copy(
        update={"wall_seconds": seconds, "energy": total_energy(attempts), "attempts": list(attempts)}
    )


def total_energy(attempts: Sequence[Attempt]) -> Energy | None:
    """The electricity of all attempts of which it is known, and in words of which it is not, or only estimated."""
    known = [attempt.energy for attempt in attempts if attempt.energy is not None]
    if len(attempts) == 1 or not known:
        return known[0] if known else None
    estimates, unknown = [one for one in known if one.source == "estimate"], len(attempts) - len(known)
    grams = [one.co2_grams for one in known]
    places = {one.place for one in known}
    said = [f"{len(known) - len(estimates)} measured"] if len(estimates) < len(known) else []
    said += [f"{len(estimates)} estimated"] if estimates else []
    said += [f"{unknown} not known and not in it: a lower bound"] if unknown else []
    ways = "; ".join(dict.fromkeys(one.how for one in known if one.how))
    return Energy(
        # A sum is no better than what is in it.
        source="estimate" if estimates else "codecarbon",
        kwh=sum(one.kwh for one in known),
        co2_grams=None if None in grams else sum(one for one in grams if one is not None),
        how=(f"{ways}; " if ways else "") + f"the sum over {len(attempts)} attempts, {', '.join(said)}",
        place=places.pop() if len(places) == 1 else None,
    )
