"""Draws of proteins by a seed: by content, whatever the order of rows, with relatives on one side."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from hubtools.common.errors import UserError


def draw_splits(
    sequences: Sequence[str],
    clusters: Sequence[str | None],
    fractions: dict[str, float],
    seed: int,
    where: str | None = None,
    held: Sequence[frozenset[int]] | None = None,
) -> npt.NDArray[np.object_]:
    """Split proteins at random so that whole clusters and equal sequences stay on one side.

    The result depends on the seed, the sequences and who is with whom, not on the order of rows. Groups go from large
    to small, each to a split drawn in proportion to the room left in those where it fits: large families are no
    likelier in one split than its share, and the small ones at the end make the sizes right.

    With labels, this is done label by label, the rarest of those left first, and the room of a split is its share of the
    proteins with that label less those that it has already (iterative stratification: Sechidis, Tsoumakas and Vlahavas,
    ECML PKDD 2011; there single rows, here groups). What rounding leaves of a label's room counts for the next one, so that
    many rare labels do not add up.

    Args:
        sequences: canonical.
        clusters: name of each protein's cluster, or None.
        fractions: share of proteins by split.
        seed: of the draw.
        where: the task, for messages.
        held: labels of each protein, to be in each split in its share; a label of as many groups as there are splits is in
            each of them, of several labels a protein as far as can be. None: labels do not matter.

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
    shares = np.array([fractions[name] for name in names])
    counts = _label_counts(group, len(sizes), held)
    drawn = _Draw(shares, sizes, keys, seed, within_sizes=held is not None)
    carried = np.zeros(len(names))
    for label, members in drawn.by_label(counts):
        carried = drawn.share_out(counts[:, label], members, carried)
    split_of = np.array(names, dtype=object)[drawn.chosen]
    if empty := sorted(set(names) - set(split_of)):
        raise UserError(
            f"the split {empty[0]} is empty: {len(sizes):,} groups of related proteins for {len(names)} splits",
            where=where,
            fix="Add proteins, declare the splits, or use stricter clusters.",
        )
    return split_of[group]


def _label_counts(
    group: npt.NDArray[np.int64], n_groups: int, held: Sequence[frozenset[int]] | None
) -> npt.NDArray[np.int64]:
    """How many proteins of each group have each label; without labels, or of those that have none, one that all have."""
    if held is None:
        return np.bincount(group, minlength=n_groups)[:, None]
    width = max((max(labels, default=-1) for labels in held), default=-1) + 2
    counts = np.zeros((n_groups, width), dtype=np.int64)
    for member, labels in zip(group, held, strict=True):
        counts[member, list(labels) or [width - 1]] += 1
    return counts


class _Draw:
    """Groups on their way into splits.

    Args:
        shares: of each split; (splits,).
        sizes: proteins of each group; (groups,).
        keys: text of each group, by its content.
        seed: of the draw.
        within_sizes: whether a split is full, too, where it has its share of all proteins.

    Attributes:
        chosen: the split of each group, -1 so far; (groups,).
    """

    def __init__(
        self,
        shares: npt.NDArray[np.float64],
        sizes: npt.NDArray[np.int64],
        keys: list[str],
        seed: int,
        within_sizes: bool,
    ) -> None:
        self.shares, self.sizes, self.keys, self.seed = shares, sizes, keys, seed
        self.chosen = np.full(len(sizes), -1)
        self.space = shares * sizes.sum() if within_sizes else np.full(len(shares), np.inf)

    def by_label(self, counts: npt.NDArray[np.int64]) -> Iterator[tuple[int, list[int]]]:
        """The labels, those with the fewest groups that are in no split first, and these groups, large ones first."""
        left = set(range(counts.shape[1]))
        while left:
            waiting = (counts > 0) & (self.chosen < 0)[:, None]
            label = min(left, key=lambda label: (label == counts.shape[1] - 1, int(waiting[:, label].sum()), label))
            left.remove(label)
            members = np.flatnonzero(waiting[:, label]).tolist()
            yield label, sorted(members, key=lambda member: (-self.sizes[member], self.keys[member]))

    def share_out(
        self, counts: npt.NDArray[np.int64], members: list[int], carried: npt.NDArray[np.float64]
    ) -> npt.NDArray[np.float64]:
        """Draw a split for each of the groups that have a label.

        Args:
            counts: proteins of each group that have it; (groups,).
            members: the groups, in the order of the draw.
            carried: room that other labels left; (splits,).

        Returns:
            What of the room rounding left, at most one protein a split.
        """
        placed = self.chosen >= 0
        has = np.bincount(self.chosen[placed], weights=counts[placed], minlength=len(self.shares))
        room, filled = self.shares * counts.sum() - has + carried, has > 0
        for position, index in enumerate(members):
            fits = self.space >= self.sizes[index] - 1e-9
            allowed = (room >= counts[index] - 1e-9) & fits
            empty = np.bincount(self.chosen[self.chosen >= 0], minlength=len(room)) == 0
            if (self.chosen < 0).sum() <= empty.sum():
                allowed = empty  # Of no label, perhaps, there are as many groups as splits; of all of them there are.
            elif len(members) - position <= (~filled).sum():
                # No more groups than splits without one: each of these gets one, however small its share.
                allowed = ~filled & fits if (~filled & fits).any() else ~filled
            if not allowed.any():
                most = np.where(fits, room, -np.inf) if fits.any() else room
                allowed, weights = most == most.max(), np.ones(len(room))
            else:
                weights = np.maximum(room, 1e-9)
            weights = np.where(allowed, weights, 0.0)
            draw = (
                int.from_bytes(hashlib.sha256(f"{self.seed}:{self.keys[index]}".encode()).digest()[:7], "big") / 2**56
            )
            split = int(np.searchsorted(np.cumsum(weights), draw * weights.sum(), side="right"))
            self.chosen[index], filled[split] = split, True
            room[split] -= counts[index]
            self.space[split] -= self.sizes[index]
        return np.clip(room, -1, 1)


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
