"""What every way of fitting is told, and what it reports."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from hubtools.evaluation.predictions import Predictions
from hubtools.specs.recipe import Recipe
from hubtools.specs.task import Task
from hubtools.training.compute.device import Execution
from hubtools.training.frozen.embedding_store import KeptEmbeddings
from hubtools.training.loss import Loss

# Takes what a line of training.jsonl holds, or a part of it, with the optimiser steps so far as ``step``.
Told = Callable[[Mapping[str, Any]], None]


@dataclass(frozen=True)
class Job:
    """One fit.

    Attributes:
        task, recipe, loss, seed: what determines the result.
        execution: device, token budget, gradient checkpointing.
        work: folder for what only the fit needs; an interrupted one goes on from there.
        log: ``training.jsonl``, one line an epoch.
        embeddings: those of the encoder as it is, from before and for later; None to keep none.
        told: told each line of the log, and losses between; None where nobody listens.
    """

    task: Task
    recipe: Recipe
    loss: Loss
    seed: int
    execution: Execution
    work: Path
    log: Path
    embeddings: KeptEmbeddings | None = None
    told: Told | None = None


@dataclass
class Fitted:
    """What training did.

    Attributes:
        epochs_run, best_epoch, steps, tokens, seconds: of training; tokens include special ones, not padding.
        choices: values chosen on validation besides the epoch.
        validation: predictions of the fitted model on validation, where fitting has them already.
        logits: (n, outputs) of the same rows, unscaled; of a probe.
        together: number of seeds that were trained in one computation; ``seconds`` is then this one's share.
        token_budget: what fitted in memory, where batches were cut by one; it may be lower than asked for.
    """

    epochs_run: int
    best_epoch: int | None
    steps: int
    tokens: int
    seconds: float
    choices: dict[str, Any] = field(default_factory=dict)
    validation: Predictions | None = None
    logits: np.ndarray | None = None
    together: int = 1
    token_budget: int | None = None
