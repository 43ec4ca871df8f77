"""How an encoder whose code comes with its checkpoint is spoken to, where that is not as transformers' own are."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any


@dataclass(frozen=True)
class Dialect:
    """What cannot be measured of how a checkpoint's own code is asked; whatever is None is measured on the encoder.

    It is for code that comes with a checkpoint and that the user trusts. The model is asked in it where it is loaded
    (:mod:`hubtools.models.execution.translation`), so that everything behind speaks as with any encoder.

    Attributes:
        ids: what its ``forward`` calls the tokens: (rows, tokens).
        mask: what it calls the mask; None where it takes none, and reads rows of equal length together.
        additive: its mask is added to the scores of attention: 0 for tokens, minus infinity for padding.
        inputs: of tokens and mask, both (rows, tokens), what ``forward`` takes besides, by name.
        states: the part of its output that holds hidden states: ``last_hidden_state``, or ``hidden_states``, whose last is meant.
        tokens_first: its hidden states are (tokens, rows, width).
        layers: entry of config.json that counts its layers.
        auto_class: class of transformers that its ``auto_map`` is asked for, where it is not the first that is there of
            ``AutoModel``, ``AutoModelForMaskedLM`` and ``AutoModelForCausalLM``.
        tokenizer: makes its tokenizer, where its repository holds none.
        needs: of the configuration, in words, an input that cannot be made of a sequence: the checkpoint is refused so.
    """

    ids: str = "input_ids"
    mask: str | None = "attention_mask"
    additive: bool = False
    inputs: Callable[[Any, Any], Mapping[str, Any]] | None = None
    states: str | None = None
    tokens_first: bool | None = None
    layers: str | None = None
    auto_class: str | None = None
    tokenizer: Callable[[], Any] | None = None
    needs: Callable[[Any], str | None] | None = None

    @property
    def said(self) -> dict[str, Any]:
        """All of it for a digest, functions as their text."""
        found = {one.name: getattr(self, one.name) for one in fields(self)}
        return {name: _text(value) if callable(value) else value for name, value in found.items()}


def _text(function: Callable[..., Any]) -> str:
    try:
        return inspect.getsource(function)
    except (OSError, TypeError):
        code = getattr(function, "__code__", None)
        return repr(function) if code is None else f"{code.co_code.hex()} {code.co_consts!r} {code.co_names!r}"
