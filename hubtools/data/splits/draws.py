"""Draws of proteins by a seed: by content, whatever the order of rows, with relatives on one side."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from hubtools.common.errors import UserError


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
