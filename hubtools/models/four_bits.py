"""Linear layers whose weights are kept in four bits (QLoRA; Dettmers et al., 2023), through bitsandbytes."""

from __future__ import annotations

import importlib.util
import logging
import sys
from typing import Any

import torch
from torch import nn
from torch.nn import functional


def load_bitsandbytes() -> bool:
    """Import it, and say whether it is there. peft imports it too, so that this comes before peft.

    While it is imported, version 0.50 fetches code from the Hub and runs it, on some processors, where the package
    ``kernels`` is installed. Here no code comes from the network, and its lament about that is not shown.
    """
    if importlib.util.find_spec("bitsandbytes") is None:
        return False
    if "bitsandbytes" not in sys.modules:
        modules: dict[str, Any] = sys.modules
        missing = object()
        kernels, modules["kernels"] = modules.get("kernels", missing), None
        log = logging.getLogger("bitsandbytes.backends.cpu.ops")
        level = log.level
        log.setLevel(logging.ERROR)
        try:
            importlib.import_module("bitsandbytes")
        finally:
            log.setLevel(level)
            del modules["kernels"]
            if kernels is not missing:
                modules["kernels"] = kernels
    return True


class FourBitLinear(nn.Linear):
    """A frozen linear layer with weights in NF4, blocks of 64, the scales of the blocks in eight bits.

    The weights are made whole for each product, forward and again backward, and never kept. bitsandbytes has a layer of
    its own; this one is used because that one, on processors that have bfloat16 products, computes otherwise when
    nothing is trained, rounds the bias to the type of the input in place, and shows T5 weights of eight bits, to which
    T5 converts what it multiplies them with.
    """

    def __init__(self, linear: nn.Linear) -> None:
        from bitsandbytes.functional import quantize_4bit

        nn.Module.__init__(self)
        self.in_features, self.out_features = linear.in_features, linear.out_features
        # As one row: of several rows bitsandbytes' kernel for CPUs (0.50.2) takes wrong scales, unless their length is
        # a multiple of 64, and ESM-2 35M has 480 columns.
        row = linear.weight.detach().float().reshape(1, -1)
        packed, self.state = quantize_4bit(row, blocksize=64, quant_type="nf4", compress_statistics=True)
        self.register_buffer("packed", packed)
        self.bias = linear.bias

    @property
    def weight(self) -> torch.Tensor:  # type: ignore[override]
        """What the four bits stand for: (out, in) float32."""
        from bitsandbytes.functional import dequantize_4bit

        packed: Any = self.packed
        if self.state.absmax.device != packed.device:
            self.state.to(packed.device)
        return dequantize_4bit(packed, self.state).reshape(self.out_features, self.in_features)

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """The product with the whole weights."""
        device = input.device.type
        if torch.is_autocast_enabled(device):
            input = input.to(torch.get_autocast_dtype(device))
        return _Product.apply(input, self)

    def whole(self) -> nn.Linear:
        """An ordinary layer with the weights that the four bits stand for."""
        weight = self.weight
        linear = nn.Linear(self.in_features, self.out_features, bias=self.bias is not None, device=weight.device)
        linear.weight.data = weight.float()
        if self.bias is not None:
            linear.bias.data = self.bias.detach().clone()
        return linear


class _Product(torch.autograd.Function):
    """x Wᵀ + b that keeps neither W nor x for the backward pass: only the gradient of x is asked for."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, layer: FourBitLinear) -> torch.Tensor:
        ctx.layer = layer
        bias = layer.bias
        return functional.linear(x, layer.weight.to(x.dtype), None if bias is None else bias.to(x.dtype))

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        (gradient,) = gradients
        return gradient @ ctx.layer.weight.to(gradient.dtype), None
