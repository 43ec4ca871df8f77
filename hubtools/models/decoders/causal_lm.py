"""A decoder under the head of its pre-training, which tells the next token: float32, complete, or refused."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from hubtools.common.readers import reads
from hubtools.models.families import family_of
from hubtools.models.masked_lm import language_model_of

if TYPE_CHECKING:
    from torch import nn

    from hubtools.models.checkpoint import Checkpoint
    from hubtools.models.tokenisation import ResidueTokeniser

Direction = Literal["forward", "backward"]


@reads("checkpoint")
def load_causal_lm(checkpoint: Checkpoint, *, weights: str = "pretrained", seed: int = 0) -> nn.Module:
    """The checkpoint as ``AutoModelForCausalLM``; arguments and errors as of :func:`hubtools.models.masked_lm.load_masked_lm`.

    Whether it is a decoder is measured, not looked up: :mod:`hubtools.training.compute.context`.
    """
    from transformers import AutoModelForCausalLM

    return language_model_of(checkpoint, AutoModelForCausalLM, "causal", weights, seed)


def directions_of(config: Any) -> tuple[Direction, ...]:
    """The directions in which a checkpoint of this configuration read proteins in pre-training."""
    return ("forward", "backward") if family_of(config).backwards else ("forward",)


def row_of(
    tokeniser: ResidueTokeniser, ids: np.ndarray, direction: Direction, backwards: str | None
) -> tuple[np.ndarray, int]:
    """The tokens of a piece of a protein in one direction, and the place of the residue that is read first.

    Args:
        tokeniser: of the checkpoint.
        ids: (residues,) tokens in the order of the protein.
        direction: ``backward`` begins with the last residue.
        backwards: of its family (:class:`hubtools.models.families.Family`).
    """
    if direction == "forward":
        return tokeniser.with_special(ids), len(tokeniser.prefix)
    if backwards == "all":
        return tokeniser.with_special(ids)[::-1].copy(), len(tokeniser.suffix)
    return tokeniser.with_special(ids[::-1]), len(tokeniser.prefix)


def first_is_told(tokeniser: ResidueTokeniser, directions: Sequence[Direction], backwards: str | None) -> bool:
    """Whether something stands before the residue that is read first, in each direction, so that its likelihood is told."""
    return all(row_of(tokeniser, np.zeros(1, np.int64), way, backwards)[1] > 0 for way in directions)
