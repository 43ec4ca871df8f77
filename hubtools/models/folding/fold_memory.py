"""How much memory a protein's structure takes, by arithmetic at a checkpoint's configuration, before anything is downloaded.

    weights   parameters, counted on the architecture without memory, × bytes of each
    language  hidden states of the language model: two copies of (layers + 1) × residues × width × bytes
    pairs     tensors of (residues, residues, width) float32 that are there at once × 4 × residues² × width bytes

How many pair tensors are there at once was counted: every tensor of transformers' own forward of a model with the released widths and one
block a stack, from 48 to 192 residues, float32. Nothing is kept from block to block, so that more blocks need no more. The counts:

    ESMFold    14, or 10 and two sets of attention scores of ``chunk`` rows, whichever is more
    ESMFold2   3, and 15 for each sample: the confidence head has all samples at once

In lower precision the pairs of ESMFold2 are counted as float32: an upper bound.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

# Pair tensors of ESMFold beside everything but attention, and beside attention; sets of scores of the latter.
_PAIRS, _BESIDE_ATTENTION, _SCORES = 14, 10, 2
# Of ESMFold2: whatever is drawn, and for each sample.
_TRUNK_PAIRS, _SAMPLE_PAIRS = 3, 15
_FLOAT = 4


@dataclass(frozen=True)
class FoldMemory:
    """Bytes that folding one protein takes.

    Attributes:
        weights: of the parameters.
        language: of the language model's states.
        pairs: of the pair representation and what is computed of it.
    """

    weights: int
    language: int
    pairs: int

    @property
    def total(self) -> int:
        """All of it, as if it were there at the same time."""
        return self.weights + self.language + self.pairs


def esmfold_memory(config: Any, weights: int, residues: int, chunk: int | None, lm_bytes: int) -> FoldMemory:
    """Of ESMFold.

    Args:
        config: transformers' ``EsmConfig`` of a folding model.
        weights: bytes of its parameters.
        residues: read together, linkers included.
        chunk: rows of attention that are computed at once; None for all.
        lm_bytes: of one number of the language model.
    """
    trunk = config.esmfold_config.trunk
    pair = _FLOAT * residues**2 * trunk.pairwise_state_dim
    heads = trunk.pairwise_state_dim // trunk.pairwise_head_width
    scores = _FLOAT * residues**2 * heads * min(chunk or residues, residues)
    pairs = max(_PAIRS * pair, _BESIDE_ATTENTION * pair + _SCORES * scores)
    return FoldMemory(weights, _language(config, residues, lm_bytes), pairs)


def esmfold2_memory(config: Any, weights: int, residues: int, samples: int, lm_bytes: int) -> FoldMemory:
    """Of ESMFold2.

    Args:
        config: transformers' ``EsmFold2Config``.
        weights: bytes of its parameters.
        residues: of all chains.
        samples: structures that are drawn of each protein.
        lm_bytes: of one number of the language model.
    """
    pair = _FLOAT * residues**2 * config.pairwise_hidden_size
    language = _language(config.esmc_config, residues, lm_bytes)
    return FoldMemory(weights, language, (_TRUNK_PAIRS + _SAMPLE_PAIRS * samples) * pair)


def _language(config: Any, residues: int, lm_bytes: int) -> int:
    return 2 * (config.num_hidden_layers + 1) * residues * config.hidden_size * lm_bytes
