"""Runs in bfloat16: what is published is what was measured, to the last digit on the machine that measured it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_checkpoints import write_checkpoint
from tiny_project import QUICK, task_name, write_project
from tiny_runs import whole

from hubtools.data import DataCache
from hubtools.evaluation.predictions import read_predictions
from hubtools.publishing.contents import collect_files, lay_out
from hubtools.publishing.reload import reproduce
from hubtools.runs.execute import Outcome, execute
from hubtools.runs.plan import PlannedRun
from hubtools.runs.session import Session
from hubtools.runs.store import PLACES, PREDICTIONS
from hubtools.specs.lookup.spec_files import load_recipe, load_task
from hubtools.training.compute.device import Execution

PROBLEMS = ("sequence-classification", "sequence-regression", "residue-classification")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    write_project(folder, *PROBLEMS)
    write_checkpoint(folder / "esm", "esm")
    return folder


def go(project: Path, root: Path, recipe: str, problem: str, packing: bool = True, **settings: Any) -> Outcome:
    task = load_task(str(project / "tasks" / f"{task_name(problem)}.yaml"))
    settings = {**QUICK, "precision": "bf16", **settings}
    asked = PlannedRun(task, load_recipe(recipe, settings), str(project / "esm"), 1, overrides=settings)
    execution = Execution(torch.device("cpu"), 512, packing=packing)
    # How a run is computed is not its identity: the second would find the first done.
    outcome = execute(asked, Session(root, DataCache(root / "cache"), execution), force=True)
    assert outcome.record.status == "complete", outcome.record.failure
    environment = outcome.record.environment
    assert (environment.precision, environment.layout) == ("bf16", "packed" if packing else "padded")
    return outcome


@pytest.mark.slow
@pytest.mark.parametrize("problem", PROBLEMS)
@pytest.mark.parametrize("recipe", ["probe", "full"])
def test_what_is_published_is_what_was_measured(project: Path, tmp_path: Path, recipe: str, problem: str) -> None:
    """A probe's head is trained on standardised embeddings, and published with the standardisation folded in."""
    outcome = go(project, tmp_path, recipe, problem)
    with lay_out(collect_files(whole(outcome.folder))) as stage:
        shutil.copy(outcome.folder / PLACES, stage)  # Where this machine has the data.
        assert reproduce(Path(stage)).difference < 1e-6


@pytest.mark.slow
@pytest.mark.parametrize("head", ["bench", "native"])
def test_values_far_from_zero_keep_their_digits(project: Path, tmp_path: Path, head: str) -> None:
    """The targets are between 200 and 225, where bfloat16 knows whole numbers only."""
    outcome = go(project, tmp_path, "full", "sequence-regression", **{"head.kind": head})
    scores = read_predictions(outcome.folder / PREDICTIONS)["test"].scores
    assert (abs(scores - scores.round()) > 1e-3).mean() > 0.9


@pytest.mark.slow
def test_embeddings_are_not_shared_by_what_rounds_differently(project: Path, tmp_path: Path) -> None:
    """Else a run's record would say that nothing was packed, and its saved model could not do what was measured."""
    facts, settings = [], {"window.residues": 24, "window.overlap": 8}
    for packing in (True, False, False):
        outcome = go(project, tmp_path, "probe", PROBLEMS[0], packing, **settings)
        training = outcome.record.training
        assert training is not None and training.embeddings is not None
        facts.append((training.embeddings.computed, training.embeddings.cached))
        with lay_out(collect_files(whole(outcome.folder))) as stage:
            shutil.copy(outcome.folder / PLACES, stage)  # Where this machine has the data.
            assert reproduce(Path(stage)).difference < 1e-6
    assert facts == [(120, 0), (120, 0), (0, 120)]
