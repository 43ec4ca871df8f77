"""Small complete runs of several seeds, to be frozen: predictions, and results that follow from them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from sample_records import BASELINES, FULL, PEPTIDES, PROBE, STRUCTURE, TASKS, make_record

from hubtools.evaluation.metrics.scoring import score_and_resample
from hubtools.evaluation.predictions import Predictions, write_predictions
from hubtools.evaluation.statistics.resampled import write_replicates
from hubtools.runs.store import PREDICTIONS, REPLICATES, run_folder, write_record
from hubtools.specs.recipe import Recipe
from hubtools.specs.task import Task

ESM = "facebook/esm2_t6_8M_UR50D"
__all__ = ["BASELINES", "ESM", "FULL", "PEPTIDES", "PROBE", "STRUCTURE", "TASKS", "write_seed", "write_seeds"]


def invented(task: Task, seed: int, skill: float, n: int = 90) -> Predictions:
    """The same rows for every seed; scores that know the truth as well as the skill says."""
    rows, noise = np.random.default_rng(len(task.name)), np.random.default_rng(seed)
    per = 5 if task.problem.level.by_residue else 1
    truth = rows.integers(0, task.n_outputs, n * per)
    logits = skill * np.eye(task.n_outputs)[truth] + noise.normal(size=(n * per, task.n_outputs))
    scores = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    return Predictions(
        problem=task.problem,
        ids=np.repeat([f"P{i:05d}" for i in range(n)], per),
        positions=np.tile(np.arange(1, per + 1), n) if per > 1 else None,
        clusters=np.repeat([f"c{i // 3}" for i in range(n)], per),
        truth=truth,
        scores=scores,
    )


def write_seed(
    root: Path,
    seed: int = 1,
    *,
    task: Task = PEPTIDES,
    recipe: Recipe = FULL,
    skill: float = 1.8,
    shift: float = 0.0,
    minutes: float = 4.0,
    checkpoint: str | None = ESM,
    status: str = "complete",
) -> Path:
    """One run; ``shift`` is added to the probability of the last class of the first row."""
    splits = {"validation": invented(task, seed + 100, skill), "test": invented(task, seed, skill)}
    scores = splits["test"].scores.copy()
    scores[0, -1] += np.float32(shift)
    splits["test"] = replace(splits["test"], scores=scores)
    thresholds = [0.5] if task.positive_index is not None else None
    scored = {name: score_and_resample(task, split, thresholds) for name, split in splits.items()}
    record = make_record(
        task,
        recipe,
        0.0,
        checkpoint=checkpoint,
        seed=seed,
        results={name: result for name, (result, _, _) in scored.items()} if status == "complete" else None,
        minutes=minutes,
        status=status,
    )
    if record.training is not None:
        record.training.choices = {"thresholds": thresholds}
    folder = run_folder(root, record.identity)
    write_record(folder, record)
    if status == "complete":
        write_predictions(folder / PREDICTIONS, splits, task.label_names)
        drawn = {name: drawn for name, (_, drawn, _) in scored.items()}
        write_replicates(folder / REPLICATES, drawn, {name: units for name, (_, _, units) in scored.items()})
    return folder


def write_seeds(root: Path, seeds: int = 3, **options) -> list[Path]:
    """Runs of an arm."""
    return [write_seed(root, seed, **options) for seed in range(1, seeds + 1)]
