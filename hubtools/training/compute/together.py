"""Real proteins in batches and alone: what the model gives in the precision, with the attention and in the layout that are used."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch

from hubtools.common.errors import UserError, in_brackets
from hubtools.models.execution.packing import note_lengths
from hubtools.models.modeling_protein_task import unpadded
from hubtools.models.tokenisation import ResidueTokeniser
from hubtools.models.windows import Piece
from hubtools.specs.record import TogetherFacts
from hubtools.training.compute.proof import AS_CLOSE, SAME, spread, still
from hubtools.training.prediction import autocast

# How many proteins are read, and the residues of the shortest where the data have none that are shorter.
PROTEINS, SHORTEST = 5, 30
# What the batch may change in float32, in the measure of :func:`apart`. ESM-2 8M changes by 3e-6, the other families' tiny
# encoders by less than 1e-6; the tiny BERT, whose attention is nearly flat, by 1.2e-3 where it adds its mask as numbers.
APART = 3e-4


def chosen(tokens: Sequence[np.ndarray], windows: Sequence[Sequence[Piece]]) -> list[np.ndarray]:
    """Proteins of lengths from 30 residues to the window, evenly on a logarithmic scale, shortest first.

    Where no protein is near a length, the first residues of a longer one are.

    Args:
        tokens: of each protein's residues, without special tokens.
        windows: of each protein.

    Returns:
        Tokens without special ones: as many distinct lengths as there are, :data:`PROTEINS` at most.
    """
    read = sorted(
        (ids[pieces[0].start : pieces[0].stop] for ids, pieces in zip(tokens, windows, strict=True) if pieces), key=len
    )
    read = [ids for ids in read if len(ids)]
    if not read:
        return []
    shortest, longest = min(SHORTEST, len(read[0])), len(read[-1])
    lengths = np.array([len(ids) for ids in read])
    found: dict[int, np.ndarray] = {}
    for target in np.unique(np.geomspace(shortest, longest, PROTEINS).round().astype(int)):
        ids = read[int(np.searchsorted(lengths, target))]
        ids = ids if len(ids) <= 1.25 * target else ids[:target]
        found[len(ids)] = ids
    return list(found.values())


class RealProteins:
    """Some proteins, and what an encoder gives for each alone in float32, before anything is changed.

    Args:
        encoder: on its device.
        tokeniser: of the same checkpoint.
        proteins: as :func:`chosen` gives them.
        device: of the encoder.
    """

    def __init__(
        self, encoder: Any, tokeniser: ResidueTokeniser, proteins: Sequence[np.ndarray], device: torch.device
    ) -> None:
        self.encoder, self.device, self.pad, self.special = encoder, device, tokeniser.pad_id, tokeniser.n_special
        self.rows = [tokeniser.with_special(ids) for ids in proteins]
        self.alone = self._alone(False)

    @classmethod
    def passed(
        cls, encoder: Any, tokeniser: ResidueTokeniser, proteins: Sequence[np.ndarray], device: torch.device
    ) -> RealProteins:
        """The proteins, each of which the encoder can read.

        Raises:
            UserError: it cannot read one, the longest as long as the window, or what it computes is not a number.
        """
        longest = max(map(len, proteins))
        try:
            found = cls(encoder, tokeniser, proteins, device)
        except (torch.OutOfMemoryError, MemoryError, UserError):
            raise
        # An unknown architecture fails in its own way.
        except Exception as error:
            raise UserError(
                f"its encoder cannot read a protein of {longest:,} residues{in_brackets(error)}",
                where=tokeniser.name,
                fix="Give the recipe a smaller window.residues, or use another checkpoint.",
            ) from error
        if not all(bool(states.isfinite().all()) for states in found.alone):
            raise UserError(
                f"what its encoder computes of proteins of up to {longest:,} residues is not a number",
                where=tokeniser.name,
                fix="Use another checkpoint.",
            )
        return found

    def read(self, bf16: bool, layout: str, attention: str | None) -> tuple[TogetherFacts, str | None]:
        """Read them in batches of several paddings, as the encoder now is.

        Args:
            bf16: whether the run is computed under autocast: then that is read too.
            layout, attention: what is used, for the record.

        Returns:
            What was found, and how far a protein in a batch is from the same alone; None where nothing but rounding is.
        """
        difference = largest(apart(got, self.alone[index]) for index, got in self._together(False))
        facts = TogetherFacts(
            proteins=len(self.rows),
            shortest=len(self.rows[0]) - self.special,
            longest=len(self.rows[-1]) - self.special,
            widths=[len(self.rows[group[-1]]) for group in self._groups()],
            layout=layout,
            attention=attention,
            difference=digits(difference) if np.isfinite(difference) else None,
        )
        if not difference <= APART:
            return facts, f"differs by {shown(difference)} from the same alone"
        if not bf16:
            return facts, None
        usual = largest(spread([got], [exact]) for got, exact in zip(self._alone(True), self.alone, strict=True))
        rounded = largest(spread([got], [self.alone[index]]) for index, got in self._together(True))
        facts = facts.model_copy(update={"rounded": digits(rounded), "rounded_alone": digits(usual)})
        # Infinite where something is not a number.
        if not rounded <= AS_CLOSE * usual + SAME:
            return facts, f"differs by {shown(rounded)} in bfloat16, where rounding alone makes {shown(usual)}"
        return facts, None

    def _groups(self) -> list[list[int]]:
        """The shortest beside the longest, those between, and the two shortest; the longest last in each."""
        n = len(self.rows)
        groups = [[0, n - 1], list(range(1, n - 1)), [0, 1]]
        return [group for place, group in enumerate(groups) if len(group) > 1 and (place < 2 or n > 2)] or [[0]]

    @torch.no_grad()
    def _together(self, bf16: bool) -> Iterator[tuple[int, torch.Tensor]]:
        """Each protein of each batch: its place, and its hidden states (tokens, width)."""
        for group in self._groups():
            lengths = [len(self.rows[index]) for index in group]
            ids = torch.full((len(group), max(lengths)), self.pad)
            mask = torch.zeros_like(ids)
            for place, index in enumerate(group):
                ids[place, : lengths[place]], mask[place, : lengths[place]] = torch.from_numpy(self.rows[index]), 1
            noted = note_lengths(mask.to(self.device), lengths)
            with still(self.encoder), autocast(self.device, bf16):
                out = self.encoder(input_ids=ids.to(self.device), attention_mask=noted).last_hidden_state
            for place, index in enumerate(group):
                yield index, out[place, : lengths[place]].float()

    @torch.no_grad()
    def _alone(self, bf16: bool) -> list[torch.Tensor]:
        found = []
        for row in self.rows:
            with still(self.encoder), autocast(self.device, bf16):
                out = unpadded(self.encoder, torch.from_numpy(row)[None].to(self.device)).last_hidden_state
            found.append(out[0].float())
        return found


def apart(got: torch.Tensor, expected: torch.Tensor) -> float:
    """How far hidden states (tokens, width) are from others: the farthest token's, as a share of their usual size.

    Root mean squares over the width, and as their size the median of the width's: a few channels of large models are a
    thousand times as large as the others, and a share of these would hide what all others do. Infinite where something
    is not a number.
    """
    size = float(expected.square().mean(0).sqrt().median()) or float(expected.square().mean().sqrt()) or 1.0
    error = float((got - expected).square().mean(1).sqrt().max())
    return error / size if np.isfinite(error) and np.isfinite(size) else float("inf")


def largest(values: Iterable[float]) -> float:
    """The largest of some numbers; infinite where one of them is not a number."""
    found = list(values)
    return max(found, default=0.0) if np.isfinite(found).all() else float("inf")


def digits(value: float) -> float | None:
    """Three digits, for a record; None of what is not a number."""
    return float(f"{value:.3g}") if np.isfinite(value) else None


def shown(value: float) -> str:
    """A share in words."""
    return f"{100 * value:.3g} %" if np.isfinite(value) else "NaN"
