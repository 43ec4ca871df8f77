"""Tie groups, and ranks over tasks."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import rankdata

from hubtools.evaluation.comparison import Question, difference
from hubtools.evaluation.resampled import Resampled, Units
from hubtools.evaluation.standing import TaskScores, groups, question_of, standing, tie_groups

UNITS = Units(400, None, "400 homology clusters", "d" * 64)


def arm(value: float, rng: np.random.Generator, shared: np.ndarray, own: float, seeds: int = 1) -> Resampled:
    """Runs of true score ``value`` whose replicates move together, and ``own`` apart."""
    values = value + (rng.normal(scale=own, size=seeds) if seeds > 1 else np.zeros(seeds))
    drawn = values[:, None] + shared + rng.normal(scale=own, size=(seeds, len(shared)))
    return Resampled("accuracy", tuple(range(seeds)), values, drawn, UNITS)


def by_hand(arms: list[Resampled]) -> list[tuple[int, int]]:
    """Groups by the definition, one comparison after another."""
    rest = sorted(range(len(arms)), key=lambda index: -arms[index].values.mean())
    found, number = {}, 0
    while rest:
        leader, number = rest[0], number + 1
        left = []
        for index in rest[1:]:
            seen = difference(arms[index], arms[leader], question_of(arms[index], arms[leader]))
            if seen.low is not None and seen.high is not None and not seen.low <= 0 <= seen.high:
                left.append(index)
            else:
                found[index] = (number, leader)
        found[leader] = (number, leader)
        rest = left
    return [found[index] for index in range(len(arms))]


@pytest.mark.parametrize("seeds", [1, 2, 3, 5])
@pytest.mark.parametrize("own", [0.002, 0.02])
def test_groups_are_those_of_every_comparison_made_one_by_one(seeds: int, own: float) -> None:
    rng = np.random.default_rng(seeds)
    shared = rng.normal(scale=0.01, size=1_000)
    arms = [arm(float(value), rng, shared, own, seeds) for value in rng.uniform(0.3, 0.8, size=60)]
    found = tie_groups(arms)
    assert found == by_hand(arms)
    assert 1 < max(number for number, _ in found) < 60


def test_planted_groups_are_found_where_the_intervals_alone_overlap() -> None:
    """Differences of 0.03 between arms whose own intervals reach 0.04 to each side: pairing tells them apart."""
    rng = np.random.default_rng(0)
    shared = rng.normal(scale=0.02, size=1_000)
    arms = [arm(value, rng, shared, 0.001) for value in (0.700, 0.6995, 0.670, 0.6698, 0.640)]
    assert [number for number, _ in tie_groups(arms)] == [1, 1, 2, 2, 3]
    unpaired = [arm(value, rng, rng.normal(scale=0.02, size=1_000), 0.001) for value in (0.70, 0.6995, 0.67)]
    assert [number for number, _ in tie_groups(unpaired)] == [1, 1, 1]


def test_three_seeds_ask_about_the_recipe_and_fewer_about_the_weights() -> None:
    rng = np.random.default_rng(0)
    one, three = (arm(0.5, rng, np.zeros(10), 0.1, seeds) for seeds in (1, 3))
    assert question_of(three, three) is Question.RECIPE
    assert question_of(one, three) is Question.WEIGHTS


def test_replicates_that_are_not_defined_are_left_out_as_in_a_comparison() -> None:
    rng = np.random.default_rng(3)
    shared = rng.normal(scale=0.01, size=1_000)
    arms = [arm(value, rng, shared, 0.004) for value in (0.60, 0.596, 0.58)]
    for one in arms:
        one.drawn[:, :30] = np.nan
    arms[2].drawn[:, 40:60] = np.nan
    assert tie_groups(arms) == by_hand(arms)


def test_a_group_is_a_statement_about_pairs_with_its_first() -> None:
    """0 and 2 are apart, 1 is near both: it belongs to the first, and 2 opens the next."""
    near = {(0, 1), (1, 2)}
    found = groups([0, 1, 2], lambda leader, others: np.array([(leader, int(o)) not in near for o in others]))
    assert found == {0: (1, 0), 1: (1, 0), 2: (2, 2)}


def scores(matrix: list[list[float | None]], upwards: bool = True) -> list[TaskScores]:
    """Tasks of one seed a row, without resamplings; rows of the matrix are tasks."""
    return [
        TaskScores(tuple(None if v is None else np.array([v]) for v in row), None, upwards, upwards) for row in matrix
    ]


@pytest.mark.parametrize("upwards", [True, False])
def test_ranks_are_scipys_and_ties_share_the_mean_rank(upwards: bool) -> None:
    matrix = np.random.default_rng(1).integers(1, 6, size=(4, 9)) / 10
    found = standing(scores(matrix.tolist(), upwards), replicates=10)
    expected = rankdata(-matrix if upwards else matrix, axis=1)
    np.testing.assert_allclose(found.ranks, expected.T)
    np.testing.assert_allclose(found.mean_rank[0], expected.mean(axis=0))
    np.testing.assert_allclose(found.borda[0], ((9 - expected) / 8).mean(axis=0))


def test_improvability_by_hand() -> None:
    """Errors 0.1, 0.2 and 0.4: nothing, a half and three quarters of each is what the best does not make."""
    assert standing(scores([[0.9, 0.8, 0.6]]), replicates=5).improvability[0] == pytest.approx([0, 50, 75])
    assert standing(scores([[2.0, 1.0]], upwards=False), replicates=5).improvability[0] == pytest.approx([50, 0])
    assert standing(scores([[1.0, 1.0, 0.5]]), replicates=5).improvability[0] == pytest.approx([0, 0, 100])


def test_a_row_with_missing_results_changes_nobodys_rank_and_is_in_no_group() -> None:
    full: list[list[float | None]] = [[0.9, 0.8, 0.7], [0.5, 0.6, 0.4], [0.3, 0.2, 0.1]]
    alone = standing(scores(full), replicates=50)
    holes = [[*row, extra] for row, extra in zip(full, (0.85, None, None), strict=True)]
    found = standing(scores(holes), replicates=50)
    for name in ("mean_rank", "borda"):
        np.testing.assert_array_equal(getattr(found, name)[:, :3], getattr(alone, name))
    assert found.ranks[3, 0] == 2 and np.isnan(found.ranks[3, 1:]).all()
    assert found.mean_rank[0, 3] == 2 and found.borda[0, 3] == pytest.approx(2 / 3)
    assert found.group[3] == 0 and found.group[:3] == alone.group
    assert found.complete.tolist() == [True, True, True, False]


def test_without_two_complete_rows_those_that_are_there_are_ranked_and_nothing_is_grouped() -> None:
    found = standing(scores([[0.9, None, 0.7], [None, 0.6, 0.4]]), replicates=20)
    np.testing.assert_array_equal(found.ranks, [[1, np.nan], [np.nan, 1], [2, 2]])
    assert found.group == (0, 0, 0)
    assert found.panel.all()


def test_overall_groups_follow_paired_ranks() -> None:
    rng = np.random.default_rng(0)
    base = rng.uniform(0.3, 0.8, size=12)
    matrix = np.stack([base + 0.02, base + 0.02 + rng.normal(scale=0.005, size=12), base - 0.1], axis=1)
    assert standing(scores(matrix.tolist())).group == (1, 1, 2)


def test_intervals_hold_the_true_mean_rank() -> None:
    """Tasks drawn from a world in which the second of two rows is the better one on 70 % of tasks: mean rank 1.3.

    Sixty boards of twelve tasks with three seeds and resampled clusters: nominal 95 %, and never far below.
    """
    rng = np.random.default_rng(5)
    inside = []
    for board in range(60):
        tasks = []
        for _ in range(12):
            gap = 0.3 if rng.random() < 0.7 else -0.3
            shared = rng.normal(scale=0.02, size=200)
            values = [level + rng.normal(scale=0.01, size=3) for level in (0.5, 0.5 + gap)]
            drawn = tuple(of[:, None] + shared + rng.normal(scale=0.01, size=(3, 200)) for of in values)
            tasks.append(TaskScores(tuple(values), drawn, True, True))
        _, low, high = standing(tasks, replicates=300, seed=board).mean_rank[:, 1]
        inside.append(low <= 1.3 <= high)
    assert 0.88 <= np.mean(inside) <= 1


def test_clusters_and_seeds_widen_the_interval() -> None:
    rng = np.random.default_rng(2)
    values = tuple(0.5 + rng.normal(scale=0.001, size=3) + level for level in (0.0, 0.004))
    drawn = tuple(of[:, None] + rng.normal(scale=0.02, size=(3, 500)) for of in values)
    alone = standing([TaskScores(values, None, True, True)] * 6)
    wide = standing([TaskScores(values, drawn, True, True)] * 6)
    assert alone.mean_rank[1:, 0].tolist() == [2, 2]
    assert wide.mean_rank[1, 0] < 2
