"""Planted bugs: each does what its title says and is gone afterwards, and the table tells what ``bench check`` said."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import warm_process
from tiny_checkpoints import write_checkpoint
from tiny_project import write_project

from hubtools.models.windows import pieces
from hubtools.runs.steps import Steps
from hubtools.specs.problem import Problem
from hubtools.training.encoding import Encoded
from hubtools.training.finetune.fit import FairTrainer
from hubtools.training.frozen import probe
from hubtools.training.frozen.embedding import Features

FOLDER = Path(__file__).resolve().parents[1] / "benchmarks"


@pytest.fixture(autouse=True)
def scripts_can_be_imported(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.syspath_prepend(str(FOLDER))
    yield
    sys.modules.pop("planted", None)


def encoded(labels: list[Any], problem: Problem) -> Encoded:
    tokens = [np.arange(max(1, np.size(label))) for label in labels]
    names = [f"p{number}" for number in range(len(labels))]
    windows = [pieces(len(own), 100, 10) for own in tokens]
    return Encoded(problem, names, None, tokens, [np.asarray(label) for label in labels], windows, None)  # type: ignore[arg-type]


@pytest.fixture
def prepared(monkeypatch: pytest.MonkeyPatch) -> dict[str, Encoded]:
    """Splits of a run, before a bug changes them."""
    proteins = {name: encoded(list(range(100)), Problem("sequence-classification")) for name in ("train", "test")}
    monkeypatch.setattr(Steps, "_prepare", lambda self, data: SimpleNamespace(splits=dict(proteins)))
    return proteins


def splits_of(bug: Any) -> dict[str, list[Any]]:
    steps = object.__new__(Steps)
    before = Steps._prepare
    with bug:
        found = steps._prepare(None)  # type: ignore[arg-type]
    assert Steps._prepare is before, "the bug is gone"
    return {name: [label.tolist() for label in split.labels] for name, split in found.splits.items()}


def test_labels_are_shuffled_in_a_part_of_train_alone(prepared: dict[str, Encoded]) -> None:
    from planted import shuffles

    found = splits_of(shuffles(0.2))
    assert found["test"] == list(range(100))
    assert sorted(found["train"]) == list(range(100))
    assert 10 < sum(label != place for place, label in enumerate(found["train"])) <= 20
    assert found == splits_of(shuffles(0.2)), "the same part for every seed"


@pytest.fixture
def residues(monkeypatch: pytest.MonkeyPatch) -> None:
    """Splits of a residue task: two proteins, one residue of which is not scored."""
    proteins = {
        name: encoded([[0, 1, 2, -100], [5, 6]], Problem("residue-classification"))
        for name in ("train", "validation", "test")
    }
    monkeypatch.setattr(Steps, "_prepare", lambda self, data: SimpleNamespace(splits=dict(proteins)))


def test_residue_labels_are_shuffled_within_a_protein(residues: None) -> None:
    from planted import shuffles

    found = splits_of(shuffles(1.0))
    assert [sorted(label) for label in found["train"]] == [[-100, 0, 1, 2], [5, 6]]
    assert found["train"] != found["test"] == [[0, 1, 2, -100], [5, 6]]


def test_residue_labels_are_one_off_where_they_are_to_be(residues: None) -> None:
    from planted import shifts_labels

    right, wrong = [[0, 1, 2, -100], [5, 6]], [[-100, 0, 1, 2], [6, 5]]
    assert splits_of(shifts_labels(["train"])) == {"train": wrong, "validation": right, "test": right}
    assert splits_of(shifts_labels(None)) == dict.fromkeys(("train", "validation", "test"), wrong)


def test_embeddings_are_one_residue_off_within_each_protein_and_those_kept_stay(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from planted import shifts_embeddings

    table, owners = np.arange(5.0)[:, None], np.array([0, 0, 0, 1, 1])
    features = Features({6: table}, np.zeros(5), owners, None, 0, 0)
    monkeypatch.setattr(probe, "_embedded", lambda *arguments: features)
    with shifts_embeddings():
        found = probe._embedded()  # type: ignore[call-arg]
    assert found.tables[6].ravel().tolist() == [1, 2, 0, 4, 3]
    assert table.ravel().tolist() == [0, 1, 2, 3, 4] and probe._embedded() is features  # type: ignore[call-arg]


def test_rates_are_broken_in_both_optimisers(monkeypatch: pytest.MonkeyPatch) -> None:
    from planted import scales_rates

    parameters = [torch.nn.Parameter(torch.zeros(1))]
    monkeypatch.setattr(probe, "train_heads", lambda heads, rates, *others: rates)
    monkeypatch.setattr(FairTrainer, "create_optimizer", lambda self, model: torch.optim.SGD(parameters, lr=0.1))
    with scales_rates(30):
        rates: Any = probe.train_heads({}, [1e-3, 1e-4], None, None, None)  # type: ignore[arg-type]
        optimiser = object.__new__(FairTrainer).create_optimizer(None)
    assert np.allclose(rates, [3e-2, 3e-3]) and optimiser.param_groups[0]["lr"] == pytest.approx(3.0)


@pytest.mark.slow
def test_the_table_of_a_tiny_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    import planted

    monkeypatch.setattr(planted, "subprocess", warm_process.stand_in(bench=True))
    write_project(tmp_path, "sequence-classification", "residue-classification", n=120)
    write_checkpoint(tmp_path / "esm", "esm", width=32)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    names = ["unchanged", "shuffled-1", "shifted", "shifted-embeddings", "shifted-everywhere"]
    arguments = ["--checkpoint", "esm", "--runs", "runs", "--out", "out.json", "--device", "cpu"]
    arguments += ["--task", "tiny-sequence-classification", "--residue-task", "tiny-residue-classification"]
    arguments += ["--seeds", "1", "2", "3", "4", "--shuffle", "1", "--caught", "shuffled-1", "--bugs", *names]
    code = planted.main(arguments)
    rows = json.loads((tmp_path / "out.json").read_text())
    of = {(row["task"].split("-")[1], row["planted"]): row for row in rows}
    assert len(rows) == 2 + 5 and code == (0 if all(row["met"] for row in rows) else 1)
    for problem in ("sequence", "residue"):
        unchanged = of[problem, "nothing: an unchanged rerun"]
        assert unchanged["met"] and unchanged["largest_difference_of_predictions"] < 1e-4
        assert unchanged["score_check"]["exit_code"] == unchanged["predictions_check"]["exit_code"] == 0
    shifted = of["residue", "residue labels one off, in training"]
    assert shifted["score_check"]["exit_code"] == shifted["predictions_check"]["exit_code"] == 1
    assert shifted["difference"]["high"] < 0 and shifted["met"]
    everywhere = of["residue", "residue labels one off, in training and evaluation"]
    assert everywhere["score_check"]["exit_code"] == 2 and "truth" in everywhere["score_check"]["said"]
    printed = capsys.readouterr().out
    assert sum(line.startswith("| tiny-") for line in printed.splitlines()) == len(rows) and "would detect" in printed
    assert not list(tmp_path.glob("runs/*/*/*/model"))
