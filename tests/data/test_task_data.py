"""The whole way from a task file to canonical rows and the facts about them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from task_files import csv, load, write_task

from hubtools.common.errors import UserError
from hubtools.data import DataCache, source_digest
from hubtools.specs.lookup.spec_files import load_task

ROWS = [("mkt", "a", "train"), ("MKVV", "b", "train"), ("MKW*", "a", "test"), ("MKYYY", "b", "validation")]


def test_rows_and_facts(tmp_path: Path) -> None:
    data = load(tmp_path, {"x.csv": csv(ROWS)})
    assert list(data.splits) == ["train", "validation", "test"]
    assert data.splits["train"].to_dict() == {"id": ["x:1", "x:2"], "sequence": ["MKT", "MKVV"], "label": [0, 1]}
    facts = data.facts.splits["train"]
    assert (facts.proteins, facts.residues, facts.labelled, facts.longest, facts.clusters) == (2, 7, 2, 4, None)
    assert facts.label_counts == {"a": 1, "b": 1}
    assert data.facts.changed == {"upper-cased": 1, "stop at the end removed": 1}
    assert data.facts.validation == "declared by the data"
    assert data.facts.findings == ["validation: no example of a", "test: no example of b"]
    assert re.fullmatch("[0-9a-f]{64}", data.facts.files[0].sha256 or "")


def test_row_digests_follow_id_sequence_label_and_order(tmp_path: Path) -> None:
    def digest(rows: list[tuple[str, str, str]], **options: Any) -> str:
        return load(tmp_path, {"x.csv": csv(rows)}, **options).facts.splits["train"].rows_sha256

    original = digest(ROWS)
    assert digest(ROWS) == original
    assert digest([*ROWS[2:], *ROWS[:2]], columns={"id": "sequence"}) == digest(ROWS, columns={"id": "sequence"})
    assert digest([ROWS[1], ROWS[0], *ROWS[2:]]) != original
    assert digest([("MKT", "b", "train"), *ROWS[1:]]) != original
    assert digest([("MKS", "a", "train"), *ROWS[1:]]) != original
    assert digest(ROWS, columns={"id": "sequence"}) != original


def test_labels_and_mask_of_other_fasta_files_are_joined_by_id(tmp_path: Path) -> None:
    files = {
        "sequences.fasta": ">p1\nMK\nT\n>p2\nMKV\n>p3\nACDE\n",
        "labels.fasta": ">p3 SET=test\nabab\n>p1 SET=train\naab\n>p2 SET=validation\nbbb\n>p9 SET=test\na\n",
        "mask.fasta": ">p1\n110\n>p2\n111\n>p3\n0011\n",
    }
    options: dict[str, Any] = {
        "problem": "residue-classification",
        "entries": {"labels.fasta": {"body": "label"}, "mask.fasta": {"body": "mask"}},
        "columns": {"mask": "mask"},
        "splits": {name: {"where": {"SET": name}} for name in ("train", "validation", "test")},
    }
    data = load(tmp_path, files, **options)
    assert data.splits["train"].to_dict() == {"id": ["p1"], "sequence": ["MKT"], "label": [[0, 0, -100]]}
    assert data.splits["test"]["label"][0] == [-100, -100, 0, 1]
    assert data.facts.splits["test"].labelled == 2
    assert "1 entries of label belong to no sequence" in data.facts.findings
    files["mask.fasta"] = ">p1\n110\n>p3\n0011\n"
    with pytest.raises(UserError, match=r"p2 has a sequence and no mask \(1 such proteins\)"):
        load(tmp_path, files, **options)
    files["mask.fasta"] = ">p1 SET=test\n110\n>p2\n111\n>p3\n0011\n"
    with pytest.raises(UserError, match="p1: two files give different values of SET"):
        load(tmp_path, files, **options)


def test_labels_in_fasta_headers(tmp_path: Path) -> None:
    text = ">p1 TARGET=0.5 SET=train\nMKT\n>p2 TARGET=-1 SET=test\nMKV\n>p3 TARGET=2 SET=validation\nMKA\n"
    splits = {name: {"where": {"SET": name}} for name in ("train", "validation", "test")}
    data = load(tmp_path, {"x.fasta": text}, problem="sequence-regression", columns={"label": "TARGET"}, splits=splits)
    assert data.splits["test"].to_dict() == {"id": ["p2"], "sequence": ["MKV"], "label": [-1.0]}


def test_a_cluster_column_may_be_absent_from_a_file(tmp_path: Path) -> None:
    files = {
        "one.csv": csv([(*row, f"c{i}") for i, row in enumerate(ROWS)], "sequence,label,set,family"),
        "two.csv": csv([("MKAAAA", "a")], "sequence,label"),
    }
    splits = {name: {"files": ["one"], "where": {"set": name}} for name in ("train", "validation", "test")}
    data = load(tmp_path, files, splits={**splits, "extra": {"files": ["two"]}}, columns={"cluster": "family"})
    assert data.splits["train"]["cluster"][:] == ["c0", "c1"]
    assert data.splits["extra"]["cluster"][:] == [None]
    assert [split.clusters for split in data.facts.splits.values()] == [2, 1, 1, None]
    assert data.facts.clusters == "column family"


def test_validation_is_carved_off_train_with_whole_clusters(tmp_path: Path) -> None:
    letters = "ACDEFGHIKLMNPQRSTVWY"
    rows = [(letter * 4 + other, "ab"[i % 2], "train") for i, letter in enumerate(letters) for other in "AC"]
    rows += [("WYWYWYWY", "a", "test")]
    splits = {"train": {"where": {"set": "train"}}, "test": {"where": {"set": "test"}}}
    data = load(tmp_path, {"x.csv": csv(rows)}, splits=splits, clusters={"k": 2}, validation_fraction=0.2)
    train, validation = data.splits["train"], data.splits["validation"]
    assert (len(train), len(validation)) == (32, 8)
    assert not set(train["cluster"]) & set(validation["cluster"])
    assert data.facts.validation == "20% of train, drawn by seed 0, whole clusters on one side"
    other = load(tmp_path, {"x.csv": csv(rows)}, splits=splits, clusters={"k": 2}, validation_seed=1)
    assert set(other.splits["validation"]["id"]) != set(validation["id"])


def test_a_seeded_split_without_validation_gets_one(tmp_path: Path) -> None:
    rows = [(f"MK{a}{b}", "ab"[i % 2]) for i, (a, b) in enumerate((a, b) for a in "ACDEFGHIKL" for b in "MNPQRSTVWY")]
    data = load(tmp_path, {"x.csv": csv(rows, "sequence,label")}, split={"fractions": {"train": 0.5, "test": 0.5}})
    assert {name: len(split) for name, split in data.splits.items()} == {"train": 45, "validation": 5, "test": 50}


def test_a_subset_is_the_same_whatever_the_order_of_rows(tmp_path: Path) -> None:
    rows = [
        (f"MK{a}{b}", "a", split)
        for split, a in zip(["train", "test", "validation"], "ACD", strict=True)
        for b in "EFGHIKLM"
    ]
    chosen = [
        load(tmp_path, {"x.csv": csv(order)}, subset=3, columns={"id": "sequence"}).splits
        for order in (rows, rows[::-1])
    ]
    assert [len(split) for split in chosen[0].values()] == [3, 3, 3]
    for name in chosen[0]:
        assert chosen[0][name]["id"][:] == chosen[1][name]["id"][::-1]
    with pytest.raises(UserError, match="a subset of 0 proteins is empty"):
        load(tmp_path, {"x.csv": csv(rows)}, subset=0)


@pytest.mark.parametrize(
    ("files", "options", "message"),
    [
        (
            {"x.csv": csv(ROWS, "sequences,label,set")},
            {},
            r"t, x: there is no column 'sequence' \(data\.columns\.sequence\)\. Did you mean sequences\? There are: sequences, label, set",
        ),
        ({"x.csv": csv(ROWS)}, {"columns": {"cluster": "family"}}, r"no column 'family' \(data\.columns\.cluster\)"),
        ({"x.csv": csv(ROWS)}, {"columns": {"id": "accession"}}, r"x: there is no column 'accession'"),
        ({"x.csv": csv(ROWS), "y.csv": "sequence,set\nMKA,test\n"}, {}, "task t, y: there is no column 'label'"),
        (
            {"x.csv": csv([*ROWS, ("MKK", "b", "test")])},
            {"columns": {"id": "label"}},
            r"3 ids occur more than once|2 ids occur more than once, the first is 'a'",
        ),
        ({"x.csv": csv([("MK_T", "a", "train"), *ROWS])}, {}, "task t, x:1: the sequence holds '_' at position 3"),
        (
            {"x.csv": csv([("MKT", "aab", "train"), ("MKV", "aab", "validation"), ("MKC", "aab", "test")])},
            {"problem": "residue-classification", "candidates": "C"},
            "in the split train no residue is scored",
        ),
        (
            {"x.csv": csv([("MKT", "a", "train"), ("MKV", "a", "validation"), ("MKT", "a", "test")])},
            {},
            "the split train is empty; removed were 1: train: sequence is in test",
        ),
        ({"x.fasta": ">p\nMK\n"}, {"entries": {"x.fasta": {"body": "label"}}}, "no file holds the sequences"),
    ],
)
def test_data_that_do_not_fit_the_task_are_refused(
    tmp_path: Path, files: dict[str, str | bytes], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message) as error:
        load(tmp_path, files, **options)
    assert "\n" not in str(error.value)


def test_the_source_digest_is_the_content_wherever_it_lies(tmp_path: Path) -> None:
    digests, hashes = [], []
    for name, rows in (("here", ROWS), ("there", ROWS), ("other", ROWS[::-1])):
        (tmp_path / name).mkdir()
        task = load_task(str(write_task(tmp_path / name, {"x.csv": csv(rows)})))
        digests.append(source_digest(task, DataCache(tmp_path)))
        hashes.append(task.hash)
    assert digests[0] == digests[1] != digests[2]
    assert len(set(hashes)) == 1
