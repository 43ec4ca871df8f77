"""Runs of adapters and of frozen layers: what is counted, what is saved, and that the saved model is the measured one."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from optional_packages import four_bits
from safetensors.torch import load_file
from tiny_checkpoints import write_checkpoint
from tiny_project import QUICK, task_name, write_project
from tiny_runs import whole

from hubtools.common.hashing import file_sha256
from hubtools.data import DataCache, load_task_data
from hubtools.evaluation.predictions import read_predictions
from hubtools.models import ResidueTokeniser, load_model, resolve_checkpoint
from hubtools.models.adapters import quantise
from hubtools.models.encoder import load_encoder
from hubtools.models.modeling_protein_task import ProteinTaskConfig, ProteinTaskModel
from hubtools.publishing.reload import reproduce
from hubtools.runs import steps
from hubtools.runs.execute import Outcome, execute
from hubtools.runs.plan import PlannedRun
from hubtools.runs.session import Session
from hubtools.runs.store import PREDICTIONS
from hubtools.specs.lookup.spec_files import load_recipe, load_task
from hubtools.training.compute.device import Execution

pytestmark = pytest.mark.slow
# In one layer of width 16, feed-forward width 32: LoRA adds rank × (in + out) to each of its linear layers.
LORA = 8 * (4 * (16 + 16) + 2 * (16 + 32))
TRAINED = {"lora": 2 * LORA, "qlora": 2 * LORA, "dora": 2 * (LORA + 5 * 16 + 32), "ia3": 2 * (16 + 16 + 32)}
TRAINED["rslora"] = 2 * LORA * 4
HEAD = 16 * 2 + 2


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("project")
    write_project(folder, "sequence-classification", "sequence-regression", "residue-classification")
    write_checkpoint(folder / "esm", "esm")
    return folder


def go(project: Path, root: Path, recipe: str, problem: str = "sequence-classification", **settings: Any) -> Outcome:
    task = load_task(str(project / "tasks" / f"{task_name(problem)}.yaml"))
    settings = {**QUICK, **settings}
    item = PlannedRun(task, load_recipe(recipe, settings), str(project / "esm"), 1, overrides=settings)
    outcome = execute(item, Session(root / "runs", DataCache(root / "cache"), Execution(torch.device("cpu"), 512)))
    assert outcome.record.status == "complete", outcome.record.failure
    return outcome


@pytest.mark.parametrize("kind", [four_bits(kind) if kind == "qlora" else kind for kind in TRAINED])
def test_the_record_is_of_the_merged_model(project: Path, tmp_path: Path, kind: str) -> None:
    outcome = go(project, tmp_path, kind)
    record = outcome.record
    assert record.training is not None and record.training.parameters_trained == TRAINED[kind] + HEAD
    listed = {file.path: file.sha256 for file in record.outputs}
    assert {path for path in listed if path.startswith("adapter/")} >= {
        "adapter/adapter_config.json",
        "adapter/adapter_model.safetensors",
        "adapter/config.json",
        "adapter/modeling_protein_task.py",
        "adapter/tokenizer_config.json",
    }
    assert all(file_sha256(outcome.folder / path) == sha256 for path, sha256 in listed.items())
    # The published weights are those of a plain checkpoint, and they make the recorded predictions.
    assert not any(
        "lora" in name or "ia3" in name for name in load_file(whole(outcome.folder) / "model/model.safetensors")
    )
    lay_out(outcome.folder)
    assert reproduce(outcome.folder).difference < 1e-6


def lay_out(folder: Path) -> None:
    """Model files beside the record, as a repository has them; the adapter of a checkpoint in a folder does not go out."""
    shutil.rmtree(folder / "adapter")
    for file in (folder / "model").iterdir():
        file.rename(folder / file.name)


@pytest.mark.parametrize("problem", ["sequence-regression", "residue-classification"])
@pytest.mark.parametrize("kind", ["dora", four_bits("qlora")])
def test_the_adapter_on_its_base_is_the_model_too(project: Path, tmp_path: Path, kind: str, problem: str) -> None:
    from peft import PeftModel

    outcome = go(project, tmp_path, kind, problem)
    checkpoint = resolve_checkpoint(str(project / "esm"))
    folder = outcome.folder / "adapter"
    encoder = load_encoder(checkpoint)
    if kind == "qlora":
        quantise(encoder)
    base = ProteinTaskModel(ProteinTaskConfig.from_pretrained(folder), encoder=encoder)
    model: Any = PeftModel.from_pretrained(base, str(folder)).eval()
    assert json.loads((folder / "adapter_config.json").read_text())["base_model_name_or_path"] == "esm"

    task = load_task(str(project / "tasks" / f"{task_name(problem)}.yaml"))
    tokeniser = ResidueTokeniser.from_checkpoint(checkpoint)
    recorded = read_predictions(outcome.folder / PREDICTIONS)["test"]
    test = load_task_data(task, DataCache(tmp_path / "cache")).splits["test"]
    sequences = dict(zip(test["id"], test["sequence"], strict=True))
    worst, compared = 0.0, 0
    for name in dict.fromkeys(recorded.ids):
        ids = torch.from_numpy(tokeniser.with_special(tokeniser.encode(sequences[name])))[None]
        with torch.no_grad():
            logits = model(ids).logits[0]
        again = logits.numpy() if problem == "sequence-regression" else logits[1:-1].softmax(-1).numpy()
        scores = recorded.scores[recorded.ids == name].reshape(again.shape)
        worst, compared = max(worst, float(np.abs(scores - again).max())), compared + again.size
    # (A regression's targets are about 200.)
    assert compared >= 40 and worst < (1e-3 if problem == "sequence-regression" else 1e-5)


def test_of_random_weights_no_adapter_is_kept(project: Path, tmp_path: Path) -> None:
    # Its base is no checkpoint that anyone could attach it to.
    outcome = go(project, tmp_path, "lora", weights="random", epochs=1)
    assert not (outcome.folder / "adapter").exists()


def test_frozen_layers_are_saved_as_they_were(project: Path, tmp_path: Path) -> None:
    outcome = go(project, tmp_path, "full-top", freeze_layers=1)
    encoder = load_encoder(resolve_checkpoint(str(project / "esm")))
    task = load_task(str(project / "tasks" / f"{task_name('sequence-classification')}.yaml"))
    saved = load_model(outcome.folder / "model", task)[0].encoder
    trained = 0
    for name, value in encoder.named_parameters():
        if name.startswith(("embeddings.", "encoder.layer.0.")):
            assert torch.equal(saved.get_parameter(name), value), name
        else:
            trained += value.numel()
    changed = "encoder.layer.1.attention.self.query.weight"
    assert not torch.equal(saved.get_parameter(changed), encoder.get_parameter(changed))
    assert outcome.record.training is not None and outcome.record.training.parameters_trained == trained + HEAD


def test_too_many_frozen_layers_are_a_mistake_of_one_line(project: Path, tmp_path: Path) -> None:
    task = load_task(str(project / "tasks" / f"{task_name('sequence-classification')}.yaml"))
    item = PlannedRun(task, load_recipe("full-top"), str(project / "esm"), 1)
    outcome = execute(item, Session(tmp_path, DataCache(tmp_path / "c"), Execution(torch.device("cpu"), 512)))
    assert outcome.mistake is not None and "4 layers are more than the checkpoint has (2)" in str(outcome.mistake)


def test_a_device_without_four_bits_is_told_before_anything_is_trained(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hubtools.models.adapters.load_bitsandbytes", lambda: False)
    monkeypatch.setattr(steps, "fit", lambda *a: pytest.fail("trained"))
    task = load_task(str(project / "tasks" / f"{task_name('sequence-classification')}.yaml"))
    item = PlannedRun(task, load_recipe("qlora"), str(project / "esm"), 1)
    outcome = execute(item, Session(tmp_path, DataCache(tmp_path / "c"), Execution(torch.device("cpu"), 512)))
    assert outcome.mistake is not None and "needs bitsandbytes" in str(outcome.mistake)
