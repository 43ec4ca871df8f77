"""Proteins folded one after the other, or found folded; those that another process is at come again when the others are done."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
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

# The number of a protein, and why it could not be folded; None of one whose structure is there.
Folded = tuple[int, UserError | None]


@dataclass
class FoldTurns:
    """Folds what is not there yet. So processes that share a folder divide what is to be folded; what a killed one was at is taken over.

    Attributes:
        model: that folds.
        folder: that structures go to; it was begun.
        proteins, stems: all that were asked for, and what their files are called.
        seed: of what the model draws.
        begins: is told the number of a protein that is about to be folded.
    """

    model: FoldingModel
    folder: FoldsFolder
    proteins: Sequence[Protein]
    stems: Sequence[str]
    seed: int
    begins: Callable[[int], None]

    def in_turn(self, numbers: Iterable[int], spare: Iterator[int]) -> Iterator[Folded]:
        """Fold some proteins, and end when all of them are there, whoever folds them.

        Args:
            numbers: of the proteins, in order.
            spare: of others, which are folded where else another process would be waited for.

        Yields:
            Each of them as it is there, and those of the others that this process folds.

        Raises:
            UserError: the weights are not to be had, or the folder cannot be written.
        """
        left = list(numbers)
        while left:
            busy: dict[int, Path] = {}
            for number in left:
                try:
                    why = self._one(number, whole=True)
                except ClaimedElsewhere as error:
                    busy[number] = error.folder
                    continue
                yield number, why
            if busy and len(busy) == len(left):
                helped = next(self.free(spare), None)
                if helped is None:
                    wait_for_one(list(busy.values()))
                else:
                    yield helped
            left = list(busy)

    def free(self, spare: Iterator[int]) -> Iterator[Folded]:
        """Fold those of some proteins that are neither there nor claimed; arguments and what is yielded as of :meth:`in_turn`."""
        for number in spare:
            if self.folder.found(self.proteins[number], self.stems[number], whole=False) is not None:
                continue
            try:
                why = self._one(number, whole=False)
            except ClaimedElsewhere:
                continue
            yield number, why

    def _one(self, number: int, whole: bool) -> UserError | None:
        """Fold one protein unless it is there; why it could not be folded.

        Raises:
            ClaimedElsewhere: another process is at it.
        """
        model, folder, protein, stem = self.model, self.folder, self.proteins[number], self.stems[number]
        if folder.found(protein, stem, whole=whole) is not None:
            return None
        _ = model.model  # Loading is not of the first protein's seconds.
        with folder.claimed(stem) as claim:
            if folder.found(protein, stem) is not None:
                return None
            self.begins(number)
            begun, chains = time.perf_counter(), chains_of(protein.sequence)
            try:
                folded = fold_one(model, chains, draw_of(self.seed, protein.sequence), protein.id, _less(model, chains))
            except UserError as error:
                return _of_protein(error, protein.id)
            seconds = time.perf_counter() - begun
            if model.device.type == "cuda":
                folder.own["peak memory of the device"] = torch.cuda.max_memory_allocated(model.device)
            folder.add(claim, protein, stem, folded, seconds, self.seed if model.draws else None)
        folder.gather(wait=False)
        return None


def _less(model: FoldingModel, chains: Sequence[str]) -> str:
    """What to do where memory does not suffice."""
    fewer = ", fewer --samples" if model.draws else ""
    return f"Use a smaller --chunk-size{fewer}, or leave it out: --max-length {model.read_length(chains) - 1}."


def _of_protein(error: UserError, name: str) -> UserError:
    """The same error, which says of which protein it is."""
    where = name if error.where in {None, name} else f"{name}, {error.where}"
    return UserError(error.what, where=where, fix=error.fix)
