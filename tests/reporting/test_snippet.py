"""The lines on the card, run on real (tiny) models: they print what the model says, residue by residue."""

from __future__ import annotations

import ast
import json
import re
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sample_records import (
    FITNESS,
    FULL,
    LOCALISATION,
    PEPTIDES,
    PHOSPHO,
    STRUCTURE,
    make_record,
    relisted,
    write_full_run,
)
from tiny_checkpoints import FAMILIES, write_checkpoint
from tiny_runs import made
from transformers import AutoConfig, AutoModelForTokenClassification, AutoTokenizer

from hubtools.inference.named_model import open_predictor
from hubtools.inference.predictor import Predictor, Protein
from hubtools.models import modeling_protein_task
from hubtools.models.modeling_protein_task import ProteinTaskConfig, ProteinTaskModel
from hubtools.reporting.card.model_card import build_card
from hubtools.reporting.card.snippet import EXAMPLE, EXAMPLE_PAIR, pipeline_snippet, usage_snippet
from hubtools.runs.store import MODEL, read_record, write_record
from hubtools.specs.problem import Problem
from hubtools.specs.record import RunRecord, TokenFacts
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
    task = PEPTIDES.model_copy(update={"problem": Problem("pair-classification"), "data": data})
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


# What people paste


def printed(code: str, capsys: pytest.CaptureFixture[str]) -> list[list[str]]:
    capsys.readouterr()
    exec(compile(code, "card", "exec"), {})
    return [line.split("\t") for line in capsys.readouterr().out.splitlines()]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Tiny runs, each made once."""
    folder = tmp_path_factory.mktemp("runs")

    @cache
    def run(problem: str, family: str, **settings: object) -> Path:
        return made(folder / f"{problem}-{family}", problem, family, **settings)

    return run


UNUSUAL = ["MKJJAA", "mktay", "mkJUUUOBZxxW", "ACDEFGHIKLMNPQRSTVWY"]
OF_RESIDUES = [
    *(("residue-classification", family) for family in FAMILIES),
    *(("residue-multilabel", family) for family in ("esm", "modernbert")),
    *(("residue-regression", family) for family in ("esm", "modernbert")),
]


def asked_both(run: Path) -> tuple[Predictor, str]:
    """What bench asks of a run's model, and the lines of its card."""
    predictor = open_predictor(str(run))
    return predictor, usage_snippet(predictor.record, run / MODEL, str(run / MODEL))


@pytest.mark.slow
@pytest.mark.parametrize(("problem", "family"), OF_RESIDUES)
def test_each_residue_gets_its_own_value_whatever_its_letter(
    problem: str, family: str, runs: Callable[..., Path], capsys: pytest.CaptureFixture
) -> None:
    """ESM's tokenizer makes one token of neighbouring letters that it does not know: JJ, or all of mktay."""
    predictor, code = asked_both(runs(problem, family))
    for sequence in UNUSUAL:
        lines = printed(code.replace(EXAMPLE, sequence), capsys)
        [answer] = predictor.predict([Protein("p", sequence.upper())])
        assert [line[0] for line in lines] == [f"{residue}{i}" for i, residue in enumerate(sequence.upper(), 1)]
        if problem == "residue-classification":
            assert [line[1] for line in lines] == [predictor.labels[i] for i in answer.scores.argmax(1)]
            got, expected = [[float(line[2])] for line in lines], answer.scores.max(1, keepdims=True)
        elif problem == "residue-multilabel":
            assert [[text.split()[0] for text in line[1:]] for line in lines] == [predictor.labels] * len(sequence)
            got, expected = [[float(text.split()[1]) for text in line[1:]] for line in lines], answer.scores
        else:
            got, expected = [[float(line[1])] for line in lines], answer.scores
        np.testing.assert_allclose(np.array(got), expected, atol=6e-4)


@pytest.mark.slow
@pytest.mark.parametrize("family", ["esm", "modernbert"])
@pytest.mark.parametrize(
    "problem", ["sequence-classification", "sequence-multilabel", "sequence-regression", "pair-classification"]
)
def test_a_protein_is_read_as_bench_reads_it_whatever_its_letters(
    problem: str, family: str, runs: Callable[..., Path], capsys: pytest.CaptureFixture
) -> None:
    predictor, code = asked_both(runs(problem, family))
    for sequence in UNUSUAL:
        partner = "MKTAYjW" if problem.startswith("pair") else None
        asked = code.replace(EXAMPLE, sequence).replace(EXAMPLE_PAIR[0], sequence)
        lines = printed(asked.replace(EXAMPLE_PAIR[1], partner or ""), capsys)
        [answer] = predictor.predict([Protein("p", sequence.upper(), partner and partner.upper())])
        got = [float(line[0 if problem.endswith("regression") else 1]) for line in lines]
        np.testing.assert_allclose(got, answer.scores, atol=6e-4)


@pytest.mark.slow
def test_what_is_no_residue_stops_the_snippet(runs: Callable[..., Path]) -> None:
    run = runs("residue-classification", "esm")
    code = usage_snippet(read_record(run), run / MODEL, str(run / MODEL))
    with pytest.raises(AssertionError):
        exec(compile(code.replace(EXAMPLE, "MK11AA"), "card", "exec"), {})


@pytest.mark.slow
@pytest.mark.parametrize("family", ["esm", "bert", "modernbert"])
def test_a_pipeline_answers_for_each_residue(
    family: str, runs: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    run = tmp_path / "run"
    shutil.copytree(runs("residue-classification", family, **{"head.kind": "native"}), run)
    # A label that pipelines leave out, unless they are told not to.
    config = json.loads((run / MODEL / "config.json").read_text())
    config |= {"id2label": {"0": "O", "1": "aromatic"}, "label2id": {"O": 0, "aromatic": 1}}
    (run / MODEL / "config.json").write_text(json.dumps(config))
    predictor = open_predictor(str(relisted(run)))
    code = pipeline_snippet(predictor.record, run / MODEL, str(run / MODEL))
    assert code is not None
    for sequence in UNUSUAL:
        capsys.readouterr()
        exec(compile(code.replace(EXAMPLE, sequence), "card", "exec"), found := {})
        [answer] = predictor.predict([Protein("p", sequence.upper())])
        assert [one["entity"] for one in found["answers"]] == [("O", "aromatic")[i] for i in answer.scores.argmax(1)]
        np.testing.assert_allclose([one["score"] for one in found["answers"]], answer.scores.max(1), atol=1e-4)


def test_letters_of_an_old_record_are_the_twenty_and_x(tmp_path: Path) -> None:
    record = make_record(STRUCTURE, FULL, 0.5, checkpoint="a/b")
    assert record.alignment is not None
    assert 're.sub("[BJOUZ]", "X", sequence)' in usage_snippet(record, tmp_path, "a/b")
    record.alignment.letters = "ABCDEFGHIKLMNOPQRSTUVWXYZ"
    assert 're.sub("[J]", "X", sequence)' in usage_snippet(record, tmp_path, "a/b")
    record.alignment.letters += "J"
    assert "re.sub" not in usage_snippet(record, tmp_path, "a/b")


def test_subwords_are_given_the_sequence_as_it_is(tmp_path: Path) -> None:
    record = make_record(LOCALISATION, FULL, 0.5, checkpoint="a/b")
    assert record.checkpoint is not None
    record.checkpoint.family, record.alignment = "bert", None
    assert '" ".join(read)' in usage_snippet(record, tmp_path, "a/b"), "an old record: spaced, as ProtBERT"
    record.tokens = TokenFacts(total=10, unknown=0)
    assert "tokenizer(sequence, " in usage_snippet(record, tmp_path, "a/b")


# Texts of a task are data


HOSTILE = "a\"b'c\\\n\r\u2028#{x}```\u202e\x00é"


def shape(code: str) -> str:
    """The structure of a program, without its texts and numbers."""
    tree = ast.parse(code)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant):
            node.value = type(node.value).__name__
    return ast.dump(tree)


def described(task: Task, text: str, **changes: Any) -> RunRecord:
    """A record in which every free text of the task is this one."""
    record = make_record(task, FULL, 0.5, checkpoint="a/b")
    values = json.loads(json.dumps(record.task)) | changes
    values["labels"] = {key: f"{text}{i}" for i, key in enumerate(values["labels"])}
    values["unit"] = text
    if values["metrics"].get("positive") is not None:
        values["metrics"]["positive"] = f"{text}1"
    if values["data"].get("candidates"):
        values["data"]["candidates"] = text
    assert record.identity.checkpoint is not None and record.training is not None
    record.identity.checkpoint.name = record.identity.checkpoint.commit = text
    if values["metrics"].get("positive") is not None:
        record.training.choices = {"thresholds": [0.3]}
    elif values["problem"].endswith("multilabel"):
        record.training.choices = {"thresholds": [0.1] * len(values["labels"])}
    return record.model_copy(update={"task": values})


@pytest.mark.parametrize("adapter", [None, "adapter"])
@pytest.mark.parametrize(
    ("task", "changes"),
    [
        (STRUCTURE, {}),
        (LOCALISATION, {}),
        (PEPTIDES, {}),
        (PHOSPHO.model_copy(update={"data": PHOSPHO.data.model_copy(update={"candidates": "Y"})}), {}),
        (FITNESS, {}),
        (FITNESS, {"problem": "residue-regression"}),
    ],
    ids=["residues", "labels", "two classes", "candidates", "values", "values of residues"],
)
def test_no_text_becomes_a_program(task: Task, changes: dict[str, Any], adapter: str | None, tmp_path: Path) -> None:
    harmless, hostile = (described(task, text, **changes) for text in ("plain", HOSTILE))
    for write in (
        lambda record, at: usage_snippet(record, tmp_path, at, adapter),
        lambda record, at: pipeline_snippet(record, tmp_path, at),
    ):
        expected, code = write(harmless, "plain"), write(hostile, HOSTILE)
        assert (code is None) == (expected is None)
        if code is None or expected is None:
            continue
        assert shape(code) == shape(expected)
        assert len(code.splitlines()) == len(expected.splitlines())
        assert all(character.isprintable() or character == "\n" for character in code)
        # And they are still the texts that they were.
        texts = [node.value for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Constant)]
        assert HOSTILE in texts
        if task.problem.kind != "regression" and code.startswith("import torch"):
            assert f"{HOSTILE}1" in texts


@pytest.mark.parametrize(
    ("task", "rendering"),
    [(t, r) for t in (STRUCTURE, LOCALISATION) for r in ("plain", "spaced", "pieces", "prostt5", "saprot")],
)
def test_every_rendering_is_valid_python(task: Task, rendering: str, tmp_path: Path) -> None:
    record = make_record(task, FULL, 0.5, checkpoint="a/b")
    record.alignment.rendering = rendering  # type: ignore[union-attr]
    compile(usage_snippet(record, tmp_path, 'a "quoted" place'), "snippet", "exec")


def test_records_of_before_protocols_had_a_field_show_the_same(tmp_path: Path) -> None:
    old, new = (make_record(STRUCTURE, FULL, 0.5, checkpoint="Rostlab/ProstT5") for _ in "ab")
    assert old.alignment is not None and new.alignment is not None
    old.alignment.rendering, new.alignment.rendering = "prostt5", "spaced"
    new.tokens = TokenFacts(total=10, unknown=0, protocol=["<AA2fold>"])
    code = usage_snippet(old, tmp_path, "a/b")
    assert code == usage_snippet(new, tmp_path, "a/b")
    assert 'tokenizer("<AA2fold> " + " ".join(read), return_tensors="pt")' in code
    assert pipeline_snippet(old, tmp_path, "a/b") is pipeline_snippet(new, tmp_path, "a/b") is None


def test_regression_prints_values(tmp_path: Path) -> None:
    record = make_record(FITNESS, FULL, 0.5, checkpoint="a/b")
    assert "logits.item()" in usage_snippet(record, tmp_path, "a/b")
    task = json.loads(json.dumps(record.task)) | {"problem": "residue-regression"}
    code = usage_snippet(record.model_copy(update={"task": task}), tmp_path, "a/b")
    compile(code, "snippet", "exec")
    assert "AutoModelForTokenClassification" in code
