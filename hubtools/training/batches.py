"""Rows of tokens -> padded batches that fit a token budget."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch.utils.data import Sampler

from hubtools.models.execution.packing import lengths_of, note_lengths
from hubtools.training.collation import Row, collation_of
from hubtools.training.compute.distributed import divided
from hubtools.training.encoding import Encoded


@dataclass
class Batch:
    """Rows of tokens, padded to the longest.

    Attributes:
        inputs: ``input_ids``, ``attention_mask``, ``residue_mask`` (rows, tokens); for per-protein problems also
            ``protein`` (rows,) and ``n_proteins``, for pairs ``pairs`` (pairs, 2) too.
        labels: per protein: (proteins, …), per pair: (pairs, …); per residue: (core residues, …) in the order of
            ``residue_mask``.
        proteins: index of each label's protein, or pair, in the split.
        positions: 0-based residue of each label, per residue only.
        lengths: real tokens of each row, special ones included, padding not.
        origins: (rows, 2) protein in the split, and its residue (from 0) that the row begins with.
    """

    inputs: dict[str, Any]
    labels: torch.Tensor
    proteins: np.ndarray
    positions: np.ndarray | None
    lengths: np.ndarray
    origins: np.ndarray

    def __post_init__(self) -> None:
        note_lengths(self.inputs["attention_mask"], self.lengths.tolist())

    @property
    def tokens(self) -> int:
        """Real tokens, special ones included, padding not."""
        return int(self.lengths.sum())

    def to(self, device: torch.device) -> Batch:
        """The batch on another device."""
        moved = {k: v.to(device, non_blocking=True) if torch.is_tensor(v) else v for k, v in self.inputs.items()}
        labels = self.labels.to(device, non_blocking=True)
        return replace(self, inputs=moved, labels=labels)


def micro_batches(
    split: Encoded,
    chosen: Sequence[int],
    token_budget: int,
    *,
    train_windows: int | None = None,
    rng: np.random.Generator | None = None,
    share: tuple[int, int] | None = None,
) -> Iterator[Batch]:
    """Cut rows into batches of at most ``token_budget`` tokens (or of one window, one protein, or one pair).

    How rows are cut changes neither loss nor scores, only memory. Windows of one protein stay together where the
    prediction is per protein; both proteins of a pair are in its batch, once for all its pairs.

    Args:
        split: encoded split.
        chosen: proteins, or pairs, as indices into it.
        token_budget: tokens of a batch: real ones where the split is read packed, else padding included.
        train_windows: in training, at most this many windows of a protein, drawn by ``rng``; all otherwise.
        rng: draws the windows.
        share: (rank, processes): only the part of this one of so many processes, about the same tokens for each.
    """
    collation = collation_of(split.problem)
    proteins = chosen if split.pairs is None else dict.fromkeys(split.pairs[list(chosen)].ravel().tolist())
    windows: dict[int, list[Row]] = {}
    for protein in proteins:
        all_of_it = split.windows[protein]
        if train_windows is not None and len(all_of_it) > train_windows and collation.together:
            assert rng is not None
            drawn = sorted(rng.choice(len(all_of_it), train_windows, replace=False))
            all_of_it = [all_of_it[i] for i in drawn]
        windows[protein] = [(protein, piece) for piece in all_of_it]
    if split.pairs is not None:
        if share is not None:
            tokens = {protein: sum(piece.stop - piece.start for _, piece in rows) for protein, rows in windows.items()}
            costs = [sum(tokens[protein] for protein in pair) for pair in split.pairs[list(chosen)].tolist()]
            chosen = [chosen[place] for place in divided(costs, share[1], share[0])]
        yield from _pair_batches(split, chosen, windows, token_budget)
        return
    units = collation.units(windows)
    width = split.tokeniser.n_special
    if share is not None:
        costs = [sum(piece.stop - piece.start + width for _, piece in unit) for unit in units]
        units = [units[place] for place in divided(costs, share[1], share[0])]
    longest = [max(piece.stop - piece.start for _, piece in unit) + width for unit in units]
    size = [sum(piece.stop - piece.start + width for _, piece in unit) for unit in units]
    rows: list[Row] = []
    row_length = real = 0
    for index in np.argsort(longest, kind="stable")[::-1]:
        wider = max(row_length, longest[index])
        computed = real + size[index] if split.packed else (len(rows) + len(units[index])) * wider
        if rows and computed > token_budget:
            yield collate(split, rows)
            rows, wider, real = [], longest[index], 0
        rows += units[index]
        row_length, real = wider, real + size[index]
    if rows:
        yield collate(split, rows)


def _pair_batches(
    split: Encoded, chosen: Sequence[int], windows: dict[int, list[Row]], token_budget: int
) -> Iterator[Batch]:
    """Batches of pairs, those with long proteins first; a protein that several pairs of a batch share is in it once."""
    assert split.pairs is not None
    special = split.tokeniser.n_special
    width = {protein: max(p.stop - p.start for _, p in rows) + special for protein, rows in windows.items()}
    longest = np.array([max(width[a], width[b]) for a, b in split.pairs[list(chosen)].tolist()])
    pairs: list[int] = []
    inside: dict[int, list[Row]] = {}
    widest = 0
    for place in np.argsort(-longest, kind="stable"):
        both = {protein: windows[protein] for protein in split.pairs[chosen[place]].tolist()}
        together = [row for rows in (inside | both).values() for row in rows]
        computed = (
            sum(piece.stop - piece.start + special for _, piece in together)
            if split.packed
            else len(together) * max(widest, longest[place])
        )
        if pairs and computed > token_budget:
            yield collate(split, [row for rows in inside.values() for row in rows], pairs)
            pairs, inside, widest = [], {}, 0
        pairs.append(chosen[place])
        inside |= both
        widest = max(widest, longest[place])
    if pairs:
        yield collate(split, [row for rows in inside.values() for row in rows], pairs)


def collate(split: Encoded, rows: Sequence[Row], pairs: Sequence[int] | None = None) -> Batch:
    """Pad rows into one batch. Token ``i`` of a row, special tokens aside, is residue ``piece.start + i``.

    Args:
        split: encoded split.
        rows: windows of proteins.
        pairs: in a pair task the rows of the split that are predicted, whose proteins' windows ``rows`` holds.
    """
    tokeniser = split.tokeniser
    before = len(tokeniser.prefix)
    encoded = [tokeniser.with_special(split.tokens[p][piece.start : piece.stop]) for p, piece in rows]
    lengths = np.array([len(tokens) for tokens in encoded])
    place = np.arange(lengths.max())
    attention = place < lengths[:, None]
    ids = np.full(attention.shape, tokeniser.pad_id, dtype=np.int64)
    ids[attention] = np.concatenate(encoded)
    start, first, last = (
        np.array([[getattr(piece, name)] for _, piece in rows]) for name in ("start", "core_start", "core_stop")
    )
    residue = place - before + start
    core = (residue >= first) & (residue < last)
    if split.pool is not None:
        ends = np.array([[len(split.tokens[protein])] for protein, _ in rows])
        core &= np.isin(residue, split.pool) | np.isin(residue - ends, split.pool)
    origins = np.array([(protein, piece.start) for protein, piece in rows])
    inputs: dict[str, Any] = {
        "input_ids": torch.from_numpy(ids),
        "attention_mask": torch.from_numpy(attention.astype(np.int64)),
        "residue_mask": torch.from_numpy(core),
    }
    found = collation_of(split.problem).labelled(split, rows, pairs)
    labels = torch.from_numpy(found.labels)
    return Batch(inputs | found.inputs, labels, found.owners, found.positions, lengths, origins)


def rows_between(inputs: dict[str, Any], start: int, stop: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Ids, attention mask and residue mask of some rows of a batch; their lengths need not be counted again."""
    ids, attention, residues = (inputs[key][start:stop] for key in ("input_ids", "attention_mask", "residue_mask"))
    return ids, note_lengths(attention, lengths_of(inputs["attention_mask"])[start:stop]), residues


class BucketedBatches(Sampler[list[int]]):
    """Effective batches: proteins in random order, of similar length within a shuffled stretch.

    The order depends on seed, epoch and lengths alone, so that a resumed run sees what an unbroken one would.
    """

    def __init__(self, lengths: np.ndarray, batch_size: int, bucket: int, seed: int) -> None:
        self.lengths, self.batch_size, self.bucket, self.seed = lengths, batch_size, bucket, seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order comes next."""
        self.epoch = epoch

    def __len__(self) -> int:
        return -(-len(self.lengths) // self.batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        rng = np.random.default_rng([self.seed, self.epoch])
        order = rng.permutation(len(self.lengths))
        stretch = self.batch_size * self.bucket
        batches = []
        for start in range(0, len(order), stretch):
            part = order[start : start + stretch]
            part = part[np.argsort(self.lengths[part], kind="stable")]
            batches += [part[i : i + self.batch_size].tolist() for i in range(0, len(part), self.batch_size)]
        for index in rng.permutation(len(batches)):
            yield batches[index]
