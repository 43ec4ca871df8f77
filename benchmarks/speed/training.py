#!/usr/bin/env python3
"""Training: real tokens a second of bench against the field's notebook recipe, all variants taking turns in one run.

usage: python benchmarks/speed/training.py [--shape 8M|35M] [--threads 1] [--rounds 3] [--proteins 48] [--out FILE]

The notebook recipe is transformers' Trainer with batches of 8 in random order, padded to the longest, in float32. The
same Trainer padded to the maximum and with length grouping; bench through its own fit, padded and packed in float32,
and packed with precision ``fastest``. Each turn is one epoch over the same proteins with its evaluation (of two
proteins) and its checkpoint. Real tokens are residues and two special tokens, never padding. A ceiling is the best that
torch's matrix product reached on these shapes in the same rounds. Also printed: padding of bench's batches for 10,000
proteins, where a recipe forms them by length (bucket 8). The Trainer's length grouping has nothing to group below some
hundred proteins.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from measuring import interleaved, lengths, options, report
from workload import COLUMNS, Ceiling, Collator, Work, operations, shape_options, table

from hubtools.specs.recipe import Recipe
from hubtools.training.batches import BucketedBatches, micro_batches
from hubtools.training.compute.device import Execution
from hubtools.training.compute.engine import engine
from hubtools.training.encoding import Encoded
from hubtools.training.finetune.fit import fit
from hubtools.training.job import Job
from hubtools.training.loss import loss_for

MAXIMUM = 1024


def notebook(work: Work, collate: Callable[..., Any], **settings: Any) -> Callable[[], None]:
    """An epoch of the Trainer, on the processor unless ``settings`` say otherwise."""
    from transformers import Trainer, TrainingArguments
    from transformers.trainer_callback import PrinterCallback

    model, rows = work.stock_model(), work.stock_rows()
    usual = {"eval_strategy": "epoch", "save_strategy": "epoch", "use_cpu": True}

    def run() -> None:
        with tempfile.TemporaryDirectory() as folder:
            arguments = TrainingArguments(
                output_dir=folder,
                num_train_epochs=1,
                per_device_train_batch_size=8,
                per_device_eval_batch_size=8,
                report_to="none",
                disable_tqdm=True,
                **{**usual, **settings},
            )
            trainer = Trainer(model, arguments, collate, train_dataset=rows, eval_dataset=rows[:2])  # type: ignore[arg-type]
            trainer.remove_callback(PrinterCallback)
            trainer.train()

    return run


def bench(work: Work, precision: str, packing: bool) -> Callable[[], None]:
    """An epoch of bench's fit."""
    model, execution = work.model(), Execution(torch.device("cpu"), 2048, packing=packing)
    recipe = work.recipe(precision=precision)
    train, validation = work.split(), work.split(2)
    loss = loss_for(train, 2, "none")
    bf16 = execution.bf16(precision)
    if precision == "fastest" and not bf16:
        logging.warning("this device was measured to be faster in float32")

    def run() -> None:
        with (
            tempfile.TemporaryDirectory() as folder,
            engine(model, work.tokeniser, execution, bf16=bf16, trains=True) as made,
        ):
            for reason in made.reasons:
                logging.warning(reason)
            work_folder = Path(folder)
            job = Job(work.task, recipe, loss, 0, execution, work_folder / "work", work_folder / "training.jsonl")
            fit(model, replace(train, packed=made.packed), validation, job)

    return run


def bucket_padding(batch_size: int, budget: int = 2048, n: int = 10_000) -> float:
    """Share of padding in bench's padded batches of an epoch over proteins of usual lengths."""
    found = lengths(n) + 2
    computed = 0
    for batch in BucketedBatches(found, batch_size, 8, 0):
        rows = widest = 0
        for length in sorted(found[batch], reverse=True):
            if rows and (rows + 1) * widest > budget:
                computed += rows * widest
                rows = widest = 0
            rows, widest = rows + 1, max(widest, length)
        computed += rows * widest
    return 1 - found.sum() / computed


def step_padding(split: Encoded, recipe: Recipe, budget: int = 2048) -> float:
    """Share of padding in the padded batches of this very epoch."""
    steps = BucketedBatches(split.row_lengths, recipe.batch_size, recipe.bucket, 0)
    batches = [batch for rows in steps for batch in micro_batches(split, rows, budget)]
    return 1 - sum(b.tokens for b in batches) / sum(b.inputs["input_ids"].numel() for b in batches)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options(parser)
    parser.set_defaults(rounds=3)
    shape_options(parser, 48)
    parser.add_argument("--only", metavar="TEXT", help="variants whose name holds this, beside recipe and ceilings")
    parser.add_argument("--profile", action="store_true", help="also where the time of bench's variants goes")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    work = Work.of(given.shape, given.proteins)
    ceilings = {"float32": Ceiling(given.shape, torch.float32), "bf16": Ceiling(given.shape, torch.bfloat16)}
    sampling: dict[str, Any] = {"train_sampling_strategy": "group_by_length"}
    collators = {
        "notebook recipe": Collator(work),
        "Trainer, padded to 1,024": Collator(work, MAXIMUM),
        "Trainer, length grouping": Collator(work),
    }
    variants = {
        "notebook recipe": notebook(work, collators["notebook recipe"]),
        "bench, float32, padded": bench(work, "float32", False),
        "bench, float32, packed": bench(work, "float32", True),
        "bench, fastest (bf16), packed": bench(work, "fastest", True),
        "Trainer, length grouping": notebook(work, collators["Trainer, length grouping"], **sampling),
        "Trainer, padded to 1,024": notebook(work, collators["Trainer, padded to 1,024"]),
        "ceiling float32": ceilings["float32"],
        "ceiling bf16": ceilings["bf16"],
    }
    always = ("notebook recipe", "ceiling")
    chosen = {n: run for n, run in variants.items() if not given.only or given.only in n or n.startswith(always)}
    timings = interleaved(chosen, given.rounds, "notebook recipe")
    split = work.split()
    padding = {name: collator.padding for name, collator in collators.items() if name in chosen}
    padding |= {"bench, float32, packed": 0.0, "bench, fastest (bf16), packed": 0.0}
    padding["bench, float32, padded"] = step_padding(split, work.recipe())
    best = ", ".join(f"{name} {ceiling.best / 1e9:.0f} GFLOP/s" for name, ceiling in ceilings.items())
    rows = table(work, timings, ceilings, 3, padding)
    buckets = {size: bucket_padding(size) for size in (8, 16, 32, 64)}
    figures = {"timings": timings, "ceilings": best, "tokens": work.tokens, "padding of buckets": buckets}
    report(
        f"Training, ESM-2 {given.shape} shape, {given.threads} thread(s), {work.tokens:,} tokens, {given.rounds} rounds; "
        f"ceilings: {best}",
        COLUMNS,
        rows,
        given,
        figures,
    )
    print("\npadding of bench's padded batches, bucket 8, 10,000 proteins, by proteins a step:")
    print(", ".join(f"{size}: {share:.1%}" for size, share in buckets.items()))
    if given.profile:
        given.out = None
        for name, run in chosen.items():
            if name.startswith("bench"):
                report(f"An epoch of {name}", ["operation", "of the time", "calls"], operations(run), given, None)


if __name__ == "__main__":
    main()
