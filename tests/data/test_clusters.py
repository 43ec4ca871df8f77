"""Similarity clusters against a plain double loop over sets of k-mers."""

from __future__ import annotations

import numpy as np
import pytest

from hubtools.data import clusters as clusters_module
from hubtools.data.clusters import similarity_clusters


def relatives(seed: int, families: int = 12, members: int = 5) -> list[str]:
    """Random proteins with mutated and shortened copies."""
    rng = np.random.default_rng(seed)
    letters = np.array(list("ACDEFGHIKLMNPQRSTVWY"))
    proteins = []
    for _ in range(families):
        parent = rng.choice(letters, rng.integers(8, 60))
        for _ in range(members):
            child = parent.copy()
            changed = rng.random(len(child)) < rng.choice([0.02, 0.1, 0.3])
            child[changed] = rng.choice(letters, changed.sum())
            proteins.append("".join(child[: rng.integers(5, len(child) + 1)]))
    return proteins


def by_loop(sequences: list[str], k: int, min_shared: float) -> set[frozenset[int]]:
    """The definition, pair by pair."""
    words = [{s[i : i + k] for i in range(len(s) - k + 1) if "X" not in s[i : i + k]} for s in sequences]
    groups = [{i} for i in range(len(sequences))]
    for i in range(len(sequences)):
        for j in range(i):
            smaller = min(len(words[i]), len(words[j]))
            linked = smaller and len(words[i] & words[j]) >= min_shared * smaller
            if (linked or sequences[i] == sequences[j]) and groups[i] is not groups[j]:
                groups[i] |= groups[j]
                for member in groups[j]:
                    groups[member] = groups[i]
    return {frozenset(group) for group in groups}


def as_sets(numbers: np.ndarray) -> set[frozenset[int]]:
    return {frozenset(np.flatnonzero(numbers == number).tolist()) for number in np.unique(numbers)}


@pytest.mark.parametrize("pairs_at_once", [20_000_000, 50])
@pytest.mark.parametrize(("k", "min_shared"), [(3, 0.5), (4, 0.3), (2, 0.9), (8, 0.1)])
def test_equal_to_the_double_loop(
    k: int, min_shared: float, pairs_at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clusters_module, "_PAIRS_AT_ONCE", pairs_at_once)
    sequences = [*relatives(k), "MKV", "MKV", "XXXXXXXXXX", "XXXXXXXXXXX", "ACXDEXACXDEX", "ACDEFGHIKLUO"]
    assert as_sets(similarity_clusters(sequences, k, min_shared)) == by_loop(sequences, k, min_shared)


def test_links_are_transitive() -> None:
    first, second, third = "ACDEFGHIKL", "GHIKLMNPQR", "MNPQRSTVWY"
    assert similarity_clusters([first, third], 3, 0.3).tolist() == [0, 1]
    assert len(set(similarity_clusters([first, second, third], 3, 0.3).tolist())) == 1


def test_one_short_sequence() -> None:
    assert similarity_clusters(["MK"], 5, 0.5).tolist() == [0]
