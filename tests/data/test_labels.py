"""Labels of all six problems, in every way that data give them, and what is refused."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from task_files import load

from hubtools.common.errors import UserError

NAN = float("nan")


def label_of(folder: Path, cell: Any, sequence: str = "MKYA", mask: str | None = None, **options: Any) -> Any:
    """The canonical label of a protein whose cell is this, through Parquet, so that lists are possible."""
    others = ["W" + sequence[1:], "V" + sequence[1:]]
    rows = pd.DataFrame({"sequence": [sequence, *others], "label": [cell] * 3})
    rows["set"] = ["test", "train", "validation"]
    if mask is not None:
        rows["mask"] = mask
        options["columns"] = {"mask": "mask"}
    buffer = io.BytesIO()
    rows.to_parquet(buffer)
    return load(folder, {"x.parquet": buffer.getvalue()}, **options).splits["test"]["label"][0]


def test_class_index(tmp_path: Path) -> None:
    assert label_of(tmp_path, " b ") == 1
    assert label_of(tmp_path, 7, labels={"3": "three", "7": "seven"}) == 1
    assert label_of(tmp_path, 7.0, labels={"3": "three", "7": "seven"}) == 1


@pytest.mark.parametrize(
    ("cell", "expected"), [("b|c", [0, 1, 1]), ("a", [1, 0, 0]), ("", [0, 0, 0]), (["c"], [0, 0, 1])]
)
def test_several_labels_are_multi_hot(tmp_path: Path, cell: Any, expected: list[int]) -> None:
    options = {"problem": "sequence-multilabel", "labels": ["a", "b", "c"], "label_separator": "|"}
    assert label_of(tmp_path, cell, **options) == expected


def test_white_space_makes_no_label(tmp_path: Path) -> None:
    for cell in (" cell  wall ", "cell\u00a0wall", "cell\twall"):
        assert label_of(tmp_path, cell, labels=["nucleus", "cell wall"]) == 1
    assert label_of(tmp_path, "cell wall", labels=["nucleus", "cell  wall"]) == 1


def test_rows_without_a_label_are_left_out_where_the_task_says_what_that_is(tmp_path: Path) -> None:
    rows = [
        ("MKT", "a", "train"),
        ("MKV", "", "train"),
        ("MKW", "b", "test"),
        ("MKY", "n/k", "test"),
        ("MKI", "b", "validation"),
    ]
    table = "sequence,label,set\n" + "".join(",".join(row) + "\n" for row in rows)
    data = load(tmp_path, {"x.csv": table}, masked_labels=["", "n/k"])
    assert {name: split["id"][:] for name, split in data.splits.items()} == {
        "train": ["x:1"],
        "validation": ["x:5"],
        "test": ["x:3"],
    }
    assert data.facts.removed == {"no label": 2}


def test_a_label_is_not_what_means_none(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="'a' is one of labels, too"):
        label_of(tmp_path, "a", masked_labels=["a"])


@pytest.mark.parametrize("cell", ["-1.5", -1.5])
def test_value(tmp_path: Path, cell: Any) -> None:
    assert label_of(tmp_path, cell, problem="sequence-regression") == -1.5


@pytest.mark.parametrize("cell", ["HECH", "HE\nCH", ["H", "E", "C", "H"], '["H", "E", "C", "H"]'])
def test_residue_classes(tmp_path: Path, cell: Any) -> None:
    assert label_of(tmp_path, cell, problem="residue-classification", labels=["C", "E", "H"]) == [2, 1, 0, 2]


@pytest.mark.parametrize("cell", [[10, 2, -1, 10], "[10, 2, -1, 10]"])
def test_residue_classes_as_numbers_with_a_masked_value(tmp_path: Path, cell: Any) -> None:
    options = {"problem": "residue-classification", "labels": ["2", "10"], "masked_value": -1}
    assert label_of(tmp_path, cell, **options) == [1, 0, -100, 1]


def test_residue_classes_with_what_means_no_label(tmp_path: Path) -> None:
    """As YAML reads them: -100 and null are texts, too."""
    options = {"problem": "residue-classification", "labels": ["0", "1"], "masked_labels": [-100, None]}
    for cell in ([1, -100, None, 0], [1.0, -100.0, float("nan"), 0.0], "[1, -100, null, 0]", "[1, -100, None, 0]"):
        assert label_of(tmp_path, cell, **options) == [1, -100, -100, 0]


def test_labels_of_residues_that_are_more_than_a_character(tmp_path: Path) -> None:
    options = {"problem": "residue-classification", "labels": ["in", "out"], "label_separator": ";"}
    for cell in ("in;out;in;in", "in; out; in; in;", "['in', 'out', 'in', 'in']"):
        assert label_of(tmp_path, cell, **options) == [0, 1, 0, 0]
    assert label_of(tmp_path, "in;;out;", masked_labels=[""], **options) == [0, -100, 1, -100]


@pytest.mark.parametrize("cell", [[[0, 1], [1, 1], [0, 0], [-1, -1]], "[[0, 1], [1, 1], [0, 0], [-1, -1]]"])
def test_residue_vectors(tmp_path: Path, cell: Any) -> None:
    label = label_of(tmp_path, cell, mask="1101", problem="residue-multilabel", masked_value=-1)
    assert label == [[0, 1], [1, 1], [-100, -100], [-100, -100]]


@pytest.mark.parametrize("cell", ["0.5;999;-2;1", "0.5, 999, -2, 1", "0.5 999\n-2 1", [0.5, 999.0, -2.0, 1.0]])
def test_residue_values_with_a_masked_value(tmp_path: Path, cell: Any) -> None:
    label = label_of(tmp_path, cell, problem="residue-regression", masked_value=999)
    np.testing.assert_array_equal(label, [0.5, NAN, -2, 1])


def test_a_gap_where_the_mask_says_so_is_no_value(tmp_path: Path) -> None:
    label = label_of(tmp_path, [0.5, None, 1.0, 2.0], mask="1011", problem="residue-regression")
    np.testing.assert_array_equal(label, [0.5, NAN, 1, 2])


def test_only_candidates_where_the_mask_allows_are_scored(tmp_path: Path) -> None:
    options = {"problem": "residue-classification", "candidates": "KY"}
    assert label_of(tmp_path, "abba", **options) == [-100, 1, 1, -100]
    assert label_of(tmp_path, "abba", mask="0011", **options) == [-100, -100, 1, -100]


def test_site_markers_are_labels(tmp_path: Path) -> None:
    files = {"x.csv": "sequence,set\nMY#KYS#,test\nYYY,train\nAY#A,validation\n"}
    options: dict[str, Any] = {"problem": "residue-classification", "labels": {"0": "no", "1": "yes"}}
    data = load(tmp_path, files, site_marker="#", candidates="Y", **options)
    assert data.splits["test"]["sequence"][0] == "MYKYS"
    # S is marked and no candidate.
    assert data.splits["test"]["label"][0] == [-100, 1, -100, 0, -100]
    assert data.facts.splits["test"].labelled == 2
    assert data.facts.splits["test"].label_counts == {"no": 1, "yes": 1}


@pytest.mark.parametrize(
    ("problem", "cell", "options", "message"),
    [
        ("sequence-classification", "B", {}, r"task t, x:1: unknown label 'B'; known: a, b"),
        ("sequence-classification", None, {}, r"x:1 has no label.*masked_labels"),
        ("sequence-classification", "-100", {}, r"unknown label '-100'.*say so: masked_labels: \['-100'\]"),
        ("sequence-classification", None, {"masked_labels": [None]}, "no row has a label: all 3 cells of label"),
        ("residue-classification", [0, 1, -100, 0], {"labels": ["0", "1"]}, "'-100' at residue 3.*masked_labels"),
        ("residue-classification", ["a", None, "b", "a"], {}, r"unknown label '' at residue 2.*masked_labels: \[''\]"),
        ("residue-regression", ["1", "NA", "2", "3"], {"masked_labels": ["-"]}, "not a number per residue"),
        ("residue-regression", [1.0, None, 2.0, 3.0], {"masked_labels": ["-"]}, "the value of residue 2 is nan"),
        ("sequence-multilabel", "a|z", {"label_separator": "|"}, "unknown label 'z'"),
        ("sequence-multilabel", "a|b", {}, r"unknown label 'a\|b'"),
        ("sequence-regression", "high", {}, "'high' is not a number"),
        ("sequence-regression", "", {}, "'' is not a number"),
        ("sequence-regression", "nan", {}, "the value is nan"),
        ("sequence-regression", float("inf"), {}, "the value is inf"),
        ("residue-classification", "abb", {}, r"x:1: 3 labels for 4 residues: shorter than the sequence"),
        ("residue-classification", "abbab", {}, "5 labels for 4 residues: longer than the sequence"),
        ("residue-classification", "abxb", {}, "unknown label 'x' at residue 3; known: a, b"),
        ("residue-classification", ["a", "b", "a", "zz"], {}, "unknown label 'zz' at residue 4"),
        ("residue-multilabel", "0110", {}, "several labels per residue are given as lists"),
        ("residue-multilabel", [[0, 1]] * 3 + [[0]], {}, "a residue has not 2 values"),
        ("residue-multilabel", [[0, 2]] * 4, {}, "neither 0 nor 1"),
        ("residue-regression", "1;2;x;4", {}, "not a number per residue"),
        ("residue-regression", "1;2;3", {}, "3 labels for 4 residues"),
        ("residue-regression", [1.0, None, 2.0, 3.0], {}, "the value of residue 2 is nan.*masked_value"),
        ("residue-regression", [1.0, float("inf"), 2.0, 3.0], {"masked_value": 9}, "the value of residue 2 is inf"),
        ("residue-classification", "abba", {"mask": "110"}, "3 mask characters for 4 residues"),
        ("residue-classification", "abba", {"mask": "11x0"}, "the mask holds 'x'"),
    ],
)
def test_what_is_no_label_is_refused_by_name(
    tmp_path: Path, problem: str, cell: Any, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message) as error:
        label_of(tmp_path, cell, problem=problem, **options)
    assert "\n" not in str(error.value)


def test_json_text_of_numbers_equals_the_list(tmp_path: Path) -> None:
    cell = [0.25, 1.0, -3.0, 4.5]
    assert label_of(tmp_path, json.dumps(cell), problem="residue-regression") == cell
