"""From differences to verdicts: pass, regression, or inconclusive, for one task or many at once.

With d the gain of the candidate and m the task's margin (the loss that counts as worse):

pass          the interval of d lies above -m: a loss that counts is excluded. Non-inferiority; or the runs are identical.
regression    d is below -m, and d < 0 is significant.
inconclusive  neither: the data do not tell.

Over several tasks the tests for a regression are corrected by Holm's method (Scandinavian Journal of Statistics 6,
1979), so that a gate over ten tasks raises false alarms no more often than one over a single task. Passes are not
corrected: that every task passes is claimed only where each does (an intersection-union test; Berger, Technometrics 24,
1982).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from hubtools.evaluation.comparison import CONFIDENCE, Difference

Verdict = Literal["pass", "regression", "inconclusive"]


@dataclass(frozen=True)
class Judgement:
    """The verdict on one task.

    Attributes:
        verdict: pass, regression or inconclusive.
        reason: one line on why.
        adjusted_p: one-sided p-value of a loss after Holm's correction; None where there is none.
    """

    verdict: Verdict
    reason: str
    adjusted_p: float | None


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Holm's adjusted p-values in the order given; those that are None are no tests and do not count.

    Args:
        p_values: of the tests.
    """
    tests = sorted((p, index) for index, p in enumerate(p_values) if p is not None)
    adjusted: list[float | None] = [None] * len(p_values)
    largest = 0.0
    for rank, (p, index) in enumerate(tests):
        largest = max(largest, min(1.0, (len(tests) - rank) * p))
        adjusted[index] = largest
    return adjusted


def judge(differences: Sequence[Difference], margins: Sequence[float]) -> list[Judgement]:
    """Verdicts on the tasks of one check, corrected for their number.

    Args:
        differences: one a task.
        margins: the loss of each task that counts as worse, in units of its metric.
    """
    # Superiority is the one-sided p-value of "the candidate is worse".
    adjusted = holm([difference.superiority for difference in differences])
    return [
        _judgement(difference, margin, p) for difference, margin, p in zip(differences, margins, adjusted, strict=True)
    ]


def _judgement(difference: Difference, margin: float, adjusted: float | None) -> Judgement:
    if difference.identical:
        return Judgement("pass", "identical in every replicate", adjusted)
    if difference.low is None or adjusted is None:
        return Judgement("inconclusive", "there is no interval", None)
    if difference.value < -margin and adjusted <= (1 - CONFIDENCE) / 2:
        return Judgement("regression", f"worse by more than the margin of {margin:g}", adjusted)
    if difference.low > -margin:
        return Judgement("pass", f"a loss of {margin:g} is excluded", adjusted)
    return Judgement("inconclusive", "neither a loss nor its absence is shown", adjusted)
