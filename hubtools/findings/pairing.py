"""Which arm of one side is compared with which of the other: within a task, by what they share."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from itertools import product

from hubtools.common.errors import UserError
from hubtools.findings.arms import Arm, arm_key
from hubtools.findings.naming.named_runs import listed
from hubtools.findings.naming.selectors import suggested

Key = Callable[[Arm], Hashable]


@dataclass(frozen=True)
class Pairing:
    """Arms put side by side.

    Attributes:
        pairs: of A and B, by task.
        left_out: one line for each arm or task that nothing on the other side answers to.
    """

    pairs: tuple[tuple[Arm, Arm], ...]
    left_out: tuple[str, ...]


def pair_arms(a: Sequence[Arm], b: Sequence[Arm], named: tuple[str, str]) -> Pairing:
    """Pair the arms of two sides.

    Within a task, arms that share weights and recipe belong together; of those that are left, arms that are alone in
    sharing the names of checkpoint and recipe, then the checkpoint, then the recipe; all this first among arms of the
    same subset and share of the training data. One arm on each side is a pair whatever it is: that is what the user
    asks about.

    Args:
        a, b: arms of each side.
        named: what the user wrote for them.

    Raises:
        UserError: both sides are the same runs; no task is on both; several arms could be meant.
    """
    by_task: list[dict[str, list[Arm]]] = []
    for arms in (a, b):
        tasks: dict[str, list[Arm]] = defaultdict(list)
        for arm in arms:
            tasks[arm.record.identity.task.name].append(arm)
        by_task.append(tasks)
    common = sorted(by_task[0].keys() & by_task[1].keys())
    if not common:
        sides = "; ".join(f"{where} has {', '.join(sorted(t))}" for where, t in zip(named, by_task, strict=True))
        raise UserError(f"no task is on both sides: {sides}", fix="Compare runs of the same tasks.")
    pairs, left_out, same = [], [], 0
    for task in common:
        matched, lone = _of_task(by_task[0][task], by_task[1][task], named, a, b)
        copies = [pair for pair in matched if _same_runs(*pair)]
        same += len(copies)
        left_out += [f"{task}: {one.name} is the same runs on both sides" for one, _ in copies]
        pairs += [pair for pair in matched if not _same_runs(*pair)]
        left_out += [f"{task}: {arm.name} is in {side} only" for arm, side in lone]
    if not pairs:
        raise UserError(
            f"{named[0]} and {named[1]} are the same runs, and there is nothing to compare",
            fix=f"Name two different ones{_example(a, b, named)}.",
        )
    for where, mine, other in ((named[0], by_task[0], by_task[1]), (named[1], by_task[1], by_task[0])):
        left_out += [f"{task}: in {where} only" for task in sorted(mine.keys() - other.keys())]
    return Pairing(tuple(pairs), tuple(left_out))


@dataclass(frozen=True)
class PairedArms:
    """Which arm of a candidate answers to which of a baseline.

    Attributes:
        pairs: baseline and candidate.
        problems: one line for each arm of the baseline that nothing answers to, or too much does.
        notes: one line for what was left out without harm.
    """

    pairs: list[tuple[Arm, Arm]]
    problems: list[str]
    notes: list[str]


def answers(baseline: Sequence[Arm], candidate: Sequence[Arm], split: str = "test") -> PairedArms:
    """What of a candidate answers to each arm of a baseline, task by task: for a gate, where nothing may be missing.

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
        for key, limits in (
            (_identity, lambda arm: arm.question(split)),
            (_identity, _no_limits),
            (_plain_names, _limits),
        ):
            matched = _alone(before, after, key, limits)
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
    return PairedArms(found, problems, notes)


def _of_task(
    before: list[Arm], after: list[Arm], named: tuple[str, str], a: Sequence[Arm], b: Sequence[Arm]
) -> tuple[list[tuple[Arm, Arm]], list[tuple[Arm, str]]]:
    """Pairs of one task, and arms that have no counterpart, with the side that they are on."""
    if len(before) == len(after) == 1:
        return [(before[0], after[0])], []
    matched: list[tuple[Arm, Arm]] = []
    left, right = list(before), list(after)
    for limits, key in product((_limits, _no_limits), (_identity, _names, _checkpoint, _recipe)):
        unique = _alone(left, right, key, limits)
        matched += unique
        left = [arm for arm in left if all(arm is not one for one, _ in unique)]
        right = [arm for arm in right if all(arm is not other for _, other in unique)]
    models = [[arm for arm in arms if arm.record.identity.checkpoint is not None] for arms in (left, right)]
    nothing_yet = all(one.record.identity.checkpoint is None for one, _ in matched)
    if nothing_yet and len(models[0]) == len(models[1]) == 1:
        matched.append((models[0][0], models[1][0]))
        left.remove(models[0][0])
        right.remove(models[1][0])
    elif (nothing_yet and models[0] and models[1]) or _confused(left, right):
        choices = models if models[0] and models[1] else [left, right]
        one, other = choices[0][0], choices[1][0]
        raise UserError(
            f"several arms of {one.record.identity.task.name} could be meant: "
            f"A has {listed(choices[0])}; B has {listed(choices[1])}",
            fix=f"Say which, for example: bench compare '{_written(named[0], one, a)}' '{_written(named[1], other, b)}'.",
        )
    return matched, [*((arm, named[0]) for arm in left), *((arm, named[1]) for arm in right)]


def _alone(before: Sequence[Arm], after: Sequence[Arm], key: Key, limits: Key) -> list[tuple[Arm, Arm]]:
    """Pairs whose key and limits one arm of each side has, and no other."""
    keys = [[(key(arm), limits(arm)) for arm in arms] for arms in (before, after)]
    return [
        (arm, after[keys[1].index(own)])
        for arm, own in zip(before, keys[0], strict=True)
        if own[0] is not None and keys[0].count(own) == keys[1].count(own) == 1
    ]


def _confused(left: Sequence[Arm], right: Sequence[Arm]) -> bool:
    """Whether arms that are left share a checkpoint, or a recipe, with several of the other side."""
    return any(
        key(one) is not None and key(one) == key(other)
        for key in (_checkpoint, _recipe)
        for one in left
        for other in right
    )


def _identity(arm: Arm) -> Hashable:
    return arm_key(arm.record)


def _names(arm: Arm) -> Hashable:
    return arm.name


def _plain_names(arm: Arm) -> Hashable:
    return arm.record.subject, arm.record.identity.recipe.name


def _checkpoint(arm: Arm) -> Hashable:
    checkpoint = arm.record.identity.checkpoint
    return checkpoint and checkpoint.name


def _recipe(arm: Arm) -> Hashable:
    return arm.record.identity.recipe.name


def _limits(arm: Arm) -> Hashable:
    return arm.record.identity.subset, arm.record.identity.fraction


def _no_limits(arm: Arm) -> Hashable:
    return None


def _same_runs(one: Arm, other: Arm) -> bool:
    """Whether two arms are the very same folders."""
    return {folder.resolve() for folder, _ in one.runs} == {folder.resolve() for folder, _ in other.runs}


def _example(a: Sequence[Arm], b: Sequence[Arm], named: tuple[str, str]) -> str:
    """Two arms of what the user named, as they would be written."""
    arms = max((a, b), key=len)
    where = named[0] if arms is a else named[1]
    models = [arm for arm in arms if arm.record.identity.checkpoint is not None] or list(arms)
    of_one_task = [arm for arm in models if arm.record.identity.task.name == models[0].record.identity.task.name]
    if len(of_one_task) < 2:
        return ""
    shown = [f"'{_written(where, arm, arms)}'" for arm in of_one_task[:2]]
    return f", for example: bench compare {shown[0]} {shown[1]}"


def _written(where: str, arm: Arm, arms: Sequence[Arm]) -> str:
    return suggested(where, arm.record, [one.record for one in arms])
