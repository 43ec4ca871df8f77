"""Attention within each of several sequences that lie one after another in one row.

Padding is not computed, and no sequence sees another. There are several ways to compute the same; which one is the
fastest depends on device, precision and head size, and is measured (:mod:`hubtools.training.compute.engine`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.autograd.function import once_differentiable
from torch.nn import functional

# What a configuration calls it while a model is packed; no mask is made for a name that has no mask function.
NAME = "bench-packed"
# Scores of as many heads at once as fit a core's own cache beside their gradients.
BLOCK_BYTES = 1024**2
# Up to here sums of exponentials and what they are multiplied with stay far from the end of float32, which is bfloat16's too: e^64 is 6e27.
SAFE = 64.0


@dataclass(frozen=True)
class Boundaries:
    """Where sequences of a packed row begin and end.

    Attributes:
        lengths: of each sequence, in tokens.
        offsets: (sequences + 1,) int32 on the device of the tokens: where each begins, and the end of the last.
    """

    lengths: tuple[int, ...]
    offsets: torch.Tensor


@dataclass(frozen=True)
class Options:
    """What a layer asks of its attention.

    Attributes:
        scale: of the scores before the softmax.
        dropout: of the probabilities.
        reach: farthest token that is looked at, to either side; None for all.
    """

    scale: float
    dropout: float = 0.0
    reach: int | None = None


# Of (heads, tokens, head size) each and the boundaries, (heads, tokens, head size).
Kernel = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, Boundaries, Options], torch.Tensor]


def each_alone(query: Any, key: Any, value: Any, boundaries: Boundaries, options: Options) -> torch.Tensor:
    """Split, attend within each sequence by the fused attention of torch, put together again.

    Equal lengths in a row go together: (sequences, heads, tokens, head size).
    """
    runs = runs_of(boundaries.lengths)
    heads, _, size = query.shape
    sizes = [n * length for length, n in runs]
    # A split has one gradient for all its parts; slices would have one as large as the whole for each.
    parts = zip(query.split(sizes, 1), key.split(sizes, 1), value.split(sizes, 1), runs, strict=True)
    out = []
    for q, k, v, (length, n) in parts:
        mask = band(length, options.reach, query.device)
        q, k, v = (x.reshape(heads, n, length, size).transpose(0, 1) for x in (q, k, v))
        attended = functional.scaled_dot_product_attention(
            q, k, v, attn_mask=mask, dropout_p=options.dropout, scale=options.scale
        )
        out.append(attended.transpose(0, 1).reshape(heads, n * length, size))
    return out[0] if len(out) == 1 else torch.cat(out, 1)


def runs_of(lengths: Sequence[int]) -> list[tuple[int, int]]:
    """Neighbours of equal length: (length, how many)."""
    runs: list[tuple[int, int]] = []
    for length in lengths:
        if runs and runs[-1][0] == length:
            runs[-1] = (length, runs[-1][1] + 1)
        else:
            runs.append((length, 1))
    return runs


def band(length: int, reach: int | None, device: torch.device) -> torch.Tensor | None:
    """True where a token may be looked at: (tokens, tokens); None where all may."""
    if reach is None or length <= reach + 1:
        return None
    place = torch.arange(length, device=device)
    return (place[:, None] - place[None, :]).abs() <= reach


def _blocks(lengths: Sequence[int], heads: int, itemsize: int) -> Iterator[tuple[slice, int, int, int]]:
    """Of each stretch of equal lengths: its tokens, the length, how many of it, and how many heads at once stay in the cache."""
    start = 0
    for length, n in runs_of(lengths):
        # Of one matrix alone torch's product is slower than of two.
        step = max(2, int(BLOCK_BYTES / (length * length * itemsize)))
        yield slice(start, start + n * length), length, heads * n, min(step, heads * n)
        start += n * length


class _Exponentials(torch.autograd.Function):
    """Attention by exponentials that are divided by their sums at the end, a few heads at a time.

    A score is at most the product of the two norms. Where that is below :data:`SAFE`, no exponential leaves the range of numbers, and
    the maximum need not be found and subtracted; else the softmax of torch is taken, whose sums are one. Sums are a column
    of the product with the values. Exponentials are kept for the gradient, (heads, length, length) of each sequence.
    """

    @staticmethod
    def forward(
        ctx: Any,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        lengths: Sequence[int],
        options: Options,
    ) -> torch.Tensor:
        """(heads, tokens, head size) of one row."""
        heads, tokens, size = query.shape
        query = query * options.scale if options.scale != 1.0 else query
        value = torch.cat([value, value.new_ones(heads, tokens, 1)], -1)
        norms = [torch.linalg.vector_norm(x, dim=-1, dtype=torch.float32) for x in (query, key)]
        keeps = any(ctx.needs_input_grad)
        # As the layers before and behind have it: the heads of a token side by side.
        out, kept = query.new_empty(tokens, heads, size + 1).transpose(0, 1), []
        for place, length, matrices, step in _blocks(lengths, heads, query.element_size()):
            mask = band(length, options.reach, query.device)
            parts = (x[:, place].reshape(matrices, length, -1).split(step) for x in (query, key, value))
            bounds = (x[:, place].reshape(matrices, length).amax(1) for x in norms)
            safe = (torch.mul(*bounds) <= SAFE).split(step)
            found = []
            for q, k, v, small in zip(*parts, safe, strict=True):
                scores = torch.bmm(q, k.transpose(1, 2))
                if mask is not None:
                    scores.masked_fill_(~mask, float("-inf"))
                weights = scores.exp_() if bool(small.all()) else scores.softmax(-1)
                found.append(torch.bmm(weights, v))
                kept += [weights] * keeps
            out[:, place] = torch.cat(found).view(heads, -1, size + 1)
        shares = out[..., size:].float().reciprocal_()
        answer = (out[..., :size] * shares).to(query.dtype)
        ctx.save_for_backward(query, key, value, answer, shares, *kept)
        ctx.lengths, ctx.scale = lengths, options.scale
        return answer

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: torch.Tensor) -> Any:
        """Of queries, keys and values."""
        query, key, value, answer, shares, *kept = ctx.saved_tensors
        heads, tokens, size = query.shape
        shared = gradients[0] * shares
        # What the softmax takes off each row goes along as a column, against the ones beside the values.
        gradient = torch.cat([shared, -(shared * answer).sum(-1, keepdim=True)], -1).to(query.dtype)
        found = [query.new_empty(tokens, heads, size).transpose(0, 1) for _ in range(3)]
        weights = iter(kept)
        for place, length, matrices, step in _blocks(ctx.lengths, heads, query.element_size()):
            parts = (x[:, place].reshape(matrices, length, -1).split(step) for x in (query, key, value, gradient))
            of_query, of_key, of_value = [], [], []
            for q, k, v, g in zip(*parts, strict=True):
                w = next(weights)
                of_value.append(torch.bmm(w.transpose(1, 2), g[..., :size]))
                scores = torch.bmm(g, v.transpose(1, 2)).mul_(w)
                of_query.append(torch.bmm(scores, k))
                of_key.append(torch.bmm(scores.transpose(1, 2), q))
            for into, pieces in zip(found, (of_query, of_key, of_value), strict=True):
                into[:, place] = torch.cat(pieces).view(heads, -1, size)
        if ctx.scale != 1.0:
            found[0] *= ctx.scale
        return *found, None, None


def sdpa(query: Any, key: Any, value: Any, boundaries: Boundaries, options: Options) -> torch.Tensor:
    """The fused attention of torch, sequence by sequence, in the precision of its inputs."""
    return each_alone(query, key, value, boundaries, options)


def sdpa_float32(query: Any, key: Any, value: Any, boundaries: Boundaries, options: Options) -> torch.Tensor:
    """The same in float32: on many CPUs the fused kernel is no faster in bfloat16."""
    with torch.autocast(query.device.type, enabled=False):
        out = each_alone(query.float(), key.float(), value.float(), boundaries, options)
    return out.to(query.dtype)


def exponentials(query: Any, key: Any, value: Any, boundaries: Boundaries, options: Options) -> torch.Tensor:
    """Product, exponential, product, a few heads at a time, so that the scores stay in the processor's cache.

    With its gradient in place of torch's, which would look for maxima that bounded scores do not need. What drops
    probabilities out goes by :func:`sdpa_float32`.
    """
    if options.dropout:
        return sdpa_float32(query, key, value, boundaries, options)
    kind = query.device.type
    # Some architectures turn queries and keys in float32, and leave values in half precision.
    dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else query.dtype
    query, key, value = (x.to(dtype) for x in (query, key, value))
    with torch.autocast(kind, enabled=False):
        out: torch.Tensor = _Exponentials.apply(query, key, value, boundaries.lengths, options)
    return out


def varlen(query: Any, key: Any, value: Any, boundaries: Boundaries, options: Options) -> torch.Tensor:
    """The variable-length kernel of torch (FlashAttention; Dao et al., 2022): a GPU and half precision only; else as :func:`sdpa`."""
    if options.dropout or query.dtype not in {torch.bfloat16, torch.float16}:
        return sdpa(query, key, value, boundaries, options)
    from torch.nn.attention.varlen import varlen_attn

    q, k, v = (x.transpose(0, 1).contiguous() for x in (query, key, value))
    longest = max(boundaries.lengths)
    reach = -1 if options.reach is None else options.reach
    out: Any = varlen_attn(
        q,
        k,
        v,
        boundaries.offsets,
        boundaries.offsets,
        longest,
        longest,
        scale=options.scale,
        window_size=(reach, reach),
    )
    return out.transpose(0, 1)


KERNELS: dict[str, Kernel] = {
    "sdpa": sdpa,
    "sdpa-float32": sdpa_float32,
    "exponentials": exponentials,
    "varlen": varlen,
}


def kernels_for(device: torch.device, dtype: torch.dtype) -> list[str]:
    """Kernels that may be the fastest there, the safe choice first."""
    if device.type == "cuda":
        return ["sdpa", "varlen"] if dtype in {torch.bfloat16, torch.float16} else ["sdpa"]
    # In float32 the fused kernel was the fastest at every length from 300 on, so there is nothing to choose.
    return ["sdpa"] if dtype == torch.float32 else ["sdpa-float32", "sdpa", "exponentials"]


def attend(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    dropout: float = 0.0,
    scaling: float | None = None,
    sliding_window: int | None = None,
    boundaries: Boundaries | None = None,
    kernel: str = "sdpa",
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """The function that transformers calls: (1, heads, tokens, head size) -> (1, tokens, heads, head size).

    Raises:
        RuntimeError: the row is not packed; without its boundaries sequences would see each other.
    """
    if boundaries is None or attention_mask is not None:
        raise RuntimeError("packed attention without boundaries")
    if key.shape[1] != query.shape[1]:
        groups = query.shape[1] // key.shape[1]
        key, value = key.repeat_interleave(groups, 1), value.repeat_interleave(groups, 1)
    options = Options(
        scale=query.shape[-1] ** -0.5 if scaling is None else scaling,
        dropout=dropout,
        # transformers counts the token itself.
        reach=None if sliding_window is None else sliding_window - 1,
    )
    out = KERNELS[kernel](query[0], key[0], value[0], boundaries, options)
    return out.transpose(0, 1).unsqueeze(0), None


def register() -> None:
    """Make :func:`attend` known to transformers; again is harmless."""
    from transformers import AttentionInterface

    # A graph of its own for every tuple of lengths would be compiled; so it is left out of graphs.
    AttentionInterface.register(NAME, torch.compiler.disable(attend))
