"""Linear layers of a frozen encoder held in bfloat16: what autocast would make of their weights at each step, made once.

Autocast rounds the weights of a linear layer to bfloat16 before it multiplies by them. Rounded when they are loaded, they take half
the memory and give the same numbers. All else stays float32: embeddings, norms, tables of positions.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from types import MethodType
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from torch.nn.modules.module import register_module_parameter_registration_hook
from torch.overrides import TorchFunctionMode

from hubtools.common.errors import UserError
from hubtools.models.layers import encoder_layers

HELD = torch.bfloat16


@contextlib.contextmanager
def linear_in_half() -> Iterator[None]:
    """Whatever model is made or filled inside the block has its linear layers in bfloat16 from the start.

    So no float32 weights are in memory beside: who fills a model converts a tensor to what its place is made for.
    """

    def rounded(module: nn.Module, name: str, weight: nn.Parameter) -> nn.Parameter | None:
        if type(module) is not nn.Linear or weight is None or weight.dtype == HELD or not weight.is_floating_point():
            return None
        made = nn.Parameter(weight.detach().to(HELD), requires_grad=False)
        # transformers notes on a weight that it is filled.
        made.__dict__.update(weight.__dict__)
        return made

    # Its stub has no place for what it gives.
    hook = register_module_parameter_registration_hook(rounded)  # type: ignore[arg-type]
    try:
        yield
    finally:
        hook.remove()


def hold(encoder: nn.Module, name: str) -> nn.Module:
    """Hold the weights of an encoder's linear layers in bfloat16, in its place; those that are already stay.

    Outside of autocast the same rounded weights are multiplied by in the precision of what they are given.

    Args:
        encoder: whose weights nothing will train.
        name: of the checkpoint, for messages.

    Raises:
        UserError: it has no linear layer.
    """
    layers = [module for module in encoder.modules() if type(module) is nn.Linear]
    if not layers:
        raise UserError(
            "its encoder has no linear layers whose weights could be held in bfloat16",
            where=name,
            fix="Leave frozen_weights out.",
        )
    for layer in layers:
        for parameter in layer.parameters():
            parameter.requires_grad_(False)
            parameter.data = parameter.data.to(HELD)
        layer.forward = MethodType(_forward, layer)  # type: ignore[method-assign]
    holder: Any = encoder
    widening = holder._widening = _Widening()
    for block in _blocks(encoder):
        block.register_forward_pre_hook(widening.before)
        block.register_forward_hook(widening.after, always_call=True)
    return encoder


def _forward(self: nn.Linear, x: torch.Tensor) -> torch.Tensor:
    if torch.is_autocast_enabled(x.device.type):
        return functional.linear(x, self.weight, self.bias)
    return functional.linear(x, self.weight.to(x.dtype), None if self.bias is None else self.bias.to(x.dtype))


def _blocks(encoder: nn.Module) -> list[nn.Module]:
    """The transformer layers of an encoder, as far as they are found."""
    return [] if (found := encoder_layers(encoder)) is None else list(found[1])


def held_layers(encoder: nn.Module) -> list[nn.Linear]:
    """The linear layers whose weights are held in bfloat16; none of an encoder whose weights are float32."""
    return [module for module in encoder.modules() if type(module) is nn.Linear and module.weight.dtype == HELD]


def rounded_as_held(encoder: nn.Module) -> Iterator[torch.Tensor]:
    """Weights of a float32 encoder as they are once it is held, one at a time, in the order of its parameters."""
    of_layers = {
        id(value) for one in encoder.modules() if type(one) is nn.Linear for value in one.parameters(recurse=False)
    }
    for value in encoder.parameters():
        yield value.detach().to(HELD) if id(value) in of_layers else value.detach()


class Uses(TorchFunctionMode):
    """Notes what is done with some weights but what autocast rounds for itself.

    Attributes:
        weights: where their bytes are.
        other: what else was done, in the words of torch.
        looks: False while weights are exchanged.
    """

    def __init__(self) -> None:
        super().__init__()
        self.weights: set[int] = set()
        self.other: set[str] = set()
        self.looks = True

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = [
            part
            for one in (*args, *(kwargs or {}).values())
            for part in (one if isinstance(one, (tuple, list)) else (one,))
        ]
        if self.looks and any(isinstance(one, torch.Tensor) and _place(one) in self.weights for one in given):
            name = getattr(func, "__name__", str(func))
            rounds = func is functional.linear and torch.is_autocast_enabled(args[0].device.type)
            # What a weight is like may be asked: its type is what it would be under autocast.
            if not rounds and name != "__get__":
                self.other.add(name)
        return func(*args, **(kwargs or {}))


def _place(tensor: torch.Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


class _Widening:
    """Gives transformer layers float32 weights while they compute, one at a time, outside of autocast.

    Code that asks of which type a weight is (T5's does) so computes as it would with float32 weights.

    Attributes:
        uses: where given, layers have float32 weights under autocast, too, and it is told where these are.
    """

    def __init__(self) -> None:
        self.uses: Uses | None = None
        self.narrow: dict[int, list[tuple[nn.Parameter, torch.Tensor]]] = {}

    def before(self, block: nn.Module, _: Any) -> None:
        layers = held_layers(block)
        if layers and (self.uses is not None or not torch.is_autocast_enabled(layers[0].weight.device.type)):
            self.widen(block, layers)

    def after(self, block: nn.Module, *_: Any) -> None:
        self.restore(block)

    def widen(self, owner: nn.Module, layers: list[nn.Linear]) -> None:
        uses = self.uses or Uses()
        uses.looks = False
        # Two layers may share one.
        parameters = {id(parameter): parameter for layer in layers for parameter in layer.parameters()}
        held = [(parameter, parameter.data) for parameter in parameters.values()]
        for parameter, weight in held:
            parameter.data = weight.float()
            uses.weights.add(_place(parameter))
        self.narrow[id(owner)], uses.looks = held, True

    def restore(self, owner: nn.Module) -> None:
        uses = self.uses or Uses()
        uses.looks = False
        for parameter, weight in self.narrow.pop(id(owner), []):
            uses.weights.discard(_place(parameter))
            parameter.data = weight
        uses.looks = True


@contextlib.contextmanager
def widened(encoder: nn.Module) -> Iterator[Uses]:
    """Inside the block an encoder that is held has float32 weights also under autocast, of one of its layers at a time.

    Yields:
        What else is done with them.
    """
    widening: Any = encoder._widening
    inside = {id(module) for block in _blocks(encoder) for module in block.modules()}
    uses = widening.uses = Uses()
    try:
        widening.widen(encoder, [layer for layer in held_layers(encoder) if id(layer) not in inside])
        with uses:
            yield uses
    finally:
        for owner in [encoder, *_blocks(encoder)]:
            widening.restore(owner)
        widening.uses = None
