"""A model as it was when it was loaded, whatever was hung on it since."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

# What a module holds in dictionaries of its own: parts, parameters, buffers, hooks.
_INNER = "_"


class AsLoaded:
    """Remembers how the parts of a model are made, to make them so again; weights are not copied.

    Given back are hooks, replaced operators and parts, adapters, modes, what is trained, and tables that a part has computed for
    itself (of positions, in the precision of that run). A weight that was changed cannot be given back: that is told.

    Args:
        model: just loaded, on its device.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.parts = [(part, _copied(part.__dict__)) for part in model.modules()]
        self.weights = [
            (weight, weight.requires_grad, weight.data_ptr(), weight.dtype, weight._version)
            for weight in _tensors(model)
        ]
        # Attention is chosen in the configuration, which parts of a model may share.
        configs = {id(c): c for part in model.modules() if (c := getattr(part, "config", None)) is not None}
        self.configs = [(config, dict(vars(config))) for config in configs.values()]

    def restore(self) -> bool:
        """Make it so again.

        Returns:
            Whether every weight is still what it was.
        """
        for part, held in self.parts:
            part.__dict__.clear()
            part.__dict__.update(_copied(held))
        for config, held in self.configs:
            vars(config).clear()
            vars(config).update(held)
        same = True
        for weight, trained, place, dtype, version in self.weights:
            weight.requires_grad_(trained)
            weight.grad = None
            same &= (weight.data_ptr(), weight.dtype, weight._version) == (place, dtype, version)
        return same

    @property
    def device(self) -> torch.device:
        """Where it is."""
        return next((weight.device for weight, *_ in self.weights), torch.device("cpu"))

    @property
    def bytes(self) -> int:
        """Of weights and buffers."""
        return sum(weight.nbytes for weight, *_ in self.weights)


def _copied(held: dict[str, Any]) -> dict[str, Any]:
    """What a part holds, its own dictionaries copied: it changes these in their places."""
    return {
        name: type(value)(value) if name.startswith(_INNER) and isinstance(value, dict) else value
        for name, value in held.items()
    }


def _tensors(model: nn.Module) -> list[Any]:
    return [*model.parameters(), *model.buffers()]
