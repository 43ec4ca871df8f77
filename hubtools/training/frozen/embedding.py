"""Embeddings: the encoder reads each protein once, and what it says of it or of its residues is kept as a table."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hubtools.common.errors import UserError
from hubtools.common.files import allocate, clear
from hubtools.common.telling import bar, unless_it_fails
from hubtools.data.structures.contacts import pairs_of
from hubtools.models.modeling_protein_task import combine, layers, per_protein
from hubtools.specs.level import PROTEIN, RESIDUE, RESIDUE_PAIR
from hubtools.specs.problem import problem_of
from hubtools.training.batches import Batch, micro_batches, rows_between
from hubtools.training.compute.device import Execution
from hubtools.training.compute.memory import within_memory
from hubtools.training.contacts.contact_scores import scored_places
from hubtools.training.encoding import Encoded, counted
from hubtools.training.frozen.embedding_store import KeptEmbeddings, Kind
from hubtools.training.prediction import autocast

# Tables of one split, of all its layers, that take more bytes live in files that are mapped, not in memory.
IN_MEMORY = 2 * 1024**3
# What is computed between two chances to keep it: residues, or batches where these are larger, or bytes of all layers.
CHUNK_RESIDUES, CHUNK_BATCHES, CHUNK_BYTES = 65_536, 16, 512 * 2**20


class PairTable:
    """Features of pairs, made when they are asked for from a table of proteins, or residues: behaves as a (pairs, width) array."""

    def __init__(self, proteins: np.ndarray, pairs: np.ndarray) -> None:
        self.proteins, self.pairs = torch.from_numpy(proteins), torch.from_numpy(pairs)
        self.shape = (len(pairs), combine(self.proteins[:1], self.proteins[:1]).shape[1])

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, rows: Any) -> np.ndarray:
        first, second = self.pairs[rows].T
        return combine(self.proteins[first], self.proteins[second]).numpy()


@dataclass(frozen=True)
class Features:
    """Embeddings of one split: a row for each protein or pair, for each residue, or for each pair of residues.

    Attributes:
        tables: encoder layer -> (rows, width) float32, by protein, then position.
        labels: label of each row; of each protein where it is proteins that are labelled and rows are their residues.
        owners, positions: protein or pair of each row, and its 0-based residue where per residue. Of pairs of residues the second
            one, counted over all proteins: those that a residue makes with what lies before it are read together.
        tokens: that the encoder read for it, special ones included; what was kept from before is not counted.
        token_budget: what fitted in memory; it may be lower than asked for.
    """

    tables: dict[int, np.ndarray | PairTable]
    labels: np.ndarray
    owners: np.ndarray
    positions: np.ndarray | None
    tokens: int
    token_budget: int


@dataclass(frozen=True)
class FrozenEncoder:
    """An encoder that is used as it is, and how it is asked.

    Attributes:
        model: that holds it: bench's, or any module with an ``encoder``.
        execution: device and token budget.
        bf16: autocast.
        layers: that are wanted, as :func:`chosen_layers` gives them.
    """

    model: Any
    execution: Execution
    bf16: bool
    layers: Sequence[int]

    @property
    def width(self) -> int:
        """Of a representation."""
        return self.model.encoder.config.hidden_size


def chosen_layers(wanted: str | Sequence[int], n_layers: int) -> list[int]:
    """Indices of layers, 0 being the embedding and ``n_layers`` the last; negative ones count from the end.

    Raises:
        UserError: there is no such layer.
    """
    if wanted == "last":
        return [n_layers]
    if wanted == "all":
        return list(range(n_layers + 1))
    found = [layer + n_layers + 1 if layer < 0 else layer for layer in map(int, wanted)]
    if wrong := [layer for layer in found if not 0 <= layer <= n_layers]:
        raise UserError(
            f"probe.layers: there is no layer {wrong[0]}; the checkpoint has 0 (the embedding) to {n_layers}",
            fix="Or use all, or last.",
        )
    return list(dict.fromkeys(found))


def embed(
    encoder: FrozenEncoder,
    split: Encoded,
    file: Path,
    name: str,
    *,
    pooled: bool = False,
    first: bool = False,
    kept: KeptEmbeddings | None = None,
    progress: Any = None,
) -> Features:
    """Embeddings of a split. The encoder reads each distinct protein once, and none that is kept.

    Where residues are labelled, rows are the residues whose label counts.

    Args:
        encoder: that reads it.
        split: encoded split.
        file: where tables too large for memory go; the layer is added to its name.
        name: of the split, for the progress bar.
        pooled: of a per-protein task too, rows are all residues of all proteins; ``owners`` is then the protein
            of each row, and ``labels`` stay those of the proteins.
        first: of a per-protein task, the row is that of the first special token in place of the mean over residues; of a
            protein of several windows the mean of theirs.
        kept: embeddings from before; what is computed is added to them, piece by piece.
        progress: a bar of residues that counts what is read, and is the caller's to close; by default one of this call.

    Raises:
        UserError: the architecture gives no representation but its last.
    """
    encoder.model.eval()
    wanted = encoder.layers
    proteins = split if split.pairs is None else split.alone
    kind = kind_of(split, pooled, first)
    by_residue = kind == "residues"
    masks = [_counting(label) for label in split.labels] if split.problem.level.by_residue else None
    sizes = np.ones(len(proteins), dtype=np.int64)
    if by_residue:
        sizes = proteins.lengths if masks is None else np.array([int(mask.sum()) for mask in masks])
    bounds = np.r_[0, np.cumsum(sizes)]
    shape = (int(bounds[-1]), encoder.width)
    # The run's own: what is kept on disk may be removed by another process at any time.
    in_memory = 4 * shape[0] * shape[1] * len(wanted) <= IN_MEMORY
    tables = {
        layer: _table(shape, None if in_memory else file.with_name(f"{file.stem}-{layer}.npy")) for layer in wanted
    }

    owners: dict[bytes, list[int]] = {}
    for protein, key in enumerate(entry_keys(proteins, by_residue)):
        owners.setdefault(key, []).append(protein)

    def fill(layer: int, key: bytes, rows: np.ndarray) -> None:
        for protein in owners[key]:
            here = rows if masks is None else rows[masks[protein]]
            tables[layer][bounds[protein] : bounds[protein + 1]] = here

    held = {layer: kept.find(kind, layer, list(owners)) if kept else {} for layer in wanted}
    for layer, entries in held.items():
        for key, rows in entries.items():
            fill(layer, key, rows)
    missing = [key for key in owners if any(key not in entries for entries in held.values())]
    tokens, budget = 0, encoder.execution.token_budget
    try:
        asked = {key: owners[key][0] for key in missing}
        for chunk in _computed(encoder, proteins, asked, name, kind, progress):
            tokens, budget = tokens + chunk.tokens, chunk.token_budget
            for layer, entries in chunk.entries.items():
                new = {key: rows for key, rows in entries.items() if key not in held[layer]}
                for key, rows in new.items():
                    fill(layer, key, rows)
                if kept:
                    kept.add(kind, layer, new)
            if kept:
                kept.flush(always=False)
    finally:
        # Also where the user stops the run: what is computed is not computed again.
        if kept:
            kept.flush()
    if kept:
        kept.computed += len(missing)
        kept.read += len(owners) - len(missing)
    return _features(split, tables, sizes, masks, by_residue, (tokens, budget))


def kind_of(split: Encoded, pooled: bool, first: bool = False) -> Kind:
    """What of a split's proteins is embedded; ``pooled`` and ``first`` as of :func:`embed`."""
    level = split.problem.level
    if pooled or level.by_residue or level is RESIDUE_PAIR:
        return "residues"
    return "first" if first else "mean"


def entry_keys(proteins: Encoded, by_residue: bool) -> list[bytes]:
    """sha256 of all that the encoder reads of each protein, and of the residues whose mean is taken."""
    special = np.array([*proteins.tokeniser.prefix, -1, *proteins.tokeniser.suffix], dtype=np.int64).tobytes()
    pool = b"" if by_residue or proteins.pool is None else proteins.pool.astype(np.int64).tobytes()
    start = hashlib.sha256(len(special).to_bytes(8, "little") + special + len(pool).to_bytes(8, "little") + pool)
    keys = []
    for tokens, windows in zip(proteins.tokens, proteins.windows, strict=True):
        hashed = start.copy()
        hashed.update(len(windows).to_bytes(8, "little") + np.array(windows, dtype=np.int64).tobytes())
        hashed.update(np.ascontiguousarray(tokens, dtype=np.int64).tobytes())
        keys.append(hashed.digest())
    return keys


@dataclass(frozen=True)
class _Chunk:
    """Some proteins as the encoder has just read them: layer -> key -> (rows, width); the tokens it took, and at once."""

    entries: dict[int, dict[bytes, np.ndarray]]
    tokens: int
    token_budget: int


@torch.no_grad()
def _computed(
    encoder: FrozenEncoder, split: Encoded, proteins: dict[bytes, int], name: str, kind: Kind, shown: Any
) -> Iterator[_Chunk]:
    """Run the encoder over some proteins of a split, the longest first; a chunk holds whole proteins.

    ``shown`` is the caller's bar, or None for one of its own.
    """
    by_residue = kind == "residues"
    chosen, keys = list(proteins.values()), list(proteins)
    bare = replace(
        split,
        problem=problem_of(RESIDUE if by_residue else PROTEIN, "classification"),
        ids=[split.ids[i] for i in chosen],
        tokens=[split.tokens[i] for i in chosen],
        windows=[split.windows[i] for i in chosen],
        labels=[np.zeros(len(split.tokens[i]) if by_residue else (), dtype=np.int64) for i in chosen],
        pool=None if by_residue else split.pool,
        clusters=None,
        names=None,
        pairs=None,
    )
    lengths = bare.lengths
    progress = shown
    if shown is None:
        progress = bar(f"embedding {name}", int(lengths.sum()) if chosen else 0, unit=" residues", scale=True)
    budget = encoder.execution.token_budget
    for part in _parts(lengths, budget, encoder.width * len(encoder.layers) if by_residue else 0):
        sizes = lengths[part] if by_residue else np.ones(len(part), dtype=np.int64)
        bounds = np.r_[0, np.cumsum(sizes)]
        start = np.zeros(len(bare), dtype=np.int64)
        start[part] = bounds[:-1]
        rows = {layer: np.empty((int(bounds[-1]), encoder.width), dtype=np.float32) for layer in encoder.layers}
        read = partial(_read, encoder, bare, _Part(part.tolist(), rows, start, kind), progress)
        # What did not fit is not tried again for the next part.
        tokens, budget = within_memory(read, budget, encoder.execution.device, "embedding")
        yield _Chunk(
            {
                layer: {keys[p]: table[a:b] for p, a, b in zip(part, bounds, bounds[1:], strict=False)}
                for layer, table in rows.items()
            },
            tokens,
            budget,
        )
    if shown is None:
        progress.close()


@dataclass(frozen=True)
class _Part:
    """Proteins that are read together, their rows by layer, where those of each protein of the split begin, and what they are."""

    proteins: list[int]
    rows: dict[int, np.ndarray]
    start: np.ndarray
    kind: Kind


def _read(encoder: FrozenEncoder, split: Encoded, part: _Part, progress: Any, budget: int) -> tuple[int, int]:
    """Fill a part's rows.

    Returns:
        The tokens that were read, and the budget by which.
    """
    execution, tokens = replace(encoder.execution, token_budget=budget), 0
    encoder = replace(encoder, execution=execution)
    found_by = {"residues": _residues, "mean": _means, "first": _firsts}[part.kind]
    # One context for the batches of a part, so that weights are brought to half precision once; none while the
    # part is out of this module's hands.
    with unless_it_fails(progress), autocast(execution.device, encoder.bf16):
        for batch in micro_batches(split, part.proteins, budget):
            found = found_by(encoder, batch)
            place = part.start[batch.proteins] + (0 if batch.positions is None else batch.positions)
            for layer, table in part.rows.items():
                table[place] = found[layer].float().cpu().numpy()
            tokens += batch.tokens
            progress.update(int(batch.inputs["residue_mask"].sum()))
    return tokens, budget


def _parts(lengths: np.ndarray, token_budget: int, row_values: int) -> Iterator[np.ndarray]:
    """Proteins, the longest first, in parts that take seconds to minutes and fit in memory.

    Args:
        lengths: residues of each protein.
        token_budget: of a batch: a part holds several.
        row_values: numbers that a residue takes, in all layers; 0 where only means are held.
    """
    most = max(CHUNK_RESIDUES, CHUNK_BATCHES * token_budget)
    if row_values:
        most = min(most, CHUNK_BYTES // (4 * row_values))
    order = np.argsort(-lengths, kind="stable")
    part: list[int] = []
    residues = 0
    for protein in order.tolist():
        if part and residues + lengths[protein] > most:
            yield np.array(part)
            part, residues = [], 0
        part.append(protein)
        residues += int(lengths[protein])
    if part:
        yield np.array(part)


def _features(
    split: Encoded,
    tables: dict[int, np.ndarray],
    sizes: np.ndarray,
    masks: list[np.ndarray] | None,
    by_residue: bool,
    read: tuple[int, int],
) -> Features:
    """Tables with what their rows are; ``read``: the tokens that it took, and the budget by which."""
    if split.pairs is not None:
        paired: dict[int, Any] = {layer: PairTable(table, split.pairs) for layer, table in tables.items()}
        return Features(paired, np.stack(split.labels), np.arange(len(split)), None, *read)
    if split.problem.level is RESIDUE_PAIR:
        starts = np.r_[0, np.cumsum(sizes)]
        places = [scored_places(label) for label in split.labels]
        ends = [start + np.stack(pairs_of(chosen), axis=1) for start, chosen in zip(starts, places, strict=False)]
        touching = [label[chosen] for label, chosen in zip(split.labels, places, strict=True)]
        pairs, labels = np.concatenate(ends), np.concatenate(touching)[:, None].astype(np.int64)
        of_residues: dict[int, Any] = {layer: PairTable(table, pairs) for layer, table in tables.items()}
        return Features(of_residues, labels, pairs[:, 1].copy(), None, *read)
    owners = np.repeat(np.arange(len(split)), sizes)
    if masks is not None:
        labels = np.concatenate([label[mask] for label, mask in zip(split.labels, masks, strict=True)])
        positions: np.ndarray | None = np.concatenate([np.flatnonzero(mask) for mask in masks])
    else:
        labels = np.stack(split.labels)
        positions = np.concatenate([np.arange(size) for size in sizes]) if by_residue else None
    return Features(dict(tables), labels, owners, positions, *read)


def _counting(label: np.ndarray) -> np.ndarray:
    """Residues with a label that counts: (residues,)."""
    mask: Any = counted(label)
    return mask if mask.ndim == 1 else mask.any(axis=1)


def _hidden(encoder: FrozenEncoder, ids: torch.Tensor, attention: torch.Tensor) -> dict[int, torch.Tensor]:
    """Representations after the wanted layers: layer -> (rows, tokens, width)."""
    model, wanted = encoder.model, encoder.layers
    last = model.encoder.config.num_hidden_layers
    if list(wanted) == [last]:
        # Not every architecture gives the others, and none gives them for free.
        return {last: model.encoder(input_ids=ids, attention_mask=attention).last_hidden_state}
    try:
        found = layers(model.encoder, ids, attention)
    except TypeError:  # No such argument, or no hidden states.
        found = ()
    if len(found) != last + 1:
        given = (
            f"{len(found)} of the {last + 1} representations"
            if found
            else "the representation after its last layer only"
        )
        raise UserError(
            f"probe.layers: {type(model.encoder).__name__} gives {given}",
            fix="Use probe.layers=last.",
        )
    return {layer: found[layer] for layer in wanted}


def _residues(encoder: FrozenEncoder, batch: Batch) -> dict[int, torch.Tensor]:
    """Representations of the residues whose place is in the batch: layer -> (residues, width)."""
    inputs = batch.to(encoder.execution.device).inputs
    found = _hidden(encoder, inputs["input_ids"], inputs["attention_mask"])
    return {layer: hidden[inputs["residue_mask"]] for layer, hidden in found.items()}


def _means(encoder: FrozenEncoder, batch: Batch) -> dict[int, torch.Tensor]:
    """Means over the residues of the batch's proteins: layer -> (proteins, width) float32.

    A single protein of more windows than the budget holds is read piece by piece.
    """
    execution = encoder.execution
    inputs = batch.to(execution.device).inputs
    rows, width = inputs["input_ids"].shape
    step = rows if batch.tokens <= execution.token_budget else max(1, execution.token_budget // width)
    sums: dict[int, list[torch.Tensor]] = {layer: [] for layer in encoder.layers}
    for start in range(0, rows, step):
        ids, attention, mask = rows_between(inputs, start, start + step)
        for layer, hidden in _hidden(encoder, ids, attention).items():
            # A sum over a thousand residues is no place for bfloat16, also where the encoder runs in it.
            with torch.autocast(execution.device.type, enabled=False):
                sums[layer].append(torch.einsum("rtw,rt->rw", hidden.float(), mask.float()))
    counts = inputs["residue_mask"].sum(1).float()
    means = {}
    for layer, parts in sums.items():
        total, number = per_protein(torch.cat(parts), counts, inputs["protein"], inputs["n_proteins"])
        means[layer] = total / number.unsqueeze(-1)
    return means


def _firsts(encoder: FrozenEncoder, batch: Batch) -> dict[int, torch.Tensor]:
    """Of each of the batch's proteins the first special token, of several windows the mean: layer -> (proteins, width) float32."""
    inputs = batch.to(encoder.execution.device).inputs
    ones = torch.ones(len(inputs["input_ids"]), device=inputs["input_ids"].device)
    found = {}
    for layer, hidden in _hidden(encoder, inputs["input_ids"], inputs["attention_mask"]).items():
        total, number = per_protein(hidden[:, 0].float(), ones, inputs["protein"], inputs["n_proteins"])
        found[layer] = total / number.unsqueeze(-1)
    return found


def _table(shape: tuple[int, int], file: Path | None) -> np.ndarray:
    if file is None:
        return np.empty(shape, dtype=np.float32)
    # Of a run that was stopped, or damaged: it is made anew.
    clear(file)
    file.parent.mkdir(parents=True, exist_ok=True)
    table = np.lib.format.open_memmap(file, mode="w+", dtype=np.float32, shape=shape)
    allocate(file, file.stat().st_size)
    return table
