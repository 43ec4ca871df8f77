"""How long a protein may be to be folded here: by memory, and on the processor by patience."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from hubtools.common.errors import UserError
from hubtools.common.files import human
from hubtools.training.compute.machine import free_memory

if TYPE_CHECKING:
    from hubtools.models.folding.folding_models import FoldingModel

# Residues that a processor folds unasked: the work grows with their cube, and a GPU does it in a minute.
LONGEST_ON_CPU = 400
# More than any protein that is known.
_LONGEST = 50_000


def fold_limit(model: FoldingModel, patient: bool = False) -> tuple[int, int | None]:
    """The most residues that a model folds on its device, and the bytes that are free there; None where the system does not say.

    Args:
        model: whose memory is estimated (:mod:`hubtools.models.folding.fold_memory`).
        patient: whether a processor has as long as it takes.
    """
    free = torch.cuda.mem_get_info(model.device)[0] if model.device.type == "cuda" else free_memory()
    low, high = 0, _LONGEST
    while free is not None and low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if model.memory(middle).total <= free else (low, middle - 1)
    return (high if patient or model.device.type != "cpu" else min(high, LONGEST_ON_CPU)), free


def refuse_long(
    model: FoldingModel, names: Sequence[str], lengths: Sequence[int], fix: str, *, patient: bool = False
) -> str:
    """What the longest protein takes, in words, where all are short enough.

    Args:
        model: that folds them.
        names: of the proteins.
        lengths: residues that the model reads of each.
        fix: what to do where one is too long.
        patient: as of :func:`fold_limit`.

    Raises:
        UserError: one is, or the weights alone are too large.
    """
    longest, free = fold_limit(model, patient)
    most = max(lengths)
    if most <= longest:
        return f"{needs(model, most)}{_free(free)}; up to {longest:,} residues are folded"
    over = sum(length > longest for length in lengths)
    why = "more do not fit into memory" if longest != LONGEST_ON_CPU else "that many take long on a processor"
    raise UserError(
        f"{over:,} of {len(lengths):,} proteins have more than {longest:,} residues, and {why} "
        f"(the longest, {names[lengths.index(most)]}, {most:,}: {needs(model, most)}{_free(free)})",
        where=f"{model.checkpoint.name} on {model.device.type}",
        fix=fix,
    )


def needs(model: FoldingModel, residues: int) -> str:
    """The memory that a protein of so many residues takes, in words."""
    memory = model.memory(residues)
    return f"about {human(memory.total)} of memory at {residues:,} residues, {human(memory.weights)} of it weights"


def _free(free: int | None) -> str:
    return "" if free is None else f", {human(free)} free"
