"""Scores of a split: sorted by length, within a token budget, every residue once."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from hubtools.common.telling import bar, unless_it_fails
from hubtools.evaluation.predictions import Predictions
from hubtools.models.modeling_protein_task import per_protein
from hubtools.training.batches import Batch, micro_batches, rows_between
from hubtools.training.compute.distributed import divided, gathered
from hubtools.training.compute.memory import within_memory
from hubtools.training.encoding import Encoded, counted
from hubtools.training.loss import Loss


def autocast(device: torch.device, bf16: bool) -> Any:
    """The context in which models run: bfloat16 matrix products where asked, weights stay float32."""
    return torch.autocast(device.type, torch.bfloat16) if bf16 else contextlib.nullcontext()


@torch.no_grad()
def predict(
    model: Any,
    split: Encoded,
    loss: Loss,
    *,
    token_budget: int,
    device: torch.device,
    bf16: bool = False,
    shown: str | None = None,
) -> Predictions:
    """Predictions for one split. Of pairs, each distinct protein is read once.

    The processes of a run read a part of the rows each, and each has all predictions at the end.

    Args:
        model: called as :class:`hubtools.models.modeling_protein_task.ProteinTaskModel`.
        split: encoded split.
        loss: turns logits into probabilities or values.
        token_budget: tokens of a batch.
        device: where the model is.
        bf16: autocast.
        shown: name of the split in a progress bar; None for no bar.
    """
    model.eval()
    if split.pairs is not None:
        means = protein_means(model, split, token_budget, device, bf16, shown)
        return assemble(
            split, loss.to_scores(_pair_logits(model, means, split.pairs, device, bf16)), np.arange(len(split)), None
        )
    rows = divided(split.row_lengths).tolist()

    def read(budget: int) -> list[tuple[np.ndarray, np.ndarray, np.ndarray | None]]:
        parts = []
        # One context for all batches: weights are brought to half precision once.
        with unless_it_fails(progress), autocast(device, bf16):
            for batch in micro_batches(split, rows, budget):
                out = batch_logits(model, batch, budget, device)
                parts.append((out.float().cpu().numpy(), batch.proteins, batch.positions))
                progress.update(batch.tokens)
        return parts

    with contextlib.closing(_bar(split, rows, shown)) as progress:
        found = within_memory(read, token_budget, device, "prediction")
    logits, owners, positions = zip(*gathered(found), strict=True)
    scores = loss.to_scores(np.concatenate(logits))
    at = None if positions[0] is None else np.concatenate([place for place in positions if place is not None])
    return assemble(split, scores, np.concatenate(owners), at)


def batch_logits(model: Any, batch: Batch, token_budget: int, device: torch.device) -> torch.Tensor:
    """Logits of a batch's labels: (core residues, outputs) or (proteins, outputs)."""
    if "protein" in batch.inputs:
        if model.reads_residues:
            return model.from_residues(*protein_residues(model, batch, token_budget, device))
        return model.from_sums(*protein_sums(model, batch, token_budget, device))
    inputs = batch.to(device).inputs
    return model(**inputs).logits[inputs["residue_mask"]]


def protein_sums(
    model: Any, batch: Batch, token_budget: int, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """What a batch's rows add to their proteins: (proteins, width) and (proteins,).

    A single protein of more windows than the budget holds is read piece by piece.
    """
    inputs = batch.to(device).inputs
    parts = [model.row_sums(*rows) for rows in _within(inputs, batch.tokens, token_budget)]
    sums, counts = (torch.cat(part) for part in zip(*parts, strict=True))
    return per_protein(sums, counts, inputs["protein"], inputs["n_proteins"])


def protein_residues(
    model: Any, batch: Batch, token_budget: int, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor, int]:
    """All residues of a batch's proteins: (residues, width), the protein of each, and the number of proteins."""
    inputs = batch.to(device).inputs
    parts = [model.row_residues(*rows) for rows in _within(inputs, batch.tokens, token_budget)]
    return torch.cat(parts), inputs["protein"].repeat_interleave(inputs["residue_mask"].sum(1)), inputs["n_proteins"]


def _within(inputs: dict[str, Any], tokens: int, token_budget: int) -> Iterator[tuple[torch.Tensor, ...]]:
    """Ids, attention and residue mask of a batch, as many rows at a time as the budget holds."""
    rows, width = inputs["input_ids"].shape
    # A packed batch has no padding, and may be wider than the budget.
    step = rows if tokens <= token_budget else max(1, token_budget // width)
    for start in range(0, rows, step):
        yield rows_between(inputs, start, start + step)


@torch.no_grad()
def protein_means(
    model: Any, split: Encoded, token_budget: int, device: torch.device, bf16: bool, shown: str | None = None
) -> np.ndarray:
    """The mean over residues of each distinct protein of a pair task's split: (proteins, width) float32."""
    alone = split.alone
    proteins = divided(alone.lengths).tolist()

    def read(budget: int) -> list[tuple[np.ndarray, np.ndarray]]:
        parts = []
        with unless_it_fails(progress):
            for batch in micro_batches(alone, proteins, budget):
                with autocast(device, bf16):
                    sums, counts = protein_sums(model, batch, budget, device)
                parts.append((batch.proteins, (sums / counts.unsqueeze(-1)).float().cpu().numpy()))
                progress.update(batch.tokens)
        return parts

    with contextlib.closing(_bar(alone, proteins, shown)) as progress:
        found = within_memory(read, token_budget, device, "prediction")
    read_by, parts = zip(*gathered(found), strict=True)
    means = np.concatenate(parts)
    return means[np.argsort(np.concatenate(read_by))]


def _bar(split: Encoded, proteins: list[int], shown: str | None) -> Any:
    """A progress bar over all tokens of some proteins, windows that overlap and special tokens included."""
    special = split.tokeniser.n_special
    total = sum(piece.stop - piece.start + special for protein in proteins for piece in split.windows[protein])
    return bar(f"predicting {shown}", total, unit=" tokens", scale=True, hidden=shown is None)


def _pair_logits(
    model: Any, means: np.ndarray, pairs: np.ndarray, device: torch.device, bf16: bool, block: int = 8192
) -> np.ndarray:
    """Logits of pairs from the means of their proteins, in blocks: (pairs, outputs)."""
    table, parts = torch.from_numpy(means).to(device), []
    for start in range(0, len(pairs), block):
        with autocast(device, bf16):
            out = model.from_means(table, torch.from_numpy(pairs[start : start + block]).to(device))
        parts.append(out.float().cpu().numpy())
    return np.concatenate(parts)


def assemble(split: Encoded, scores: np.ndarray, owners: np.ndarray, positions: np.ndarray | None) -> Predictions:
    """Put the scores of all proteins, pairs, or residues, in the order of the data; leave out what has no label."""
    order = np.argsort(owners, kind="stable") if positions is None else np.lexsort((positions, owners))
    owners, scores = owners[order], scores[order]
    if positions is None:
        return of_rows(split, owners, None, np.stack([split.labels[p] for p in owners]), scores)
    truth = np.concatenate(split.labels)
    keep = counted(truth) if truth.ndim == 1 else counted(truth).any(axis=1)
    return of_rows(split, owners[keep], positions[order][keep], truth[keep], scores[keep])


def of_rows(
    split: Encoded, owners: np.ndarray, positions: np.ndarray | None, truth: np.ndarray, scores: np.ndarray
) -> Predictions:
    """Predictions of labelled rows: the protein or pair (index in the split) and 0-based residue of each."""
    # Of a pair, both proteins count: (rows, 2).
    proteins = owners if split.pairs is None else split.pairs[owners]
    clusters = None if split.clusters is None else np.array(split.clusters, dtype=object)[proteins]
    return Predictions(
        problem=split.problem,
        ids=np.array(split.ids, dtype=object)[owners],
        positions=None if positions is None else (positions + 1).astype(np.int32),
        clusters=clusters,
        truth=truth,
        scores=scores.astype(np.float32),
        proteins=None if split.names is None else np.array(split.names, dtype=object)[proteins],
    )
