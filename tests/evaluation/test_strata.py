"""The primary metric by identity and by length: each stratum is the rows of it, scored on their own."""

from __future__ import annotations

import numpy as np
import pytest
from evaluation_cases import a_task, classification, multilabel, regression
from sklearn import metrics as sk

from hubtools.evaluation import Predictions, score_split
from hubtools.evaluation.metrics.strata import by_identity, by_length
from hubtools.specs.problem import Problem
from hubtools.specs.task import Task

CLASSES = a_task(Problem("residue-classification"), 3, primary="accuracy")
DETECTION = a_task(Problem("residue-classification"), 2, primary="auroc", positive=1)
LABELS = a_task(Problem("residue-multilabel"), 4, primary="macro_f1")
VALUES = a_task(Problem("residue-regression"), primary="spearman")


def number_of(predictions: Predictions) -> np.ndarray:
    """Of each row's protein: P7 → 7."""
    return np.array([int(name[1:]) for name in predictions.ids])


def test_each_stratum_is_its_rows_alone() -> None:
    predictions = classification(n=2000, n_proteins=100)
    proteins = number_of(predictions)
    # Forty proteins far from train, thirty between, thirty with a copy in it.
    identity = np.select([proteins < 40, proteins < 70], [0.0, 0.6], 1.0)
    found = by_identity(CLASSES, predictions, None, identity)
    assert [(one.name, one.n_proteins) for one in found] == [
        ("below 50 %", 40),
        ("50 to 70 %", 30),
        ("90 % and more", 30),
    ]
    for one, chosen in zip(found, (identity == 0, identity == 0.6, identity == 1), strict=True):
        expected = sk.accuracy_score(predictions.truth[chosen], predictions.scores[chosen].argmax(1))
        assert one.score is not None and one.score.value == pytest.approx(expected)
        assert one.n_labelled == chosen.sum()
        assert one.score.low is not None and one.score.high is not None
        assert one.score.low < expected < one.score.high


@pytest.mark.parametrize(
    ("task", "predictions", "thresholds"),
    [
        (CLASSES, classification(n_proteins=60), None),
        (DETECTION, classification(n_classes=2, n_proteins=60), [0.5]),
        (LABELS, multilabel(n_proteins=60), [0.5] * 4),
        (VALUES, regression(n_proteins=60), None),
    ],
    ids=["classes", "detection", "labels", "values"],
)
def test_one_stratum_of_everything_is_the_whole_result(
    task: Task, predictions: Predictions, thresholds: list[float] | None
) -> None:
    (one,) = by_length(task, predictions, thresholds, np.full(len(predictions), 80))
    whole = score_split(task, predictions, thresholds)
    assert one.name == "up to 100" and one.score == whole.scores[task.metrics.primary]


def test_edges_of_length() -> None:
    predictions = classification(n=2000, n_proteins=100)
    lengths = np.array([100, 101, 250, 251, 500, 501, 1000, 1001])[number_of(predictions) % 8]
    names = [one.name for one in by_length(CLASSES, predictions, None, lengths)]
    assert names == ["up to 100", "101 to 250", "251 to 500", "501 to 1,000", "over 1,000"]
    assert [one.n_proteins for one in by_length(CLASSES, predictions, None, lengths)] == [13, 26, 25, 24, 12]


def test_nine_columns_of_ten_are_ninety_per_cent() -> None:
    predictions = classification(n=2000, n_proteins=60)
    (one,) = by_identity(CLASSES, predictions, None, np.full(len(predictions), 1 - 0.1))
    assert one.name == "90 % and more"


def test_few_proteins_get_no_score() -> None:
    predictions = classification(n=2000, n_proteins=100)
    proteins = number_of(predictions)
    few, enough = by_identity(CLASSES, predictions, None, np.where(proteins < 19, 0.0, 1.0))
    assert few.n_proteins == 19 and few.score is None
    assert enough.score is not None


def test_where_one_class_alone_is_left_there_is_no_score() -> None:
    predictions = classification(n=2000, n_classes=2, n_proteins=60)
    has = predictions.truth == 1
    negative, positive = by_identity(DETECTION, predictions, [0.5], np.where(has, 1.0, 0.0))
    assert negative.score is None and positive.score is None
