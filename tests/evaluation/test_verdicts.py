"""Verdicts on differences, and Holm's correction on an example done by hand."""

from __future__ import annotations

import math

import pytest

from hubtools.evaluation.statistics.difference import Difference, Question
from hubtools.evaluation.statistics.verdicts import Verdict, holm, judge


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
    ("low", "high", "verdict"),
    [
        (-0.004, 0.008, Verdict.NO_LOSS),
        (0.001, 0.008, Verdict.BETTER),
        (-0.05, -0.01, Verdict.WORSE),
        # Certainly worse, but by less than counts: the loss that counts is excluded.
        (-0.007, -0.001, Verdict.WITHIN),
        # Certainly worse, and it may be by more than counts.
        (-0.014, -0.002, Verdict.WORSE),
        # Much worse, but it may be chance.
        (-0.07, 0.01, Verdict.CANNOT_TELL),
        # Hardly another, but a loss that counts is possible.
        (-0.011, 0.012, Verdict.CANNOT_TELL),
        # The ends of the figure: at the margin it is not excluded, at zero it is not shown.
        (-0.01, -0.001, Verdict.WORSE),
        (-0.02, 0.0, Verdict.CANNOT_TELL),
        (-0.005, 0.0, Verdict.NO_LOSS),
    ],
)
def test_the_verdict_is_where_the_interval_lies(low: float, high: float, verdict: Verdict) -> None:
    value = (low + high) / 2
    judgement = judge([found(value, low, high, 0.001 if value < 0 else 0.999)], [0.01])[0]
    assert judgement.verdict is verdict and judgement.reason


def test_what_has_no_interval_cannot_be_told_and_what_is_the_same_is_no_loss() -> None:
    same, none = judge([found(0.0, 0.0, 0.0, 0.5, identical=True), found(-0.1)], [0.01, 0.01])
    assert same.verdict is Verdict.NO_LOSS and same.reason == "the same scores in every replicate"
    assert none.verdict is Verdict.CANNOT_TELL and none.reason == "there is no interval over 400 homology clusters"
    assert judge([found(float("nan"))], [0.01])[0].reason == "accuracy is not defined in every run"


def test_without_a_margin_every_loss_counts() -> None:
    made = judge(
        [found(-0.03, -0.05, -0.01, 0.001), found(0.0, -0.01, 0.01, 0.5), found(0.02, 0.01, 0.03, 0.999)], [None] * 3
    )
    assert [one.verdict for one in made] == [Verdict.WORSE, Verdict.CANNOT_TELL, Verdict.BETTER]


def test_each_task_has_its_own_margin() -> None:
    loss = found(-0.03, -0.05, -0.01, 0.001)
    margins = [0.01, 0.04, 0.06]
    assert [one.verdict for one in judge([loss] * 3, margins)] == [Verdict.WORSE, Verdict.WORSE, Verdict.WITHIN]


def test_what_excludes_zero_among_many_needs_more_evidence_and_a_pass_does_not() -> None:
    loss, fine = found(-0.03, -0.05, -0.01, 0.004), found(0.002, -0.004, 0.008, 0.7)
    assert judge([loss], [0.01])[0].verdict is Verdict.WORSE
    among = judge([loss] + [fine] * 9, [0.01] * 10)
    assert among[0].verdict is Verdict.CANNOT_TELL and among[0].adjusted_p == pytest.approx(0.08)
    assert among[0].reason == "its own interval excludes 0, but not after Holm's correction for 10 comparisons"
    assert {one.verdict for one in among[1:]} == {Verdict.NO_LOSS}
    # A gain that is not confirmed is still no loss.
    gain = found(0.03, 0.01, 0.05, 0.996)
    assert judge([gain] + [fine] * 9, [0.01] * 10)[0].verdict is Verdict.NO_LOSS


def test_what_has_no_interval_is_no_test() -> None:
    loss = found(-0.03, -0.05, -0.01, 0.02)
    assert judge([loss, found(-0.1)], [0.01] * 2)[0].verdict is Verdict.WORSE


def test_every_word_passes_fails_or_is_open() -> None:
    assert [verdict for verdict in Verdict if not verdict.passes and not verdict.fails] == [Verdict.CANNOT_TELL]
    assert not any(verdict.passes and verdict.fails for verdict in Verdict)
