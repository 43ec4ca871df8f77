"""The result of a split: what is resampled, intervals, a row per class."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from evaluation_cases import a_task, classification, multilabel, pairs, regression
from scipy import special, stats
from sklearn import metrics as sk

from hubtools.evaluation import (
    Predictions,
    bootstrap_units,
    bootstrap_weights,
    choose_thresholds,
    decide,
    primary_score,
    score_and_resample,
    score_split,
)
from hubtools.evaluation.statistics.resampled import prepare
from hubtools.specs.problem import Problem

CLASSES = a_task(Problem("residue-classification"), 3, primary="macro_f1", also=["accuracy", "mcc"])
DETECTION = a_task(Problem("residue-classification"), 2, primary="auprc", also=["f1", "auroc"], positive=1)
MULTILABEL = a_task(Problem("residue-multilabel"), 4, primary="macro_f1", also=["mcc", "jaccard", "auroc"])
VALUES = a_task(Problem("residue-regression"), primary="spearman", also=["rmse", "r2"])
CASES = [
    (CLASSES, classification()),
    (DETECTION, classification(n_classes=2)),
    (MULTILABEL, multilabel()),
    (VALUES, regression()),
]


def clustered(predictions: Predictions, n_clusters: int) -> Predictions:
    """Proteins P0, P1, ... dealt out to clusters."""
    clusters = [f"c{int(name[1:]) % n_clusters}" for name in predictions.ids]
    return Predictions(
        predictions.problem,
        predictions.ids,
        predictions.positions,
        np.array(clusters),
        predictions.truth,
        predictions.scores,
    )


# --- What is resampled ---------------------------------------------------------------------------------------------


def test_residues_of_a_protein_are_drawn_together():
    predictions = classification(n=500, n_proteins=25)
    codes, n_units, described = bootstrap_units(predictions)
    assert (n_units, described) == (25, "25 proteins (no clusters)")
    assert len({(name, code) for name, code in zip(predictions.ids, codes, strict=True)}) == 25


def test_proteins_of_a_cluster_are_drawn_together():
    predictions = clustered(classification(n=500, n_proteins=60), 20)
    codes, n_units, described = bootstrap_units(predictions)
    assert (n_units, described) == (20, "20 homology clusters")
    assert len({(name, code) for name, code in zip(predictions.clusters, codes, strict=True)}) == 20


def test_few_clusters_give_way_to_proteins():
    predictions = clustered(classification(n=500, n_proteins=60), 5)
    assert bootstrap_units(predictions)[1:] == (60, "60 proteins (only 5 clusters)")


def test_weights_are_draws_with_replacement_and_reproducible():
    weights = np.concatenate(list(bootstrap_weights(50, 2000, seed=7)))
    assert weights.shape == (2000, 50)
    assert (weights.sum(axis=1) == 50).all()
    # A multinomial draw: variance 1 - 1/50 for each unit.
    assert weights.var() == pytest.approx(1 - 1 / 50, abs=0.03)
    np.testing.assert_array_equal(weights, np.concatenate(list(bootstrap_weights(50, 2000, seed=7))))
    assert (weights != np.concatenate(list(bootstrap_weights(50, 2000, seed=8)))).any()


# --- Intervals -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("task", "predictions"), CASES)
def test_scores_are_json_with_an_interval_around_the_value(task, predictions):
    result = score_split(task, predictions, choose_thresholds(task, predictions), replicates=200)
    json.dumps(result.model_dump(mode="json"), allow_nan=False)
    assert list(result.scores) == task.metrics.names
    assert (result.n_proteins, result.n_labelled) == (len(set(predictions.ids.tolist())), 120)
    for score in result.scores.values():
        assert score.low < score.value < score.high
    assert result.interval == "200 bootstrap replicates over 25 proteins (no clusters)"
    again = score_split(task, predictions, choose_thresholds(task, predictions), replicates=200)
    assert again == result


def reference_interval(value, drawn, degrees):
    """Student's t around the value on the logit scale, from explicit resampling: scipy's, nothing of ours."""
    error = np.std(drawn, ddof=1) * np.sqrt((degrees + 1) / degrees)
    reach = stats.t.ppf(0.975, degrees) * error / (value * (1 - value))
    return tuple(special.expit(special.logit(value) + reach * np.array([-1, 1])))


def degrees_of(sizes):
    """Half way from Kish's number of units to that of their squares, less one."""
    sizes = np.asarray(sizes, dtype=float)
    return (sizes.sum() ** 2 / (sizes**2).sum() + (sizes**2).sum() ** 2 / (sizes**4).sum()) / 2 - 1


def test_the_interval_is_that_of_explicit_resampling():
    predictions = classification()
    decision = decide(CLASSES, predictions, None)
    score = score_split(CLASSES, predictions, None, replicates=150, seed=4).scores["accuracy"]
    units, n_units, _ = bootstrap_units(predictions)
    drawn = []
    for row in next(bootstrap_weights(n_units, 150, seed=4)):
        rows = np.concatenate([np.flatnonzero(units == unit) for unit in range(n_units) for _ in range(row[unit])])
        drawn.append(sk.accuracy_score(predictions.truth[rows], decision[rows]))
    expected = reference_interval(score.value, drawn, degrees_of(np.bincount(units)))
    # Replicates are kept in single precision.
    assert (score.low, score.high) == pytest.approx(expected, abs=1e-6)


@pytest.mark.slow
def test_intervals_over_clusters_cover_the_truth_where_those_over_proteins_do_not():
    """Forty families, each wholly easy or hard: the evidence is forty draws, not eight hundred."""
    task = a_task(Problem("sequence-classification"), 2, primary="accuracy")
    rng = np.random.default_rng(0)
    trials, n, expected = 120, 800, 0.7
    families = np.repeat(np.arange(40), 20).astype(str)
    covered = {"clusters": 0, "proteins": 0}
    for _ in range(trials):
        right = rng.random(n) < np.repeat(rng.choice([0.45, 0.95], size=40), 20)
        scores = np.stack([right, ~right], axis=1)
        for over, clusters in (("clusters", families), ("proteins", None)):
            predictions = Predictions(
                task.problem, np.arange(n).astype(str), None, clusters, np.zeros(n, dtype=int), scores
            )
            score = score_split(task, predictions, None, replicates=200).scores["accuracy"]
            covered[over] += score.low <= expected <= score.high
    assert 0.88 <= covered["clusters"] / trials <= 0.99
    assert covered["proteins"] / trials < 0.75


def drawn_network(predictions: Predictions, units: np.ndarray, drawn: list[int]) -> np.ndarray:
    """The rows of a network drawn vertex by vertex: those between each two copies, and those inside each copy."""
    rows = []
    for place, first in enumerate(drawn):
        for second in drawn[place + 1 :]:
            if first != second:
                rows += np.flatnonzero((np.sort(units, axis=1) == sorted((first, second))).all(axis=1)).tolist()
        rows += np.flatnonzero((units == first).all(axis=1)).tolist()
    return np.array(rows)


@pytest.mark.parametrize(
    ("n_clusters", "described"),
    [
        (25, "25 homology clusters of the proteins that make up the pairs"),
        (5, "40 proteins that make up the pairs (only 5 clusters)"),
    ],
)
def test_of_pairs_proteins_are_drawn_and_a_pair_counts_by_both(n_clusters, described):
    task = a_task(Problem("pair-classification"), 2, primary="auprc", also=["auroc", "f1", "accuracy"], positive=1)
    predictions = pairs(n_clusters=n_clusters)
    units, n_units, words = bootstrap_units(predictions)
    assert (units.shape, words) == ((150, 2), described)
    result = score_split(task, predictions, [0.5], replicates=40, seed=4)
    assert result.interval == f"40 bootstrap replicates over {described}"
    assert (result.n_proteins, result.n_labelled) == (len(np.unique(predictions.proteins)), 150)
    reference = {
        "auprc": lambda y, p: sk.average_precision_score(y, p),
        "auroc": lambda y, p: sk.roc_auc_score(y, p),
        "f1": lambda y, p: sk.f1_score(y, p >= 0.5),
        "accuracy": lambda y, p: sk.accuracy_score(y, p >= 0.5),
    }
    rows = [
        drawn_network(predictions, units, np.repeat(np.arange(n_units), weights).tolist())
        for weights in next(bootstrap_weights(n_units, 40, seed=4))
    ]
    for name, metric in reference.items():
        drawn = [metric(predictions.truth[some], predictions.scores[some, 1]) for some in rows]
        score = result.scores[name]
        expected = reference_interval(score.value, drawn, degrees_of(np.bincount(units.ravel())))
        assert (score.low, score.high) == pytest.approx(expected, abs=1e-5)


PAIR_METRICS = {
    "multilabel": {
        "macro_f1": lambda y, p: sk.f1_score(y, p >= LIMITS, average="macro", zero_division=0),
        "subset_accuracy": lambda y, p: sk.accuracy_score(y, p >= LIMITS),
        "auprc": lambda y, p: sk.average_precision_score(y, p, average="macro"),
        "auroc": lambda y, p: sk.roc_auc_score(y, p, average="macro"),
    },
    "regression": {
        "spearman": lambda y, p: float(stats.spearmanr(y, p)[0]),
        "pearson": lambda y, p: float(stats.pearsonr(y, p)[0]),
        "rmse": lambda y, p: sk.root_mean_squared_error(y, p),
        "mae": lambda y, p: sk.mean_absolute_error(y, p),
        "r2": lambda y, p: sk.r2_score(y, p),
    },
}
# Of float32, as chosen thresholds are.
LIMITS = np.array([0.5, 0.25, 0.75], dtype=np.float32)


@pytest.mark.parametrize("n_clusters", [25, 5])
@pytest.mark.parametrize("kind", PAIR_METRICS)
def test_labels_and_values_of_pairs_are_scored_and_drawn_as_their_classes_are(kind: str, n_clusters: int) -> None:
    """Every metric is scikit-learn's or scipy's, replicate by replicate, on the pairs written out as often as they count."""
    metrics, predictions = PAIR_METRICS[kind], pairs(kind=kind, n_clusters=n_clusters)
    primary, *also = metrics
    task = a_task(Problem(f"pair-{kind}"), 3 if kind == "multilabel" else 0, primary=primary, also=also)
    thresholds = LIMITS.tolist() if kind == "multilabel" else None
    units, n_units, _ = bootstrap_units(predictions)
    result, drawn, _ = score_and_resample(task, predictions, thresholds, replicates=30, seed=4)
    rows = [
        drawn_network(predictions, units, np.repeat(np.arange(n_units), weights).tolist())
        for weights in next(bootstrap_weights(n_units, 30, seed=4))
    ]
    truth, scores = predictions.truth, predictions.scores.astype(np.float64)
    for name, metric in metrics.items():
        assert result.scores[name].value == pytest.approx(metric(truth, scores), abs=1e-6)
        np.testing.assert_allclose(
            drawn[name], [metric(truth[some], scores[some]) for some in rows], atol=1e-6, err_msg=name
        )
        assert result.scores[name].low < result.scores[name].value < result.scores[name].high
    assert [row["name"] for row in result.per_class] == task.label_names
    for output, row in enumerate(result.per_class):
        called = scores[:, output] >= LIMITS[output]
        assert (row["f1"], row["support"]) == (
            pytest.approx(sk.f1_score(truth[:, output], called, zero_division=0)),
            truth[:, output].sum(),
        )


@pytest.mark.parametrize("kind", ["classification", "multilabel", "regression"])
def test_which_of_two_proteins_comes_first_changes_no_score_and_no_interval(kind: str) -> None:
    primary = {"classification": "mcc", "multilabel": "macro_f1", "regression": "spearman"}[kind]
    labels = {"classification": 2, "multilabel": 3, "regression": 0}[kind]
    task = a_task(Problem(f"pair-{kind}"), labels, primary=primary)
    given = pairs(kind=kind)
    swapped = replace(given, proteins=given.proteins[:, ::-1], clusters=given.clusters[:, ::-1])
    thresholds = choose_thresholds(task, given)
    for predictions in (given, swapped):
        assert choose_thresholds(task, predictions) == thresholds
    # The units are numbered as they appear: a swap draws others, so the metric is compared unit by unit.
    of, weights = [], np.random.default_rng(0).multinomial(25, [1 / 25] * 25, size=20)
    for predictions in (given, swapped):
        (statistic,), units = prepare(task, predictions, thresholds, [primary])
        names = np.array([f"c{i}" for i in range(25)])
        first = dict(zip(predictions.clusters.ravel(), units_of(predictions), strict=True))
        of.append(statistic(weights[:, np.argsort([first[name] for name in names])]))
        assert units.n_units == 25
    np.testing.assert_allclose(*of, atol=1e-12)


def units_of(predictions):
    return bootstrap_units(predictions)[0].ravel().tolist()


def test_undefined_replicates_are_counted_and_left_out():
    """One protein of 25 has the only positives: about 1/e of the replicates lack it."""
    predictions = classification(n_classes=2)
    truth = (predictions.ids == predictions.ids[0]).astype(int)
    predictions = classification(n_classes=2, truth=truth)
    result = score_split(DETECTION, predictions, [0.5], replicates=400)
    assert set(result.undefined_replicates) == {"auprc", "auroc"}
    assert result.undefined_replicates["auroc"] / 400 == pytest.approx((1 - 1 / 25) ** 25, abs=0.08)
    assert result.scores["auroc"].low is not None


def test_an_undefined_metric_has_no_numbers():
    predictions = classification(n_classes=2, truth=np.zeros(120, dtype=int))
    result = score_split(DETECTION, predictions, [0.5], replicates=50)
    assert result.scores["auroc"].model_dump() == {"value": None, "low": None, "high": None, "higher_is_better": True}
    assert result.undefined_replicates == {"auprc": 50, "auroc": 50}
    assert result.scores["f1"].value == 0.0


def test_one_protein_has_no_interval():
    predictions = classification(n=10, n_proteins=1)
    result = score_split(CLASSES, predictions, None)
    assert result.interval == "no intervals: 1 protein (no clusters)"
    assert result.scores["accuracy"].low is None
    assert result.scores["accuracy"].value is not None


def test_direction_is_stated():
    assert not score_split(VALUES, regression(), None, replicates=0).scores["rmse"].higher_is_better


# --- Classes -------------------------------------------------------------------------------------------------------


def test_a_row_per_class_and_the_confusion_are_scikit_learns():
    predictions = classification()
    decision = decide(CLASSES, predictions, None)
    result = score_split(CLASSES, predictions, None, replicates=0)
    report = sk.classification_report(predictions.truth, decision, output_dict=True, zero_division=0)
    for index, row in enumerate(result.per_class):
        expected = report[str(index)]
        assert list(row) == ["name", "support", "precision", "recall", "f1", "auroc", "auprc"]
        assert (row["name"], row["support"]) == (f"label {index}", expected["support"])
        assert [row["precision"], row["recall"], row["f1"]] == pytest.approx(
            [expected["precision"], expected["recall"], expected["f1-score"]]
        )
        truth = predictions.truth == index
        assert row["auroc"] == pytest.approx(sk.roc_auc_score(truth, predictions.scores[:, index]))
        assert row["auprc"] == pytest.approx(sk.average_precision_score(truth, predictions.scores[:, index]))
    assert result.confusion == sk.confusion_matrix(predictions.truth, decision).tolist()


def test_a_row_per_label():
    truth = multilabel().truth.copy()
    truth[:, 3] = 0
    predictions = multilabel(truth=truth)
    thresholds = choose_thresholds(MULTILABEL, predictions)
    decision = decide(MULTILABEL, predictions, thresholds)
    result = score_split(MULTILABEL, predictions, thresholds, replicates=0)
    assert result.confusion is None
    for index, row in enumerate(result.per_class):
        has, called = truth[:, index], decision[:, index]
        assert row["threshold"] == thresholds[index]
        assert row["support"] == has.sum()
        assert [row["precision"], row["recall"], row["f1"], row["mcc"]] == pytest.approx(
            [
                sk.precision_score(has, called, zero_division=0),
                sk.recall_score(has, called, zero_division=0),
                sk.f1_score(has, called, zero_division=0),
                sk.matthews_corrcoef(has, called),
            ]
        )
    assert result.per_class[3]["auroc"] is None
    assert result.per_class[0]["auroc"] == pytest.approx(sk.roc_auc_score(truth[:, 0], predictions.scores[:, 0]))


def test_regression_has_no_classes():
    result = score_split(VALUES, regression(), None, replicates=0)
    assert (result.per_class, result.confusion) == ([], None)


# --- Selection -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("task", "predictions"), CASES)
def test_the_selection_score_is_the_primary_metric_at_thresholds_of_its_own(task, predictions):
    thresholds = choose_thresholds(task, predictions)
    expected = score_split(task, predictions, thresholds, replicates=0).scores[task.metrics.primary].value
    assert primary_score(task, predictions) == expected


def test_given_thresholds_are_used():
    never = [1.1] * 4
    assert primary_score(MULTILABEL, multilabel(), never) == 0


def test_an_undefined_selection_score_is_never_better():
    constant = regression()
    constant = Predictions(constant.problem, constant.ids, constant.positions, None, constant.truth, np.ones(120))
    score = primary_score(VALUES, constant)
    assert math.isnan(score)
    assert not score > -math.inf
