"""Shares of the training data: nested, by seed and content alone, in proportion, with every label while there is room."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tiny_project import write_project
from tiny_tasks import PROBLEMS, tiny_task

from hubtools.data import DataCache, TaskData, load_task_data
from hubtools.data.splits.fractions import drawing_order, fraction_of, held_labels
from hubtools.specs.lookup.spec_files import load_task

SHARES = (0.01, 0.03, 0.1, 0.3, 1.0)


def rows(labels: list[int], seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    n = len(labels)
    sequences = ["".join(rng.choice(list("ACDEFGHIKL"), 30)) for _ in range(n)]
    split = ["train"] * (n - 20) + ["validation"] * 10 + ["test"] * 10
    return pd.DataFrame({"id": [f"P{i}" for i in range(n)], "sequence": sequences, "label": labels, "split": split})


TASK = tiny_task("sequence-classification")


def train_ids(table: pd.DataFrame, fraction: float, seed: int = 1) -> list[str]:
    part, _ = fraction_of(table, fraction, seed, TASK)
    return part.loc[part["split"] == "train", "id"].tolist()


def test_a_smaller_share_is_part_of_a_larger_one_and_sizes_are_the_shares() -> None:
    table = rows([0] * 700 + [1] * 320)
    drawn = [set(train_ids(table, share)) for share in SHARES]
    assert [len(ids) for ids in drawn] == [10, 30, 100, 300, 1000]
    assert all(smaller < larger for smaller, larger in pairwise(drawn))


def test_validation_and_test_are_whole_and_the_order_of_rows_stays() -> None:
    table = rows([0, 1] * 100)
    part, line = fraction_of(table, 0.1, 1, TASK)
    assert part["split"].value_counts().to_dict() == {"train": 18, "validation": 10, "test": 10}
    assert part.index.is_monotonic_increasing
    assert line == (
        "fraction: 18 of 180 training proteins (10 %), drawn by seed 1; validation and test are whole"
    )  # fmt: skip


def test_another_seed_draws_others_and_the_order_of_rows_means_nothing() -> None:
    table = rows([0, 1, 1] * 100)
    shuffled = table.sample(frac=1, random_state=3)
    assert set(train_ids(table, 0.1)) == set(train_ids(shuffled, 0.1))
    of_two = set(train_ids(table, 0.1, seed=2))
    assert len(of_two) == 28 and len(of_two & set(train_ids(table, 0.1))) < 14


def test_classes_keep_their_proportions() -> None:
    table = rows([0] * 840 + [1] * 150 + [2] * 30)
    for share in (0.03, 0.1, 0.3):
        kept = table[table["id"].isin(train_ids(table, share))]["label"].value_counts()
        whole = table[table["split"] == "train"]["label"].value_counts()
        assert (abs(kept - share * whole) <= 1.5).all(), share


def test_no_class_is_lost_while_there_is_room_and_the_commonest_stay_where_there_is_not() -> None:
    classes = [label for label in range(40) for _ in range(label + 1)]  # class 39 is the commonest
    table = rows([*classes, *[0] * 20])
    half = table[table["id"].isin(train_ids(table, 20 / 820))]["label"].tolist()
    assert sorted(half) == list(range(20, 40)), "room for half of them: the larger half"
    assert set(table[table["id"].isin(train_ids(table, 40 / 820))]["label"]) == set(range(40))


def test_at_least_one_protein_is_left() -> None:
    assert len(train_ids(rows([0, 1] * 30), 0.001)) == 1


def test_a_stratum_is_the_rarest_label_so_that_rare_labels_among_common_ones_are_kept() -> None:
    held = [frozenset({0})] * 90 + [frozenset({0, 1})] * 9 + [frozenset({0, 1, 2})]
    order = drawing_order([f"{(index * 37) % 100:03d}" for index in range(100)], held)
    assert sorted(order) == list(range(100))
    assert order[0] == 99, "one row that has all three"
    first_twenty = [held[index] for index in order[:20]]
    assert 1 <= sum(1 in labels and 2 not in labels for labels in first_twenty) <= 3


@pytest.mark.parametrize("kind", ["classification", "multilabel", "regression"])
@pytest.mark.parametrize("level", ["sequence", "residue"])
def test_the_labels_of_a_row(level: str, kind: str) -> None:
    task = tiny_task(f"{level}-{kind}")
    label: object = {
        ("sequence", "classification"): 1,
        ("sequence", "multilabel"): np.array([0, 1], dtype=np.int8),
        ("residue", "classification"): np.array([-100, 1, 1], dtype=np.int16),
        ("residue", "multilabel"): np.array([[0, 1], [-100, -100]], dtype=np.int8),
        ("sequence", "regression"): 0.5,
        ("residue", "regression"): np.array([0.5, np.nan]),
    }[level, kind]
    assert held_labels(label, task) == (frozenset() if kind == "regression" else {1})


@pytest.mark.parametrize("problem", PROBLEMS)
def test_the_facts_tell_what_was_learnt_from(problem: str, tmp_path: Path) -> None:
    folder = write_project(tmp_path, problem)
    task = load_task(str(folder / "tasks" / f"tiny-{problem}.yaml"))

    def load(**asked: float) -> TaskData:
        return load_task_data(task, DataCache(tmp_path / "cache"), **asked)  # type: ignore[arg-type]

    whole, part = load(), load(fraction=0.25, seed=1)
    assert len(part.splits["train"]) == 10 and len(whole.splits["train"]) == 40
    assert set(part.splits["train"]["id"]) < set(whole.splits["train"]["id"])
    for split in ("validation", "test"):
        assert part.facts.splits[split] == whole.facts.splits[split]
    assert part.facts.splits["train"].residues == sum(map(len, part.sequences("train")))
    assert part.facts.splits["train"].rows_sha256 != whole.facts.splits["train"].rows_sha256
    assert sum(line.startswith("fraction: 10 of 40 training") for line in part.facts.findings) == 1


def test_overlap_is_with_what_was_learnt_from(tmp_path: Path) -> None:
    """A copy of a test protein with one residue changed is in train: it counts where it is drawn, and only there."""
    folder = write_project(tmp_path, "sequence-classification")
    table = folder / "tasks" / "sequence-classification.csv"
    data = pd.read_csv(table, dtype=str)
    rng = np.random.default_rng(1)
    for index in data.index:
        data.loc[index, "sequence"] = "".join(rng.choice(list("ACDEFGHIKLMNPQRSTVWY"), 60))
    train, test = data.index[data["set"] == "train"][7], data.index[data["set"] == "test"][0]
    data.loc[train, "sequence"] = "W" + data.loc[test, "sequence"][1:]
    data.to_csv(table, index=False)
    task = load_task(str(folder / "tasks" / "tiny-sequence-classification.yaml"))
    name, told = data.loc[train, "id"], {}
    for seed in range(8):
        part = load_task_data(task, DataCache(tmp_path / "cache"), fraction=0.5, seed=seed)
        (overlap,) = (o for o in part.facts.audit if (o.first, o.second) == ("train", "test"))
        told[name in part.splits["train"]["id"]] = overlap.similar["0.9"]
    assert told == {True: 1, False: 0}
