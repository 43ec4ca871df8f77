"""Which protein is in which split: by the data's own rules, or by a seeded rule that keeps relatives together."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from hubtools.data.sources import FILE, ID, cell_text, columns_present
from hubtools.data.tables import near
from hubtools.specs.errors import UserError
from hubtools.specs.sources import SplitRule
from hubtools.specs.task import Task

if TYPE_CHECKING:
    import pandas as pd


def declared_splits(rows: pd.DataFrame, task: Task) -> npt.NDArray[np.object_]:
    """The split of each row by the rules of the task file; None where no rule takes it.

    Raises:
        UserError: a rule names a column that is not there, takes no row, or takes one of another split.
    """
    assigned = np.full(len(rows), None, dtype=object)
    for split, rule in (task.data.splits or {}).items():
        taken = _taken(rows, rule, f"task {task.name}, split {split}")
        clash = np.flatnonzero(taken & (assigned != None))  # noqa: E711
        if clash.size:
            raise UserError(
                f"{rows[ID].iloc[clash[0]]} is in the splits {assigned[clash[0]]} and {split} ({clash.size:,} such rows)",
                where=f"task {task.name}",
                fix="Make the rules under data.splits exclude each other.",
            )
        assigned[taken] = split
    return assigned


def _taken(rows: pd.DataFrame, rule: SplitRule, where: str) -> npt.NDArray[np.bool_]:
    taken = rows[FILE].isin(rule.files).to_numpy() if rule.files else np.ones(len(rows), dtype=bool)
    for column, values in rule.where.items():
        present = columns_present(rows[taken])
        if column not in present:
            raise UserError(f"there is no column {column!r}", where=where, fix=near(column, present))
        cells = rows[column].map(cell_text)
        matching = cells.isin(values).to_numpy() & rows[column].notna().to_numpy()
        if "" in values:
            matching |= (cells == "").to_numpy()
        if not (taken & matching).any():
            seen = sorted(set(cells[taken]))
            shown = ", ".join(repr(value) for value in seen[:8]) + (" …" if len(seen) > 8 else "")
            wanted = " or ".join(repr(value) for value in values)
            raise UserError(
                f"the split is empty: no row has {column} = {wanted}", where=where, fix=f"The values are: {shown}."
            )
        taken = taken & matching
    if not taken.any():
        raise UserError(f"the split is empty: no row in {', '.join(rule.files) or 'any file'}", where=where)
    return taken


def draw_splits(
    sequences: Sequence[str],
    clusters: Sequence[str | None],
    fractions: dict[str, float],
    seed: int,
    where: str | None = None,
) -> npt.NDArray[np.object_]:
    """Split proteins at random so that whole clusters and equal sequences stay on one side.

    The result depends on the seed, the sequences and who is with whom, not on the order of rows. Groups go from large
    to small, each to a split drawn in proportion to the room left in those where it fits: large families are no
    likelier in one split than its share, and the small ones at the end make the sizes right.

    Args:
        sequences: canonical.
        clusters: name of each protein's cluster, or None.
        fractions: share of proteins by split.
        seed: of the draw.
        where: the task, for messages.

    Returns:
        The split of each protein; shape (n,).

    Raises:
        UserError: fewer groups of relatives than splits, or no protein at all.
    """
    if not len(sequences):
        raise UserError("no protein is left to draw splits from", where=where, fix="Correct data.splits.")
    group = _groups(sequences, clusters)
    sizes = np.bincount(group)
    keys = [""] * len(sizes)
    for member, sequence in zip(group, sequences, strict=True):
        key = hashlib.sha256(sequence.encode()).hexdigest()
        keys[member] = min(keys[member], key) if keys[member] else key
    names = sorted(fractions)
    room = np.array([fractions[name] * len(sequences) for name in names])
    split_of = np.empty(len(sizes), dtype=object)
    order = sorted(range(len(sizes)), key=lambda index: (-sizes[index], keys[index]))
    filled = np.zeros(len(names), dtype=bool)
    for position, index in enumerate(order):
        allowed = room >= sizes[index] - 1e-9
        if len(order) - position <= (~filled).sum():
            allowed = ~filled  # No more groups than empty splits: each of these gets one, however small its share.
        weights = np.where(allowed, np.maximum(room, 1e-9), 0.0) if allowed.any() else (room == room.max()) * 1.0
        draw = int.from_bytes(hashlib.sha256(f"{seed}:{keys[index]}".encode()).digest()[:7], "big") / 2**56
        chosen = int(np.searchsorted(np.cumsum(weights), draw * weights.sum(), side="right"))
        split_of[index], filled[chosen] = names[chosen], True
        room[chosen] -= sizes[index]
    drawn = split_of[group]
    if empty := sorted(set(names) - set(drawn)):
        raise UserError(
            f"the split {empty[0]} is empty: {len(sizes):,} groups of related proteins for {len(names)} splits",
            where=where,
            fix="Add proteins, declare the splits, or use stricter clusters.",
        )
    return drawn


def _groups(sequences: Sequence[str], clusters: Sequence[str | None]) -> npt.NDArray[np.int64]:
    """Proteins that must stay together: the same sequence or cluster, directly or through others."""
    import pandas as pd
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    sequence = pd.factorize(np.asarray(sequences, dtype=object))[0]
    cluster = pd.factorize(np.asarray(clusters, dtype=object))[0]  # -1 for None
    n_sequences = int(sequence.max()) + 1
    known = cluster >= 0
    n_nodes = n_sequences + int(cluster.max()) + 1
    edges = coo_array(
        (np.ones(int(known.sum()), dtype=np.int8), (sequence[known], cluster[known] + n_sequences)),
        shape=(n_nodes, n_nodes),
    )
    component = connected_components(edges, directed=False)[1][sequence]
    return np.unique(component, return_inverse=True)[1]


def sample(ids: Sequence[str], sequences: Sequence[str], size: int) -> npt.NDArray[np.bool_]:
    """A fixed pseudo-random choice of at most ``size`` proteins: by content, whatever the order of rows.

    A smaller sample is part of a larger one.
    """
    keys = [
        hashlib.sha256(f"subset:{name}:{sequence}".encode()).hexdigest()
        for name, sequence in zip(ids, sequences, strict=True)
    ]
    chosen = np.zeros(len(keys), dtype=bool)
    chosen[sorted(range(len(keys)), key=keys.__getitem__)[:size]] = True
    return chosen
