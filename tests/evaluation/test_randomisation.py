"""Approximate randomisation: against scipy's permutation test, and against swapping rows one by one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from evaluation_cases import a_task, classification, multilabel, pairs, regression
from scipy import stats
from sklearn.metrics import f1_score
from test_assays import measured, variant_task

from hubtools.evaluation import Predictions, choose_thresholds, decide
from hubtools.evaluation.randomisation import randomisation_p
from hubtools.evaluation.resampling import bootstrap_units, encode
from hubtools.specs.problem import Problem

CLASSES = a_task(Problem.RESIDUE_CLASSIFICATION, 3, primary="macro_f1", also=["accuracy"])


def another(predictions: Predictions, seed: int, noise: float = 0.3) -> Predictions:
    """A second model: the first one's output and something else."""
    scores = predictions.scores + noise * np.random.default_rng(seed).random(predictions.scores.shape)
    if predictions.problem.kind == "classification":
        scores = scores / scores.sum(axis=1, keepdims=True)
    return replace(predictions, scores=scores.astype(np.float32))


def test_of_a_mean_it_is_the_permutation_test_of_scipy():
    """Twelve proteins of equal length: accuracy is a mean over proteins, and every one of 4,096 swaps can be listed."""
    n = 12 * 30
    rng = np.random.default_rng(1)
    ids = np.repeat([f"P{i}" for i in range(12)], 30)
    truth = rng.integers(0, 3, size=n)

    def model(share: float) -> Predictions:
        called = np.where(rng.random(n) < share, truth, (truth + 1) % 3)
        positions = np.tile(np.arange(30), 12) + 1
        return Predictions(Problem.RESIDUE_CLASSIFICATION, ids, positions, None, truth, np.eye(3)[called])

    one, two = model(0.70), model(0.62)
    right = [(model.scores.argmax(axis=1) == truth).reshape(12, 30).mean(axis=1) for model in (one, two)]
    exact = stats.permutation_test(
        right, lambda a, b: np.mean(b) - np.mean(a), permutation_type="samples", n_resamples=np.inf
    ).pvalue
    assert 0.001 < exact < 0.2
    p = randomisation_p(CLASSES, [one], [None], [two], [None], metric="accuracy", replicates=20_000)
    assert p == pytest.approx(exact, abs=4 * np.sqrt(exact / 20_000) + 1e-4)


def test_the_metric_is_recomputed_on_swapped_predictions_with_each_runs_own_thresholds():
    """By hand: rows of the swapped proteins change sides, for every run of the arm at once."""
    task = a_task(Problem.RESIDUE_MULTILABEL, 4, primary="macro_f1")
    base = multilabel(n=200)
    one, two = [another(base, 1), another(base, 2)], [another(base, 3, 1.0), another(base, 4, 1.0)]
    thresholds = [choose_thresholds(task, run) for run in [*one, *two]]
    assert thresholds[0] != thresholds[2]
    decisions = [decide(task, run, limits) for run, limits in zip([*one, *two], thresholds, strict=True)]
    units, n_units, _ = bootstrap_units(base)

    def gain(swapped: np.ndarray) -> float:
        gains = []
        for before, after in zip(decisions[:2], decisions[2:], strict=True):
            rows = swapped[units, None].astype(bool)
            first, second = np.where(rows, after, before), np.where(rows, before, after)
            scores = [f1_score(base.truth, calls, average="macro", zero_division=0) for calls in (first, second)]
            gains.append(scores[1] - scores[0])
        return float(np.mean(gains))

    observed = abs(gain(np.zeros(n_units, dtype=int)))
    rng, as_large = np.random.default_rng(0), 0
    for swapped in rng.integers(0, 2, size=(300, n_units)):
        as_large += abs(gain(swapped)) >= observed - 1e-12
    p = randomisation_p(task, one, thresholds[:2], two, thresholds[2:], replicates=300)
    assert p == pytest.approx((1 + as_large) / 301)


SEVERAL = [
    (CLASSES, classification()),
    (a_task(Problem.RESIDUE_MULTILABEL, 4, primary="auprc"), multilabel()),
    (a_task(Problem.RESIDUE_REGRESSION, primary="spearman"), regression()),
    (variant_task(), measured(3)),
    (variant_task(), measured(44)),
]


@pytest.mark.parametrize(("task", "predictions"), SEVERAL)
def test_the_same_model_twice_is_no_difference_and_a_much_worse_one_is(task, predictions):
    limits = None if predictions.problem.kind == "regression" else choose_thresholds(task, predictions)
    run, worse = another(predictions, 1), replace(predictions, scores=predictions.scores[::-1].copy())
    assert randomisation_p(task, [run], [limits], [run], [limits], replicates=50) == 1
    if predictions.problem.kind == "regression":
        assert randomisation_p(task, [run], [limits], [worse], [limits], replicates=500) < 0.05


def test_variants_are_swapped_within_assays_or_by_whole_proteins():
    """By hand for the latter: every assay of a protein changes sides with it."""
    task = variant_task()
    one, two = another(measured(44), 1, noise=3.0), another(measured(44), 2, noise=3.0)
    assays = one.assays
    assert assays is not None
    proteins, n_proteins = encode(assays.protein)
    groups = encode(assays.group)[0]

    def score(scores: np.ndarray) -> float:
        cells: dict[tuple[str, str], list[float]] = {}
        for group in np.unique(groups):
            rows = groups == group
            cell = (assays.category[rows][0], assays.protein[rows][0])
            cells.setdefault(cell, []).append(stats.spearmanr(one.truth[rows], scores[rows]).statistic)
        by_category: dict[str, list[float]] = {}
        for (category, _), values in cells.items():
            by_category.setdefault(category, []).append(float(np.mean(values)))
        return float(np.mean([np.mean(values) for values in by_category.values()]))

    def gain(swapped: np.ndarray) -> float:
        rows = swapped[proteins].astype(bool)
        return score(np.where(rows, one.scores, two.scores)) - score(np.where(rows, two.scores, one.scores))

    observed = abs(gain(np.zeros(n_proteins, dtype=int)))
    swaps = np.random.default_rng(0).integers(0, 2, size=(60, n_proteins))
    as_large = sum(abs(gain(swapped)) >= observed - 1e-12 for swapped in swaps)
    assert 0 < as_large < 60
    assert randomisation_p(task, [one], [None], [two], [None], replicates=60) == pytest.approx((1 + as_large) / 61)


def test_arms_of_unequal_size_are_compared_by_their_means():
    one = another(classification(n=600, n_proteins=60), 1)
    worse = replace(one, scores=np.roll(one.scores, 1, axis=1))
    assert randomisation_p(CLASSES, [one], [None], [one, one, one], [None] * 3, replicates=50) == 1
    pair = randomisation_p(CLASSES, [one], [None], [worse], [None], replicates=500)
    assert randomisation_p(CLASSES, [one], [None], [worse, worse], [None] * 2, replicates=500) == pair


def test_pairs_that_hang_together_cannot_be_swapped_and_separate_ones_can():
    task = a_task(Problem.PAIR_CLASSIFICATION, 2, primary="mcc")
    tangled = pairs()
    assert randomisation_p(task, [tangled], [None], [another(tangled, 1)], [None]) is None
    n = 60  # Sixty pairs of proteins that occur in no other, two rows each.
    names = np.array([[f"A{i}", f"B{i}"] for i in range(n)])[np.repeat(np.arange(n), 2)]
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, size=2 * n)
    ids = np.array([f"{i}" for i in range(2 * n)])

    def model(share: float) -> Predictions:
        called = np.where(rng.random(2 * n) < share, truth, 1 - truth)
        return Predictions(Problem.PAIR_CLASSIFICATION, ids, None, None, truth, np.eye(2)[called], proteins=names)

    good, bad = model(0.9), model(0.6)
    assert randomisation_p(task, [good], [None], [bad], [None], replicates=500) < 0.01
    assert randomisation_p(task, [good], [None], [model(0.9)], [None], replicates=500) > 0.01


def test_runs_of_other_rows_are_refused():
    one = classification()
    with pytest.raises(ValueError, match="different rows"):
        randomisation_p(CLASSES, [one], [None], [classification(seed=1)], [None])


def test_one_protein_is_no_test():
    one = classification(n_proteins=1)
    assert randomisation_p(CLASSES, [one], [None], [another(one, 1)], [None]) is None
