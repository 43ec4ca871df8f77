"""A run whose labels are a hierarchy: what is recorded, kept and said on the card."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tiny_project import task_name, tiny_rows, write_rows, write_task

from hubtools.data import DataCache
from hubtools.evaluation import read_predictions, score_split
from hubtools.reporting.card.model_card import build_card, lint_card
from hubtools.runs.execute import execute
from hubtools.runs.plan import PlannedRun
from hubtools.runs.session import Session
from hubtools.runs.store import PREDICTIONS, read_record
from hubtools.specs.lookup.spec_files import load_recipe, load_task
from hubtools.training.compute.device import Execution

PROBLEM = "sequence-multilabel"


@pytest.mark.usefixtures("blank_figures")
def test_a_run_of_enzyme_numbers(tmp_path: Path) -> None:
    write_task(
        tmp_path,
        PROBLEM,
        labels={"acid": "1.1.1.1", "aromatic": "1.1.2.1", "new": "3.1.1.n1"},
        hierarchy="ec",
        metrics={"primary": "fmax", "also": ["smin", "micro_auprc", "micro_f1"]},
    )
    rows = tiny_rows(PROBLEM)
    # Two proteins of test have a label that no other split has, one of them nothing else.
    first, second = [row for row in rows if row["set"] == "test"][:2]
    first["label"], second["label"] = "new", "acid;new"
    write_rows(tmp_path, PROBLEM, rows)
    task = load_task(str(tmp_path / "tasks" / f"{task_name(PROBLEM)}.yaml"))
    session = Session(tmp_path / "runs", DataCache(tmp_path / "cache"), Execution(torch.device("cpu"), 512))
    outcome = execute(PlannedRun(task, load_recipe("nearest-neighbour"), None, 1), session)
    assert outcome.record.status == "complete", outcome.record.failure
    result = read_record(outcome.folder).results["test"]
    found = result.unseen_labels
    assert found is not None and (found.labels, found.rows, found.only) == (1, 2, 1)
    assert read_record(outcome.folder).results["validation"].unseen_labels is None
    assert result.not_listed is None and len(result.per_class) == 3
    scores = {name: score.value for name, score in result.scores.items()}
    assert 0 < scores["fmax"] <= 1 and scores["smin"] > 0 and scores["micro_auprc"] > 0
    # What is kept scores again to the same, with what was counted in training.
    kept = read_predictions(outcome.folder / PREDICTIONS)["test"]
    thresholds = outcome.record.training.choices["thresholds"]
    again = score_split(task, kept, thresholds, replicates=0).scores
    assert {name: score.value for name, score in again.items()} == pytest.approx(scores, abs=1e-12)
    card = build_card(outcome.folder).read_text(encoding="utf-8")
    assert lint_card(card) == []
    assert "1 of its 3 labels are not in train; 2 rows have one of them, 1 no other label" in card
    assert "Fmax, Smin, Micro AUPRC: of the labels and of all that is above them" in card
