"""The frozen probe: embeddings once, then a head on them."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from hubtools.evaluation.predictions import Predictions
from hubtools.models.modeling_protein_task import ProteinTaskModel, combine
from hubtools.training.batches import micro_batches
from hubtools.training.device import Execution
from hubtools.training.encoding import Encoded, counted
from hubtools.training.head import apply, fit_head
from hubtools.training.job import Fitted, Job
from hubtools.training.predict import autocast, of_rows, protein_means, protein_sums
from hubtools.training.progress import bar

# Feature tables above this many bytes live in a file that is mapped, not in memory.
IN_MEMORY = 2 * 1024**3


class PairTable:
    """Features of pairs, made when they are asked for from a table of proteins: behaves as a (pairs, width) array."""

    def __init__(self, proteins: np.ndarray, pairs: np.ndarray) -> None:
        self.proteins, self.pairs = torch.from_numpy(proteins), torch.from_numpy(pairs)
        self.shape = (len(pairs), combine(self.proteins[:1], self.proteins[:1]).shape[1])

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, rows: Any) -> np.ndarray:
        first, second = self.pairs[rows].T
        return combine(self.proteins[first], self.proteins[second]).numpy()


@dataclass(frozen=True)
class Features:
    """Embeddings of one split: a row for each protein or pair, or for each residue whose label counts.

    Attributes:
        table: (rows, width) float32, by protein, then position.
        labels: label of each row.
        owners, positions: protein or pair of each row, and its 0-based residue where per residue.
    """

    table: np.ndarray | PairTable
    labels: np.ndarray
    owners: np.ndarray
    positions: np.ndarray | None
    tokens: int


@torch.no_grad()
def embed(model: ProteinTaskModel, split: Encoded, execution: Execution, bf16: bool, file: Path, name: str) -> Features:
    """Run the encoder once over a split."""
    device, budget = execution.device, execution.token_budget
    model.eval()
    if split.pairs is not None:
        progress, read = bar(f"embedding {name}", int(split.lengths.sum()), unit=" tokens", scale=True), []

        def note(tokens: int) -> None:
            read.append(tokens)
            progress.update(tokens)

        means = protein_means(model, split, budget, device, bf16, note)
        progress.close()
        rows = np.arange(len(split))
        return Features(PairTable(means, split.pairs), np.stack(split.labels), rows, None, sum(read))
    if split.problem.per_residue:
        keep = [counted(label) if np.ndim(label) == 1 else counted(label).any(1) for label in split.labels]
        sizes = np.array([int(mask.sum()) for mask in keep])
        positions = np.concatenate([np.flatnonzero(mask) for mask in keep])
        labels = np.concatenate([label[mask] for label, mask in zip(split.labels, keep, strict=True)])
    else:
        sizes, positions, labels = np.ones(len(split), dtype=int), None, np.stack(split.labels)
    first = np.r_[0, np.cumsum(sizes)]
    table = _table((int(first[-1]), model.encoder.config.hidden_size), file)
    tokens = 0
    progress = bar(f"embedding {name}", int(split.lengths.sum()), unit=" residues", scale=True)
    for batch in micro_batches(split, range(len(split)), budget):
        mask = batch.inputs["residue_mask"]
        if positions is not None:
            moved = batch.to(device).inputs
            with autocast(device, bf16):
                hidden = model.residue_representations(moved["input_ids"], moved["attention_mask"])
            rows = hidden[moved["residue_mask"]].float().cpu().numpy()
            assert batch.positions is not None
            for protein in np.unique(batch.proteins):
                here = batch.proteins == protein
                wanted = keep[protein][batch.positions[here]]
                within = np.cumsum(keep[protein])[batch.positions[here]] - 1
                table[first[protein] + within[wanted]] = rows[here][wanted]
        else:
            with autocast(device, bf16):
                sums, counts = protein_sums(model, batch, budget, device)
            table[batch.proteins] = (sums / counts.unsqueeze(-1)).float().cpu().numpy()
        tokens += batch.tokens
        progress.update(int(mask.sum()))
    progress.close()
    return Features(table, labels, np.repeat(np.arange(len(split)), sizes), positions, tokens)


def _table(shape: tuple[int, int], file: Path) -> np.ndarray:
    if shape[0] * shape[1] * 4 <= IN_MEMORY:
        return np.empty(shape, dtype=np.float32)
    file.parent.mkdir(parents=True, exist_ok=True)
    return np.lib.format.open_memmap(file, mode="w+", dtype=np.float32, shape=shape)


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
    tables = {
        name: embed(model, split, execution, bf16, work / f"{name}.npy", name)
        for name, split in (("train", train), ("validation", validation))
    }
    fitting, checking = tables["train"], tables["validation"]
    # Features of pairs are three times as wide, and are not in memory before they are asked for.
    block = {} if train.pairs is None else {"rows": 8192}
    mean, std = _moments(fitting.table, **block)
    head = Standardised(model.head, mean, np.where(std > 1e-6, std, 1.0)).to(device)

    def validate(module: Any) -> Predictions:
        scores = loss.to_scores(apply(module, checking.table, device, **block))
        return of_rows(validation, checking.owners, checking.positions, checking.labels, scores)

    fitted = fit_head(head, fitting.table, fitting.labels, fitting.owners, validate, job)
    # The encoder has read validation once; it need not again.
    fitted.validation = validate(head)
    head.fold()
    fitted.tokens, fitted.seconds = fitting.tokens, time.perf_counter() - started
    for name in tables:
        (work / f"{name}.npy").unlink(missing_ok=True)
    return fitted


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
