"""Newer runs in the place of frozen ones: what a baseline's update would change, and what that change means."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from hubtools.common.errors import UserError
from hubtools.evaluation.statistics.difference import Question
from hubtools.evaluation.statistics.same_predictions import largest_difference, other_rows
from hubtools.findings.arm_comparison import Comparison, ComparisonRequest, NotComparable, judged
from hubtools.findings.arm_comparison import compared as compare_arms
from hubtools.findings.arms import Arm
from hubtools.findings.frozen_baseline import Baseline, describe, measured, place_of, rounded, sources
from hubtools.runs.store import OpenRun
from hubtools.specs.baseline_file import FrozenArm


@dataclass(frozen=True)
class Renewal:
    """What an update does with one arm.

    Attributes:
        before: the arm as it is frozen; None where it is new.
        after: as it will be; ``before`` itself where nothing changes.
        runs: name of each run's folder -> the run that is frozen.
        arm: the new runs; None where there are none, and the arm stays.
    """

    before: FrozenArm | None
    after: FrozenArm
    runs: dict[str, OpenRun]
    arm: Arm | None

    @property
    def changed(self) -> bool:
        """Whether anything will be different."""
        return self.before != self.after


def renewals(baseline: Baseline, arms: Sequence[Arm], *, add: bool = False, only_cost: bool = False) -> list[Renewal]:
    """What becomes of each arm when newer runs take the place of the frozen ones.

    A run whose predictions agree with the frozen ones within the baseline's tolerance stays as it is, budgets and all,
    so that an update without change changes no file. Arms without newer runs stay, too.

    Args:
        baseline: what is frozen.
        arms: the newer runs.
        add: also freeze arms that the baseline lacks.
        only_cost: renew the budgets, and nothing else.

    Raises:
        UserError: no arm of the baseline has newer runs; several could take the place of one; with ``only_cost``,
            predictions changed.
    """
    newer: dict[tuple[Any, ...], Arm] = {}
    for arm in arms:
        place = place_of(arm.record)
        if place in newer:
            raise UserError(
                f"two sets of runs could take the place of one: {newer[place].record.run_id} and {arm.record.run_id} "
                f"({arm.record.identity.task.name}, {arm.name})",
                fix="Name the one that is meant: --checkpoint name@commit; or use another --runs.",
            )
        newer[place] = arm
    if not add and not any(arm.place in newer for arm in baseline.file.arms):
        raise UserError(
            "none of these runs is in the baseline", where=str(baseline.folder), fix="With --add they are added."
        )
    found = [_renewal(baseline, frozen, newer.pop(frozen.place, None), only_cost) for frozen in baseline.file.arms]
    if add and not only_cost:
        found += [Renewal(None, describe(arm), sources([arm]), arm) for arm in newer.values()]
    return sorted(found, key=lambda one: (one.after.task, one.after.version, one.after.title))


def _renewal(baseline: Baseline, frozen: FrozenArm, arm: Arm | None, only_cost: bool) -> Renewal:
    old = sources([baseline.arm(frozen)])
    if arm is None:
        return Renewal(frozen, frozen, old, None)
    new, tolerance = sources([arm]), baseline.file.prediction_tolerance or 0.0
    agreeing = {name for name in old.keys() & new.keys() if _agree(old[name], new[name], tolerance)}
    if agreeing == old.keys() == new.keys():
        budgets = measured(arm) if only_cost else frozen.budgets
        return Renewal(frozen, frozen.model_copy(update={"budgets": budgets}), old, arm)
    if only_cost:
        raise UserError(
            f"{frozen.task}, {frozen.title}: the new runs are not the frozen ones, so their cost is that of something else",
            where=str(baseline.folder),
            fix="Leave --only-cost out.",
        )
    runs = {name: old[name] if name in agreeing else new[name] for name in new}
    return Renewal(frozen, describe(arm), runs, arm)


def _agree(old: OpenRun, new: OpenRun, tolerance: float) -> bool:
    """Whether a run came out as the frozen one did. Its id says that task, data, recipe and checkpoint are the same."""
    for split in old[1].test_splits:
        was, now = old[1].score(split), new[1].score(split)
        if (rounded(was.value) if was else None) != (rounded(now.value) if now else None):
            return False
    before, after = old.predictions, new.predictions
    return all(
        split in after
        and other_rows(before[split], after[split]) is None
        and largest_difference(before[split], after[split]) <= tolerance
        for split in before
    )


@dataclass(frozen=True)
class Compared:
    """An arm before and after on one split.

    Attributes:
        renewal: the arm.
        split: the split.
        comparison: of the new runs with the frozen ones; None where these cannot be compared.
        why_not: the reason, where they cannot.
    """

    renewal: Renewal
    split: str
    comparison: Comparison | None = None
    why_not: str = ""


def compared(baseline: Baseline, found: Sequence[Renewal]) -> list[Compared]:
    """What the arms that change mean, judged as a check would judge them: the baseline's question, its margins.

    Raises:
        UserError: predictions cannot be read.
    """
    rows = [_compared(baseline, renewal, split) for renewal in found for split in renewal.after.scores]
    verdicts = iter(judged([row.comparison for row in rows if row.comparison is not None]))
    return [row if row.comparison is None else replace(row, comparison=next(verdicts)) for row in rows]


def _compared(baseline: Baseline, renewal: Renewal, split: str) -> Compared:
    if renewal.before is None or renewal.arm is None:
        return Compared(renewal, split, why_not="new" if renewal.before is None else "stays: no newer runs")
    if not renewal.changed or renewal.after.runs == renewal.before.runs:
        return Compared(renewal, split, why_not="as it was")
    if split not in renewal.before.scores:
        return Compared(renewal, split, why_not=f"not comparable, {split} is new")
    before, after = baseline.arm(renewal.before), renewal.arm
    request = ComparisonRequest(Question(baseline.file.question), baseline.file.margin(after.task))
    try:
        return Compared(renewal, split, compare_arms(before, after, split, request))
    except NotComparable as error:
        return Compared(renewal, split, why_not=f"not comparable, {error.what}")
