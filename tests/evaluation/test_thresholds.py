"""Thresholds: the largest F1 of all there are, and decisions made with them."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from evaluation_cases import a_task, classification, multilabel, regression, tied
from sklearn.metrics import f1_score

from hubtools.evaluation import choose_thresholds, decide
from hubtools.evaluation.metrics.thresholds import best_threshold
from hubtools.specs.problem import Problem

MULTILABEL = a_task(Problem("residue-multilabel"), 4, primary="macro_f1")
DETECTION = a_task(Problem("residue-classification"), 2, primary="f1", positive=0)
CLASSES = a_task(Problem("residue-classification"), 3, primary="macro_f1")
VALUES = a_task(Problem("residue-regression"), primary="spearman")


@pytest.mark.parametrize("seed", range(20))
def test_no_threshold_gives_a_larger_f1(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 40))
    probability = tied(rng, n) if seed % 2 else rng.random(n, dtype=np.float32)
    positive = rng.random(n) < 0.4
    positive[0] = True
    chosen = best_threshold(positive, probability)
    every = {t: f1_score(positive, probability >= t, zero_division=0) for t in [0.5, *map(float, probability)]}
    best = max(every.values())
    assert f1_score(positive, probability >= chosen) == pytest.approx(best, abs=1e-15)
    # Ties: no other range of thresholds with that F1 has a middle (or 0.5 itself) nearer to 0.5.
    cuts = np.unique(np.append(probability, 0).astype(np.float64))
    middles = [0.5, cuts[0], *((cuts[1:] + cuts[:-1]) / 2)]
    as_good = [t for t in middles if f1_score(positive, probability >= t, zero_division=0) >= best - 1e-15]
    assert abs(chosen - 0.5) <= min(abs(t - 0.5) for t in as_good) + 1e-6


@pytest.mark.parametrize(
    ("positive", "probability", "expected"),
    [
        ([1, 1, 0], [0.9, 0.7, 0.2], 0.5),  # 0.5 separates them
        ([1, 1, 0], [0.9, 0.8, 0.6], 0.7),  # the middle of the gap
        ([1, 1, 1], [0.9, 0.8, 0.6], 0.5),  # all positive
        ([1, 1, 1], [0.3, 0.2, 0.2], 0.1),  # all positive, all below 0.5
        ([1, 0, 0], [0.3, 0.1, 0.1], 0.2),
        ([1, 0, 0, 1], [0.9, 0.7, 0.6, 0.3], 0.8),  # F1 is 2/3 from the first alone and from all: 0.8 is nearer
        ([1, 0, 0, 1], [1.0, 0.9, 0.6, 0.4], 0.2),  # and here 0.95 is farther
        ([0, 0, 0], [0.3, 0.1, 0.1], 0.5),  # nothing to learn from
        ([1, 0, 1], [0.0, 0.0, 0.0], 0.0),  # a model that says nothing
    ],
)
def test_examples(positive, probability, expected):
    assert best_threshold(np.array(positive, bool), np.array(probability, np.float32)) == pytest.approx(expected)


@pytest.mark.parametrize("steps", [0, 1])
def test_neighbouring_floats_are_told_apart_in_either_precision(steps):
    low = np.float32(0.7) + steps * np.spacing(np.float32(0.7))
    probability = np.array([low, np.nextafter(low, np.float32(1))], dtype=np.float32)
    threshold = best_threshold(np.array([False, True]), probability)
    assert (probability >= np.float32(threshold)).tolist() == [False, True]
    assert (probability.astype(np.float64) >= threshold).tolist() == [False, True]


def test_multilabel_has_one_threshold_per_label():
    predictions = multilabel()
    thresholds = choose_thresholds(MULTILABEL, predictions)
    assert thresholds == [best_threshold(predictions.truth[:, i] == 1, predictions.scores[:, i]) for i in range(4)]
    decision = decide(MULTILABEL, predictions, thresholds)
    assert decision.dtype == np.int8
    np.testing.assert_array_equal(decision, predictions.scores >= np.array(thresholds))


def test_a_class_to_be_detected_has_one_threshold_on_its_probability():
    predictions = classification(n_classes=2)
    (threshold,) = choose_thresholds(DETECTION, predictions)
    decision = decide(DETECTION, predictions, [threshold])
    np.testing.assert_array_equal(decision == 0, predictions.scores[:, 0] >= threshold)
    best = max(
        f1_score(predictions.truth == 0, predictions.scores[:, 0] >= t, zero_division=0)
        for t in predictions.scores[:, 0]
    )
    assert f1_score(predictions.truth == 0, decision == 0) == pytest.approx(best)


def test_classes_are_decided_by_the_likeliest_and_values_not_at_all():
    predictions = classification()
    assert choose_thresholds(CLASSES, predictions) is None
    np.testing.assert_array_equal(decide(CLASSES, predictions, None), predictions.scores.argmax(axis=1))
    assert choose_thresholds(VALUES, regression()) is None
    assert decide(VALUES, regression(), None) is None


def test_a_label_unseen_on_validation_keeps_one_half_and_is_named(caplog):
    truth = multilabel().truth.copy()
    truth[:, 2] = 0
    with caplog.at_level(logging.WARNING):
        thresholds = choose_thresholds(MULTILABEL, multilabel(truth=truth))
    assert thresholds[2] == 0.5
    assert [record.getMessage() for record in caplog.records] == [
        "no positive row on validation for label 2: threshold 0.5"
    ]


def test_a_row_that_reaches_the_threshold_is_called():
    predictions = classification(n_classes=2)
    at = float(predictions.scores[0, 0])
    assert decide(DETECTION, predictions, [at])[0] == 0
    assert decide(MULTILABEL, multilabel(), [float(p) for p in multilabel().scores[0]])[0].tolist() == [1, 1, 1, 1]


def test_the_wrong_number_of_thresholds_is_refused():
    with pytest.raises(ValueError, match="needs 4 thresholds, got 0"):
        decide(MULTILABEL, multilabel(), None)
    with pytest.raises(ValueError, match="needs 0 thresholds, got 1"):
        decide(CLASSES, classification(), [0.5])
