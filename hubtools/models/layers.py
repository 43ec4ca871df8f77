"""The stack of layers of an encoder, found rather than looked up."""

from __future__ import annotations

from typing import Any

from torch import nn


def encoder_layers(encoder: Any) -> tuple[str, nn.ModuleList] | None:
    """The path and the list of an encoder's transformer layers, lowest first; None where there is no such list.

    It is the outermost list of as many modules as the configuration counts layers. (A layer may hold such a list
    itself: each layer of T5 is a list of two.)
    """
    config = encoder.config
    number = getattr(config, "num_hidden_layers", None) or getattr(config, "num_layers", None)
    for path, module in encoder.named_modules():
        if isinstance(module, nn.ModuleList) and len(module) == number:
            return path, module
    return None


def depth_of_parameters(encoder: nn.Module) -> tuple[dict[str, int], int] | None:
    """At which depth each parameter of an encoder sits, by name, and its number of layers L; None if they are not found.

    0 is what comes before the first layer: the embeddings. The layers are 1 to L, and what follows them (a last norm)
    is at L + 1.
    """
    found = encoder_layers(encoder)
    if found is None:
        return None
    path, layers = found
    depths: dict[str, int] = {}
    passed = False
    for name, _ in encoder.named_parameters():
        if name.startswith(f"{path}."):
            passed = True
            depths[name] = int(name.removeprefix(f"{path}.").split(".")[0]) + 1
        else:
            depths[name] = len(layers) + 1 if passed else 0
    return depths, len(layers)
