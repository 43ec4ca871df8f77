"""Verdicts on differences, and Holm's correction on an example done by hand."""

from __future__ import annotations

import math

import pytest

from hubtools.evaluation.comparison import Difference, Question
from hubtools.evaluation.gate import holm, judge


def found(value=0.0, low=None, high=None, superiority=None, identical=False) -> Difference:
    return Difference(
        metric="accuracy",
        question=Question.RECIPE,
        baseline=0.8,
        candidate=0.8 + value,
        value=value,
        low=low,
        high=high,
        standard_error=None,
        degrees=math.inf,
        p_value=None if superiority is None else 2 * min(superiority, 1 - superiority),
        superiority=superiority,
        detectable=None,
        shared=None,
        of_seeds=None,
        seeds=(3, 3),
        identical=identical,
        units="400 homology clusters",
    )


def test_holm_by_hand():
    """Four tests: the smallest is multiplied by 4, the next by 3, and none may be smaller than the one before."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.3, None, 0.9, 0.4]) == [pytest.approx(0.9), None, pytest.approx(0.9), pytest.approx(0.9)]
    assert holm([0.7, 0.8]) == [1, 1]
    assert holm([]) == []


def test_holm_rejects_step_by_step():
    """By its definition: go on in order of size as long as p is at most alpha / (tests left)."""
    p_values, alpha = [0.001, 0.3, 0.012, 0.02, 0.0121], 0.05
    rejected, left = set(), len(p_values)
    for p in sorted(p_values):
        if p > alpha / left:
            break
        rejected.add(p)
        left -= 1
    assert 0 < len(rejected) < len(p_values)
    assert {p for p, adjusted in zip(p_values, holm(p_values), strict=True) if adjusted <= alpha} == rejected


@pytest.mark.parametrize(
    ("difference", "verdict"),
    [
        (found(0.002, -0.004, 0.008, 0.7), "pass"),
        (found(-0.03, -0.05, -0.01, 0.004), "regression"),
        # Certainly worse, but by less than counts: the loss that counts is excluded.
        (found(-0.004, -0.007, -0.001, 0.003), "pass"),
        # Certainly worse, and it may be by more than counts.
        (found(-0.008, -0.014, -0.002, 0.003), "inconclusive"),
        # Much worse, but it may be chance.
        (found(-0.03, -0.07, 0.01, 0.1), "inconclusive"),
        (found(0.0, 0.0, 0.0, 0.5, identical=True), "pass"),
        (found(-0.1), "inconclusive"),
    ],
)
def test_verdicts_with_a_margin_of_one_point(difference, verdict):
    judgement = judge([difference], [0.01])[0]
    assert judgement.verdict == verdict and judgement.reason


def test_each_task_has_its_own_margin():
    loss = found(-0.03, -0.05, -0.01, 0.004)
    assert [one.verdict for one in judge([loss, loss, loss], [0.01, 0.04, 0.06])] == [
        "regression",
        "inconclusive",
        "pass",
    ]


def test_a_loss_among_many_tasks_needs_more_evidence_and_a_pass_does_not():
    loss, fine = found(-0.03, -0.05, -0.01, 0.004), found(0.002, -0.004, 0.008, 0.7)
    assert judge([loss], [0.01])[0].verdict == "regression"
    among = judge([loss] + [fine] * 9, [0.01] * 10)
    assert among[0].verdict == "inconclusive" and among[0].adjusted_p == pytest.approx(0.04)
    assert {one.verdict for one in among[1:]} == {"pass"}


def test_what_has_no_interval_is_no_test():
    loss = found(-0.03, -0.05, -0.01, 0.02)
    assert judge([loss, found(-0.1)], [0.01] * 2)[0].verdict == "regression"
