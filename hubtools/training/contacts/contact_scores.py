"""Which residues touch, without training: by a language model's Jacobian, by a contact head, or by their separation."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from hubtools.common.errors import UserError
from hubtools.common.telling import bar, unless_it_fails
from hubtools.data.rows.variants import STANDARD
from hubtools.data.structures.contacts import NOT_SCORED, places_of
from hubtools.evaluation.predictions import Predictions
from hubtools.models.masked_lm import residue_tokens
from hubtools.models.windows import Piece, pieces
from hubtools.specs.level import RESIDUE_PAIR
from hubtools.specs.problem import problem_of
from hubtools.specs.recipe import Window
from hubtools.training.compute.memory import within_memory

if TYPE_CHECKING:
    from datasets import Dataset

    from hubtools.models.tokenisation import ResidueTokeniser

SUBSTITUTIONS = len(STANDARD)
# Bits of a score that are kept: a file of all pairs of residues is half as large, and no rank of the likeliest depends on the rest.
_KEPT_BITS = 12


def contact_predictions(dataset: Dataset, maps: Mapping[str, np.ndarray]) -> Predictions:
    """Predictions of the pairs of residues that are scored.

    Args:
        dataset: canonical rows of proteins.
        maps: for each sequence (L × (L − 1) / 2,) scores, in the order of the labels.
    """
    labels = [np.asarray(label, dtype=np.int8) for label in dataset["label"]]
    sequences = dataset["sequence"][:]
    scores = [maps[sequence][scored_places(label)] for sequence, label in zip(sequences, labels, strict=True)]
    known = dataset["cluster"][:] if "cluster" in dataset.column_names else None
    return pair_predictions(dataset["id"][:], known, [*map(len, sequences)], labels, np.concatenate(scores))


def pair_predictions(
    ids: Sequence[str],
    clusters: Sequence[str | None] | None,
    lengths: Sequence[int],
    labels: Sequence[np.ndarray],
    scores: np.ndarray,
) -> Predictions:
    """Predictions of the pairs of residues that are scored, from their scores.

    Args:
        ids, clusters, lengths, labels: of each protein; labels as :mod:`hubtools.data.structures.contacts` has them.
        scores: (n,) of all scored pairs, protein by protein, in the order of the labels.
    """
    chosen = [scored_places(label) for label in labels]
    sizes = [len(places) for places in chosen]
    known = None if clusters is None or None in clusters else np.array(clusters, dtype=np.str_)
    return Predictions(
        problem=problem_of(RESIDUE_PAIR, "regression"),
        ids=np.repeat(np.array(ids, dtype=np.str_), sizes),
        positions=np.concatenate(chosen) + 1,
        clusters=None if known is None else np.repeat(known, sizes),
        truth=np.concatenate([label[places] for label, places in zip(labels, chosen, strict=True)]).astype(np.float64),
        scores=rounded(scores),
        residues=np.repeat(np.array(lengths, dtype=np.int32), sizes),
    )


def rounded(scores: np.ndarray) -> np.ndarray:
    """Scores as float32 whose last bits are 0, to the nearest: within 1 part in 4,096."""
    bits = np.ascontiguousarray(scores, dtype=np.float32).view(np.int32)
    return ((bits + (1 << (_KEPT_BITS - 1))) & ~((1 << _KEPT_BITS) - 1)).view(np.float32)


def separation(dataset: Dataset) -> Predictions:
    """Minus the separation in the sequence: the nearer, the likelier."""
    return contact_predictions(dataset, {sequence: _nearness(len(sequence)) for sequence in dataset["sequence"]})


def no_scores(dataset: Dataset) -> Predictions:
    """The rows that every run has; the scores are 0."""
    return contact_predictions(dataset, {s: np.zeros(len(s) * (len(s) - 1) // 2) for s in dataset["sequence"]})


def _nearness(length: int) -> np.ndarray:
    first, second = places_of(length)
    return (first - second).astype(np.float32)


def windows_of(length: int, window: Window) -> list[Piece]:
    """The windows in which a protein is read: one for most."""
    return pieces(length, window.residues, window.overlap)


def joined(length: int, windows: Sequence[Piece], maps: Sequence[np.ndarray]) -> np.ndarray:
    """Scores of all pairs of residues of a protein from those of its windows: the mean over the windows that hold both.

    Pairs that no window holds score lower than every other: one below the lowest.

    Args:
        length: L of the protein.
        windows: of the protein.
        maps: of each window, the scores of its pairs in the order of labels.

    Returns:
        (L × (L − 1) / 2,) float32.
    """
    if len(windows) == 1:
        return maps[0]
    total, times = np.zeros((length, length)), np.zeros((length, length), dtype=np.int32)
    for piece, scores in zip(windows, maps, strict=True):
        first, second = places_of(piece.stop - piece.start)
        total[first + piece.start, second + piece.start] += scores
        times[first + piece.start, second + piece.start] += 1
    first, second = places_of(length)
    sums, counts = total[first, second], times[first, second]
    found = np.divide(sums, counts, out=np.zeros(len(sums)), where=counts > 0)
    found[counts == 0] = found[counts > 0].min() - 1
    return found.astype(np.float32)


def unseen(windows: Sequence[Piece]) -> int:
    """How many pairs of residues of a protein no window holds."""
    ends = [piece.stop for piece in windows]
    # Of the residues that a window has beyond the one before it, those that lie left of it are in no window with them.
    return sum(piece.start * (piece.stop - before) for piece, before in zip(windows, [0, *ends[:-1]], strict=True))


def scored_places(label: np.ndarray) -> np.ndarray:
    """Where the pairs that are scored stand in the labels of a protein."""
    return np.flatnonzero(label != NOT_SCORED)


def require_single_residues(tokeniser: ResidueTokeniser, name: str) -> None:
    """Make sure that a token is a residue and nothing else, so that it can be exchanged.

    Raises:
        UserError: it is not.
    """
    if tokeniser.pairs is not None or not tokeniser.form.spelling.of_residues:
        raise UserError(
            f"its tokens are residues {tokeniser.form.spelling.title}, which cannot be exchanged alone",
            where=name,
            fix="Choose a checkpoint that reads residues.",
        )


@torch.no_grad()
def changes(
    model: Any,
    tokeniser: ResidueTokeniser,
    sequence: str,
    places: Sequence[int],
    token_budget: int,
    device: torch.device,
) -> np.ndarray:
    """Logits of the amino acids at all residues when one residue is each of the twenty.

    Args:
        model: a masked language model.
        tokeniser: of the same checkpoint, aligned.
        sequence: of a protein that it reads at once.
        places: residues, from 0, that are exchanged, one at a time.
        token_budget: tokens of a batch.
        device: where the model is.

    Returns:
        (places, 20, residues, 20) float32: exchanged residue, by what, residue asked, amino acid; in the order of ``STANDARD``.
    """
    amino = residue_tokens(tokeniser, STANDARD)[:, 0]
    wild = np.asarray(tokeniser.with_special(tokeniser.encode(sequence)), dtype=np.int64)
    start, length = len(tokeniser.prefix), len(sequence)
    rows = [(place, letter) for place in places for letter in range(SUBSTITUTIONS)]
    found = np.empty((len(rows), length, SUBSTITUTIONS), dtype=np.float32)
    step, columns = max(1, token_budget // len(wild)), torch.from_numpy(amino).to(device)
    for first in range(0, len(rows), step):
        asked = rows[first : first + step]
        ids = np.tile(wild, (len(asked), 1))
        ids[np.arange(len(asked)), [start + place for place, _ in asked]] = amino[[letter for _, letter in asked]]
        tokens = torch.from_numpy(ids).to(device)
        logits = model(input_ids=tokens, attention_mask=torch.ones_like(tokens)).logits
        picked = logits[:, start : start + length].index_select(2, columns)
        found[first : first + step] = picked.float().cpu().numpy()
    return found.reshape(len(places), SUBSTITUTIONS, length, SUBSTITUTIONS)


def coupling(logits: np.ndarray) -> np.ndarray:
    """Scores of pairs of residues from what :func:`changes` gives for all residues, which is overwritten.

    The categorical Jacobian is the change of the logits from those of the protein as it is; centred on each of its four axes
    it is symmetrised, and the Frobenius norm of the 20 × 20 block of a pair is corrected by the average product (Zhang et al.
    2024, "Protein language models learn evolutionary statistics of interacting sequence motifs",
    doi:10.1073/pnas.2406285121; Dunn et al. 2008, doi:10.1093/bioinformatics/btm604). The protein as it is need not be
    read: what does not depend on the exchange is gone once the Jacobian is centred.

    Args:
        logits: (L, 20, L, 20) float32.

    Returns:
        (L × (L − 1) / 2,) float32, in the order of labels.
    """
    length = len(logits)
    for axis in range(4):
        logits -= logits.mean(axis=axis, keepdims=True, dtype=np.float64).astype(np.float32)
    square = np.zeros((length, length))
    for i in range(length):
        # (L, 20, 20) of the pair's block and of its mirror image, residue by residue so that no second Jacobian is needed.
        here, mirrored = logits[i].transpose(1, 0, 2), logits[:, :, i].transpose(0, 2, 1)
        square[i] = np.sqrt((((here + mirrored) / 2).astype(np.float64) ** 2).sum(axis=(1, 2)))
    first, second = places_of(length)
    return corrected(square)[first, second].astype(np.float32)


def corrected(square: np.ndarray) -> np.ndarray:
    """A symmetric (L, L) map without its diagonal, less the product of the sums of row and column over the sum of all."""
    square = square.copy()
    np.fill_diagonal(square, 0)
    rows, total = square.sum(axis=0), square.sum()
    return square - np.outer(rows, rows) / total if total else square


def jacobian_maps(
    model: Any,
    tokeniser: ResidueTokeniser,
    units: Sequence[tuple[str, int]],
    token_budget: int,
    device: torch.device,
    *,
    shown: bool = False,
) -> dict[str, np.ndarray]:
    """Scores of the pairs of residues of proteins by the categorical Jacobian.

    Twenty passes a residue. In memory at once is the Jacobian of one protein: 1,600 × L² bytes, 144 MB of 300 residues.

    Args:
        model, tokeniser, token_budget, device: as of :func:`changes`.
        units: residues that are exchanged. A protein of which some are left out is read, for its time, and has no scores.
        shown: with a progress bar.
    """
    asked: dict[str, list[int]] = {}
    for sequence, place in units:
        asked.setdefault(sequence, []).append(place)
    ordered = sorted(asked, key=len, reverse=True)
    total = sum(SUBSTITUTIONS * len(asked[sequence]) * (len(sequence) + tokeniser.n_special) for sequence in ordered)

    def read(budget: int) -> dict[str, np.ndarray]:
        found = {}
        with unless_it_fails(progress):
            for sequence in ordered:
                whole = len(asked[sequence]) == len(sequence)
                shape = (len(sequence), SUBSTITUTIONS)
                kept = np.empty((len(sequence) if whole else 1, SUBSTITUTIONS, *shape), dtype=np.float32)
                for place in asked[sequence]:
                    kept[place if whole else 0] = changes(model, tokeniser, sequence, [place], budget, device)[0]
                    progress.update(SUBSTITUTIONS * (len(sequence) + tokeniser.n_special))
                if whole:
                    found[sequence] = coupling(kept)
        return found

    with contextlib.closing(bar("Jacobian", total, unit=" tokens", scale=True, hidden=not shown)) as progress:
        return within_memory(read, token_budget, device, "the Jacobian")


@torch.no_grad()
def head_maps(
    model: Any, tokeniser: ResidueTokeniser, sequences: Sequence[str], device: torch.device, *, shown: bool = False
) -> dict[str, np.ndarray]:
    """Scores of the pairs of residues of proteins by the checkpoint's own contact head, each protein read alone.

    Args:
        model: an encoder with ``predict_contacts`` whose attention gives its weights.
        tokeniser: of the same checkpoint, aligned.
        sequences: of proteins that it reads at once.
        device: where the model is.
        shown: with a progress bar.
    """
    found = {}
    with contextlib.closing(bar("contact head", len(sequences), unit=" proteins", hidden=not shown)) as progress:
        for sequence in sequences:
            ids = np.asarray(tokeniser.with_special(tokeniser.encode(sequence)), dtype=np.int64)
            tokens = torch.from_numpy(ids)[None].to(device)
            square = model.predict_contacts(tokens, torch.ones_like(tokens))[0].float().cpu().numpy()
            first, second = places_of(len(sequence))
            found[sequence] = square[first, second]
            progress.update()
    return found
