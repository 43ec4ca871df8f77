"""The longest input of a checkpoint, measured: what its code can read, whatever its configuration says of it.

RoBERTa, MPNet and Longformer begin to count positions behind the padding token, so that a table of 514 holds 512; other code
has other reasons. Read is one layer of the architecture with fresh weights, on the CPU: an index beyond a table is an error
there that can be caught, which on a GPU ends the process.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import torch

from hubtools.models.encoder import fresh_encoder
from hubtools.models.execution.translation import depth_entry
from hubtools.models.families import family_of

if TYPE_CHECKING:
    from pathlib import Path

    from hubtools.models.checkpoint import Checkpoint
    from hubtools.models.tokenisation import ResidueTokeniser

# What every encoder that can be measured reads.
SHORT = 8


def longest_input(checkpoint: Checkpoint, tokeniser: ResidueTokeniser, wanted: int) -> int:
    """Tokens, special ones included, that the checkpoint's code reads at once: as many as wanted, or fewer.

    Where one layer cannot be built or read alone, as of remote code with a configuration of its own, as many as wanted: whether
    it reads them is then seen on the whole encoder (:mod:`hubtools.training.compute.together`).

    Args:
        checkpoint: resolved.
        tokeniser: of it.
        wanted: tokens.
    """
    if wanted <= SHORT:
        return wanted
    residue = int(tokeniser.encode("A")[0])
    content = str(checkpoint.identity.commit or checkpoint.identity.sha256)
    return _measured(checkpoint.files(), content, checkpoint.identity.trust_remote_code, residue, wanted)


# By what is in the folder, too, which may be written again.
@lru_cache(maxsize=64)
def _measured(folder: Path, content: str, remote: bool, token: int, wanted: int) -> int:
    layer = _one_layer(folder, remote)
    if layer is None:
        return wanted

    @torch.no_grad()
    def reads(tokens: int) -> bool:
        ids = torch.full((1, tokens), token)
        try:
            layer(input_ids=ids, attention_mask=torch.ones_like(ids))
        # Each architecture fails in its own way; that it reads a short one and not a long one is what counts.
        except Exception:
            return False
        return True

    if not reads(SHORT) or reads(wanted):
        return wanted
    return _last(reads, SHORT, wanted)


def _last(reads: Callable[[int], bool], low: int, high: int) -> int:
    """The largest number that is read, between one that is and one that is not."""
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if reads(middle) else (low, middle)
    return low


def _one_layer(folder: Path, remote: bool) -> Any:
    """The architecture with one layer; None where it has no such form."""
    from transformers import AutoConfig

    # Before the generator of random numbers is used by what is measured.
    state = torch.random.get_rng_state()
    try:
        config = copy.deepcopy(AutoConfig.from_pretrained(folder, trust_remote_code=remote))
        family = family_of(config)
        counted = depth_entry(config, family)
        if counted is None:
            return None
        number = getattr(config, counted)
        for name, value in config.to_dict().items():
            # Settings of each layer, such as Longformer's windows of attention.
            if isinstance(value, list) and len(value) == number > 1:
                setattr(config, name, value[:1])
        setattr(config, counted, 1)
        return fresh_encoder(config, family, folder.name, remote).eval()
    except Exception:
        return None
    finally:
        torch.random.set_rng_state(state)
