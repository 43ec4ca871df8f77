"""Proteins folded one after the other, or found folded; those that another process is at come again when the others are done."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from hubtools.common.errors import UserError
from hubtools.data.rows.chain_breaks import chains_of
from hubtools.runs.claims import ClaimedElsewhere, wait_for_one
from hubtools.training.folding.structure_predictions import draw_of, fold_one

if TYPE_CHECKING:
    from hubtools.inference.asking import Protein
    from hubtools.inference.folding.folds_folder import FoldsFolder
    from hubtools.models.folding.folding_models import FoldingModel


def fold_in_turn(
    model: FoldingModel,
    folder: FoldsFolder,
    proteins: Sequence[Protein],
    stems: Sequence[str],
    numbers: Sequence[int],
    *,
    seed: int,
    begins: Callable[[int], None],
    helping: bool = False,
) -> Iterator[tuple[int, UserError | None]]:
    """Fold proteins that are not there yet.

    So processes that share a folder divide what is to be folded, and each ends when all of it is. A protein whose process was killed is
    taken over.

    Args:
        model: that folds.
        folder: that structures go to; it was begun.
        proteins, stems: all that were asked for, and what their files are called.
        numbers: of those that are to be folded, in order.
        seed: of what the model draws.
        begins: is told the number of a protein that is about to be folded.
        helping: whether they are the part of other processes: nobody is waited for.

    Yields:
        The number of a protein, and why it could not be folded; None of one whose structure is there.

    Raises:
        UserError: the weights are not to be had, or the folder cannot be written.
    """
    left = list(numbers)
    while left:
        busy: dict[int, Path] = {}
        for number in left:
            protein, stem = proteins[number], stems[number]
            if folder.found(protein, stem, whole=not helping) is not None:
                yield number, None
                continue
            _ = model.model  # Loading is not of the first protein's seconds.
            why = None
            try:
                with folder.claimed(stem) as claim:
                    if folder.found(protein, stem) is None:
                        begins(number)
                        begun, chains = time.perf_counter(), chains_of(protein.sequence)
                        try:
                            folded = fold_one(
                                model, chains, draw_of(seed, protein.sequence), protein.id, _less(model, chains)
                            )
                        except UserError as error:
                            why = _of_protein(error, protein.id)
                        else:
                            if model.device.type == "cuda":
                                peak = torch.cuda.max_memory_allocated(model.device)
                                folder.own["peak memory of the device"] = peak
                            seconds = time.perf_counter() - begun
                            folder.add(claim, protein, stem, folded, seconds, seed if model.draws else None)
            except ClaimedElsewhere as error:
                busy[number] = error.folder
                continue
            folder.gather(wait=False)
            yield number, why
        if helping:
            return
        if busy and len(busy) == len(left):
            wait_for_one(list(busy.values()))
        left = list(busy)


def _less(model: FoldingModel, chains: Sequence[str]) -> str:
    """What to do where memory does not suffice."""
    fewer = ", fewer --samples" if model.draws else ""
    return f"Use a smaller --chunk-size{fewer}, or leave it out: --max-length {model.read_length(chains) - 1}."


def _of_protein(error: UserError, name: str) -> UserError:
    """The same error, which says of which protein it is."""
    where = name if error.where in {None, name} else f"{name}, {error.where}"
    return UserError(error.what, where=where, fix=error.fix)
