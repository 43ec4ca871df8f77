"""Dropout whose masks are a function of seed, step, protein, residue and place in the model, and of nothing else.

A generator's numbers depend on what was drawn before, and so on how memory cuts a batch, whether it is packed, which process
computes it, and where a fit was interrupted. Here each mask is a hash of what it is for (a counter-based generator; Salmon
et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011), so that none of these changes a weight.

What has masks of this kind: our head, a native head, and adapters. The encoder's own dropout is off (``encoder_dropout``): the
authors of families chose otherwise each (ESM 0, BERT and T5 0.1), and it draws inside kernels, where no counter reaches.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from hubtools.models.modeling_protein_task import LightAttention
from hubtools.training.batches import Batch


@dataclass(frozen=True)
class Counters:
    """By which number everything of a piece is drawn, int32.

    Attributes:
        tokens: (rows, tokens), padding included.
        real: (real tokens,) of them, row after row.
        units: (proteins,) or (pairs,), as the logits of the piece are ordered.
        residues: (residues,) those that light attention reads, in its order; empty where labels are of residues.
        lengths: (rows,) real tokens of each row, which are no counters.
    """

    tokens: torch.Tensor
    real: torch.Tensor
    units: torch.Tensor
    residues: torch.Tensor
    lengths: torch.Tensor

    @classmethod
    def of(cls, batch: Batch, prefix: int, seed: int) -> Counters:
        """Of a piece that is still on the CPU: a GPU would have to be waited for.

        Args:
            batch: the piece.
            prefix: special tokens before the first residue.
            seed: of the fit.
        """
        # By numpy: batches are made in a thread of their own, where torch would start a second team of threads, which wait
        # for work by spinning and take the processor from the first.
        start = mixed(np.array([wrapped(seed)], dtype=np.int32))
        proteins, first = (column.astype(np.int32)[:, None] for column in batch.origins.T)
        place = np.arange(batch.lengths.max(), dtype=np.int32)[None]
        tokens = mixed(mixed(start ^ proteins) ^ (place + first - np.int32(prefix)))
        # No residue has the number of a whole protein.
        units = mixed(mixed(start ^ batch.proteins.astype(np.int32)) ^ np.int32(-(2**31)))
        residues = tokens[:0, 0]
        if (protein := batch.inputs.get("protein")) is not None:
            mask = batch.inputs["residue_mask"].numpy()
            residues = tokens[mask][np.argsort(np.repeat(protein.numpy(), mask.sum(1)), kind="stable")]
        real = tokens[batch.inputs["attention_mask"].numpy().astype(bool)]
        parts = (tokens, real, units, residues, batch.lengths)
        return cls(*(torch.from_numpy(np.ascontiguousarray(part)) for part in parts))

    def at(self, step: int, device: torch.device) -> Counters:
        """Those of an optimiser step, where it is computed."""
        drawn_by = int(mixed(np.array([wrapped(step)], dtype=np.int32))[0])

        def drawn(part: torch.Tensor) -> torch.Tensor:
            return mixed(part.to(device, non_blocking=True) ^ drawn_by)

        lengths = self.lengths.to(device, non_blocking=True)
        return Counters(drawn(self.tokens), drawn(self.real), drawn(self.units), drawn(self.residues), lengths)

    def pinned(self) -> Counters:
        """The same in page-locked memory."""
        parts = (self.tokens, self.real, self.units, self.residues, self.lengths)
        return Counters(*(part.pin_memory() for part in parts))

    def of_proteins(self, shape: torch.Size) -> torch.Tensor:
        """For what a head of proteins or pairs computes, however deep in it: of each of these, or of what it reads of them."""
        found = next((part for part in (self.units, self.residues) if part.shape == shape), None)
        return self.of_tokens(shape) if found is None else found

    def of_tokens(self, shape: torch.Size) -> torch.Tensor:
        """For values of tokens, however the model has laid them out.

        (rows, tokens), packed, flat, the first of each row, or of all rows of one length (rows of it, length).
        """
        n = shape.numel()
        for found in (self.tokens, self.real):
            if n == found.numel():
                return found.reshape(shape)
        if shape == self.tokens.shape[:1]:
            return self.tokens[:, 0]
        if len(shape) == 2 and int((rows := self.lengths == shape[1]).sum()) == shape[0]:
            return self.tokens[rows, : shape[1]]
        raise RuntimeError(f"dropout of values of shape {tuple(shape)}, which are not one for each of the tokens")


class CountedDropout(nn.Module):
    """Dropout by counters.

    Args:
        p: share that is dropped.
        place: name of the layer in its model.
        counters: gives those of the piece that is being computed, one for each value but the last dimension.
    """

    def __init__(self, p: float, place: str, counters: Callable[[torch.Size], torch.Tensor]) -> None:
        super().__init__()
        self.p, self.counters = p, counters
        self.place = zlib.crc32(place.encode())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The values that are kept, made larger by as much as the others are missed."""
        if not self.training:
            return x
        kept = keep(self.counters(x.shape[:-1]), x.shape[-1], self.p, self.place)
        return x * kept.to(x.dtype).div_(1 - self.p)


class Dropouts:
    """The dropouts of a model that is trained, from :meth:`attach` to :meth:`close`.

    Args:
        model: encoder with head; where weights are divided, the copy that is trained.
        seed: of the run.
        prefix: special tokens before the first residue.
        encoder: whether the encoder drops out by itself, as its configuration says. Memory then has a say.
    """

    def __init__(self, model: Any, seed: int, prefix: int, *, encoder: bool = False) -> None:
        self.model, self.seed, self.prefix, self.encoder = model, seed, prefix, encoder
        self.counters: Counters | None = None
        self.replaced: list[tuple[nn.Module, str, nn.Module]] = []

    def attach(self) -> None:
        """From here on head and adapters drop out by counters."""
        encoder = _path(self.model, self.model.encoder)
        for parent, name, path, layer in list(_dropouts(self.model)):
            inside = path.startswith(encoder)
            if layer.p == 0 or (inside and "lora_dropout" not in path):
                continue
            setattr(parent, name, CountedDropout(layer.p, path, self._kind(parent, inside)))
            self.replaced.append((parent, name, layer))

    def close(self) -> None:
        """The model as it was."""
        for parent, name, before in self.replaced:
            setattr(parent, name, before)
        self.replaced = []

    def train(self) -> None:
        """Training mode; of the encoder only what is ours, and what recomputes activations."""
        from peft.tuners.tuners_utils import BaseTunerLayer
        from transformers.modeling_layers import GradientCheckpointingLayer

        self.model.train()
        if not self.encoder:
            for module in self.model.encoder.modules():
                module.training = isinstance(module, (CountedDropout, BaseTunerLayer, GradientCheckpointingLayer))

    def counted(self, batch: Batch) -> Counters | None:
        """What a piece, still on the CPU, is drawn by; None where nothing is dropped."""
        return Counters.of(batch, self.prefix, self.seed) if self.replaced else None

    def begin(self, counters: Counters | None, step: int, device: torch.device) -> None:
        """A piece is about to be computed, so many steps being behind the fit."""
        self.counters = counters and counters.at(step, device)

    def _kind(self, parent: nn.Module, inside: bool) -> Callable[[torch.Size], torch.Tensor]:
        """What a dropout drops from: the values of tokens, of whole proteins or pairs, or of the residues that are pooled."""
        if isinstance(parent, LightAttention):
            return lambda shape: self._now.residues
        if inside or not hasattr(self.model, "head") or self.model.config.per_residue:
            return lambda shape: self._now.of_tokens(shape)
        return lambda shape: self._now.of_proteins(shape)

    @property
    def _now(self) -> Counters:
        assert self.counters is not None, "no piece has begun"
        return self.counters


def _dropouts(root: nn.Module) -> Iterator[tuple[nn.Module, str, str, nn.Dropout]]:
    """Every dropout: parent, name in it, path, module."""
    for path, parent in root.named_modules():
        for name, child in parent.named_children():
            if isinstance(child, nn.Dropout):
                yield parent, name, f"{path}.{name}", child


def _path(root: nn.Module, module: nn.Module) -> str:
    """Where a module is in another one, with the dot behind it."""
    return next(path for path, found in root.named_modules() if found is module) + "."


def keep(counters: torch.Tensor, width: int, p: float, place: int) -> torch.Tensor:
    """Which values are kept: (…) int32, width -> (…, width) bool, true in a share of 1 - p.

    Args:
        counters: of what the values belong to.
        width: values of each.
        p: share that is dropped.
        place: of the layer.
    """
    channel = torch.arange(width, device=counters.device, dtype=torch.int32)
    drawn = mixed(counters.unsqueeze(-1) ^ mixed(channel ^ wrapped(place)))
    return drawn >= int(p * 2**32) - 2**31


def mixed(x: Any) -> Any:
    """A hash of int32, of numpy or torch, each bit of which depends on each bit given (lowbias32 by Wellons, 2018)."""
    x = x ^ ((x >> 16) & 0xFFFF)
    x = x * 0x7FEB352D
    x = x ^ ((x >> 15) & 0x1FFFF)
    x = x * (0x846CA68B - 2**32)
    return x ^ ((x >> 16) & 0xFFFF)


def wrapped(value: int) -> int:
    """A number modulo 2**32, as int32 has it."""
    return (value + 2**31) % 2**32 - 2**31
