"""Similarity clusters against a plain double loop over sets of k-mers."""

from __future__ import annotations

import numpy as np
import pytest

from hubtools.data.splits import clusters as clusters_module
from hubtools.data.splits.clusters import similarity_clusters


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


@pytest.mark.parametrize("seed", range(6))
def test_large_families_are_found_in_one_go_and_change_nothing(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    sequences = relatives(100 + seed, families=4, members=20)
    expected = by_loop(sequences, 4, 0.4)
    rounds = []
    merge = clusters_module.component_merge
    monkeypatch.setattr(clusters_module, "component_merge", lambda *given: rounds.append(1) or merge(*given))
    monkeypatch.setattr(clusters_module, "_LARGE_FAMILY", 10)
    assert as_sets(similarity_clusters(sequences, 4, 0.4)) == expected
    assert len(rounds) > 4, "no representative was used"


def test_thousands_of_variants_of_one_protein_take_no_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    letters = np.array(list("ACDEFGHIKLMNPQRSTVWY"))
    wild_type = rng.choice(letters, 120)
    variants = []
    for _ in range(3000):
        variant = wild_type.copy()
        variant[rng.integers(0, 120, 3)] = rng.choice(letters, 3)
        variants.append("".join(variant))
    looked_at = []
    between = clusters_module._between_clusters
    monkeypatch.setattr(
        clusters_module, "_between_clusters", lambda *given: looked_at.append(between(*given)) or looked_at[-1]
    )
    assert set(similarity_clusters(variants, 4, 0.5).tolist()) == {0}
    assert looked_at[0].nnz == 0
