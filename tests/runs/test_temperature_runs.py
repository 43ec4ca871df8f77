"""Runs with a temperature: the saved model says the scaled probabilities by itself, whatever its head is."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from test_execute import plan, project, session

from hubtools.common.errors import UserError
from hubtools.evaluation import choose_thresholds, read_predictions
from hubtools.evaluation.metrics.calibration_error import log_loss
from hubtools.evaluation.predictions import Predictions
from hubtools.publishing.reload import compare, predict_again, reproduce
from hubtools.runs.execute import Outcome, execute
from hubtools.runs.plan import AskedRecipe, PlannedRun, expand
from hubtools.runs.store import OpenRun
from hubtools.runs.whole_model import make_whole

assert plan and project  # fixtures
Plan = Callable[..., PlannedRun]

PROBE_WITH_RATES = {"epochs": 4, "probe.layers": "all", "probe.learning_rates": [1e-2, 1e-1]}
HEADS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "mean": ("sequence-classification", "full", {}),
    "multi-label": ("sequence-multilabel", "full", {}),
    "residue, saved as transformers' own": ("residue-classification", "full", {}),
    "residue multi-label": ("residue-multilabel", "full", {}),
    "hidden": ("sequence-classification", "full", {"head.hidden": 8}),
    "light attention": ("sequence-classification", "full", {"head.pooling": "attention"}),
    "pairs": ("pair-classification", "full", {}),
    "native": ("sequence-classification", "full", {"head.kind": "native"}),
    "native residue": ("residue-classification", "full", {"head.kind": "native"}),
    "adapter": ("residue-classification", "full", {"adaptation": "adapter", "adapter.kind": "lora"}),
    "probe": ("sequence-classification", "probe", PROBE_WITH_RATES),
    "probe of residues": ("residue-multilabel", "probe", PROBE_WITH_RATES),
    "probe of pairs": ("pair-classification", "probe", {"epochs": 4}),
    "probe, light attention": ("sequence-multilabel", "probe", {"epochs": 3, "head.pooling": "attention"}),
}


def both(plan: Plan, tmp_path: Path, problem: str, recipe: str, settings: dict[str, Any]) -> list[Outcome]:
    """The run without and with."""
    outcomes = [
        execute(plan(problem, recipe, **settings, **more), session(tmp_path))
        for more in ({}, {"calibration": "temperature"})
    ]
    for outcome in outcomes:
        assert outcome.record.status == "complete", outcome.record.failure
    assert outcomes[0].folder != outcomes[1].folder
    return outcomes


def unscaled(predictions: Predictions) -> np.ndarray:
    """Logits by which probabilities differ, of classes up to a constant a row."""
    scores = predictions.scores.astype(float)
    if predictions.truth.ndim == 2:
        return np.log(scores) - np.log1p(-scores)
    return np.log(scores) - np.log(scores).mean(axis=1, keepdims=True)


@pytest.mark.parametrize(
    "head", [name if name == "probe" else pytest.param(name, marks=pytest.mark.slow) for name in HEADS]
)
def test_the_saved_model_says_the_scaled_probabilities(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, head: str
) -> None:
    problem, recipe, settings = HEADS[head]
    plain, scaled = both(plan, tmp_path, problem, recipe, settings)
    assert plain.record.training is not None and scaled.record.training is not None
    choices = scaled.record.training.choices
    temperature, losses = choices["temperature"], choices["temperature_log_loss"]
    assert np.isfinite(temperature) and temperature > 0 and "temperature" not in plain.record.training.choices
    assert "temperature_bound" in choices or abs(np.log(temperature)) > 1e-3, "it does something"

    # What is published reproduces what is recorded, validation too.
    monkeypatch.setattr("hubtools.data.DataCache.default", lambda *_: session(tmp_path).cache)
    make_whole(OpenRun(scaled.folder, scaled.record))
    published = shutil.copytree(scaled.folder / "model", scaled.folder / "published")
    for name in ("run.json", "places.json", "predictions.parquet"):
        shutil.copy(scaled.folder / name, published)
    assert reproduce(published).difference < 1e-5
    before, after = (read_predictions(outcome.folder / "predictions.parquet") for outcome in (plain, scaled))
    again = predict_again(published, scaled.record, ["validation"])
    assert compare({"validation": after["validation"]}, again, "float32").difference < 1e-5

    # The same logits divided by one number: nothing that decides by the likeliest class moves.
    for split in ("validation", "test"):
        np.testing.assert_allclose(unscaled(after[split]), unscaled(before[split]) / temperature, atol=2e-4)
        if problem.endswith("classification"):
            assert (after[split].scores.argmax(1) == before[split].scores.argmax(1)).mean() > 0.99

    # Validation's log loss is what the record says, and not the larger one.
    for outcome, when in ((before, "before"), (after, "after")):
        assert log_loss(outcome["validation"]) == pytest.approx(losses[when], abs=1e-5)
    assert losses["after"] <= losses["before"]
    result = scaled.record.results["validation"].calibration
    assert result is not None and result.log_loss == pytest.approx(losses["after"], abs=1e-5)
    task = plan(problem).task
    assert choices["thresholds"] == choose_thresholds(task, after["validation"]), "chosen after"


@pytest.mark.parametrize("baseline", ["composition", "majority", "nearest-neighbour"])
@pytest.mark.parametrize("problem", ["sequence-classification", "sequence-multilabel"])
def test_baselines_have_one_too(plan: Plan, tmp_path: Path, problem: str, baseline: str) -> None:
    plain, scaled = both(plan, tmp_path, problem, baseline, {})
    assert scaled.record.training is not None
    choices = scaled.record.training.choices
    after = read_predictions(scaled.folder / "predictions.parquet")
    assert log_loss(after["validation"]) == pytest.approx(choices["temperature_log_loss"]["after"], abs=1e-4)
    before = plain.record.results["validation"].calibration
    assert before is not None and choices["temperature_log_loss"]["after"] <= before.log_loss + 1e-6
    for split in ("validation", "test"):
        first, second = plain.record.score(split, "auroc"), scaled.record.score(split, "auroc")
        assert (first and first.value) == (second and second.value) or baseline != "majority"


@pytest.mark.slow
def test_seeds_trained_together_have_a_temperature_each(plan: Plan, tmp_path: Path) -> None:
    settings = {"epochs": 4, "calibration": "temperature"}
    runs = [plan("sequence-classification", "probe", seed, **settings) for seed in (1, 2)]
    shared = session(tmp_path / "together")
    shared.planned = runs
    together = [execute(run, shared) for run in runs]
    alone = [execute(run, session(tmp_path / "alone")) for run in runs]
    found = []
    for one, other in zip(together, alone, strict=True):
        assert one.record.training is not None and other.record.training is not None
        found.append(one.record.training.choices["temperature"])
        assert found[-1] == pytest.approx(other.record.training.choices["temperature"], rel=1e-3)
    assert together[0].record.training and together[0].record.training.seeds_together == 2
    assert abs(found[0] / found[1] - 1) > 1e-4


@pytest.mark.slow
def test_the_head_beside_an_adapter_is_the_scaled_one(plan: Plan, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    settings = {"adaptation": "adapter", "adapter.kind": "lora", "calibration": "temperature"}
    outcome = execute(plan("sequence-classification", "full", **settings), session(tmp_path))
    assert outcome.record.status == "complete", outcome.record.failure
    adapter = load_file(outcome.folder / "adapter" / "adapter_model.safetensors")
    model = load_file(outcome.folder / "model" / "head.safetensors")
    (name,) = [key for key in model if key.startswith("head.") and key.endswith(".weight")]
    (beside,) = [value for key, value in adapter.items() if key.endswith(name)]
    assert torch.equal(beside, model[name])


def test_a_regression_is_refused_before_anything_runs(plan: Plan) -> None:
    run = plan("sequence-regression", "probe", calibration="temperature")
    with pytest.raises(UserError, match="calibration: temperature needs probabilities, and a regression has none"):
        expand({run.task.name: run.task}, ["embedded"], [AskedRecipe(run.recipe)], [1])
