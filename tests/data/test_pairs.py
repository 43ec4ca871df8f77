"""Pairs: looked up, the same in either order, split by protein, and what that leaves out is counted."""

from __future__ import annotations

from collections import Counter
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from task_files import csv, load, write_task

from hubtools.common.errors import UserError
from hubtools.specs.lookup.spec_files import load_task

PROTEINS = ">p1\nMKT\n>p2 second\nmkvv\n>alias\nMKT\n>p3\nMKWY*\n>p4\nAAAA\n>p5\nCCCC\n>p6\nDDDD\n"
LOOKUP = {"proteins.fasta": {"lookup": True}}
IDS: dict[str, Any] = {"sequence": "a", "partner": "b"}
SPLIT = {"fractions": {"train": 0.5, "validation": 0.25, "test": 0.25}}


def pairs(folder: Path, rows: list[tuple[Any, ...]], header: str = "a,b,label,set", **options: Any):
    files: dict[str, str | bytes] = {"x.csv": csv(rows, header), "proteins.fasta": PROTEINS}
    options = {"problem": "pair-classification", "columns": IDS, "entries": LOOKUP, **options}
    return load(folder, files, **options)


def everyone(letters: str = "ACDEFGHIKLMNPQRSTVWY") -> list[tuple[str, str, str]]:
    """Every pair of twenty proteins."""
    return [(a * 4, b * 4, "ab"[i % 2]) for i, (a, b) in enumerate(combinations(letters, 2))]


def drawn(folder: Path, rows: list[tuple[Any, ...]], **options: Any):
    options = {"problem": "pair-classification", "columns": {"sequence": "a", "partner": "b"}, **options}
    return load(folder, {"x.csv": csv(rows, "a,b,label")}, **options)


def test_ids_are_looked_up_and_a_protein_is_its_sequence(tmp_path: Path) -> None:
    rows = [
        ("p1", "p2", "a", "train"),
        ("alias", "p4", "b", "train"),
        ("p4", "p5", "b", "validation"),
        ("p3", "p3", "a", "test"),
    ]
    data = pairs(tmp_path, rows)
    assert data.splits["train"].to_dict() == {
        "id": ["p1|p2", "alias|p4"],
        "sequence": ["MKT", "MKT"],
        "label": [0, 1],
        "partner": ["MKVV", "AAAA"],
        # One name for one sequence, the first of its ids.
        "protein": ["alias", "alias"],
        "partner_protein": ["p2", "p4"],
    }
    facts = data.facts.splits["train"]
    assert (facts.proteins, facts.residues, facts.labelled, facts.longest) == (3, 3 + 4 + 4, 2, 4)
    assert data.sequences("train") == ["MKT", "MKVV", "AAAA"] and data.sequences("test") == ["MKWY"]
    assert data.facts.changed == {"upper-cased": 1, "stop at the end removed": 1}
    assert "1 ids have the sequence of another id: taken as one protein" in data.facts.findings
    assert [file.name for file in data.facts.files] == ["x", "proteins"]


def test_rows_may_hold_the_sequences_themselves(tmp_path: Path) -> None:
    rows = [("mkt", "AAA", "a", "train"), ("CCC", "DDD", "b", "validation"), ("EEE", "MKT", "b", "test")]
    columns = {"sequence": "a", "partner": "b"}
    data = load(tmp_path, {"x.csv": csv(rows, "a,b,label,set")}, problem="pair-classification", columns=columns)
    assert data.splits["train"]["id"] == ["x:1"] and data.splits["train"]["sequence"] == ["MKT"]
    assert data.splits["train"]["protein"] == data.splits["test"]["partner_protein"]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (("p11", "p2", "a", "train"), r"t, x:1: there is no protein 'p11' .*\(7 proteins\)\. Did it mean p1\?"),
        (("p1", "zzzzz", "a", "train"), r"there is no protein 'zzzzz'.*Correct the id"),
        (("p1", "p2", "c", "train"), r"t, p1\|p2: unknown label 'c'"),
    ],
)
def test_what_cannot_be_looked_up_is_named(tmp_path: Path, row: tuple[str, ...], message: str) -> None:
    with pytest.raises(UserError, match=message) as error:
        pairs(tmp_path, [row, ("p4", "p4", "a", "validation"), ("p5", "p6", "a", "test")])
    assert "\n" not in str(error.value)


def test_an_id_of_two_sequences_is_refused(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {"x.csv": csv([("p", "p", "a")], "a,b,label"), "y.fasta": ">p\nMK\n>p\nMV\n"}
    with pytest.raises(UserError, match="'p' has two different sequences"):
        load(
            tmp_path,
            files,
            problem="pair-classification",
            columns=IDS,
            entries={"y.fasta": {"lookup": True}},
            split=SPLIT,
        )


def test_clusters_of_a_pair_are_no_column(tmp_path: Path) -> None:
    columns = {**IDS, "cluster": "family"}
    path = write_task(tmp_path, {"x.csv": "a,b,label\n"}, problem="pair-classification", columns=columns)
    with pytest.raises(UserError, match=r"a row has two proteins\. Give clusters instead"):
        load_task(str(path))


def test_a_pair_in_test_is_not_trained_on_in_either_order(tmp_path: Path) -> None:
    rows = [
        ("p2", "p1", "a", "train"),
        ("p1", "p3", "a", "train"),
        ("p4", "p5", "b", "train"),
        ("p5", "p4", "b", "validation"),
        ("p6", "p6", "b", "train"),
        ("alias", "p2", "a", "test"),
        ("p1", "p2", "a", "test"),
        ("p2", "p5", "b", "test"),
    ]
    data = pairs(tmp_path, rows)
    assert data.facts.removed == {"train: pair is in test": 1, "train: pair is in validation": 1}
    assert data.splits["train"]["id"] == ["p1|p3", "p6|p6"]
    assert data.facts.findings[1] == "1 training pairs removed: the pair is in test (1 pairs)"
    assert "test: 1 pairs repeat an earlier pair" in data.facts.findings
    assert (
        "test: of 3 pairs 0 have both proteins in training pairs (class C1), 2 one (C2), 1 none (C3)"
        in data.facts.findings
    )


def test_the_same_pair_twice_has_two_ids(tmp_path: Path) -> None:
    rows = [
        ("p1", "p2", "a", "train"),
        ("p1", "p2", "a", "train"),
        ("p4", "p4", "a", "validation"),
        ("p5", "p6", "b", "test"),
    ]
    assert pairs(tmp_path, rows).splits["train"]["id"] == ["p1|p2", "p1|p2#2"]


def test_before_a_draw_conflicts_go_and_mirror_images_are_kept_once(tmp_path: Path) -> None:
    rows = everyone()
    first, second, label = rows[0]
    data = drawn(tmp_path, [*rows, (second, first, label), (rows[1][1], rows[1][0], "a")], split=SPLIT)
    assert data.facts.removed["same pair and label as an earlier row"] == 1
    assert data.facts.removed["pair occurs with different labels"] == 2
    kept = sum(split.labelled for split in data.facts.splits.values())
    assert kept + sum(data.facts.removed.values()) == len(rows) + 2


def test_a_draw_keeps_proteins_apart_and_counts_what_it_leaves_out(tmp_path: Path) -> None:
    data = drawn(tmp_path, everyone(), split=SPLIT)
    sides = {name: {*split["sequence"], *split["partner"]} for name, split in data.splits.items()}
    assert {name: len(side) for name, side in sides.items()} == {"train": 10, "validation": 5, "test": 5}
    assert all(not sides[a] & sides[b] for a, b in combinations(sides, 2))
    # Every pair inside a side is there: 45 of ten proteins, 10 of five.
    assert {name: len(split) for name, split in data.splits.items()} == {"train": 45, "validation": 10, "test": 10}
    assert data.facts.removed == {"the two proteins are in different splits": 190 - 65}
    line = "test: of 10 pairs 0 have both proteins in training pairs (class C1), 0 one (C2), 10 none (C3)"
    assert line in data.facts.findings


def test_relatives_stay_on_one_side(tmp_path: Path) -> None:
    # Ten families of two.
    families = ["ACDEFGHIKL", "LKIHGFEDCA", "MNPQRSTVWY", "YWVTSRQPNM", "AMCNDPEQFR", "GSHTIVKWLY"] + [
        f"{letter * 6}{other * 6}" for letter, other in ("AC", "DE", "FG", "HI")
    ]
    members = [family + end for family in families for end in ("WW", "MM")]
    rows = [(a, b, "ab"[i % 2]) for i, (a, b) in enumerate(combinations(members, 2))]
    data = drawn(tmp_path, rows, split=SPLIT, clusters={"k": 3, "min_shared": 0.5})
    sides = {name: {*split["cluster"], *split["partner_cluster"]} for name, split in data.splits.items()}
    assert sum(map(len, sides.values())) == len(set().union(*sides.values())) == 10
    assert data.facts.splits["train"].clusters == 5 and data.facts.splits["train"].proteins == 10


def test_validation_is_carved_off_by_protein_too(tmp_path: Path) -> None:
    rows = [(*row, "train") for row in everyone("ACDEFGHIKLMNPQR")] + [("SSSS", "TTTT", "a", "test")]
    data = load(
        tmp_path,
        {"x.csv": csv(rows, "a,b,label,set")},
        problem="pair-classification",
        columns={"sequence": "a", "partner": "b"},
        splits={"train": {"where": {"set": "train"}}, "test": {"where": {"set": "test"}}},
        validation_fraction=0.4,
    )
    assert {name: len(split) for name, split in data.splits.items()} == {"train": 36, "validation": 15, "test": 1}
    assert data.facts.removed == {"the two proteins are in different splits": 9 * 6}
    assert data.facts.validation == "40% of the proteins of train, drawn by seed 0, equal sequences on one side"


def test_a_subset_is_of_pairs(tmp_path: Path) -> None:
    data = drawn(tmp_path, everyone(), split=SPLIT, subset=7)
    assert [len(split) for split in data.splits.values()] == [7, 7, 7]
    assert "subset: at most 7 pairs of each split" in data.facts.findings
    assert all(split.proteins <= 14 for split in data.facts.splits.values())
    labels = Counter(data.splits["test"]["label"])
    assert data.facts.splits["test"].label_counts == {"a": labels[0], "b": labels[1]}


def test_row_digests_see_the_partner(tmp_path: Path) -> None:
    rows = [("AAA", "CCC", "a", "train"), ("DDD", "EEE", "a", "validation"), ("FFF", "GGG", "a", "test")]

    def digest(partner: str) -> str:
        changed = [(rows[0][0], partner, *rows[0][2:]), *rows[1:]]
        columns = {"sequence": "a", "partner": "b"}
        data = load(tmp_path, {"x.csv": csv(changed, "a,b,label,set")}, problem="pair-classification", columns=columns)
        return data.facts.splits["train"].rows_sha256

    assert digest("CCC") == digest("ccc") != digest("CCD")
