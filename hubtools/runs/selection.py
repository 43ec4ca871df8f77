"""The runs that a user names for a comparison: a folder of runs, one run, a frozen baseline, a repository on the Hub."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

from hubtools.runs.arms import Arm, Found, arm_key, arms_of
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
        splits = sorted({name for _, record in complete for name in record.results} - {"train", "validation"})
        return UserError(
            f"no run has results on a split {split}", where=where, fix=f"There are results on {', '.join(splits)}."
        )
    unfinished = f" ({len(found):,} did not finish)" if found else ""
    return UserError(f"there is no complete run{unfinished}", where=where, fix="Name a folder of runs, such as runs.")


@dataclass(frozen=True)
class Pairing:
    """Which arm of a candidate answers to which of a baseline.

    Attributes:
        pairs: baseline and candidate.
        problems: one line for each arm of the baseline that nothing answers to, or too much does.
        notes: one line for what was left out without harm.
    """

    pairs: list[tuple[Arm, Arm]]
    problems: list[str]
    notes: list[str]


def pairs(baseline: Sequence[Arm], candidate: Sequence[Arm], split: str = "test") -> Pairing:
    """Pair the arms of two sides, task by task.

    First those that answer the same question with the same weights by the same recipe; then those of the same weights and
    recipe; then those whose checkpoint and recipe have the same names. A task with one arm on each side pairs these
    although checkpoint and recipe differ: they are the change under test. A trivial baseline that the candidate does not
    have is left out.

    Args:
        baseline, candidate: arms of each side.
        split: the split they are compared on.
    """
    found: list[tuple[Arm, Arm]] = []
    problems, notes = [], []
    for task in sorted({arm.record.identity.task.name for arm in [*baseline, *candidate]}):
        before = [arm for arm in baseline if arm.record.identity.task.name == task]
        after = [arm for arm in candidate if arm.record.identity.task.name == task]
        if not before:
            notes.append(f"{task}: not in the baseline, not compared")
            continue
        if not after:
            problems.append(f"{task}: the candidate has no run of this task")
            continue
        single = len(before) == len(after) == 1
        for key in (lambda arm: (arm.question(split), arm_key(arm.record)), lambda arm: arm_key(arm.record), _names):
            matched = _unique_matches(before, after, key)
            found += matched
            before = [arm for arm in before if all(arm is not pair[0] for pair in matched)]
            after = [arm for arm in after if all(arm is not pair[1] for pair in matched)]
        if single and before:
            found.append((before[0], after[0]))
            continue
        left = [arm for arm in before if arm.record.identity.checkpoint is None]
        notes += [f"{task}: {arm.name} is in the baseline only, left out" for arm in left]
        before = [arm for arm in before if arm.record.identity.checkpoint is not None]
        others = [arm.name for arm in after if arm.record.identity.checkpoint is not None]
        narrow = f"; it has {', '.join(others)}: narrow both sides to one, as in FOLDER:recipe=NAME" if others else ""
        problems += [f"{task}: no run of the candidate answers to {arm.name}{narrow}" for arm in before]
        if not before:
            notes += [f"{task}: {arm.name} is not in the baseline, not compared" for arm in after]
    return Pairing(found, problems, notes)


def _names(arm: Arm) -> tuple[str, str, int | None, float | None]:
    identity = arm.record.identity
    return arm.record.subject, identity.recipe.name, identity.subset, identity.fraction


def _unique_matches(
    before: Sequence[Arm], after: Sequence[Arm], key: Callable[[Arm], Hashable]
) -> list[tuple[Arm, Arm]]:
    """Pairs whose key one arm of each side has, and no other."""
    matched = []
    for arm in before:
        same = [other for other in after if key(other) == key(arm)]
        if len(same) == 1 and sum(key(other) == key(arm) for other in before) == 1:
            matched.append((arm, same[0]))
    return matched
