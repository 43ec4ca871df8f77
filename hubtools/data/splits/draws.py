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
    having = _groups_by_label(group.tolist(), held)
    draw = _Draw(np.array([fractions[name] for name in names]), sizes, keys, seed, within_sizes=held is not None)
    carried = np.zeros(len(names))
    for counts in _rarest_first(having, draw.chosen):
        carried = draw.share_out(counts, carried)
    split_of = np.array(names, dtype=object)[draw.chosen]
    if empty := sorted(set(names) - set(split_of)):
        raise UserError(
            f"the split {empty[0]} is empty: {len(sizes):,} groups of related proteins for {len(names)} splits",
            where=where,
            fix="Add proteins, declare the splits, or use stricter clusters.",
        )
    return split_of[group]


def _groups_by_label(group: Sequence[int], held: Sequence[frozenset[int]] | None) -> list[dict[int, int]]:
    """The groups that have each label, and how many proteins of each; last those with proteins that have none.

    Without labels all proteins are such.
    """
    width = 0 if held is None else max((max(labels, default=-1) for labels in held), default=-1) + 1
    having: list[dict[int, int]] = [{} for _ in range(width + 1)]
    for member, labels in zip(group, held or [frozenset[int]()] * len(group), strict=True):
        for label in labels or (width,):
            having[label][member] = having[label].get(member, 0) + 1
    return having


def _rarest_first(having: list[dict[int, int]], chosen: npt.NDArray[np.int64]) -> Iterator[dict[int, int]]:
    """The groups of each label, the next being that with the fewest groups which are in no split; no label at the end."""
    holders: dict[int, list[int]] = {}
    for label, counts in enumerate(having):
        for member in counts:
            holders.setdefault(member, []).append(label)
    waiting, left = [len(counts) for counts in having], list(range(len(having) - 1))
    while left:
        label = min(left, key=lambda label: (waiting[label], label))
        left.remove(label)
        new = [member for member in having[label] if chosen[member] < 0]
        yield having[label]
        for member in new:
            for other in holders[member]:
                waiting[other] -= 1
    yield having[-1]


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
        self.empty, self.waiting = np.ones(len(shares), dtype=bool), len(sizes)

    def share_out(self, counts: dict[int, int], carried: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Draw a split for each of the groups that have a label and are in none, large ones first.

        Args:
            counts: the groups that have it, and how many of their proteins do.
            carried: room that the label before left; (splits,).

        Returns:
            What of the room rounding left, at most one protein a split.
        """
        room, filled = self.shares * sum(counts.values()) + carried, np.zeros(len(self.shares), dtype=bool)
        for index, count in counts.items():
            if (split := self.chosen[index]) >= 0:
                room[split] -= count
                filled[split] = True
        members = [index for index in counts if self.chosen[index] < 0]
        for position, index in enumerate(sorted(members, key=lambda index: (-self.sizes[index], self.keys[index]))):
            fits = self.space >= self.sizes[index] - 1e-9
            allowed = (room >= counts[index] - 1e-9) & fits
            if self.waiting <= self.empty.sum():
                allowed = (
                    self.empty
                )  # No more groups than empty splits: each of these gets one, however small its share.
            elif len(members) - position <= (~filled).sum():
                # The same of this label, where there is a choice in one that is not too full.
                allowed = ~filled & fits if (~filled & fits).any() else ~filled
            if allowed.any():
                weights = np.where(allowed, np.maximum(room, 1e-9), 0.0)
            else:
                most = np.where(fits, room, -np.inf) if fits.any() else room
                weights = (most == most.max()) * 1.0
            self._place(index, weights)
            room[self.chosen[index]] -= counts[index]
            filled[self.chosen[index]] = True
        return np.clip(room, -1, 1)

    def _place(self, index: int, weights: npt.NDArray[np.float64]) -> None:
        """Put a group into a split that is drawn in proportion to the weights."""
        drawn = int.from_bytes(hashlib.sha256(f"{self.seed}:{self.keys[index]}".encode()).digest()[:7], "big") / 2**56
        split = int(np.searchsorted(np.cumsum(weights), drawn * weights.sum(), side="right"))
        self.chosen[index] = split
        self.space[split] -= self.sizes[index]
        self.empty[split] = False
        self.waiting -= 1


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
