"""Faster equivalents of what ESM's code computes by hand: rotary positions, and the activation of the feed-forward part."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional


def replacements(encoder: Any) -> list[tuple[Any, Callable[..., Any]]]:
    """Modules of an ESM encoder, and the faster ``forward`` of each."""
    found: list[tuple[Any, Callable[..., Any]]] = []
    angles = Angles()
    for module in encoder.modules():
        kind = type(module).__name__
        if kind == "EsmIntermediate":
            found.append((module, _esm_intermediate))
        elif kind == "EsmSelfAttention" and getattr(module, "position_embedding_type", None) == "rotary":
            found.append((module, _esm_attention(angles)))
    return found


class Rotary(torch.autograd.Function):
    """Rotary position embedding (Su et al., 2021) of a whole layer's queries or keys in three passes over them.

    The halves of each head that are swapped and negated are one product with a signed permutation, which is exact in
    every precision. Nothing but the angles is kept for the gradient.
    """

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, turn: torch.Tensor) -> torch.Tensor:
        """Rotate (tokens, heads × head size) by angles of the same shape."""
        ctx.save_for_backward(cos, sin, turn)
        turned = (x.view(-1, len(turn)) @ turn.to(x.dtype)).view(x.shape)
        return torch.mul(x, cos).addcmul_(turned, sin).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> Any:
        """Rotate back."""
        cos, sin, turn = ctx.saved_tensors
        gradient = gradients[0].contiguous()
        turned = (gradient.view(-1, len(turn)) @ turn.to(gradient.dtype)).view(gradient.shape)
        return torch.mul(gradient, cos).addcmul_(turned, sin, value=-1).to(gradient.dtype), None, None, None


def quarter_turn(size: int, device: torch.device) -> torch.Tensor:
    """The (size, size) matrix R with ``x @ R = [-second half of x, first half of x]``."""
    half, eye = size // 2, torch.eye(size // 2, device=device)
    turn = torch.zeros(size, size, device=device)
    turn[half:, :half], turn[:half, half:] = -eye, eye
    return turn


class Angles:
    """Cosines and sines for all heads side by side; those of one forward pass are made once for all its layers."""

    def __init__(self) -> None:
        self.of: Any = None
        self.made: tuple[torch.Tensor, ...] = ()

    def __call__(self, cos: Any, sin: Any, rows: int, heads: int, scale: float) -> tuple[torch.Tensor, ...]:
        """Of (rows or 1, tokens, head size): scaled cosine and sine, then plain ones, then the quarter turn.

        The angles are (rows × tokens, heads × head size).
        """
        if self.of is not cos:
            wide = [x.float().expand(rows, -1, -1).repeat(1, 1, heads).flatten(0, 1) for x in (cos, sin)]
            turn = quarter_turn(cos.shape[-1], cos.device)
            self.of, self.made = cos, (*(x * scale for x in wide), *wide, turn)
        return self.made


def _esm_attention(angles: Angles) -> Callable[..., Any]:
    def forward(
        self: Any,
        hidden_states: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        encoder_hidden_states: Any = None,
        encoder_attention_mask: Any = None,
        position_embeddings: Any = None,
        **kwargs: Any,
    ) -> Any:
        from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
        from transformers.models.esm.modeling_esm import eager_attention_forward

        rows, tokens, _ = hidden_states.shape
        heads, size = self.num_attention_heads, self.attention_head_size
        query, key, value = (layer(hidden_states) for layer in (self.query, self.key, self.value))
        cos, sin = position_embeddings
        scaled_cos, scaled_sin, cos, sin, turn = angles(cos, sin, rows, heads, size**-0.5)
        with torch.autocast(hidden_states.device.type, enabled=False):
            query = Rotary.apply(query.reshape(rows * tokens, -1), scaled_cos, scaled_sin, turn)
            key = Rotary.apply(key.reshape(rows * tokens, -1), cos, sin, turn)
        query, key, value = (x.view(rows, tokens, heads, size).transpose(1, 2) for x in (query, key, value))
        attend = ALL_ATTENTION_FUNCTIONS.get_interface(self.config._attn_implementation, eager_attention_forward)
        out, weights = attend(
            self,
            query,
            key,
            value,
            attention_mask,
            dropout=self.dropout if self.training else 0.0,
            scaling=self.scaling,
            **kwargs,
        )
        return out.reshape(rows, tokens, -1), weights

    return forward


def _esm_intermediate(self: Any, hidden_states: torch.Tensor) -> torch.Tensor:
    return functional.gelu(self.dense(hidden_states))
