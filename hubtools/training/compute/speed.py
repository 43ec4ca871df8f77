"""How fast this device is with the very model that will run, and the token budget that suits it."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from hubtools.common.hashing import digest
from hubtools.models.modeling_protein_task import ProteinTaskModel
from hubtools.specs.recipe import Recipe
from hubtools.training.batches import BucketedBatches
from hubtools.training.collation import collation_of
from hubtools.training.compute import machine
from hubtools.training.compute.device import Execution
from hubtools.training.compute.measured import Choice, kept, shortest
from hubtools.training.compute.operations import Flops, activations_of, squares
from hubtools.training.encoding import Encoded
from hubtools.training.finetune.fit import FairTrainer
from hubtools.training.frozen.embedding import Features, FrozenEncoder, embed, entry_keys, kind_of
from hubtools.training.frozen.embedding_store import EmbeddingSource, KeptEmbeddings
from hubtools.training.frozen.probe import fit_heads
from hubtools.training.job import Job
from hubtools.training.prediction import autocast

Clock = Callable[[], float]
# The least and the most of something.
Span = tuple[float, float]
# Shares of free memory that may be asked for, and of speed that a doubled budget must add.
USABLE, WORTH = 0.85, 0.03
SMALLEST, LARGEST = 512, 131_072
# Larger batches leave a processor's cache and were slower wherever they were tried.
LARGEST_ON_CPU = 4096
REALISTIC_LENGTH = 350
# Of made-up embeddings, to time heads on.
SAMPLE_BYTES = 256 * 2**20


@dataclass(frozen=True)
class Speed:
    """Operations per second that were reached, the slowest and the fastest of the rounds.

    Attributes:
        training: (low, high) in optimiser steps; None where nothing was trained.
        reading: (low, high) in prediction.
    """

    training: Span | None
    reading: Span


def window_lengths(split: Encoded, recipe: Recipe | None = None) -> list[np.ndarray]:
    """Tokens of the windows of each protein, special ones included; with a recipe, as many as a training step reads."""
    special = split.tokeniser.n_special
    found = [np.array([piece.stop - piece.start + special for piece in windows]) for windows in split.windows]
    if recipe is None or not collation_of(split.problem).together:
        return found
    return [lengths[: recipe.window.train_windows] for lengths in found]


def training_speed(
    model: Any,
    split: Encoded,
    job: Job,
    flops: Flops,
    *,
    seconds: float = 4.0,
    clock: Clock = time.perf_counter,
    largest: bool = False,
) -> Span:
    """Operations per second of the very steps of training, on effective batches of the task's own proteins.

    The model is changed: take one that is thrown away.

    Args:
        model, split, job: as in :func:`hubtools.training.finetune.fit.fit`; what the recipe freezes is frozen already.
        flops: of the model.
        seconds, clock: as in :func:`rates`.
        largest: afterwards compute the gradients of the largest batch, too, for what it takes of memory.
    """
    trainer = FairTrainer(model, split, split, job)

    def step(rows: list[int]) -> float:
        effective = trainer.cut(rows)
        trainer.training_step(effective)
        trainer.update()
        lengths = np.concatenate([batch.lengths for batch in effective.batches])
        return flops.training(float(lengths.sum()), squares(lengths))

    with contextlib.closing(trainer.dropouts):
        trainer.dropouts.train()
        found = rates(step, split.row_lengths, job.recipe.batch_size, job.execution.device, seconds, clock)
        if largest:
            whole = trainer.cut(np.argsort(-split.row_lengths, kind="stable")[: job.recipe.batch_size].tolist())
            one = max(range(len(whole.batches)), key=lambda place: whole.batches[place].tokens)
            batch, place, counters = whole.batches[one], whole.places[one], whole.counters[one]
            trainer.gradients(replace(whole, batches=[batch], places=[place], counters=[counters]))
        return found


def reading_speed(
    read: Callable[[Encoded], object],
    split: Encoded,
    recipe: Recipe,
    execution: Execution,
    flops: Flops,
    *,
    seconds: float = 2.0,
    clock: Clock = time.perf_counter,
) -> Span:
    """Operations per second of reading a split, on samples of it.

    Args:
        read: reads a part of the split.
        split: which.
        recipe, execution, flops: how, where, and what it costs.
        seconds, clock: as in :func:`rates`.
    """

    def once(rows: list[int]) -> float:
        part = sample(split, rows)
        read(part)
        lengths = np.concatenate(window_lengths(part))
        return flops.reading(float(lengths.sum()), squares(lengths))

    # What is read is sorted by length, so that several batches at once are nearer to it.
    return rates(once, split.row_lengths, 4 * recipe.batch_size, execution.device, seconds, clock)


def rates(
    run: Callable[[list[int]], float],
    lengths: np.ndarray,
    batch_size: int,
    device: torch.device,
    seconds: float,
    clock: Clock = time.perf_counter,
) -> Span:
    """Operations per second: of the slower and of the faster half of the batches that were tried.

    Where a single row takes long, batches are made smaller, so that a model of any size is measured in a minute or two.

    Args:
        run: computes rows, and returns the operations that this took.
        lengths: of all rows.
        batch_size: rows at once.
        device: waited for.
        seconds: at least four batches are tried, and more until these have passed.
        clock: time in seconds.
    """

    def timed(rows: list[int]) -> tuple[float, float]:
        started = clock()
        work = run(rows)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return work, max(clock() - started, 1e-9)

    usual = [int(np.argsort(lengths, kind="stable")[len(lengths) // 2])]
    run(usual)  # The first call allocates and chooses kernels.
    _, alone = timed(usual)
    rows_at_once = max(1, min(batch_size, int(seconds / 2 / alone)))
    order = BucketedBatches(lengths, rows_at_once, max(1, 8 * batch_size // rows_at_once), seed=1)
    endless = itertools.chain.from_iterable(itertools.repeat(order))
    started = clock()
    done: list[tuple[float, float]] = []
    while len(done) < 4 or (clock() - started < seconds and len(done) < 64):
        done.append(timed(next(endless)))
    done.sort(key=lambda one: one[0] / one[1])
    halves = [done[: len(done) // 2], done[len(done) // 2 :]]
    slow, fast = (sum(work for work, _ in half) / sum(took for _, took in half) for half in halves)
    return slow, fast


def longest_rows(split: Encoded, tokens: int) -> list[int]:
    """The longest rows of a split, as many as fill a batch of so many tokens."""
    order = np.argsort(-split.row_lengths, kind="stable")
    full = int(np.searchsorted(np.cumsum(split.row_lengths[order]), tokens)) + 1
    return order[:full].tolist()


def sample(split: Encoded, rows: Sequence[int]) -> Encoded:
    """Some rows of a split, and the proteins that they are about."""
    proteins, pairs = list(rows), None
    if split.pairs is not None:
        proteins = list(dict.fromkeys(split.pairs[list(rows)].ravel().tolist()))
        place = {protein: index for index, protein in enumerate(proteins)}
        pairs = np.array([[place[a], place[b]] for a, b in split.pairs[list(rows)].tolist()])
    return replace(
        split,
        ids=[split.ids[row] for row in rows],
        labels=[split.labels[row] for row in rows],
        tokens=[split.tokens[protein] for protein in proteins],
        windows=[split.windows[protein] for protein in proteins],
        clusters=None if split.clusters is None else [split.clusters[protein] for protein in proteins],
        names=None if split.names is None else [split.names[protein] for protein in proteins],
        pairs=pairs,
    )


class SyntheticSplit(KeptEmbeddings):
    """Random numbers in place of embeddings, so that heads can be timed without waiting for an encoder.

    Args:
        rows: of each entry, by its key.
        width: of the encoder.
    """

    def __init__(self, rows: Mapping[bytes, int], width: int) -> None:
        super().__init__(None, EmbeddingSource("", "", "", "", "", ""))
        self.sizes, self.width, self.rng = rows, width, np.random.default_rng(0)

    def find(self, kind: str, layer: int, keys: Sequence[bytes]) -> dict[bytes, np.ndarray]:
        """An entry for every key."""
        shapes = {key: (self.sizes[key], self.width) for key in keys}
        return {key: self.rng.standard_normal(shape, dtype=np.float32) for key, shape in shapes.items()}


def heads_seconds(
    model: ProteinTaskModel,
    train: Encoded,
    validation: Encoded,
    job: Job,
    layers: Sequence[int],
    seeds: Sequence[int],
    clock: Clock = time.perf_counter,
) -> Span:
    """Seconds that one epoch of a probe's heads takes, validation included; of ridge heads, all that they take.

    Measured on a sample of both splits in the proportion that they have, with made-up embeddings.

    Args:
        model, train, validation, job: as in :func:`hubtools.training.frozen.probe.fit_probe`.
        layers: that heads read.
        seeds: of the heads that are trained together.
        clock: time in seconds.
    """
    width = model.encoder.config.hidden_size
    by_residue = kind_of(train, model.reads_residues) == "residues"
    each = (float(train.lengths.mean()) if by_residue else 1.0) * width * 4 * len(layers)
    most = max(job.recipe.batch_size, min(8 * job.recipe.batch_size, int(SAMPLE_BYTES / each)))
    share = min(1.0, most / len(train))
    job = replace(job, recipe=job.recipe.model_copy(update={"epochs": 1}))

    def features(split: Encoded, name: str) -> tuple[Encoded, Features]:
        part = sample(split, range(max(2, round(share * len(split)))))
        proteins = part if part.pairs is None else part.alone
        sizes = proteins.lengths.tolist() if by_residue else [1] * len(proteins)
        made = SyntheticSplit(dict(zip(entry_keys(proteins, by_residue), sizes, strict=True)), width)
        file = job.work / f"{name}.npy"
        encoder = FrozenEncoder(model, job.execution, False, layers)
        found = embed(encoder, part, file, name, pooled=model.reads_residues, kept=made)
        return part, found

    (_, fitting), (unseen, checking) = features(train, "train"), features(validation, "validation")
    times = []
    for _ in range(3):
        started = clock()
        fit_heads(model, unseen, fitting, checking, job, seeds)
        times.append((clock() - started) / share)
    # The first one allocates.
    return min(times[1:]), max(times[1:])


def free_memory(device: torch.device) -> int | None:
    """Bytes that are free on a device; None where the system does not say."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return machine.free_memory()


def best_budget(
    seconds_per_token: Callable[[int], Span], bytes_needed: Callable[[int], int], free: int | None, largest: int
) -> Choice:
    """The smallest token budget that is within a few per cent of the fastest.

    Budgets are doubled until speed stops improving or memory would pass most of what is free. Where the two shortest times do not
    agree on whether it improves, the machine is too busy to tell, and the smaller budget is the choice.

    Args:
        seconds_per_token: measures a budget: the two shortest times.
        bytes_needed: memory of a budget.
        free: bytes, if known.
        largest: budget that is tried.
    """
    times, best = {SMALLEST: seconds_per_token(SMALLEST)}, SMALLEST
    steady, budget = True, SMALLEST * 2
    while budget <= largest and (free is None or bytes_needed(budget) <= USABLE * free):
        times[budget] = seconds_per_token(budget)
        improves = {found <= before * (1 - WORTH) for found in times[budget] for before in times[best]}
        if improves != {True}:
            steady = improves == {False}
            break
        best, budget = budget, budget * 2
    return Choice(str(best), {str(budget): pair for budget, pair in times.items()}, steady)


def settle_budget(model: Any, recipe: Recipe, execution: Execution, *, clock: Clock = time.perf_counter) -> Execution:
    """The execution with the budget that suits device and model; measured once, then remembered.

    Neither weights nor random numbers are changed, and no result depends on the budget.

    Args:
        model: encoder with head, on its device, with the weights trained that will be.
        recipe: precision and adaptation.
        execution: device.
        clock: time in seconds.
    """
    trains, bf16 = recipe.adaptation in {"full", "adapter"}, execution.bf16(recipe.precision)
    shape = digest([f"{tuple(p.shape)} {p.requires_grad}" for p in model.parameters()])[:12]
    question = (
        f"token budget {'with' if trains else 'without'} gradient in {'bfloat16' if bf16 else 'float32'}, "
        f"{torch.get_num_threads()} threads, attention {getattr(model.encoder.config, '_attn_implementation', None)}, "
        f"checkpointing {execution.gradient_checkpointing}, weights {shape}"
    )
    found = kept(
        execution.device_name,
        question,
        lambda: _found_budget(model, execution, trains, bf16, clock),
        lambda name: name.isdecimal() and SMALLEST <= int(name) <= max(LARGEST, LARGEST_ON_CPU),
    )
    return replace(execution, token_budget=int(found))


def _found_budget(model: Any, execution: Execution, trains: bool, bf16: bool, clock: Clock) -> Choice:
    needed = activations_of(model, trains=trains, bf16=bf16, checkpointing=execution.gradient_checkpointing)
    training = model.training
    model.train(trains)
    devices = [execution.device] if execution.device.type == "cuda" else []
    try:
        with torch.random.fork_rng(devices=devices):
            return best_budget(
                lambda budget: _seconds_per_token(model, budget, execution, trains, bf16, clock),
                lambda budget: needed.bytes(budget, REALISTIC_LENGTH),
                free_memory(execution.device),
                LARGEST_ON_CPU if execution.device.type == "cpu" else LARGEST,
            )
    finally:
        model.train(training)
        model.zero_grad(set_to_none=True)


def _seconds_per_token(model: Any, budget: int, execution: Execution, trains: bool, bf16: bool, clock: Clock) -> Span:
    """The two shortest passes over a batch of rows of a usual length."""
    length = min(REALISTIC_LENGTH, budget)
    ids = torch.full((max(1, budget // length), length), 5, device=execution.device)

    def once() -> None:
        with torch.set_grad_enabled(trains), autocast(execution.device, bf16):
            out = model.encoder(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state
        if trains:
            out.float().sum().backward()
        if execution.device.type == "cuda":
            torch.cuda.synchronize()

    first, second = shortest(once, clock)
    return first / ids.numel(), second / ids.numel()
