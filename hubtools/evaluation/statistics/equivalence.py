"""Is a result the same as another: agree, differ, or cannot tell.

That no difference is significant does not show that there is none. Two results agree where the whole interval of their
difference lies within a margin on both sides of zero, which is two one-sided tests (Schuirmann, Journal of
Pharmacokinetics and Biopharmaceutics 15, 1987), here with 2.5 % each.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

from hubtools.evaluation.statistics.arm_interval import CONFIDENCE, arm_interval, over_seeds, satterthwaite
from hubtools.evaluation.statistics.difference import MIN_SEEDS, Difference
from hubtools.evaluation.statistics.resampled import Resampled


class EquivalenceVerdict(StrEnum):
    """What reproducing a result comes to."""

    AGREE = "agree"
    DIFFER = "differ"
    CANNOT_TELL = "cannot tell"


@dataclass(frozen=True)
class Equivalence:
    """A verdict, and what it is made of.

    Attributes:
        verdict: agree, differ, or cannot tell.
        reason: one line on why.
        before, after: the score that was there, and the one made now.
        value: after less before, in units of the metric; not turned, so that a larger RMSE is positive.
        low, high: 95 % interval of it; None where there is none.
        margin: the difference that counts.
    """

    verdict: EquivalenceVerdict
    reason: str
    before: float
    after: float
    low: float | None
    high: float | None
    margin: float

    @property
    def value(self) -> float:
        """The difference."""
        return self.after - self.before


@dataclass(frozen=True)
class Reported:
    """A score as somebody reported it.

    Attributes:
        value: the score.
        standard_error: of it over the runs behind it; None where nothing is known of its spread.
        degrees: of freedom of the standard error.
    """

    value: float
    standard_error: float | None = None
    degrees: float = math.inf


def of_rerun(found: Difference, margin: float, higher_is_better: bool = True) -> Equivalence:
    """Whether a run made again is the run that it was, from their paired difference.

    The rule of :mod:`hubtools.evaluation.statistics.verdicts`, on both sides: they agree where the interval lies within the margin, and
    differ where it excludes zero and does not.

    Args:
        found: the second run against the first, under the question ``weights``.
        margin: of the task.
        higher_is_better: the metric's direction, in which ``found`` is turned.
    """
    low, high = found.low, found.high
    if not higher_is_better:
        low, high = (None if high is None else -high), (None if low is None else -low)

    def finding(verdict: EquivalenceVerdict, reason: str) -> Equivalence:
        return Equivalence(verdict, reason, found.baseline, found.candidate, low, high, margin)

    if found.identical:
        return finding(EquivalenceVerdict.AGREE, "the same score in every replicate")
    if low is None or high is None:
        return finding(EquivalenceVerdict.CANNOT_TELL, f"there is no interval over {found.units}")
    if -margin < low and high < margin:
        return finding(EquivalenceVerdict.AGREE, f"the whole interval is within ±{margin:g}")
    if low > 0 or high < 0:
        return finding(
            EquivalenceVerdict.DIFFER, f"the interval excludes zero, and a difference of {margin:g} is not excluded"
        )
    return finding(EquivalenceVerdict.CANNOT_TELL, f"a difference of {margin:g} is neither shown nor excluded")


def of_reported(
    made: Resampled, reported: Reported, tolerance: float, *, same_test: bool, nothing_random: bool = False
) -> Equivalence:
    """Whether runs give a score that was reported, of which there are no predictions.

    The difference is as uncertain as both scores are, and their variances add up: its standard error is the root of the
    sum of the squares of the two, with Satterthwaite's degrees of freedom. Which chance is in them depends on the test
    rows. On the very rows that the reported score was computed on, which proteins were tested is no chance at all; left
    are the seeds, on both sides. (That the rows might favour one of two procedures is not seen without predictions.)
    On other rows, the bootstrap of the rows that are here comes in.

    They agree where the interval lies within the tolerance, and differ where it lies outside; where it reaches across the
    tolerance, the data do not tell.

    Args:
        made: scores of the runs, and their replicates where the test rows are not the same.
        reported: the score to reproduce.
        tolerance: a difference that is no contradiction.
        same_test: whether both were computed on the same rows.
        nothing_random: another seed would give the same run; then one is enough.
    """
    mean, _, seeds = over_seeds(made.values.tolist())
    if not same_test:
        seeds = arm_interval(made)
    error, degrees = seeds.standard_error, seeds.degrees
    if nothing_random and same_test:
        error, degrees = 0.0, math.inf

    def finding(
        verdict: EquivalenceVerdict, reason: str, low: float | None = None, high: float | None = None
    ) -> Equivalence:
        return Equivalence(verdict, reason, reported.value, mean, low, high, tolerance)

    if math.isnan(mean):
        return finding(EquivalenceVerdict.CANNOT_TELL, "the score is not defined in every run")
    if len(made.values) < MIN_SEEDS and not nothing_random:
        have = len(made.values)
        return finding(
            EquivalenceVerdict.CANNOT_TELL,
            f"needs at least {MIN_SEEDS} seeds, there {'is' if have == 1 else 'are'} {have}",
        )
    if error is None:
        return finding(EquivalenceVerdict.CANNOT_TELL, f"there is no interval over {made.units.described}")
    half = _half(error, degrees, reported)
    low, high = mean - reported.value - half, mean - reported.value + half
    if -tolerance < low and high < tolerance:
        return finding(
            EquivalenceVerdict.AGREE, f"the whole interval is within the tolerance of ±{tolerance:g}", low, high
        )
    if low > tolerance or high < -tolerance:
        return finding(
            EquivalenceVerdict.DIFFER, f"the whole interval is outside the tolerance of ±{tolerance:g}", low, high
        )
    return finding(
        EquivalenceVerdict.CANNOT_TELL, f"the interval reaches across the tolerance of ±{tolerance:g}", low, high
    )


def _half(error: float, degrees: float, reported: Reported) -> float:
    """Half the width of the interval of a difference."""
    from scipy.special import stdtrit

    total, freedom = map(
        float, satterthwaite([(error**2, degrees), ((reported.standard_error or 0.0) ** 2, reported.degrees)])
    )
    return float(stdtrit(freedom, (1 + CONFIDENCE) / 2)) * total
