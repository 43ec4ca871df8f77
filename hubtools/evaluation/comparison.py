"""Is one arm better than another: difference, interval, p-value, and what the data could have told.

Two questions, which have different answers:

``weights``  Are these two models different? The weights are what they are (for several seeds: the mean over these very
             runs); the only chance is which proteins were tested. The bootstrap over homology clusters answers it.
``recipe``   Would training again give another result? Chance is also in the seeds, and three of each arm are the least.

Variance of the difference under ``recipe``, with k runs an arm: which clusters were tested moves both arms alike, and
leaves V_shared; between runs of one arm, scores on this test set vary by s². The two add up:

    Var = V_shared + s²_baseline / k_baseline + s²_candidate / k_candidate

V_shared is read off the replicates as the covariances between different runs, so that what a run does differently on each
cluster, which s² holds already, is not counted twice (resampling seeds and clusters both does count it twice; Owen,
"The pigeonhole bootstrap", Ann. Appl. Stat. 1, 2007). s² of few seeds can be small by chance; what the replicates show
of a run's own variation is its lower bound. Degrees of freedom: Satterthwaite, Biometrics Bulletin 2, 1946.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from hubtools.evaluation.resampled import Resampled

# Fewer runs an arm do not tell how much training again changes a score.
MIN_SEEDS = 3
CONFIDENCE, POWER = 0.95, 0.80


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
        degrees: of freedom of the interval; infinite for ``weights``.
        p_value: two-sided, of no difference; None as above.
        superiority: probability that the candidate is the better one; None as above.
        detectable: the smallest true difference that would be told from none with 80 % probability; None as above.
        shared, of_seeds: parts of the variance: clusters, and seeds as one run an arm; None as above.
        seeds: runs of baseline and candidate.
        identical: whether both gave the same scores in every replicate.
        units: what was resampled, in words.
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

    def seeds_needed(self, margin: float, most: int = 100) -> int | None:
        """Runs an arm with which a true difference of ``margin`` would be detected; None where the test set is too small.

        Args:
            margin: in units of the metric.
            most: where to stop looking.
        """
        if self.shared is None or self.of_seeds is None:
            return None
        for k in range(MIN_SEEDS, most + 1):
            spread = math.sqrt(self.shared + self.of_seeds / k)
            if detectable(spread, 2 * k - 2) <= margin:
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
    defined = ~(np.isnan(baseline.drawn).any(axis=0) | np.isnan(candidate.drawn).any(axis=0))
    drawn_before, drawn_after = sign * baseline.drawn[:, defined], sign * candidate.drawn[:, defined]
    gain = float(after.mean() - before.mean())
    identical = _same(before, after) and _same(drawn_before, drawn_after)
    spread = None
    # As with one arm's interval: where the metric is undefined in half of the replicates there is none.
    if defined.sum() >= 2 and 2 * defined.sum() >= len(defined):
        if identical:
            spread = _Spread(gain, gain, 0.0, math.inf, 0.0, 0.0)
        elif question is Question.WEIGHTS:
            spread = _of_clusters(drawn_after.mean(axis=0) - drawn_before.mean(axis=0))
        elif min(len(before), len(after)) >= MIN_SEEDS:
            spread = _of_seeds_and_clusters(baseline, candidate, before, after, drawn_before, drawn_after)
    p_value, superiority = _chances(gain, spread)
    return Difference(
        metric=baseline.metric,
        question=question,
        baseline=float(baseline.values.mean()),
        candidate=float(candidate.values.mean()),
        value=gain,
        low=spread.low if spread else None,
        high=spread.high if spread else None,
        standard_error=spread.standard_error if spread else None,
        degrees=spread.degrees if spread else math.inf,
        p_value=p_value,
        superiority=superiority,
        detectable=detectable(spread.standard_error, spread.degrees) if spread else None,
        shared=spread.shared if spread else None,
        of_seeds=spread.of_seeds if spread else None,
        seeds=(len(before), len(after)),
        identical=identical,
        units=baseline.units.described,
    )


@dataclass(frozen=True)
class _Spread:
    low: float
    high: float
    standard_error: float
    degrees: float
    shared: float
    of_seeds: float


def _same(first: np.ndarray, second: np.ndarray) -> bool:
    return first.shape == second.shape and bool(np.array_equal(first, second))


def _of_clusters(gains: np.ndarray) -> _Spread:
    """The percentile interval of (R,) differences of fixed weights."""
    low, high = np.quantile(gains, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    variance = float(gains.var(ddof=1))
    return _Spread(float(low), float(high), math.sqrt(variance), math.inf, variance, 0.0)


def _of_seeds_and_clusters(
    baseline: Resampled,
    candidate: Resampled,
    before: np.ndarray,
    after: np.ndarray,
    drawn_before: np.ndarray,
    drawn_after: np.ndarray,
) -> _Spread:
    """The t-interval of the variance that the module's docstring gives."""
    from scipy.stats import t

    k, m = len(before), len(after)
    covariance = np.cov(np.concatenate([drawn_before, drawn_after]))
    common_before, own_before = _split(covariance[:k, :k])
    common_after, own_after = _split(covariance[k:, k:])
    cross = covariance[:k, k:]
    same_seeds = baseline.seeds == candidate.seeds
    common = float(cross[~np.eye(k, dtype=bool)].mean() if same_seeds else cross.mean())
    shared = max(0.0, common_before + common_after - 2 * common)
    clusters = max(1, baseline.units.n_units - 1)
    alike = (float(np.diag(cross).mean()) - common) if same_seeds else 0.0
    if same_seeds and alike > 0.5 * math.sqrt(max(own_before * own_after, 0.0)):
        # Runs of one seed are nearly the same run (a change of code or hardware that leaves training alone): take pairs.
        parts = [_at_least(float((after - before).var(ddof=1)), own_before + own_after - 2 * alike, k, clusters)]
    else:
        parts = [
            _at_least(float(before.var(ddof=1)), own_before, k, clusters),
            _at_least(float(after.var(ddof=1)), own_after, m, clusters),
        ]
    terms = [(shared, clusters), *((variance / runs, degrees) for variance, degrees, runs in parts)]
    variance = sum(term for term, _ in terms)
    weight = sum(term**2 / degrees for term, degrees in terms)
    degrees = variance**2 / weight if weight > 0 else math.inf
    error, gain = math.sqrt(variance), float(after.mean() - before.mean())
    half = float(t.ppf((1 + CONFIDENCE) / 2, degrees)) * error
    return _Spread(gain - half, gain + half, error, degrees, shared, sum(variance for variance, _, _ in parts))


def _split(covariance: np.ndarray) -> tuple[float, float]:
    """What the runs of an arm have in common over the clusters, and what is each run's own."""
    between = covariance[~np.eye(len(covariance), dtype=bool)]
    return float(between.mean()), float(np.diag(covariance).mean() - between.mean())


def _at_least(variance: float, own: float, runs: int, clusters: int) -> tuple[float, float, int]:
    """Variance between runs, its degrees of freedom, and the number of runs."""
    return (variance, runs - 1, runs) if variance >= own else (own, clusters, runs)


def _chances(gain: float, spread: _Spread | None) -> tuple[float | None, float | None]:
    """Two-sided p-value, and the probability that the candidate is better."""
    from scipy.stats import t

    if spread is None:
        return None, None
    if spread.standard_error == 0:
        return (1.0, 0.5) if gain == 0 else (0.0, float(gain > 0))
    superiority = float(t.cdf(gain / spread.standard_error, spread.degrees))
    return 2 * min(superiority, 1 - superiority), superiority


def detectable(standard_error: float, degrees: float) -> float:
    """The smallest true difference that a two-sided test at 5 % finds with a probability of 80 %."""
    from scipy.stats import t

    return float((t.ppf((1 + CONFIDENCE) / 2, degrees) + t.ppf(POWER, degrees)) * standard_error)
