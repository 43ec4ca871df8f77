"""Made-up models on made-up proteins, with known truth, and the methods that are asked about them.

A run is right on a protein where a sum is positive: of a constant, the family and the protein (the same for every model),
the arm's own view of them, the seed's effect on everything, and the seed's effect on the family and on the protein. All
but the constant are normal with the variances of the regime; they add up to one, so that the true accuracy is a formula.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.special import ndtr, ndtri
from scipy.stats import t as student

from hubtools.evaluation import Predictions
from hubtools.evaluation.statistics.arm_interval import (
    arm_interval,
    arm_score,
    covariances,
    hierarchical_interval,
    satterthwaite,
    variance_parts,
)
from hubtools.evaluation.statistics.difference import Difference, Question, difference
from hubtools.evaluation.statistics.resampled import Resampled, Units, worth
from hubtools.evaluation.statistics.resampling import bootstrap_weights
from hubtools.specs.problem import Problem
from hubtools.specs.record import Score
from hubtools.specs.task import Task

ACCURACY = 0.80
REPLICATES = 1_000
TAIL = 0.025


class Tally:
    """How often what happened, by any key; and numbers by key."""

    def __init__(self) -> None:
        self.happened: dict[tuple[Any, ...], int] = defaultdict(int)
        self.of: dict[tuple[Any, ...], int] = defaultdict(int)
        self.numbers: dict[tuple[Any, ...], list[float]] = defaultdict(list)

    def add(self, *key: Any, happened: bool) -> None:
        """Count one case."""
        self.happened[key] += bool(happened)
        self.of[key] += 1

    def share(self, *key: Any) -> float | None:
        """Share of cases in which it happened; None without cases."""
        return self.happened[key] / self.of[key] if self.of.get(key) else None

    def as_json(self) -> list[dict[str, Any]]:
        """Every count."""
        return [{"key": list(key), "happened": self.happened[key], "of": of} for key, of in self.of.items()]

    def join(self, other: Tally) -> None:
        """Add the counts and numbers of another."""
        for key, of in other.of.items():
            self.of[key] += of
            self.happened[key] += other.happened[key]
        for key, numbers in other.numbers.items():
            self.numbers[key] += numbers


@dataclass(frozen=True)
class Regime:
    """Where the variance of "is it right?" comes from; what is left of 1 is the protein, alike for every model.

    Attributes:
        name: for the tables.
        proteins, families: of the test set.
        unequal: whether families differ in size (log-normal), else all have the same.
        family: of the homology family, for every model alike.
        arm_family, arm_protein: of an arm's own view of a family and a protein, for all of its seeds alike.
        seed: of a seed's effect on everything.
        seed_family, seed_protein: of a seed's effect on a family and a protein.
        quiet: what the baseline's seed effects are multiplied by.
    """

    name: str
    proteins: int = 2_000
    families: int = 400
    unequal: bool = False
    family: float = 0.25
    arm_family: float = 0.0
    arm_protein: float = 0.0
    seed: float = 0.0
    seed_family: float = 0.0
    seed_protein: float = 0.0
    quiet: float = 1.0

    def seed_effects(self, arm: int) -> tuple[float, float, float]:
        """Variances on everything, families and proteins; arm 0 is the baseline."""
        factor = self.quiet**2 if arm == 0 else 1.0
        return self.seed * factor, self.seed_family * factor, self.seed_protein * factor


REGIMES = (
    Regime("seeds differ overall", seed=0.0018, seed_family=0.02, seed_protein=0.05),
    Regime("seeds differ protein by protein", seed_family=0.20, seed_protein=0.25),
    Regime(
        "few, strong, unequal families",
        proteins=1_000,
        families=60,
        unequal=True,
        family=0.5,
        seed=0.001,
        seed_family=0.05,
        seed_protein=0.05,
    ),
    Regime("seeds of the candidate only", seed=0.0018, seed_family=0.02, seed_protein=0.05, quiet=0.1),
    Regime(
        "another model, as good",
        arm_family=0.06,
        arm_protein=0.10,
        seed=0.0006,
        seed_family=0.02,
        seed_protein=0.05,
    ),
)


# For one arm's interval, by the number of families.
ONE_ARM_REGIMES = (
    Regime("seeds differ overall", seed=0.0018, seed_family=0.02, seed_protein=0.05),
    Regime("seeds differ protein by protein", seed_family=0.20, seed_protein=0.25),
    Regime("strong families", family=0.5, seed=0.001, seed_family=0.05, seed_protein=0.05),
)


@dataclass(frozen=True, eq=False)
class World:
    """One test set and the latent values of the runs of both arms on it.

    Attributes:
        sizes: (F,) proteins of each family; proteins lie family by family.
        latent: for each arm (k, n), without the constant.
        overall: for each arm (k,) the part of it that is a seed's effect on everything.
    """

    sizes: np.ndarray
    latent: tuple[np.ndarray, ...]
    overall: tuple[np.ndarray, ...]


def of_families(families: int) -> tuple[np.ndarray, Units]:
    """The bootstrap's draws of so many families, and what they are."""
    weights = np.concatenate(list(bootstrap_weights(families, REPLICATES, 0))).astype(np.float32)
    return weights, Units(families, None, f"{families} families", "made up")


def draw_world(regime: Regime, runs: int, rng: np.random.Generator, arms: int = 2) -> World:
    """A test set and runs of two arms, or of several; the first is the baseline."""
    if regime.unequal:
        weights = rng.lognormal(sigma=1.0, size=regime.families)
        extra = rng.multinomial(regime.proteins - regime.families, weights / weights.sum())
        sizes = 1 + extra
    else:
        sizes = np.full(regime.families, regime.proteins // regime.families)
    n, family = int(sizes.sum()), np.repeat(np.arange(len(sizes)), sizes)

    def effects(variance: float, *shape: int) -> Any:
        return np.sqrt(variance) * rng.standard_normal(shape, dtype=np.float32) if variance else np.float32(0)

    shared = effects(regime.family, len(sizes))[family]
    latent, overall = [], []
    for arm in range(arms):
        everywhere, by_family, by_protein = regime.seed_effects(arm)
        own = regime.arm_family + regime.arm_protein + everywhere + by_family + by_protein
        value = np.zeros((runs, n), dtype=np.float32) + shared
        value += effects(regime.arm_family, len(sizes))[family] if regime.arm_family else 0
        value += effects(regime.arm_protein, n)
        seeds = effects(everywhere, runs, 1) + np.zeros((runs, 1), dtype=np.float32)
        value += seeds
        value += effects(by_family, runs, len(sizes))[:, family] if by_family else 0
        value += effects(by_protein, runs, n)
        latent.append((value, 1 - regime.family - own))
        overall.append(seeds[:, 0])
    # What is left of the variance is the protein's, the same for all arms up to where their seeds differ.
    protein = rng.standard_normal(n, dtype=np.float32)
    return World(sizes, tuple(value + np.sqrt(left) * protein for value, left in latent), tuple(overall))


def constant(accuracy: float) -> float:
    """What must be added to a latent value of variance one so that it is positive in this share of cases."""
    return float(ndtri(accuracy))


def of_weights(regime: Regime, arm: int, overall: np.ndarray, accuracy: float) -> float:
    """The true accuracy of these very runs, on all proteins."""
    rest = 1 - regime.seed_effects(arm)[0]
    return float(ndtr((constant(accuracy) + overall) / np.sqrt(rest)).mean())


def resampled(right: np.ndarray, world: World, weights: np.ndarray, units: Units) -> Resampled:
    """Accuracy of (k, n) runs under the shipped bootstrap's draws of families."""
    starts = np.append(0, np.cumsum(world.sizes)[:-1])
    by_family = np.add.reduceat(right, starts, axis=1, dtype=np.float32)
    sizes = world.sizes.astype(np.float32)
    drawn = weights @ by_family.T / (weights @ sizes)[:, None]
    units = replace(units, effective=worth(world.sizes))
    seeds = tuple(range(len(right)))
    return Resampled("accuracy", seeds, right.mean(axis=1), drawn.T.astype(np.float64), units)


def first(arm: Resampled, k: int, which: int) -> Resampled:
    """The first runs of an arm; the other arm's seeds have other numbers."""
    seeds = tuple(100 * which + seed for seed in arm.seeds[:k])
    return Resampled(arm.metric, seeds, arm.values[:k], arm.drawn[:k], arm.units)


@dataclass(frozen=True)
class Case:
    """A metric that is no mean over proteins, through predictions, units and thresholds as a run has them."""

    name: str
    problem: Problem
    metric: str
    labels: tuple[str, ...] = ()

    @property
    def task(self) -> Task:
        return Task.model_validate(
            {
                "name": "made-up",
                "version": 1,
                "title": "Made up",
                "problem": self.problem,
                "summary": "Made up.",
                "data": {"source": "file", "files": [{"path": "x.csv"}], "splits": {"train": {}, "test": {}}},
                "labels": list(self.labels),
                "metrics": {"primary": self.metric},
                "licence": "CC0-1.0",
                "citation": "none",
            }
        )


CASES = (
    Case("macro F1, five classes", Problem("sequence-classification"), "macro_f1", ("a", "b", "c", "d", "e")),
    Case("Spearman's rho", Problem("sequence-regression"), "spearman"),
)
REAL = Regime("", proteins=600, families=150, arm_family=0.05, arm_protein=0.10, seed_family=0.03, seed_protein=0.07)


def runs_of(case: Case, world: World, rng: np.random.Generator) -> tuple[list[Predictions], list[Predictions]]:
    """Predictions of both arms: a wrong protein is called another class; or its value is off by the latent value."""
    n = int(world.sizes.sum())
    ids = np.array([f"P{i}" for i in range(n)])
    families = np.array([f"F{i}" for i in np.repeat(np.arange(len(world.sizes)), world.sizes)])
    # Rare and common classes, or measured values.
    classes = rng.choice(5, size=n, p=[0.4, 0.3, 0.15, 0.1, 0.05]) if case.labels else np.zeros(n, dtype=np.int64)
    values = rng.normal(size=n)
    astray = (classes + rng.integers(1, 5, size=n)) % 5

    def predictions(latent: np.ndarray) -> Predictions:
        if case.labels:
            called = np.where(latent > -constant(ACCURACY), classes, astray)
            return Predictions(case.problem, ids, None, families, classes, np.eye(5)[called])
        return Predictions(case.problem, ids, None, families, values, values + latent)

    before, after = ([predictions(latent) for latent in arm] for arm in world.latent)
    return before, after


# ---------------------------------------------------------------------------------------------------------- methods


def percentiles(drawn: np.ndarray) -> tuple[float, float]:
    """The customary interval."""
    low, high = np.quantile(drawn, [TAIL, 1 - TAIL])
    return float(low), float(high)


def over_proteins(right: np.ndarray, other: np.ndarray | None, rng: np.random.Generator) -> tuple[float, float]:
    """Percentiles of a bootstrap over single proteins of the mean of (k, n), or of a difference of two."""
    score = (
        right.sum(axis=0, dtype=np.int64) if other is None else other.sum(axis=0) - right.sum(axis=0, dtype=np.int64)
    )
    runs, n = right.shape
    # As many values as there are: drawing proteins is drawing how often each value occurs.
    values, counts = np.unique(score, return_counts=True)
    return percentiles(rng.multinomial(n, counts / n, size=REPLICATES) @ values / (runs * n))


def mcnemar(right: np.ndarray, other: np.ndarray) -> bool:
    """Whether McNemar's test says that the second is worse."""
    lost, won = int((right & ~other).sum()), int((~right & other).sum())
    return bool(lost + won) and (won - lost) / np.sqrt(lost + won) < ndtri(TAIL)


def over_seeds_alone(baseline: Resampled, candidate: Resampled) -> tuple[float, float]:
    """Welch's t-interval of the scores, as if the test set were all there is."""
    k, m = len(baseline.values), len(candidate.values)
    parts = [(arm.values.var(ddof=1) / runs, runs - 1) for arm, runs in ((baseline, k), (candidate, m))]
    return _t(candidate.values.mean() - baseline.values.mean(), parts)


def components(baseline: Resampled, candidate: Resampled, pooled: bool) -> tuple[float, float]:
    """Ours without the lower bound, with Welch's degrees of freedom or those of equal variances."""
    k = len(baseline.values)
    covariance = covariances(np.concatenate([baseline.drawn, candidate.drawn]), baseline.units)
    one, other = (variance_parts(block, arm.values) for block, arm in _blocks(covariance, baseline, candidate))
    shared = max(0.0, one.common + other.common - 2 * float(covariance[:k, k:].mean()))
    between = [float(arm.values.var(ddof=1)) / k for arm in (baseline, candidate)]
    parts = [(sum(between), 2 * (k - 1))] if pooled else [(variance, k - 1) for variance in between]
    return _t(candidate.values.mean() - baseline.values.mean(), [(shared, baseline.units.degrees), *parts])


def _blocks(
    covariance: np.ndarray, baseline: Resampled, candidate: Resampled
) -> Iterator[tuple[np.ndarray, Resampled]]:
    k = len(baseline.values)
    yield covariance[:k, :k], baseline
    yield covariance[k:, k:], candidate


def _t(value: float, parts: list[tuple[float, float]]) -> tuple[float, float]:
    error, degrees = satterthwaite(parts)
    half = student.ppf(1 - TAIL, degrees) * error
    return float(value - half), float(value + half)


def root_of_squares(arm: Resampled) -> tuple[float, float]:
    """What is shown of records without replicates: half-widths of seeds and bootstrap, joined by the root of the sum of squares."""
    scores = []
    for seed, (value, drawn) in enumerate(zip(arm.values, arm.drawn, strict=True)):
        low, high = percentiles(drawn)
        scores.append((seed, Score(value=float(value), low=low, high=high)))
    estimate = arm_score(scores, None, arm.metric)
    assert estimate.low is not None and estimate.high is not None
    return estimate.low, estimate.high


def bounds(interval: Any) -> tuple[float, float]:
    """Of anything with low and high."""
    return (interval.low, interval.high)


# Gates that fire where the interval of a method lies below 0.
OF_INTERVALS = {
    "bootstrap over families, runs fixed": "weights: bench",
    "Welch t of seeds": "recipe: Welch t of seeds",
    "hierarchical bootstrap": "recipe: hierarchical",
    "components, equal variances": "recipe: equal variances",
    "components, no lower bound": "recipe: no lower bound",
    "bench (recipe)": "recipe: bench",
}
GATES = ("threshold 0.5 points", "threshold 1 point", "McNemar", "bootstrap over proteins", *OF_INTERVALS)


def one_arm(right: np.ndarray, arm: Resampled, rng: np.random.Generator) -> dict[str, tuple[float, float]]:
    """Intervals of one arm's accuracy by every method."""
    return {
        "bootstrap, proteins": over_proteins(right, None, rng),
        "bootstrap, families": percentiles(arm.drawn.mean(axis=0)),
        "root of squares": root_of_squares(arm),
        "hierarchical": bounds(hierarchical_interval(arm)),
        "bench": bounds(arm_interval(arm)),
    }


def differences(one: Resampled, two: Resampled) -> tuple[dict[str, tuple[float, float]], Difference | None]:
    """Intervals of a difference by every method, and what bench says of the recipe, given seeds."""
    intervals = {
        "weights: percentiles": percentiles(two.drawn.mean(axis=0) - one.drawn.mean(axis=0)),
        "weights: bench": bounds(difference(one, two, Question.WEIGHTS)),
    }
    if len(one.values) == 1:
        return intervals, None
    found = difference(one, two, Question.RECIPE)
    intervals |= {
        "recipe: Welch t of seeds": over_seeds_alone(one, two),
        "recipe: hierarchical": bounds(hierarchical_interval(one, two)),
        "recipe: equal variances": components(one, two, pooled=True),
        "recipe: no lower bound": components(one, two, pooled=False),
        "recipe: bench": bounds(found),
    }
    return intervals, found


def gates(
    right: np.ndarray,
    other: np.ndarray,
    one: Resampled,
    two: Resampled,
    intervals: dict[str, tuple[float, float]],
    rng: np.random.Generator,
) -> dict[str, bool]:
    """Which gates say that the second arm is worse."""
    gain = float(two.values.mean() - one.values.mean())
    fires = {"threshold 0.5 points": gain < -0.005, "threshold 1 point": gain < -0.01}
    if len(right) == 1:
        fires["McNemar"] = mcnemar(right[0], other[0])
    fires["bootstrap over proteins"] = over_proteins(right, other, rng)[1] < 0
    return fires | {gate: intervals[name][1] < 0 for gate, name in OF_INTERVALS.items() if name in intervals}
