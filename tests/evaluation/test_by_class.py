"""Differences class by class, against scikit-learn, with Holm's correction within the table."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from evaluation_cases import a_task, another, classification, multilabel, pairs, regression
from scipy.stats import spearmanr
from sklearn.metrics import average_precision_score, f1_score
from test_assays import measured, variant_task

from hubtools.evaluation import bootstrap_units, bootstrap_weights, choose_thresholds, decide
from hubtools.evaluation.statistics.by_class import class_differences
from hubtools.evaluation.statistics.verdicts import holm
from hubtools.specs.problem import Problem


def test_f1_of_each_label_is_scikit_learns_in_value_and_in_every_replicate():
    task = a_task(Problem("residue-multilabel"), 4, primary="macro_f1")
    base = multilabel(n=300)
    one, two = [another(base, 1), another(base, 2)], [another(base, 3, 1.0)]
    limits = choose_thresholds(task, base)
    rows = class_differences(task, one, [limits] * 2, two, [limits], replicates=120)

    def f1(run, chosen):
        return f1_score(run.truth[chosen], decide(task, run, limits)[chosen], average=None, zero_division=0)

    everything = np.arange(len(base))
    before, after = np.mean([f1(run, everything) for run in one], axis=0), f1(two[0], everything)
    assert [row.name for row in rows] == task.label_names
    assert [row.support for row in rows] == base.truth.sum(axis=0).tolist()
    assert [row.baseline for row in rows] == pytest.approx(before)
    assert [row.value for row in rows] == pytest.approx(after - before)
    units, n_units, _ = bootstrap_units(base)
    gains = []
    for weights in next(bootstrap_weights(n_units, 120, 0)):
        chosen = np.repeat(everything, weights[units])
        gains.append(f1(two[0], chosen) - np.mean([f1(run, chosen) for run in one], axis=0))
    # With 25 proteins the interval is a little wider than the percentiles that it is made of.
    inner, outer = np.quantile(gains, [0.03, 0.97], axis=0), np.quantile(gains, [0.005, 0.995], axis=0)
    for label, row in enumerate(rows):
        assert outer[0][label] <= row.low <= inner[0][label] <= inner[1][label] <= row.high <= outer[1][label]


def test_p_values_are_corrected_within_the_table_and_what_is_no_test_does_not_count():
    task = a_task(Problem("residue-multilabel"), 4, primary="auprc")
    base = multilabel(n=400)
    base.truth[:, 2] = 0
    rows = class_differences(task, [base], [[0.5] * 4], [another(base, 3, 1.0)], [[0.5] * 4], replicates=300)
    expected = average_precision_score(base.truth[:, 1], base.scores[:, 1])
    assert rows[1].metric == "auprc" and rows[1].baseline == pytest.approx(expected)
    assert (rows[2].baseline, rows[2].value, rows[2].p_value, rows[2].adjusted_p) == (None,) * 4
    assert [row.adjusted_p for row in rows] == holm([row.p_value for row in rows])
    assert any(row.adjusted_p > row.p_value for row in rows if row.p_value is not None)


def test_a_class_that_the_candidate_forgot_is_found():
    task = a_task(Problem("residue-classification"), 3, primary="accuracy")
    base = classification(n=900, n_proteins=90)
    right = np.eye(3)[base.truth] * 0.9 + 0.05
    forgetful = right.copy()
    forgetful[base.truth == 2] = [0.9, 0.05, 0.05]
    rows = class_differences(
        task, [replace(base, scores=right)], [None], [replace(base, scores=forgetful)], [None], replicates=500
    )
    assert rows[2].candidate == 0 and rows[2].value == -1 and rows[2].adjusted_p < 0.05
    assert rows[0].value < 0 and rows[0].high < 0  # What it calls instead.
    assert (rows[1].value, rows[1].p_value) == (0, 1)


def test_pairs_have_classes_too_and_values_have_none():
    task = a_task(Problem("pair-classification"), 2, primary="mcc")
    rows = class_differences(task, [pairs()], [None], [another(pairs(), 1)], [None], replicates=100)
    decision = decide(task, pairs(), None)
    assert [row.baseline for row in rows] == pytest.approx(f1_score(pairs().truth, decision, average=None).tolist())
    assert all(row.low is not None for row in rows)
    values = a_task(Problem("residue-regression"), primary="pearson")
    assert class_differences(values, [regression()], [None], [another(regression(), 1)], [None]) == []


@pytest.mark.parametrize("n_assays", [3, 44])
def test_assays_are_compared_within_themselves(n_assays):
    task, one = variant_task(), measured(n_assays)
    two = another(one, 1, noise=3.0)
    rows = class_differences(task, [one], [None], [two], [None], replicates=100)
    assert len(rows) == n_assays and {row.metric for row in rows} == {"spearman"}
    chosen = one.assays.group == rows[1].name
    expected = [spearmanr(run.truth[chosen], run.scores[chosen]).statistic for run in (one, two)]
    assert (rows[1].baseline, rows[1].candidate) == pytest.approx(expected)
    assert rows[1].support == chosen.sum() and rows[1].low < rows[1].high
