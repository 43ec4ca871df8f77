"""Is one arm better than another: difference, interval, p-value, and what the data could have told.

Two questions, which have different answers:

``weights``  Are these two models different? The weights are what they are (for several seeds: the mean over these very
             runs); the only chance is which proteins were tested. The bootstrap over homology clusters answers it: the
             percentiles of the replicates, further out where units are few (:func:`_of_clusters`).
``recipe``   Would training again give another result? Chance is also in the seeds, and three of each arm are the least.

Variance of the difference under ``recipe``, with k runs an arm: which clusters were tested moves both arms alike, and
leaves V_shared; between runs of one arm, scores on this test set vary by s². The two add up:

    Var = V_shared + s²_baseline / k_baseline + s²_candidate / k_candidate

V_shared is read off the replicates as the covariances between different runs, so that what a run does differently on each
cluster, which s² holds already, is not counted twice (:mod:`hubtools.evaluation.statistics.arm_interval`). s² of few seeds can be small by
chance; what the replicates show of a run's own variation is its lower bound. Degrees of freedom: Satterthwaite,
Biometrics Bulletin 2, 1946. ``docs/statistics.md`` compares this with what else is in use.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np

from hubtools.evaluation.statistics.arm_interval import CONFIDENCE as CONFIDENCE
from hubtools.evaluation.statistics.arm_interval import at_least, complete, covariances, satterthwaite, variance_parts
from hubtools.evaluation.statistics.resampled import Resampled

# Fewer runs an arm do not tell how much training again changes a score.
MIN_SEEDS = 3
POWER = 0.80

# A difference that is nothing but the order in which numbers were added.
ROUNDING = 1e-12


class Question(StrEnum):
    """What a comparison is about."""

    WEIGHTS = "weights"
    RECIPE = "recipe"


@dataclass(frozen=True)
class Difference:
    """Candidate against baseline in one metric on one split.

    Attributes:
        metric: its name.
        question: what was asked.
        baseline, candidate: mean score of each arm.
        value: how much better the candidate is, in units of the metric: positive is better, also of RMSE.
        low, high: 95 % interval of ``value``; None where there is none (``recipe`` with fewer than three seeds an arm,
            a split with one unit).
        standard_error: of ``value``; None as above.
        degrees: of freedom of the interval; infinite where there is none, and of arms that are identical.
        p_value: two-sided, of no difference; None as above.
        superiority: probability that the candidate is the better one, as far as these data tell; one less it is the
            one-sided p-value of a gain, and itself the one-sided p-value of a loss. None as above.
        detectable: the smallest true difference that would be told from none with 80 % probability; None as above.
        shared, of_seeds: parts of the variance: clusters, and seeds as one run an arm. None where they cannot be told:
            one run an arm under ``recipe``, no replicates. Two runs an arm tell them, but give no interval.
        seeds: runs of baseline and candidate.
        identical: whether both gave the same scores in every replicate.
        units: what was resampled, in words.
        unit_degrees: of freedom of ``shared``.
    """

    metric: str
    question: Question
    baseline: float
    candidate: float
    value: float
    low: float | None
    high: float | None
    standard_error: float | None
    degrees: float
    p_value: float | None
    superiority: float | None
    detectable: float | None
    shared: float | None
    of_seeds: float | None
    seeds: tuple[int, int]
    identical: bool
    units: str
    unit_degrees: float = math.inf

    def seeds_needed(self, margin: float, most: int = 100) -> int | None:
        """Runs an arm with which a loss of ``margin`` would be found, or excluded where there is none, in 80 % of cases.

        The variance between runs is as uncertain as few runs leave it, and so is this number. From a single run an arm
        nothing can be told of it: then it is the least number of runs that can answer at all.

        Args:
            margin: in units of the metric.
            most: where to stop looking.

        Returns:
            At least three; None where no number of runs helps, because the test set is too small, and under ``weights``.
        """
        if self.question is Question.WEIGHTS:
            return None
        if self.shared is None or self.of_seeds is None:
            return MIN_SEEDS if min(self.seeds) < 2 else None
        for k in range(MIN_SEEDS, most + 1):
            terms = [(self.shared, self.unit_degrees), (self.of_seeds / k, 2 * (k - 1))]
            if detectable(*satterthwaite(terms)) <= margin:
                return k
        return None


def difference(baseline: Resampled, candidate: Resampled, question: Question) -> Difference:
    """Compare two arms.

    Args:
        baseline, candidate: the same metric under the same resamplings.
        question: what is asked.

    Raises:
        ValueError: the arms were not resampled alike.
    """
    if baseline.metric != candidate.metric or baseline.units.digest != candidate.units.digest:
        raise ValueError("the arms are of different metrics or rows")
    if baseline.drawn.shape[1] != candidate.drawn.shape[1]:
        raise ValueError("the arms were resampled a different number of times")
    sign = 1.0 if baseline.higher_is_better else -1.0
    before, after = sign * baseline.values, sign * candidate.values
    runs = len(before)
    # As with one arm's interval: where the metric is undefined in half of the replicates there is none.
    drawn = complete(sign * np.concatenate([baseline.drawn, candidate.drawn]))
    gain = float(after.mean() - before.mean())
    identical = drawn is not None and _same(before, after) and _same(drawn[:runs], drawn[runs:])
    spread = None
    if identical:
        spread = _Spread(0.0, math.inf, 0.0, 0.0, gain, gain)
    elif drawn is not None and not math.isnan(gain):
        if question is Question.WEIGHTS:
            gains = drawn[runs:].mean(axis=0) - drawn[:runs].mean(axis=0)
            spread = _of_clusters(gain, gains, baseline.units.degrees)
        elif min(len(before), len(after)) >= 2:
            spread = _of_seeds_and_clusters(baseline, candidate, before, after, drawn)
    # Two runs an arm tell a little of their variance, but a verdict from them would be mostly luck.
    answers = spread if identical or question is Question.WEIGHTS or min(len(before), len(after)) >= MIN_SEEDS else None
    return Difference(
        metric=baseline.metric,
        question=question,
        baseline=float(baseline.values.mean()),
        candidate=float(candidate.values.mean()),
        value=gain,
        low=answers.low if answers else None,
        high=answers.high if answers else None,
        standard_error=answers.standard_error if answers else None,
        degrees=answers.degrees if answers else math.inf,
        p_value=2 * min(answers.superiority, 1 - answers.superiority) if answers else None,
        superiority=answers.superiority if answers else None,
        detectable=detectable(answers.standard_error, answers.degrees) if answers else None,
        shared=spread.shared if spread else None,
        of_seeds=spread.of_seeds if spread else None,
        seeds=(len(before), len(after)),
        identical=identical,
        units=baseline.units.described,
        unit_degrees=baseline.units.degrees,
    )


@dataclass(frozen=True)
class _Spread:
    standard_error: float
    degrees: float
    shared: float
    of_seeds: float
    low: float
    high: float
    superiority: float = 0.5


def _same(first: np.ndarray, second: np.ndarray) -> bool:
    return first.shape == second.shape and bool(np.array_equal(first, second))


def _of_clusters(gain: float, gains: np.ndarray, degrees: float) -> _Spread:
    """The expanded percentile interval of (R,) differences of fixed weights, and the p-value that belongs to it.

    Percentiles of the bootstrap are too narrow for few units: of a mean by the square root of (n - 1) / n, and by the
    tails of a normal distribution in place of t's. Taking percentiles further out mends both (Hesterberg, "What teachers
    should know about the bootstrap", American Statistician 69, 2015). Of families of unequal size n is the number of
    equal ones that they are worth.
    """
    from scipy.special import ndtr, ndtri, stdtr, stdtrit

    error = float(gains.std(ddof=1))
    if error <= ROUNDING:
        return _Spread(0.0, math.inf, 0.0, 0.0, gain, gain, 0.5 if abs(gain) <= ROUNDING else float(gain > 0))
    stretch = math.sqrt((degrees + 1) / degrees)
    tail = float(ndtr(-stretch * stdtrit(degrees, (1 + CONFIDENCE) / 2)))
    low, high = np.quantile(gains, [tail, 1 - tail])
    # The level at which the interval would begin at 0. The observed difference is one more replicate, half on each side.
    above = (float((gains > 0).sum() + 0.5 * (gains == 0).sum()) + 0.5) / (len(gains) + 1)
    superiority = float(stdtr(degrees, ndtri(above) / stretch))
    error *= stretch
    return _Spread(error, degrees, error**2, 0.0, float(low), float(high), superiority)


def _of_seeds_and_clusters(
    baseline: Resampled, candidate: Resampled, before: np.ndarray, after: np.ndarray, drawn: np.ndarray
) -> _Spread:
    """The t-interval of the variance that the module's docstring gives."""
    from scipy.special import stdtr, stdtrit

    k, same_seeds = len(before), baseline.seeds == candidate.seeds
    covariance = covariances(drawn, baseline.units)
    cross = covariance[:k, k:]
    found = pair_chance(
        arm_chance(covariance[:k, :k], before),
        arm_chance(covariance[k:, k:], after),
        cross.mean(),
        np.diag(cross).mean() if same_seeds else np.nan,
        (after - before).var(ddof=1) if same_seeds else np.nan,
        baseline.units.degrees,
    )
    error, degrees, shared, of_seeds = map(float, (found.error, found.degrees, found.shared, found.of_seeds))
    gain = float(after.mean() - before.mean())
    if error <= ROUNDING:
        return _Spread(0.0, math.inf, shared, of_seeds, gain, gain, 0.5 if abs(gain) <= ROUNDING else float(gain > 0))
    half = float(stdtrit(degrees, (1 + CONFIDENCE) / 2)) * error
    superiority = float(stdtr(degrees, gain / error))
    return _Spread(error, degrees, shared, of_seeds, gain - half, gain + half, superiority)


@dataclass(frozen=True, eq=False)
class Chance:
    """What may vary of the mean score of an arm, or of each of (n,) arms: their seeds, or for fixed weights none.

    Attributes:
        clusters: variance over the clusters that different runs share; of fixed weights that of their mean.
        own, between, degrees: as :class:`hubtools.evaluation.statistics.arm_interval.Parts` has them; 0, 0 and infinite for fixed weights.
        runs: of the arm.
    """

    clusters: Any
    own: Any
    between: Any
    degrees: Any
    runs: Any


@dataclass(frozen=True, eq=False)
class PairChance:
    """Of differences of arms: standard error, its degrees of freedom, and the two parts of its square (seeds as one run)."""

    error: Any
    degrees: Any
    shared: Any
    of_seeds: Any


def arm_chance(covariance: np.ndarray, values: np.ndarray, question: Question = Question.RECIPE) -> Chance:
    """The chance of one arm.

    Args:
        covariance: (k, k) of its runs over the replicates.
        values: (k,) score of each run.
        question: ``recipe`` needs two runs.
    """
    if question is Question.WEIGHTS:
        return Chance(float(covariance.mean()), 0.0, 0.0, math.inf, len(values))
    parts = variance_parts(covariance, values)
    return Chance(parts.common, parts.own, parts.between, parts.degrees, len(values))


def pair_chance(one: Chance, other: Chance, cross: Any, same_seed: Any, paired: Any, unit_degrees: float) -> PairChance:
    """The chance of a difference of two arms, or of many at once: the variance that the module's docstring gives.

    Args:
        one, other: of the arms.
        cross: mean covariance of the runs of one with those of the other.
        same_seed: mean covariance of their runs of equal seeds; NaN where not both have the same seeds.
        paired: variance of the differences between the scores of these; NaN as above.
        unit_degrees: degrees of freedom of a variance over the units.
    """
    same, k = ~np.isnan(same_seed), one.runs
    with np.errstate(invalid="ignore"):
        common = np.where(same, (k * cross - same_seed) / np.maximum(k - 1, 1), cross)
        alike = np.where(same, same_seed - common, 0.0)
        # Runs of one seed are nearly the same run (a change of code or hardware that leaves training alone): take pairs.
        nearly = same & (alike > 0.5 * np.sqrt(np.maximum(one.own * other.own, 0.0)))
        by_pairs, its_degrees = at_least(paired, one.own + other.own - 2 * alike, k)
    shared = np.maximum(0.0, one.clusters + other.clusters - 2 * common)
    error, degrees = satterthwaite(
        [
            (shared, unit_degrees),
            (np.where(nearly, by_pairs, one.between) / k, np.where(nearly, its_degrees, one.degrees)),
            (np.where(nearly, 0.0, other.between) / other.runs, other.degrees),
        ]
    )
    return PairChance(error, degrees, shared, np.where(nearly, by_pairs, one.between + other.between))


def detectable(standard_error: float, degrees: float) -> float:
    """The smallest true difference that a two-sided test at 5 % finds with a probability of 80 %.

    From quantiles of the central t-distribution: at two degrees of freedom 5 % too small, from four on 1 %.
    """
    from scipy.special import stdtrit

    return float((stdtrit(degrees, (1 + CONFIDENCE) / 2) + stdtrit(degrees, POWER)) * standard_error)
