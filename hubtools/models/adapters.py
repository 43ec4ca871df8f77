"""Adapters: small trainable parts inside a frozen encoder, merged into it before anything is measured.

peft makes the parts and puts them into the encoder's own layers. The model stays what it is for everyone who calls it:
no wrapper, and after :func:`merge_adapter` no trace. What is trained besides is everything outside the encoder, the head.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from hubtools.common.errors import UserError
from hubtools.models.families import family_of
from hubtools.models.four_bits import FourBitLinear, load_bitsandbytes
from hubtools.models.layers import encoder_layers

if TYPE_CHECKING:
    from hubtools.models.modeling_protein_task import ProteinTaskModel
    from hubtools.specs.recipe import Adapter

# How peft begins the names of its parameters.
_OURS = ("lora_", "ia3_")


def attach_adapter(model: ProteinTaskModel, adapter: Adapter, name: str, seed: int) -> None:
    """Freeze the encoder and put an adapter into its layers; the fresh weights depend on the seed alone.

    Fresh adapters change nothing yet: the update is zero, the scales are one.

    Args:
        model: changed in place.
        adapter: what the recipe asks for.
        name: of the checkpoint, for messages.
        seed: of the adapter's weights.

    Raises:
        UserError: it is not known where to attach in this architecture, a target is not there, or bitsandbytes is
            missing.
    """
    load_bitsandbytes()
    from peft import inject_adapter_in_model

    config = _peft_config(model.encoder, adapter, name)
    model.encoder.requires_grad_(False)
    if adapter.kind == "qlora":
        quantise(model.encoder)
    torch.manual_seed(seed)
    inject_adapter_in_model(config, model.encoder)


def quantise(encoder: nn.Module) -> None:
    """Keep every linear layer of an encoder's transformer layers in four bits, in place.

    Raises:
        UserError: bitsandbytes is not there, or does not work, or there is no layer of that kind.
    """
    require_four_bits(torch.device("cpu"))
    found = encoder_layers(encoder)
    assert found is not None
    linears = list(_children(found[1], nn.Linear))
    if not linears:
        raise UserError(
            f"adapter.kind: qlora keeps layers of torch's class Linear in four bits, and {type(encoder).__name__} has none",
            fix="Use adapter.kind: lora.",
        )
    for parent, name, linear in linears:
        setattr(parent, name, FourBitLinear(linear))


def require_four_bits(device: torch.device) -> None:
    """Refuse where weights of four bits cannot be had, after trying.

    Raises:
        UserError: bitsandbytes is not there, or does not work on this device.
    """
    if not load_bitsandbytes():
        raise UserError("adapter.kind: qlora needs bitsandbytes", fix='Get it: pip install "plm-hubtools[qlora]"')
    try:
        layer = FourBitLinear(nn.Linear(64, 4)).to(device)
        layer(torch.ones(1, 64, device=device, requires_grad=True)).sum().backward()
    except Exception as error:
        raise UserError(
            f"bitsandbytes cannot keep weights in four bits on {device.type} "
            f"({' '.join(str(error).split())[:200] or type(error).__name__})",
            fix="Use adapter.kind: lora, or another --device.",
        ) from None


@torch.no_grad()
def merge_adapter(model: ProteinTaskModel) -> None:
    """Add the adapter's update to the weights it belongs to, and take the adapter out.

    Weights of four bits become the float32 weights that they stand for first: the update was learnt on those, and what
    is saved computes what was trained.

    The sums are done by the processor, wherever the model is: so they round as they will where the model is put together again.
    """
    from peft.tuners.tuners_utils import BaseTunerLayer

    encoder = model.encoder
    device = next(encoder.parameters()).device
    for parent, name, four_bits in list(_children(encoder, FourBitLinear)):
        setattr(parent, name, four_bits.cpu().whole())
    for parent, name, layer in list(_children(encoder, BaseTunerLayer)):
        layer.cpu()
        with warnings.catch_warnings():
            # Some layers warn of rounding in lower precision; ours is float32.
            warnings.simplefilter("ignore")
            layer.merge(safe_merge=True)
        setattr(parent, name, layer.get_base_layer().to(device))
    del encoder.peft_config


@torch.enable_grad()  # Whether weights of four bits can be had is tried with a gradient.
def put_adapter(encoder: nn.Module, adapter: Adapter, weights: dict[str, torch.Tensor], name: str) -> None:
    """Give an encoder an adapter that was trained, and merge it.

    Args:
        encoder: of the checkpoint that it was trained on; changed in place.
        adapter: what the recipe asked for.
        weights: of the adapter, by peft's names in the encoder.
        name: of the checkpoint, for messages.

    Raises:
        UserError: as :func:`attach_adapter`, or the weights are of another adapter.
    """
    holder: Any = SimpleNamespace(encoder=encoder)
    attach_adapter(holder, adapter, name, 0)
    from peft import set_peft_model_state_dict

    own = sum(is_adapter(name) for name, _ in encoder.named_parameters())
    found: Any = set_peft_model_state_dict(encoder, weights)
    if found.unexpected_keys or own != len(weights):
        raise UserError("its adapter is not the one of its recipe", where=name, fix="Run it again with --force.")
    merge_adapter(holder)


def is_adapter(name: str) -> bool:
    """Whether a parameter of this name is an adapter's."""
    return any(part.startswith(_OURS) for part in name.split("."))


def base_parameters(encoder: nn.Module) -> int:
    """Number of weights of the checkpoint itself, however many bits each has, and without adapters."""
    packed = sum(m.in_features * m.out_features for m in encoder.modules() if isinstance(m, FourBitLinear))
    return packed + sum(value.numel() for name, value in encoder.named_parameters() if not is_adapter(name))


def _children(root: nn.Module, kind: type) -> Iterator[tuple[nn.Module, str, Any]]:
    """Modules of a kind: parent, name in it, module."""
    for parent in list(root.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, kind):
                yield parent, name, child


def _peft_config(encoder: Any, adapter: Adapter, name: str) -> Any:
    """The adapter as peft's configuration, its targets as patterns that match their full paths in the encoder."""
    from peft import IA3Config, LoraConfig

    targets, inputs, path = _targets(encoder, adapter, name)
    # GPT-2's linear layers hold their weights the other way round.
    turned = not isinstance(_linear(encoder.get_submodule(path))[targets[0]], nn.Linear)

    def pattern(paths: list[str]) -> str:
        return rf"{re.escape(path)}\.\d+\.(?:{'|'.join(re.escape(p) for p in paths)})"

    if adapter.kind == "ia3":
        return IA3Config(
            target_modules=pattern(targets + inputs),
            feedforward_modules=pattern(inputs) if inputs else [],
            fan_in_fan_out=turned,
        )
    return LoraConfig(
        r=adapter.rank,
        lora_alpha=adapter.alpha,  # type: ignore[arg-type]  # An annotation of peft's: it divides by the rank.
        lora_dropout=adapter.dropout,
        use_rslora=adapter.kind == "rslora",
        use_dora=adapter.kind == "dora",
        target_modules=pattern(targets),
        fan_in_fan_out=turned,
    )


def _linear(layers: Any) -> dict[str, nn.Module]:
    """Linear layers by their path within a layer; layers may differ (the first of T5's has the positions)."""
    from transformers.pytorch_utils import Conv1D

    kinds = (nn.Linear, Conv1D)
    return {n: module for layer in layers for n, module in layer.named_modules() if isinstance(module, kinds)}


def _targets(encoder: Any, adapter: Adapter, name: str) -> tuple[list[str], list[str], str]:
    """Paths within a layer of the linear layers to attach to, of those whose input IA3 scales, and of the layers."""
    found = encoder_layers(encoder)
    family = family_of(encoder.config)
    if found is None:
        raise UserError(
            f"the layers of {type(encoder).__name__} cannot be found, so that no adapter can be attached",
            where=name,
            fix="Use recipe full, or probe.",
        )
    path, layers = found
    there = sorted(_linear(layers))
    if adapter.targets is None:
        ia3 = adapter.kind == "ia3"
        listed = family.ia3_targets if ia3 else family.lora_targets
        targets = [target for target in listed if target in there]
        inputs = [target for target in family.ia3_inputs if target in there] if ia3 else []
        if not targets:
            raise UserError(
                f"it is not known where an adapter belongs in the architecture {encoder.config.model_type!r}",
                where=name,
                fix=f"Name linear layers in adapter.targets; it has {', '.join(there) or 'none'}.",
            )
        return targets, inputs, path
    chosen: list[str] = []
    for target in adapter.targets:
        matches = [target] if target in there else [n for n in there if n.endswith(f".{target}")]
        if not matches:
            raise UserError(
                f"adapter.targets: no linear layer is named {target!r}",
                where=name,
                fix=f"Its layers have {', '.join(there) or 'none'}.",
            )
        chosen += matches
    chosen = list(dict.fromkeys(chosen))
    if adapter.kind != "ia3":
        return chosen, [], path
    return [t for t in chosen if t not in family.ia3_inputs], [t for t in chosen if t in family.ia3_inputs], path
