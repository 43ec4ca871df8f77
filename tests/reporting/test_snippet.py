"""The lines on the card, run on real (tiny) models: they print what the model says, residue by residue."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from sample_records import FULL, LOCALISATION, PEPTIDES, PHOSPHO, STRUCTURE, make_record, write_full_run
from tiny_checkpoints import write_checkpoint
from transformers import AutoConfig, AutoModelForTokenClassification, AutoTokenizer

from hubtools.models import modeling_protein_task
from hubtools.models.modeling_protein_task import ProteinTaskConfig, ProteinTaskModel
from hubtools.reporting.card import build_card
from hubtools.reporting.snippet import EXAMPLE, EXAMPLE_PAIR, usage_snippet
from hubtools.runs.store import write_record
from hubtools.specs.problem import Problem
from hubtools.specs.task import Task

torch.set_num_threads(1)


def run_block(folder: Path, capsys: pytest.CaptureFixture[str]) -> list[list[str]]:
    """The card's first Python block, executed as it stands; its lines, split at tabs."""
    text = build_card(folder).read_text(encoding="utf-8")
    code, *_ = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    capsys.readouterr()
    exec(compile(code, "card", "exec"), {})
    return [line.split("\t") for line in capsys.readouterr().out.splitlines()]


def run_of(root: Path, task: Task, rendering: str, choices: dict[str, Any] | None = None) -> Path:
    folder = write_full_run(root, task)
    record = make_record(task, FULL, 0.5, checkpoint="facebook/esm2_t6_8M_UR50D")
    record.alignment.rendering = rendering  # type: ignore[union-attr]
    record.training.choices = choices or {}  # type: ignore[union-attr]
    record.results["test"].confusion = None
    write_record(folder, record)
    return folder


@pytest.mark.parametrize(("family", "rendering"), [("esm", "plain"), ("bert", "spaced"), ("modernbert", "plain")])
def test_residues_of_a_native_model(family: str, rendering: str, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    folder = run_of(tmp_path / "runs", STRUCTURE, rendering)
    checkpoint = write_checkpoint(tmp_path / "checkpoint", family)
    model = AutoModelForTokenClassification.from_config(AutoConfig.from_pretrained(checkpoint, num_labels=3)).eval()
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    model.save_pretrained(folder / "model")
    tokenizer.save_pretrained(folder / "model")
    lines = run_block(folder, capsys)
    assert [line[0] for line in lines] == [f"{residue}{i}" for i, residue in enumerate(EXAMPLE, 1)]
    # The reference: one special token before each residue sequence and one after it, ids looked up one by one.
    vocabulary = tokenizer.get_vocab()
    written = tokenizer(" ".join(EXAMPLE) if rendering == "spaced" else EXAMPLE)["input_ids"]
    start = next(i for i in range(3) if written[i] == vocabulary["M"])
    with torch.no_grad():
        expected = model(torch.tensor([written])).logits[0, start : start + len(EXAMPLE)].softmax(-1)
    names = STRUCTURE.label_names
    assert [line[1] for line in lines] == [names[int(row.argmax())] for row in expected]
    assert [float(line[2]) for line in lines] == pytest.approx([float(row.max()) for row in expected], abs=1e-3)


def custom_model(
    folder: Path, checkpoint: Path, n_labels: int, per_residue: bool, pairs: bool = False
) -> ProteinTaskModel:
    """A pooled (or per-residue) model as bench saves it, with its file of code beside it."""
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    config = ProteinTaskConfig(
        encoder=AutoConfig.from_pretrained(checkpoint).to_dict(),
        per_residue=per_residue,
        per_pair=pairs,
        special_token_ids=tokenizer.all_special_ids,
        num_labels=n_labels,
    )
    config.auto_map = {
        "AutoConfig": "modeling_protein_task.ProteinTaskConfig",
        "AutoModel": "modeling_protein_task.ProteinTaskModel",
    }
    torch.manual_seed(0)
    model = ProteinTaskModel(config).eval()
    torch.nn.init.normal_(model.head[-1].weight)
    model.save_pretrained(folder / "model")
    tokenizer.save_pretrained(folder / "model")
    shutil.copy(modeling_protein_task.__file__, folder / "model")
    return model


def test_labels_of_a_pooled_model_with_thresholds(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    thresholds = [0.1 * i for i in range(10)]
    folder = run_of(tmp_path / "runs", LOCALISATION, "plain", {"thresholds": thresholds})
    model = custom_model(folder, write_checkpoint(tmp_path / "checkpoint", "esm"), 10, per_residue=False)
    lines = run_block(folder, capsys)
    tokens = AutoTokenizer.from_pretrained(folder / "model")(EXAMPLE, return_tensors="pt")["input_ids"]
    with torch.no_grad():
        expected = model(tokens).logits[0].sigmoid().tolist()
    assert [line[0] for line in lines] == LOCALISATION.label_names
    assert [float(line[1]) for line in lines] == pytest.approx(expected, abs=1e-3)
    assert [line[2] for line in lines] == ["yes" if p >= t else "no" for p, t in zip(expected, thresholds, strict=True)]


@pytest.mark.parametrize("family", ["esm", "t5"])
def test_two_classes_with_a_threshold(family: str, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    folder = run_of(tmp_path / "runs", PEPTIDES, "spaced" if family == "t5" else "plain", {"thresholds": [0.3]})
    custom_model(folder, write_checkpoint(tmp_path / "checkpoint", family), 2, per_residue=False)
    lines = run_block(folder, capsys)
    assert [line[0] for line in lines] == ["Other", "Antimicrobial"]
    assert float(lines[0][1]) + float(lines[1][1]) == pytest.approx(1, abs=2e-3)
    assert lines[1][2] == ("yes" if float(lines[1][1]) >= 0.3 else "no")


def test_a_pair_in_either_order(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    columns = PEPTIDES.data.columns.model_copy(update={"partner": "partner"})
    data = PEPTIDES.data.model_copy(update={"columns": columns})
    task = PEPTIDES.model_copy(update={"problem": Problem.PAIR_CLASSIFICATION, "data": data})
    record = make_record(task, FULL, 0.5, checkpoint="facebook/esm2_t6_8M_UR50D")
    model = custom_model(tmp_path, write_checkpoint(tmp_path / "checkpoint", "esm"), 2, per_residue=False, pairs=True)
    code = usage_snippet(record, tmp_path / "model", str(tmp_path / "model"))
    capsys.readouterr()
    exec(compile(code, "card", "exec"), {})
    printed = [float(line.split("\t")[1]) for line in capsys.readouterr().out.splitlines()]
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "model")
    for order in (EXAMPLE_PAIR, EXAMPLE_PAIR[::-1]):
        with torch.no_grad():
            expected = model(**tokenizer(list(order), return_tensors="pt", padding=True)).logits[0].softmax(-1)
        assert printed == pytest.approx(expected.tolist(), abs=1e-3)


def test_only_residues_that_the_task_asks_about(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    data = PHOSPHO.data.model_copy(update={"candidates": "Y"})
    task = PHOSPHO.model_copy(update={"data": data})
    folder = run_of(tmp_path / "runs", task, "plain", {"thresholds": [0.42]})
    custom_model(folder, write_checkpoint(tmp_path / "checkpoint", "esm"), 2, per_residue=True)
    lines = run_block(folder, capsys)
    assert [line[0] for line in lines] == [f"Y{i}" for i, residue in enumerate(EXAMPLE, 1) if residue == "Y"]


@pytest.mark.parametrize(
    ("task", "rendering"),
    [(t, r) for t in (STRUCTURE, LOCALISATION) for r in ("plain", "spaced", "pieces", "prostt5", "saprot")],
)
def test_every_rendering_is_valid_python(task: Task, rendering: str, tmp_path: Path) -> None:
    record = make_record(task, FULL, 0.5, checkpoint="a/b")
    record.alignment.rendering = rendering  # type: ignore[union-attr]
    compile(usage_snippet(record, tmp_path, 'a "quoted" place'), "snippet", "exec")


def test_regression_prints_values(tmp_path: Path) -> None:
    from sample_records import FITNESS

    record = make_record(FITNESS, FULL, 0.5, checkpoint="a/b")
    assert "logits.item()" in usage_snippet(record, tmp_path, "a/b")
    task = json.loads(json.dumps(record.task)) | {"problem": "residue-regression"}
    code = usage_snippet(record.model_copy(update={"task": task}), tmp_path, "a/b")
    compile(code, "snippet", "exec")
    assert "AutoModelForTokenClassification" in code
