#!/usr/bin/env python3
"""Peak memory of optimiser steps at the same effective batch: the notebook recipe against bench.

usage: python benchmarks/speed/memory.py [--shape 8M] [--out FILE]

Effective batches of 32 proteins of realistic lengths, the one with the longest protein among them; random weights of
ESM-2's shapes. Each variant runs in a process of its own, and what is counted is that process's peak above what it
held before the first step (weights included in both). The notebook recipe is transformers' Trainer with batches of
eight, padded to the longest, accumulated four times; bench is its own training step, packed, cut to a token budget.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import measuring

EFFECTIVE, NOTEBOOK_BATCH = 32, 8
VARIANTS = {
    "notebook recipe, 8 × 4": None,
    "bench, 2,048 tokens": (2048, False),
    "bench, 2,048 tokens, checkpointing": (2048, True),
    "bench, 4,096 tokens": (4096, False),
    "bench, 8,192 tokens": (8192, False),
}


def notebook(folder: Path, sequences: list[str], labels: list[int]) -> Any:
    """Trainer as in the field's notebooks; returns what runs the steps."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer, Trainer, TrainingArguments

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=2)
    rows = [{**tokenizer(s), "label": y} for s, y in zip(sequences, labels, strict=True)]
    arguments = TrainingArguments(
        output_dir=str(folder / "out"), per_device_train_batch_size=NOTEBOOK_BATCH,
        gradient_accumulation_steps=EFFECTIVE // NOTEBOOK_BATCH, num_train_epochs=1, use_cpu=True, report_to="none",
        disable_tqdm=True, save_strategy="no", logging_strategy="no",
    )  # fmt: skip
    return Trainer(model=model, args=arguments, train_dataset=rows, processing_class=tokenizer).train


def bench(folder: Path, sequences: list[str], labels: list[int], budget: int, checkpointing: bool) -> Any:
    """Our own fit, one epoch; validation is a single short protein."""
    import torch
    from datasets import Dataset

    from hubtools.models import ResidueTokeniser, build_model, resolve_checkpoint
    from hubtools.specs.recipe import Recipe
    from hubtools.specs.task import Task
    from hubtools.training.compute.device import Execution
    from hubtools.training.compute.engine import engine
    from hubtools.training.encoding import encode
    from hubtools.training.finetune.fit import fit
    from hubtools.training.job import Job
    from hubtools.training.loss import loss_for

    task = Task.model_validate(
        {
            "name": "t", "version": 1, "title": "T", "problem": "sequence-classification", "summary": "s",
            "labels": ["no", "yes"], "metrics": {"primary": "accuracy"}, "licence": "CC0-1.0", "citation": "none",
            "data": {
                "source": "file", "files": [{"path": "x.csv"}], "split": {"fractions": {"train": 0.8, "test": 0.2}}
            },
        }
    )  # fmt: skip
    recipe = Recipe(name="r", adaptation="full", epochs=1, batch_size=EFFECTIVE)
    checkpoint = resolve_checkpoint(str(folder))
    tokeniser = ResidueTokeniser.from_checkpoint(checkpoint)

    def split(chosen: list[str], truth: list[int]) -> Any:
        rows = {"id": [str(i) for i in range(len(chosen))], "sequence": chosen, "label": truth}
        return encode(Dataset.from_dict(rows), task, tokeniser, recipe.window)

    train, validation = split(sequences, labels), split(["MKV" * 5, "AAY" * 5], [0, 1])
    model = build_model(checkpoint, task, recipe, tokeniser, 1)
    execution = Execution(torch.device("cpu"), budget, checkpointing)
    job = Job(task, recipe, loss_for(train, 2, "none"), 1, execution, folder / "work", folder / "training.jsonl")

    def run() -> None:
        with engine(model, tokeniser, execution, bf16=False, trains=True) as made:
            fit(model, replace(train, packed=made.packed), validation, job)

    return run


def measure(name: str, shape: str, proteins: int, threads: int) -> None:
    """In a process of its own: bytes above the floor, as JSON."""
    import torch

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    sequences = measuring.proteins(proteins)
    labels = [i % 2 for i in range(proteins)]
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        measuring.write_esm2(folder, shape)
        variant = VARIANTS[name]
        run = notebook(folder, sequences, labels) if variant is None else bench(folder, sequences, labels, *variant)
        floor = resident()
        run()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"bytes": peak - floor, "floor": floor}))


def resident() -> int:
    """Bytes of this process now (Linux)."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=list(measuring.SHAPES), default="8M")
    parser.add_argument("--proteins", type=int, default=EFFECTIVE, help="a multiple of 32 (default one batch)")
    parser.add_argument("--only", help=argparse.SUPPRESS)
    measuring.options(parser)
    given = parser.parse_args()
    if given.only:
        measure(given.only, given.shape, given.proteins, given.threads)
        return
    figures: dict[str, Any] = {}
    for name in VARIANTS:
        command = [sys.executable, __file__, "--only", name, "--shape", given.shape]
        command += ["--proteins", str(given.proteins), "--threads", str(given.threads)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"{name} failed:\n{done.stderr[-2000:]}")
        figures[name] = json.loads(done.stdout.strip().splitlines()[-1])
    reference = figures["notebook recipe, 8 × 4"]["bytes"]
    rows = [[name, f"{f['bytes'] / 1e9:.2f}", f"{f['bytes'] / reference:.2f}"] for name, f in figures.items()]
    columns = ["variant", "GB above the floor", "÷ notebook recipe"]
    measuring.report(f"Peak memory, ESM-2 {given.shape}, {EFFECTIVE} proteins a step", columns, rows, given, figures)


if __name__ == "__main__":
    main()
