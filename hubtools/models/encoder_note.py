"""What a small model folder says of the encoder that it does without: which checkpoint's it is, and what its weights are.

A frozen encoder is the same in a thousand runs: a run keeps its head and this note, and the model is put together again when it is
asked for (:mod:`hubtools.models.assembling`). An adapter is kept beside, and merged anew.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from weakref import WeakKeyDictionary

import torch
from pydantic import Field, ValidationError
from torch import nn

from hubtools.common.bounds import LARGEST_JSON, read_bounded
from hubtools.common.errors import UserError
from hubtools.common.hashing import digest
from hubtools.common.readers import reads
from hubtools.models.adapters import is_adapter
from hubtools.models.checkpoint import ENCODER
from hubtools.models.execution.held import rounded_as_held
from hubtools.specs.names import Sha256
from hubtools.specs.record import CheckpointIdentity
from hubtools.specs.record.identities import RecordPart

if TYPE_CHECKING:
    from hubtools.specs.recipe import Recipe


class EncoderNote(RecordPart):
    """Which encoder a small model folder does without."""

    checkpoint: CheckpointIdentity
    weights: Literal["pretrained", "random"] = "pretrained"
    seed: int | None = Field(default=None, description="Of random weights, which are drawn again by it.")
    held: bool = Field(
        default=False,
        description="Whether its linear layers were held in bfloat16 in the run. The checksums are then of weights rounded so; the "
        "model that is put together has the checkpoint's own.",
    )
    adapter: bool = Field(default=False, description="Whether the adapter beside the model is merged into it.")
    base: Sha256 | None = Field(
        default=None,
        description="Of the checkpoint's weights as bench loads them; not of those that are kept in four bits.",
    )
    sha256: Sha256 | None = Field(
        default=None, description="Of its weights as they are in the model, an adapter merged."
    )
    torch: str = Field(default=torch.__version__, description="Version that the weights were made with.")


def names_encoder(checkpoint: CheckpointIdentity, recipe: Recipe) -> bool:
    """Whether a run names its encoder rather than keep it.

    It keeps it where it trained it, where what it was made of is not kept (the adapter on random weights), or where it is code of
    its own, which nobody who predicts runs.
    """
    if checkpoint.trust_remote_code:
        return False
    return recipe.adaptation == "probe" or (recipe.adaptation == "adapter" and recipe.weights == "pretrained")


def note_of(checkpoint: CheckpointIdentity, recipe: Recipe, seed: int, encoder: nn.Module) -> EncoderNote | None:
    """What a run keeps in place of its encoder, before an adapter is merged; None where it keeps the encoder itself."""
    if not names_encoder(checkpoint, recipe):
        return None
    drawn, adapted = recipe.weights == "random", recipe.adapter is not None
    in_four_bits = recipe.adapter is not None and recipe.adapter.kind == "qlora"
    return EncoderNote(
        checkpoint=checkpoint,
        weights=recipe.weights,
        seed=seed if drawn else None,
        held=recipe.holds,
        adapter=adapted,
        base=None if in_four_bits else weights_sha256(encoder),
    )


@reads("note of an encoder")
def read_note(folder: Path) -> EncoderNote:
    """The note in a model's folder.

    Raises:
        UserError: it is not as bench writes it.
    """
    try:
        return EncoderNote.model_validate_json(read_bounded(folder / ENCODER, LARGEST_JSON))
    except (OSError, ValidationError):
        raise UserError(
            f"{ENCODER} is not as bench writes it", where=str(folder), fix="Get it again, or run it again with --force."
        ) from None


# Of encoders that stay as they are, which many runs share: by where their weights are and how often these were changed.
_KNOWN: WeakKeyDictionary[nn.Module, tuple[tuple[Any, ...], str]] = WeakKeyDictionary()


def weights_sha256(encoder: nn.Module, held: bool = False) -> str:
    """sha256 of an encoder's weights, of an adapter inside nothing.

    It is of type, shape and bytes of each parameter in the order of the modules: names are left out, which libraries change.

    Args:
        encoder: whose weights they are.
        held: of an encoder in float32, as if its linear layers were held in bfloat16.
    """
    if held:
        return digest([_of_one(value) for value in rounded_as_held(encoder)])
    own = [value for name, value in encoder.named_parameters() if not is_adapter(name)]
    state = tuple((value.data_ptr(), value._version) for value in own)
    known = _KNOWN.get(encoder)
    if known is None or known[0] != state:
        known = _KNOWN[encoder] = (state, digest([_of_one(value.detach()) for value in own]))
    return known[1]


def _of_one(value: torch.Tensor) -> list[Any]:
    plain = value.cpu().contiguous()
    content = plain.reshape(-1).view(torch.uint8).numpy()
    return [str(plain.dtype), list(plain.shape), hashlib.sha256(content.data).hexdigest()]
