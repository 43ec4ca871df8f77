"""What the bootstrap draws: whole homology clusters, else whole proteins, never single residues.

Residues of a protein, and proteins of a family, are right or wrong together; drawing them one by one would pretend
to more evidence than there is and give intervals that are too narrow.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from hubtools.evaluation.predictions import Predictions

# With fewer clusters than this, percentile intervals over them are too coarse to mean 95 %.
MIN_CLUSTERS = 20

# Elements of one block of weights: 4 MiB.
_BLOCK = 2**19


def bootstrap_units(predictions: Predictions) -> tuple[np.ndarray, int, str]:
    """The units that the bootstrap draws.

    Returns:
        The unit of each row as (n,) int64 in order of first appearance, the number of units, and what they are in
        words, for example ``364 proteins (no clusters)``.
    """
    if predictions.clusters is None:
        reason = "no clusters"
    else:
        codes, n_clusters = encode(predictions.clusters)
        if n_clusters >= MIN_CLUSTERS:
            return codes, n_clusters, f"{n_clusters:,} homology clusters"
        reason = f"only {n_clusters} cluster{'s' * (n_clusters != 1)}"
    codes, n_proteins = encode(predictions.ids)
    return codes, n_proteins, f"{n_proteins:,} protein{'s' * (n_proteins != 1)} ({reason})"


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
    rows = max(1, _BLOCK // max(1, n_units))
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
    """Integer codes of strings in order of first appearance, and how many there are."""
    import pyarrow as pa

    encoded = pa.array(names, pa.string()).dictionary_encode()
    return encoded.indices.to_numpy().astype(np.int64), len(encoded.dictionary)
