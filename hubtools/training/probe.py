"""The frozen probe: embeddings once, then a head on them."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import torch
from torch import nn

from hubtools.evaluation.predictions import Predictions
from hubtools.models.modeling_protein_task import ProteinTaskModel
from hubtools.training.embedding import PairTable, embed
from hubtools.training.encoding import Encoded
from hubtools.training.head import apply, fit_head
from hubtools.training.job import Fitted, Job
from hubtools.training.loss import Loss
from hubtools.training.predict import of_rows


class Standardised(nn.Module):
    """A head behind fixed standardisation of its input, which can be folded into its first layer."""

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, head: nn.Sequential, mean: np.ndarray, std: np.ndarray) -> None:
        super().__init__()
        self.head = head
        self.register_buffer("mean", torch.from_numpy(mean.astype(np.float32)))
        self.register_buffer("std", torch.from_numpy(std.astype(np.float32)))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Logits of (n, width) features."""
        return self.head((features - self.mean) / self.std)

    @torch.no_grad()
    def fold(self) -> None:
        """Move the standardisation into the first linear layer, so that the head reads plain embeddings."""
        first = next(m for m in self.head if isinstance(m, nn.Linear))
        first.weight.div_(self.std)
        first.bias.sub_(first.weight @ self.mean)
        self.mean.zero_()
        self.std.fill_(1)


def fit_probe(model: ProteinTaskModel, train: Encoded, validation: Encoded, job: Job) -> Fitted:
    """Train the head of a model whose encoder stays as it is; arguments as in :func:`hubtools.training.fit.fit`."""
    started = time.perf_counter()
    execution, loss, work = job.execution, job.loss, job.work
    bf16, device = execution.bf16(job.recipe.precision), execution.device
    layer = model.encoder.config.num_hidden_layers
    embedded = {
        name: embed(model, split, execution, bf16, work / f"{name}.npy", name, [layer], kept=job.embeddings)
        for name, split in (("train", train), ("validation", validation))
    }
    fitting, checking = embedded["train"], embedded["validation"]
    features, unseen = fitting.tables[layer], checking.tables[layer]
    # Features of pairs are three times as wide, and are not in memory before they are asked for.
    block = {} if train.pairs is None else {"rows": 8192}
    mean, std = _moments(features, **block)
    head = Standardised(model.head, mean, np.where(std > 1e-6, std, 1.0)).to(device)

    def validate(module: Any) -> Predictions:
        scores = loss.to_scores(apply(module, unseen, device, **block))
        return of_rows(validation, checking.owners, checking.positions, checking.labels, scores)

    fitted = fit_head(head, features, fitting.labels, fitting.owners, validate, job)
    # The encoder has read validation once; it need not again.
    fitted.validation = validate(head)
    head.fold()
    fitted.tokens, fitted.seconds = fitting.tokens, time.perf_counter() - started
    for file in work.glob("*.npy"):
        file.unlink()
    return fitted


def predict_probe(model: ProteinTaskModel, split: Encoded, loss: Loss, job: Job, name: str) -> Predictions:
    """Predictions of a split by a fitted probe: as :func:`hubtools.training.predict.predict` from embeddings.

    Args:
        model: with the fitted head, the standardisation folded into it.
        split: encoded split.
        loss: turns logits into probabilities or values.
        job: as in fitting.
        name: of the split, for the progress bar.
    """
    execution = job.execution
    layer = model.encoder.config.num_hidden_layers if model.config.layer is None else model.config.layer
    bf16, file = execution.bf16(job.recipe.precision), job.work / f"{name}.npy"
    embedded = embed(model, split, execution, bf16, file, name, [layer], kept=job.embeddings)
    table, rows = embedded.tables[layer], 65_536 if split.pairs is None else 8192
    model.eval()
    with torch.no_grad():
        blocks = (np.ascontiguousarray(table[start : start + rows]) for start in range(0, len(table), rows))
        logits = [model.head(torch.from_numpy(block).to(execution.device)).float().cpu().numpy() for block in blocks]
    scores = loss.to_scores(np.concatenate(logits))
    return of_rows(split, embedded.owners, embedded.positions, embedded.labels, scores)


def _moments(table: np.ndarray | PairTable, rows: int = 262_144) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each column in float64, in blocks."""
    total = np.zeros(table.shape[1])
    squares = np.zeros(table.shape[1])
    for start in range(0, len(table), rows):
        block = table[start : start + rows].astype(np.float64)
        total += block.sum(0)
        squares += (block**2).sum(0)
    mean = total / len(table)
    return mean, np.sqrt(np.maximum(squares / len(table) - mean**2, 0))
