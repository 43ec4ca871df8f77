"""Contacts that are learnt: from a task with a training split to record, card and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from safetensors.numpy import load_file
from sklearn.metrics import roc_auc_score
from tiny_checkpoints import write_checkpoint

from hubtools.common.errors import UserError
from hubtools.data import DataCache
from hubtools.evaluation import read_predictions
from hubtools.inference.named_model import refuse_without_model
from hubtools.reporting.card.card_lint import lint_card
from hubtools.reporting.card.model_card import build_card
from hubtools.runs.execute import Outcome, execute
from hubtools.runs.plan import AskedRecipe, PlannedRun, expand
from hubtools.runs.run_estimate import Estimator
from hubtools.runs.session import Session
from hubtools.runs.store import LEARNT, open_run
from hubtools.runs.workload import StatedDevice
from hubtools.specs.lookup.spec_files import load_recipe, load_task
from hubtools.training.compute.device import Execution

pytestmark = pytest.mark.slow
RECIPES = ("amino-acid-pairs", "probe", "attention-regression", "separation")
SETTINGS = {"probe": {"epochs": 6, "learning_rate": 0.05, "batch_size": 8}}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Proteins in which cysteines touch each other, and nothing else."""
    folder, rng = tmp_path_factory.mktemp("learnt"), np.random.default_rng(0)
    write_checkpoint(folder / "esm", "esm")
    lines = ["id,sequence,label,set"]
    for name, split in enumerate(["train"] * 8 + ["validation"] * 2 + ["test"] * 3):
        letters = rng.choice(list("ACDEFG"), 30 + name)
        places = np.flatnonzero(letters == "C") + 1
        pairs = ";".join(f"{a}-{b}" for a in places for b in places if a < b)
        lines.append(f"p{name},{''.join(letters)},{pairs},{split}")
    (folder / "rows.csv").write_text("\n".join(lines) + "\n")
    task = {
        "name": "cysteines",
        "version": 1,
        "title": "Cysteines",
        "problem": "contact-prediction",
        "summary": "Which touch?",
        "data": {
            "source": "file",
            "files": [{"path": "rows.csv"}],
            "columns": {"id": "id"},
            "splits": {split: {"where": {"set": split}} for split in ("train", "validation", "test")},
        },
        "metrics": {"primary": "precision_l5_short"},
        "licence": "CC0-1.0",
        "citation": "none",
    }
    (folder / "cysteines.yaml").write_text(yaml.safe_dump(task, sort_keys=False))
    task["name"], task["data"]["splits"] = "asked", {"test": {}}
    (folder / "asked.yaml").write_text(yaml.safe_dump(task, sort_keys=False))
    return folder


def session_of(project: Path) -> Session:
    return Session(project / "runs", DataCache(project / "cache"), Execution(torch.device("cpu"), 4096))


def planned(project: Path, name: str, seed: int = 1) -> PlannedRun:
    recipe = load_recipe(name, SETTINGS.get(name, {}))
    checkpoint = str(project / "esm") if recipe.needs_checkpoint else None
    return PlannedRun(load_task(str(project / "cysteines.yaml")), recipe, checkpoint, seed)


@pytest.fixture(scope="module")
def outcomes(project: Path) -> dict[str, Outcome]:
    session = session_of(project)
    found = {name: execute(planned(project, name), session) for name in RECIPES}
    assert all(one.record.status == "complete" for one in found.values()), [
        one.record.failure for one in found.values()
    ]
    return found


def test_what_was_learnt_predicts(outcomes: dict[str, Outcome]) -> None:
    rows = [read_predictions(one.folder / "predictions.parquet") for one in outcomes.values()]
    for found in rows:
        assert np.array_equal(found["test"].positions, rows[0]["test"].positions)
        assert np.array_equal(found["test"].truth, rows[0]["test"].truth)
    # A letter is much the same vector in an encoder with random weights, so that a head on two of them learns the rule, too.
    areas = {name: roc_auc_score(r["test"].truth, r["test"].scores) for name, r in zip(outcomes, rows, strict=True)}
    assert min(areas["amino-acid-pairs"], areas["probe"]) > 0.98 and areas["separation"] < 0.7, areas
    learnt = {name: set(found) for name, found in zip(outcomes, rows, strict=True)}
    assert learnt.pop("separation") == {"test"} and set(map(frozenset, learnt.values())) == {
        frozenset({"validation", "test"})
    }


def test_the_record_says_what_was_learnt_and_keeps_it(outcomes: dict[str, Outcome]) -> None:
    probe, attention = outcomes["probe"], outcomes["attention-regression"]
    assert probe.record.training is not None and attention.record.training is not None
    assert probe.record.training.parameters_trained == 3 * 16 + 1 and probe.record.training.best_epoch is not None
    assert attention.record.environment.attention == "eager"
    assert attention.record.training.choices["heads"] == 4
    for one, shapes in (
        (probe, {"1.weight": (1, 48), "1.bias": (1,)}),
        (attention, {"weights": (2, 2), "intercept": (1,)}),
    ):
        found = load_file(one.folder / LEARNT)
        assert {name: table.shape for name, table in found.items()} == shapes
        assert LEARNT in [file.path for file in one.record.outputs]
    assert outcomes["amino-acid-pairs"].record.training.choices["pairs_counted"] > 1000


def test_cards_say_it(outcomes: dict[str, Outcome]) -> None:
    for recipe, said in (
        ("amino-acid-pairs", "log-odds that their two amino acids touch in the structures of training"),
        ("probe", "a head on its representations of two residues was fitted on known structures"),
        ("attention-regression", "logistic regression with an L1 penalty"),
    ):
        text = build_card(outcomes[recipe].folder).read_text()
        assert lint_card(text) == []
        assert said in text and "8 proteins" in text and "substitutions" not in text, recipe
        assert "relative of at least" in text and "Nothing was trained" not in text, recipe


def test_there_is_no_model(outcomes: dict[str, Outcome]) -> None:
    with pytest.raises(UserError, match="no model that can be asked"):
        refuse_without_model(open_run(outcomes["probe"].folder), "it")


def test_the_cost_is_said_beforehand(project: Path) -> None:
    estimator = Estimator(session_of(project), StatedDevice(1e12, 1 << 34), lambda line: None, force=True)
    for recipe in ("probe", "attention-regression"):
        work = estimator.estimate(planned(project, recipe)).workload
        assert work is not None and work.proteins == 8


def test_without_structures_to_learn_from_they_are_refused(project: Path) -> None:
    task = load_task(str(project / "asked.yaml"))
    for recipe in RECIPES[:3]:
        with pytest.raises(UserError, match="it learns from known structures, and the task has no training split"):
            expand({"asked": task}, ["a"], [AskedRecipe(load_recipe(recipe))], [1], [])
    with pytest.raises(UserError, match="of what is trained it has a probe alone"):
        expand(
            {"cysteines": load_task(str(project / "cysteines.yaml"))},
            ["a"],
            [AskedRecipe(load_recipe("lora"))],
            [1],
            [],
        )
    known, named = [load_recipe("categorical-jacobian")], ["amino-acid-pairs", "separation"]
    runs = expand({"asked": task}, ["a"], [AskedRecipe(load_recipe("probe"))], [1], named, zero_shot=known)
    assert [run.recipe.name for run in runs] == ["separation", "categorical-jacobian"], "a suite's recipe gives way"
