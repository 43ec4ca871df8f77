"""What the bootstrap draws: whole homology clusters, else whole proteins, never single residues.

Residues of a protein, and proteins of a family, are right or wrong together; drawing them one by one would pretend
to more evidence than there is and give intervals that are too narrow. Pairs that share a protein are no more
independent: there the proteins (or their clusters) are drawn, and a pair counts by the product of how often its two
were (the vertex bootstrap of Snijders & Borgatti, Connections 22, 1999).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from hubtools.evaluation.predictions import Predictions

# With fewer clusters, or proteins of assays, than this, percentile intervals over them are too coarse to mean 95 %.
MIN_UNITS = 20

# Elements of one block of weights: 16 MiB.
AT_ONCE = 2**21


def bootstrap_units(predictions: Predictions) -> tuple[np.ndarray, int, str]:
    """The units that the bootstrap draws.

    Returns:
        The unit of each row as (n,) int64 in order of first appearance, for pairs those of both proteins as (n, 2);
        the number of units; and what they are in words, for example ``364 proteins (no clusters)``.
    """
    pairs = " that make up the pairs" if predictions.proteins is not None else ""
    if predictions.clusters is None:
        reason = "no clusters"
    else:
        codes, n_clusters = encode(predictions.clusters)
        if n_clusters >= MIN_UNITS:
            return codes, n_clusters, f"{n_clusters:,} homology clusters{' of the proteins' if pairs else ''}{pairs}"
        reason = f"only {n_clusters} cluster{'s' * (n_clusters != 1)}"
    codes, n_proteins = encode(predictions.ids if predictions.proteins is None else predictions.proteins)
    return codes, n_proteins, f"{n_proteins:,} protein{'s' * (n_proteins != 1)}{pairs} ({reason})"


def pair_weights(units: np.ndarray) -> tuple[np.ndarray, int, Callable[[np.ndarray], np.ndarray]]:
    """From weights of proteins to weights of pairs.

    A pair of two units counts by the product of their multiplicities. A pair inside one unit (a protein with itself, or
    two of one cluster) counts as often as the unit is drawn: each copy of it brings its own such pairs, and what lies
    between two copies was never observed.

    Args:
        units: (n, 2) units of the two proteins of each row.

    Returns:
        The dyad (unordered pair of units) of each row as (n,) int64, the number of dyads, and a function from
        (R, n_units) weights to (R, n_dyads).
    """
    dyads, codes = np.unique(np.sort(units, axis=1), axis=0, return_inverse=True)
    first, second = dyads.T
    inside = first == second

    def of(weights: np.ndarray) -> np.ndarray:
        return np.take(weights, first, axis=1) * np.where(inside, 1, np.take(weights, second, axis=1))

    return codes.reshape(-1).astype(np.int64), len(dyads), of


def blocks(n_replicates: int, columns: int) -> Iterator[slice]:
    """Cut replicates into blocks whose arrays of that many columns stay small."""
    rows = max(1, AT_ONCE // max(1, columns))
    for start in range(0, n_replicates, rows):
        yield slice(start, start + rows)


def bootstrap_weights(
    n_units: int, replicates: int, seed: int, strata: np.ndarray | None = None
) -> Iterator[np.ndarray]:
    """How often each unit is drawn in each replicate, block by block so that memory stays bounded.

    The same arguments give the same weights, so that two models are resampled alike.

    Args:
        n_units: number of units.
        replicates: how many replicates.
        seed: of the draws.
        strata: (n_units,) group of each unit: each group is then resampled on its own, to its own size.

    Yields:
        (block, n_units) int64 multiplicities; each row sums to ``n_units``.
    """
    rng = np.random.default_rng(seed)
    rows = max(1, AT_ONCE // max(1, n_units))
    if strata is not None:
        order = np.argsort(strata, kind="stable")
        _, first, sizes = np.unique(strata[order], return_index=True, return_counts=True)
        low, high = np.repeat(first, sizes), np.repeat(first + sizes, sizes)
    for start in range(0, replicates, rows):
        block = min(rows, replicates - start)
        if strata is None:
            draws = rng.integers(0, n_units, size=(block, n_units))
        else:
            draws = order[rng.integers(low, high, size=(block, n_units))]
        draws += np.arange(block)[:, None] * n_units
        yield np.bincount(draws.ravel(), minlength=block * n_units).reshape(block, n_units)


def encode(names: np.ndarray) -> tuple[np.ndarray, int]:
    """Integer codes of strings in order of first appearance, in the same shape, and how many there are."""
    import pyarrow as pa

    encoded = pa.array(names.ravel(), pa.string()).dictionary_encode()
    return encoded.indices.to_numpy().astype(np.int64).reshape(names.shape), len(encoded.dictionary)


def rows_of_each(names: np.ndarray) -> list[np.ndarray]:
    """The rows of each name in turn, names in order of first appearance."""
    codes, n_names = encode(names)
    return np.split(np.argsort(codes, kind="stable"), np.cumsum(np.bincount(codes, minlength=n_names))[:-1])
