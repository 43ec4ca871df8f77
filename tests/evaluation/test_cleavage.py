"""Precision and recall of cleavage sites, against sites read off strings, protein by protein."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from hubtools.common.errors import UserError
from hubtools.evaluation import Predictions, replicates, value
from hubtools.evaluation.metrics.scoring import primary_score, score_split
from hubtools.evaluation.statistics.resampling import bootstrap_units, bootstrap_weights
from hubtools.specs.lookup.content import shipped_root
from hubtools.specs.lookup.spec_files import load_task
from hubtools.specs.problem import Problem
from hubtools.specs.task import Task

LETTERS = "SLO"
CLEAVED = (0, 1)


def told(pairs: list[tuple[str, str]]) -> Predictions:
    """Predictions of proteins given as (true labels, called labels); a dash in both is a residue that is not scored."""
    rows = [
        (str(protein), position, LETTERS.index(true), LETTERS.index(called))
        for protein, (truth, calls) in enumerate(pairs)
        for position, (true, called) in enumerate(zip(truth, calls, strict=True), start=1)
        if true != "-"
    ]
    ids, positions, truth, called = (np.array(column) for column in zip(*rows, strict=True))
    scores = np.eye(len(LETTERS))[called].astype(np.float32)
    return Predictions(Problem("residue-classification"), ids, positions, None, truth, scores)


def site(labels: str) -> tuple[int, str] | None:
    """Last residue and kind of the longest stretch, by a regular expression."""
    found = max(re.finditer("[SL]+", labels), key=lambda match: len(match[0]), default=None)
    return None if found is None else (found.end(), max("LS", key=lambda letter: (found[0].count(letter), letter)))


def by_hand(pairs: list[tuple[str, str]], what: str, window: int) -> float:
    sites = [(site(true), site(called)) for true, called in pairs]
    right = sum(t is not None and c is not None and t[1] == c[1] and abs(t[0] - c[0]) <= window for t, c in sites)
    has = sum(t is not None for t, _ in sites)
    below = has if what == "recall" else sum(c is not None for _, c in sites)
    return np.nan if not has else right / below if below else 0.0


def scored(pairs: list[tuple[str, str]], name: str) -> float | None:
    rows = told(pairs)
    return value(name, rows, rows.scores.argmax(axis=1), cleaved=CLEAVED)


def test_a_site_is_behind_the_longest_stretch_and_of_its_kind() -> None:
    """Right; two residues late; of another kind; none called; one called where there is none; a slip before the stretch."""
    pairs = [
        ("SSSSOOOO", "SSSSOOOO"),
        ("SSSSOOOO", "SSSSSSOO"),
        ("SSSSOOOO", "LLLLOOOO"),
        ("LLLLOOOO", "OOOOOOOO"),
        ("OOOOOOOO", "OOOLLOOO"),
        ("SSSSOOOO", "SOSSOOLO"),
    ]
    assert scored(pairs, "cleavage_precision") == 2 / 5 and scored(pairs, "cleavage_recall") == 2 / 5
    assert scored(pairs, "cleavage_recall_1") == 2 / 5 and scored(pairs, "cleavage_recall_2") == 3 / 5
    assert scored(pairs[3:4], "cleavage_precision") == 0.0 and scored(pairs[4:5], "cleavage_recall") is None
    # A residue that is not scored ends a stretch: nobody knows what it is.
    assert scored([("SSS-SOOO", "SSS-SOOO")], "cleavage_recall") == 1.0
    assert scored([("SSS-SOOO", "SS--SOOO".replace("--", "O-"))], "cleavage_recall") == 0.0


@pytest.mark.parametrize("window", range(4))
@pytest.mark.parametrize("what", ["precision", "recall"])
def test_values_and_replicates_are_those_of_the_proteins_drawn_that_often(what: str, window: int) -> None:
    random = np.random.default_rng(0)
    pairs = []
    for _ in range(60):
        cut, kind = int(random.integers(0, 9)), "SL"[random.integers(2)]
        true = kind * cut + "O" * (14 - cut)
        called = "".join(LETTERS[random.integers(3)] if random.random() < 0.12 else letter for letter in true)
        pairs.append((true, called))
    name = f"cleavage_{what}{f'_{window}' if window else ''}"
    rows = told(pairs)
    decision = rows.scores.argmax(axis=1)
    assert 0 < value(name, rows, decision, cleaved=CLEAVED) < 1  # type: ignore[operator]
    assert value(name, rows, decision, cleaved=CLEAVED) == by_hand(pairs, what, window)
    units, n_units, _ = bootstrap_units(rows)
    (weights,) = bootstrap_weights(n_units, 20, seed=1)
    protein_of_unit = {int(unit): int(name) for unit, name in zip(units, rows.ids, strict=True)}
    for row, got in zip(weights, replicates(name, rows, decision, weights, cleaved=CLEAVED), strict=True):
        drawn = [pairs[protein_of_unit[unit]] for unit in range(n_units) for _ in range(int(row[unit]))]
        assert got == pytest.approx(by_hand(drawn, what, window), abs=1e-12, nan_ok=True)


def test_the_score_of_a_split_has_them_with_intervals() -> None:
    task = load_task(str(shipped_root() / "tasks" / "signal-peptide-region.yaml"))
    n = len(task.label_names)
    rows = told([("SSSSOOOO", "SSSSOOOO"), ("SSSSOOOO", "SSSSSOOO"), ("OOOOOOOO", "OOOOOOOO")] * 10)
    number = np.array([task.label_names.index("Sec/SPI signal peptide"), 1, task.label_names.index("outside")])
    scores = np.eye(n)[number[rows.scores.argmax(axis=1)]].astype(np.float32)
    rows = Predictions(rows.problem, rows.ids, rows.positions, None, number[rows.truth], scores)
    result = score_split(task, rows, None, replicates=200)
    recall = result.scores["cleavage_recall"]
    assert recall.value == 0.5 and result.scores["cleavage_recall_1"].value == 1.0
    assert recall.low is not None and recall.low < 0.5 < recall.high  # type: ignore[operator]
    chosen = task.model_copy(update={"metrics": task.metrics.model_copy(update={"primary": "cleavage_precision"})})
    assert primary_score(chosen, rows) == 0.5


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("  cleaved: [Sec/SPI signal", "  # [Sec/SPI signal", "cleavage_precision needs to know what is cut off"),
        ("cleaved: [Sec/SPI signal", "cleaved: [Sec signal", "'Sec signal peptide' is not a label"),
    ],
)
def test_a_task_says_what_is_cut_off(old: str, new: str, said: str, tmp_path: Path) -> None:
    text = (shipped_root() / "tasks" / "signal-peptide-region.yaml").read_text()
    (tmp_path / "signal-peptide-region.yaml").write_text(text.replace(old, new))
    with pytest.raises(UserError, match=said):
        load_task(str(tmp_path / "signal-peptide-region.yaml"))


def test_only_residues_are_cut_off_and_the_field_is_no_part_of_other_tasks() -> None:
    task = load_task(str(shipped_root() / "tasks" / "signal-peptide-type.yaml"))
    content = task.model_dump(mode="json", exclude_defaults=True)
    assert "cleaved" not in content["metrics"]
    content["metrics"]["cleaved"] = ["none"]
    with pytest.raises(ValueError, match="this is for residue-classification, not for sequence-classification"):
        Task.model_validate(content)
