"""Mean, spread and intervals over seeds, against scipy and by drawing one by one."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import special, stats

from hubtools.evaluation.statistics.arm_interval import (
    ArmScore,
    arm_interval,
    arm_score,
    around,
    hierarchical,
    hierarchical_interval,
    over_seeds,
    t_quantile,
)
from hubtools.evaluation.statistics.resampled import Resampled, Units
from hubtools.specs.metric_names import METRICS
from hubtools.specs.record import Score

SCORES = [0.80, 0.83, 0.79, 0.81]


def arm(values=SCORES, shared=0.0, own=0.0, n_units=300, replicates=5_000, seed=0) -> Resampled:
    rng = np.random.default_rng(seed)
    values = np.asarray(values, dtype=np.float64)
    drawn = values[:, None] + shared * rng.normal(size=replicates) + own * rng.normal(size=(len(values), replicates))
    return Resampled("accuracy", tuple(range(len(values))), values, drawn, Units(n_units, None, "clusters", "x"))


def test_over_seeds_is_the_t_interval_of_the_mean():
    mean, deviation, interval = over_seeds(SCORES)
    expected = stats.ttest_1samp(SCORES, 0).confidence_interval()
    assert (mean, deviation) == pytest.approx((np.mean(SCORES), np.std(SCORES, ddof=1)))
    assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high))
    mean, deviation, interval = over_seeds([0.8])
    assert mean == 0.8 and math.isnan(deviation) and interval.low is None


def test_one_run_is_a_t_interval_of_its_replicates_on_the_logit_scale():
    """Against scipy: Student's t with as many degrees as units less one, by the delta method."""
    one = arm([0.8], shared=0.01, n_units=25)
    interval = arm_interval(one)
    error = one.drawn[0].std(ddof=1) * math.sqrt(25 / 24)
    reach = stats.t.ppf(0.975, 24) * error / (0.8 * 0.2)
    assert (interval.low, interval.high) == pytest.approx(
        tuple(special.expit(special.logit(0.8) + reach * np.array([-1, 1])))
    )
    assert interval.degrees == 24


def test_a_correlation_has_fishers_interval():
    low, high = around(0.7, 0.05, 0.05, METRICS["spearman"])
    z, reach = np.arctanh(0.7), 0.05 / (1 - 0.7**2)
    assert (low, high) == pytest.approx((np.tanh(z - reach), np.tanh(z + reach)))


def test_an_error_stays_positive_and_a_share_below_one():
    assert around(0.1, 0.3, 0.3, METRICS["rmse"]) == pytest.approx((0.1 * math.exp(-3), 0.1 * math.exp(3)))
    assert around(0.9, 0.3, 0.3, METRICS["r2"]) == pytest.approx((1 - 0.1 * math.exp(3), 1 - 0.1 * math.exp(-3)))
    for metric, info in METRICS.items():
        value = 0.999 if info.high == 1 else 0.001
        low, high = around(value, 5.0, 5.0, info)
        assert info.low <= low < value < high <= info.high, metric
    # At its bound a score has nowhere to go on that side.
    assert around(1.0, 0.1, 0.1, METRICS["accuracy"]) == (0.9, 1.0)
    assert around(0.5, 0.0, 0.0, METRICS["accuracy"]) == (0.5, 0.5)


def test_several_runs_of_a_boundless_test_set_have_the_t_interval_of_their_scores():
    found, (_, _, expected) = arm_interval(arm()), over_seeds(SCORES)
    assert (found.standard_error, found.degrees) == pytest.approx((expected.standard_error, expected.degrees))
    half = (expected.high - expected.low) / 2
    assert (found.low, found.high) == pytest.approx(around(found.value, half, half, METRICS["accuracy"]))


def test_variances_of_clusters_and_seeds_add_up():
    interval = arm_interval(arm(shared=0.01))
    expected = math.sqrt(0.01**2 + np.var(SCORES, ddof=1) / 4)
    assert interval.standard_error == pytest.approx(expected, rel=0.02)
    assert 3 < interval.degrees < 299


def test_what_is_a_runs_own_on_each_cluster_is_not_counted_twice():
    """It moves the scores already. The hierarchical bootstrap adds it again, and is wider for it with many runs."""
    values = np.random.default_rng(1).normal(0.8, 0.01, size=40)
    found = arm(values, own=0.01)
    assert arm_interval(found).standard_error == pytest.approx(0.01 / math.sqrt(40), rel=0.25)
    assert hierarchical_interval(found).standard_error == pytest.approx(0.01 * math.sqrt(2 / 40), rel=0.25)


def test_runs_that_agree_by_chance_vary_at_least_as_each_does_by_itself():
    assert arm_interval(arm([0.8] * 4, own=0.02)).standard_error == pytest.approx(0.02 / 2, rel=0.05)


def test_an_interval_stays_within_the_bounds_of_the_metric():
    interval = arm_interval(arm([0.99, 0.95, 1.0]))
    assert 0.99 < interval.high < 1 and 0 < interval.low < 0.95


def test_without_replicates_there_is_no_interval():
    interval = arm_interval(arm(replicates=0))
    assert interval.value == pytest.approx(np.mean(SCORES)) and interval.low is None


def test_the_hierarchical_bootstrap_draws_clusters_and_runs():
    found = arm(shared=0.01, replicates=20_000)
    drawn = hierarchical(found)
    # Variance of a mean of four drawn with replacement from these four, and of the clusters.
    assert drawn.var() == pytest.approx(0.01**2 + np.var(SCORES) / 4, rel=0.05)
    assert drawn.mean() == pytest.approx(np.mean(SCORES), abs=0.001)
    np.testing.assert_array_equal(drawn, hierarchical(found))
    assert (drawn != hierarchical(found, seed=1)).any()
    # In each replicate the runs are those of the same clusters: with equal runs nothing but these is left.
    equal = arm([0.8] * 3, shared=0.01)
    np.testing.assert_allclose(hierarchical(equal), equal.drawn[0])


def test_the_hierarchical_interval_of_a_difference():
    one, two = arm(shared=0.01), arm(np.array(SCORES) - 0.05, shared=0.01)
    interval = hierarchical_interval(one, two)
    assert interval.value == pytest.approx(-0.05) and interval.low < -0.05 < interval.high < 0
    # Both arms are tested on the same clusters, which cancel; each draws seeds of its own.
    assert interval.standard_error == pytest.approx(math.sqrt(2 * np.var(SCORES) / 4), rel=0.05)


# What is shown where runs kept no replicates: from their records alone


def from_records(scores: list[tuple[int, Score]], metric: str) -> ArmScore:
    return arm_score(scores, None, metric)


def test_t_quantiles_are_those_of_scipy() -> None:
    for degrees in [*range(1, 40), 100, 1000]:
        assert t_quantile(degrees) == pytest.approx(stats.t.ppf(0.975, degrees), rel=2e-4)


def test_one_seed_keeps_the_interval_of_its_record() -> None:
    estimate = from_records([(7, Score(value=0.8, low=0.7, high=0.85))], "accuracy")
    assert (estimate.value, estimate.low, estimate.high) == (0.8, 0.7, 0.85)
    assert estimate.by_seed == ((7, 0.8),)


def test_several_seeds_join_both_kinds_of_chance() -> None:
    values = [0.50, 0.52, 0.57]
    estimate = from_records(
        [(seed, Score(value=v, low=v - 0.02, high=v + 0.04)) for seed, v in enumerate(values)], "macro_f1"
    )
    of_seeds = stats.t.ppf(0.975, 2) * np.std(values, ddof=1) / math.sqrt(3)
    assert estimate.value == pytest.approx(np.mean(values))
    assert estimate.low == pytest.approx(np.mean(values) - math.hypot(0.02, of_seeds), abs=1e-5)
    assert estimate.high == pytest.approx(np.mean(values) + math.hypot(0.04, of_seeds), abs=1e-5)


def test_equal_seeds_do_not_narrow_the_interval() -> None:
    same = Score(value=0.5, low=0.4, high=0.6)
    estimate = from_records([(1, same), (2, same), (3, same)], "mcc")
    assert (estimate.low, estimate.high) == pytest.approx((0.4, 0.6))


def test_the_interval_stays_inside_the_metrics_bounds() -> None:
    estimate = from_records(
        [(1, Score(value=0.99, low=0.9, high=1.0)), (2, Score(value=0.9, low=0.8, high=1.0))], "accuracy"
    )
    assert estimate.high == 1.0
    assert estimate.low is not None and estimate.low > 0


def test_undefined_in_one_seed_is_undefined() -> None:
    estimate = from_records([(1, Score(value=0.5, low=0.4, high=0.6)), (2, Score(value=None))], "auroc")
    assert (estimate.value, estimate.low, estimate.high) == (None, None, None)


def test_without_a_bootstrap_interval_there_is_none() -> None:
    estimate = from_records([(1, Score(value=0.5)), (2, Score(value=0.6))], "accuracy")
    assert estimate.value == pytest.approx(0.55)
    assert estimate.low is None


def test_lower_is_better_sorts_upwards() -> None:
    good, bad = (from_records([(1, Score(value=v, higher_is_better=False))], "rmse") for v in (0.2, 0.9))
    undefined = from_records([(1, Score(value=None, higher_is_better=False))], "rmse")
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
        estimate = from_records(
            [(i, Score(value=v, low=v - half, high=v + half)) for i, v in enumerate(row)], "spearman"
        )
        covered += estimate.contains(truth)
    # Three standard errors of 1,500 trials are 1.7 %.
    assert covered / trials > 0.95 - 0.017
