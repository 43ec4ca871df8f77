"""Every metric against scikit-learn or scipy: as it is, on edge cases, and under bootstrap weights."""

from __future__ import annotations

import warnings
from dataclasses import replace

import cafa_by_definition
import numpy as np
import pytest
from evaluation_cases import a_task, classification, multilabel, regression, tied
from scipy import stats
from sklearn import metrics as sk

from hubtools.evaluation import Predictions, bootstrap_units, bootstrap_weights, replicates, value
from hubtools.evaluation.metrics import ranking
from hubtools.findings.wording import averages
from hubtools.specs.metric_names import METRICS
from hubtools.specs.problem import Problem


def ovr(score, truth, scores, columns):
    """Mean of a binary ranking score over the columns that have both truths, None without one."""
    values = [
        score(truth[:, column], scores[:, column]) for column in columns if 0 < truth[:, column].sum() < len(truth)
    ]
    return float(np.mean(values)) if values else None


def classification_reference(name, truth, decision, scores, positive):
    labels = range(scores.shape[1])
    one_hot = truth[:, None] == np.arange(scores.shape[1])
    columns = labels if positive is None else [positive]
    return {
        "accuracy": lambda: sk.accuracy_score(truth, decision),
        "balanced_accuracy": lambda: sk.balanced_accuracy_score(truth, decision),
        "macro_f1": lambda: sk.f1_score(truth, decision, labels=labels, average="macro", zero_division=0),
        "micro_f1": lambda: sk.f1_score(truth, decision, labels=labels, average="micro", zero_division=0),
        "f1": lambda: sk.f1_score(truth == positive, decision == positive, zero_division=0),
        "mcc": lambda: sk.matthews_corrcoef(truth, decision),
        "auroc": lambda: ovr(sk.roc_auc_score, one_hot, scores, columns),
        "auprc": lambda: ovr(sk.average_precision_score, one_hot, scores, columns),
    }[name]()


def multilabel_reference(name, truth, decision, scores, information):
    labels = range(truth.shape[1])
    return {
        "macro_f1": lambda: sk.f1_score(truth, decision, average="macro", zero_division=0),
        "micro_f1": lambda: sk.f1_score(truth, decision, average="micro", zero_division=0),
        "mcc": lambda: np.mean([sk.matthews_corrcoef(truth[:, i], decision[:, i]) for i in labels]),
        "auroc": lambda: ovr(sk.roc_auc_score, truth, scores, labels),
        "auprc": lambda: ovr(sk.average_precision_score, truth, scores, labels),
        "micro_auprc": lambda: sk.average_precision_score(truth, scores, average="micro"),
        "fmax": lambda: cafa_by_definition.fmax(truth, scores),
        "smin": lambda: cafa_by_definition.smin(truth, scores, information),
        "jaccard": lambda: sk.jaccard_score(truth, decision, average="samples", zero_division=1),
        "subset_accuracy": lambda: sk.accuracy_score(truth, decision),
    }[name]()


def regression_reference(name, truth, scores):
    scores = scores.astype(np.float64)
    return {
        "ndcg": lambda: sk.ndcg_score(
            ((truth - truth.min()) / np.ptp(truth))[None], scores[None], k=max(len(truth) // 10, 1)
        ),
        "spearman": lambda: stats.spearmanr(truth, scores).statistic,
        "pearson": lambda: stats.pearsonr(truth, scores).statistic,
        "rmse": lambda: sk.root_mean_squared_error(truth, scores),
        "mae": lambda: sk.mean_absolute_error(truth, scores),
        "r2": lambda: sk.r2_score(truth, scores),
    }[name]()


def reference(name, predictions, decision, positive, rows=slice(None)):
    truth, scores = predictions.truth[rows], predictions.scores[rows]
    kind = predictions.problem.kind
    with warnings.catch_warnings():
        # scikit-learn warns of absent classes, which these data have on purpose.
        warnings.simplefilter("ignore")
        if kind == "classification":
            return classification_reference(name, truth, decision[rows], scores, positive)
        if kind == "multilabel":
            return multilabel_reference(name, truth, decision[rows], scores, predictions.information)
        return regression_reference(name, truth, scores)


def decided(predictions):
    kind = predictions.problem.kind
    if kind == "regression":
        return None
    return predictions.scores.argmax(axis=1) if kind == "classification" else (predictions.scores > 0.5).astype(int)


def absent_class() -> Predictions:
    """Class 2 occurs nowhere in the truth, class 3 neither in truth nor in calls."""
    base = classification(n_classes=3, truth=np.random.default_rng(1).integers(0, 2, size=120))
    scores = np.concatenate([base.scores, np.zeros((120, 1), dtype=np.float32)], axis=1)
    return Predictions(base.problem, base.ids, base.positions, None, base.truth, scores)


def absent_label() -> Predictions:
    """The first label occurs nowhere, and half of the rows have no label at all."""
    truth = (np.random.default_rng(1).random((120, 4)) < 0.2).astype(np.int8)
    truth[:, 0], truth[:60, 1:] = 0, 0
    return multilabel(truth=truth)


def rare_label() -> Predictions:
    """Two labels that some bootstrap replicates lose, and one that every row has."""
    truth = np.zeros((120, 4), dtype=np.int8)
    truth[3, 0] = truth[7:9, 1] = truth[::2, 2] = truth[:, 3] = 1
    return multilabel(truth=truth)


def informed(predictions: Predictions) -> Predictions:
    return replace(predictions, information=np.array([3.0, 2.5, 0.5, 0.0]))


CASES = {
    "three classes": (classification(), None),
    "two classes": (classification(n_classes=2), 1),
    "two classes, the first is positive": (classification(n_classes=2), 0),
    "rare positive": (classification(n_classes=2, truth=(np.arange(120) % 50 == 3).astype(int)), 1),
    "absent class": (absent_class(), None),
    "multi-label": (informed(multilabel()), None),
    "absent label": (informed(absent_label()), None),
    "rare label": (informed(rare_label()), None),
    "regression": (regression(), None),
}


@pytest.mark.parametrize("problem", ["sequence-classification", "residue-classification", "pair-classification"])
def test_a_task_of_several_classes_may_ask_for_auroc_and_auprc(problem):
    task = a_task(Problem(problem), 3, primary="auroc", also=["auprc"])
    assert averages(task) == "AUROC and AUPRC: the mean over classes, each against the rest (macro)"
    with pytest.raises(ValueError, match=r"'auroc' is about one class of two\. Name it under metrics\.positive"):
        a_task(Problem(problem), 2, primary="auroc")


def test_auroc_and_auprc_of_classes_are_those_of_scikit_learn_with_macro_averages():
    """Its own average over classes where every class occurs, in the split as in each replicate, of proteins and residues."""
    predictions = classification(n=400, n_classes=4)
    ids = np.arange(400).astype(str)
    single = Predictions(Problem("sequence-classification"), ids, None, None, predictions.truth, predictions.scores)
    for rows in (predictions, single):
        codes, n_units, _ = bootstrap_units(rows)
        (weights,) = bootstrap_weights(n_units, 20, seed=3)
        for name, expected in (
            ("auroc", lambda y, p: sk.roc_auc_score(y, p, multi_class="ovr", average="macro")),
            ("auprc", lambda y, p: sk.average_precision_score(np.eye(4)[y], p, average="macro")),
        ):
            assert value(name, rows, None) == pytest.approx(expected(rows.truth, rows.scores), abs=1e-6)
            for row, found in zip(weights, replicates(name, rows, None, weights), strict=True):
                drawn = np.repeat(np.arange(400), row[codes].astype(int))
                assert found == pytest.approx(expected(rows.truth[drawn], rows.scores[drawn]), abs=1e-6)


def applicable():
    parameters = []
    for case, (predictions, positive) in CASES.items():
        for name, info in METRICS.items():
            # AUROC of measured values is that of assays: test_assays.py.
            of_assays = info.zero_shot_only and predictions.problem.kind == "regression"
            # Where a stretch of residues ends: test_cleavage.py.
            if info.needs_cleaved:
                continue
            if (
                info.fits(predictions.problem.kind, predictions.problem.level.name)
                and not of_assays
                and not (name == "f1" and positive is None)
            ):
                parameters.append(pytest.param(name, predictions, positive, id=f"{name}, {case}"))
    return parameters


@pytest.mark.parametrize(("name", "predictions", "positive"), applicable())
def test_value_is_that_of_scikit_learn_or_scipy(name, predictions, positive):
    decision = decided(predictions)
    assert value(name, predictions, decision, positive=positive) == pytest.approx(
        reference(name, predictions, decision, positive), abs=1e-12
    )


@pytest.mark.parametrize(("name", "predictions", "positive"), applicable())
def test_a_replicate_is_the_metric_on_the_rows_drawn_that_often(name, predictions, positive):
    decision = decided(predictions)
    units, n_units, _ = bootstrap_units(predictions)
    weights = next(bootstrap_weights(n_units, 25, seed=3))
    got = replicates(name, predictions, decision, weights, units=units, positive=positive)
    assert got.shape == (25,)
    for multiplicities, replicate in zip(weights, got, strict=True):
        rows = np.repeat(np.arange(len(units)), multiplicities[units])
        expected = reference(name, predictions, decision, positive, rows)
        assert replicate == pytest.approx(np.nan if expected is None else expected, abs=1e-12, nan_ok=True)


def test_every_metric_is_covered():
    # Those of contacts are of proteins, not of rows: test_contact_precision.py.
    assert {parameters.values[0] for parameters in applicable()} == {
        name for name, info in METRICS.items() if not (info.needs_cleaved or info.level)
    }


def test_rare_labels_do_vanish_from_replicates():
    """Otherwise the tests above would not have seen an undefined label."""
    predictions = rare_label()
    units, n_units, _ = bootstrap_units(predictions)
    weights = next(bootstrap_weights(n_units, 25, seed=3))
    drawn = weights @ np.stack([np.bincount(units, has, n_units) for has in predictions.truth.T], axis=1)
    assert (drawn[:, 0] == 0).any()


def test_many_replicates_equal_those_computed_one_by_one():
    """Working blocks are an implementation detail."""
    predictions = classification(n=5000, n_classes=2, n_proteins=300)
    weights = np.concatenate(list(bootstrap_weights(300, 200, seed=0)))
    units = bootstrap_units(predictions)[0]
    for name in ("auroc", "auprc"):
        together = replicates(name, predictions, None, weights, units=units, positive=1)
        alone = [replicates(name, predictions, None, row[None], units=units, positive=1)[0] for row in weights]
        # The order in which a product adds up is the library's.
        np.testing.assert_allclose(together, alone, rtol=1e-12)


def test_thousands_of_classes_are_counted_sparsely(monkeypatch):
    from hubtools.evaluation.metrics import counting

    predictions = classification()
    decision, weights = decided(predictions), next(bootstrap_weights(25, 10, seed=0))
    dense = replicates("macro_f1", predictions, decision, weights)
    monkeypatch.setattr(counting, "_DENSE", 0)
    np.testing.assert_allclose(replicates("macro_f1", predictions, decision, weights), dense, rtol=1e-14)


def one_class_only(kind):
    n = 30
    if kind == "multilabel":
        return multilabel(n=n, truth=np.zeros((n, 4), dtype=np.int8)), None
    return classification(n=n, n_classes=2, truth=np.zeros(n, dtype=int)), 1


@pytest.mark.parametrize("kind", ["classification", "multilabel"])
@pytest.mark.parametrize("name", ["auroc", "auprc"])
def test_detection_without_positives_is_undefined(name, kind):
    predictions, positive = one_class_only(kind)
    assert value(name, predictions, None, positive=positive) is None


@pytest.mark.parametrize("name", ["accuracy", "balanced_accuracy", "macro_f1", "micro_f1", "f1", "mcc"])
def test_one_class_only_has_decisions_to_score(name):
    predictions, positive = one_class_only("classification")
    decision = decided(predictions)
    expected = reference(name, predictions, decision, positive)
    assert value(name, predictions, decision, positive=positive) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("name", "constant", "defined"),
    [
        ("spearman", "scores", False),
        ("pearson", "scores", False),
        ("spearman", "truth", False),
        ("pearson", "truth", False),
        ("r2", "truth", False),
        ("r2", "scores", True),
        ("rmse", "scores", True),
    ],
)
def test_constant_values(name, constant, defined):
    """A correlation with a constant is undefined; the error of a constant prediction is not. 0.1 has no exact float."""
    rng = np.random.default_rng(0)
    arrays = {"truth": rng.random(50), "scores": rng.random(50), constant: np.full(50, 0.1)}
    predictions = Predictions(Problem("sequence-regression"), np.arange(50).astype(str), None, None, **arrays)
    assert (value(name, predictions, None) is not None) == defined


@pytest.mark.parametrize("name", ["spearman", "pearson", "r2"])
def test_a_replicate_of_one_value_is_undefined(name):
    """The first protein's values are all 0.1; a replicate of it alone has nothing to correlate."""
    rng = np.random.default_rng(0)
    truth, scores = rng.random(50), rng.random(50)
    truth[:7] = scores[:7] = 0.1
    units = (np.arange(50) >= 7).astype(int)
    predictions = Predictions(Problem("sequence-regression"), np.arange(50).astype(str), None, None, truth, scores)
    drawn = replicates(name, predictions, None, np.array([[2, 0], [1, 1]]), units=units)
    assert np.isnan(drawn).tolist() == [True, False]


@pytest.mark.parametrize("offset", [0, 1e6])
def test_values_far_from_zero_keep_their_digits(offset):
    rng = np.random.default_rng(0)
    truth, scores = rng.random(200) + offset, (rng.integers(0, 99, size=200) + offset).astype(np.float32)
    predictions = Predictions(Problem("sequence-regression"), np.arange(200).astype(str), None, None, truth, scores)
    for name in ("pearson", "r2"):
        assert value(name, predictions, None) == pytest.approx(regression_reference(name, truth, scores), rel=1e-9)


def test_no_rows_leave_every_metric_undefined():
    for (predictions, positive), names in (
        ((CASES["two classes"]), ["accuracy", "macro_f1", "mcc", "auroc"]),
        ((CASES["multi-label"]), ["micro_f1", "jaccard", "auprc"]),
        ((CASES["regression"]), ["rmse", "spearman"]),
    ):
        empty = Predictions(
            predictions.problem,
            predictions.ids[:0],
            predictions.positions[:0],
            None,
            predictions.truth[:0],
            predictions.scores[:0],
        )
        for name in names:
            assert value(name, empty, decided(empty), positive=positive) is None
            weightless = np.zeros((1, bootstrap_units(predictions)[1]))
            assert np.isnan(replicates(name, predictions, decided(predictions), weightless, positive=positive)).all()


def test_a_metric_for_another_kind_is_refused():
    with pytest.raises(ValueError, match="not for regression"):
        value("accuracy", regression(), None)


def test_order_of_rows_does_not_matter_to_ties():
    rng = np.random.default_rng(0)
    truth, scores = rng.integers(0, 2, size=60), tied(rng, 60)
    values = set()
    for _ in range(5):
        order = rng.permutation(60)
        columns = np.stack([1 - scores[order], scores[order]], axis=1)
        shuffled = Predictions(
            Problem("sequence-classification"), np.arange(60).astype(str), None, None, truth[order], columns
        )
        values.add((value("auroc", shuffled, None, positive=1), value("auprc", shuffled, None, positive=1)))
    assert len(values) == 1


@pytest.mark.parametrize("ties", [False, True])
def test_ranks_over_several_pieces_of_rows_are_those_of_scikit_learn_and_scipy(ties):
    """More thresholds than are held at once, in single precision (whole multiplicities) and in double."""
    rng = np.random.default_rng(0)
    n, n_units = 6000, 40
    values = rng.normal(size=n)
    scores = values + rng.normal(size=n)
    if ties:
        values, scores = np.round(values, 2), np.round(scores, 2)
    units, positive = rng.integers(0, n_units, n), values > 0.5
    weights = next(bootstrap_weights(n_units, 5, seed=0))
    for of, expected in (
        (ranking.auroc(positive, scores, units), lambda rows: sk.roc_auc_score(positive[rows], scores[rows])),
        (
            ranking.average_precision(positive, scores, units),
            lambda rows: sk.average_precision_score(positive[rows], scores[rows]),
        ),
        (ranking.spearman(values, scores, units), lambda rows: stats.spearmanr(values[rows], scores[rows]).statistic),
    ):
        theirs = [expected(np.repeat(np.arange(n), row[units])) for row in weights]
        np.testing.assert_allclose(of(weights), theirs, rtol=1e-9)
        np.testing.assert_allclose(of(weights.astype(float)), theirs, rtol=1e-9)


def test_very_many_rows_are_ranked_in_levels_to_within_a_hundred_thousandth():
    """Beyond 65,536 rows, also where scores are tied."""
    rng = np.random.default_rng(0)
    n, n_units = 100_000, 300
    values = rng.normal(size=n)
    scores = values + rng.normal(size=n)
    units, positive = rng.integers(0, n_units, n), values > 0.5
    weights = next(bootstrap_weights(n_units, 70, seed=0))[::35]
    for seen in (scores, np.round(scores, 1)):
        for of, expected in (
            (ranking.auroc(positive, seen, units), lambda rows: sk.roc_auc_score(positive[rows], seen[rows])),  # noqa: B023
            (
                ranking.average_precision(positive, seen, units),
                lambda rows: sk.average_precision_score(positive[rows], seen[rows]),  # noqa: B023
            ),
            (ranking.spearman(values, seen, units), lambda rows: stats.spearmanr(values[rows], seen[rows]).statistic),  # noqa: B023
        ):
            theirs = [expected(np.repeat(np.arange(n), row[units])) for row in weights]
            np.testing.assert_allclose(of(weights), theirs, atol=1e-5, rtol=0)


@pytest.mark.parametrize("few", [False, True])
def test_spearman_of_very_many_rows_is_right_however_they_are_divided_among_units(few: bool) -> None:
    """Of many units from counts of cells, to rounding where all weigh alike; of few, each in a place of its own, by all rows."""
    rng = np.random.default_rng(0)
    n, n_units = 200_000, 20 if few else 10_000
    units = np.arange(n) % n_units
    values = rng.normal(size=n_units)[units] + rng.normal(scale=0.05 if few else 1, size=n)
    scores = rng.normal(size=n_units)[units] + rng.normal(scale=0.05 if few else 1, size=n) + values
    of = ranking.spearman(values, scores, units)
    weights = next(bootstrap_weights(n_units, 4, seed=0))
    theirs = [
        stats.spearmanr(values[rows], scores[rows]).statistic
        for rows in (np.repeat(np.arange(n), row[units]) for row in weights)
    ]
    np.testing.assert_allclose(of(weights), theirs, atol=1e-5, rtol=0)
    if not few:
        alike = of(np.ones((1, n_units)))
        np.testing.assert_allclose(alike, stats.spearmanr(values, scores).statistic, atol=5e-7, rtol=0)
    assert np.isnan(of(np.zeros((1, n_units)))).all()


@pytest.mark.parametrize("levels", [3, 10_000])
def test_precision_and_recall_at_each_threshold(levels: int) -> None:
    rng = np.random.default_rng(levels)
    scores, positive = rng.integers(levels, size=200) / levels, rng.random(200) < 0.3
    precision, recall = ranking.precision_recall(positive, scores)
    expected = sk.precision_recall_curve(positive, scores)
    np.testing.assert_array_equal(precision, expected[0])
    np.testing.assert_array_equal(recall, expected[1])
