"""A checkpoint under its own masked-language-model head: float32, complete, or refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from hubtools.common.errors import UserError
from hubtools.common.readers import reads
from hubtools.models.encoder import _loaded, require_numbers
from hubtools.models.execution.translation import translated_whole
from hubtools.models.families import family_of

if TYPE_CHECKING:
    from hubtools.models.checkpoint import Checkpoint
    from hubtools.models.tokenisation import ResidueTokeniser

_NEEDED = (
    "Zero-shot scoring asks the head of pre-training: give the checkpoint as published for masked language modelling."
)


@reads("checkpoint")
def load_masked_lm(checkpoint: Checkpoint, *, weights: str = "pretrained", seed: int = 0) -> nn.Module:
    """The checkpoint as ``AutoModelForMaskedLM`` in float32, every weight of it from the checkpoint.

    Weights that are another's by construction (an output embedding tied to the input's) are not missing.

    Args:
        checkpoint: resolved checkpoint.
        weights: ``pretrained``, or ``random`` for the architecture with fresh weights.
        seed: of the fresh weights.

    Raises:
        UserError: the architecture has no such head, the head or other weights are missing, they are damaged, or hold NaN.
    """
    from transformers import AutoConfig, AutoModelForMaskedLM

    folder, remote = checkpoint.files(), checkpoint.identity.trust_remote_code
    config = _loaded(checkpoint, lambda: AutoConfig.from_pretrained(folder, trust_remote_code=remote))
    family = family_of(config)
    in_its_code = remote and "AutoModelForMaskedLM" in (getattr(config, "auto_map", None) or {})
    known = type(config) in AutoModelForMaskedLM._model_mapping
    if not family.masked_lm or not (known or in_its_code) or getattr(config, "is_encoder_decoder", False):
        raise UserError(
            f"the architecture {config.model_type} has no masked-language-model head",
            where=checkpoint.name,
            fix=_NEEDED,
        )
    if weights == "random":
        torch.manual_seed(seed)
        fresh = AutoModelForMaskedLM.from_config(config, **({"trust_remote_code": True} if in_its_code else {}))
        return translated_whole(fresh.float(), family, checkpoint.name).eval() if in_its_code else fresh.float().eval()
    model, info = _loaded(
        checkpoint,
        lambda: AutoModelForMaskedLM.from_pretrained(
            folder, dtype=torch.float32, output_loading_info=True, trust_remote_code=remote
        ),
    )
    unused = [part for part in family.unused_weights if not part.startswith(("decoder", "lm_head"))]
    missing = [key for key in sorted(info["missing_keys"]) if not any(part in key for part in unused)]
    if missing:
        of_head = all(not key.startswith(f"{model.base_model_prefix}.") for key in missing)
        what = "its language-model head is not in it, or not all of it" if of_head else "it is not complete"
        raise UserError(
            f"{what}: {len(missing)} weight{'s' * (len(missing) > 1)} of {type(model).__name__} would be random "
            f"(first: {missing[0]})",
            where=checkpoint.name,
            fix=_NEEDED,
        )
    require_numbers(checkpoint, model)
    return translated_whole(model, family, checkpoint.name).eval() if in_its_code else model.eval()


def mask_token(tokeniser: ResidueTokeniser, name: str) -> int:
    """The token that stands for a residue that is to be told.

    Raises:
        UserError: the tokenizer has none, or its mask does not stand for one residue.
    """
    token: Any = tokeniser.tokenizer.mask_token_id
    spelling = tokeniser.form.spelling
    if not spelling.of_residues:
        raise UserError(
            f"its tokens are residues {spelling.title}, whose likelihoods are not those of residues alone",
            where=name,
            fix="Choose a checkpoint that reads residues.",
        )
    if token is None:
        raise UserError("its tokenizer has no mask token", where=name, fix=_NEEDED)
    if tokeniser.rows is not None and token >= tokeniser.rows:
        raise UserError(
            f"its mask token (token {token}) is none of the {tokeniser.rows} that its weights have embeddings of",
            where=name,
            fix=_NEEDED,
        )
    return int(token)
