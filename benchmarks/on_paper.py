#!/usr/bin/env python3
"""Where the time of a training step goes on a card that nobody has here: by arithmetic, from the very models.

    python benchmarks/on_paper.py [--shapes 650M 3B] [--proteins 16] [--out FILE]

Operations, weights, kept activations and kernels are counted on models without memory (torch's meta device); lengths are those
of the speed scripts. The card is an H100 SXM by its data sheet: 989 TFLOP/s in bfloat16 without sparsity, 3.35 TB/s of memory,
80 GB, NVLink 900 GB/s both ways together (NVIDIA H100 Tensor Core GPU data sheet). A step is full fine-tuning under
autocast to bfloat16 with weights, gradients and AdamW's moments in float32, packed, in pieces of 16,384 tokens or what fits.

What is counted: matrix products and attention at the card's peak; element-wise work as four passes over what is kept for the
gradient (written, read again, and its gradient likewise), in the two bytes of bfloat16; of each weight 50 bytes (cast 6, gradient 4, norm
and clipping 12, AdamW 28), and 14 for each further piece; and the host, 5 microseconds a kernel, which matters where the card is faster than that. Sums are
floors: no kernel reaches the peak. Of several cards each computes its share of the same effective batch, and then gradients are
exchanged, in a ring of 450 GB/s each way, not hidden behind anything; with --shard weights are gathered for both passes of each
piece, and what is done for each weight is divided.
"""

from __future__ import annotations

import argparse
import math
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(1, str(Path(__file__).resolve().parent / "speed"))
sys.path.insert(2, str(Path(__file__).resolve().parents[1]))

import torch
from measuring import lengths, options, report
from on_gpu.making import encoder
from torch.utils._python_dispatch import TorchDispatchMode

from hubtools.training.compute.device import USUAL_ON_GPU
from hubtools.training.compute.operations import activations_of, count_flops, squares

PEAK, TRAFFIC, MEMORY, RING = 989e12, 3.35e12, 80e9, 450e9
LAUNCH = 5e-6
# Bytes of each weight in a step.
CAST, GRADIENT, CLIPPING, ADAMW = 6, 4, 12, 28
# Passes over what is kept for the gradient, and how much less bfloat16 keeps than the float32 that is counted.
PASSES, HALF = 4, 0.5
# Bytes of each weight all the time: itself, its gradient, two moments.
HELD = 16


class Counting(TorchDispatchMode):
    """Counts the operators that compute, which are a kernel each, at least."""

    def __init__(self) -> None:
        super().__init__()
        self.number = 0

    def __torch_dispatch__(self, function: Any, types: Any, given: Any = (), named: Any = None) -> Any:
        self.number += not function.is_view
        return function(*given, **(named or {}))


class Holder(torch.nn.Module):
    """An encoder as those who count expect it."""

    def __init__(self, body: Any) -> None:
        super().__init__()
        self.encoder, self.config = body, body.config


@dataclass(frozen=True)
class Step:
    """One step of full fine-tuning.

    Attributes:
        tokens: real ones.
        products, attention, elements: seconds on one card, by what limits them.
        kernels: of a piece.
        weights: how many there are.
        kept: bytes of activations of a token.
    """

    tokens: float
    products: float
    attention: float
    elements: float
    kernels: int
    weights: int
    kept: float

    @classmethod
    def of(cls, shape: str, proteins: int) -> Step:
        """A step of so many proteins."""
        holder = Holder(encoder(shape, torch.device("meta")))
        read = lengths(10_000) + 2
        n, square = proteins * float(read.mean()), proteins * squares(read) / len(read)
        flops, kept = count_flops(holder), HALF * activations_of(holder, trains=True).per_token
        with Counting() as counted:
            out = holder.encoder(input_ids=torch.zeros(1, 64, dtype=torch.long, device="meta")).last_hidden_state
            out.sum().backward()
        products, attention = flops.linear_training * n / PEAK, flops.attention_training * square / PEAK
        weights = sum(p.numel() for p in holder.encoder.parameters())
        return cls(n, products, attention, PASSES * kept * n / TRAFFIC, counted.number, weights, kept)

    def fits(self, parts: int = 1) -> float:
        """Tokens of a piece that memory has room for, where what is held is divided among so many cards."""
        return (MEMORY - HELD * self.weights / parts) / self.kept

    def pieces(self, cards: int = 1, parts: int = 1) -> int:
        """That a card computes its share of the step in."""
        return math.ceil(self.tokens / cards / min(USUAL_ON_GPU, self.fits(parts)))

    def optimiser(self, cards: int = 1, parts: int = 1) -> float:
        """Seconds of all that is done for each weight."""
        pieces = self.pieces(cards, parts)
        each = pieces * (CAST + GRADIENT) + (pieces - 1) * GRADIENT + CLIPPING + ADAMW
        return self.weights * each / parts / TRAFFIC

    def host(self, cards: int = 1, parts: int = 1) -> float:
        """Seconds in which the processor starts kernels, beside the card."""
        return self.pieces(cards, parts) * self.kernels * LAUNCH

    def seconds(self, cards: int = 1, shard: bool = False) -> float:
        """Of a step of the same proteins on several cards."""
        parts = cards if shard else 1
        computing = max((self.products + self.attention + self.elements) / cards, self.host(cards, parts))
        around = (cards - 1) / cards * 4 * self.weights / RING
        # Whole: gradients go around twice. Divided: weights are gathered for both passes of a piece, gradients go around once.
        exchange = around * (2 * self.pieces(cards, parts) + 1 if shard else 2)
        return computing + self.optimiser(cards, parts) + exchange


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", nargs="+", default=["650M", "3B"], help="of ESM-2, or 'ESM C 600M'")
    parser.add_argument("--proteins", type=int, nargs="+", default=[16, 128], help="a step (default 16 and 128)")
    options(parser)
    given = parser.parse_args()
    rows, more, figures = [], [], {}
    for shape in given.shapes:
        for proteins in given.proteins:
            step = Step.of(shape, proteins)
            parts = [step.products, step.attention, step.elements, step.optimiser(), step.host()]
            one, whole, divided = step.seconds(), step.seconds(8), step.seconds(8, shard=True)
            share = (step.products + step.attention) / one
            name, milliseconds = f"{shape}, {proteins} proteins", [f"{1e3 * part:.1f}" for part in parts]
            rows.append([name, f"{step.tokens:,.0f}", *milliseconds, f"{step.tokens / one:,.0f}", f"{share:.0%}"])
            eight = [f"{step.tokens / took:,.0f} ({one / took:.1f} ×)" for took in (whole, divided)]
            held = f"{HELD * step.weights / 1e9:.1f}"
            more.append([name, held, f"{step.kept / 1e6:.2f}", f"{step.fits():,.0f}", *eight])
            figures[name] = vars(step)
    columns = [
        "step",
        "tokens",
        "products ms",
        "attention ms",
        "element-wise ms",
        "optimiser ms",
        "host ms",
        "tokens/s at most",
        "share of peak",
    ]
    report("One H100 by arithmetic, full fine-tuning", columns, rows, given, figures)
    columns = ["step", "held GB", "kept MB a token", "tokens that fit", "eight cards, tokens/s", "eight cards, --shard"]
    report("Memory, and eight of them", columns, more, given, figures)


if __name__ == "__main__":
    main()
