"""An encoder whose code comes with its checkpoint, asked and answering as transformers' own encoders do.

What a family's dialect does not say is measured on the encoder where it is loaded: what its ``forward`` takes, and, of a padded batch,
where the hidden states are in what it gives, in which order, and how wide. What is missing is said by name.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn
from transformers.utils.generic import ModelOutput

from hubtools.common.errors import UserError, in_brackets
from hubtools.models.families import Dialect, Family
from hubtools.models.families.family import entry

# Rows and their lengths, in tokens, of the batch that is read: more tokens than rows, so that the order shows.
LENGTHS = (7, 5, 4)
_FIX = "A family file can say how: docs/extending.md."
_LAYERS = ("num_hidden_layers", "num_layers", "n_layers", "n_layer", "depth")


@dataclass
class Answer(ModelOutput):
    """What an encoder gives: hidden states (rows, tokens, width) of the last layer, of all, and logits where it has them."""

    last_hidden_state: Any = None
    hidden_states: Any = None
    logits: Any = None


class Translated:
    """Goes before the class of an encoder, whose ``forward`` it asks in its dialect."""

    dialect: Dialect
    # What ``forward`` takes by name, and whether it insists on its mask.
    takes: frozenset[str]
    needs_mask: bool
    # Whether logits are (tokens, rows, vocabulary).
    logits_turned: bool = False

    def forward(
        self, input_ids: Any, attention_mask: Any = None, output_hidden_states: bool = False, **options: Any
    ) -> Answer:
        """As an encoder of transformers."""
        dialect = self.dialect
        asked = self.asked(input_ids, attention_mask, output_hidden_states or dialect.states == "hidden_states")
        out = super().forward(**asked, **options)  # type: ignore[misc]
        every, logits = _part(out, "hidden_states"), _part(out, "logits")
        last = every[-1] if dialect.states == "hidden_states" else _last(out)
        if dialect.tokens_first:
            last = last.transpose(0, 1)
            every = None if every is None else [one.transpose(0, 1) for one in every]
        return Answer(
            last_hidden_state=last,
            hidden_states=tuple(every) if output_hidden_states and every is not None else None,
            logits=logits.transpose(0, 1) if self.logits_turned else logits,
        )

    def asked(self, input_ids: Any, attention_mask: Any, all_states: bool) -> dict[str, Any]:
        """Tokens and mask (rows, tokens) as the arguments of its own ``forward``."""
        dialect = self.dialect
        given: dict[str, Any] = {dialect.ids: input_ids}
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        if dialect.mask is not None and (attention_mask is not None or self.needs_mask):
            given[dialect.mask] = self._added(mask) if dialect.additive else mask
        if dialect.inputs is not None:
            given |= dialect.inputs(input_ids, mask)
        if "output_hidden_states" in self.takes:
            given["output_hidden_states"] = all_states
        return given

    def _added(self, mask: torch.Tensor) -> torch.Tensor:
        """Zero for tokens, minus infinity for padding, in the precision of what it is added to."""
        kind = mask.device.type
        half = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else None
        dtype = half or next(self.parameters()).dtype  # type: ignore[attr-defined]
        return torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill(~mask.bool(), -torch.inf)


def translated(encoder: Any, family: Family, name: str, *, whole: bool = False) -> nn.Module:
    """An encoder that may speak another way, asked in it from now on; its weights and their names stay.

    One that speaks as transformers' own is left as it is.

    Args:
        encoder: of code that came with the checkpoint, on the CPU; changed in place.
        family: of the checkpoint.
        name: of the checkpoint, for messages.
        whole: it has a language-model head, whose logits are wanted too.

    Raises:
        UserError: it needs what cannot be given, or gives no hidden states.
    """
    own, kind = family.dialect or Dialect(), type(encoder)
    if own.needs is not None and (lacking := own.needs(encoder.config)) is not None:
        raise UserError(
            f"its code reads {lacking} beside the residues, and bench has the sequence alone",
            where=name,
            fix="Use a checkpoint that reads sequences.",
        )
    names, required, anything = _inputs(kind)
    dialect = _spoken(own, names, anything)
    if dialect is None:
        needed = _listed([own.ids, own.mask, *_extra(own)])
        raise UserError(f"its forward takes {_listed(names)}; bench needs {needed}", where=name, fix=_FIX)
    given = [dialect.ids, dialect.mask, *_extra(dialect)]
    if missing := [one for one in required if one not in given]:
        raise UserError(
            f"its forward needs {_listed(missing)} besides; bench gives {_listed(given)}", where=name, fix=_FIX
        )
    made: Any = type(
        kind.__name__,
        (Translated, kind),
        {
            "__module__": kind.__module__,
            "dialect": dialect,
            "takes": frozenset(names + ["output_hidden_states"] * anything),
            "needs_mask": dialect.mask in required,
            # With its head it is one model: no part of it is asked in the same way.
            **({"base_model": property(lambda self: self)} if whole else {}),
        },
    )
    encoder.__class__ = made
    try:
        plain = _measure(encoder, made, name, [one for one in given if one is not None])
    except BaseException:
        encoder.__class__ = kind
        raise
    if plain and not whole:
        encoder.__class__ = kind
    return encoder


def translated_whole(model: Any, family: Family, name: str) -> nn.Module:
    """A language model, of which the part below the head is asked too (``base_model``): left as it is where both speak plainly.

    Raises:
        UserError: as :func:`translated`.
    """
    base = model.base_model
    if base is not model:
        kind = type(base)
        try:
            plain = type(translated(base, family, name)) is kind
        except UserError:
            plain = False
        base.__class__ = kind
        if plain:
            return model
    return translated(model, family, name, whole=True)


def depth_entry(config: Any, family: Family) -> str | None:
    """The entry of a configuration that counts layers; None where none is known to."""
    own = family.dialect.layers if family.dialect is not None else None
    return next((name for name in (own, *_LAYERS) if name and isinstance(entry(config, name), int)), None)


def _inputs(kind: type) -> tuple[list[str], list[str], bool]:
    """What ``forward`` takes, what of it has no default, and whether it takes anything else."""
    parameters = list(inspect.signature(kind.forward).parameters.values())[1:]  # type: ignore[attr-defined]
    plain = [one for one in parameters if one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)]
    anything = any(one.kind is one.VAR_KEYWORD for one in parameters)
    return [one.name for one in plain], [one.name for one in plain if one.default is one.empty], anything


def _spoken(own: Dialect, names: list[str], anything: bool) -> Dialect | None:
    """The family's dialect, or the plain one where a checkpoint speaks it; None where ``forward`` takes neither."""
    for dialect in (own, Dialect(layers=own.layers)):
        # One that takes anything and names nothing is taken at its word.
        blind = anything and not names
        if not blind and (dialect.ids not in names or not (anything or set(_extra(dialect)) <= set(names))):
            continue
        if dialect.mask is not None and dialect.mask not in names and not anything:
            # Rows of equal length need none, and are read so where padding shows.
            return replace(dialect, mask=None)
        return dialect
    return None


def _extra(dialect: Dialect) -> list[str]:
    """What a dialect gives beside tokens and mask."""
    if dialect.inputs is None:
        return []
    ids = torch.zeros(1, 2, dtype=torch.long)
    return list(dialect.inputs(ids, torch.ones_like(ids)))


@torch.no_grad()
def _measure(encoder: Any, made: Any, name: str, given: list[str]) -> bool:
    """Read a padded batch, and note where the hidden states are, in which order, and how wide.

    Returns:
        Whether all is as with an encoder of transformers.

    Raises:
        UserError: it cannot read it, or gives no hidden states.
    """
    dialect, config = made.dialect, encoder.config
    vocabulary = entry(config, "vocab_size")
    token = min(5, vocabulary - 1) if isinstance(vocabulary, int) and vocabulary > 0 else 5
    rows, tokens = len(LENGTHS), max(LENGTHS)
    ids = torch.full((rows, tokens), token)
    mask = (torch.arange(tokens) < torch.tensor(LENGTHS)[:, None]).long()
    modes = [(module, module.training) for module in encoder.modules()]
    encoder.eval()
    try:
        out = super(Translated, encoder).forward(**encoder.asked(ids, mask, True))
    # Each architecture fails in its own way.
    except Exception as error:
        raise UserError(
            f"its code stops at a batch of short rows{in_brackets(error)}, given {_listed(given)} of what its forward "
            f"takes: {_listed(_inputs(made.__mro__[2])[0])}",
            where=name,
            fix=_FIX,
        ) from None
    finally:
        for module, training in modes:
            module.training = training
    every, logits = _part(out, "hidden_states"), _part(out, "logits")
    # What only stands first may be logits, where there is a head.
    last = _part(out, "last_hidden_state") if _has_head(encoder) else _last(out)
    states = dialect.states or ("hidden_states" if last is None else "last_hidden_state")
    found = last if states == "last_hidden_state" else every[-1] if every is not None and len(every) else None
    if not isinstance(found, torch.Tensor):
        raise UserError(
            f"its forward gives {_given(out)}, and no hidden states (last_hidden_state or hidden_states)",
            where=name,
            fix=_FIX,
        )
    shape = tuple(found.shape)
    orders: dict[tuple[int, ...], bool] = {(rows, tokens): False, (tokens, rows): True}
    turned = orders.get(shape[:2])
    if len(shape) != 3 or turned is None or dialect.tokens_first not in (None, turned):
        raise UserError(
            f"of {rows} rows of {tokens} tokens its forward gives hidden states of the shape {shape}; bench needs "
            f"({rows}, {tokens}, width)",
            where=name,
            fix=_FIX,
        )
    made.dialect = replace(dialect, states=states, tokens_first=turned)
    made.logits_turned = isinstance(logits, torch.Tensor) and tuple(logits.shape[:2]) == (tokens, rows)
    # What everything behind asks for, under the name that transformers has for it.
    if entry(config, "hidden_size") != shape[2]:
        config.hidden_size = shape[2]
    _note_depth(encoder, dialect)
    plain = replace(
        Dialect(),
        layers=dialect.layers,
        auto_class=dialect.auto_class,
        tokenizer=dialect.tokenizer,
        needs=dialect.needs,
    )
    named = getattr(out, "last_hidden_state", None) is not None
    return named and made.dialect == replace(plain, states="last_hidden_state", tokens_first=False)


def _note_depth(encoder: Any, dialect: Dialect) -> None:
    """Put the number of layers where transformers has it: of the entry that counts them, else of the outermost list of modules."""
    config = encoder.config
    if dialect.layers is None and isinstance(entry(config, "num_hidden_layers"), int):
        return
    counted = [value for name in (dialect.layers, *_LAYERS) if name and isinstance(value := entry(config, name), int)]
    lists = [len(module) for module in encoder.modules() if isinstance(module, nn.ModuleList) and len(module)]
    if counted or lists:
        config.num_hidden_layers = [*counted, *lists][0]


def _has_head(encoder: Any) -> bool:
    try:
        return encoder.get_output_embeddings() is not None
    except (AttributeError, NotImplementedError, TypeError):
        return False


def _part(out: Any, name: str) -> Any:
    return out.get(name) if isinstance(out, Mapping) else getattr(out, name, None)


def _last(out: Any) -> Any:
    """The hidden states of the last layer, where they are given by that name, or as the first or only thing."""
    if isinstance(out, tuple):
        out = out[0] if out else None
    return out if isinstance(out, torch.Tensor) else _part(out, "last_hidden_state")


def _given(out: Any) -> str:
    """What came out, in words."""
    names = list(out) if isinstance(out, Mapping) else list(getattr(out, "__dict__", {}))
    return _listed([name for name in names if _part(out, name) is not None]) or f"a {type(out).__name__}"


def _listed(names: Any) -> str:
    found = [str(name) for name in names if name is not None]
    return " and ".join([", ".join(found[:-1]), found[-1]] if len(found) > 1 else found)
