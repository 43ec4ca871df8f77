#!/usr/bin/env python3
"""What bench costs beside the computation: a step of its loop, and a run of a probe in a process that is warm.

usage: python benchmarks/speed/overhead.py [steps | runs] [--shapes tiny 8M] [--rounds 5] [--out FILE]

Steps are held against a plain hand-written loop on the same pieces. Both train the same model on the same micro-batches, cut before the clock starts for the plain loop; bench's loop cuts them
itself, in its other thread, draws orders, keeps the schedule and counts. transformers' Trainer runs the same pieces as a
third, for which its own work of a step is all that is counted.

Runs are those of one plan: probes of the checkpoint that bench ships on a few small tasks, several seeds each, whose embeddings are
kept already. What a run computes is its heads, its predictions, scores and bootstrap; what it takes on top is everything else, from
its claim to its record. The first run of a task also reads its data, and proves alignment and batches for all of them.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from contextlib import closing
from pathlib import Path
from statistics import median
from typing import Any

import measuring
import numpy as np
import torch
from torch.utils.data import Dataset
from transformers import EsmConfig, EsmModel, Trainer, TrainingArguments
from transformers.trainer_callback import PrinterCallback

import hubtools
from hubtools.common.telling import bar
from hubtools.models import ResidueTokeniser, resolve_checkpoint
from hubtools.models.task_model import bench_model
from hubtools.runs import steps
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
    parser.add_argument("what", nargs="?", choices=("steps", "runs"), default="steps")
    parser.add_argument("--shapes", nargs="+", choices=SHAPES, default=["tiny", "8M"])
    parser.add_argument("--steps", type=int, default=4, help="optimiser steps a turn (default 4)")
    parser.add_argument("--batch", type=int, default=4, help="proteins of a step (default 4)")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    if given.what == "runs":
        with tempfile.TemporaryDirectory() as scratch:
            warm_runs(given, Path(scratch))
        return
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


TASKS, SEEDS, PROTEINS = 4, 5, 100
# What a run computes, by the names under which its steps call it.
COMPUTING = ("fit_probe", "predict_probe", "score_and_resample", "choose_thresholds")


def warm_runs(given: argparse.Namespace, folder: Path) -> None:
    """Time runs of one plan, and what of each is computing."""
    tasks = [small_task(folder, number) for number in range(TASKS)]
    planned = hubtools.plan("embedded", tasks, "probe", seeds=range(1, SEEDS + 1))
    computed: dict[str, list[float]] = {"seconds": [], "cpu_seconds": []}
    for name in COMPUTING:
        setattr(steps, name, timed(getattr(steps, name), computed))
    how = hubtools.ExecutionOptions(device="cpu", threads=given.threads)
    seen: dict[str, dict[str, list[float]]] = {"first of a task": {}, "another": {}}
    for turn in range(given.rounds + 1):
        for name, record in runs_of(planned, folder, how, computed).items():
            # The first turn computes the embeddings.
            for key, values in record.items() if turn else ():
                seen[name].setdefault(key, []).extend(values)
    rows = []
    for name, found in seen.items():
        top = [whole - part for whole, part in zip(found["seconds"], found["computing"], strict=True)]
        top_cpu = [whole - part for whole, part in zip(found["cpu"], found["computing_cpu"], strict=True)]
        found |= {"on_top": top, "on_top_cpu": top_cpu}
        measures = [median(found[key]) for key in ("seconds", "computing", "on_top", "on_top_cpu")]
        rows.append([f"{name} ({len(top)})", *(f"{value:.3f}" for value in measures), f"{max(top):.3f}"])
    columns = ["run", "seconds", "computing", "on top", "on top, CPU", "most on top"]
    measuring.report("A run in a warm process", columns, rows, given, seen)


def small_task(folder: Path, number: int) -> str:
    """The file of a task of a hundred short proteins."""
    rng = np.random.default_rng(number)
    rows = ["id,sequence,label,set"]
    for protein in range(PROTEINS):
        sequence = rng.choice(measuring.LETTERS, int(rng.integers(30, 80))).tobytes().decode()
        part = ("train", "train", "train", "validation", "test")[protein // 2 % 5]
        rows.append(f"p{protein},{sequence},{('other', 'active')[protein % 2]},{part}")
    (folder / f"small-{number}.csv").write_text("\n".join(rows) + "\n")
    task = folder / f"small-{number}.yaml"
    splits = "".join(f"    {part}: {{where: {{set: {part}}}}}\n" for part in ("train", "validation", "test"))
    task.write_text(
        f"name: small-{number}\nversion: 1\ntitle: Small\nproblem: sequence-classification\nsummary: Made up.\n"
        f"data:\n  source: file\n  files: [{{path: small-{number}.csv}}]\n  columns: {{id: id}}\n  splits:\n{splits}"
        "labels: [other, active]\nmetrics: {primary: f1, also: [accuracy, auroc], positive: active}\n"
        "licence: CC0-1.0\ncitation: none\n"
    )
    return str(task)


def timed(function: Any, spent: dict[str, list[float]]) -> Any:
    """The function, whose time is added to a list."""

    def call(*arguments: Any, **options: Any) -> Any:
        started, cpu = time.perf_counter(), time.process_time()
        try:
            return function(*arguments, **options)
        finally:
            spent["seconds"].append(time.perf_counter() - started)
            spent["cpu_seconds"].append(time.process_time() - cpu)

    return call


def runs_of(
    planned: Any, folder: Path, how: Any, computed: dict[str, list[float]]
) -> dict[str, dict[str, list[float]]]:
    """Do a plan in a session of its own; what each run took, the first of each task and the others apart."""
    seen: dict[str, dict[str, list[float]]] = {"first of a task": {}, "another": {}}
    met: set[str] = set()
    marks: list[tuple[float, float]] = []

    def watch(event: hubtools.RunEvent) -> None:
        if event.begins:
            for spent in computed.values():
                spent.clear()
            marks.append((time.perf_counter(), time.process_time()))
        elif event.outcome is not None:
            started, cpu = marks[-1]
            kind = "another" if event.run.task.name in met else "first of a task"
            met.add(event.run.task.name)
            took = {
                "seconds": time.perf_counter() - started,
                "cpu": time.process_time() - cpu,
                "computing": sum(computed["seconds"]),
                "computing_cpu": sum(computed["cpu_seconds"]),
            }
            for key, value in took.items():
                seen[kind].setdefault(key, []).append(value)

    os.environ["BENCH_CACHE"] = str(folder / "cache")
    done = hubtools.run_plan(planned, folder / "runs", how, force=True, on_event=watch)
    if done.problems:
        raise SystemExit("\n".join(done.problems))
    return seen


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
