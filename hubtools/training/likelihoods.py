"""Effects of substitutions by a decoder: the log-likelihood of the variant less that of its wild type."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from hubtools.common.telling import bar, unless_it_fails
from hubtools.data.rows.variants import substitutions
from hubtools.models.decoders.causal_lm import Direction, row_of
from hubtools.models.windows import Piece, pieces
from hubtools.specs.recipe import Window
from hubtools.training.compute.memory import within_memory

if TYPE_CHECKING:
    from datasets import Dataset

    from hubtools.models.tokenisation import ResidueTokeniser


class Line(NamedTuple):
    """One row that the model reads: a window of a variant, or of its wild type, in one direction.

    Attributes:
        wild: the wild type's sequence.
        mutations: of the variant, as canonical rows have them; empty for the wild type.
        piece: the window; the likelihoods of the residues of its core count.
        direction: of reading.
    """

    wild: str
    mutations: str
    piece: Piece
    direction: Direction

    @property
    def residues(self) -> str:
        """What is read, in the order of the protein."""
        letters = list(self.wild)
        for change in substitutions(self.mutations):
            letters[change.position] = change.after
        return "".join(letters[self.piece.start : self.piece.stop])


def lines_of(datasets: Sequence[Dataset], window: Window, directions: Sequence[Direction]) -> list[Line]:
    """What has to be read to score the variants of some canonical rows, each line once.

    A window that holds none of a variant's substitutions is the same in its wild type: nothing of it is read.
    """
    found: dict[Line, None] = {}
    for dataset in datasets:
        for wild, mutations in zip(dataset["wildtype"], dataset["mutations"], strict=True):
            for piece in _changed(wild, mutations, window):
                for direction in directions:
                    found[Line(wild, "", piece, direction)] = None
                    found[Line(wild, mutations, piece, direction)] = None
    return list(found)


def likelihood_differences(
    dataset: Dataset, known: Mapping[Line, float], window: Window, directions: Sequence[Direction]
) -> list[float]:
    """Log p(variant) − log p(wild type) of each row, in nats: the sum over residues, the mean over directions.

    Args:
        dataset: canonical rows of variants.
        known: :func:`log_likelihoods` of their :func:`lines_of`.
        window, directions: as of these.
    """
    found = []
    for wild, mutations in zip(dataset["wildtype"], dataset["mutations"], strict=True):
        each = (
            known[Line(wild, mutations, piece, direction)] - known[Line(wild, "", piece, direction)]
            for piece in _changed(wild, mutations, window)
            for direction in directions
        )
        found.append(sum(each) / len(directions))
    return found


def _changed(wild: str, mutations: str, window: Window) -> list[Piece]:
    """The windows of a wild type that hold a substitution of the variant."""
    places = [change.position for change in substitutions(mutations)]
    cut = pieces(len(wild), window.residues, window.overlap)
    return [piece for piece in cut if any(piece.start <= place < piece.stop for place in places)]


@torch.no_grad()
def log_likelihoods(
    model: Any,
    tokeniser: ResidueTokeniser,
    lines: Sequence[Line],
    *,
    backwards: str | None,
    token_budget: int,
    device: torch.device,
    shown: bool = False,
) -> dict[Line, float]:
    """The log-likelihood of each line in nats, over its vocabulary: Σ log p(residue | what is read before it).

    Special tokens are read and their likelihood is not counted. A residue before which nothing is read has none.

    Args:
        model: a causal language model.
        tokeniser: of the same checkpoint, aligned.
        lines: what to read.
        backwards: how the checkpoint's family reads from the end (:class:`hubtools.models.families.Family`).
        token_budget: tokens of a batch, padding included.
        device: where the model is.
        shown: with a progress bar.
    """
    ordered = sorted(lines, key=lambda line: line.piece.start - line.piece.stop)
    total = sum(line.piece.stop - line.piece.start + tokeniser.n_special for line in ordered)

    def read(budget: int) -> dict[Line, float]:
        found: dict[Line, float] = {}
        with unless_it_fails(progress):
            start = 0
            while start < len(ordered):
                longest = ordered[start].piece.stop - ordered[start].piece.start + tokeniser.n_special
                batch = ordered[start : start + max(1, budget // longest)]
                values, tokens = _read(model, tokeniser, batch, backwards, device)
                found.update(zip(batch, values, strict=True))
                start += len(batch)
                progress.update(tokens)
        return found

    with contextlib.closing(bar("scoring", total, unit=" tokens", scale=True, hidden=not shown)) as progress:
        return within_memory(read, token_budget, device, "scoring")


def _read(
    model: Any, tokeniser: ResidueTokeniser, batch: Sequence[Line], backwards: str | None, device: torch.device
) -> tuple[list[float], int]:
    """The log-likelihood of each line of a batch, and how many tokens were read."""
    rows = [row_of(tokeniser, tokeniser.encode(line.residues), line.direction, backwards) for line in batch]
    width = max(len(tokens) for tokens, _ in rows)
    ids = np.full((len(rows), width), tokeniser.pad_id, dtype=np.int64)
    attention = np.zeros((len(rows), width), dtype=np.int64)
    for index, (tokens, _) in enumerate(rows):
        ids[index, : len(tokens)], attention[index, : len(tokens)] = tokens, 1
    logits = model(
        input_ids=torch.from_numpy(ids).to(device), attention_mask=torch.from_numpy(attention).to(device)
    ).logits
    found = []
    for index, (line, (tokens, first)) in enumerate(zip(batch, rows, strict=True)):
        piece = line.piece
        core = np.zeros(piece.stop - piece.start, dtype=bool)
        core[piece.core_start - piece.start : piece.core_stop - piece.start] = True
        at = first + np.flatnonzero(core if line.direction == "forward" else core[::-1])
        at = at[at > 0]
        # What is said of a token stands where the one before it was read; on the CPU, for not every device has float64.
        said = logits[index, torch.from_numpy(at - 1).to(device)].float().cpu().double().log_softmax(-1)
        found.append(float(said[torch.arange(len(at)), torch.from_numpy(tokens[at])].sum()))
    return found, int(attention.sum())
