"""Agree, differ, or cannot tell: against scipy's t-tests, and at the edges of each verdict."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from hubtools.evaluation.statistics.difference import Difference, Question
from hubtools.evaluation.statistics.equivalence import Equivalence, EquivalenceVerdict, Reported, of_reported, of_rerun
from hubtools.evaluation.statistics.resampled import Resampled, Units

THEIRS = [0.826, 0.814, 0.817, 0.819, 0.814]
OURS = [0.796, 0.803, 0.807, 0.797, 0.808]
PAIRED = Difference(
    metric="accuracy",
    question=Question.WEIGHTS,
    baseline=0.80,
    candidate=0.78,
    value=-0.02,
    low=-0.03,
    high=-0.015,
    standard_error=0.004,
    degrees=99,
    p_value=0.001,
    superiority=0.001,
    detectable=0.01,
    shared=0.0,
    of_seeds=0.0,
    seeds=(1, 1),
    identical=False,
    units="100 homology clusters",
)


def arm(values: list[float], metric: str = "spearman", spread: float = 0.01) -> Resampled:
    """Runs whose replicates move together, as those of one test set do."""
    rng = np.random.default_rng(0)
    drawn = np.array(values)[:, None] + spread * rng.normal(size=(1, 4000))
    units = Units(500, None, "500 proteins", "digest", 500)
    return Resampled(metric, tuple(range(1, len(values) + 1)), np.array(values), drawn, units)


def reported(runs: list[float]) -> Reported:
    return Reported(float(np.mean(runs)), float(np.std(runs, ddof=1)) / math.sqrt(len(runs)), len(runs) - 1)


def against(tolerance: float, **options) -> Equivalence:
    return of_reported(arm(OURS), reported(THEIRS), tolerance, same_test=options.pop("same_test", True), **options)


def test_on_the_same_rows_it_is_the_interval_of_welch() -> None:
    found = against(0.02)
    expected = stats.ttest_ind(OURS, THEIRS, equal_var=False).confidence_interval()
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert found.value == pytest.approx(np.mean(OURS) - np.mean(THEIRS))


def test_without_a_published_spread_it_is_the_interval_of_one_sample() -> None:
    found = of_reported(arm(OURS), Reported(0.818), 0.02, same_test=True)
    expected = stats.ttest_1samp(OURS, 0.818).confidence_interval()
    assert (found.low, found.high) == pytest.approx((expected.low - 0.818, expected.high - 0.818), abs=1e-12)


def test_agreement_is_two_one_sided_tests() -> None:
    """At the smallest tolerance that agrees, both tests have 2.5 %."""
    found = against(1.0)
    smallest = max(-found.low, found.high)
    shifted = [stats.ttest_ind(np.array(OURS) + s, THEIRS, equal_var=False) for s in (smallest, -smallest)]
    p_values = [shifted[0].pvalue / 2, shifted[1].pvalue / 2]
    assert max(p_values) == pytest.approx(0.025, abs=1e-9)
    assert against(smallest + 1e-9).verdict is EquivalenceVerdict.AGREE
    assert against(smallest - 1e-9).verdict is not EquivalenceVerdict.AGREE


@pytest.mark.parametrize(
    ("tolerance", "verdict"),
    [(0.03, EquivalenceVerdict.AGREE), (0.02, EquivalenceVerdict.CANNOT_TELL), (0.005, EquivalenceVerdict.DIFFER)],
)
def test_inside_across_and_outside_the_tolerance(tolerance: float, verdict: EquivalenceVerdict) -> None:
    found = against(tolerance)
    assert found.verdict is verdict and f"±{tolerance:g}" in found.reason


def test_other_rows_are_chance_too() -> None:
    same, other = against(0.03), against(0.03, same_test=False)
    assert other.high - other.low > 1.5 * (same.high - same.low)
    assert (same.verdict, other.verdict) == (EquivalenceVerdict.AGREE, EquivalenceVerdict.CANNOT_TELL)


@pytest.mark.parametrize("runs", [1, 2])
def test_few_seeds_cannot_tell(runs: int) -> None:
    found = of_reported(arm(OURS[:runs]), reported(THEIRS), 0.5, same_test=True)
    assert found.verdict is EquivalenceVerdict.CANNOT_TELL and found.low is None and "3 seeds" in found.reason


def test_where_nothing_is_random_one_run_is_enough() -> None:
    exact = of_reported(arm([0.40]), Reported(0.399), 0.002, same_test=True, nothing_random=True)
    assert exact.verdict is EquivalenceVerdict.AGREE
    assert exact.low == pytest.approx(exact.high) == pytest.approx(0.001)
    rows = of_reported(arm([0.40]), Reported(0.399), 0.002, same_test=False, nothing_random=True)
    assert rows.verdict is EquivalenceVerdict.CANNOT_TELL
    assert rows.high - rows.low == pytest.approx(2 * 1.96 * 0.01, rel=0.05)


def test_an_undefined_score_cannot_tell() -> None:
    assert (
        of_reported(arm([math.nan] * 3), reported(THEIRS), 1, same_test=True).verdict is EquivalenceVerdict.CANNOT_TELL
    )


@pytest.mark.parametrize(
    ("changes", "margin", "verdict"),
    [
        ({}, 0.01, EquivalenceVerdict.DIFFER),
        ({"value": 0.02, "low": 0.015, "high": 0.03}, 0.01, EquivalenceVerdict.DIFFER),
        ({}, 0.05, EquivalenceVerdict.AGREE),
        # A difference is shown, and one that counts is not excluded.
        ({}, 0.025, EquivalenceVerdict.DIFFER),
        ({"low": -0.03, "high": 0.001}, 0.025, EquivalenceVerdict.CANNOT_TELL),
        ({"low": -0.05, "high": 0.01}, 0.01, EquivalenceVerdict.CANNOT_TELL),
        ({"low": None, "high": None}, 0.01, EquivalenceVerdict.CANNOT_TELL),
        ({"identical": True, "value": 0.0, "low": 0.0, "high": 0.0}, 0.01, EquivalenceVerdict.AGREE),
    ],
)
def test_a_rerun_is_held_against_the_margin_on_both_sides(
    changes: dict, margin: float, verdict: EquivalenceVerdict
) -> None:
    assert of_rerun(replace(PAIRED, **changes), margin).verdict is verdict


def test_an_error_that_grew_is_a_positive_difference_in_its_own_units() -> None:
    # The gain is negative: the candidate's error is larger.
    found = of_rerun(replace(PAIRED, baseline=0.78, candidate=0.80), 0.01, higher_is_better=False)
    assert (found.value, found.low, found.high) == (pytest.approx(0.02), 0.015, 0.03)
    assert found.verdict is EquivalenceVerdict.DIFFER
