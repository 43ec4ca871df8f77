"""docs/extending.md: the level that it adds is one, from a file of rows to a card."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from sklearn.metrics import accuracy_score, matthews_corrcoef
from tiny_checkpoints import write_checkpoint
from tiny_tasks import LETTERS

from hubtools.data import DataCache, load_task_data
from hubtools.data.rows.row_kinds import ROWS
from hubtools.evaluation import read_predictions
from hubtools.evaluation.scored_rows import SCORED
from hubtools.evaluation.statistics.resampling import bootstrap_weights
from hubtools.findings.board.leaderboard import build_board
from hubtools.inference.asking import QUESTIONS
from hubtools.models import ResidueTokeniser, resolve_checkpoint
from hubtools.reporting.board_tables import facts
from hubtools.reporting.card.model_card import build_card
from hubtools.runs.execute import execute
from hubtools.runs.plan import PlannedRun
from hubtools.runs.session import Session
from hubtools.runs.store import PREDICTIONS
from hubtools.specs.level import LEVELS
from hubtools.specs.lookup.spec_files import load_recipe, load_task
from hubtools.specs.problem import Problem
from hubtools.specs.recipe import BASELINES
from hubtools.specs.task import Task
from hubtools.training.batches import micro_batches
from hubtools.training.collation import COLLATIONS
from hubtools.training.compute.device import Execution
from hubtools.training.encoding import encode
from hubtools.training.loss import loss_for

GUIDE = Path(__file__).resolve().parent.parent / "docs" / "extending.md"
SPLITS = {"train": 12, "validation": 8, "test": 24}
NEAR = 6


def test_every_level_that_is_trained_has_its_object_in_every_room() -> None:
    trained = {name for name, level in LEVELS.items() if level.trained}
    assert set(ROWS) == set(SCORED) == set(LEVELS)
    assert set(COLLATIONS) == set(QUESTIONS) == trained
    assert {name for levels in BASELINES.values() for name in levels} == set(LEVELS)


@pytest.fixture
def bridge() -> Iterator[None]:
    """The level of the guide, and nothing of it afterwards."""
    tables: list[dict] = [LEVELS, ROWS, COLLATIONS, SCORED, BASELINES]
    before = [dict(table) for table in tables]
    section = GUIDE.read_text(encoding="utf-8").partition("## A kind of prediction\n")[2].partition("\n## ")[0]
    (code,) = re.findall(r"^```python\n(.*?)^```", section, flags=re.DOTALL | re.MULTILINE)
    exec(compile(code, "bridges.py", "exec"), {"__name__": "bridges"})
    yield
    for table, kept in zip(tables, before, strict=True):
        table.clear()
        table.update(kept)
    with pytest.raises(ValueError, match="there is no problem"):
        Problem("bridge-classification")


def bonded(sequence: str) -> list[tuple[int, int]]:
    """Cysteines, from 1."""
    places = [place for place, letter in enumerate(sequence, 1) if letter == "C"]
    return [(a, b) for a in places for b in places if a < b]


def bridge_task(folder: Path) -> tuple[Task, dict[str, dict[str, str]]]:
    """A task of proteins whose cysteines are bonded to each other; the sequences of its splits by id."""
    rng, lines, made = np.random.default_rng(0), ["id,sequence,label,set"], {}
    for split, n in SPLITS.items():
        made[split] = {f"{split}{i}": "".join(rng.choice(list(LETTERS[:6]), rng.integers(9, 20))) for i in range(n)}
        for name, sequence in made[split].items():
            lines.append(f"{name},{sequence},{';'.join(f'{b}-{a}' for a, b in bonded(sequence))},{split}")
    (folder / "rows.csv").write_text("\n".join(lines) + "\n")
    task = {
        "name": "bridges",
        "version": 1,
        "title": "Bridges",
        "problem": "bridge-classification",
        "summary": "Which residues are bonded?",
        "data": {
            "source": "file",
            "files": [{"path": "rows.csv"}],
            "columns": {"id": "id"},
            "splits": {split: {"where": {"set": split}} for split in SPLITS},
        },
        "labels": {"0": "apart", "1": "bonded"},
        "metrics": {"primary": "mcc", "also": ["accuracy"]},
        "licence": "CC0-1.0",
        "citation": "none",
    }
    (folder / "bridges.yaml").write_text(yaml.safe_dump(task, sort_keys=False))
    return load_task(str(folder / "bridges.yaml")), made


@pytest.mark.usefixtures("bridge")
def test_a_level_of_ones_own_is_run_scored_and_shown(tmp_path: Path) -> None:
    task, made = bridge_task(tmp_path)
    assert (task.problem, task.problem.level.each) == ("bridge-classification", "pair of residues")
    session = Session(tmp_path / "runs", DataCache(tmp_path / "cache"), Execution(torch.device("cpu"), 512))
    outcome = execute(PlannedRun(task, load_recipe("majority"), None, 1), session)
    assert outcome.record.status == "complete", outcome.record.failure

    # Every pair of residues that are not neighbours, and its label, in the order of the triangle.
    expected = {
        name: [
            int((a, b) in set(bonded(sequence)))
            for a in range(1, len(sequence) + 1)
            for b in range(a + NEAR, len(sequence) + 1)
        ]
        for name, sequence in made["test"].items()
    }
    found = read_predictions(outcome.folder / PREDICTIONS)["test"]
    assert found.truth.tolist() == [label for labels in expected.values() for label in labels]
    assert found.ids.tolist() == [name for name, labels in expected.items() for _ in labels]
    assert len(set(zip(found.ids.tolist(), found.positions.tolist(), strict=True))) == len(found)

    result, decided = outcome.record.results["test"], found.scores.argmax(1)
    assert (result.n_proteins, result.n_labelled) == (24, len(found))
    assert result.scores["accuracy"].value == pytest.approx(accuracy_score(found.truth, decided))
    assert result.scores["mcc"].value == matthews_corrcoef(found.truth, decided) == 0
    # Proteins are drawn, not pairs of residues.
    assert result.interval == "1,000 bootstrap replicates over 24 proteins (no clusters)"
    right, sizes = (
        np.array([(values[found.ids == name]).sum() for name in expected])
        for values in (found.truth == decided, found.ids != "")
    )
    drawn = np.concatenate([weights @ right / (weights @ sizes) for weights in bootstrap_weights(24, 1000, 0)])
    low, high = (result.scores["accuracy"].low, result.scores["accuracy"].high)
    assert low < np.quantile(drawn, 0.1) < np.quantile(drawn, 0.9) < high

    (table,) = build_board([(outcome.folder, outcome.record)]).tables
    assert f"{len(found):,} scored residue pairs" in facts(table)
    card = build_card(outcome.folder).read_text(encoding="utf-8")
    assert "For each pair of residues it gives the probability of each of 2 classes" in card


@pytest.mark.usefixtures("bridge")
def test_batches_of_it_hold_every_label_once_however_they_are_cut(tmp_path: Path) -> None:
    tokeniser = ResidueTokeniser.from_checkpoint(resolve_checkpoint(str(write_checkpoint(tmp_path / "esm", "esm"))))
    task, _ = bridge_task(tmp_path)
    data = load_task_data(task, DataCache(tmp_path / "cache"))
    split = encode(data.splits["train"], task, tokeniser, load_recipe("probe").window)
    loss, losses = loss_for(split, 2, "none"), []
    for budget in (40, 4000):
        batches = list(micro_batches(split, range(len(split)), budget))
        labels = np.concatenate([batch.labels.numpy() for batch in batches])
        places = np.concatenate([np.stack([batch.proteins, batch.positions], axis=1) for batch in batches])
        assert len(np.unique(places, axis=0)) == len(places) == sum(map(len, split.labels))
        assert (labels == [split.labels[protein][place] for protein, place in places]).all()
        logits = torch.stack([torch.zeros(len(labels)), torch.from_numpy(places[:, 1] / 50)], dim=1).float()
        losses.append(
            float(loss.total(logits, torch.from_numpy(labels).long())) / loss.denominator(torch.from_numpy(labels))
        )
    assert losses[0] == pytest.approx(losses[1])
