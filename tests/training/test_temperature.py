"""One number for honest probabilities: found again in simulated logits, the best there is, and never harmful."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from sklearn import metrics as sk
from tiny_tasks import PROBLEMS

from hubtools.models.task_model import final_linear, scale_output
from hubtools.specs.lookup.spec_files import load_recipe
from hubtools.specs.problem import Problem
from hubtools.specs.recipe import Recipe
from hubtools.training.loss import Loss
from hubtools.training.temperature import (
    HIGHEST,
    LOWEST,
    fit_temperature,
    label_logits_of,
    logits_of,
    mean_log_loss,
)


def simulated(kind: str, temperature: float, n: int = 20_000, width: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Logits that are too large by the temperature, and truth drawn from what they should be."""
    rng = np.random.default_rng(0)
    logits = torch.from_numpy(1.5 * rng.normal(size=(n, width)))
    if kind == "multilabel":
        truth = (rng.random((n, width)) < logits.sigmoid().numpy()).astype(np.int8)
    else:
        truth = (logits.softmax(1).cumsum(1).numpy() < rng.random((n, 1))).sum(axis=1).clip(max=width - 1)
    return (temperature * logits).float().numpy(), truth


@pytest.mark.parametrize("kind", ["classification", "multilabel"])
@pytest.mark.parametrize("temperature", [0.4, 1.0, 2.5, 12.0])
def test_a_known_temperature_is_found_again(kind: str, temperature: float) -> None:
    logits, truth = simulated(kind, temperature)
    found = fit_temperature(logits, truth)
    assert found.value == pytest.approx(temperature, rel=0.05) and not found.bound
    assert found.after <= found.before
    assert fit_temperature(logits, truth) == found, "the same every time"


@pytest.mark.parametrize("kind", ["classification", "multilabel"])
def test_it_is_the_least_loss_of_torch_and_scikit_learn(kind: str) -> None:
    logits, truth = simulated(kind, 2.0, n=500)
    found = fit_temperature(logits, truth)
    scores = Loss(kind).to_scores(torch.from_numpy(logits) / found.value)  # type: ignore[arg-type]
    if kind == "classification":
        expected = sk.log_loss(truth, scores)
    else:
        expected = np.mean([sk.log_loss(truth[:, k], scores[:, k].astype(float)) for k in range(3)])
    assert found.after == pytest.approx(expected, abs=1e-5)
    inverse = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([inverse], max_iter=100, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        scaled = torch.from_numpy(logits).double() * inverse
        if kind == "classification":
            loss = torch.nn.functional.cross_entropy(scaled, torch.from_numpy(truth))
        else:
            loss = torch.nn.functional.binary_cross_entropy_with_logits(scaled, torch.from_numpy(truth).double())
        loss.backward()
        return loss

    optimiser.step(closure)  # type: ignore[no-untyped-call]
    assert found.value == pytest.approx(1 / inverse.item(), rel=1e-4)


@pytest.mark.parametrize("kind", ["classification", "multilabel"])
def test_without_a_row_on_the_wrong_side_there_is_no_best_one(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, (50, 2)) if kind == "multilabel" else rng.integers(0, 3, 50)
    logits = 2.0 * truth - 1 if kind == "multilabel" else np.eye(3)[truth]
    assert mean_log_loss(logits, truth, 0.1) < mean_log_loss(logits, truth, 1.0), "sharper is better without end"
    found = fit_temperature(logits, truth)
    assert found.value == 1 and found.after == found.before and "no row on the wrong side" in found.bound
    assert "no row on the wrong side" in caplog.text and found.choices["temperature_bound"] == found.bound


def test_logits_that_mislead_are_flattened_as_far_as_it_goes() -> None:
    truth = np.array([0, 1] * 30)
    found = fit_temperature(5.0 * np.eye(2)[1 - truth], truth)
    assert found.value == pytest.approx(HIGHEST, rel=1e-2) and found.bound.startswith("100:")
    assert LOWEST < 1 < HIGHEST


def test_logits_that_say_nothing_stay() -> None:
    found = fit_temperature(np.zeros((6, 2)), np.array([0, 1, 0, 1, 1, 0]))
    assert found.value == 1 and np.isfinite(found.after)


@pytest.mark.parametrize("kind", ["classification", "multilabel"])
def test_probabilities_without_logits_have_some(kind: str) -> None:
    logits, _ = simulated(kind, 1.0, n=50)
    loss = Loss(kind)  # type: ignore[arg-type]
    back = label_logits_of if kind == "multilabel" else logits_of
    scores = loss.to_scores(logits)
    np.testing.assert_allclose(loss.to_scores(back(scores)), scores, atol=1e-6)
    certain = np.array([[0.0, 1.0]], dtype=np.float32)
    assert np.isfinite(back(certain)).all()
    np.testing.assert_allclose(loss.to_scores(back(certain)), certain, atol=1e-6)


def test_a_head_scaled_says_the_scaled_logits() -> None:
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.GELU(), torch.nn.Linear(8, 3, bias=False))
    model.config = type("Config", (), {"num_labels": 3})()  # type: ignore[assignment]
    x = torch.randn(5, 4)
    before = model(x).detach()
    assert final_linear(model, 3) is model[2]
    scale_output(model, 0.0, 1 / 2.5)
    torch.testing.assert_close(model(x), before / 2.5)
    assert model(x).argmax(1).tolist() == before.argmax(1).tolist()


@pytest.mark.parametrize("problem", [*PROBLEMS, "variant-effect"])
def test_a_regression_has_no_temperature(problem: str) -> None:
    values: dict[str, Any] = {"name": "probe", "adaptation": "probe", "calibration": "temperature"}
    if problem == "variant-effect":
        values |= {"adaptation": "zero-shot", "scoring": "masked-marginals"}
    reason = Recipe.model_validate(values).why_not(Problem(problem))
    if Problem(problem).kind == "regression":
        assert reason == "calibration: temperature needs probabilities, and a regression has none"
    else:
        assert reason is None


def test_a_recipe_without_it_is_what_it_was() -> None:
    plain = load_recipe("probe", {})
    assert load_recipe("probe", {"calibration": "none"}).hash == plain.hash
    assert load_recipe("probe", {"calibration": "temperature"}).hash != plain.hash
