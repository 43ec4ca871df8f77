"""From differences to verdicts: one rule for every comparison, and one set of words.

The rule is where the 95 % interval of the candidate's gain lies, as in the figure of a non-inferiority trial (Piaggio et
al., JAMA 308, 2012), with m the loss that counts:

worse                       below 0, and not above -m.
worse, within the margin    below 0, and above -m: a loss, and one that does not count.
no loss beyond the margin   above -m; or the predictions are the same.
better                      above 0.
cannot tell                 neither: the data leave a loss that counts possible, and no loss. Or there is no interval.

"Below 0" and "above 0" are findings, and of many comparisons at once some would be found by chance: over the comparisons
of one command their two-sided p-values are corrected by Holm's method (Scandinavian Journal of Statistics 6, 1979) to 5 %
together. "Above -m" is claimed of each comparison by itself: that it holds for all is claimed only where it holds for each,
which needs no correction (an intersection-union test; Berger, Technometrics 24, 1982).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from hubtools.evaluation.statistics.difference import CONFIDENCE, MIN_SEEDS, Difference, Question


class Verdict(StrEnum):
    """What a comparison comes to, of the candidate."""

    WORSE = "worse"
    OTHER = "other predictions"
    CANNOT_TELL = "cannot tell"
    WITHIN = "worse, within the margin"
    NO_LOSS = "no loss beyond the margin"
    BETTER = "better"

    @property
    def passes(self) -> bool:
        """Whether a loss that counts is excluded."""
        return self in {Verdict.WITHIN, Verdict.NO_LOSS, Verdict.BETTER}

    @property
    def fails(self) -> bool:
        """Whether something is found that was not to be."""
        return self in {Verdict.WORSE, Verdict.OTHER}


@dataclass(frozen=True)
class Judgement:
    """The verdict on one comparison.

    Attributes:
        verdict: one of the words.
        reason: one line on why.
        adjusted_p: two-sided p-value of no difference after Holm's correction; None where there is none.
    """

    verdict: Verdict
    reason: str
    adjusted_p: float | None = None


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


def judge(differences: Sequence[Difference], margins: Sequence[float | None]) -> list[Judgement]:
    """Verdicts on the comparisons of one command, corrected for their number.

    Args:
        differences: one a comparison.
        margins: the loss of each that counts, in units of its metric; None where none is stated, and any loss counts.
    """
    adjusted = holm([None if one.identical else one.p_value for one in differences])
    tests = sum(p is not None for p in adjusted)
    return [
        _judgement(difference, margin, p, tests)
        for difference, margin, p in zip(differences, margins, adjusted, strict=True)
    ]


def _judgement(found: Difference, margin: float | None, adjusted: float | None, tests: int) -> Judgement:
    low, high = found.low, found.high
    if found.identical:
        return Judgement(Verdict.NO_LOSS, "the same scores in every replicate")
    if math.isnan(found.value):
        return Judgement(Verdict.CANNOT_TELL, f"{found.metric} is not defined in every run")
    if low is None or high is None:
        return Judgement(Verdict.CANNOT_TELL, _no_interval(found))
    # Of one comparison the interval says it; of several, the correction has to agree.
    confirmed = tests < 2 or (adjusted is not None and adjusted <= 1 - CONFIDENCE)
    excluded = margin is not None and low > -margin
    counts = "" if margin is None else f" of {margin:g} or more"
    if high < 0 and confirmed:
        if excluded:
            return Judgement(Verdict.WITHIN, f"a loss is shown, and one{counts} excluded", adjusted)
        return Judgement(Verdict.WORSE, f"a loss is shown, and one{counts} not excluded", adjusted)
    if low > 0 and confirmed:
        return Judgement(Verdict.BETTER, "a gain is shown", adjusted)
    if excluded:
        return Judgement(Verdict.NO_LOSS, f"a loss{counts} is excluded", adjusted)
    if high < 0 or low > 0:
        why = f"its own interval excludes 0, but not after Holm's correction for {tests} comparisons"
        return Judgement(Verdict.CANNOT_TELL, why, adjusted)
    return Judgement(Verdict.CANNOT_TELL, f"neither a loss is shown, nor one{counts} excluded", adjusted)


def _no_interval(found: Difference) -> str:
    if found.question is Question.RECIPE and min(found.seeds) < MIN_SEEDS:
        one, other = found.seeds
        return f"needs at least {MIN_SEEDS} seeds an arm, there are {one} and {other}"
    return f"there is no interval over {found.units}"
