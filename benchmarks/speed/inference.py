#!/usr/bin/env python3
"""Inference: real tokens a second of bench against Trainer.predict, all variants taking turns in one run.

usage: python benchmarks/speed/inference.py [--shape 8M|35M] [--threads 1] [--rounds 3] [--proteins 96] [--out FILE]

The reference is transformers' Trainer.predict with batches of 8 in the order of the data, padded to the longest, in
float32; the same with batches of 64; bench's own predict, padded and packed in float32, and packed in bf16. All read
the same proteins. Columns as in training.py.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
from collections.abc import Callable
from dataclasses import replace

import torch
from measuring import interleaved, options, report
from workload import COLUMNS, Ceiling, Collator, Work, shape_options, table

from hubtools.training.batches import micro_batches
from hubtools.training.compute.device import Execution
from hubtools.training.compute.engine import engine
from hubtools.training.loss import loss_for
from hubtools.training.prediction import predict

CPU = torch.device("cpu")
BUDGET = 2048


def stock(work: Work, batch_size: int, collate: Collator) -> Callable[[], None]:
    """Trainer.predict."""
    from transformers import Trainer, TrainingArguments

    model, rows = work.stock_model(), work.stock_rows()

    def run() -> None:
        with tempfile.TemporaryDirectory() as folder:
            arguments = TrainingArguments(
                output_dir=folder,
                per_device_eval_batch_size=batch_size,
                report_to="none",
                disable_tqdm=True,
                use_cpu=True,
            )
            Trainer(model, arguments, collate).predict(rows)  # type: ignore[arg-type]

    return run


def bench(work: Work, precision: str, packing: bool) -> Callable[[], None]:
    """Bench's predict; the test that admits the engine is part of the time."""
    model, execution, split = work.model(), Execution(CPU, BUDGET, packing=packing), work.split()
    loss = loss_for(split, 2, "none")
    bf16 = execution.bf16(precision)

    def run() -> None:
        with engine(model, work.tokeniser, execution, bf16=bf16, trains=False) as made:
            for reason in made.reasons:
                logging.warning(reason)
            predict(model, replace(split, packed=made.packed), loss, token_budget=BUDGET, device=CPU, bf16=bf16)

    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options(parser)
    parser.set_defaults(rounds=3)
    shape_options(parser, 96)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    work = Work.of(given.shape, given.proteins)
    split = work.split()
    computed = sum(b.inputs["input_ids"].numel() for b in micro_batches(split, range(len(split)), BUDGET))
    ceilings = {"float32": Ceiling(given.shape, torch.float32), "bf16": Ceiling(given.shape, torch.bfloat16)}
    eight, many = Collator(work), Collator(work)
    timings = interleaved(
        {
            "Trainer.predict, batch 8": stock(work, 8, eight),
            "bench, float32, padded": bench(work, "float32", False),
            "bench, float32, packed": bench(work, "float32", True),
            "bench, fastest (bf16), packed": bench(work, "fastest", True),
            "Trainer.predict, batch 64": stock(work, 64, many),
            "ceiling float32": ceilings["float32"],
            "ceiling bf16": ceilings["bf16"],
        },
        given.rounds,
        "Trainer.predict, batch 8",
    )
    padding = {
        "Trainer.predict, batch 8": eight.padding,
        "Trainer.predict, batch 64": many.padding,
        "bench, float32, padded": 1 - work.tokens / computed,
        "bench, float32, packed": 0.0,
        "bench, fastest (bf16), packed": 0.0,
    }
    best = ", ".join(f"{name} {ceiling.best / 1e9:.0f} GFLOP/s" for name, ceiling in ceilings.items())
    report(
        f"Inference, ESM-2 {given.shape} shape, {given.threads} thread(s), {work.tokens:,} tokens, {given.rounds} rounds; "
        f"ceilings: {best}",
        COLUMNS,
        table(work, timings, ceilings, 1, padding),
        given,
        {"timings": timings, "ceilings": best, "tokens": work.tokens, "padding": padding},
    )


if __name__ == "__main__":
    main()
