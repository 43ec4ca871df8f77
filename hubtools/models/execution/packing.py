"""Packing: an encoder reads the real tokens of a padded batch as one row, and gives out what it would have.

Two hooks on the encoder do it: the first takes padded input and packs it, the second puts what comes out back into
padded form. So heads, losses, adapters and the published model file need not know. Nothing of it is in the weights
or in what is saved. Whether an architecture may be packed is not looked up but tested on the very model
(:mod:`hubtools.training.compute.engine`).
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from hubtools.models.execution.attention import NAME, Boundaries, register
from hubtools.models.families import family_of


@dataclass(frozen=True)
class Layout:
    """Where the tokens of a padded batch are.

    Attributes:
        rows, width: of the padded batch.
        lengths: real tokens of each row, which come first in it.
    """

    rows: int
    width: int
    lengths: tuple[int, ...]

    def index(self) -> torch.Tensor:
        """Place of each real token in the flattened batch: (tokens,), on the CPU."""
        starts = np.arange(self.rows) * self.width
        return torch.from_numpy(np.repeat(starts, self.lengths) + self.positions().numpy())

    def positions(self) -> torch.Tensor:
        """Place of each real token in its own sequence, from 0: (tokens,), on the CPU."""
        lengths = np.array(self.lengths)
        return torch.from_numpy(np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths))

    def offsets(self) -> torch.Tensor:
        """Where each sequence begins in the packed row, and where the last ends: (rows + 1,) int32, on the CPU."""
        return torch.from_numpy(np.concatenate([[0], np.cumsum(self.lengths)]).astype(np.int32))


def note_lengths(attention_mask: torch.Tensor, lengths: Sequence[int]) -> torch.Tensor:
    """Write on a mask what it says, so that nobody has to ask a GPU for it."""
    setattr(attention_mask, "lengths", tuple(lengths))  # noqa: B010
    return attention_mask


def lengths_of(attention_mask: torch.Tensor) -> tuple[int, ...]:
    """Real tokens of each row: as noted, else counted, which waits for the device."""
    noted: tuple[int, ...] | None = getattr(attention_mask, "lengths", None)
    return noted if noted is not None else tuple(attention_mask.sum(1).tolist())


class Packing:
    """An encoder that packs, from :meth:`attach` to :meth:`detach`.

    Args:
        encoder: a transformers encoder whose attention goes through ``AttentionInterface``.
        kernel: how attention is computed, a key of :data:`hubtools.models.execution.attention.KERNELS`.
    """

    def __init__(self, encoder: nn.Module, kernel: str) -> None:
        self.encoder: Any = encoder
        self.kernel = kernel
        self.names = list(inspect.signature(self.encoder.forward).parameters)
        self.first_position = family_of(self.encoder.config).first_position(self.encoder.config)
        self.handles: list[Any] = []
        self.under_way: list[tuple[Layout, torch.Tensor]] = []
        self.before: str | None = None

    @staticmethod
    def why_not(encoder: Any) -> str | None:
        """Why an encoder cannot even be tried; None where it can."""
        if "position_ids" not in inspect.signature(encoder.forward).parameters:
            return "it takes no positions"
        return None if hasattr(encoder.config, "_attn_implementation") else "its attention cannot be replaced"

    def attach(self) -> None:
        """From here on the encoder packs."""
        register()
        config = self.encoder.config
        self.before, config._attn_implementation = config._attn_implementation, NAME
        self.handles = [
            self.encoder.register_forward_pre_hook(self._pack, with_kwargs=True),
            # Also after an error, so that nothing of a failed batch is left behind.
            self.encoder.register_forward_hook(self._unpack, with_kwargs=True, always_call=True),
        ]

    def detach(self) -> None:
        """The encoder as it was."""
        for handle in self.handles:
            handle.remove()
        if self.handles:
            self.encoder.config._attn_implementation = self.before
        self.handles, self.under_way = [], []

    def _pack(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        given = {**dict(zip(self.names, args, strict=False)), **kwargs}
        ids = given.pop("input_ids", None)
        mask = given.pop("attention_mask", None)
        if ids is None or given.get("output_attentions"):
            raise RuntimeError("a packed encoder reads input_ids, and shows no attentions")
        rows, width = ids.shape
        layout = Layout(rows, width, (width,) * rows if mask is None else lengths_of(mask))
        index = layout.index().to(ids.device, non_blocking=True)
        self.under_way.append((layout, index))
        given |= {
            "input_ids": ids.reshape(-1).index_select(0, index)[None],
            "position_ids": (layout.positions() + self.first_position).to(ids.device, non_blocking=True)[None],
            "attention_mask": None,
            "boundaries": Boundaries(layout.lengths, layout.offsets().to(ids.device, non_blocking=True)),
            "kernel": self.kernel,
        }
        return (), given

    def _unpack(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> Any:
        layout, index = self.under_way.pop()
        if output is None:
            return None
        output.last_hidden_state = padded(output.last_hidden_state[0], layout, index)
        if output.get("hidden_states") is not None:
            output.hidden_states = tuple(padded(hidden[0], layout, index) for hidden in output.hidden_states)
        if output.get("pooler_output") is not None:
            # It reads the first token of each row.
            output.pooler_output = self.encoder.pooler(output.last_hidden_state)
        return output


def padded(tokens: torch.Tensor, layout: Layout, index: torch.Tensor) -> torch.Tensor:
    """(tokens, width) of a packed row -> (rows, tokens, width), zero where there is padding."""
    if layout.rows * layout.width == len(tokens):
        return tokens.reshape(layout.rows, layout.width, -1)
    empty = tokens.new_zeros(layout.rows * layout.width, tokens.shape[1])
    return empty.index_copy(0, index, tokens).reshape(layout.rows, layout.width, -1)
