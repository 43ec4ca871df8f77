"""What training costs, by arithmetic: floating-point operations and bytes, counted on the model itself.

Operations are counted as in Kaplan et al., "Scaling laws for neural language models" (2020), from the shapes of the
linear layers that are really there, so that a gated feed-forward layer counts three matrices and an adapter its two.
Bytes of activations are those that the backward pass keeps: autograd is asked, so that nothing is assumed of an
architecture. Both need no weights: a model on the ``meta`` device, which has shapes only, gives the same numbers.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from hubtools.models.families import family_of
from hubtools.models.four_bits import FourBitLinear
from hubtools.models.layers import depth_of_parameters, encoder_layers

FLOAT32 = 4
# AdamW keeps two moments of each trained weight.
ADAMW_MOMENTS = 2
# Shares of what is said between which the peak is expected: where steps and the largest batch were computed (of probes and full
# fine-tuning on short and long proteins it lay from 5 % below to 19 % above: a process grows with the number of different batches
# that it reads), and where all is counted (up to 20 % above, so far as was seen).
MEASURED, COUNTED = (0.93, 1.2), (0.9, 1.25)
# Tensors of the widest layer's output that are alive beside what is kept: an activation, its gradient, their product.
WORKING_TENSORS = 3


@dataclass(frozen=True)
class Flops:
    """Floating-point operations of a model.

    A row of ``n`` tokens costs ``linear · n + attention · n²``. Recomputation (of attention scores in fused kernels,
    of layers under gradient checkpointing) is not useful work and is not counted.

    Attributes:
        linear, attention: of reading a row.
        linear_training, attention_training: of reading it and of the gradients.
    """

    linear: float
    attention: float
    linear_training: float
    attention_training: float

    def reading(self, tokens: float, squares: float) -> float:
        """Of rows with these sums of lengths and of squared lengths."""
        return self.linear * tokens + self.attention * squares

    def training(self, tokens: float, squares: float) -> float:
        """The same with gradients."""
        return self.linear_training * tokens + self.attention_training * squares


def blocks(encoder: nn.Module) -> list[nn.Module]:
    """The layers of an encoder, lowest first."""
    found = encoder_layers(encoder)
    return [] if found is None else list(found[1])


def count_flops(model: Any) -> Flops:
    """Operations per token and per squared length, from the linear layers that are there and those that are trained.

    A weight that is trained costs its product again for its own gradient. Another goes to the gradient of the layer's
    input, where something below is trained. Attention costs two products of (tokens, tokens) in reading and four in
    the gradients. What a head does once a protein is left out.

    Args:
        model: encoder with head; ``model.encoder`` is the encoder.
    """
    encoder = model.encoder
    # Where layers cannot be found, all of it is taken for one.
    stack = blocks(encoder) or [encoder]
    depths, _ = depth_of_parameters(encoder) or ({}, 0)
    # Whether something below is trained; to begin with, the embeddings.
    reached = any(p.requires_grad and not depths.get(name, 0) for name, p in encoder.named_parameters())
    width = _attention_width(encoder)
    linear = attention = linear_training = attention_training = 0.0
    for block in stack:
        for module in block.modules():
            per_token = _per_token(module)
            linear += per_token
            linear_training += per_token
            trained = any(p.requires_grad for p in _own(module))
            linear_training += per_token * (trained + reached)
            # What follows within the layer, in the order in which modules are listed.
            reached = reached or (trained and per_token > 0)
        attention += 4 * width
        attention_training += 4 * width * (3 if reached else 1)
    for module in _head(model):
        per_token = _per_token(module)
        linear += per_token
        linear_training += per_token * (1 + any(p.requires_grad for p in _own(module)) + reached)
    return Flops(linear, attention, linear_training, attention_training)


def _head(model: Any) -> list[nn.Module]:
    """Modules outside the encoder that read every residue."""
    encoder = {id(module) for module in model.encoder.modules()}
    outside = [module for module in model.modules() if id(module) not in encoder]
    if getattr(model, "per_residue", None) or getattr(model.config, "per_residue", False):
        return outside
    if getattr(model, "reads_residues", False):
        return model.head.each_residue()
    # Of an architecture's own head.
    return [module for module in outside if isinstance(module, nn.Conv1d)] if not hasattr(model, "head") else []


def _per_token(module: nn.Module) -> float:
    """Operations of a linear layer or a convolution on one token."""
    if isinstance(module, nn.Linear):
        return 2.0 * module.in_features * module.out_features
    if isinstance(module, nn.Conv1d):
        return 2.0 * module.in_channels * module.out_channels * module.kernel_size[0] / module.groups
    return 0.0


def _own(module: nn.Module) -> list[nn.Parameter]:
    return list(module.parameters(recurse=False))


def _attention_width(encoder: Any) -> int:
    """Width of all heads together; T5 states that of a head."""
    if (head := getattr(encoder.config, "d_kv", None)) is not None:
        return head * encoder.config.num_heads
    return encoder.config.hidden_size


@dataclass(frozen=True)
class Activations:
    """Bytes that a batch needs beside weights, gradients and optimiser: ``constant + c · length + tokens · (a + b · length)``.

    Attributes:
        constant: whatever the batch (half-precision copies of weights under autocast).
        per_length: of one row's tokens, once for all rows.
        per_token, per_square: kept for the backward pass.
        working: per token, for a moment.
    """

    constant: float
    per_length: float
    per_token: float
    per_square: float
    working: float

    def bytes(self, tokens: float, length: float) -> int:
        """Of a batch of so many tokens in rows of one length."""
        each = self.per_token + self.per_square * length + self.working
        return round(self.constant + self.per_length * length + tokens * each)


@dataclass(frozen=True)
class Memory:
    """Peak memory of a run on its device, in bytes.

    Attributes:
        weights, gradients, optimiser: of the model.
        activations: of the largest batch.
        process: of Python and the libraries, where the device is the processor.
        tables: of embeddings and of the heads that are trained on them, in a probe.
        scoring: of replicates when all is predicted, where the device is the processor.
        sure: shares of the total between which the peak lies.
    """

    weights: int
    gradients: int
    optimiser: int
    activations: int
    process: int = 0
    tables: int = 0
    scoring: int = 0
    sure: tuple[float, float] = COUNTED

    @property
    def total(self) -> int:
        """All of it. Of small activations the allocator gives nothing back before replicates are drawn."""
        model = self.weights + self.gradients + self.optimiser
        return model + self.activations + self.process + self.tables + self.scoring

    @property
    def span(self) -> tuple[int, int]:
        """Between what it will be."""
        low, high = (round(share * self.total) for share in self.sure)
        return low, high

    @classmethod
    def of(cls, model: nn.Module, activations: int, *, trains: bool, process: int = 0) -> Memory:
        """Of a model whose parameters say which of them are trained; gradients and moments have their dtype."""
        weights = sum(p.numel() * p.element_size() for p in _tensors(model))
        trained = sum(p.numel() * p.element_size() for p in model.parameters() if p.requires_grad) if trains else 0
        return cls(weights, trained, ADAMW_MOMENTS * trained, activations, process)


def _tensors(model: nn.Module) -> list[torch.Tensor]:
    return [*model.parameters(), *model.buffers()]


def saved_bytes(model: nn.Module, run: Callable[[], Any]) -> int:
    """Bytes that autograd keeps for the backward pass of what ``run`` computes, the model's own tensors left out."""
    own = {tensor.untyped_storage()._cdata for tensor in _tensors(model)}
    found: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        # Two saved tensors may be views of one memory; it stays alive until the graph is gone.
        if storage._cdata not in own:
            found[storage._cdata] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        result = run()
    total = sum(found.values())
    del result
    return total


def activations_of(
    model: Any, *, trains: bool, bf16: bool = False, checkpointing: bool = False, length: int = 64
) -> Activations:
    """Bytes per token of a model's batches, found by reading four small batches.

    Under gradient checkpointing the inputs of all layers are kept, and what one layer keeps while it is recomputed.

    Args:
        model: encoder with head, on any device, in the mode and with the weights trained that the run will have.
        trains: whether gradients are wanted; reading alone keeps one hidden state a layer for those who ask for layers.
        bf16: autocast.
        checkpointing: whether activations are recomputed.
        length: tokens of the smallest row that is tried, if the model reads rows of twice as many.
    """
    encoder = model.encoder
    if limit := family_of(encoder.config).max_tokens(encoder.config):
        length = min(length, max(1, limit // 2 - 1))
    device = next(encoder.parameters()).device
    hidden, depth = encoder.config.hidden_size, len(blocks(encoder))
    widest = max([hidden, *(m.out_features for m in encoder.modules() if isinstance(m, nn.Linear))])
    working = float(WORKING_TENSORS * widest * FLOAT32)
    # Weights of four bits are made whole for each product, and then rounded to what it is computed in.
    packed = [m.in_features * m.out_features for m in encoder.modules() if isinstance(m, FourBitLinear)]
    whole = float(2 * FLOAT32 * max(packed, default=0))
    if not trains:
        return Activations(whole, 0.0, float((depth + 1) * hidden * FLOAT32), 0.0, working)

    def measured(rows: int, tokens: int) -> int:
        ids = torch.full((rows, tokens), 5, dtype=torch.long, device=device)

        def run() -> Any:
            # There is no autocast for shapes alone: what float32 keeps is an upper bound.
            half = bf16 and device.type != "meta"
            with torch.autocast(device.type, torch.bfloat16) if half else contextlib.nullcontext():
                return encoder(input_ids=ids).last_hidden_state

        return saved_bytes(encoder, run)

    # Deterministic and without a trace: dropout draws, and the run that follows must not notice.
    with torch.random.fork_rng():
        short, long = [(measured(1, n), measured(2, n)) for n in (length, 2 * length)]
    # The second row costs a row's own; what is left of the first is shared by all rows, such as tables of angles.
    row, long_row = short[1] - short[0], long[1] - long[0]
    per_square = max((long_row - 2 * row) / (2 * length**2), 0.0)
    per_token = row / length - per_square * length
    shared, long_shared = short[0] - row, long[0] - long_row
    per_length = max((long_shared - shared) / length, 0.0)
    constant = max(shared - per_length * length, 0.0) + whole
    if checkpointing and depth:
        kept = float(depth * hidden * FLOAT32)
        per_token, per_square = kept + per_token / depth, per_square / depth
    return Activations(constant, per_length, per_token, per_square, working)


def squares(lengths: np.ndarray) -> float:
    """Sum of squared lengths, which attention is proportional to."""
    return float((lengths.astype(np.float64) ** 2).sum())
