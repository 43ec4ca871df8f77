"""Embeddings: the encoder runs once over a split, and what it says of each protein or residue is kept as a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hubtools.models.modeling_protein_task import ProteinTaskModel, combine, layers, per_protein
from hubtools.specs.errors import UserError
from hubtools.specs.problem import Problem
from hubtools.training.batches import Batch, micro_batches
from hubtools.training.device import Execution
from hubtools.training.encoding import Encoded, counted
from hubtools.training.predict import autocast
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
        tables: encoder layer -> (rows, width) float32, by protein, then position.
        labels: label of each row.
        owners, positions: protein or pair of each row, and its 0-based residue where per residue.
        tokens: that the encoder read, special ones included.
    """

    tables: dict[int, np.ndarray | PairTable]
    labels: np.ndarray
    owners: np.ndarray
    positions: np.ndarray | None
    tokens: int


def chosen_layers(wanted: str | Sequence[int], n_layers: int) -> list[int]:
    """Indices of layers, 0 being the embedding and ``n_layers`` the last; negative ones count from the end.

    Raises:
        UserError: there is no such layer.
    """
    if wanted == "last":
        return [n_layers]
    if wanted == "all":
        return list(range(n_layers + 1))
    found = [layer + n_layers + 1 if layer < 0 else layer for layer in map(int, wanted)]
    if wrong := [layer for layer in found if not 0 <= layer <= n_layers]:
        raise UserError(
            f"probe.layers: there is no layer {wrong[0]}; the checkpoint has 0 (the embedding) to {n_layers}",
            fix="Or use all, or last.",
        )
    return list(dict.fromkeys(found))


@torch.no_grad()
def embed(
    model: ProteinTaskModel,
    split: Encoded,
    execution: Execution,
    bf16: bool,
    file: Path,
    name: str,
    wanted: Sequence[int],
    per_residue: bool = False,
) -> Features:
    """Run the encoder once over a split.

    Args:
        model: its encoder is used, as it is.
        split: encoded split.
        execution: device and token budget.
        bf16: autocast.
        file: where tables too large for memory go; the layer is added to its name.
        name: of the split, for the progress bar.
        wanted: layers, as :func:`chosen_layers` gives them.
        per_residue: of a per-protein task too, rows are all residues of all proteins; ``owners`` is then the protein
            of each row, and ``labels`` stay those of the proteins.
    """
    if per_residue and not split.problem.per_residue:
        blank = [np.zeros(len(tokens), dtype=np.int64) for tokens in split.tokens]
        residues = replace(split, problem=Problem.RESIDUE_CLASSIFICATION, labels=blank)
        return replace(embed(model, residues, execution, bf16, file, name, wanted), labels=np.stack(split.labels))
    model.eval()
    device = execution.device
    positions: np.ndarray | None = None
    proteins = split if split.pairs is None else split.alone
    if split.problem.per_residue:
        keep = [counted(label) if np.ndim(label) == 1 else counted(label).any(1) for label in split.labels]
        sizes = np.array([int(mask.sum()) for mask in keep])
        positions = np.concatenate([np.flatnonzero(mask) for mask in keep])
        labels = np.concatenate([label[mask] for label, mask in zip(split.labels, keep, strict=True)])
    else:
        sizes, labels = np.ones(len(proteins), dtype=int), np.stack(split.labels)
    first = np.r_[0, np.cumsum(sizes)]
    shape = (int(first[-1]), model.encoder.config.hidden_size)
    tables = {layer: _table(shape, file.with_name(f"{file.stem}-{layer}.npy")) for layer in wanted}
    tokens = 0
    progress = bar(f"embedding {name}", int(proteins.lengths.sum()), unit=" residues", scale=True)
    for batch in micro_batches(proteins, range(len(proteins)), execution.token_budget):
        with autocast(device, bf16):
            found = _means(model, batch, execution) if positions is None else _residues(model, batch, execution)
        for layer, table in tables.items():
            rows = found[layer].float().cpu().numpy()
            if positions is None:
                table[batch.proteins] = rows
                continue
            assert batch.positions is not None
            for protein in np.unique(batch.proteins):
                here = batch.proteins == protein
                of_it = keep[protein][batch.positions[here]]
                within = np.cumsum(keep[protein])[batch.positions[here]] - 1
                table[first[protein] + within[of_it]] = rows[here][of_it]
        tokens += batch.tokens
        progress.update(int(batch.inputs["residue_mask"].sum()))
    progress.close()
    if split.pairs is not None:
        paired: dict[int, Any] = {layer: PairTable(table, split.pairs) for layer, table in tables.items()}
        return Features(paired, labels, np.arange(len(split)), None, tokens)
    return Features(dict(tables), labels, np.repeat(np.arange(len(split)), sizes), positions, tokens)


def _residues(model: ProteinTaskModel, batch: Batch, execution: Execution) -> tuple[torch.Tensor, ...]:
    """Every layer's representation of the residues whose place is in the batch: (residues, width)."""
    inputs = batch.to(execution.device).inputs
    return tuple(
        hidden[inputs["residue_mask"]]
        for hidden in layers(model.encoder, inputs["input_ids"], inputs["attention_mask"])
    )


def _means(model: ProteinTaskModel, batch: Batch, execution: Execution) -> list[torch.Tensor]:
    """Every layer's mean over the residues of the batch's proteins: (proteins, width) float32.

    A single protein of more windows than the budget holds is read piece by piece.
    """
    inputs = batch.to(execution.device).inputs
    rows, width = inputs["input_ids"].shape
    step = max(1, execution.token_budget // width)
    sums: list[list[torch.Tensor]] = []
    for start in range(0, rows, step):
        ids, attention, mask = (
            inputs[key][start : start + step] for key in ("input_ids", "attention_mask", "residue_mask")
        )
        with torch.autocast(execution.device.type, enabled=False):
            weight = mask.float()
        part = []
        for hidden in layers(model.encoder, ids, attention):
            # A sum over a thousand residues is no place for bfloat16, also where the encoder runs in it.
            with torch.autocast(execution.device.type, enabled=False):
                part.append(torch.einsum("rtw,rt->rw", hidden.float(), weight))
        sums.append(part)
    counts = inputs["residue_mask"].sum(1).float()
    means = []
    for layer in range(len(sums[0])):
        total, number = per_protein(
            torch.cat([part[layer] for part in sums]), counts, inputs["protein"], inputs["n_proteins"]
        )
        means.append(total / number.unsqueeze(-1))
    return means


def _table(shape: tuple[int, int], file: Path) -> np.ndarray:
    if shape[0] * shape[1] * 4 <= IN_MEMORY:
        return np.empty(shape, dtype=np.float32)
    file.parent.mkdir(parents=True, exist_ok=True)
    return np.lib.format.open_memmap(file, mode="w+", dtype=np.float32, shape=shape)
