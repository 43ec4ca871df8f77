"""What planned runs will take: proteins, tokens, operations, time, memory and disk, before hours are spent."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hubtools.models import ResidueTokeniser, build_model
from hubtools.runs.plan import PlannedRun
from hubtools.runs.session import Session
from hubtools.specs.recipe import Recipe
from hubtools.training.arithmetic import Flops, Memory, activations_of, blocks, count_flops, squares
from hubtools.training.calibration import USABLE, Speed, free_memory, measure, settle_budget, window_lengths
from hubtools.training.encoding import Encoded, effective_window, encode, varying_positions
from hubtools.training.loss import loss_for

# Shares of a device's peak that training reaches, from unfused code to well fused kernels.
ASSUMED_UTILISATION = (0.2, 0.5)
# The least and the most of something.
Span = tuple[float, float]


@dataclass(frozen=True)
class Device:
    """A device that is not here: what its maker states.

    Attributes:
        flops: operations per second.
        memory: bytes.
    """

    flops: float
    memory: int


@dataclass(frozen=True)
class Workload:
    """What a run computes, as (least, most): early stopping may end it after ``patience + 1`` epochs.

    Attributes:
        proteins: rows of the training split.
        tokens_per_epoch: that training reads, special ones included.
        epochs, steps: of training.
        training_flops, reading_flops: operations of training steps and of prediction.
        largest_batch: (tokens, length) of the largest padded batch.
    """

    proteins: int
    tokens_per_epoch: int
    epochs: tuple[int, int]
    steps: tuple[int, int]
    training_flops: Span
    reading_flops: Span
    largest_batch: tuple[int, int]


@dataclass(frozen=True)
class RunEstimate:
    """The estimate of one run; ``memory`` and what follows is None for a baseline, which is small.

    Attributes:
        title: of the run.
        note: what is not estimated, or why there is less to do.
        seconds: (low, high).
        fits: whether the memory is there; None where the system does not say.
        disk: bytes that stay, and bytes while it runs.
        budget: tokens of a padded batch.
        advice: what would make it fit.
    """

    title: str
    note: str = ""
    workload: Workload | None = None
    seconds: Span = (0.0, 0.0)
    memory: Memory | None = None
    free: int | None = None
    fits: bool | None = None
    disk: tuple[int, int] = (0, 0)
    budget: int = 0
    advice: str = ""

    def plain(self) -> dict[str, Any]:
        """For JSON."""
        total = self.memory.total if self.memory else None
        return {**asdict(self), "memory_total": total}


def workload(splits: dict[str, Encoded], recipe: Recipe, flops: Flops, token_budget: int) -> Workload:
    """What a recipe computes on encoded splits. Pairs of a batch may share proteins: their training is an upper bound."""
    train = splits["train"]
    lengths = window_lengths(train, recipe if recipe.adaptation != "probe" else None)
    rows = range(len(train)) if train.pairs is None else train.pairs.ravel().tolist()
    probe = recipe.adaptation == "probe"
    read = [lengths[i] for i in (range(len(train.tokens)) if probe else rows)]
    tokens, squared = _sums(read)
    last = recipe.epochs
    epochs = (last if recipe.patience is None else min(recipe.patience + 1, last), last)
    per_epoch = -(-len(train) // recipe.batch_size)
    others = {name: _sums(window_lengths(split)) for name, split in splits.items() if name != "train"}
    once = sum(flops.reading(*sums) for sums in others.values())
    if probe:
        # Training and validation are read once, and the tests; validation's heads need no encoder.
        reading = (once + flops.reading(tokens, squared),) * 2
        training = (0.0, 0.0)
    else:
        validation = flops.reading(*others["validation"])
        reading = (once + epochs[0] * validation, once + epochs[1] * validation)
        step = flops.training(tokens, squared)
        training = (epochs[0] * step, epochs[1] * step)
    longest = int(max(row.max() for row in read))
    unit = max(len(row) * int(row.max()) for row in lengths) if not train.problem.per_residue else longest
    if train.pairs is not None:
        unit *= 2
    whole = sum(sorted((int(row.sum()) for row in read), reverse=True)[: recipe.batch_size])
    largest = max(unit, min(token_budget, max(whole, longest)))
    return Workload(
        len(train), int(tokens), epochs, (epochs[0] * per_epoch, epochs[1] * per_epoch), training, reading,
        (largest, longest),
    )  # fmt: skip


def _sums(rows: list[np.ndarray]) -> tuple[float, float]:
    flat = np.concatenate(rows)
    return float(flat.sum()), squares(flat)


def times(work: Workload, speed: Speed) -> Span:
    """Seconds on the encoder: least work at the best speed to most work at the worst."""
    low, high = (work.reading_flops[i] / speed.reading[1 - i] for i in (0, 1))
    if speed.training is not None:
        low += work.training_flops[0] / speed.training[1]
        high += work.training_flops[1] / speed.training[0]
    return low, high


def assumed(device: Device) -> Speed:
    """The speed of a device that is not here, by an assumed utilisation."""
    low, high = (share * device.flops for share in ASSUMED_UTILISATION)
    return Speed((low, high), (low, high))


def mark_trained(model: Any, recipe: Recipe) -> None:
    """Say of each weight whether the recipe trains it."""
    if recipe.adaptation == "probe":
        model.encoder.requires_grad_(False)
    elif recipe.freeze_layers:
        stack = blocks(model.encoder)
        above = {id(p) for block in stack[recipe.freeze_layers :] for p in block.parameters()}
        for parameter in model.encoder.parameters():
            # A norm after the last layer has one dimension.
            parameter.requires_grad_(id(parameter) in above)


class Estimator:
    """Estimates runs one after another; what was measured on a checkpoint, task and recipe serves all its seeds."""

    def __init__(self, session: Session, device: Device | None, say: Callable[[str], None]) -> None:
        self.session, self.device, self.say = session, device, say
        self._known: dict[str, RunEstimate] = {}

    def estimate(self, run: PlannedRun) -> RunEstimate:
        """The estimate of a run.

        Raises:
            UserError: checkpoint or data are not to be had.
        """
        if run.checkpoint is None:
            return RunEstimate(run.title, "a baseline without a checkpoint: small, not estimated")
        if run.recipe.adaptation not in {"full", "probe"}:
            return RunEstimate(run.title, f"{run.recipe.adaptation} is not estimated")
        key = f"{run.task.hash} {run.checkpoint} {run.recipe.hash} {run.subset}"
        if key not in self._known:
            self.say(f"calibrating {run.task.name} · {run.checkpoint} · {run.recipe.name}")
            self._known[key] = self._measured(run)
        return RunEstimate(**{**vars(self._known[key]), "title": run.title})

    def _measured(self, run: PlannedRun) -> RunEstimate:
        started = time.perf_counter()
        recipe, task, execution = run.recipe, run.task, self.session.execution
        data = self.session.data(task, run.subset)
        assert run.checkpoint is not None
        checkpoint = self.session.checkpoint(run.checkpoint)
        tokeniser = ResidueTokeniser.from_checkpoint(checkpoint)
        window = effective_window(recipe.window, checkpoint.config, tokeniser.n_special)
        pool = None
        if recipe.head.pooling == "mutations":
            pool = varying_positions({name: split["sequence"][:] for name, split in data.splits.items()}, task.name)
        splits = {name: encode(split, task, tokeniser, window, pool) for name, split in data.splits.items()}
        model: Any = build_model(checkpoint, task, recipe, tokeniser, run.seed, pool)
        mark_trained(model, recipe)
        flops, trains, bf16 = count_flops(model), recipe.adaptation == "full", execution.bf16(recipe.precision)
        resident = 0
        if self.device is None:
            if execution.device.type == "cpu":
                import hubtools.training.fit  # noqa: F401  Its libraries take memory too.

                resident = max(resident_memory() - Memory.of(model, 0, trains=False).weights, 0)
            model.to(execution.device)
            if execution.auto_budget:
                execution = settle_budget(model, recipe, execution, self.session.cache.root)
        checkpointing = execution.gradient_checkpointing
        model.train(trains)
        kept = activations_of(model, trains=trains, bf16=bf16, checkpointing=checkpointing)
        work = workload(splits, recipe, flops, execution.token_budget)
        memory = Memory.of(model, kept.bytes(*work.largest_batch), trains=trains, process=resident)
        # Before calibration takes its own.
        free = self.device.memory if self.device else free_memory(execution.device)
        setup = time.perf_counter() - started
        if self.device is None:
            loss = loss_for(splits["train"], task.n_outputs, recipe.class_weights)
            if trains and checkpointing:
                network = getattr(model, "model", model)
                network.gradient_checkpointing_enable()
            speed = measure(model, splits["train"], loss, recipe, execution, flops, trains=trains)
        else:
            speed = assumed(self.device)
        low, high = times(work, speed)
        fits = None if free is None else memory.total - resident <= USABLE * free
        weights = sum(p.numel() * p.element_size() for p in model.parameters())
        # A checkpoint for going on holds weights and the optimiser's moments; the best and the last are kept.
        running = weights + (2 * (weights + memory.optimiser) if trains else 0)
        return RunEstimate(
            run.title, "" if trains else "the heads' training is not in it", work, (low + setup, high + setup), memory,
            free, fits, (weights, running), execution.token_budget, "" if fits is not False else _advice(recipe, checkpointing),
        )  # fmt: skip


def _advice(recipe: Recipe, checkpointing: bool) -> str:
    ways = [] if checkpointing or recipe.adaptation == "probe" else ["--gradient-checkpointing"]
    ways.append("a smaller --token-budget")
    return ", ".join(ways) + ("" if recipe.adaptation == "probe" else ", --recipe probe")


def resident_memory() -> int:
    """Bytes of this process now; 0 where the system does not say."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")
