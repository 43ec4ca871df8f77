"""What a run computes, by arithmetic on its encoded splits: tokens, steps, floating-point operations, batches; and what is estimated of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from hubtools.evaluation.statistics.power import Power
from hubtools.runs.plan import PlannedRun
from hubtools.specs.recipe import Recipe
from hubtools.training.collation import collation_of
from hubtools.training.compute.device import Execution
from hubtools.training.compute.operations import Flops, Memory, squares
from hubtools.training.compute.speed import Span, Speed, window_lengths
from hubtools.training.encoding import Encoded

# Shares of a device's peak that training reaches, from unfused code to well fused kernels.
ASSUMED_UTILISATION = (0.2, 0.5)


@dataclass(frozen=True)
class StatedDevice:
    """A device that is not here: what its maker states.

    Attributes:
        flops: operations per second.
        memory: bytes.
    """

    flops: float
    memory: int

    @property
    def speed(self) -> Speed:
        """By an assumed utilisation."""
        low, high = (share * self.flops for share in ASSUMED_UTILISATION)
        return Speed((low, high), (low, high))


@dataclass(frozen=True)
class Workload:
    """What a run computes, as (least, most): early stopping may end it after ``patience + 1`` epochs.

    Attributes:
        proteins: rows of the training split; wild types where nothing is trained.
        tokens_per_epoch: that training reads, special ones included; of a probe, what its one pass over the training
            split reads; of variants, all.
        epochs, steps: of training; of a probe's heads.
        training_flops, reading_flops: operations of training steps and of prediction.
        largest_batch: (tokens, length) of the largest batch.
    """

    proteins: int
    tokens_per_epoch: int
    epochs: tuple[int, int]
    steps: tuple[int, int]
    training_flops: Span
    reading_flops: Span
    largest_batch: tuple[int, int]

    def seconds(self, speed: Speed) -> Span:
        """On the encoder: from least work at the best speed to most work at the worst."""
        low, high = (self.reading_flops[i] / speed.reading[1 - i] for i in (0, 1))
        if speed.training is not None:
            low += self.training_flops[0] / speed.training[1]
            high += self.training_flops[1] / speed.training[0]
        return low, high


def fine_tuning(splits: Mapping[str, Encoded], recipe: Recipe, flops: Flops, token_budget: int) -> Workload:
    """Of training an encoder, or an adapter in it; of pairs that share proteins within a batch an upper bound."""
    train = splits["train"]
    lengths = window_lengths(train, recipe)
    rows = range(len(train)) if train.pairs is None else train.pairs.ravel().tolist()
    read = [lengths[row] for row in rows]
    step = flops.training(*_sums(read))
    others = {name: flops.reading(*_sums(window_lengths(split))) for name, split in splits.items() if name != "train"}
    once, validation = sum(others.values()), others["validation"]
    epochs = _epochs(recipe)
    return Workload(
        proteins=len(train),
        tokens_per_epoch=int(_sums(read)[0]),
        epochs=epochs,
        steps=_steps(epochs, len(train), recipe),
        training_flops=(epochs[0] * step, epochs[1] * step),
        # Validation after each epoch, and again with the best weights.
        reading_flops=(once + epochs[0] * validation, once + epochs[1] * validation),
        largest_batch=_largest(train, recipe, lengths, read, token_budget),
    )


def probing(
    splits: Mapping[str, Encoded], unread: Mapping[str, Sequence[int]], recipe: Recipe, flops: Flops, token_budget: int
) -> Workload:
    """Of a frozen encoder that reads some proteins of each split once.

    Args:
        splits: all of the run's.
        unread: of each split, the proteins that are to be read.
        recipe, flops, token_budget: as for the run.
    """
    train = splits["train"]
    lengths = {name: window_lengths(split) for name, split in splits.items()}
    read = {name: [lengths[name][protein] for protein in proteins] for name, proteins in unread.items()}
    every = [row for rows in read.values() for row in rows]
    longest = max((int(row.max()) for row in every), default=0)
    epochs = _epochs(recipe) if recipe.head.solver == "gradient" else (0, 0)
    work = flops.reading(*_sums(every))
    return Workload(
        proteins=len(train),
        tokens_per_epoch=int(_sums(read["train"])[0]),
        epochs=epochs,
        steps=_steps(epochs, len(train), recipe),
        training_flops=(0.0, 0.0),
        reading_flops=(work, work),
        largest_batch=(min(max(longest, token_budget), int(_sums(every)[0])), longest),
    )


def scoring(lengths: np.ndarray, wild_types: int, flops: Flops, token_budget: int) -> Workload:
    """Of variants that a language model scores, from the tokens of each row that it reads."""
    work, longest = flops.reading(float(lengths.sum()), squares(lengths)), int(lengths.max())
    return Workload(
        proteins=wild_types,
        tokens_per_epoch=int(lengths.sum()),
        epochs=(0, 0),
        steps=(0, 0),
        training_flops=(0.0, 0.0),
        reading_flops=(work, work),
        largest_batch=(min(max(longest, token_budget), int(lengths.sum())), longest),
    )


def _epochs(recipe: Recipe) -> tuple[int, int]:
    last = recipe.epochs
    return (last if recipe.patience is None else min(recipe.patience + 1, last), last)


def _steps(epochs: tuple[int, int], rows: int, recipe: Recipe) -> tuple[int, int]:
    per_epoch = -(-rows // recipe.batch_size)
    return epochs[0] * per_epoch, epochs[1] * per_epoch


def _largest(
    train: Encoded, recipe: Recipe, lengths: Sequence[np.ndarray], read: Sequence[np.ndarray], token_budget: int
) -> tuple[int, int]:
    """Tokens of the largest batch of training, and of its longest row: what cannot be cut, or what the budget allows."""
    longest = int(max(row.max() for row in read))
    unit = longest
    if collation_of(train.problem).together:
        # All windows of a protein, and both proteins of a pair, are in memory at once.
        unit = max(int(row.sum()) if train.packed else len(row) * int(row.max()) for row in lengths)
        unit *= 1 if train.pairs is None else 2
    per_row = 1 if train.pairs is None else 2
    whole = sum(sorted((int(row.sum()) for row in read), reverse=True)[: per_row * recipe.batch_size])
    return max(unit, min(token_budget, max(whole, longest))), longest


def _sums(rows: Sequence[np.ndarray]) -> tuple[float, float]:
    if not rows:
        return 0.0, 0.0
    flat = np.concatenate(rows)
    return float(flat.sum()), squares(flat)


def advice_for(run: PlannedRun, execution: Execution) -> list[str]:
    """What takes less memory, the least change first."""
    adaptation = run.recipe.adaptation
    ways = []
    if adaptation in {"full", "adapter"} and not execution.gradient_checkpointing:
        ways.append("--gradient-checkpointing")
    ways.append(f"a --token-budget below {execution.token_budget:,}")
    if adaptation == "full" and "adapter" in run.recipe.head.what.adaptations:
        ways.append("--recipe lora")
    if adaptation in {"full", "adapter"}:
        ways.append("--recipe probe")
    return ways


@dataclass(frozen=True)
class RunEstimate:
    """The estimate of one run; where ``workload`` is None there is nothing to do, or little, as ``note`` says.

    Attributes:
        title: of the run.
        note: what is special about it.
        workload: what is computed.
        seconds: (low, high).
        memory: on the device.
        free: bytes of memory that are there; None where the system does not say.
        fits: whether memory and disk suffice; None where that is not known.
        disk: bytes that stay, and bytes while it runs; kept embeddings included.
        free_disk: bytes that are there.
        budget: tokens of a batch.
        passes: of a Jacobian, how often the model reads a protein or a window; 0 of all else.
        cached: of a probe, proteins whose embeddings are kept already or will be by then, and all that it asks for.
        advice: what would make it fit.
        power: what the test set could show with as many seeds as are planned; None where nothing can be said.
    """

    title: str
    note: str = ""
    workload: Workload | None = None
    seconds: Span = (0.0, 0.0)
    memory: Memory | None = None
    free: int | None = None
    fits: bool | None = None
    disk: tuple[int, int] = (0, 0)
    free_disk: int = 0
    budget: int = 0
    passes: int = 0
    cached: tuple[int, int] | None = None
    advice: str = ""
    power: Power | None = None

    def with_trials(self, trials: int, recipe: Recipe) -> RunEstimate:
        """The same of a run that has trials of its recipe before it, each taken to be as long as the run.

        What is tried may be slower or faster than the recipe is; later trials of a probe find the embeddings of earlier ones.
        """
        low, high = self.seconds
        least = low if recipe.adaptation == "probe" else (1 + trials) * low
        note = f"{trials} trials first" + (f", {self.note}" if self.note else "")
        return replace(self, seconds=(least, (1 + trials) * high), note=note)

    def plain(self) -> dict[str, Any]:
        """For JSON."""
        total, span = (self.memory.total, self.memory.span) if self.memory else (None, None)
        return {**asdict(self), "memory_total": total, "memory_range": span}
