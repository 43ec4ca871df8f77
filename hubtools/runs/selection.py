"""The runs that a user names for a comparison: a folder of runs, one run, a frozen baseline, a repository on the Hub."""

from __future__ import annotations

from collections.abc import Sequence

from hubtools.runs.arms import Arm, Found, arms_of
from hubtools.runs.fetched import runs_folder
from hubtools.runs.selectors import parse
from hubtools.runs.store import find_records
from hubtools.specs.errors import UserError

# More arms than this are counted, not listed.
_LISTED = 8


def arms_at(where: str, split: str = "test") -> tuple[list[Arm], list[str]]:
    """The arms that a user names, and a line for each record that could not be read and each address that was resolved.

    Args:
        where: a folder of runs, a run's folder or its ``run.json``, a baseline's folder, or
            ``hub://user/repo[@revision][/folder]``; behind any of them ``:key=pattern,...``
            (:mod:`hubtools.runs.selectors`).
        split: the test split that they must have been scored on.

    Raises:
        UserError: nothing is there, or no complete run that was scored on the split and fits the selector; a baseline was
            altered; the Hub does not give it.
    """
    place, selector = parse(where)
    folder, notes = runs_folder(place)
    if not folder.exists():
        raise UserError("there is no such folder", where=place, fix="Name a folder of runs, such as runs.")
    found, problems = find_records([folder])
    selector.check(found, where)
    chosen = [pair for pair in found if selector.fits(pair[1])]
    arms = arms_of(chosen, split)
    if not arms:
        raise _nothing(found, where, split, bool(selector.patterns))
    # A seed that failed must not be missed without a word.
    unfinished = [f"{run.name} is {record.status}" for run, record in chosen if record.status != "complete"]
    return arms, notes + problems + unfinished


def listed(arms: Sequence[Arm]) -> str:
    """What is there, for people: the name of each arm, after its task where there are several."""
    tasks = {arm.record.identity.task.name for arm in arms}
    names = []
    for arm in arms:
        identity = arm.record.identity
        name = f"{identity.task.name}: {arm.name}" if len(tasks) > 1 else arm.name
        names.append(name if identity.fraction is None else f"{name}, {100 * identity.fraction:g} % of train")
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return "; ".join(names[:_LISTED]) + more


def _nothing(found: Sequence[Found], where: str, split: str, selected: bool) -> UserError:
    """Why no arm is left, and what there is."""
    complete = [pair for pair in found if pair[1].status == "complete"]
    there = arms_of(complete, split)
    if there and selected:
        return UserError(
            f"no complete run with results on {split} fits it", where=where, fix=f"There are: {listed(there)}."
        )
    if complete:
        splits = sorted({name for _, record in complete for name in record.test_splits})
        return UserError(
            f"no run has results on a split {split}", where=where, fix=f"There are results on {', '.join(splits)}."
        )
    unfinished = f" ({len(found):,} did not finish)" if found else ""
    return UserError(f"there is no complete run{unfinished}", where=where, fix="Name a folder of runs, such as runs.")
