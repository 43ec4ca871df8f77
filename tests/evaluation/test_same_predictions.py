"""Whether two runs predicted the same."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hubtools.evaluation.predictions import Predictions
from hubtools.evaluation.statistics.same_predictions import largest_difference, other_rows
from hubtools.specs.problem import Problem


def regression(scores: np.ndarray, truth: np.ndarray | None = None) -> Predictions:
    n = len(scores)
    truth = np.arange(n, dtype=float) if truth is None else truth
    return Predictions(Problem("sequence-regression"), np.array([f"p{i}" for i in range(n)]), None, None, truth, scores)


def residues(probabilities: np.ndarray) -> Predictions:
    n = len(probabilities)
    ids, positions = np.repeat("p", n), np.arange(1, n + 1)
    return Predictions(Problem("residue-classification"), ids, positions, None, np.zeros(n), probabilities)


def test_probabilities_differ_in_their_own_unit() -> None:
    first = np.array([[0.5, 0.5], [0.9, 0.1]])
    second = np.array([[0.5, 0.5], [0.875, 0.125]])
    assert largest_difference(residues(first), residues(second)) == pytest.approx(0.025, abs=1e-7)
    assert largest_difference(residues(first), residues(first)) == 0


def test_values_differ_in_standard_deviations_of_the_predictions() -> None:
    scores = np.array([0.0, 100.0, 200.0, 300.0])
    moved = scores + np.array([0, 0, 1, 0])
    assert largest_difference(regression(scores), regression(moved)) == pytest.approx(1 / scores.std())
    # The unit of the target does not matter.
    small = largest_difference(regression(scores / 1000), regression(moved / 1000))
    assert small == pytest.approx(1 / scores.std(), rel=1e-4)


def test_values_that_are_all_alike_differ_in_standard_deviations_of_the_truth() -> None:
    truth = np.array([0.0, 10.0])
    first, second = regression(np.zeros(2), truth), regression(np.ones(2), truth)
    assert largest_difference(first, second) == pytest.approx(1 / truth.std())


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda p: p.rows(np.arange(2)), "prediction ids: 3 and 2 rows"),
        (lambda p: replace(p, ids=np.array(["p", "q", "p"])), "prediction ids: row 2 is p and q"),
        (lambda p: replace(p, positions=np.array([1, 3, 2])), "prediction positions: row 2 is 2 and 3, 2 rows differ"),
        (lambda p: replace(p, truth=np.array([0, 0, 1])), "prediction truth: row 3 is 0 and 1"),
        (lambda p: p, None),
    ],
)
def test_other_rows_are_named(change, line: str | None) -> None:
    first = residues(np.full((3, 2), 0.5))
    assert other_rows(first, change(first)) == line
