"""Clusters of similar sequences: a quick stand-in for homology groups, needing nothing but scipy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hubtools.data.rows.chain_breaks import chains_joined

if TYPE_CHECKING:
    from scipy.sparse import csr_array

# Pairs of (sequence, sequence, shared k-mer) looked at in one go: bounds the memory to a few hundred megabytes.
_PAIRS_AT_ONCE = 20_000_000
_LETTERS = 26
# A sequence that shares this many k-mers with others (counted with each) stands for a large family, found in one go.
_LARGE_FAMILY = 100_000
_MAX_REPRESENTATIVES = 200
_MOST_SHARED = 300_000_000


def similarity_clusters(sequences: Sequence[str], k: int, min_shared: float) -> npt.NDArray[np.int64]:
    """Single-linkage clusters of sequences that share many k-mers.

    Two sequences are linked when the distinct k-mers they share make up at least ``min_shared`` of those of the one
    that has fewer. Equal sequences are always together. k-mers with an X say nothing and are left out; a sequence
    without a k-mer is alone. The cost grows with the number of pairs that share a k-mer, but for
    large families, which one member finds: k-mers that occur in one cluster only link nothing any more.

    Args:
        sequences: upper-case letters A to Z, ``:`` between chains, which no word goes across.
        k: length of the words compared, at most 8.
        min_shared: share of the smaller set of k-mers, 0 to 1.

    Returns:
        For each sequence the number of its cluster, from 0; shape (n,).
    """
    distinct = {sequence: index for index, sequence in enumerate(dict.fromkeys(sequences))}
    words, sizes = _word_sets(chains_joined(list(distinct)), k)
    cluster = _large_families(words, sizes, min_shared)
    words = _between_clusters(words, cluster)
    for first, second in _linked_pairs(words, sizes, min_shared):
        # Merged block by block, so that a large family never holds all its pairs in memory.
        cluster = component_merge(cluster, first, second)
    return cluster[[distinct[sequence] for sequence in sequences]].astype(np.int64)


def component_merge(
    cluster: npt.NDArray[Any], first: npt.NDArray[np.int64], second: npt.NDArray[np.int64]
) -> npt.NDArray[Any]:
    """Cluster numbers after the clusters of linked sequences have become one; all of shape (n,) or (links,)."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    edges = coo_array(
        (np.ones(len(first), dtype=np.int8), (cluster[first], cluster[second])), shape=(len(cluster),) * 2
    )
    return connected_components(edges, directed=False)[1][cluster]


def shared_words(
    queries: list[str], targets: list[str], k: int, min_shared: float, most: int
) -> Iterator[tuple[int, npt.NDArray[np.int64]]]:
    """For each query the targets that share enough k-mers with it, those that share most first, at most ``most``.

    A query that is itself a target is not its own candidate.
    """
    words, sizes = _word_sets([*queries, *targets], k)
    n = len(queries)
    occurrences = np.bincount(words[n:].indices, minlength=words.shape[1])
    # Variants of one protein share nearly every word: a fixed share of the words then tells as much.
    share = max(int(occurrences[words[:n].indices].sum() / _MOST_SHARED), 1)
    words, kept = words[:, ::share], sizes / share
    transposed = words[n:].T.tocsr()
    occurrences = np.diff(transposed.indptr)
    work = np.cumsum(np.r_[0, occurrences[words[:n].indices]])[words[:n].indptr]
    start = 0
    while start < n:
        stop = max(int(np.searchsorted(work, work[start] + _PAIRS_AT_ONCE, side="right")) - 1, start + 1)
        product = (words[start:stop] @ transposed).tocsr()
        for row in range(stop - start):
            part = slice(product.indptr[row], product.indptr[row + 1])
            columns, counts = product.indices[part], product.data[part]
            enough = counts >= min_shared * np.minimum(kept[start + row], kept[n + columns]) - 1e-9
            columns, counts = columns[enough], counts[enough]
            order = np.lexsort((columns, -counts))[: most + 1]
            chosen = [c for c in columns[order] if targets[c] != queries[start + row]][:most]
            if chosen:
                yield start + row, np.array(chosen, dtype=np.int64)
        start = stop


def _large_families(words: csr_array, sizes: npt.NDArray[np.int64], min_shared: float) -> npt.NDArray[np.int64]:
    """Clusters that single sequences with very many relatives tell: true links only, not yet all of them."""
    cluster = np.arange(words.shape[0])
    work = np.bincount(words.indices, minlength=words.shape[1])[words.indices].astype(np.float64)
    work = np.add.reduceat(np.r_[work, 0.0], np.minimum(words.indptr[:-1], len(work))) * (np.diff(words.indptr) > 0)
    open_rows, transposed = work > _LARGE_FAMILY, words.T.tocsr()
    for _ in range(_MAX_REPRESENTATIVES):
        if not open_rows.any():
            break
        chosen = int(np.argmax(np.where(open_rows, work, -1)))
        row = (words[chosen : chosen + 1] @ transposed).tocsr()
        linked = row.indices[row.data >= min_shared * np.minimum(sizes[chosen], sizes[row.indices]) - 1e-9]
        cluster = component_merge(cluster, np.full(len(linked), chosen), linked)
        open_rows &= cluster != cluster[chosen]
        open_rows[chosen] = False
    return cluster


def _between_clusters(words: csr_array, cluster: npt.NDArray[np.int64]) -> csr_array:
    """Only the k-mers of more than one cluster: all that sequences of two clusters can share."""
    columns = words.tocsc()
    if not columns.nnz:
        return words
    used = np.flatnonzero(np.diff(columns.indptr))
    owners, starts = cluster[columns.indices], columns.indptr[used]
    several = np.maximum.reduceat(owners, starts) != np.minimum.reduceat(owners, starts)
    return columns[:, used[several]].tocsr()


def _word_sets(sequences: list[str], k: int) -> tuple[csr_array, npt.NDArray[np.int64]]:
    """Which sequence has which k-mer (words of one sequence only left out), and each one's number of k-mers."""
    import pandas as pd
    from scipy.sparse import csr_array

    letters = np.frombuffer("".join(sequences).encode("ascii"), dtype=np.uint8).astype(np.int64) - ord("A")
    lengths = np.array([len(sequence) for sequence in sequences], dtype=np.int64)
    owner = np.repeat(np.arange(len(sequences)), lengths)
    n_windows = max(len(letters) - k + 1, 0)
    codes = np.zeros(n_windows, dtype=np.int64)
    usable = owner[:n_windows] == owner[k - 1 :] if n_windows else np.zeros(0, dtype=bool)
    unknown = letters == ord("X") - ord("A")
    for offset in range(k):
        codes = codes * _LETTERS + letters[offset : offset + n_windows]
        usable &= ~unknown[offset : offset + n_windows]
    words = _LETTERS**k
    pairs = np.sort(owner[:n_windows][usable] * words + codes[usable])
    pairs = pairs[np.diff(pairs, prepend=-1) > 0]
    rows, codes = pairs // words, pairs % words
    sizes = np.bincount(rows, minlength=len(sequences))
    columns, distinct = pd.factorize(codes)
    shared = np.bincount(columns, minlength=1)[columns] > 1
    rows, columns = rows[shared], columns[shared]
    shape = (len(sequences), max(len(distinct), 1))
    return csr_array((np.ones(len(rows), dtype=np.int32), (rows, columns)), shape=shape), sizes


def _linked_pairs(
    words: csr_array, sizes: npt.NDArray[np.int64], min_shared: float
) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
    """Blocks of linked pairs of sequences, by sparse matrix products of bounded size."""
    occurrences = np.bincount(words.indices, minlength=words.shape[1])
    work = np.cumsum(np.r_[0, occurrences[words.indices]])[words.indptr]
    start = 0
    while start < words.shape[0]:
        stop = max(int(np.searchsorted(work, work[start] + _PAIRS_AT_ONCE, side="right")) - 1, start + 1)
        # Each pair once: earlier sequences have been compared with these already.
        product = (words[start:stop] @ words[start:].T).tocoo()
        first, second = product.coords
        enough = product.data >= min_shared * np.minimum(sizes[first + start], sizes[second + start]) - 1e-9
        keep = enough & (first < second)
        if keep.any():
            yield first[keep] + start, second[keep] + start
        start = stop
