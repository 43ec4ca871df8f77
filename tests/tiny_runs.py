"""Tiny runs, trained in a second or two, for tests of what comes after a run."""

from __future__ import annotations

from pathlib import Path

import torch
from tiny_checkpoints import write_checkpoint
from tiny_project import QUICK, task_name, write_rows, write_task

from hubtools.data import DataCache
from hubtools.runs.execute import execute
from hubtools.runs.plan import PlannedRun
from hubtools.runs.session import Session
from hubtools.runs.store import open_run
from hubtools.runs.whole_model import make_whole
from hubtools.specs.lookup.spec_files import load_recipe, load_task
from hubtools.training.compute.device import Execution


def whole(folder: Path) -> Path:
    """The folder of a run, its whole model put together in it."""
    make_whole(open_run(folder))
    return folder


def made(
    folder: Path,
    problem: str,
    family: str = "esm",
    recipe: str = "full",
    checkpoint: str | None = None,
    rows: list[dict[str, str]] | None = None,
    **settings: object,
) -> Path:
    """The folder of a tiny run; its checkpoint is made beside it, unless one is named; ``rows`` take the place of the task's."""
    write_task(folder, problem)
    if rows is not None:
        write_rows(folder, problem, rows)
    checkpoint = checkpoint or str(write_checkpoint(folder / family, family))
    settings = {**({"epochs": 2} if recipe == "probe" else QUICK), **settings}
    asked = PlannedRun(
        load_task(str(folder / "tasks" / f"{task_name(problem)}.yaml")),
        load_recipe(recipe, settings),
        checkpoint,
        1,
        overrides=settings,
    )
    session = Session(folder / "runs", DataCache(folder / "cache"), Execution(torch.device("cpu"), 512))
    outcome = execute(asked, session)
    assert outcome.record.status == "complete", outcome.record.failure
    return outcome.folder
