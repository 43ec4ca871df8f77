#!/usr/bin/env python3
"""What cutting long proteins at the model's window would cost: windows against truncation, same trained model.

usage: python benchmarks/windows.py RUN [--data-mirror DIR]

RUN is the folder of a complete run of a residue task that detects one class (phosphotyrosine, say). The proteins of its
test split that are longer than the window are predicted twice: as bench does, in overlapping windows, and cut off after
the window's length as is usual. Residues that truncation never reads get the probability 0.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from sklearn.metrics import average_precision_score

from hubtools.data import DataCache, load_task_data
from hubtools.models.saved import load_model
from hubtools.runs.store import MODEL, read_record
from hubtools.specs.recipe import Recipe
from hubtools.specs.task import Task
from hubtools.training.compute.device import Execution
from hubtools.training.encoding import encode
from hubtools.training.loss import Loss
from hubtools.training.prediction import predict


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--data-mirror", type=Path, action="append", default=[])
    options = parser.parse_args()
    record = read_record(options.run)
    task, recipe = Task.model_validate(record.task), Recipe.model_validate(record.recipe)
    if not task.problem.level.by_residue or task.positive_index is None or record.windows is None:
        raise SystemExit("the run is not one of a residue task that detects one class")
    limit = record.windows.residues_per_window
    window = recipe.window.model_copy(update={"residues": limit, "overlap": record.windows.overlap})
    test = load_task_data(task, DataCache.default(options.data_mirror), subset=record.identity.subset).splits["test"]
    long = test.filter(lambda row: len(row["sequence"]) > limit)
    cut = long.map(lambda row: {"sequence": row["sequence"][:limit], "label": row["label"][:limit]})
    model, tokeniser = load_model(options.run / MODEL, task)
    execution = Execution.choose("auto", record.environment.token_budget)
    model.to(execution.device)
    whole, first = (
        predict(
            model,
            encode(split, task, tokeniser, window),
            Loss(task.problem.kind),
            token_budget=execution.token_budget,
            device=execution.device,
            bf16=False,
        )
        for split in (long, cut)
    )
    positive = task.positive_index
    truth, windowed = whole.truth == positive, whole.scores[:, positive]
    read = dict(
        zip(zip(first.ids.tolist(), first.positions.tolist(), strict=True), first.scores[:, positive], strict=True)
    )
    keys = list(zip(whole.ids.tolist(), whole.positions.tolist(), strict=True))
    truncated = np.array([read.get(key, 0.0) for key in keys])
    inside = np.array([key in read for key in keys])
    residues = sum(map(len, long["sequence"]))
    print(f"{len(long):,} of {len(test):,} test proteins have more than {limit:,} residues, {residues:,} in all")
    print(f"truncation reads {sum(map(len, cut['sequence'])):,} residues of them; windows read every one")
    print(f"of {len(truth):,} scored residues it never reads {int((~inside).sum()):,}")
    print(f"of {int(truth.sum()):,} positive ones it never reads {int((truth & ~inside).sum()):,}")
    print("average precision          windows  truncated")
    for name, rows in (("all scored residues", np.ones_like(inside)), ("those truncation reads", inside)):
        values = (average_precision_score(truth[rows], scores[rows]) for scores in (windowed, truncated))
        print(f"  {name:23} {next(values):8.3f} {next(values):10.3f}")


if __name__ == "__main__":
    main()
