"""Folders of runs to be compared: invented predictions of known quality, on the same rows for every run of a task."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from sample_records import PROBE, make_record

from hubtools.evaluation.predictions import Predictions, write_predictions
from hubtools.runs.store import PREDICTIONS, run_folder, write_record
from hubtools.specs.recipe import Recipe
from hubtools.specs.task import Task

ESM8, ESM650 = "facebook/esm2_t6_8M_UR50D", "facebook/esm2_t33_650M_UR50D"
CLUSTER = 4


def predictions(task: Task, quality: float, seed: int, n: int = 400) -> Predictions:
    """Rows whose truth depends on the task alone, and whose scores are the better the higher the quality."""
    truth_rng, rng = np.random.default_rng(len(task.name)), np.random.default_rng([seed, round(1000 * quality)])
    kind, width = task.problem.kind, task.n_outputs
    truth: Any
    if kind == "regression":
        truth = truth_rng.normal(size=n)
        scores = quality * truth + rng.normal(size=n)
    elif kind == "multilabel":
        truth = (truth_rng.random((n, width)) < 0.4).astype(np.int8)
        scores = 1 / (1 + np.exp(-(quality * (2 * truth - 1) + rng.normal(size=truth.shape))))
    else:
        truth = truth_rng.integers(0, width, size=n)
        logits = quality * np.eye(width)[truth] + rng.normal(size=(n, width))
        scores = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    ids = np.array([f"P{i:04d}" for i in range(n)])
    clusters = np.array([f"C{i // CLUSTER:03d}" for i in range(n)])
    positions = np.ones(n, dtype=np.int32) if task.problem.level.by_residue else None
    return Predictions(task.problem, ids, positions, clusters, truth, scores)


def write_runs_of(
    root: Path, task: Task, recipe: Recipe = PROBE, *, quality: float = 1.5, seeds: tuple[int, ...] = (1,), **more: Any
) -> list[Path]:
    """One run a seed; ``rows=`` of predictions that are not 400, and what ``make_record`` takes."""
    rows, folders = more.pop("rows", 400), []
    more.setdefault("checkpoint", ESM8)
    for seed in seeds:
        record = make_record(task, recipe, 0.5, seed=seed, **more)
        folder = run_folder(root, record.identity)
        write_record(folder, record)
        made = predictions(task, quality, seed, rows)
        write_predictions(folder / PREDICTIONS, {"validation": made, "test": made}, task.label_names)
        folders.append(folder)
    return folders
