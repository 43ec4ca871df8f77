"""Rows of features with their labels, as heads read them: by whole proteins or pairs, standardised, on the device."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from hubtools.training.frozen.embedding import PairTable

# Of the free memory of a GPU, what a table may take.
SHARE_OF_DEVICE = 0.3


class Scale:
    """Mean and standard deviation of each column of a table; a column that does not vary is left as wide as it is."""

    def __init__(self, table: Any, rows: int = 262_144) -> None:
        total, squares = np.zeros(table.shape[1]), np.zeros(table.shape[1])
        # Features of pairs are three times as wide, and are not in memory before they are asked for.
        rows = 8192 if isinstance(table, PairTable) else rows
        for start in range(0, len(table), rows):
            block = np.asarray(table[start : start + rows]).astype(np.float64)
            total += block.sum(0)
            squares += (block**2).sum(0)
        mean = total / len(table)
        std = np.sqrt(np.maximum(squares / len(table) - mean**2, 0))
        self.mean = torch.from_numpy(mean.astype(np.float32))
        self.std = torch.from_numpy(np.where(std > 1e-6, std, 1.0).astype(np.float32))

    @torch.no_grad()
    def fold_into(self, head: nn.Module) -> None:
        """Move the standardisation into the head, or its first layer that has weights, which then reads plain embeddings."""
        for layer in (head, *head.children()):
            absorb = getattr(layer, "absorb", None)
            if absorb is not None:
                absorb(self.mean, self.std)
                return
            if isinstance(layer, nn.Linear):
                layer.weight.div_(self.std)
                layer.bias.sub_(layer.weight @ self.mean)
                return


class Examples:
    """Feature tables of one split, one for each layer, and the labels of their rows.

    An item is what batches count in: a protein or a pair.

    Args:
        tables: layer -> (rows, …); of PairTable or array type, in memory or mapped from a file.
        labels: of each row; of each item if ``pooled``.
        owners: the item of each row, ascending.
        device: where rows go.
        scales: layer -> by what its rows are standardised; as they are without it.
        pooled: all rows of an item are read together, and it has one label.
    """

    def __init__(
        self,
        tables: Mapping[int, Any],
        labels: np.ndarray,
        owners: np.ndarray,
        device: torch.device,
        scales: Mapping[int, Scale] | None = None,
        pooled: bool = False,
    ) -> None:
        self.device, self.pooled, self.labels = device, pooled, labels
        starts = np.flatnonzero(np.r_[True, owners[1:] != owners[:-1]])
        self.bounds = np.r_[starts, len(owners)]
        self.counts = np.diff(self.bounds)
        self.owner_of_item = owners[starts]
        self.one_each = len(starts) == len(owners)
        self.tables = {layer: _near(table, device) for layer, table in tables.items()}
        self.scales = {
            layer: (scale.mean.to(device), 1 / scale.std.to(device)) for layer, scale in (scales or {}).items()
        }

    def __len__(self) -> int:
        return len(self.counts)

    @property
    def rows(self) -> int:
        """Rows of each table."""
        return int(self.bounds[-1])

    def rows_of(self, items: np.ndarray) -> np.ndarray:
        """The rows of items, item after item."""
        if self.one_each:
            return items
        counts = self.counts[items]
        before = np.cumsum(counts) - counts
        return np.repeat(self.bounds[items] - before, counts) + np.arange(int(counts.sum()))

    def label_rows(self, items: np.ndarray) -> np.ndarray:
        """Where the labels of items are."""
        return self.owner_of_item[items] if self.pooled else self.rows_of(items)

    def read(self, layer: int, rows: np.ndarray | slice) -> torch.Tensor:
        """Features of rows, standardised, on the device."""
        table = self.tables[layer]
        if torch.is_tensor(table):
            if isinstance(rows, slice):
                x = table[rows]
            else:
                x = table.index_select(0, torch.from_numpy(rows).to(table.device))
        else:
            x = torch.from_numpy(np.ascontiguousarray(table[rows]))
        x = x.to(self.device)
        if layer not in self.scales:
            return x
        mean, inverse = self.scales[layer]
        return (x - mean).mul_(inverse)


def _near(table: Any, device: torch.device) -> Any:
    """A table in memory as a tensor, on the GPU where there is room; what is mapped or made on demand stays so."""
    if isinstance(table, PairTable):
        return table
    if device.type != "cuda":
        mapped = isinstance(table, np.memmap) or not table.flags.writeable
        return table if mapped else torch.from_numpy(table)
    free = torch.cuda.mem_get_info(device)[0]
    return torch.from_numpy(np.array(table)).to(device) if table.nbytes < SHARE_OF_DEVICE * free else table
