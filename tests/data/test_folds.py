"""Folds: the schemes against plain loops, every row in one fold, and nothing of a fold in what its model learns from."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_project import write_rows
from tiny_tasks import LETTERS, tiny_task

from hubtools.common.errors import UserError
from hubtools.data import DataCache, TaskData, load_task_data
from hubtools.data.splits.folds import at_random, by_position, fold_names
from hubtools.data.splits.split_audit import audit_task
from hubtools.specs.base import SpecError
from hubtools.specs.lookup.spec_files import load_recipe
from hubtools.specs.task import Task
from hubtools.training.job import Job
from hubtools.training.trivial_baselines import fit_baseline, read_plain

MUTANT = "mutant"


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("k", [2, 5, 7])
def test_positions_go_to_folds_as_a_plain_loop_over_the_definition_says(seed: int, k: int) -> None:
    drawn = random.Random(seed)
    distinct = drawn.sample(range(1, 300), drawn.randint(k, 40))
    positions = [drawn.choice(distinct) for _ in range(200)] + distinct
    in_turn: dict[int, int] = {}
    for number, position in enumerate(sorted(distinct)):
        in_turn[position] = number % k
    assert by_position(positions, "modulo", k) == [in_turn[position] for position in positions]
    # Stretches: cut off one after another, each as long as what is left over the folds that are left, rounded up.
    left, stretches = sorted(distinct), dict[int, int]()
    for fold in range(k):
        size = -(-len(left) // (k - fold))
        for position in left[:size]:
            stretches[position] = fold
        left = left[size:]
    assert by_position(positions, "contiguous", k) == [stretches[position] for position in positions]


def test_positions_are_counted_as_they_occur_and_not_by_their_number() -> None:
    # By residue numbers modulo 5 all of these would be in one fold.
    assert by_position([5, 10, 15, 20, 25, 10], "modulo", 5) == [0, 1, 2, 3, 4, 1]
    assert by_position([5, 10, 15, 20, 25, 10], "contiguous", 2) == [0, 0, 0, 1, 1, 0]


def test_a_random_fold_is_drawn_for_each_sequence_by_itself() -> None:
    sequences = [f"M{number:05d}" for number in range(5000)]
    alone: list[str | None] = [None] * len(sequences)
    found = at_random(sequences, alone, 5, 0)
    counts = Counter(found)
    # Binomial(5000, 1/5): the standard deviation is 28.
    assert all(abs(counts[fold] - 1000) < 5 * 28.3 for fold in range(5)), counts
    assert at_random(sequences[::-1], alone, 5, 0) == found[::-1], "whatever the order"
    other = at_random(sequences, alone, 5, 1)
    assert abs(np.mean(np.equal(found, other)) - 0.2) < 0.05, "another seed is another draw"
    families: list[str | None] = [f"family {number // 10}" for number in range(5000)]
    together = np.array(at_random(sequences, families, 5, 0)).reshape(-1, 10)
    assert (together == together[:, :1]).all(), "clusters stay whole"


def test_folds_are_named_in_order() -> None:
    assert fold_names(["10", "2", "b", "a", "2"]) == ["2", "10", "a", "b"]


def rows_of_mutants(n_sites: int = 12, each: int = 4, seed: int = 0) -> list[dict[str, str]]:
    drawn = random.Random(seed)
    wild = "".join(drawn.choice(LETTERS) for _ in range(n_sites))
    rows = []
    for site in range(n_sites):
        for letter in drawn.sample([one for one in LETTERS if one != wild[site]], each):
            mutant = f"{wild[site]}{site + 24}{letter}"
            sequence = wild[:site] + letter + wild[site + 1 :]
            rows.append({"id": mutant, "sequence": sequence, MUTANT: mutant, "label": str(drawn.random()), "set": "x"})
    return rows


def task_with(folder: Path, folds: dict[str, Any], rows: list[dict[str, str]], **data: Any) -> Task:
    (folder / "tasks").mkdir(exist_ok=True)
    write_rows(folder, "folded", rows)
    values = {"source": "file", "files": [{"path": "folded.csv"}], "columns": {"id": "id"}, "folds": folds, **data}
    return tiny_task("sequence-regression", data=values).located_at(folder / "tasks")


def load(folder: Path, folds: dict[str, Any], rows: list[dict[str, str]], **options: Any) -> TaskData:
    return load_task_data(task_with(folder, folds, rows), DataCache(folder / "cache"), **options)


@pytest.mark.parametrize(
    "folds",
    [
        {"scheme": "random", "number": 4},
        {"scheme": "modulo", "mutant": MUTANT},
        {"scheme": "contiguous", "mutant": MUTANT},
        {"column": "set"},
    ],
)
def test_every_row_is_held_out_once_and_no_fit_learns_from_its_fold(folds: dict[str, Any], tmp_path: Path) -> None:
    rows = rows_of_mutants()
    for number, row in enumerate(rows):
        row["set"] = "abc"[number % 3]
    data = load(tmp_path, folds, rows)
    assert list(data.splits) == ["test"] and data.facts.splits["test"].proteins == len(rows)
    held = np.concatenate([fold.test for fold in data.folds.values()])
    assert sorted(held.tolist()) == list(range(len(rows)))
    for name, fold in data.folds.items():
        parts = [set(part.tolist()) for part in (fold.train, fold.validation, fold.test)]
        assert len(set.union(*parts)) == sum(map(len, parts)) == len(rows)
        assert all(parts)
        own = data.fold(name)
        sequences = {part: set(own.sequences(part)) for part in own.splits}
        assert not sequences["test"] & (sequences["train"] | sequences["validation"])
        if folds.get("mutant"):
            sites = {part: {row[1:-1] for row in own.splits[part]["id"]} for part in own.splits}
            assert not sites["test"] & (sites["train"] | sites["validation"]), "no site is on both sides"
    assert data.facts.audit[0].first == "train" and data.facts.audit[0].identical == 0
    audit = audit_task(data, [0.9], DataCache(tmp_path / "cache"))
    assert [(one.first, one.second) for one in audit.overlaps] == [("train", "test"), ("validation", "test")]
    assert data.facts.split_sha256 == load(tmp_path, folds, rows[::-1]).facts.split_sha256
    assert len(data.traits["test"].ids) == len(rows) and list(data.traits["test"].ids) == list(
        data.splits["test"]["id"]
    )


def test_an_equal_sequence_in_another_fold_is_not_learnt_from_and_is_counted(tmp_path: Path) -> None:
    rows = rows_of_mutants()
    for number, row in enumerate(rows):
        row["set"] = "ab"[number % 2]
    again = {**rows[0], "id": "again", "set": "b"}
    data = load(tmp_path, {"column": "set"}, [*rows, again])
    place = {name: number for number, name in enumerate(data.splits["test"]["id"])}
    first, second = data.folds.values()
    assert place["again"] not in set(first.train.tolist()) | set(first.validation.tolist())
    assert place[rows[0]["id"]] not in set(second.train.tolist()) | set(second.validation.tolist())
    assert data.facts.removed == {"from training: sequence is in the fold that is held out": 2}
    assert data.facts.audit[0].identical == 0
    assert any("2 times a row was left out" in line for line in data.facts.findings)


def test_a_model_that_memorises_knows_nothing_out_of_fold(tmp_path: Path) -> None:
    drawn = random.Random(1)
    rows = [
        {
            "id": f"p{number}",
            "sequence": "".join(drawn.choice(LETTERS) for _ in range(30)),
            "label": str(drawn.random()),
            "set": "x",
        }
        for number in range(150)
    ]
    data = load(tmp_path, {"scheme": "random"}, rows)
    task, recipe = data.task, load_recipe("nearest-neighbour")
    said, true, known = list[float](), list[float](), list[float]()
    for name in data.folds:
        parts = {part: read_plain(split, task) for part, split in data.fold(name).splits.items()}
        job: Any = Job(task, recipe, None, 1, None, tmp_path, tmp_path / "log")  # type: ignore[arg-type]
        _, predict = fit_baseline(parts["train"], parts["validation"], job)
        train, test = predict(parts["train"]), predict(parts["test"])
        known.append(float(np.corrcoef(train.scores, train.truth)[0, 1]))
        said += test.scores.tolist()
        true += test.truth.tolist()
    assert min(known) > 0.999, "it knows by heart what it learnt from"
    # 150 rows without any signal: three standard deviations of a correlation.
    assert len(said) == 150 and abs(np.corrcoef(said, true)[0, 1]) < 3 / np.sqrt(150)


def test_what_cannot_be_is_refused_in_one_line(tmp_path: Path) -> None:
    rows = rows_of_mutants(n_sites=4)
    for folds, changed, text in (
        ({"column": "nosuch"}, {}, "there is no column 'nosuch'"),
        ({"column": "set", "number": 3}, {}, "there are 1 folds, and the task has 3"),
        ({"column": "set"}, {"set": ""}, "has no fold (1 such rows)"),
        ({"scheme": "modulo", "mutant": MUTANT}, {}, "4 positions are too few for 5 folds"),
        (
            {"scheme": "modulo", "mutant": MUTANT, "number": 2},
            {MUTANT: "A1C:D2E"},
            "'A1C:D2E' is no single substitution",
        ),
        ({"scheme": "modulo", "mutant": MUTANT, "number": 2, "sha256": "0" * 64}, {}, "the folds came out otherwise"),
    ):
        with pytest.raises(UserError) as caught:
            load(tmp_path, folds, [{**rows[0], **changed}, *rows[1:]])
        assert text in str(caught.value)
    whole = {"scheme": "modulo", "mutant": MUTANT, "number": 2}
    with pytest.raises(UserError, match="no one training split to take a share of"):
        load(tmp_path, whole, rows, fraction=0.5)
    with pytest.raises(UserError, match="no sweep can choose on one"):
        load(tmp_path, whole, rows).without_test()


@pytest.mark.parametrize(
    ("problem", "folds", "text"),
    [
        ("sequence-regression", {}, "give either column or scheme"),
        ("sequence-regression", {"column": "set", "scheme": "random"}, "give either column or scheme"),
        ("sequence-regression", {"scheme": "modulo"}, "nothing says which residue a row changes"),
        ("sequence-regression", {"scheme": "random", "mutant": "m"}, "for the schemes modulo and contiguous"),
        ("sequence-multilabel", {"column": "set"}, "a decision threshold would be another in each fold"),
        ("pair-regression", {"column": "set"}, "a protein would be in several folds"),
    ],
)
def test_a_task_file_says_what_is_wrong_with_its_folds(problem: str, folds: dict[str, Any], text: str) -> None:
    data: dict[str, Any] = {"source": "file", "files": [{"path": "x.csv"}], "folds": folds}
    if problem.startswith("pair-"):
        data["columns"] = {"partner": "partner"}
    with pytest.raises((ValueError, SpecError), match=text):
        tiny_task(problem, data=data)


def test_folds_are_part_of_the_question_and_no_other_task_changes() -> None:
    plain = {"source": "file", "files": [{"path": "x.csv"}], "folds": {"column": "set"}}
    other = {**plain, "folds": {"column": "set", "number": 3}}
    first, second = (tiny_task("sequence-regression", data=data) for data in (plain, other))
    assert first.hash != second.hash
    assert "folds" not in tiny_task("sequence-regression").data.question()
