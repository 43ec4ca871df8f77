"""Whether a residue sees what follows it, and what precedes it: measured on the very encoder, whatever its configuration says."""

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
    """What the states of an encoder see: one protein is read three times, with another last token and with another first one.

    Args:
        encoder: on the device, as it is before training.
        tokeniser: of the same checkpoint, whose tokens need not be residues.
        device: of the encoder.
    """
    ids = tokeniser.encode("".join(np.random.default_rng(1).choice(list(STANDARD), RESIDUES)))
    start, last = len(tokeniser.prefix), len(tokeniser.prefix) + len(ids) - 1

    def other(place: int) -> np.ndarray:
        """The same tokens but for one, which is another of a residue's or piece's."""
        changed = ids.copy()
        changed[place] = next(
            token for token in (*ids.tolist(), *tokeniser.encode("AW").tolist()) if token != ids[place]
        )
        return changed

    def states(tokens: np.ndarray) -> torch.Tensor:
        row = torch.from_numpy(tokeniser.with_special(tokens))[None].to(device)
        return unpadded(encoder, row).last_hidden_state[0].float()

    with still(encoder):
        read, end, beginning = states(ids), states(other(-1)), states(other(0))
    change = distance([end[:last]], [read[:last]]) if last else 0.0
    after = distance([beginning[start + 1 :]], [read[start + 1 :]]) if len(ids) > 1 else 0.0
    # What is not a number has seen something.
    return ContextFacts(
        follows=not change <= UNCHANGED,
        precedes=not after <= UNCHANGED,
        change=float(f"{change:.3g}") if np.isfinite(change) else None,
    )
