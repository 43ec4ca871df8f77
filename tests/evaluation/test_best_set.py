"""The best set: it holds the true best, and leaves out what cannot be it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import norm, t

from hubtools.evaluation.statistics.best_set import _Draws, _Rows, best_of_draws, best_set, question_of
from hubtools.evaluation.statistics.difference import Question, difference
from hubtools.evaluation.statistics.resampled import Resampled, Units

UNITS = Units(400, None, "400 homology clusters", "d" * 64)
EVERY = np.ones(1_000, dtype=bool)


def arm(
    value: float, rng: np.random.Generator, shared: np.ndarray, own: float, seeds: int = 1, first: int = 0
) -> Resampled:
    """Runs of true score ``value`` whose replicates move together, and ``own`` apart."""
    values = value + (rng.normal(scale=own, size=seeds) if seeds > 1 else np.zeros(seeds))
    drawn = values[:, None] + shared + rng.normal(scale=own, size=(seeds, len(shared)))
    return Resampled("accuracy", tuple(range(first, first + seeds)), values, drawn, UNITS)


def table(values: np.ndarray, own: float, seeds: int = 1, seed: int = 0) -> list[Resampled]:
    rng = np.random.default_rng(seed)
    shared = rng.normal(scale=0.01, size=1_000)
    return [arm(float(value), rng, shared, own, seeds) for value in values]


def by_hand(arms: list[Resampled]) -> list[bool]:
    """Fixed weights: the definition, with every pair from a comparison of the two and every draw of every row."""
    n, rounds = len(arms), 0.0025 / (len(arms) - 1)
    centred = np.stack([one.drawn.mean(axis=0) - one.drawn.mean() for one in arms])
    inside = []
    for i in range(n):
        told, most = -np.inf, np.full(centred.shape[1], -np.inf)
        for j in set(range(n)) - {i}:
            found = difference(arms[i], arms[j], Question.WEIGHTS)
            assert found.standard_error
            score = found.value / found.standard_error
            told = max(told, norm.isf(t.sf(score, UNITS.degrees)))
            if t.cdf(score / 2, UNITS.degrees) > rounds:
                ahead = centred[j] - centred[i]
                most = np.maximum(most, ahead / ahead.std(ddof=1))
        inside.append(bool((most >= told).mean() > 0.045))
    values = np.array([one.values.mean() for one in arms])
    return list(values >= values[inside].min())


@pytest.mark.parametrize("own", [0.002, 0.004, 0.008])
def test_the_set_is_that_of_every_row_and_pair_taken_one_by_one(own: float) -> None:
    arms = table(np.random.default_rng(7).uniform(0.5, 0.55, size=40), own)
    found = best_set(arms)
    assert found.tolist() == by_hand(arms)
    assert 1 < found.sum() < 40


@pytest.mark.parametrize("seeds", [1, 2, 3, 5])
def test_errors_and_degrees_are_those_of_a_comparison_of_the_two(seeds: int) -> None:
    """Of equal seeds, of other seeds, and of runs that are nearly the same run."""
    rng = np.random.default_rng(seeds)
    shared = rng.normal(scale=0.01, size=1_000)
    arms = [arm(value, rng, shared, 0.01, seeds, first) for value, first in ((0.8, 0), (0.79, 0), (0.78, 7), (0.7, 7))]
    near = arms[0].drawn + rng.normal(scale=1e-4, size=(seeds, 1_000))
    arms.append(replace(arms[0], values=arms[0].values - 0.2 + rng.normal(scale=1e-4, size=seeds), drawn=near))
    arms.sort(key=lambda one: -one.values.mean())
    found = _Rows.of(arms, EVERY, 1.0).pairs(np.arange(5))
    for i, j in zip(*np.triu_indices(5, 1), strict=True):
        asked = difference(arms[i], arms[j], question_of(arms[i], arms[j]))
        assert found.error[i, j] == pytest.approx(asked.standard_error, rel=1e-4)
        assert found.degrees[i, j] == pytest.approx(asked.degrees, rel=2e-2)
        assert found.error[i, j] == pytest.approx(found.error[j, i], rel=1e-6)


def test_a_recipe_beside_fixed_weights_keeps_the_chance_of_its_seeds() -> None:
    rng = np.random.default_rng(0)
    nothing = np.zeros(1_000)
    recipe, weights = arm(0.8, rng, nothing, 0.01, seeds=4), arm(0.79, rng, nothing, 0.002)
    error = _Rows.of([recipe, weights], EVERY, 1.0).pairs(np.array([0])).error[0, 1]
    covariance = np.cov(recipe.drawn) * 400 / 399
    common = covariance[~np.eye(4, dtype=bool)].mean()
    of_seeds = max(recipe.values.var(ddof=1), covariance.diagonal().mean() - common) / 4
    of_clusters = common + weights.drawn.var(ddof=1) * 400 / 399
    assert error**2 == pytest.approx(of_clusters + of_seeds, rel=0.05)


# One-sided 5 % points of Dunnett's procedure with many degrees of freedom (Dunnett, JASA 50, 1955, table 1a).
@pytest.mark.parametrize(("rivals", "point"), [(1, 1.645), (2, 1.92), (4, 2.16), (9, 2.42)])
def test_quantiles_of_the_maximum_are_dunnetts(rivals: int, point: float) -> None:
    rng = np.random.default_rng(rivals)
    drawn = rng.normal(size=(rivals + 1, 20_000))
    arms = [Resampled("accuracy", (0,), np.array([0.5]), one[None], UNITS) for one in drawn]
    draws = _Draws(_Rows.of(arms, np.ones(20_000, dtype=bool), 1.0), 0)
    assert draws.share(0, np.arange(1, rivals + 1), point, 1.0) == pytest.approx(0.05, abs=0.005)


@pytest.mark.parametrize("seeds", [1, 3, 5])
def test_the_true_best_is_in_the_set(seeds: int) -> None:
    """Ten equally good arms: each given one is out at most as often as it may be; three hundred boards."""
    rng, inside = np.random.default_rng(seeds), []
    for _ in range(300):
        level = rng.normal(scale=0.01)
        arms = []
        for _ in range(10):
            ours = rng.normal(scale=0.005)
            values = 0.7 + level + ours + (rng.normal(scale=0.01, size=seeds) if seeds > 1 else np.zeros(1))
            apart = rng.normal(scale=0.005, size=200)
            arms.append(Resampled("accuracy", tuple(range(seeds)), values, values[:, None] + apart, UNITS))
        inside.append(best_set(arms)[0])
    assert np.mean(inside) >= 0.95 - 2.3 * np.sqrt(0.95 * 0.05 / 300)


def test_rows_far_behind_do_not_enlarge_the_set() -> None:
    top = table(np.linspace(0.70, 0.67, 12), 0.004)
    alone = best_set(top)
    beside = best_set([*top, *table(np.linspace(0.5, 0.3, 400), 0.004)])
    assert 1 < alone.sum() < 12
    assert abs(beside[:12].sum() - alone.sum()) <= 1 and not beside[12:].any()


def test_every_row_above_one_of_the_set_is_in_it() -> None:
    """The second is known exactly and is out by itself; the third, not known at all, is in: so are all above it."""
    rng = np.random.default_rng(0)
    noise = [0.001, 0.001, 0.2, 0.001]
    arms = [arm(value, rng, np.zeros(1_000), own) for value, own in zip((0.8, 0.78, 0.75, 0.5), noise, strict=True)]
    assert best_set(arms).tolist() == [True, True, True, False]
    assert best_set([arms[i] for i in (3, 2, 0, 1)]).tolist() == [False, True, True, True]
    assert best_set([arms[0], arms[1], arms[3]]).tolist() == [True, False, False]


def test_lower_is_better_turns_the_set_around() -> None:
    arms = table(np.array([0.5, 0.501, 0.55, 0.7]), 0.002)
    errors = [replace(one, metric="rmse", values=-one.values + 1, drawn=-one.drawn + 1) for one in arms]
    assert best_set(errors).tolist() == [False, False, False, True] == best_set(arms).tolist()
    turned = [replace(one, metric="rmse") for one in arms]
    assert best_set(turned).tolist() == [True, True, False, False]


def test_what_is_undefined_in_some_replicates_is_left_out_of_them() -> None:
    arms = table(np.array([0.60, 0.599, 0.50]), 0.002)
    for one in arms:
        one.drawn[:, :30] = np.nan
    arms[2].drawn[:, 40:60] = np.nan
    assert best_set(arms).tolist() == [True, True, False]


def test_what_cannot_be_compared_cannot_be_left_out() -> None:
    arms = table(np.array([0.60, 0.50, 0.40, 0.30]), 0.002)
    arms[2].drawn[:, ::2] = np.nan
    arms[2].drawn[:, 1] = np.nan
    assert best_set(arms).tolist() == [True, True, True, False]
    none = [replace(one, drawn=one.drawn[:, :0]) for one in arms]
    assert best_set(none).all()


def test_few_rows() -> None:
    one, other = table(np.array([0.6, 0.5]), 0.002)
    assert best_set([]).tolist() == []
    assert best_set([one]).tolist() == [True]
    assert best_set([other, one]).tolist() == [False, True]
    assert best_set([one, one, other]).tolist() == [True, True, False]
    with pytest.raises(ValueError, match="different"):
        best_set([one, replace(other, units=replace(UNITS, digest="e" * 64))])


def test_three_seeds_ask_about_the_recipe_and_fewer_about_the_weights() -> None:
    rng = np.random.default_rng(0)
    one, three = (arm(0.5, rng, np.zeros(10), 0.1, seeds) for seeds in (1, 3))
    assert question_of(three, three) is Question.RECIPE
    assert question_of(one, three) is Question.WEIGHTS


def test_draws_that_hold_all_chance_need_no_arms() -> None:
    rng = np.random.default_rng(0)
    values = np.array([1.0, 3.0, 2.95, 2.0])
    drawn = values + rng.normal(scale=0.2, size=(1_000, 4))
    assert best_of_draws(values, drawn, degrees=50, resolution=0.0).tolist() == [False, True, True, False]
    assert best_of_draws(values, drawn, degrees=1, resolution=0.0).sum() == 4
    still = np.tile(values, (100, 1))
    assert best_of_draws(values, still, degrees=50, resolution=0.0).tolist() == [False, True, False, False]
    assert best_of_draws(values, still, degrees=50, resolution=1.0).all()
