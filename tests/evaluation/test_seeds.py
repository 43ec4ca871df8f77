"""Mean, spread and intervals over seeds, against scipy and by drawing one by one."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from hubtools.evaluation.resampled import Resampled, Units
from hubtools.evaluation.seeds import arm_interval, hierarchical, hierarchical_interval, over_seeds

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


def test_one_run_has_the_interval_of_its_record():
    one = arm([0.8], shared=0.01)
    interval = arm_interval(one)
    assert (interval.low, interval.high) == pytest.approx(tuple(np.percentile(one.drawn[0], [2.5, 97.5])))


def test_several_runs_of_a_boundless_test_set_have_the_t_interval_of_their_scores():
    interval, (_, _, expected) = arm_interval(arm()), over_seeds(SCORES)
    assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high))


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
    assert interval.high == 1 and interval.low < 0.95


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
