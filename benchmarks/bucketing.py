#!/usr/bin/env python3
"""Whether forming batches by length changes what is learnt: random and bucketed batches, same task, same seeds.

usage: python benchmarks/bucketing.py [--task NAME] [--checkpoint NAME] [--seeds 1,2] [--png FILE]

Every run is an ordinary bench run in the folder of runs (what is there already is not run again); only the recipe's field
bucket differs: 1, the default, draws batches at random; 8 forms them by length in stretches of eight batches.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
# As the command line does: what transformers says of unused weights is not about the figures.
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
from matplotlib import pyplot

from hubtools.data import DataCache
from hubtools.runs.execute import execute
from hubtools.runs.plan import PlannedRun
from hubtools.runs.session import Session
from hubtools.runs.store import TRAINING_LOG
from hubtools.specs.lookup.spec_files import load_recipe, load_task
from hubtools.training.compute.device import Execution


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", default="antimicrobial-peptide")
    parser.add_argument("--checkpoint", default="embedded")
    parser.add_argument("--recipe", default="full")
    parser.add_argument("--subset", type=int, default=300)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--seeds", default="1,2")
    parser.add_argument("--buckets", default="1,8")
    parser.add_argument("--runs", type=Path, default=Path("runs/bucketing"))
    parser.add_argument("--png", type=Path, default=Path("bucketing.png"))
    parser.add_argument("--data-mirror", type=Path, action="append", default=[])
    options = parser.parse_args()
    task = load_task(options.task)
    session = Session(options.runs, DataCache.default(options.data_mirror), Execution.choose())
    figure, (losses, scores) = pyplot.subplots(1, 2, figsize=(9, 3.5))
    print(f"{task.name}, {options.checkpoint}, {task.metrics.primary}\n")
    print("| bucket | seed | validation per epoch | test | 95 % interval |\n| --- | --- | --- | --- | --- |")
    for colour, bucket in enumerate(map(int, options.buckets.split(","))):
        settings = {"bucket": bucket, "epochs": options.epochs, "patience": None}
        for number, seed in enumerate(map(int, options.seeds.split(","))):
            recipe = load_recipe(options.recipe, settings)
            planned = PlannedRun(task, recipe, options.checkpoint, seed, subset=options.subset, overrides=settings)
            outcome = execute(planned, session)
            if outcome.record.status != "complete":
                raise SystemExit(f"{outcome.folder}: {outcome.record.failure}")
            lines = [json.loads(line) for line in (outcome.folder / TRAINING_LOG).read_text().splitlines()]
            seen = [line["validation"][task.metrics.primary] for line in lines]
            score = outcome.record.score(task.data.test_splits[0])
            assert score is not None
            shown = " ".join("–" if value is None else f"{value:.3f}" for value in seen)
            bounds = "–" if score.low is None else f"{score.low:.3f} – {score.high:.3f}"
            print(f"| {bucket} | {seed} | {shown} | {score.value:.3f} | {bounds} |", flush=True)
            name = ("random" if bucket == 1 else f"bucket {bucket}") if number == 0 else None
            epochs = [line["epoch"] for line in lines]
            losses.plot(epochs, [line["train_loss"] for line in lines], color=f"C{colour}", label=name)
            scores.plot(epochs, [float("nan") if value is None else value for value in seen], color=f"C{colour}")
    losses.set(xlabel="epoch", ylabel="training loss")
    scores.set(xlabel="epoch", ylabel=f"validation {task.metrics.primary}")
    losses.legend()
    figure.tight_layout()
    figure.savefig(options.png, dpi=150)
    print(f"\n{options.png}")


if __name__ == "__main__":
    main()
