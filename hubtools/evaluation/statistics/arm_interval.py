"""What several seeds say of one arm: their mean, how much they scatter, and intervals that hold for another seed.

Two kinds of chance are in the mean score of k runs: which proteins were tested, which is the same for all of them and
does not shrink with k, and how each run turned out, which does. With V the first and s² the variance between runs

    Var = V + s² / k

(:func:`arm_interval`, which every command shows). The replicates of the runs tell V: what two *different* runs have in
common over the resampled clusters is their covariance. The variance of a single run over the clusters is larger than V by
what this run does otherwise than the next on each cluster; that is in s² already, and must not be counted twice. Of a
single run V is all that is known: its interval is about these very weights, and never about the recipe.

The interval is made where the score has no bounds, by a t-distribution, and brought back: a score near a bound is more
uncertain on the other side. That is Fisher's z for correlations (Biometrika 10, 1915) and the logit for shares.

:func:`hierarchical` is the customary alternative: draw clusters, and among the runs with replacement. It counts what is
run × cluster twice, and takes from k runs a variance that is too small by (k - 1) / k with the tails of a normal
distribution; for few runs the two errors may cancel or not (``benchmarks/simulation.py``; Owen, "The pigeonhole
bootstrap", Annals of Applied Statistics 1, 2007).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np

from hubtools.evaluation.statistics.resampled import Resampled, Units
from hubtools.specs.metric_names import METRICS, Metric
from hubtools.specs.record import Score

CONFIDENCE = 0.95
_TAILS = ((1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2)
# Two-sided 95 % quantiles of Student's t for 1 to 9 degrees of freedom; beyond, the expansion below is exact to 1e-4.
_T_QUANTILES = (12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622)


@dataclass(frozen=True)
class Interval:
    """A value with its 95 % interval.

    Attributes:
        value: the measure itself, as the mean over the runs.
        low, high: the interval; None where there is none.
        standard_error: of ``value``; None where there is no interval, and where it was not asked for.
        degrees: of freedom of the t-interval; infinite for one of percentiles.
    """

    value: float
    low: float | None
    high: float | None
    standard_error: float | None = None
    degrees: float = math.inf


@dataclass(frozen=True)
class Parts:
    """The variance of runs of one arm, taken apart.

    Attributes:
        common: variance over the clusters that different runs share.
        own: variance over the clusters that is a single run's own.
        between: variance between the runs' scores on the test set, at least ``own``, which is a part of it.
        degrees: of freedom of ``between``.
    """

    common: float
    own: float
    between: float
    degrees: float


def over_seeds(values: Sequence[float]) -> tuple[float, float, Interval]:
    """Mean, standard deviation and t-interval of the mean of some runs' scores on one test set.

    The interval is about other seeds on these very proteins; it says nothing about other proteins. One run has neither
    deviation (NaN) nor interval.

    Args:
        values: a score of each run.
    """
    from scipy.special import stdtrit

    scores = np.asarray(values, dtype=np.float64)
    mean, runs = float(scores.mean()), len(scores)
    if runs < 2:
        return mean, math.nan, Interval(mean, None, None)
    deviation = float(scores.std(ddof=1))
    error = deviation / math.sqrt(runs)
    half = float(stdtrit(runs - 1, _TAILS[1])) * error
    return mean, deviation, Interval(mean, mean - half, mean + half, error, runs - 1)


def arm_interval(resampled: Resampled) -> Interval:
    """The mean score of an arm with an interval that covers both which proteins were tested and which seeds were drawn.

    The t-interval of the variance in the module's docstring, with Satterthwaite's degrees of freedom (Biometrics Bulletin
    2, 1946). Of one run the variance is that over the clusters alone.

    Args:
        resampled: the arm's metric, in units of the metric (not turned so that higher is better).
    """
    from scipy.special import stdtrit

    value, units = float(resampled.values.mean()), resampled.units
    drawn = complete(resampled.drawn)
    if drawn is None or math.isnan(value):
        return Interval(value, None, None)
    if len(drawn) == 1:
        terms = [(float(covariances(drawn, units)), units.degrees)]
    else:
        parts = variance_parts(covariances(drawn, units), resampled.values)
        terms = [(max(0.0, parts.common), units.degrees), (parts.between / len(drawn), parts.degrees)]
    error, degrees = map(float, satterthwaite(terms))
    half = float(stdtrit(degrees, _TAILS[1])) * error if error else 0.0
    return Interval(value, *around(value, half, half, METRICS[resampled.metric]), error, degrees)


def around(value: float, below: float, above: float, metric: Metric) -> tuple[float, float]:
    """The ends of an interval, given how far it would reach if the score had no bounds.

    Args:
        value: the score.
        below, above: half-widths in units of the metric.
        metric: its bounds.
    """
    to_low, to_high = value - metric.low, metric.high - value
    if below == above == 0 or min(to_low, to_high) <= 0:
        # A score at its bound has no scale on which to go on from there.
        return max(value - below, metric.low), min(value + above, metric.high)
    if math.isinf(to_low) and math.isinf(to_high):
        return value - below, value + above
    if math.isinf(to_high):
        return metric.low + to_low * _exp(-below / to_low), metric.low + to_low * _exp(above / to_low)
    if math.isinf(to_low):
        return metric.high - to_high * _exp(below / to_high), metric.high - to_high * _exp(-above / to_high)
    # The slope of log(to_low / to_high).
    slope, centre = 1 / to_low + 1 / to_high, math.log(to_low / to_high)

    def back(place: float) -> float:
        share = 1 / (1 + math.exp(-place)) if place > 0 else math.exp(place) / (1 + math.exp(place))
        return metric.low + (metric.high - metric.low) * share

    return back(centre - below * slope), back(centre + above * slope)


def _exp(exponent: float) -> float:
    """A finite one, however uncertain the score is."""
    return math.exp(min(exponent, 500.0))


@dataclass(frozen=True)
class ArmScore:
    """A metric of an arm as every command shows it.

    Attributes:
        value: mean over the runs; None where the metric is not defined in one of them.
        low, high: 95 % interval; None where there is none.
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


def arm_score(scores: Sequence[tuple[int, Score]], resampled: Resampled | None, metric: str) -> ArmScore:
    """The mean of some runs' scores with the interval of :func:`arm_interval`.

    Args:
        scores: seed and score of each run, as recorded.
        resampled: the same under the runs' resamplings; None where there are none. Then V is taken to be as large as it can
            be, a run's own variance: the half-widths of the recorded intervals and of the t-interval of the mean, joined by
            the root of the sum of squares. That is an interval too wide.
        metric: its name.
    """
    values = [score.value for _, score in scores]
    by_seed, upwards = tuple((seed, score.value) for seed, score in scores), scores[0][1].higher_is_better
    if any(value is None or not math.isfinite(value) for value in values):
        return ArmScore(None, None, None, upwards, by_seed)
    defined = [float(value) for value in values if value is not None]
    mean = float(np.mean(defined))
    if resampled is not None:
        found = arm_interval(resampled)
        return ArmScore(mean, found.low, found.high, upwards, by_seed)
    if len(scores) == 1:
        return ArmScore(mean, scores[0][1].low, scores[0][1].high, upwards, by_seed)
    below = [score.value - score.low for _, score in scores if score.value is not None and score.low is not None]
    above = [score.high - score.value for _, score in scores if score.value is not None and score.high is not None]
    if len(below) < len(scores) or len(above) < len(scores):
        return ArmScore(mean, None, None, upwards, by_seed)
    half = t_quantile(len(defined) - 1) * float(np.std(defined, ddof=1)) / math.sqrt(len(defined))
    low, high = mean - math.hypot(float(np.mean(below)), half), mean + math.hypot(float(np.mean(above)), half)
    return ArmScore(mean, max(low, METRICS[metric].low), min(high, METRICS[metric].high), upwards, by_seed)


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


def hierarchical(resampled: Resampled, seed: int = 0) -> np.ndarray:
    """The hierarchical bootstrap of an arm's mean: in each replicate other clusters, and runs drawn with replacement.

    Args:
        resampled: the arm.
        seed: of the draws among the runs; take another one for the other arm of a comparison.

    Returns:
        (R,) means; NaN where a run that was drawn is undefined.
    """
    runs, replicates = resampled.drawn.shape
    chosen = np.random.default_rng([seed, runs]).integers(0, runs, size=(runs, replicates))
    return np.take_along_axis(resampled.drawn, chosen, axis=0).mean(axis=0)


def hierarchical_interval(baseline: Resampled, candidate: Resampled | None = None) -> Interval:
    """Percentiles of the hierarchical bootstrap: of one arm's mean, or of how much better the candidate is.

    Args:
        baseline: an arm.
        candidate: another, resampled alike; the difference is then positive where the candidate is better.
    """
    drawn, value = hierarchical(baseline), float(baseline.values.mean())
    if candidate is not None:
        sign = 1.0 if baseline.higher_is_better else -1.0
        drawn = sign * (hierarchical(candidate, seed=1) - drawn)
        value = sign * (float(candidate.values.mean()) - value)
    kept = complete(drawn[None])
    if kept is None or math.isnan(value):
        return Interval(value, None, None)
    low, high = np.quantile(kept[0], _TAILS)
    return Interval(value, float(low), float(high), float(kept[0].std(ddof=1)), math.inf)


def complete(drawn: np.ndarray) -> np.ndarray | None:
    """The replicates in which every row of (k, R) is defined; None where fewer than half are, as for a single run."""
    defined = ~np.isnan(drawn).any(axis=0)
    return drawn[:, defined] if defined.sum() >= 2 and 2 * defined.sum() >= len(defined) else None


def covariances(drawn: np.ndarray, units: Units) -> np.ndarray:
    """(k, k) of the runs over (k, R) replicates: a bootstrap of n units is (n - 1) / n too certain, which is put right."""
    return np.cov(drawn) * (units.degrees + 1) / units.degrees


def variance_parts(covariance: np.ndarray, values: np.ndarray) -> Parts:
    """Take the variance of an arm apart.

    Args:
        covariance: (k, k) of the runs over the replicates, k at least 2.
        values: (k,) score of each run on the whole test set.
    """
    different = covariance[~np.eye(len(covariance), dtype=bool)]
    common = float(different.mean())
    own = float(np.diag(covariance).mean()) - common
    between, degrees = at_least(float(values.var(ddof=1)), own, len(values))
    return Parts(common, own, float(between), float(degrees))


def at_least(between: Any, own: Any, runs: Any) -> tuple[Any, Any]:
    """Variance between runs and its degrees of freedom, given that it cannot be less than what is each run's own.

    Few runs may agree by chance. Where they agree better than they can, the bound takes the place of their variance. It is
    known better than the variance of so few, but the truth may still lie above it: it counts for 3 (k - 1) degrees. With
    as many as the bound itself has, the interval would be too narrow by a little; with k - 1 it would be wide for nothing.

    Args:
        between: variance of the k scores, of an arm or of many.
        own: the bound.
        runs: k.
    """
    enough = between >= own
    return np.where(enough, between, own), np.where(enough, runs - 1, 3 * (runs - 1))


def satterthwaite(terms: Sequence[tuple[Any, Any]]) -> tuple[Any, Any]:
    """Standard error, and degrees of freedom, of a sum of independent (variance, degrees of freedom): numbers or arrays."""
    variance = sum(term for term, _ in terms)
    weight = sum(term**2 / degrees for term, degrees in terms)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.sqrt(variance), np.where(weight > 0, np.square(variance) / weight, np.inf)
