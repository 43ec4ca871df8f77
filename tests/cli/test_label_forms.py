"""What ``bench tasks new`` writes, a run loads: labels in every form that people have them in, in every kind of file.

Each case says what is meant; a form writes it into cells, a container writes the cells into a file. The task file that is
made of it has no help but the options of the form, and its data must hold what was meant: each label by its name, nothing for
what is not known, every protein in its split.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import hubtools
from hubtools.data import DataCache, TaskData, load_task_data
from hubtools.specs.level import trained_problems
from hubtools.specs.lookup.spec_files import load_task
from hubtools.specs.task import Task

LETTERS = "ACDEFGHIKLMNPQRSTVWY"
N = 36
SPLITS = {
    "train": ["train", "Train", "TRAIN", "training", "Training_Set"],
    "validation": ["val", "Valid", "validation", "DEV"],
    "test": ["test", "TEST", "Testing", "test-set"],
}
# What is meant by a cell that says nothing of its row, or its residue.
UNKNOWN = None


def _sequences(seed: int) -> list[str]:
    draw = random.Random(seed)
    return ["".join(draw.choices(LETTERS, k=draw.randint(18, 30))) for _ in range(N)]


SEQUENCES, PARTNERS = _sequences(0), _sequences(1)
NAMES = [f"P{i}" for i in range(N)]
SPLIT = [("train", "train", "validation", "test")[i % 4] for i in range(N)]
WRITTEN = [SPLITS[split][i // 4 % len(SPLITS[split])] for i, split in enumerate(SPLIT)]

# What is meant, one a protein.
CLASSES = [("golgi", "cell membrane", "nucleus")[i % 3] for i in range(N)]
NUMBERED = [str(i % 3) for i in range(N)]
SETS = [[("golgi",), ("nucleus", "golgi"), ("nucleus",), (), ("cell wall", "nucleus")][i % 5] for i in range(N)]
FULL_SETS = [names or ("golgi",) for names in SETS]
VALUES = [0.25 * i - 3.125 for i in range(N)]
STATES = [["HEC"[(i * j + j // 3) % 3] for j in range(len(s))] for i, s in enumerate(SEQUENCES)]
BITS = [["01"[(i + j * j) % 5 == 0] for j in range(len(s))] for i, s in enumerate(SEQUENCES)]
TRACKS = [[(i + 1) * j / 8 - 1 for j in range(len(s))] for i, s in enumerate(SEQUENCES)]
VECTORS = [[[j % 2, int((i + j) % 3 == 0)] for j in range(len(s))] for i, s in enumerate(SEQUENCES)]


def some_unknown(meant: list[Any]) -> list[Any]:
    """The same without every seventh."""
    return [UNKNOWN if i % 7 == 3 else value for i, value in enumerate(meant)]


def residues_unknown(meant: list[list[Any]]) -> list[list[Any]]:
    return [some_unknown(row) for row in meant]


@dataclass(frozen=True)
class Form:
    """One way to write labels.

    Attributes:
        problem: what they are labels for.
        meant: labels by protein; of residues, one each.
        cell: writes those of one protein; given UNKNOWN where they are not known.
        options: of ``bench tasks new``.
        typed: whether cells are more than text, which some files only can hold.
    """

    problem: str
    meant: list[Any]
    cell: Callable[[Any], Any]
    options: dict[str, Any] = field(default_factory=dict)
    typed: bool = False


def text_or(nothing: Any, how: Callable[[Any], Any] = str) -> Callable[[Any], Any]:
    return lambda value: nothing if value is UNKNOWN else how(value)


def each_or(nothing: Any, how: Callable[[Any], Any], write: Callable[[list[Any]], Any]) -> Callable[[Any], Any]:
    return lambda row: write([nothing if value is UNKNOWN else how(value) for value in row])


def joined(separator: str, end: str = "") -> Callable[[Any], str]:
    return lambda values: separator.join(map(str, values)) + (end if len(values) else "")


def numpy_text(values: Any) -> str:
    return str(np.array(list(values)))


MULTI = {"problem": "sequence-multilabel"}
TEXT = {"problem": "residue-classification"}
FORMS: dict[str, Form] = {
    "class, text": Form("sequence-classification", CLASSES, str),
    "class, white space": Form("sequence-classification", CLASSES, lambda name: f" {name.replace(' ', '  ')} "),
    "class, Python list of one": Form("sequence-classification", CLASSES, lambda name: str([name])),
    "class, list of one": Form("sequence-classification", CLASSES, lambda name: [name], typed=True),
    "class, empty is unknown": Form("sequence-classification", some_unknown(CLASSES), text_or("")),
    "class, nan is unknown": Form("sequence-classification", some_unknown(CLASSES), text_or("nan")),
    "class, null is unknown": Form("sequence-classification", some_unknown(CLASSES), text_or(None), typed=True),
    "class, -100 is unknown": Form("sequence-classification", some_unknown(NUMBERED), text_or("-100")),
    "class, integers and -100": Form("sequence-classification", some_unknown(NUMBERED), text_or(-100, int), typed=True),
    "class, floats and NaN": Form("sequence-classification", some_unknown(NUMBERED), text_or(math.nan, float), typed=True),
    "class, word that is named": Form(
        "sequence-classification", some_unknown(CLASSES), text_or("not tested"), {"masked_labels": ["not tested"]}
    ),
    "several, semicolon": Form("sequence-multilabel", SETS, joined(";")),
    "several, semicolon and space": Form("sequence-multilabel", SETS, joined("; ")),
    "several, semicolon at the end": Form("sequence-multilabel", SETS, joined(";", ";"), MULTI),
    "several, bar": Form("sequence-multilabel", SETS, joined("|")),
    "several, comma": Form("sequence-multilabel", SETS, joined(","), MULTI),
    "several, comma and space, guessed": Form("sequence-multilabel", SETS, joined(", ")),
    "several, comma at the end": Form("sequence-multilabel", SETS, joined(",", ","), MULTI),
    "several, slash that is named": Form("sequence-multilabel", SETS, joined("/"), {**MULTI, "separator": "/"}),
    "several, Python list": Form("sequence-multilabel", SETS, lambda names: str(list(names))),
    "several, Python tuple": Form("sequence-multilabel", FULL_SETS, lambda names: str(tuple(names)), MULTI),
    "several, JSON": Form("sequence-multilabel", SETS, lambda names: json.dumps(names)),
    "several, numpy": Form("sequence-multilabel", FULL_SETS, numpy_text),
    "several, list": Form("sequence-multilabel", SETS, list, typed=True),
    "several, list or null": Form("sequence-multilabel", some_unknown(SETS), text_or(None, list), typed=True),
    "value, text": Form("sequence-regression", VALUES, str),
    "value, number": Form("sequence-regression", VALUES, float, typed=True),
    "value, Python list of one": Form("sequence-regression", VALUES, lambda value: str([value])),
    "value, empty is unknown": Form("sequence-regression", some_unknown(VALUES), text_or("")),
    "value, NA is unknown": Form("sequence-regression", some_unknown(VALUES), text_or("NA")),
    "value, null is unknown": Form("sequence-regression", some_unknown(VALUES), text_or(None), typed=True),
    "residues, characters": Form("residue-classification", STATES, "".join),
    "residues, characters in blocks": Form(
        "residue-classification", STATES, lambda row: " ".join("".join(row[at : at + 10]) for at in range(0, len(row), 10))
    ),
    "residues, digits": Form("residue-classification", BITS, "".join),
    "residues, commas": Form("residue-classification", STATES, joined(",")),
    "residues, semicolons and one at the end": Form("residue-classification", STATES, joined(";", ";")),
    "residues, spaces": Form("residue-classification", STATES, joined(" ")),
    "residues, Python list": Form("residue-classification", STATES, str),
    "residues, JSON": Form("residue-classification", STATES, json.dumps),
    "residues, numpy": Form("residue-classification", STATES, numpy_text),
    "residues, list": Form("residue-classification", STATES, list, typed=True),
    "residues, -100 in a list": Form(
        "residue-classification", residues_unknown(BITS), each_or(-100, int, list), typed=True
    ),
    "residues, -100 in Python's text": Form("residue-classification", residues_unknown(BITS), each_or(-100, int, str)),
    "residues, -100 between commas": Form("residue-classification", residues_unknown(BITS), each_or(-100, int, joined(","))),
    "residues, null in a list": Form("residue-classification", residues_unknown(STATES), list, typed=True),
    "residues, None in Python's text": Form("residue-classification", residues_unknown(STATES), str),
    "residues, null in JSON": Form("residue-classification", residues_unknown(STATES), json.dumps),
    "residues, floats and NaN": Form(
        "residue-classification", residues_unknown(BITS), each_or(math.nan, float, list), typed=True
    ),
    "residues, nothing between commas": Form("residue-classification", residues_unknown(STATES), each_or("", str, joined(","))),
    "residues, whole proteins unknown": Form("residue-classification", some_unknown(STATES), text_or("", "".join)),
    "residues, a character that is named": Form(
        "residue-classification", residues_unknown(STATES), each_or("?", str, "".join), {**TEXT, "masked_labels": ["?"]}
    ),
    "residue values, list": Form("residue-regression", TRACKS, list, typed=True),
    "residue values, JSON": Form("residue-regression", TRACKS, json.dumps),
    "residue values, commas": Form("residue-regression", TRACKS, joined(",")),
    "residue values, semicolons and one at the end": Form("residue-regression", TRACKS, joined(";", ";")),
    "residue values, spaces": Form("residue-regression", TRACKS, joined(" ")),
    "residue values, numpy": Form(
        "residue-regression", TRACKS, lambda row: np.array2string(np.array(row), threshold=10_000, floatmode="unique")
    ),
    "residue values, null in a list": Form("residue-regression", residues_unknown(TRACKS), list, typed=True),
    "residue values, nan in Python's text": Form("residue-regression", residues_unknown(TRACKS), each_or(math.nan, float, str)),
    "residue values, NA between commas": Form("residue-regression", residues_unknown(TRACKS), each_or("NA", str, joined(","))),
    "residue sets, lists": Form("residue-multilabel", VECTORS, list, typed=True),
    "residue sets, Python's text": Form("residue-multilabel", VECTORS, str),
    "residue sets, JSON": Form("residue-multilabel", VECTORS, json.dumps),
    "residue sets, null for some": Form("residue-multilabel", residues_unknown(VECTORS), list, typed=True),
    "residue sets, -100 for some": Form(
        "residue-multilabel", residues_unknown(VECTORS), each_or([-100, -100], list, list), typed=True
    ),
    "pair, class": Form("pair-classification", CLASSES, str),
    "pair, empty is unknown": Form("pair-classification", some_unknown(CLASSES), text_or("")),
    "pair, several, comma at the end": Form("pair-multilabel", SETS, joined(",", ","), {"problem": "pair-multilabel"}),
    "pair, several, Python list": Form("pair-multilabel", SETS, lambda names: str(list(names))),
    "pair, value, NA is unknown": Form("pair-regression", some_unknown(VALUES), text_or("NA")),
}  # fmt: skip


def rows_of(form: Form) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for name, sequence, partner, meant, split in zip(NAMES, SEQUENCES, PARTNERS, form.meant, WRITTEN, strict=True):
        row = {"id": name, "sequence": sequence, "label": form.cell(meant), "set": split}
        rows.append({**row, "partner": partner} if form.problem.startswith("pair") else row)
    return rows


def separated(rows: list[dict[str, Any]], separator: str) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(rows[0]), delimiter=separator)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def parquet(rows: list[dict[str, Any]]) -> bytes:
    buffer = io.BytesIO()
    pd.DataFrame(rows).to_parquet(buffer)
    return buffer.getvalue()


def fasta(rows: list[dict[str, Any]]) -> bytes:
    return "".join(f">{r['id']} LABEL={r['label']} SET={r['set']}\n{r['sequence']}\n" for r in rows).encode()


def three_lines(rows: list[dict[str, Any]]) -> bytes:
    return "".join(f">{r['id']} SET={r['set']}\n{r['sequence']}\n{r['label']}\n" for r in rows).encode()


# By suffix; whether it can hold typed cells, and text of any kind.
CONTAINERS: dict[str, tuple[Callable[[list[dict[str, Any]]], bytes], bool]] = {
    "csv": (lambda rows: separated(rows, ","), False),
    "tsv": (lambda rows: separated(rows, "\t"), False),
    "csv.gz": (lambda rows: gzip.compress(separated(rows, ","), mtime=0), False),
    "parquet": (parquet, True),
    "jsonl": (lambda rows: "\n".join(map(json.dumps, rows)).encode(), True),
    "fasta": (fasta, False),
    "3line": (three_lines, False),
}


def fits(form: Form, suffix: str) -> bool:
    cells = [row["label"] for row in rows_of(form)]
    if suffix == "fasta":
        return not form.typed and not form.problem.startswith("pair") and not any("\n" in cell for cell in cells)
    if suffix == "3line":
        return form.cell == "".join
    return not form.typed or CONTAINERS[suffix][1]


# Text is text in any of these: each form is in one of them, in turn.
IN_TURN = ("tsv", "csv.gz", "jsonl", "parquet")
CASES = [
    (name, suffix)
    for number, (name, form) in enumerate(FORMS.items())
    for suffix in CONTAINERS
    if fits(form, suffix) and (form.typed or suffix not in IN_TURN or suffix == IN_TURN[number % 4])
]


def meaning(task: Task, label: Any) -> Any:
    """A label of the loaded data, in the words of what is meant."""
    names, kind = task.label_names, task.problem.kind
    if task.problem.level.by_residue:
        if kind == "classification":
            return [UNKNOWN if value == -100 else names[value] for value in label]
        if kind == "multilabel":
            return [UNKNOWN if set(row) == {-100} else list(row) for row in label]
        return [UNKNOWN if math.isnan(value) else value for value in label]
    if kind == "classification":
        return names[label]
    return label if kind == "regression" else {name for name, has in zip(names, label, strict=True) if has}


def written(folder: Path, form: Form, suffix: str) -> tuple[Task, TaskData, tuple[str, ...]]:
    """The task file that is made of a form in a file, read from where it was written, and its data."""
    table = folder / f"table.{suffix}"
    table.write_bytes(CONTAINERS[suffix][0](rows_of(form)))
    proposed = hubtools.new_task(table, clusters=False, to=folder / "tasks", force=True, **form.options)
    task = load_task(str(proposed.write()))
    return task, load_task_data(task, DataCache(folder / "cache")), proposed.notes


@pytest.mark.parametrize(("name", "suffix"), CASES)
def test_the_loader_loads_what_was_meant(tmp_path: Path, name: str, suffix: str) -> None:
    form = FORMS[name]
    task, data, _ = written(tmp_path, form, suffix)
    assert task.problem.value == form.problem
    got = {row["id"]: (split, meaning(task, row["label"])) for split, rows in data.splits.items() for row in rows}
    several = form.problem.endswith("multilabel") and not task.problem.level.by_residue
    meant = {
        row: (split, set(label) if several else label)
        for row, split, label in zip(NAMES, SPLIT, form.meant, strict=True)
        if label is not UNKNOWN
    }
    assert got == meant
    unknown = N - len(meant)
    assert data.facts.removed == ({"no label": unknown} if unknown else {})


def test_every_problem_and_every_kind_of_file_is_there() -> None:
    """A guard of this file: no problem is left out, and no container is never written."""
    assert {form.problem for form in FORMS.values()} == set(trained_problems())
    assert {suffix for _, suffix in CASES} == set(CONTAINERS)


def test_what_is_not_known_is_said(tmp_path: Path) -> None:
    _, _, notes = written(tmp_path, FORMS["residues, -100 in a list"], "parquet")
    masked = sum(row.count(UNKNOWN) for row in FORMS["residues, -100 in a list"].meant)
    assert notes == (f"{tmp_path / 'table.parquet'}: 'label': {masked:,} labels are '-100': not scored",)
    _, _, notes = written(tmp_path, FORMS["class, empty is unknown"], "csv")
    assert notes == (f"{tmp_path / 'table.csv'}: 'label': 5 rows are empty, null or NaN: left out",)
