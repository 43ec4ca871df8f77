"""A model that pools over mutated positions: run, record, and the same numbers from what would be published."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_checkpoints import write_checkpoint
from tiny_project import SPLITS, task_name, write_rows, write_task
from tiny_runs import whole
from tiny_tasks import LETTERS

from hubtools.data import DataCache
from hubtools.publishing.contents import collect_files, lay_out
from hubtools.publishing.reload import reproduce
from hubtools.reporting.card.model_card import build_card
from hubtools.runs.execute import execute
from hubtools.runs.plan import PlannedRun
from hubtools.runs.session import Session
from hubtools.runs.store import PLACES
from hubtools.specs.lookup.spec_files import load_recipe, load_task
from hubtools.training.compute.device import Execution

PROBLEM = "sequence-regression"
SITES = [4, 11, 33]
# Hydrophobicity-like numbers: what a site contributes depends on its letter.
VALUE = {letter: float(index) for index, letter in enumerate(LETTERS)}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Variants of one sequence of 40 residues at three sites."""
    folder, rng = tmp_path_factory.mktemp("library"), np.random.default_rng(0)
    base = rng.choice(list(LETTERS), 40)
    write_task(folder, PROBLEM, metrics={"primary": "spearman"})
    rows = []
    for number in range(90):
        residues = base.copy()
        residues[SITES] = rng.choice(list(LETTERS), len(SITES))
        label = sum(VALUE[letter] for letter in residues[SITES])
        rows.append({"id": f"v{number}", "sequence": "".join(residues), "label": str(label), "set": SPLITS[number % 3]})
    write_rows(folder, PROBLEM, rows)
    write_checkpoint(folder / "esm", "esm")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("adaptation", ["probe", "full"])
@pytest.mark.parametrize("window", [1022, 16])
def test_what_is_published_pools_as_the_run_did(project: Path, tmp_path: Path, adaptation: str, window: int) -> None:
    task = load_task(str(project / "tasks" / f"{task_name(PROBLEM)}.yaml"))
    settings = {"head.pooling": "mutations", "epochs": 3, "window.residues": window, "window.overlap": 4}
    asked = PlannedRun(task, load_recipe(adaptation, settings), str(project / "esm"), 1, overrides=settings)
    cache = DataCache(project / "cache")
    outcome = execute(asked, Session(tmp_path, cache, Execution(torch.device("cpu"), 512)))
    record = outcome.record
    assert record.status == "complete", record.failure
    assert record.training is not None and record.training.choices["pool_positions"] == [5, 12, 34]
    assert "residues pooled, those that vary in train: 5, 12, 34" in build_card(outcome.folder).read_text()
    with lay_out(collect_files(whole(outcome.folder))) as stage:
        shutil.copy(outcome.folder / PLACES, stage)  # Where this machine has the data.
        assert reproduce(Path(stage)).rows == 30
