"""How files say things: lines of a FASTA entry, parts of a header, other names, merged and masked labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hubtools.common.errors import UserError
from tests.data.task_files import csv, load

FASTA = ">a|train|x\nMKT\nHh1\n>b|test\nACD\nU12\n>c|validation\nWWY\n11h\n"
TOPOLOGY: dict[str, Any] = {
    "problem": "residue-classification",
    "entries": {"p.fasta": {"header": ["id", "set", "more"], "header_separator": "|", "lines": ["sequence", "label"]}},
    "labels": {"H": "helix", "h": "helix", "1": "inside", "2": "outside"},
    "masked_labels": ["U"],
    "columns": {"id": "id"},
}


def test_lines_header_parts_merged_and_masked_labels(tmp_path: Path) -> None:
    data = load(tmp_path, {"p.fasta": FASTA}, **TOPOLOGY)
    assert data.task.label_names == ["helix", "inside", "outside"]
    assert data.splits["train"][0] == {"id": "a", "sequence": "MKT", "label": [0, 0, 1]}
    assert data.splits["test"]["label"][0] == [-100, 1, 2]
    assert data.facts.splits["train"].label_counts == {"helix": 2, "inside": 1, "outside": 0}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (FASTA.replace("\nACD", ""), r"p\.fasta:4: 1 lines follow the header and 2 are named \(sequence, label\)"),
        (FASTA.replace(">b|test", ">b|test|y|z"), r"p\.fasta:4: the header has 4 parts and 3 are named"),
        (FASTA.replace("U12", "U1Q"), r"b: unknown label 'Q' at residue 3"),
    ],
)
def test_what_does_not_fit_is_told_with_its_place(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        load(tmp_path, {"p.fasta": text}, **TOPOLOGY)


def masked(mask: str) -> dict[str, str | bytes]:
    rows = [("MKT", "HHC", f'"{mask}"', name) for name in ("train", "validation")]
    return {
        "p.csv": csv([*rows], "seq,dssp,seen,set"),
        "q.csv": csv([("ACD", "CCH", "test")], "sequence,label,set"),
    }


MASKED: dict[str, Any] = {
    "problem": "residue-classification",
    "entries": {"p.csv": {"rename": {"seq": "sequence", "dssp": "label", "seen": "mask"}}, "q.csv": {"unmasked": True}},
    "labels": {"H": "helix", "C": "coil"},
    "columns": {"mask": "mask"},
}


@pytest.mark.parametrize("mask", ["1.0 0.0 1.0", "[1.0, 0.0, 1.0]", "101", "1 0 1"])
def test_renamed_columns_and_masks_of_numbers(tmp_path: Path, mask: str) -> None:
    files = masked(mask)
    files["p.csv"] = str(files["p.csv"]).replace("MKT", "MKV", 1)
    data = load(tmp_path, files, **MASKED)
    assert data.splits["train"]["label"][0] == [0, -100, 1]
    assert data.splits["test"]["label"][0] == [1, 1, 0]  # a file that the task calls unmasked


def test_a_file_without_mask_is_refused_unless_the_task_says_so(tmp_path: Path) -> None:
    entries = {"p.csv": MASKED["entries"]["p.csv"]}
    with pytest.raises(UserError, match=r"there is no column 'mask'"):
        load(tmp_path, masked("101"), **{**MASKED, "entries": entries})


def test_half_a_mask_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"the mask holds '0\.5'"):
        load(tmp_path, masked("1.0 0.5 1.0"), **MASKED)


def test_a_renamed_column_must_be_there(tmp_path: Path) -> None:
    entries = {"p.csv": {"rename": {"sequense": "sequence"}}, "q.csv": {"unmasked": True}}
    with pytest.raises(UserError, match=r"there is no column 'sequense'"):
        load(tmp_path, masked("101"), **{**MASKED, "entries": entries})


def test_label_sets_are_vectors(tmp_path: Path) -> None:
    rows = [("MKT", "012", "train"), ("ACD", "3-0", "test"), ("WYV", "000", "validation")]
    data = load(
        tmp_path,
        {"p.csv": csv(rows)},
        problem="residue-multilabel",
        labels=["x", "y"],
        label_sets={"0": [], "1": ["y"], "2": ["x"], "3": ["x", "y"]},
        masked_labels=["-"],
    )
    assert data.splits["train"]["label"][0] == [[0, 0], [0, 1], [1, 0]]
    assert data.splits["test"]["label"][0] == [[1, 1], [-100, -100], [0, 0]]
    assert data.facts.splits["test"].labelled == 2


def test_labels_by_range(tmp_path: Path) -> None:
    rows = [("MKT", 0, "train"), ("ACD", 2, "test"), ("WYV", 1, "validation")]
    data = load(tmp_path, {"p.csv": csv(rows)}, labels={"range": 3, "prefix": "fold "})
    assert data.task.label_names == ["fold 0", "fold 1", "fold 2"]
    assert np.asarray(data.splits["test"]["label"]).tolist() == [2]


def test_merged_labels_of_proteins(tmp_path: Path) -> None:
    rows = [("MKT", "Nucleus-M", "train"), ("ACD", "Nucleus-U", "test"), ("WYV", "Golgi-U", "validation")]
    labels = {"Golgi-U": "Golgi", "Nucleus-M": "Nucleus", "Nucleus-U": "Nucleus"}
    data = load(tmp_path, {"p.csv": csv(rows)}, labels=labels)
    assert [data.splits[name]["label"][0] for name in ("train", "test", "validation")] == [1, 1, 0]
