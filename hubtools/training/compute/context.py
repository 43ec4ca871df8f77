"""Whether a residue sees what follows it: measured on the very encoder, whatever its configuration says of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from hubtools.models.modeling_protein_task import unpadded
from hubtools.models.tokenisation import STANDARD, ResidueTokeniser
from hubtools.specs.record import ContextFacts
from hubtools.training.compute.proof import distance, still

# Residues that are read, and what may change of the states before another last one, as a share of the largest value. A decoder
# computes them again from the same numbers, so that nothing does; of the tiny encoders of all families at least 1e-4 does.
RESIDUES, UNCHANGED = 24, 1e-6


@torch.no_grad()
def context_of(encoder: Any, tokeniser: ResidueTokeniser, device: torch.device) -> ContextFacts:
    """What the states of an encoder see: one protein is read twice, the second time with another last token.

    Args:
        encoder: on the device, as it is before training.
        tokeniser: of the same checkpoint, whose tokens need not be residues.
        device: of the encoder.
    """
    sequence = "".join(np.random.default_rng(1).choice(list(STANDARD), RESIDUES))
    ids = tokeniser.encode(sequence)
    other = ids.copy()
    other[-1] = next(token for token in (*ids.tolist(), *tokeniser.encode("AW").tolist()) if token != ids[-1])
    last = len(tokeniser.prefix) + len(ids) - 1

    def states(tokens: np.ndarray) -> torch.Tensor:
        row = torch.from_numpy(tokeniser.with_special(tokens))[None].to(device)
        return unpadded(encoder, row).last_hidden_state[0, :last].float()

    with still(encoder):
        first, second = states(ids), states(other)
    change = distance([second], [first]) if last else 0.0
    # What is not a number has seen something.
    return ContextFacts(
        follows=not change <= UNCHANGED, change=float(f"{change:.3g}") if np.isfinite(change) else None
    )
