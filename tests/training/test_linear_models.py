"""The linear baseline's models against scikit-learn, whose objective and stopping rule they have."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from hubtools.training.linear_models import fit_linear

STRENGTHS = (0.1, 100.0)


def compositions(rows: int, seed: int) -> np.ndarray:
    """Frequencies of twenty letters, one of which never comes, and a last feature that is the same everywhere."""
    rng = np.random.default_rng(seed)
    frequencies = rng.dirichlet(np.full(19, 3.0), rows)
    return np.hstack([frequencies, np.zeros((rows, 1)), np.full((rows, 1), np.log(300))])


def linear(features: np.ndarray, outputs: int) -> np.ndarray:
    return (features - features.mean(0)) @ np.random.default_rng(0).normal(0, 20, (features.shape[1], outputs))


@pytest.mark.parametrize("strength", STRENGTHS)
@pytest.mark.parametrize("rows", [12, 300])
def test_values_are_those_of_ridge(rows: int, strength: float) -> None:
    x, new = compositions(rows, 1), compositions(50, 2)
    y = linear(x, 1)[:, 0] + np.random.default_rng(3).normal(size=rows)
    expected = make_pipeline(StandardScaler(), Ridge(alpha=1 / strength)).fit(x, y).predict(new)
    assert fit_linear(x, y, "regression", 1, strength).predict(new) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("strength", STRENGTHS)
@pytest.mark.parametrize("present", [(0, 1), (1, 3), (0, 2, 3)])
def test_probabilities_are_those_of_logistic_regression(present: tuple[int, ...], strength: float) -> None:
    """Of four classes some are not in training: their probability is 0."""
    x, new = compositions(200, 1), compositions(50, 2)
    y = np.array(present)[
        (linear(x, len(present)) + np.random.default_rng(3).gumbel(size=(200, len(present)))).argmax(1)
    ]
    assert set(y) == set(present)
    model = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=2000)).fit(x, y)
    expected = np.zeros((50, 4))
    expected[:, list(present)] = model.predict_proba(new)
    found = fit_linear(x, y, "classification", 4, strength).predict(new)
    assert found == pytest.approx(expected, abs=1e-9) and found.sum(1) == pytest.approx(1)


@pytest.mark.parametrize("strength", STRENGTHS)
def test_labels_are_those_of_one_regression_each(strength: float) -> None:
    x, new = compositions(200, 1), compositions(50, 2)
    raw = linear(x, 3) + np.random.default_rng(3).normal(size=(200, 3))
    y = (raw > np.median(raw, 0)).astype(int)
    y[:, 1] = 1
    with pytest.warns(UserWarning, match="present in all training examples"):
        model = make_pipeline(StandardScaler(), OneVsRestClassifier(LogisticRegression(C=strength))).fit(x, y)
    found = fit_linear(x, y, "multilabel", 3, strength).predict(new)
    assert found == pytest.approx(model.predict_proba(new), abs=1e-9) and (found[:, 1] == 1).all()


def test_rows_without_a_label_do_not_count() -> None:
    x, new = compositions(60, 1), compositions(20, 2)
    known, classes = np.arange(60) % 3 > 0, np.arange(60) % 2
    values = np.where(known, linear(x, 1)[:, 0], np.nan)
    labels = np.where(known, classes, -100)
    table = np.stack([labels, classes], 1)
    for kind, all_of_it, outputs in (("regression", values, 1), ("classification", labels, 2)):
        part = fit_linear(x[known], all_of_it[known], kind, outputs, 1.0)
        assert fit_linear(x, all_of_it, kind, outputs, 1.0).predict(new) == pytest.approx(part.predict(new), abs=1e-12)
    both = fit_linear(x, table, "multilabel", 2, 1.0).predict(new)
    alone = fit_linear(x, classes[:, None], "multilabel", 1, 1.0).predict(new)
    assert both[:, 1] == pytest.approx(alone[:, 0], abs=1e-12) and not np.allclose(both[:, 0], alone[:, 0])


def test_of_one_class_in_training_all_is_that_class() -> None:
    found = fit_linear(compositions(10, 1), np.full(10, 2), "classification", 3, 1.0).predict(compositions(5, 2))
    assert found.tolist() == [[0.0, 0.0, 1.0]] * 5
