"""Equal sequences on both sides of a split are removed from the side that learns, and counted."""

from __future__ import annotations

from pathlib import Path

from task_files import BY_SET, csv, load

DRAWN = {"fractions": {"train": 0.5, "validation": 0.25, "test": 0.25}}


def test_what_is_in_test_is_not_trained_or_selected_on(tmp_path: Path) -> None:
    rows = [
        ("AAA", "a", "train"),
        ("AAA", "b", "train"),
        ("CCC", "a", "train"),
        ("DDD", "b", "train"),
        ("EEE", "b", "train"),
        ("CCC", "a", "validation"),
        ("EEE", "a", "validation"),
        ("FFF", "a", "validation"),
        ("aaa", "a", "test"),
        ("FFF", "b", "extra"),
        ("aaa", "a", "extra"),
    ]
    splits = {**BY_SET, "extra": {"where": {"set": "extra"}}}
    data = load(tmp_path, {"x.csv": csv(rows)}, splits=splits)
    assert {name: split["sequence"][:] for name, split in data.splits.items()} == {
        "train": ["DDD"],
        "validation": ["CCC", "EEE"],
        "test": ["AAA"],
        "extra": ["FFF", "AAA"],
    }
    assert data.facts.removed == {
        "train: sequence is in test": 2,
        "validation: sequence is in test": 1,
        "train: sequence is in validation": 2,
    }
    assert data.facts.findings[:4] == [
        "2 training proteins removed: their sequence is in test (1 sequences)",
        "1 validation proteins removed: their sequence is in test (1 sequences)",
        "2 training proteins removed: their sequence is in validation (2 sequences)",
        "1 sequences are in test and in extra",
    ]


def test_published_test_rows_stay_and_are_reported(tmp_path: Path) -> None:
    rows = [("AAA", "a", "train"), ("CCC", "b", "validation"), ("DDD", "a", "test"), ("DDD", "b", "test")]
    data = load(tmp_path, {"x.csv": csv(rows)})
    assert data.facts.splits["test"].proteins == 2
    assert "test: 1 proteins repeat an earlier sequence, 1 sequences have different labels" in data.facts.findings
    assert data.facts.removed == {}


def test_before_a_draw_conflicts_go_and_repeats_are_kept_once(tmp_path: Path) -> None:
    rows = [
        ("AAA", "a"),
        ("AAA", "b"),
        ("AAA", "a"),
        ("CCC", "a"),
        ("CCC", "a"),
        ("DDD", "b"),
        ("EEE", "a"),
        ("FFF", "b"),
    ]
    data = load(tmp_path, {"x.csv": csv(rows, "sequence,label")}, split=DRAWN)
    kept = sorted(row for split in data.splits.values() for row in split["id"])
    assert kept == ["x:4", "x:6", "x:7", "x:8"]
    assert data.facts.removed == {
        "sequence occurs with different labels": 3,
        "same sequence and label as an earlier row": 1,
    }
    assert len(rows) == len(kept) + sum(data.facts.removed.values())


def test_repeated_measurements_stay_on_one_side(tmp_path: Path) -> None:
    rows = [(letter * 3, value) for letter in "ACDEFGHI" for value in (1.0, 2.0)]
    data = load(tmp_path, {"x.csv": csv(rows, "sequence,label")}, split=DRAWN, problem="sequence-regression")
    sides = [set(split["sequence"]) for split in data.splits.values()]
    assert sum(map(len, sides)) == len(set().union(*sides)) == 8
    assert data.facts.removed == {}
    assert data.facts.findings == ["8 sequences have several values (16 rows): kept in one split"]


def test_relatives_across_declared_splits_are_reported(tmp_path: Path) -> None:
    rows = [
        ("ACDEFGHIKL", "a", "train"),
        ("ACDEFGHIKM", "a", "test"),
        ("WYWYTTTTSS", "b", "test"),
        ("PPPPQQQQ", "b", "validation"),
    ]
    data = load(tmp_path, {"x.csv": csv(rows)}, clusters={"k": 3, "min_shared": 0.5})
    assert "test: 1 of 2 proteins have a training protein in their cluster" in data.facts.findings
    assert data.facts.splits["test"].clusters == 2
    assert data.splits["test"]["cluster"][0] == data.splits["train"]["cluster"][0]
