"""How long a protein may be to be folded here: by memory, and on the processor by patience."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from hubtools.common.errors import UserError
from hubtools.common.files import human
from hubtools.data.rows.chain_breaks import chains_of
from hubtools.training.compute.machine import free_memory

if TYPE_CHECKING:
    from hubtools.inference.asking import Protein
    from hubtools.models.folding.folding_models import FoldingModel

# Residues that a processor folds unasked: the work grows with their cube, and a GPU does it in a minute.
LONGEST_ON_CPU = 400
# More than any protein that is known.
_LONGEST = 50_000


@dataclass(frozen=True)
class FoldLimit:
    """What fits.

    Attributes:
        longest: residues that may be read at once.
        free: bytes of memory that are free; None where the system does not say.
        on_cpu: whether patience sets the limit, and not memory.
    """

    longest: int
    free: int | None
    on_cpu: bool


def fold_limit(model: FoldingModel) -> FoldLimit:
    """The most residues that this model folds on its device, by :mod:`hubtools.models.folding.fold_memory`."""
    free = torch.cuda.mem_get_info(model.device)[0] if model.device.type == "cuda" else free_memory()
    low, high = 0, _LONGEST
    while free is not None and low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if model.memory(middle).total <= free else (low, middle - 1)
    fits = high
    patient = model.device.type == "cpu" and fits > LONGEST_ON_CPU
    return FoldLimit(LONGEST_ON_CPU if patient else fits, free, patient)


def foldable(
    model: FoldingModel, proteins: Sequence[Protein], longest: int | None
) -> tuple[list[Protein], list[str], str]:
    """The proteins that are folded, what is left out, a line each, and what memory they take, in words.

    Args:
        model: that folds them.
        proteins: all of them, chains with ``:`` between.
        longest: residues that the user said to be folded whatever the estimate says; longer ones are left out.

    Raises:
        UserError: nobody said so, and a protein is too long, or the weights alone are too large.
    """
    lengths = [model.read_length(chains_of(protein.sequence)) for protein in proteins]
    limit, most = fold_limit(model), max(lengths)
    free = "" if limit.free is None else f", {human(limit.free)} free"
    if longest is not None:
        kept = [one for one, length in zip(proteins, lengths, strict=True) if length <= longest]
        left = [
            f"{one.id}: {length:,} residues, more than --max-length {longest:,}"
            for one, length in zip(proteins, lengths, strict=True)
            if length > longest
        ]
        most = max((length for length in lengths if length <= longest), default=1)
        return kept, left, _told(model, most) + free
    if most > limit.longest:
        first = proteins[lengths.index(most)].id
        over = sum(length > limit.longest for length in lengths)
        why = "that many take long on a processor" if limit.on_cpu else "more do not fit into memory"
        smaller = " --chunk-size, --samples or a GPU may help;" if model.draws else " --chunk-size or a GPU may help;"
        raise UserError(
            f"{over:,} of {len(proteins):,} proteins have more than {limit.longest:,} residues, and {why} "
            f"(the longest, {first}, {most:,}: {_told(model, most)}{free})",
            where=f"{model.checkpoint.name} on {model.device.type}",
            fix=f"{'Use a GPU;' if limit.on_cpu else smaller.strip()} --max-length N folds all up to N residues whatever "
            "the estimate, and leaves out longer ones.",
        )
    return list(proteins), [], f"{_told(model, most)}{free}; up to {limit.longest:,} residues are folded"


def _told(model: FoldingModel, residues: int) -> str:
    needs = model.memory(residues)
    return f"about {human(needs.total)} of memory at {residues:,} residues, {human(needs.weights)} of it weights"
