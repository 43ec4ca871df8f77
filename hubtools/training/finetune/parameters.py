"""What is trained and at which rate: frozen layers and groups of the optimiser."""

from __future__ import annotations

from typing import Any

from torch import nn

from hubtools.common.errors import UserError
from hubtools.models.layers import depth_of_parameters
from hubtools.specs.recipe import Recipe


def freeze_layers(model: Any, number: int) -> None:
    """Take the embeddings and the lowest layers of an encoder out of training.

    Args:
        model: its encoder is changed in place.
        number: of layers; 0 freezes nothing, the embeddings neither.

    Raises:
        UserError: the encoder has fewer layers, or its layers cannot be found.
    """
    if not number:
        return
    depths, most = _depths(model.encoder, "freeze_layers")
    if number > most:
        raise UserError(
            f"freeze_layers: {number} layers are more than the checkpoint has ({most})",
            fix=f"Give at most {most}; to train the head alone use recipe probe.",
        )
    for name, parameter in model.encoder.named_parameters():
        if depths[name] <= number:
            parameter.requires_grad = False


def parameter_groups(model: Any, recipe: Recipe) -> list[dict[str, Any]]:
    """The parameters that are trained, for an optimiser: each group with its rate and weight decay.

    The head has its own rate where the recipe says so. With ``layer_decay`` the layer k of L learns at the recipe's
    rate × decay^(L - k), the embeddings as layer 0 (discriminative rates; Howard & Ruder, ACL 2018), a norm after the
    last layer as that one. Biases and norms do not decay, nor do IA3's scales, for which one is neutral, not zero.

    Raises:
        UserError: rates differ by layer, and the layers cannot be found.
    """
    rate, decay = recipe.learning_rate, recipe.layer_decay
    depths, top = _depths(model.encoder, "layer_decay") if decay != 1 else ({}, 0)
    rates = {
        id(parameter): rate * decay ** (top - min(depths.get(name, top), top))
        for name, parameter in model.encoder.named_parameters()
    }
    groups: dict[tuple[bool, float, bool], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            in_encoder = id(parameter) in rates
            own = rates.get(id(parameter), recipe.head_learning_rate or rate)
            decays = parameter.ndim > 1 and "ia3_l" not in name
            groups.setdefault((in_encoder, own, decays), []).append(parameter)
    # The first group's rate is the one that the training log shows: that of the top of the encoder.
    order = sorted(groups, key=lambda key: (not key[0], -key[1] if key[0] else 0.0))
    return [
        {"params": groups[key], "lr": key[1], "weight_decay": recipe.weight_decay if key[2] else 0.0} for key in order
    ]


def _depths(encoder: nn.Module, field: str) -> tuple[dict[str, int], int]:
    found = depth_of_parameters(encoder)
    if found is None:
        raise UserError(
            f"{field}: the layers of {type(encoder).__name__} cannot be found",
            fix=f"Remove {field}, or choose another checkpoint.",
        )
    return found
