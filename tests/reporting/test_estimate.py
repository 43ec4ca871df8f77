"""One number from several seeds: what its interval is, and that it covers what it says."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from hubtools.reporting.estimate import combine, t_quantile
from hubtools.specs.record import Score


def test_t_quantiles_are_those_of_scipy() -> None:
    for degrees in [*range(1, 40), 100, 1000]:
        assert t_quantile(degrees) == pytest.approx(stats.t.ppf(0.975, degrees), rel=2e-4)


def test_one_seed_keeps_the_interval_of_its_record() -> None:
    estimate = combine([(7, Score(value=0.8, low=0.7, high=0.85))], "accuracy")
    assert (estimate.value, estimate.low, estimate.high) == (0.8, 0.7, 0.85)
    assert estimate.by_seed == ((7, 0.8),)


def test_several_seeds_join_both_kinds_of_chance() -> None:
    values = [0.50, 0.52, 0.57]
    estimate = combine(
        [(seed, Score(value=v, low=v - 0.02, high=v + 0.04)) for seed, v in enumerate(values)], "macro_f1"
    )
    of_seeds = stats.t.ppf(0.975, 2) * np.std(values, ddof=1) / math.sqrt(3)
    assert estimate.value == pytest.approx(np.mean(values))
    assert estimate.low == pytest.approx(np.mean(values) - math.hypot(0.02, of_seeds), abs=1e-5)
    assert estimate.high == pytest.approx(np.mean(values) + math.hypot(0.04, of_seeds), abs=1e-5)


def test_equal_seeds_do_not_narrow_the_interval() -> None:
    same = Score(value=0.5, low=0.4, high=0.6)
    estimate = combine([(1, same), (2, same), (3, same)], "mcc")
    assert (estimate.low, estimate.high) == pytest.approx((0.4, 0.6))


def test_the_interval_stays_inside_the_metrics_bounds() -> None:
    estimate = combine(
        [(1, Score(value=0.99, low=0.9, high=1.0)), (2, Score(value=0.9, low=0.8, high=1.0))], "accuracy"
    )
    assert estimate.high == 1.0
    assert estimate.low is not None and estimate.low > 0


def test_undefined_in_one_seed_is_undefined() -> None:
    estimate = combine([(1, Score(value=0.5, low=0.4, high=0.6)), (2, Score(value=None))], "auroc")
    assert (estimate.value, estimate.low, estimate.high) == (None, None, None)


def test_without_a_bootstrap_interval_there_is_none() -> None:
    estimate = combine([(1, Score(value=0.5)), (2, Score(value=0.6))], "accuracy")
    assert estimate.value == pytest.approx(0.55)
    assert estimate.low is None


def test_lower_is_better_sorts_upwards() -> None:
    good, bad = (combine([(1, Score(value=v, higher_is_better=False))], "rmse") for v in (0.2, 0.9))
    undefined = combine([(1, Score(value=None, higher_is_better=False))], "rmse")
    assert sorted([undefined, bad, good], key=lambda e: e.sort_key) == [good, bad, undefined]


@pytest.mark.parametrize("seeds", [2, 3, 5])
@pytest.mark.parametrize("seed_spread", [0.0, 0.01, 0.05])
def test_the_interval_covers_the_truth_in_95_percent(seeds: int, seed_spread: float) -> None:
    """Score = truth + luck of the test set, shared by the seeds + luck of the seed."""
    rng = np.random.default_rng(seeds)
    trials, truth, test_spread = 1_500, 0.0, 0.02
    values = (
        truth + rng.normal(scale=test_spread, size=(trials, 1)) + rng.normal(scale=seed_spread, size=(trials, seeds))
    )
    half = 1.96 * test_spread
    covered = 0
    for row in values:
        estimate = combine([(i, Score(value=v, low=v - half, high=v + half)) for i, v in enumerate(row)], "spearman")
        covered += estimate.contains(truth)
    # Three standard errors of 1,500 trials are 1.7 %.
    assert covered / trials > 0.95 - 0.017
