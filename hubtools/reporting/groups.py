"""Tie groups of a table: from the resamplings that the runs kept, or by intervals where there are none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hubtools.evaluation.seeds import ArmScore
from hubtools.runs.arms import SMALL, Arm, Found
from hubtools.runs.store import PREDICTIONS, REPLICATES

if TYPE_CHECKING:
    from hubtools.evaluation.resampled import Resampled

# Runs of a table whose resamplings are made from predictions where they kept none.
FEW_RUNS = 8
BY_INTERVALS = "intervals"


@dataclass(frozen=True)
class Membership:
    """A row's place in the tie groups.

    Attributes:
        group: from 1; None where the score is not defined.
        basis: what its difference to the group's leader was asked as: ``recipe``, ``weights`` or ``intervals``.
    """

    group: int | None
    basis: str


def resampled_rows(rows: Sequence[tuple[Found, ...]], split: str, metric: str) -> list[Resampled] | None:
    """The metric of each row under the same resamplings; None where some have none and making them would take long."""
    runs = [folder for row in rows for folder, _ in row]
    missing = 0
    for folder in runs:
        missing += not (folder / REPLICATES).is_file()
        if missing > FEW_RUNS:
            return None
    found = []
    size = 0
    for row in rows:
        arm = Arm(row)
        one = arm.kept(split, metric)
        if one is None:
            files = [folder / PREDICTIONS for folder, _ in row]
            size += sum(file.stat().st_size if file.is_file() else SMALL + 1 for file in files)
            if size > SMALL:
                return None
            from hubtools.evaluation.resampled import KEPT_REPLICATES
            from hubtools.specs.errors import UserError

            try:
                one = arm.resampled(split, metric, KEPT_REPLICATES)
            except (UserError, ValueError):  # an older record may lack what its predictions need, such as thresholds
                return None
        found.append(one)
    alike = {(one.units.digest, one.drawn.shape[1]) for one in found}
    return found if len(alike) == 1 and found[0].drawn.shape[1] > 1 else None


def memberships(estimates: Sequence[ArmScore], resampled: Sequence[Resampled] | None) -> list[Membership]:
    """Tie groups of rows, best first, those without a score last.

    Args:
        estimates: the primary score of each row.
        resampled: of each row that has a score; None: by intervals.
    """
    scored = [index for index, estimate in enumerate(estimates) if estimate.value is not None]
    result = [Membership(None, "")] * len(estimates)
    if resampled is None:
        for index, number in zip(scored, _by_intervals([estimates[index] for index in scored]), strict=True):
            result[index] = Membership(number, BY_INTERVALS)
        return result
    from hubtools.evaluation.standing import question_of, tie_groups

    for index, own, (number, leader) in zip(scored, resampled, tie_groups(resampled), strict=True):
        result[index] = Membership(number, question_of(resampled[leader], own).value)
    return result


def _by_intervals(estimates: Sequence[ArmScore]) -> list[int]:
    """A row belongs to the leader whose score its own interval contains."""
    numbers = [0] * len(estimates)
    rest, number = list(range(len(estimates))), 0
    while rest:
        number += 1
        leader = estimates[rest[0]].value
        assert leader is not None
        within = {index for index in rest if estimates[index].contains(leader)} | {rest[0]}
        for index in within:
            numbers[index] = number
        rest = [index for index in rest if index not in within]
    return numbers
