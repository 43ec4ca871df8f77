"""Ranks over tasks, and which rows may be the best over them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import rankdata

from hubtools.evaluation.statistics.mean_ranks import TaskScores, mean_ranks_of


def scores(matrix: list[list[float | None]], upwards: bool = True) -> list[TaskScores]:
    """Tasks of one seed a row, without resamplings; rows of the matrix are tasks."""
    return [
        TaskScores(tuple(None if v is None else np.array([v]) for v in row), None, upwards, upwards) for row in matrix
    ]


@pytest.mark.parametrize("upwards", [True, False])
def test_ranks_are_scipys_and_ties_share_the_mean_rank(upwards: bool) -> None:
    matrix = np.random.default_rng(1).integers(1, 6, size=(4, 9)) / 10
    found = mean_ranks_of(scores(matrix.tolist(), upwards), replicates=10)
    expected = rankdata(-matrix if upwards else matrix, axis=1)
    np.testing.assert_allclose(found.ranks, expected.T)
    np.testing.assert_allclose(found.mean_rank[0], expected.mean(axis=0))
    np.testing.assert_allclose(found.borda[0], ((9 - expected) / 8).mean(axis=0))


def test_improvability_by_hand() -> None:
    """Errors 0.1, 0.2 and 0.4: nothing, a half and three quarters of each is what the best does not make."""
    assert mean_ranks_of(scores([[0.9, 0.8, 0.6]]), replicates=5).improvability[0] == pytest.approx([0, 50, 75])
    assert mean_ranks_of(scores([[2.0, 1.0]], upwards=False), replicates=5).improvability[0] == pytest.approx([50, 0])
    assert mean_ranks_of(scores([[1.0, 1.0, 0.5]]), replicates=5).improvability[0] == pytest.approx([0, 0, 100])


def test_a_row_with_missing_results_changes_nobodys_rank_and_is_in_no_set() -> None:
    full: list[list[float | None]] = [[0.9, 0.8, 0.7], [0.5, 0.6, 0.4], [0.3, 0.2, 0.1]]
    alone = mean_ranks_of(scores(full), replicates=50)
    holes = [[*row, extra] for row, extra in zip(full, (0.85, None, None), strict=True)]
    found = mean_ranks_of(scores(holes), replicates=50)
    for name in ("mean_rank", "borda"):
        np.testing.assert_array_equal(getattr(found, name)[:, :3], getattr(alone, name))
    assert found.ranks[3, 0] == 2 and np.isnan(found.ranks[3, 1:]).all()
    assert found.mean_rank[0, 3] == 2 and found.borda[0, 3] == pytest.approx(2 / 3)
    assert not found.best[3] and found.best[:3].tolist() == alone.best.tolist() == [True, True, True]
    assert found.complete.tolist() == [True, True, True, False]


def test_without_two_complete_rows_those_that_are_there_are_ranked_and_none_is_called_best() -> None:
    found = mean_ranks_of(scores([[0.9, None, 0.7], [None, 0.6, 0.4]]), replicates=20)
    np.testing.assert_array_equal(found.ranks, [[1, np.nan], [np.nan, 1], [2, 2]])
    assert not found.best.any()
    assert found.panel.all()


def test_the_best_set_follows_paired_ranks() -> None:
    rng = np.random.default_rng(0)
    base = rng.uniform(0.3, 0.8, size=12)
    matrix = np.stack([base + 0.02, base + 0.02 + rng.normal(scale=0.005, size=12), base - 0.1], axis=1)
    assert mean_ranks_of(scores(matrix.tolist())).best.tolist() == [True, True, False]


def test_few_tasks_leave_none_out_and_five_do_where_all_agree() -> None:
    """To be ahead on all of T tasks has a chance of 1 in 2^T: 6 % for four."""
    row: list[float | None] = [0.9, 0.5]
    assert [mean_ranks_of(scores([row] * tasks)).best.tolist()[1] for tasks in (2, 4, 5, 12)] == [
        True,
        True,
        False,
        False,
    ]


@pytest.mark.slow
def test_the_set_by_mean_rank_holds_the_true_best() -> None:
    """Four rows that are equally good over tasks of a world: each is out in at most 5 % of 200 boards."""
    rng, inside = np.random.default_rng(3), []
    for board in range(200):
        matrix = rng.normal(0.6, 0.05, size=(8, 4)).tolist()
        inside.append(mean_ranks_of(scores(matrix), replicates=300, seed=board).best[0])
    assert np.mean(inside) >= 0.95 - 2.3 * np.sqrt(0.95 * 0.05 / 200)


@pytest.mark.slow
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
        _, low, high = mean_ranks_of(tasks, replicates=300, seed=board).mean_rank[:, 1]
        inside.append(low <= 1.3 <= high)
    assert 0.88 <= np.mean(inside) <= 1


def test_clusters_and_seeds_widen_the_interval() -> None:
    rng = np.random.default_rng(2)
    values = tuple(0.5 + rng.normal(scale=0.001, size=3) + level for level in (0.0, 0.004))
    drawn = tuple(of[:, None] + rng.normal(scale=0.02, size=(3, 500)) for of in values)
    alone = mean_ranks_of([TaskScores(values, None, True, True)] * 6)
    wide = mean_ranks_of([TaskScores(values, drawn, True, True)] * 6)
    assert alone.mean_rank[1:, 0].tolist() == [2, 2]
    assert wide.mean_rank[1, 0] < 2
