"""What several seeds say of one arm: their mean, how much they scatter, and intervals that hold for another seed.

Two kinds of chance are in the mean score of k runs: which proteins were tested, which is the same for all of them and
does not shrink with k, and how each run turned out, which does. With V the first and s² the variance between runs

    Var = V + s² / k

(:func:`arm_interval`). The replicates of the runs tell V: what two *different* runs have in common over the resampled
clusters is their covariance. The variance of a single run over the clusters is larger than V by what this run does
otherwise than the next on each cluster; that is in s² already, and must not be counted twice.

:func:`hierarchical` is the customary alternative: draw clusters, and among the runs with replacement. It counts what is
run × cluster twice, and takes from k runs a variance that is too small by (k - 1) / k with the tails of a normal
distribution; for few runs the two errors may cancel or not (``benchmarks/simulation.py``; Owen, "The pigeonhole
bootstrap", Annals of Applied Statistics 1, 2007).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hubtools.evaluation.resampled import Resampled, Units
from hubtools.specs.metric_names import METRICS

CONFIDENCE = 0.95
_TAILS = ((1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2)


@dataclass(frozen=True)
class Interval:
    """A value with its 95 % interval.

    Attributes:
        value: the mean over the runs.
        low, high: the interval; None where there is none.
        standard_error: of ``value``; None as above.
        degrees: of freedom of the t-interval; infinite for one of percentiles.
    """

    value: float
    low: float | None
    high: float | None
    standard_error: float | None
    degrees: float


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
        return mean, math.nan, Interval(mean, None, None, None, math.inf)
    deviation = float(scores.std(ddof=1))
    error = deviation / math.sqrt(runs)
    half = float(stdtrit(runs - 1, _TAILS[1])) * error
    return mean, deviation, Interval(mean, mean - half, mean + half, error, runs - 1)


def arm_interval(resampled: Resampled) -> Interval:
    """The mean score of an arm with an interval that covers both which proteins were tested and which seeds were drawn.

    One run: the percentiles of its replicates, as in its record. Several: the t-interval of the variance in the module's
    docstring, with Satterthwaite's degrees of freedom (Biometrics Bulletin 2, 1946), within the bounds of the metric.

    Args:
        resampled: the arm's metric, in units of the metric (not turned so that higher is better).
    """
    from scipy.special import stdtrit

    value = float(resampled.values.mean())
    drawn = complete(resampled.drawn)
    if drawn is None or math.isnan(value):
        return Interval(value, None, None, None, math.inf)
    if len(drawn) == 1:
        low, high = np.quantile(drawn[0], _TAILS)
        return Interval(value, float(low), float(high), float(drawn[0].std(ddof=1)), math.inf)
    parts = variance_parts(covariances(drawn, resampled.units), resampled.values)
    terms = [(max(0.0, parts.common), resampled.units.degrees), (parts.between / len(drawn), parts.degrees)]
    error, degrees = satterthwaite(terms)
    half = float(stdtrit(degrees, _TAILS[1])) * error if error else 0.0
    info = METRICS[resampled.metric]
    return Interval(value, max(value - half, info.low), min(value + half, info.high), error, degrees)


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
        return Interval(value, None, None, None, math.inf)
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
    return Parts(common, own, *at_least(float(values.var(ddof=1)), own, len(values)))


def at_least(between: float, own: float, runs: int) -> tuple[float, float]:
    """Variance between runs and its degrees of freedom, given that it cannot be less than what is each run's own.

    Few runs may agree by chance. Where they agree better than they can, the bound takes the place of their variance. It is
    known better than the variance of so few, but the truth may still lie above it: it counts for 3 (k - 1) degrees. With
    as many as the bound itself has, the interval would be too narrow by a little; with k - 1 it would be wide for nothing.

    Args:
        between: variance of the k scores.
        own: the bound.
        runs: k.
    """
    return (between, runs - 1) if between >= own else (own, 3 * (runs - 1))


def satterthwaite(terms: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Standard error, and degrees of freedom, of a sum of independent (variance, degrees of freedom)."""
    variance = sum(term for term, _ in terms)
    weight = sum(term**2 / degrees for term, degrees in terms)
    return math.sqrt(variance), variance**2 / weight if weight > 0 else math.inf
