"""Splits: declared by rules, or drawn so that relatives stay together and nothing but content matters."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from task_files import csv, load

from hubtools.common.errors import UserError
from hubtools.data.splits.draws import draw_splits, sample

FRACTIONS = {"train": 0.7, "validation": 0.15, "test": 0.15}


def proteins(n: int) -> list[str]:
    rng = np.random.default_rng(n)
    return ["".join(rng.choice(list("ACDEFGHIKL"), 30)) for _ in range(n)]


def test_sizes_are_the_fractions() -> None:
    drawn = draw_splits(proteins(1000), [None] * 1000, FRACTIONS, seed=1)
    assert {name: int((drawn == name).sum()) for name in FRACTIONS} == {"train": 700, "validation": 150, "test": 150}


def test_clusters_and_equal_sequences_stay_together_and_sizes_close() -> None:
    rng = np.random.default_rng(0)
    sequences = proteins(800)
    clusters = [f"c{number}" if number < 150 else None for number in rng.zipf(1.5, 800)]
    sequences, clusters = sequences + sequences[:200], clusters + clusters[:100] + [None] * 100
    drawn = draw_splits(sequences, clusters, FRACTIONS, seed=1)
    for relation in (sequences, clusters):
        for value in set(relation) - {None}:
            assert len({drawn[i] for i in range(1000) if relation[i] == value}) == 1
    biggest = max(np.unique([c for c in clusters if c], return_counts=True)[1])
    assert biggest > 200  # Larger than two of the splits.
    for name, share in FRACTIONS.items():
        assert abs((drawn == name).mean() - share) < 0.02


def test_large_families_are_no_likelier_in_one_split() -> None:
    sequences = proteins(1000)
    clusters = [f"c{i // 20}" if i < 600 else None for i in range(1000)]
    in_train = [
        len(
            {
                c
                for c, split in zip(clusters, draw_splits(sequences, clusters, FRACTIONS, seed), strict=True)
                if c and split == "train"
            }
        )
        for seed in range(40)
    ]
    assert abs(np.mean(in_train) / 30 - 0.7) < 0.05


def test_only_seed_and_content_matter() -> None:
    sequences = proteins(300)
    clusters = [f"c{i % 90}" for i in range(300)]
    drawn = draw_splits(sequences, clusters, FRACTIONS, seed=3)
    order = np.random.default_rng(1).permutation(300)
    renamed = {f"c{i}": f"other{i}" for i in range(90)}
    again = draw_splits(
        [sequences[i] for i in order],
        [renamed[clusters[i]] for i in order],
        dict(reversed(FRACTIONS.items())),
        seed=3,
    )
    assert again.tolist() == drawn[order].tolist()
    assert draw_splits(sequences, clusters, FRACTIONS, seed=4).tolist() != drawn.tolist()


@pytest.mark.slow
def test_hash_randomisation_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    code = (
        "from hubtools.data.splits.draws import draw_splits; "
        "print(''.join(s[1] for s in draw_splits([c * 5 + d for c in 'ACDEFG' for d in 'HIKL'], "
        "[c for c in 'ACDEFG' for d in 'HIKL'], {'train': .5, 'test': .5}, 0)))"
    )
    seen = set()
    for seed in "12":
        monkeypatch.setenv("PYTHONHASHSEED", seed)
        seen.add(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
    assert len(seen) == 1
    assert sorted(seen.pop().strip()) == ["e"] * 12 + ["r"] * 12


def test_too_few_groups_are_refused() -> None:
    with pytest.raises(UserError, match="the split validation is empty: 2 groups of related proteins for 3 splits"):
        draw_splits(proteins(10), ["c"] * 5 + ["d"] * 5, FRACTIONS, seed=0)


@pytest.mark.parametrize("seed", range(20))
def test_no_split_is_empty_where_there_are_groups_enough(seed: int) -> None:
    assert set(draw_splits(proteins(3), [None] * 3, FRACTIONS, seed)) == set(FRACTIONS)


def test_a_sample_depends_on_content_and_grows() -> None:
    sequences = proteins(100)
    ids = [f"p{i}" for i in range(100)]
    small, large = sample(ids, sequences, 10), sample(ids, sequences, 30)
    assert small.sum() == 10 and large.sum() == 30
    assert not (small & ~large).any()
    assert sample(ids[::-1], sequences[::-1], 10).tolist() == small[::-1].tolist()
    assert sample(ids, sequences, 1000).all()


ROWS = [("MKT", "a", "train"), ("MKV", "b", "train"), ("MKW", "a", "test"), ("MKY", "b", "validation")]


def test_conditions_compare_text_and_rows_of_no_split_are_counted(tmp_path: Path) -> None:
    rows = [("MKT", "a", 0, True), ("MKV", "b", 1, ""), ("MKW", "a", 2, ""), ("MKL", "a", 3, ""), ("MKI", "a", "", "")]
    splits = {
        "train": {"where": {"fold": [0, 1], "held": ""}},
        "validation": {"where": {"held": True}},
        "test": {"where": {"fold": 2}},
        "odd": {"where": {"fold": ""}},
    }
    data = load(tmp_path, {"x.csv": csv(rows, "sequence,label,fold,held")}, splits=splits)
    assert {name: split["id"][:] for name, split in data.splits.items()} == {
        "train": ["x:2"],
        "validation": ["x:1"],
        "test": ["x:3"],
        "odd": ["x:5"],
    }
    assert "1 rows are in no split" in data.facts.findings


@pytest.mark.parametrize(
    ("splits", "message"),
    [
        (
            {"test": {"where": {"set": "tset"}}},
            r"t, split test: the split is empty: no row has set = 'tset'\. The values are: 'test', 'train', 'validation'",
        ),
        ({"test": {"where": {"sett": "test"}}}, r"split test: there is no column 'sett'\. Did you mean set\?"),
        ({"test": {}}, r"x:1 is in the splits train and test \(2 such rows\).*exclude each other"),
    ],
)
def test_rules_that_cannot_be_meant_are_refused(tmp_path: Path, splits: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        load(tmp_path, {"x.csv": csv(ROWS)}, splits={"train": {"where": {"set": "train"}}, **splits})
