"""Better, worse or cannot tell: differences against scipy and against arithmetic that can be done by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from evaluation_cases import a_task
from scipy import stats

from hubtools.evaluation import Predictions, resample
from hubtools.evaluation.statistics.difference import Difference, Question, detectable, difference
from hubtools.evaluation.statistics.resampled import ArmPredictions, Resampled, Units
from hubtools.specs.problem import Problem

UNITS = 400


def arm(values, own=0.0, shared=None, seeds=None, metric="accuracy", n_units=UNITS, digest="x", seed=0) -> Resampled:
    """Runs whose replicates share a deviation and have one of their own besides."""
    rng = np.random.default_rng(seed)
    values = np.asarray(values, dtype=np.float64)
    shared = np.zeros(4_000) if shared is None else shared
    drawn = values[:, None] + shared + own * rng.normal(size=(len(values), len(shared)))
    units = Units(n_units, None, f"{n_units} homology clusters", digest)
    return Resampled(metric, tuple(seeds or range(len(values))), values, drawn, units)


BEFORE, AFTER = [0.80, 0.82, 0.79, 0.81], [0.77, 0.79, 0.80, 0.74, 0.75]


# --- recipe --------------------------------------------------------------------------------------------------------


def test_without_a_part_of_the_clusters_it_is_welchs_t_test():
    found = difference(arm(BEFORE), arm(AFTER), Question.RECIPE)
    expected = stats.ttest_ind(AFTER, BEFORE, equal_var=False)
    interval = expected.confidence_interval()
    assert found.value == pytest.approx(np.mean(AFTER) - np.mean(BEFORE))
    assert found.p_value == pytest.approx(expected.pvalue, rel=1e-9)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high), rel=1e-9)
    assert found.degrees == pytest.approx(expected.df, rel=1e-9)
    assert found.superiority == pytest.approx(
        stats.ttest_ind(AFTER, BEFORE, equal_var=False, alternative="less").pvalue
    )
    assert found.shared == 0 and found.seeds == (4, 5)


def test_what_clusters_move_in_both_arms_alike_does_not_count():
    shared = 0.02 * np.random.default_rng(1).normal(size=4_000)
    alone, together = (difference(arm(BEFORE, shared=s), arm(AFTER, shared=s), Question.RECIPE) for s in (None, shared))
    assert together.standard_error == pytest.approx(alone.standard_error, rel=1e-9)


def test_what_clusters_move_in_one_arm_alone_does():
    shared = 0.02 * np.random.default_rng(1).normal(size=4_000)
    # A mean of n varies by s² / n; its bootstrap by (n - 1) / n of that.
    unbiased = shared.var(ddof=1) * UNITS / (UNITS - 1)
    alone = difference(arm(BEFORE), arm(AFTER), Question.RECIPE)
    found = difference(arm(BEFORE), arm(AFTER, shared=shared), Question.RECIPE)
    assert found.standard_error**2 == pytest.approx(alone.standard_error**2 + unbiased, rel=1e-6)
    assert found.shared == pytest.approx(unbiased, rel=1e-6)


def test_seeds_that_agree_by_chance_vary_at_least_as_their_replicates_do():
    found = difference(arm([0.8] * 3, own=0.01), arm([0.79] * 3, own=0.01, seed=1, seeds=(7, 8, 9)), Question.RECIPE)
    assert found.standard_error == pytest.approx(math.sqrt(2 * 0.01**2 / 3), rel=0.05)
    assert found.degrees == pytest.approx(2 * 3 * (3 - 1), rel=0.05)  # Three times those of as few scores.


def test_runs_of_one_seed_that_are_nearly_the_same_are_compared_in_pairs():
    """A change of code that leaves training alone: each seed's run is the old one but for a trifle."""
    rng = np.random.default_rng(3)
    own = 0.02 * rng.normal(size=(5, 4_000))
    values = 0.8 + 0.03 * rng.normal(size=5)
    after = values - 0.004 + 0.0005 * rng.normal(size=5)
    units = Units(UNITS, None, "clusters", "x")
    one = Resampled("accuracy", tuple(range(5)), values, values[:, None] + own, units)
    two = Resampled("accuracy", tuple(range(5)), after, after[:, None] + own, units)
    found = difference(one, two, Question.RECIPE)
    assert found.p_value == pytest.approx(stats.ttest_rel(after, values).pvalue, rel=1e-6)
    others = Resampled("accuracy", tuple(range(5, 10)), after, after[:, None] + own, units)
    assert difference(one, others, Question.RECIPE).p_value > 0.5  # The names of the seeds make the pairs.


def test_fewer_than_three_runs_do_not_answer_but_say_how_many_would():
    found = difference(arm(BEFORE[:2]), arm(AFTER[:2]), Question.RECIPE)
    assert (found.low, found.high, found.p_value, found.superiority, found.detectable) == (None,) * 5
    assert found.of_seeds == pytest.approx(np.var(BEFORE[:2], ddof=1) + np.var(AFTER[:2], ddof=1))
    assert found.seeds_needed(0.02) > 3
    single = difference(arm(BEFORE[:1]), arm(AFTER[:1]), Question.RECIPE)
    assert single.low is None and single.of_seeds is None and single.seeds_needed(0.02) == 3


# --- weights -------------------------------------------------------------------------------------------------------


def mean_of(values: np.ndarray, replicates: int = 20_000) -> np.ndarray:
    """Bootstrap replicates of a mean."""
    return values[np.random.default_rng(0).integers(0, len(values), size=(replicates, len(values)))].mean(axis=1)


@pytest.mark.parametrize("n", [20, 200])
def test_of_fixed_weights_the_interval_of_a_mean_is_students(n):
    """Plain percentiles would be narrower: for twenty units by a tenth."""
    gains = np.random.default_rng(5).normal(0.01, 0.05, size=n)
    found = difference(
        arm([0.8], shared=np.zeros(20_000), n_units=n),
        arm([0.8 + gains.mean()], n_units=n, shared=mean_of(gains) - gains.mean()),
        Question.WEIGHTS,
    )
    expected = stats.ttest_1samp(gains, 0)
    interval = expected.confidence_interval()
    assert (found.low, found.high) == pytest.approx(
        (interval.low, interval.high), abs=0.03 * (interval.high - interval.low)
    )
    assert found.p_value == pytest.approx(expected.pvalue, rel=0.15)
    assert found.standard_error == pytest.approx(stats.sem(gains), rel=0.03)
    assert (found.degrees, found.of_seeds) == (n - 1, 0)


def test_the_p_value_and_the_interval_say_the_same():
    """The shift at which the interval begins at 0 is the shift at which p is 0.05, of a skewed distribution too."""
    gains = mean_of(np.random.default_rng(2).exponential(size=30))
    centre = gains.mean()
    once = difference(
        arm([0.5], shared=np.zeros(20_000), n_units=30), arm([0.5], shared=gains - centre, n_units=30), Question.WEIGHTS
    )
    for bound, side in ((once.low, 1), (once.high, -1)):
        at = difference(
            arm([0.5], shared=np.zeros(20_000), n_units=30),
            arm([0.5 - bound], shared=gains - centre, n_units=30),
            Question.WEIGHTS,
        )
        assert at.p_value == pytest.approx(0.05, abs=0.002)
        assert (at.superiority > 0.5) == (side > 0)


def test_no_p_value_is_zero():
    found = difference(arm([0.9]), arm([0.1], own=0.001), Question.WEIGHTS)
    assert 0 < found.superiority < 0.001 and 0 < found.p_value < 0.002


# --- both ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("question", list(Question))
def test_the_same_runs_are_identical(question):
    found = difference(arm(BEFORE, own=0.01), arm(BEFORE, own=0.01), question)
    assert found.identical and (found.low, found.high, found.p_value) == (0, 0, 1)


@pytest.mark.parametrize("question", list(Question))
def test_lower_is_better_turns_the_sign(question):
    up = difference(arm(BEFORE, own=0.01), arm(AFTER, own=0.01, seed=1), question)
    down = difference(arm(BEFORE, own=0.01, metric="rmse"), arm(AFTER, own=0.01, seed=1, metric="rmse"), question)
    assert (down.value, down.low, down.high) == pytest.approx((-up.value, -up.high, -up.low), rel=1e-3)
    assert down.superiority == pytest.approx(1 - up.superiority, abs=1e-3)
    assert (down.baseline, down.candidate) == (up.baseline, up.candidate)


def test_replicates_without_a_value_are_left_out_and_half_of_them_are_too_many():
    one, two = arm(BEFORE, own=0.01), arm(AFTER, own=0.01, seed=1)
    one.drawn[0, :1_000], two.drawn[2, 1_000:1_500] = np.nan, np.nan
    assert difference(one, two, Question.WEIGHTS).low is not None
    two.drawn[1, 1_500:2_500] = np.nan
    assert difference(one, two, Question.WEIGHTS).low is None


def test_arms_of_other_rows_metrics_or_draws_are_no_comparison():
    one = arm(BEFORE)
    for other in (arm(AFTER, digest="y"), arm(AFTER, metric="mcc"), arm(AFTER, shared=np.zeros(10))):
        with pytest.raises(ValueError, match="arms"):
            difference(one, other, Question.WEIGHTS)


# --- what could have been found ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("degrees", "off"), [(4, 0.015), (8, 0.005), (1000, 0.001)])
def test_the_detectable_difference_is_that_of_the_noncentral_t(degrees, off):
    critical = stats.t.ppf(0.975, degrees)
    assert stats.nct.sf(critical, degrees, detectable(1.0, degrees)) == pytest.approx(0.8, abs=off)


def test_the_seeds_needed_are_the_fewest_with_which_the_margin_is_detectable():
    found = difference(arm(BEFORE, own=0.01), arm(AFTER, own=0.01, seed=1), Question.RECIPE)
    needed = {margin: found.seeds_needed(margin) for margin in (0.2, 0.05, 0.02)}
    assert needed[0.2] == 3 < needed[0.05] < needed[0.02]
    k, error = needed[0.02], math.sqrt(found.shared + found.of_seeds / needed[0.02])
    assert detectable(error, 2 * k - 2) == pytest.approx(0.02, rel=0.1)


def test_the_rules_of_thumb_of_the_documentation():
    """docs/statistics.md: in units of the standard deviation between seeds, on a large test set."""
    in_s = {k: detectable(math.sqrt(2 / k), 2 * k - 2) for k in (3, 5, 10, 16, 17)}
    assert [round(in_s[k], 1) for k in (3, 5, 10)] == [3.0, 2.0, 1.3]
    assert in_s[17] <= 1 < in_s[16]


def test_no_number_of_seeds_makes_up_for_a_small_test_set():
    shared = 0.05 * np.random.default_rng(1).normal(size=4_000)
    found = difference(arm(BEFORE), arm(AFTER, shared=shared), Question.RECIPE)
    assert found.seeds_needed(0.05) is None
    assert difference(arm(BEFORE), arm(AFTER, shared=shared), Question.WEIGHTS).seeds_needed(0.5) is None


def test_a_difference_can_be_made_by_hand() -> None:
    """Other modules' tests make them so: what has a default may be left out."""
    made = Difference("mcc", Question.RECIPE, 0.5, 0.4, -0.1, *[None] * 3, math.inf, *[None] * 5, (3, 3), False, "x")
    assert made.unit_degrees == math.inf


def test_families_of_unequal_size_are_worth_fewer_equal_ones():
    """One family of half the proteins: the test set knows less of other families than their number says."""
    task = a_task(Problem("sequence-classification"), 2, primary="accuracy")
    sizes = np.array([60, *[1] * 60])
    families = np.repeat([f"F{i}" for i in range(61)], sizes)
    truth = np.arange(120) % 2
    ids = np.array([f"P{i}" for i in range(120)])
    run = Predictions(Problem("sequence-classification"), ids, None, families, truth, np.eye(2)[truth])
    units = resample(task, ArmPredictions([run], [None], [1]), replicates=10).units
    assert units.n_units == 61 and units.effective == pytest.approx(
        (120**2 / (60**2 + 60) + (60**2 + 60) ** 2 / (60**4 + 60)) / 2
    )
    assert units.degrees == pytest.approx(units.effective - 1)
    assert Units(61, None, "families", "x").degrees == 60  # Kept by a run before this was known.
