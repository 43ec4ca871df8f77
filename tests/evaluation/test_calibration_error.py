"""Whether probabilities mean what they say: by scikit-learn, by simulation with known truth, and row by row."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import numpy as np
import pytest
from sklearn import metrics as sk
from sklearn.calibration import calibration_curve
from tiny_tasks import tiny_task

from hubtools.evaluation import bootstrap_weights, score_split
from hubtools.evaluation.metrics.calibration_error import (
    BINS,
    brier_score,
    calibration,
    claims,
    equal_mass,
    equal_width,
    expected_calibration_error,
    log_loss,
)
from hubtools.evaluation.predictions import Predictions
from hubtools.evaluation.statistics.resampling import bootstrap_units, pair_weights
from hubtools.specs.problem import Problem
from hubtools.specs.record import SplitResult
from hubtools.specs.task import Task

POSITIVE = {"metrics": {"primary": "mcc", "positive": "aromatic"}}


def softmax(logits: np.ndarray) -> np.ndarray:
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def simulated(problem: str, sharpness: float = 1.0, n: int = 600, width: int = 2, seed: int = 0) -> Predictions:
    """Rows whose truth is drawn from logits, and a model that says these logits times the sharpness."""
    rng = np.random.default_rng(seed)
    logits = 2 * rng.normal(size=(n, width))
    more: dict[str, Any] = {}
    if problem.endswith("multilabel"):
        probabilities = 1 / (1 + np.exp(-sharpness * logits))
        truth = (rng.random((n, width)) < 1 / (1 + np.exp(-logits))).astype(int)
    else:
        probabilities = softmax(sharpness * logits)
        truth = (softmax(logits).cumsum(axis=1) < rng.random((n, 1))).sum(axis=1).clip(max=width - 1)
    if problem.startswith("residue"):
        more["positions"] = np.tile(np.arange(1, 13), n // 12)
        ids = np.repeat([f"P{i}" for i in range(n // 12)], 12)
    else:
        ids = np.array([f"P{i}" for i in range(n)])
    if problem.startswith("pair"):
        more["proteins"] = rng.choice([f"Q{i}" for i in range(40)], size=(n, 2))
    return Predictions(Problem(problem), ids, more.pop("positions", None), None, truth, probabilities, **more)


def task_of(problem: str, width: int = 2, **changes: Any) -> Task:
    labels = {} if width == 2 else {"labels": [f"label {i}" for i in range(width)]}
    return tiny_task(problem, **labels, **changes)


# The error and its bins


def test_bins_are_those_of_scikit_learn() -> None:
    p = simulated("sequence-classification")
    found = calibration(task_of("sequence-classification", **POSITIVE), p, replicates=0)
    assert found is not None and found.of == "aromatic" and sum(found.counts) == 600
    frequency, mean = calibration_curve(p.truth, p.scores[:, 1], n_bins=BINS)
    filled = np.array(found.counts) > 0
    np.testing.assert_allclose(np.array(found.observed)[filled].astype(float), frequency, atol=1e-4)
    np.testing.assert_allclose(np.array(found.confidence)[filled].astype(float), mean, atol=1e-4)
    weights = np.array(found.counts)[filled] / 600
    assert found.ece == pytest.approx(float((weights * np.abs(frequency - mean)).sum()), abs=1e-6)


def test_bins_of_equal_numbers_are_those_of_scikit_learn() -> None:
    p = simulated("sequence-classification")
    confidence, outcome = p.scores[:, 1].astype(float), p.truth == 1
    frequency, mean = calibration_curve(outcome, confidence, n_bins=BINS, strategy="quantile")
    sizes = np.bincount(equal_mass(confidence[:, None])[:, 0], minlength=BINS)
    assert sizes.tolist() == [40] * BINS
    expected = float((np.abs(frequency - mean) * sizes).sum() / 600)
    assert expected_calibration_error(confidence, outcome, adaptive=True) == pytest.approx(expected)


def test_the_border_of_two_bins_belongs_to_the_lower_one_and_equal_probabilities_stay_together() -> None:
    assert equal_width(np.array([0.0, 0.5, 0.5001, 1.0]), bins=2).tolist() == [0, 0, 1, 1]
    assert len(set(equal_mass(np.full((50, 1), 0.3))[:, 0])) == 1


def test_top_label_confidence_row_by_row() -> None:
    """Guo et al. (2017), equations 2 to 5, written down again."""
    p = simulated("sequence-classification", 1.7, width=4)
    confidence, right = p.scores.max(axis=1).astype(float), p.scores.argmax(axis=1) == p.truth
    expected = 0.0
    for k in range(15):
        inside = (confidence > k / 15) & (confidence <= (k + 1) / 15)
        if inside.any():
            expected += inside.sum() / 600 * abs(right[inside].mean() - confidence[inside].mean())
    found = calibration(task_of("sequence-classification", 4), p, replicates=0)
    assert found is not None and found.of == "the likeliest class"
    assert found.ece == pytest.approx(expected, abs=1e-6)


def test_of_several_labels_the_error_is_the_mean_over_labels_and_the_bins_are_of_all() -> None:
    p = simulated("sequence-multilabel", 2.0, width=3)
    found = calibration(task_of("sequence-multilabel", 3), p, replicates=0)
    each = [expected_calibration_error(p.scores[:, k].astype(float), p.truth[:, k]) for k in range(3)]
    assert found is not None and found.of == "each label"
    assert found.ece == pytest.approx(np.mean(each), abs=1e-6)
    assert sum(found.counts) == 3 * 600
    frequency, mean = calibration_curve(p.truth.ravel(), p.scores.ravel().astype(float), n_bins=BINS)
    np.testing.assert_allclose(np.array(found.observed, dtype=float)[np.array(found.counts) > 0], frequency, atol=1e-4)
    np.testing.assert_allclose(np.array(found.confidence, dtype=float)[np.array(found.counts) > 0], mean, atol=1e-4)


@pytest.mark.parametrize("width", [2, 4])
def test_proper_scores_are_those_of_scikit_learn(width: int) -> None:
    p = simulated("sequence-classification", 1.5, width=width)
    said = p.scores[:, 1] if width == 2 else p.scores
    if width == 2 or version("scikit-learn") >= "1.7":
        # Of more than two classes it knows it since then.
        assert brier_score(p) == pytest.approx(sk.brier_score_loss(p.truth, said), abs=1e-6)
    assert log_loss(p) == pytest.approx(sk.log_loss(p.truth, p.scores), abs=1e-6)
    several = simulated("sequence-multilabel", 1.5, width=3)
    columns = [(several.truth[:, k], several.scores[:, k].astype(float)) for k in range(3)]
    assert brier_score(several) == pytest.approx(np.mean([sk.brier_score_loss(t, s) for t, s in columns]), abs=1e-6)
    assert log_loss(several) == pytest.approx(np.mean([sk.log_loss(t, s) for t, s in columns]), abs=1e-6)


def test_a_wrong_certainty_costs_much_and_not_without_end() -> None:
    p = simulated("sequence-classification")
    sure = Predictions(p.problem, p.ids, None, None, p.truth, np.eye(2)[1 - p.truth])
    assert log_loss(sure) == pytest.approx(-np.log(np.finfo(np.float32).eps))


def test_saying_the_share_of_positives_is_calibrated_and_worth_nothing() -> None:
    """Why the error does not stand alone."""
    p = simulated("sequence-classification")
    share = (p.truth == 1).mean()
    constant = Predictions(p.problem, p.ids, None, None, p.truth, np.tile([1 - share, share], (600, 1)))
    task = task_of("sequence-classification", **POSITIVE)
    knows, says_nothing = (calibration(task, q, replicates=0) for q in (p, constant))
    assert knows is not None and says_nothing is not None
    assert says_nothing.ece < 1e-6 < knows.ece
    assert knows.brier < says_nothing.brier and knows.log_loss < says_nothing.log_loss


# Noise and intervals


def test_calibrated_probabilities_are_within_the_noise_and_overconfident_ones_are_not() -> None:
    task = task_of("sequence-classification", **POSITIVE)
    within, beyond = 0, 0
    for seed in range(40):
        good, sharp = (
            calibration(task, simulated("sequence-classification", s, seed=seed), replicates=200) for s in (1, 3)
        )
        assert good is not None and good.noise is not None and good.low is not None and good.high is not None
        assert good.low <= good.ece <= good.high and (good.low == 0 or good.ece > good.noise)
        within += good.ece <= good.noise
        assert sharp is not None and sharp.noise is not None and sharp.low is not None
        beyond += sharp.ece > sharp.noise and sharp.low > 0
    assert within >= 34, "95 of 100, of forty at least 34 but once in a thousand"
    assert beyond == 40


def test_the_noise_knows_that_residues_of_a_protein_are_not_independent() -> None:
    """Twelve copies of each row: as much evidence as one of each, and the same noise."""
    alone = simulated("sequence-classification", n=240)
    copies = Predictions(
        Problem("residue-classification"),
        np.repeat(alone.ids, 12),
        np.tile(np.arange(1, 13), 240),
        None,
        np.repeat(alone.truth, 12),
        np.repeat(alone.scores, 12, axis=0),
    )
    one = calibration(task_of("sequence-classification", **POSITIVE), alone, replicates=200)
    many = calibration(task_of("residue-classification", **POSITIVE), copies, replicates=200)
    assert one is not None and many is not None
    assert many.noise == pytest.approx(one.noise) and many.low == one.low and many.high == pytest.approx(one.high)
    assert many.observed_low == one.observed_low
    assert many.counts == [12 * count for count in one.counts]


@pytest.mark.parametrize(
    "problem", ["sequence-classification", "sequence-multilabel", "residue-classification", "pair-classification"]
)
def test_replicates_are_the_formulas_on_the_rows_drawn(problem: str) -> None:
    p = simulated(problem, 2.0, n=240)
    task, replicates = task_of(problem), 60
    found, claimed = calibration(task, p, replicates=replicates, seed=3), claims(task, p)
    units, n_units, _ = bootstrap_units(p)
    errors, noises, frequencies = [], [], []
    codes = equal_width(claimed.confidence)
    gaps = claimed.confidence - claimed.outcome
    for weights in np.concatenate(list(bootstrap_weights(n_units, replicates, 3))):
        if units.ndim == 2:
            dyads, _, weigh = pair_weights(units)
            times = weigh(weights[None])[0][dyads]
        else:
            times = weights[units]
        rows = np.repeat(np.arange(len(p)), times)
        errors.append(expected_calibration_error(claimed.confidence[rows], claimed.outcome[rows]))
        noise = 0.0
        for label in range(codes.shape[1]):
            for k in range(BINS):
                before = gaps[codes[:, label] == k, label].sum() / len(p)
                after = gaps[rows][codes[rows, label] == k, label].sum() / len(rows)
                noise += abs(after - before) / codes.shape[1]
        noises.append(noise)
        frequencies.append([claimed.outcome[rows][codes[rows] == k].mean() if (codes[rows] == k).any() else np.nan
                            for k in range(BINS)])  # fmt: skip
    assert found is not None and found.high is not None
    assert found.noise == pytest.approx(np.quantile(noises, 0.95), abs=1e-6)
    assert found.high == pytest.approx(max(found.ece, np.quantile(errors, 0.975)), abs=2e-6)
    shown = [k for k in range(BINS) if found.observed_low[k] is not None]
    assert len(shown) >= 3
    for k in shown:
        low, high = np.nanquantile([row[k] for row in frequencies], [0.025, 0.975])
        assert found.observed_low[k] == pytest.approx(low, abs=1e-4)
        assert found.observed_high[k] == pytest.approx(high, abs=1e-4)


def test_many_labels_are_counted_sparsely_to_the_same_end(monkeypatch: pytest.MonkeyPatch) -> None:
    from hubtools.evaluation.metrics import calibration_error as reliability

    p, task = simulated("sequence-multilabel", n=100, width=30), task_of("sequence-multilabel", 30)
    dense = calibration(task, p, replicates=50)
    monkeypatch.setattr(reliability, "_DENSE", 0)
    assert calibration(task, p, replicates=50) == dense


def test_a_bin_of_few_proteins_or_of_one_outcome_has_no_interval() -> None:
    truth, confidence = np.array([1] * 30 + [0, 1] * 4 + [0, 1] * 20), [0.99] * 30 + [0.75] * 8 + [0.6] * 40
    scores = np.stack([1 - np.array(confidence), confidence], axis=1)
    p = Predictions(Problem("sequence-classification"), np.arange(78).astype(str), None, None, truth, scores)
    found = calibration(task_of("sequence-classification"), p, replicates=100)
    assert found is not None
    filled = [k for k in range(BINS) if found.counts[k]]
    assert [found.counts[k] for k in filled] == [40, 8, 30]
    assert [found.observed_low[k] is not None for k in filled] == [True, False, False]


# In the record


def test_the_record_of_a_split_has_it_small_and_old_records_load_without() -> None:
    p = simulated("sequence-classification")
    result = score_split(task_of("sequence-classification"), p, None, replicates=100)
    assert result.calibration == calibration(task_of("sequence-classification"), p, replicates=100)
    assert len(result.model_dump_json(include={"calibration"})) < 1_000
    assert SplitResult.model_validate_json(result.model_dump_json()) == result
    assert SplitResult.model_validate(result.model_dump(exclude={"calibration"})).calibration is None


def test_without_replicates_there_is_the_value_and_without_rows_or_probabilities_nothing() -> None:
    task, p = task_of("sequence-classification"), simulated("sequence-classification")
    found = calibration(task, p, replicates=0)
    assert found is not None and found.ece > 0 and found.low is None and found.noise is None
    assert calibration(task, p.rows(np.array([], dtype=int)), replicates=10) is None
    values = Predictions(Problem("sequence-regression"), p.ids, None, None, p.truth, p.scores[:, 0])
    regression = task_of("sequence-regression")
    assert calibration(regression, values, replicates=10) is None
    assert score_split(regression, values, None, replicates=10).calibration is None
    with pytest.raises(ValueError, match="claims no probability"):
        claims(regression, values)
