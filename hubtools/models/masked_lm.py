"""A checkpoint under a head of its pre-training, of language modelling or of contacts: float32, complete, or refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import nn

from hubtools.common.errors import UserError
from hubtools.common.readers import reads
from hubtools.models.encoder import _loaded, from_files, require_numbers
from hubtools.models.execution.translation import translated_whole
from hubtools.models.families import family_of

if TYPE_CHECKING:
    from hubtools.models.checkpoint import Checkpoint
    from hubtools.models.tokenisation import ResidueTokeniser

_NEEDED = (
    "Zero-shot scoring asks the head of pre-training: give the checkpoint as published for masked language modelling."
)
_INSTEAD_OF_HEAD = (
    "ESM-1b, ESM-2 as published have one; any masked language model can be asked by --recipe categorical-jacobian."
)
_NEEDED_CAUSAL = "Log-likelihoods ask the head of pre-training: give a decoder as published for language modelling."


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
    from transformers import AutoModelForMaskedLM

    return language_model_of(checkpoint, AutoModelForMaskedLM, "masked", weights, seed)


@reads("checkpoint")
def load_contact_model(checkpoint: Checkpoint) -> nn.Module:
    """The checkpoint's encoder with the contact head that its weights hold, in float32.

    Its attention is computed step by step (``eager``): the others do not give the maps that the head reads.

    Args:
        checkpoint: resolved checkpoint.

    Raises:
        UserError: the architecture has no such head, its or other weights are missing, they are damaged, or hold NaN.
    """
    from transformers import AutoConfig, AutoModel

    folder = checkpoint.files()
    config = _loaded(checkpoint, lambda: AutoConfig.from_pretrained(folder))
    kind: Any = AutoModel._model_mapping.get(type(config), None)
    if not hasattr(kind, "predict_contacts") or checkpoint.identity.trust_remote_code:
        raise UserError(
            f"the architecture {config.model_type} has no contact head", where=checkpoint.name, fix=_INSTEAD_OF_HEAD
        )
    options = {"attn_implementation": "eager", "add_pooling_layer": False}
    model, info = _loaded(checkpoint, lambda: from_files(checkpoint, kind, options))
    absent = [part for part in family_of(config).unused_weights if not part.startswith("contact_head")]
    missing = [key for key in sorted(info["missing_keys"]) if not any(part in key for part in absent)]
    if missing:
        of_head = all(key.startswith("contact_head.") for key in missing)
        what = "its weights hold no trained contact head" if of_head else "it is not complete"
        raise UserError(
            f"{what}: {len(missing)} weight{'s' * (len(missing) > 1)} would be random (first: {missing[0]})",
            where=checkpoint.name,
            fix=_INSTEAD_OF_HEAD,
        )
    require_numbers(checkpoint, model)
    return model.eval()


def language_model_of(
    checkpoint: Checkpoint, auto: Any, kind: Literal["masked", "causal"], weights: str, seed: int
) -> nn.Module:
    """The checkpoint as a class of transformers' for language models.

    Args:
        checkpoint: resolved checkpoint.
        auto: that finds the class, such as ``AutoModelForMaskedLM``.
        kind: of head, for messages.
        weights, seed: as of :func:`load_masked_lm`.

    Raises:
        UserError: as there.
    """
    from transformers import AutoConfig

    folder, remote = checkpoint.files(), checkpoint.identity.trust_remote_code
    config = _loaded(checkpoint, lambda: AutoConfig.from_pretrained(folder, trust_remote_code=remote))
    family = family_of(config)
    in_its_code = remote and auto.__name__ in (getattr(config, "auto_map", None) or {})
    known = type(config) in auto._model_mapping
    tells = family.masked_lm or kind == "causal"
    if not tells or not (known or in_its_code) or getattr(config, "is_encoder_decoder", False):
        raise UserError(
            f"the architecture {config.model_type} has no {kind}-language-model head",
            where=checkpoint.name,
            fix=_instead(config, kind, remote),
        )
    if weights == "random":
        torch.manual_seed(seed)
        fresh = auto.from_config(config, **({"trust_remote_code": True} if in_its_code else {}))
        return translated_whole(fresh.float(), family, checkpoint.name).eval() if in_its_code else fresh.float().eval()
    model, info = _loaded(checkpoint, lambda: from_files(checkpoint, auto, {"trust_remote_code": remote}))
    unused = [part for part in family.unused_weights if not part.startswith(("decoder", "lm_head"))]
    missing = [key for key in sorted(info["missing_keys"]) if not any(part in key for part in unused)]
    if missing:
        of_head = all(not key.startswith(f"{model.base_model_prefix}.") for key in missing)
        what = "its language-model head is not in it, or not all of it" if of_head else "it is not complete"
        raise UserError(
            f"{what}: {len(missing)} weight{'s' * (len(missing) > 1)} of {type(model).__name__} would be random "
            f"(first: {missing[0]})",
            where=checkpoint.name,
            fix=_NEEDED if kind == "masked" else _NEEDED_CAUSAL,
        )
    require_numbers(checkpoint, model)
    return translated_whole(model, family, checkpoint.name).eval() if in_its_code else model.eval()


def _instead(config: Any, kind: str, remote: bool) -> str:
    """What to do about a head that is not there."""
    from transformers import AutoModelForCausalLM, AutoModelForMaskedLM

    def there(auto: Any) -> bool:
        in_its_code = remote and auto.__name__ in (getattr(config, "auto_map", None) or {})
        return in_its_code or type(config) in auto._model_mapping

    masked, causal = there(AutoModelForMaskedLM), there(AutoModelForCausalLM)
    if getattr(config, "is_encoder_decoder", False) or masked == causal:
        return _NEEDED if kind == "masked" else _NEEDED_CAUSAL
    if masked:
        return "It has a masked-language-model head: use --recipe masked-marginals."
    return "It has a causal-language-model head: use --recipe log-likelihood, if it is a decoder."


def require_mask(tokeniser: ResidueTokeniser, name: str) -> None:
    """Make sure that a residue can be hidden: by the mask token, or where tokens are of residue and structure by ``#``.

    Raises:
        UserError: the tokenizer has no such token, or its mask does not stand for one residue.
    """
    spelling = tokeniser.form.spelling
    if tokeniser.pairs is not None:
        return
    if not spelling.of_residues:
        lacking = ", and its vocabulary lacks some of them with 3Di letters" if spelling.structured else ""
        raise UserError(
            f"its tokens are residues {spelling.title}, whose likelihoods are not those of residues alone{lacking}",
            where=name,
            fix="Choose a checkpoint that reads residues.",
        )
    token: Any = tokeniser.tokenizer.mask_token_id
    if token is None:
        raise UserError("its tokenizer has no mask token", where=name, fix=_NEEDED)
    if tokeniser.rows is not None and token >= tokeniser.rows:
        raise UserError(
            f"its mask token (token {token}) is none of the {tokeniser.rows} that its weights have embeddings of",
            where=name,
            fix=_NEEDED,
        )


def hidden_tokens(tokeniser: ResidueTokeniser, structure: str) -> np.ndarray:
    """The tokens that stand for residues that are to be told: (residues,) int64.

    Args:
        tokeniser: of which :func:`require_mask` holds.
        structure: a 3Di letter of each, which stays where the checkpoint reads structure; # where it is not known.
    """
    if tokeniser.pairs is not None:
        return tokeniser.pairs.hidden(structure)
    return np.full(len(structure), int(tokeniser.tokenizer.mask_token_id), dtype=np.int64)


def residue_tokens(tokeniser: ResidueTokeniser, letters: str) -> np.ndarray:
    """The tokens that a residue may be, whose probabilities are added up: (letters, tokens) int64.

    One for each residue; of tokens of residue and structure those with all 3Di letters, and #, as SaProt's authors add
    them up (Su et al. 2024, doi:10.1101/2023.10.01.560349).
    """
    if tokeniser.pairs is not None:
        return tokeniser.pairs.of_residues(letters)
    assert tokeniser.table is not None
    return tokeniser.table[[ord(letter) for letter in letters]][:, None]
