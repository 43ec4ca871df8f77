"""How fast this device is with the very model that will run, and the token budget that suits it."""

from __future__ import annotations

import contextlib
import itertools
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hubtools.specs.files import write_atomic
from hubtools.specs.hashing import digest
from hubtools.specs.recipe import Recipe
from hubtools.training.arithmetic import Flops, activations_of, squares
from hubtools.training.batches import BucketedBatches, micro_batches
from hubtools.training.device import Execution
from hubtools.training.encoding import Encoded
from hubtools.training.loss import Loss
from hubtools.training.predict import autocast, predict

Clock = Callable[[], float]
# Shares of free memory that may be asked for, and of speed that a doubled budget must add.
USABLE, WORTH = 0.85, 0.03
SMALLEST, LARGEST = 512, 131_072
# Larger batches leave a processor's cache and were slower wherever they were tried.
LARGEST_ON_CPU = 4096
REALISTIC_LENGTH = 350


@dataclass(frozen=True)
class Speed:
    """Operations per second that were reached, the slowest and the fastest of the rounds.

    Attributes:
        training: (low, high) in optimiser steps; None where nothing was trained.
        reading: (low, high) in prediction.
    """

    training: tuple[float, float] | None
    reading: tuple[float, float]


def window_lengths(split: Encoded, recipe: Recipe | None = None) -> list[np.ndarray]:
    """Tokens of the windows of each protein, special ones included; with a recipe, as many as a training step reads."""
    special = split.tokeniser.n_special
    found = [np.array([piece.stop - piece.start + special for piece in windows]) for windows in split.windows]
    if recipe is None or split.problem.per_residue:
        return found
    return [lengths[: recipe.window.train_windows] for lengths in found]


def of_proteins(split: Encoded, rows: list[int]) -> list[int]:
    """The proteins that rows of a split read, each once."""
    return rows if split.pairs is None else list(dict.fromkeys(split.pairs[rows].ravel().tolist()))


def measure(
    model: Any,
    split: Encoded,
    loss: Loss,
    recipe: Recipe,
    execution: Execution,
    flops: Flops,
    *,
    trains: bool,
    seed: int = 1,
    seconds: float = 4.0,
    clock: Clock = time.perf_counter,
) -> Speed:
    """Speed in real optimiser steps and in prediction, on effective batches of the task's own proteins.

    The model is changed: take one that is thrown away.

    Args:
        model, loss, recipe, execution: as in training.
        split: training split.
        flops: of the model.
        trains: whether training steps are wanted.
        seed: of the order of batches.
        seconds: for each of the two; at least three batches are measured.
        clock: time in seconds.
    """
    bf16 = execution.bf16(recipe.precision)
    order = BucketedBatches(split.row_lengths, recipe.batch_size, recipe.bucket, seed)
    tokens = window_lengths(split, recipe)

    def work(rows: list[int], count: Callable[[float, float], float]) -> float:
        lengths = np.concatenate([tokens[protein] for protein in of_proteins(split, rows)])
        return count(float(lengths.sum()), squares(lengths))

    training = None
    if trains:
        step = _stepper(model, split, loss, recipe, execution, bf16)
        training = _rates(order, step, lambda rows: work(rows, flops.training), execution, seconds, clock)

    def read(rows: list[int]) -> None:
        part = _subset(split, rows)
        predict(model, part, loss, token_budget=execution.token_budget, device=execution.device, bf16=bf16)

    # Prediction is sorted by length, so a sample of several batches at once is nearer to it.
    batches = list(order)
    many = [list(itertools.chain.from_iterable(batches[i : i + 4])) for i in range(0, len(batches), 4)]
    reading = _rates(many, read, lambda rows: work(rows, flops.reading), execution, seconds / 2, clock)
    return Speed(training, reading)


def _rates(
    batches: Any,
    run: Callable[[list[int]], None],
    work: Callable[[list[int]], float],
    execution: Execution,
    seconds: float,
    clock: Clock,
) -> tuple[float, float]:
    """Operations per second: of the slower and of the faster half of what was measured."""
    endless: Iterator[list[int]] = itertools.chain.from_iterable(itertools.repeat(batches))
    run(next(endless))  # The first call allocates and chooses kernels.
    done: list[tuple[float, float]] = []
    started = clock()
    while len(done) < 4 or (clock() - started < seconds and len(done) < 64):
        rows = next(endless)
        before = clock()
        run(rows)
        if execution.device.type == "cuda":
            torch.cuda.synchronize()
        done.append((work(rows), clock() - before))
    halves = [done[0::2], done[1::2]]
    rates = [sum(w for w, _ in half) / max(sum(s for _, s in half), 1e-9) for half in halves]
    return min(rates), max(rates)


def _stepper(
    model: Any, split: Encoded, loss: Loss, recipe: Recipe, execution: Execution, bf16: bool
) -> Callable[[list[int]], None]:
    """One optimiser step on an effective batch, as in full fine-tuning."""
    trained = [p for p in model.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(trained, lr=1e-6, fused=execution.device.type in {"cpu", "cuda"})
    rng = np.random.default_rng(0)

    def step(rows: list[int]) -> None:
        model.train()
        windows = recipe.window.train_windows
        for batch in micro_batches(split, rows, execution.token_budget, train_windows=windows, rng=rng):
            moved = batch.to(execution.device)
            with autocast(execution.device, bf16):
                logits = model(**moved.inputs).logits
            if "protein" not in moved.inputs:
                logits = logits[moved.inputs["residue_mask"]]
            (loss.total(logits.float(), moved.labels) / max(loss.denominator(moved.labels), 1e-12)).backward()
        torch.nn.utils.clip_grad_norm_(trained, recipe.max_grad_norm)
        optimiser.step()
        optimiser.zero_grad()

    return step


def _subset(split: Encoded, rows: list[int]) -> Encoded:
    """Some rows of a split; of pairs their proteins alone."""
    if split.pairs is not None:
        split, rows = split.alone, of_proteins(split, rows)

    def take(values: list[Any]) -> list[Any]:
        return [values[i] for i in rows]

    return replace(
        split,
        ids=take(split.ids),
        clusters=None if split.clusters is None else take(split.clusters),
        tokens=take(split.tokens),
        labels=take(split.labels),
        windows=take(split.windows),
    )


def free_memory(device: torch.device) -> int | None:
    """Bytes that are free on a device; None where the system does not say."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return None


def best_budget(
    seconds_per_token: Callable[[int], float], bytes_needed: Callable[[int], int], free: int | None, largest: int
) -> int:
    """The smallest token budget that is within a few per cent of the fastest.

    Budgets are doubled until speed stops improving or memory would pass most of what is free.

    Args:
        seconds_per_token: measures a budget.
        bytes_needed: memory of a budget.
        free: bytes, if known.
        largest: budget that is tried.
    """
    best, fastest, budget = SMALLEST, seconds_per_token(SMALLEST), SMALLEST * 2
    while budget <= largest and (free is None or bytes_needed(budget) <= USABLE * free):
        found = seconds_per_token(budget)
        if found > fastest * (1 - WORTH):
            break
        best, fastest, budget = budget, found, budget * 2
    return best


def settle_budget(
    model: Any, recipe: Recipe, execution: Execution, cache: Path, *, clock: Clock = time.perf_counter
) -> Execution:
    """The execution with the budget that suits device and model; measured once, then remembered.

    Neither weights nor random numbers are changed, and no result depends on the budget.

    Args:
        model: encoder with head, on its device, with the weights trained that will be.
        recipe: precision and adaptation.
        execution: device.
        cache: folder where what was found is kept.
        clock: time in seconds.
    """
    trains, bf16 = recipe.adaptation in {"full", "adapter"}, execution.bf16(recipe.precision)
    shape = [f"{tuple(p.shape)} {p.requires_grad}" for p in model.parameters()]
    key = {
        "device": execution.device_name, "threads": torch.get_num_threads(), "shape": shape, "bf16": bf16,
        "trains": trains, "checkpointing": execution.gradient_checkpointing, "torch": torch.__version__,
        "attention": getattr(model.encoder.config, "_attn_implementation", None),
    }  # fmt: skip
    file = cache / "budgets" / f"{digest(key)}.json"
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        return replace(execution, token_budget=int(json.loads(file.read_text())["token_budget"]))
    kept = activations_of(model, trains=trains, bf16=bf16, checkpointing=execution.gradient_checkpointing)
    largest = LARGEST_ON_CPU if execution.device.type == "cpu" else LARGEST
    training = model.training
    model.train(trains)
    devices = [execution.device] if execution.device.type == "cuda" else []
    try:
        with torch.random.fork_rng(devices=devices):
            budget = best_budget(
                lambda budget: _seconds_per_token(model, budget, execution, trains, bf16, clock),
                lambda budget: kept.bytes(budget, REALISTIC_LENGTH),
                free_memory(execution.device),
                largest,
            )
    finally:
        model.train(training)
        model.zero_grad(set_to_none=True)
    write_atomic(file, json.dumps({"token_budget": budget, "device": execution.device_name}))
    return replace(execution, token_budget=budget)


def _seconds_per_token(model: Any, budget: int, execution: Execution, trains: bool, bf16: bool, clock: Clock) -> float:
    """The fastest of three passes over a batch of rows of a usual length."""
    length = min(REALISTIC_LENGTH, budget)
    ids = torch.full((max(1, budget // length), length), 5, device=execution.device)
    times = []
    for _ in range(3):
        started = clock()
        with torch.set_grad_enabled(trains), autocast(execution.device, bf16):
            out = model.encoder(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state
        if trains:
            out.float().sum().backward()
        if execution.device.type == "cuda":
            torch.cuda.synchronize()
        times.append(clock() - started)
    return min(times) / ids.numel()
