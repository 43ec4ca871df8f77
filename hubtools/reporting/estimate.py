"""One number from several seeds, with an interval that covers both kinds of chance."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist, fmean, stdev

from hubtools.specs.metric_names import METRICS
from hubtools.specs.record import Score

INTERVAL_MEANING = (
    "95 % intervals. One seed: the bootstrap interval of its record (which proteins happened to be tested). "
    "Several seeds: the score is their mean, and the interval joins two parts as independent, by the root of the sum "
    "of squares: the bootstrap half-width averaged over the seeds, and the half-width of the t-interval of the mean "
    "over seeds (which seed happened to be drawn)."
)
SHORT_INTERVAL_MEANING = (
    "95 % intervals; over several seeds the score is their mean, and the interval covers both which proteins were "
    "tested and which seeds were drawn."
)
WITHIN_MEANING = (
    "A tie group holds its first row, the best that is in no group above, and all rows that are not separable from it: the "
    "95 % interval of the paired difference covers 0. Question recipe (would training again tell them apart?) where both "
    "rows have at least three seeds, else weights (are these very models different?). Where runs kept no resamplings, "
    "groups are by intervals: a row whose own interval contains the first one's score. The first is chosen by the data, "
    "and a group is a statement about pairs with it, not that its rows are equal."
)
# Two-sided 95 % quantiles of Student's t for 1 to 9 degrees of freedom; beyond, the expansion below is exact to 1e-4.
_T_QUANTILES = (12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622)


@dataclass(frozen=True)
class Estimate:
    """A metric over the seeds of one row.

    Attributes:
        value: mean over seeds; None where the metric is not defined in one of them.
        low, high: 95 % interval; None where a seed has none.
        higher_is_better: direction.
        by_seed: (seed, value) of each run.
    """

    value: float | None
    low: float | None
    high: float | None
    higher_is_better: bool
    by_seed: tuple[tuple[int, float | None], ...]

    @property
    def sort_key(self) -> tuple[bool, float]:
        """Ascending order is best first, undefined last."""
        if self.value is None:
            return True, 0.0
        return False, -self.value if self.higher_is_better else self.value

    def contains(self, value: float) -> bool:
        """Whether the interval contains a value."""
        return self.low is not None and self.high is not None and self.low <= value <= self.high


def combine(scores: Sequence[tuple[int, Score]], metric: str) -> Estimate:
    """The estimate of a metric from (seed, score) of each run; see ``INTERVAL_MEANING``.

    The seeds of a row share one test set, so the bootstrap part does not shrink with more seeds.
    """
    values = [score.value for _, score in scores]
    by_seed = tuple((seed, score.value) for seed, score in scores)
    upwards = scores[0][1].higher_is_better
    if any(value is None or not math.isfinite(value) for value in values):
        return Estimate(None, None, None, upwards, by_seed)
    defined = [float(value) for value in values if value is not None]
    if len(defined) == 1:
        return Estimate(defined[0], scores[0][1].low, scores[0][1].high, upwards, by_seed)
    mean = fmean(defined)
    below = [score.value - score.low for _, score in scores if score.value is not None and score.low is not None]
    above = [score.high - score.value for _, score in scores if score.value is not None and score.high is not None]
    if len(below) < len(scores) or len(above) < len(scores):
        return Estimate(mean, None, None, upwards, by_seed)
    of_seeds = t_quantile(len(defined) - 1) * stdev(defined) / math.sqrt(len(defined))
    low, high = mean - math.hypot(fmean(below), of_seeds), mean + math.hypot(fmean(above), of_seeds)
    if info := METRICS.get(metric):
        low, high = max(low, info.low), min(high, info.high)
    return Estimate(mean, low, high, upwards, by_seed)


def t_quantile(degrees: int) -> float:
    """97.5 % quantile of Student's t: scipy would give it too, but takes longer to import than a board to build.

    Args:
        degrees: degrees of freedom, at least 1.
    """
    if degrees <= len(_T_QUANTILES):
        return _T_QUANTILES[degrees - 1]
    # Cornish-Fisher expansion of t around the normal quantile (Abramowitz & Stegun 26.7.5).
    z = NormalDist().inv_cdf(0.975)
    return (
        z
        + (z**3 + z) / (4 * degrees)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * degrees**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * degrees**3)
    )
