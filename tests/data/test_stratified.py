"""Stratified draws: every label in every split in its share, whole groups on one side, and nothing but content matters."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from task_files import csv, load, write_task

from hubtools.common.errors import UserError
from hubtools.data.splits.draws import draw_splits
from hubtools.specs.lookup.spec_files import load_task

FRACTIONS = {"train": 0.8, "validation": 0.1, "test": 0.1}
Held = list[frozenset[int]]


def proteins(n: int, seed: int = 0) -> list[str]:
    rng = np.random.default_rng(seed)
    return ["".join(rng.choice(list("ACDEFGHIKL"), 30)) for _ in range(n)]


def shares(drawn: Any, having: np.ndarray) -> dict[str, int]:
    return {name: int((drawn[having] == name).sum()) for name in FRACTIONS}


def test_each_class_has_its_share_of_each_split() -> None:
    """Against arithmetic: of classes that the shares divide, exactly; of others to the protein."""
    sizes = [400, 60, 37, 14]
    classes = np.repeat(np.arange(4), sizes)
    drawn = draw_splits(proteins(511), [None] * 511, FRACTIONS, seed=1, held=[frozenset({int(c)}) for c in classes])
    for name, share in FRACTIONS.items():
        assert [abs((drawn[classes == c] == name).sum() - share * size) <= 1 for c, size in enumerate(sizes)] == [
            True
        ] * 4
        assert abs((drawn == name).sum() - share * 511) <= 2


@pytest.mark.parametrize("seed", range(10))
def test_a_class_of_three_proteins_is_in_each_split(seed: int) -> None:
    """479 proteins with rare classes, as in a set of localisations: drawn at random, hardly any test set has them all."""
    sizes = [240, 120, 60, 30, 15, 6, 5, 3]
    classes = np.repeat(np.arange(8), sizes)
    sequences = proteins(479)
    drawn = draw_splits(sequences, [None] * 479, FRACTIONS, seed, held=[frozenset({int(c)}) for c in classes])
    for name in FRACTIONS:
        assert set(classes[drawn == name]) == set(range(8))
    for name, share in FRACTIONS.items():
        assert abs((drawn == name).mean() - share) < 0.02


@pytest.mark.parametrize("seed", range(20))
def test_several_labels_a_protein(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n, labels = int(rng.integers(60, 500)), int(rng.integers(3, 15))
    has = rng.random((n, labels)) < rng.beta(0.5, 3, labels)
    held: Held = [frozenset(np.flatnonzero(row).tolist()) for row in has]
    drawn = draw_splits(proteins(n, seed), [None] * n, FRACTIONS, seed, held=held)
    for label in range(has.shape[1]):
        total = int(has[:, label].sum())
        got = shares(drawn, has[:, label])
        if total >= 3:
            assert min(got.values()) >= 1
        assert all(abs(got[name] - share * total) <= 0.1 * total + 3 for name, share in FRACTIONS.items())
    assert all(abs((drawn == name).mean() - share) < 0.03 for name, share in FRACTIONS.items())


@pytest.mark.parametrize("seed", range(20))
def test_whole_clusters_stay_on_one_side(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(100, 400))
    cluster = rng.integers(0, n // 3, n)
    of_cluster = rng.choice(4, n, p=[0.7, 0.2, 0.08, 0.02])
    classes = np.where(rng.random(n) < 0.9, of_cluster[cluster], rng.integers(0, 4, n))
    held: Held = [frozenset({int(c)}) for c in classes]
    drawn = draw_splits(proteins(n, seed), [f"c{c}" for c in cluster], FRACTIONS, seed, held=held)
    assert all(len(set(drawn[cluster == c])) == 1 for c in set(cluster))
    for c in range(4):
        if len(set(cluster[classes == c])) >= 3:
            assert len(set(drawn[classes == c])) == 3


def test_large_families_are_no_likelier_in_one_split() -> None:
    sequences = proteins(1000)
    clusters = [f"c{i // 20}" if i < 600 else None for i in range(1000)]
    held: Held = [frozenset({int(i // 20 % 2 if i < 600 else i % 2)}) for i in range(1000)]
    in_train = [
        sum(split == "train" for split in draw_splits(sequences, clusters, FRACTIONS, seed, held=held)[:600:20])
        for seed in range(40)
    ]
    assert abs(np.mean(in_train) / 30 - 0.8) < 0.05


def test_only_seed_content_and_labels_matter() -> None:
    sequences, rng = proteins(300), np.random.default_rng(1)
    clusters = [f"c{i % 90}" for i in range(300)]
    held: Held = [frozenset({int(label)}) for label in rng.integers(0, 4, 300)]
    drawn = draw_splits(sequences, clusters, FRACTIONS, seed=3, held=held)
    order = rng.permutation(300)
    again = draw_splits(
        [sequences[i] for i in order],
        [f"other {clusters[i]}" for i in order],
        dict(reversed(FRACTIONS.items())),
        seed=3,
        held=[held[i] for i in order],
    )
    assert again.tolist() == drawn[order].tolist()
    assert draw_splits(sequences, clusters, FRACTIONS, seed=4, held=held).tolist() != drawn.tolist()


def test_labels_that_all_have_change_nothing() -> None:
    """One stratum is a draw without strata, which is what task files of before mean."""
    sequences, clusters = proteins(200), [f"c{i % 70}" for i in range(200)]
    plain = draw_splits(sequences, [None] * 200, FRACTIONS, seed=2)
    assert draw_splits(sequences, [None] * 200, FRACTIONS, 2, held=[frozenset({0})] * 200).tolist() == plain.tolist()
    assert draw_splits(sequences, clusters, FRACTIONS, 2, held=[frozenset()] * 200).tolist() == (
        draw_splits(sequences, clusters, FRACTIONS, seed=2).tolist()
    )


@pytest.mark.parametrize("seed", range(10))
def test_no_split_is_empty_where_each_protein_has_a_label_of_its_own(seed: int) -> None:
    held: Held = [frozenset({i}) for i in range(5)]
    assert set(draw_splits(proteins(5), [None] * 5, FRACTIONS, seed, held=held)) == set(FRACTIONS)


def rows(n: int, label: Any) -> str:
    return csv([(sequence, label(i)) for i, sequence in enumerate(proteins(n))], "sequence,label")


SPLIT = {"fractions": FRACTIONS, "seed": 0}


def test_a_task_says_so_and_its_record_does(tmp_path: Path) -> None:
    files = {"x.csv": rows(100, lambda i: "b" if i < 10 else "a")}
    data = load(tmp_path, files, split=SPLIT, stratified=True)
    assert {name: facts.label_counts for name, facts in data.facts.splits.items()} == {
        "train": {"a": 72, "b": 8},
        "validation": {"a": 9, "b": 1},
        "test": {"a": 9, "b": 1},
    }
    assert data.facts.validation == "drawn by seed 0 with the other splits, stratified by label"
    assert data.facts.split_sha256 is not None


def test_validation_is_carved_off_train_in_strata_too(tmp_path: Path) -> None:
    table = csv(
        [(s, "b" if i % 10 == 0 else "a", "test" if i >= 100 else "train") for i, s in enumerate(proteins(120))]
    )
    splits = {name: {"where": {"set": name}} for name in ("train", "test")}
    data = load(tmp_path, {"x.csv": table}, splits=splits, stratified=True)
    assert data.facts.splits["validation"].label_counts == {"a": 9, "b": 1}
    assert data.facts.validation == "10% of train, drawn by seed 0, stratified by label, equal sequences on one side"


def test_values_are_drawn_by_their_ranges(tmp_path: Path) -> None:
    """Of a hundred values in ten ranges, each split of a tenth has one of each."""
    files = {"x.csv": rows(100, lambda i: i)}
    data = load(tmp_path, files, problem="sequence-regression", split=SPLIT, stratified=True)
    for name in ("validation", "test"):
        assert Counter(int(value // 10) for value in data.splits[name]["label"]) == Counter(range(10))


def test_values_per_residue_count_by_their_mean(tmp_path: Path) -> None:
    files = {"x.csv": rows(100, lambda i: ";".join([str(i)] * 30))}
    data = load(tmp_path, files, problem="residue-regression", split=SPLIT, stratified=True)
    assert Counter(int(values[0] // 10) for values in data.splits["test"]["label"]) == Counter(range(10))


def test_a_rare_class_of_residues_is_in_each_split(tmp_path: Path) -> None:
    files = {"x.csv": rows(60, lambda i: "a" * 29 + ("b" if i < 3 else "a"))}
    data = load(tmp_path, files, problem="residue-classification", split=SPLIT, stratified=True)
    assert [facts.label_counts["b"] for facts in data.facts.splits.values()] == [1, 1, 1]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            {"problem": "pair-classification", "columns": {"partner": "p"}, "split": SPLIT},
            "not for pair-classification",
        ),
        ({}, "the data declare all splits, and none is drawn"),
    ],
)
def test_where_it_means_nothing_it_is_refused(tmp_path: Path, options: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        load_task(str(write_task(tmp_path, {"x.csv": ""}, stratified=True, **options)))


def test_it_is_part_of_the_question_only_where_it_is_said(tmp_path: Path) -> None:
    files = {"x.csv": ""}
    plain, said = (
        load_task(str(write_task(tmp_path, files, split=SPLIT, **more))) for more in ({}, {"stratified": True})
    )
    assert "stratified" not in plain.data.question() and said.hash != plain.hash
