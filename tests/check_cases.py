"""Arms with a skill of one's choice, for checks: records and predictions, nothing trained."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from sample_records import FITNESS, FULL, make_record

from hubtools.evaluation.predictions import Predictions, write_predictions
from hubtools.runs.store import PREDICTIONS, run_folder, write_record
from hubtools.specs.recipe import Recipe
from hubtools.specs.record import RunRecord
from hubtools.specs.task import Task

ESM = "facebook/esm2_t6_8M_UR50D"


def write_arm(
    root: Path,
    task: Task = FITNESS,
    *,
    skill: float = 1.0,
    seeds: int = 3,
    rng: int = 0,
    recipe: Recipe = FULL,
    checkpoint: str | None = ESM,
    rows: int = 400,
    edit: Callable[[RunRecord], Any] = lambda record: None,
    **more: Any,
) -> list[Path]:
    """Folders of complete runs of an arm on a regression task.

    Args:
        root: the folder of runs.
        task: a per-protein regression task.
        skill: how much of the truth is in the predictions, beside noise of size 1 that is the task's own and noise of
            0.1 that is the run's.
        seeds: how many runs.
        rng: of the runs' own noise: the same number gives the same predictions.
        recipe, checkpoint: of the arm.
        rows: proteins of the test split.
        edit: what is changed in each record before it is written.
        more: passed on to ``make_record``.
    """
    names = np.array([f"P{i:04d}" for i in range(rows)])
    shared = np.random.default_rng(1)
    truth, hard = shared.normal(size=rows), shared.normal(size=rows)
    folders = []
    for seed in range(1, seeds + 1):
        record = make_record(task, recipe, 0.7, checkpoint=checkpoint, seed=seed, **more)
        edit(record)
        record.run_id = record.identity.run_id
        folder = run_folder(root, record.identity)
        folder.mkdir(parents=True, exist_ok=True)
        own = np.random.default_rng([rng, seed]).normal(size=rows)
        predictions = Predictions(
            problem=task.problem,
            ids=names,
            positions=None,
            clusters=names,
            truth=truth,
            scores=skill * truth + hard + 0.1 * own,
        )
        write_predictions(folder / PREDICTIONS, dict.fromkeys(task.data.test_splits, predictions))
        write_record(folder, record)
        folders.append(folder)
    return folders


def read_github_output(path: Path) -> dict[str, str]:
    """Outputs of a step as the runner reads them: ``name=value``, or ``name<<END``, lines, ``END``; the last wins."""
    found, lines = {}, iter(path.read_text(encoding="utf-8").split("\n"))
    for line in lines:
        name, arrows, end = line.partition("<<")
        if arrows and "=" not in name:
            found[name] = "\n".join(iter(lambda: next(lines), end))
        elif line:
            name, equals, value = line.partition("=")
            assert equals, line
            found[name] = value
    return found
