#!/usr/bin/env python3
"""What bench's loop costs a step beside the computation: against a plain hand-written loop on the same pieces.

usage: python benchmarks/speed/overhead.py [--shapes tiny 8M] [--rounds 5] [--out FILE]

Both train the same model on the same micro-batches, cut before the clock starts for the plain loop; bench's loop cuts them
itself, in its other thread, draws orders, keeps the schedule and counts. transformers' Trainer runs the same pieces as a
third, for which its own work of a step is all that is counted.
"""

from __future__ import annotations

import argparse
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

import measuring
import numpy as np
import torch
from torch.utils.data import Dataset
from transformers import EsmConfig, EsmModel, Trainer, TrainingArguments
from transformers.trainer_callback import PrinterCallback

from hubtools.common.telling import bar
from hubtools.models import ResidueTokeniser, resolve_checkpoint
from hubtools.models.task_model import bench_model
from hubtools.specs.lookup.spec_files import load_recipe, load_task
from hubtools.training.compute.device import Execution
from hubtools.training.encoding import Encoded
from hubtools.training.finetune.fit import EffectiveBatch, FairTrainer
from hubtools.training.job import Job
from hubtools.training.loss import Loss

SHAPES = {"tiny": (2, 32, 64, 4), **measuring.SHAPES}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    measuring.options(parser)
    parser.add_argument("--shapes", nargs="+", choices=SHAPES, default=["tiny", "8M"])
    parser.add_argument("--steps", type=int, default=4, help="optimiser steps a turn (default 4)")
    parser.add_argument("--batch", type=int, default=4, help="proteins of a step (default 4)")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    rows, figures = [], {}
    with tempfile.TemporaryDirectory() as folder:
        for shape in given.shapes:
            timings = measuring.interleaved(variants(shape, given, Path(folder)), given.rounds, "plain loop")
            plain = timings["plain loop"].median / given.steps
            for name, timing in timings.items():
                step, over = timing.median / given.steps, 1 / timing.ratio - 1
                span = f"{1 / timing.ratio_high - 1:+.1%} – {1 / timing.ratio_low - 1:+.1%}"
                rows.append((shape, name, f"{step * 1e3:.2f}", f"{(step - plain) * 1e3:+.2f}", f"{over:+.1%}", span))
            figures[shape] = timings
    columns = ("shape", "loop", "ms a step", "more, ms", "median of ratios", "range")
    measuring.report("Overhead of a training step", columns, rows, given, figures)


def variants(shape: str, given: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """The three loops on one model and one set of proteins."""
    tokeniser = ResidueTokeniser.from_checkpoint(resolve_checkpoint("embedded"))
    task, recipe = load_task("secondary-structure"), load_recipe("full", {"batch_size": given.batch, "patience": None})
    layers, width, forward, heads = SHAPES[shape]
    config = EsmConfig(
        vocab_size=max(64, int(tokeniser.pad_id) + 1),
        pad_token_id=int(tokeniser.pad_id),
        mask_token_id=63,
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=forward,
        position_embedding_type="rotary",
        token_dropout=False,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    model = bench_model(EsmModel(config, add_pooling_layer=False), task, recipe, tokeniser, 1)
    split = made_up(task, tokeniser, given.steps * given.batch)
    job = Job(task, recipe, Loss(task.problem.kind), 1, Execution.choose("cpu"), folder / "none", folder / "log.jsonl")
    ours = FairTrainer(model, split, split, job)
    steps = [ours.cut(rows) for rows in ours.sampler]

    def bench() -> None:
        with closing(bar("training", given.steps)) as shown:
            ours.train_epoch(shown)

    plain_optimiser = ours.create_optimizer(model)

    def plain() -> None:
        model.train()
        for step in steps:
            backward(model, step, job.loss)
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            plain_optimiser.step()
            plain_optimiser.zero_grad(set_to_none=True)

    bench()
    plain()
    return {"plain loop": plain, "bench": bench, "Trainer": trainer(model, steps, job.loss, folder)}


def backward(model: Any, step: EffectiveBatch, loss: Loss) -> torch.Tensor:
    """Gradients of an effective batch, written out."""
    total = torch.zeros(())
    for batch in step.batches:
        logits = model(**batch.inputs).logits[batch.inputs["residue_mask"]]
        part = loss.total(logits, batch.labels) / step.denominator
        part.backward()
        total += part.detach()
    return total


def trainer(model: Any, steps: list[EffectiveBatch], loss: Loss, folder: Path) -> Any:
    """The Trainer of transformers on the same pieces, with nothing logged and nothing saved."""

    class Pieces(Dataset):
        def __len__(self) -> int:
            return len(steps)

        def __getitem__(self, index: int) -> EffectiveBatch:
            return steps[index]

    class Stock(Trainer):
        def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> torch.Tensor:
            return backward(model, inputs["step"], loss)

    arguments = TrainingArguments(
        output_dir=str(folder / "trainer"),
        num_train_epochs=1,
        per_device_train_batch_size=1,
        use_cpu=True,
        save_strategy="no",
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
        remove_unused_columns=False,
    )
    stock = Stock(model=model, args=arguments, train_dataset=Pieces(), data_collator=lambda items: {"step": items[0]})
    stock.remove_callback(PrinterCallback)
    stock.train()
    return stock.train


def made_up(task: Any, tokeniser: ResidueTokeniser, n: int) -> Encoded:
    """Random proteins of real lengths with random labels."""
    from hubtools.models.windows import pieces

    tokens = [tokeniser.encode(sequence) for sequence in measuring.proteins(n)]
    rng = np.random.default_rng(0)
    return Encoded(
        problem=task.problem,
        ids=[f"p{i}" for i in range(n)],
        clusters=None,
        tokens=tokens,
        labels=[rng.integers(0, task.n_outputs, len(ids)) for ids in tokens],
        windows=[pieces(len(ids), 1022, 256) for ids in tokens],
        tokeniser=tokeniser,
    )


if __name__ == "__main__":
    main()
