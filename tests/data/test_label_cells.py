"""Cells of label columns as JSON, Python, pandas and numpy write them: each reads back as what was written."""

from __future__ import annotations

import io
import json
import math
from typing import Any

import numpy as np
import pandas as pd
import pytest

from hubtools.data.rows.label_cells import (
    label_text,
    listed,
    number_entries,
    one_value,
    residue_entries,
    several_labels,
)

LISTS: list[list[Any]] = [
    ["nucleus", "cyto"],
    ["H"],
    [],
    ["it's", 'a "b"', "a, b", "[x]", "a\\b"],
    ["", "a"],
    [0, 1, -100, 12],
    [0.25, -1.5, 3.0, 1e-7],
    [True, False],
    [[0, 1], [1, 1]],
    [None, "a", None],
    [0.5, math.nan],
]


def same(got: Any, meant: list[Any]) -> bool:
    """Equal, where null and NaN are one thing."""

    def plain(value: Any) -> Any:
        if isinstance(value, list):
            return [plain(inner) for inner in value]
        return None if value is None or value != value else value

    return got is not None and plain(got) == plain(meant)


@pytest.mark.parametrize("meant", LISTS, ids=repr)
def test_lists_read_back_as_they_were_written(meant: list[Any]) -> None:
    for text in (str(meant), json.dumps(meant), json.dumps(meant, indent=1), f"  {meant}\n"):
        assert same(listed(text), meant), text
    assert listed(meant) == meant
    saved = pd.DataFrame({"label": [meant, meant]}).to_csv(index=False)
    for cell in pd.read_csv(io.StringIO(saved))["label"]:
        assert same(listed(cell), meant)


@pytest.mark.parametrize("meant", [["nucleus", "cyto"], [0, 1, -100], [0.5, 1.0, math.nan], [[0, 1], [1, 0]]], ids=repr)
def test_what_numpy_writes_reads_back(meant: list[Any]) -> None:
    array = np.array(meant)
    for text in (str(array), str(list(array))):
        assert same(listed(text), meant), text


def test_a_long_array_that_numpy_cut_short_is_no_list() -> None:
    assert listed(str(np.arange(5000))) is None


def test_tuples_and_sets_of_python() -> None:
    assert listed(str(("b", "a"))) == ["b", "a"]
    assert listed(str({"b", "a"})) == ["a", "b"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nucleus",
        "(R)",
        "[FeS]",
        "[2Fe-2S] cluster [x]",
        "{'a': 1}",
        "[1, 2",
        "][",
        "[" * 10_000,
        "[" * 5_000 + "]" * 5_000,
    ],
    ids=lambda text: text[:24],
)
def test_other_texts_are_no_lists(text: str) -> None:
    assert listed(text) is None


def test_separators() -> None:
    assert several_labels("PF1;PF2;", ";") == ["PF1", "PF2"]
    assert several_labels(" a b ;; c\u00a0 d ", ";") == ["a b", "c d"]
    assert several_labels("a;b", None) == ["a;b"]
    assert several_labels("", ";") == several_labels([], ";") == several_labels(None, ";") == []
    assert residue_entries("H,E,,C,", ",") == ["H", "E", "", "C"]
    assert residue_entries("H E  C\n", " ") == ["H", "E", "C"]
    assert residue_entries("HEC", None) is None
    assert number_entries("0.5; 1;;2;") == ["0.5", "1", "", "2"]
    assert number_entries("0.5 999\n-2") == ["0.5", "999", "-2"]


def test_values_as_labels() -> None:
    assert [label_text(value) for value in (1.0, 1, "1.5", " a \t b ", None, math.nan, -100.0, True)] == [
        "1", "1", "1.5", "a b", "", "", "-100", "True",
    ]  # fmt: skip
    assert (one_value("['a']"), one_value(["a"]), one_value("a"), one_value("['a', 'b']")) == (
        "a",
        "a",
        "a",
        "['a', 'b']",
    )
