"""Loading a checkpoint's encoder: float32, complete, or refused."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from hubtools.common.errors import UserError
from hubtools.common.readers import reads
from hubtools.data.rows.dates import newer
from hubtools.models.adapters import base_parameters
from hubtools.models.checkpoint import EMBEDDED_NAME
from hubtools.models.execution.held import hold, linear_in_half
from hubtools.models.execution.translation import translated
from hubtools.models.families import Family, Pretraining, family_of, published_as
from hubtools.models.families.family import entry
from hubtools.models.foreign import loaded
from hubtools.models.modeling_protein_task import build_encoder
from hubtools.specs.record import CheckpointFacts, CheckpointIdentity, PretrainingFacts

if TYPE_CHECKING:
    from hubtools.models.checkpoint import Checkpoint

log = logging.getLogger(__name__)

# What code that comes with a checkpoint may name, in the order in which it is asked for an encoder.
AUTO_CLASSES = ("AutoModel", "AutoModelForMaskedLM", "AutoModelForCausalLM")


@reads("checkpoint")
def load_encoder(
    checkpoint: Checkpoint, *, weights: str = "pretrained", seed: int = 0, held: bool = False
) -> nn.Module:
    """The checkpoint's encoder in float32; of an encoder-decoder, the encoder alone, and of a language model, what is below the head.

    One whose code came with it answers as transformers' own do (:mod:`hubtools.models.execution.translation`).

    Args:
        checkpoint: resolved checkpoint.
        weights: ``pretrained``, or ``random`` for the architecture with fresh weights.
        seed: of the fresh weights.
        held: whether the weights of its linear layers are held in bfloat16 (:mod:`hubtools.models.execution.held`).

    Raises:
        UserError: transformers does not know the architecture, weights are missing, damaged, or not numbers, or code that came
            with it cannot be asked.
    """
    encoder = _encoder_of(checkpoint, weights, seed, held)
    return hold(encoder, checkpoint.name) if held else encoder


def _encoder_of(checkpoint: Checkpoint, weights: str, seed: int, held: bool) -> nn.Module:
    from transformers import AutoConfig

    folder, remote = checkpoint.files(), checkpoint.identity.trust_remote_code
    family = family_of(checkpoint.config)
    if weights == "random":
        config = _loaded(checkpoint, lambda: AutoConfig.from_pretrained(folder, trust_remote_code=remote))
        torch.manual_seed(seed)
        # Drawn in float32, also where they are held: they are the same then.
        return fresh_encoder(config, family, checkpoint.name, remote).float()
    auto_class, options = family.loader()
    if family.encoder_class is None:
        options["trust_remote_code"] = remote
    own = own_class(checkpoint.config, family, checkpoint.name) if remote else None
    if own is None:
        return complete_model(checkpoint, family, auto_class, options, held=held)
    model: Any = complete_model(checkpoint, family, own, {"trust_remote_code": True}, headless=True, held=held)
    return translated(below_head(model), family, checkpoint.name)


def own_class(config: Any, family: Family, name: str) -> Any:
    """What of transformers loads an encoder whose code comes with its checkpoint; None where it brings none.

    Args:
        config: config.json, or transformers' object of it; its code is trusted.
        family: of it.
        name: of the checkpoint, for messages.

    Raises:
        UserError: its code has no model that bench asks.
    """
    import transformers

    said = entry(config, "auto_map")
    names = [name for name in said if name.startswith("AutoModel")] if isinstance(said, dict) else []
    if not names or family.encoder_class is not None:
        return None
    wanted = family.dialect.auto_class if family.dialect is not None else None
    if (found := next((one for one in (wanted, *AUTO_CLASSES) if one in names), None)) is None:
        raise UserError(
            f"its code brings {' and '.join(names)} (auto_map of config.json); bench needs one of {', '.join(AUTO_CLASSES)}",
            where=name,
            fix="A family file can name another: docs/extending.md.",
        )
    return getattr(transformers, found)


def below_head(model: Any) -> Any:
    """Of a language model the encoder below its head, where that is a model itself; else the model."""
    from transformers import PreTrainedModel

    return model.base_model if isinstance(model.base_model, PreTrainedModel) else model


def fresh_encoder(config: Any, family: Family, name: str, remote: bool) -> Any:
    """An encoder of this configuration with fresh weights.

    Args:
        config: transformers' object.
        family: of it.
        name: of the checkpoint, for messages.
        remote: whether code that the configuration names is trusted.

    Raises:
        UserError: code that came with it cannot be asked.
    """
    own = own_class(config, family, name) if remote else None
    if own is None:
        return build_encoder(config, family.encoder_class, family.pooler)
    return translated(below_head(own.from_config(config, trust_remote_code=True)), family, name)


def load_native(checkpoint: Checkpoint, auto_class: Any, labels: dict[str, Any], seed: int) -> nn.Module:
    """The checkpoint under its own transformers head, whose weights are fresh.

    Raises:
        UserError: the architecture has no such head, or more than the head would be untrained.
    """
    torch.manual_seed(seed)
    folder, remote = checkpoint.files(), checkpoint.identity.trust_remote_code
    model, info = _loaded(
        checkpoint,
        lambda: auto_class.from_pretrained(
            folder, dtype=torch.float32, output_loading_info=True, trust_remote_code=remote, **labels
        ),
    )
    base = f"{model.base_model_prefix}."
    unused = family_of(model.config).unused_weights
    missing = [
        key
        for key in sorted(info["missing_keys"])
        if key.startswith(base)
        and not any(key.removeprefix(base).startswith(part) for part in unused if part != "decoder.")
    ]
    if missing:
        raise UserError(
            f"its native head would leave {len(missing)} weights of the model itself untrained (first: {missing[0]})",
            where=checkpoint.name,
            fix="Use head.kind=bench, which needs the encoder only.",
        )
    require_numbers(checkpoint, model)
    return model


def complete_model(
    checkpoint: Checkpoint,
    family: Family,
    auto_class: Any,
    options: dict[str, Any],
    *,
    headless: bool = False,
    held: bool = False,
) -> nn.Module:
    """A model of transformers with all of its weights, in float32 where the options say nothing else.

    Args:
        checkpoint: resolved checkpoint.
        family: of it, which knows what may be missing.
        auto_class: what of transformers loads it.
        options: what that is told besides.
        headless: whether nothing but what is below its head is asked for.
        held: whether its linear layers get bfloat16 weights.

    Raises:
        UserError: it cannot be loaded, or weights are missing or no numbers.
    """
    model, info = _loaded(checkpoint, lambda: from_files(checkpoint, auto_class, options, held))
    # Of a language model only what is below its head is used.
    below = f"{model.base_model_prefix}." if headless and below_head(model) is not model else ""
    missing = [
        key
        for key in sorted(info["missing_keys"])
        if key.startswith(below) and not any(part in key for part in family.unused_weights)
    ]
    if missing:
        raise UserError(
            f"{len(missing)} weights of {type(model).__name__} are not in it (first: {missing[0]})",
            where=checkpoint.name,
            fix="They would be random. Check that config.json belongs to these weights.",
        )
    if extra := [key for key in info["unexpected_keys"] if not _head_like(key)]:
        log.debug("%s: %d weights are not part of the encoder (first: %s)", checkpoint.name, len(extra), extra[0])
    require_numbers(checkpoint, model)
    return model


def from_files(
    checkpoint: Checkpoint, auto_class: Any, options: dict[str, Any], held: bool = False
) -> tuple[Any, dict[str, Any]]:
    """A model of transformers with the weights that a checkpoint has, in float32 where the options say nothing else.

    Weights that stay as they are stored, in float32, are pages of the file. Others are read and converted one by one: transformers
    would have the whole file in memory beside what it makes of it.

    Args:
        checkpoint: resolved checkpoint.
        auto_class: what of transformers loads it.
        options: what that is told besides.
        held: whether linear layers get bfloat16 weights.

    Returns:
        The model, and what transformers says of loading it.
    """
    from transformers import AutoConfig

    told = {"dtype": torch.float32, "output_loading_info": True} | options
    folder = checkpoint.files()
    read: Callable[..., Any] = partial(auto_class.from_pretrained, folder)
    stored = None if told.get("trust_remote_code") else checkpoint.tensors()
    if stored is not None and (held or any(tensor.dtype != "F32" for tensor in stored.values())):
        config = told.get("config") or AutoConfig.from_pretrained(folder, trust_remote_code=False)
        kinds = getattr(auto_class, "_model_mapping", None)
        kind: Any = auto_class if kinds is None else kinds.get(type(config), None)
        # Of some architectures there are several classes.
        if not isinstance(kind, (tuple, list, type(None))):
            read, told = partial(kind.from_pretrained, None), told | {"config": config, "state_dict": stored}
    with linear_in_half() if held else contextlib.nullcontext():
        model, said = read(**told)
    model.config.name_or_path = str(folder)
    return model, said


def require_numbers(checkpoint: Checkpoint, model: nn.Module) -> None:
    """Refuse weights that are no numbers, wherever they are: also in a token that few proteins hold, or in a head.

    Raises:
        UserError: one is NaN or infinite.
    """
    broken = [(n, bool(p.isnan().any())) for n, p in model.named_parameters() if not bool(p.isfinite().all())]
    if broken:
        name, nan = broken[0]
        more = f", and {len(broken) - 1} more" if len(broken) > 1 else ""
        raise UserError(
            f"its weights hold {'NaN' if nan else 'infinity'} (first: {name}{more})",
            where=checkpoint.name,
            fix="They were damaged, or saved by a training that diverged: get the checkpoint again, or an earlier one.",
        )


def _head_like(key: str) -> bool:
    return any(part in key for part in ("lm_head", "cls.", "classifier", "decoder", "pooler"))


def _loaded(checkpoint: Checkpoint, load: Any) -> Any:
    """Run a transformers loader on a checkpoint; what it cannot load becomes one line."""
    from transformers import CONFIG_MAPPING

    code = "If you have read that code: name@<commit> and --trust-remote-code."
    said, kind = checkpoint.config.get("auto_map"), checkpoint.config.get("model_type")
    if isinstance(said, dict) and said and kind not in CONFIG_MAPPING:
        # transformers would advise to upgrade it.
        if not checkpoint.identity.trust_remote_code:
            raise UserError("its architecture is code in its own repository", where=checkpoint.name, fix=code)
        if "AutoConfig" not in said:
            raise UserError(
                f"its code brings no configuration: auto_map of config.json names {', '.join(map(str, said))} and no AutoConfig",
                where=checkpoint.name,
                fix="Name it there, in a copy of the checkpoint.",
            )
    return loaded(load, checkpoint.name, checkpoint.config.get("model_type"), code=code)


def pretraining_facts(
    checkpoint: CheckpointIdentity, dates: Mapping[str, Sequence[date | None]]
) -> PretrainingFacts | None:
    """How many scored proteins are newer than what a checkpoint was pre-trained on; None of a task without dates.

    Names on the Hub tell what a checkpoint is, and the name of the one that bench ships: a folder is called what its owner
    likes.

    Args:
        checkpoint: as the record has it.
        dates: by split, the day on which each protein became public, None where that is not known.
    """
    if not dates:
        return None
    tells = checkpoint.source == "hub" or checkpoint.name == EMBEDDED_NAME
    kind = published_as(checkpoint.name) if tells else None
    learnt = (kind.pretraining if kind else None) or Pretraining("")
    return PretrainingFacts(
        data=learnt.data or None,
        until=learnt.until or None,
        source=learnt.source or None,
        newer={name: newer(days, learnt.until) if learnt.until else None for name, days in dates.items()},
        undated={name: sum(day is None for day in days) for name, days in dates.items()},
    )


def checkpoint_facts(checkpoint: Checkpoint, encoder: Any, weights: str) -> CheckpointFacts:
    """What was loaded, for the record."""
    config = encoder.config
    layers = getattr(config, "num_hidden_layers", None) or getattr(config, "num_layers", None)
    return CheckpointFacts(
        family=family_of(config).name,
        model_type=config.model_type,
        architecture=type(encoder).__name__,
        parameters=base_parameters(encoder),
        hidden_size=config.hidden_size,
        layers=layers,
        licence=checkpoint.licence,
        weights="random" if weights == "random" else "pretrained",
    )
