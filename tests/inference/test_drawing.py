"""Answers as HTML: every number is the model's, every text is escaped, nothing is said by colour alone."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from tiny_tasks import tiny_task

from hubtools.inference.decisions import Decider
from hubtools.inference.drawing import answer_html, codes, message
from hubtools.inference.predictor import Protein, ProteinPrediction


def decider_of(problem: str, thresholds: list[float] | None = None, **changes: Any) -> Decider:
    task = tiny_task(problem, **changes)
    choices = {"thresholds": thresholds} if thresholds else {}
    record = SimpleNamespace(training=SimpleNamespace(choices=choices))
    stand_in: Any = SimpleNamespace(task=task, problem=task.problem, labels=task.label_names, record=record)
    return Decider(stand_in)


def html(decider: Decider, scores: Any, sequence: str = "MKV", name: str = "a", windows: int = 1) -> str:
    answer = ProteinPrediction(Protein(name, sequence), np.array(scores, dtype=np.float32), windows)
    return answer_html(decider, decider.decide(answer))


def test_bars_are_the_probabilities_likeliest_first() -> None:
    text = html(decider_of("sequence-classification"), [0.25, 0.75])
    assert re.findall(r"width:([\d.]+)%", text) == ["75.0", "25.0"]
    assert re.findall(r'scope="row">(\w+)', text) == ["aromatic", "other"]
    assert "Predicted: <strong>aromatic</strong>" in text and text.count("✓") == 1


def test_several_labels_show_their_thresholds() -> None:
    text = html(decider_of("sequence-multilabel", [0.3, 0.9]), [0.4, 0.8])
    assert "Predicted: <strong>acid</strong>" in text
    assert re.findall(r'class="b-limit" style="left:([\d.]+)%', text) == ["90.0", "30.0"]
    assert "none of the labels" in html(decider_of("sequence-multilabel", [0.5, 0.9]), [0.4, 0.8])


def test_a_value_has_its_unit() -> None:
    text = html(decider_of("sequence-regression", unit="°C"), [51.23])
    assert "<strong>51.23</strong> °C" in text


def test_residues_say_their_label_by_letter_and_by_words() -> None:
    scores = [[0.9, 0.1], [0.2, 0.8], [0.3, 0.7], [0.6, 0.4]]
    text = html(decider_of("residue-classification"), scores, "MFYK")
    assert re.findall(r"<b>(\w)</b><span>(.)</span>", text) == [("M", "O"), ("F", "A"), ("Y", "A"), ("K", "O")]
    assert 'title="F2: other 20 %, aromatic 80 %"' in text
    assert "other: 1, 4; aromatic: 2 to 3" in text
    assert "other (2)" in text and "aromatic (2)" in text
    assert 'role="img" aria-label="Probabilities along the sequence"' in text


def test_sites_are_listed_the_likeliest_first() -> None:
    changes = {"metrics": {"primary": "auroc", "positive": "aromatic"}}
    data = tiny_task("residue-classification").data.model_dump(mode="json") | {"candidates": "FY"}
    decider = decider_of("residue-classification", [0.5], data=data, **changes)
    text = html(decider, [[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]], "MFY")
    assert re.findall(r"<tr><td>(\w+)</td><td>([\d.]+) %</td><td>(\w+)</td>", text) == [
        ("Y3", "80.0", "yes"),
        ("F2", "40.0", "no"),
    ]
    assert "decided at 50 %" in text
    assert "no residue that this is about (F, Y)" in html(decider, [[0.5, 0.5]], "M")


def test_values_of_residues() -> None:
    text = html(decider_of("residue-regression"), [[1.0], [2.0], [6.0]])
    assert "Mean 3.000, from 1.000 to 6.000" in text and 'title="V3: 6.000"' in text


@pytest.mark.parametrize("problem", ["sequence-classification", "residue-classification"])
def test_what_people_write_is_escaped(problem: str) -> None:
    labels = {"labels": ["<b>x</b>", 'y"']}
    scores: Any = [0.1, 0.9] if problem.startswith("sequence") else [[0.1, 0.9]] * 3
    text = html(decider_of(problem, **labels), scores, name="<script>alert(1)</script>")
    assert "<script" not in text and "&lt;script&gt;" in text and "<b>x</b>" not in text
    assert "<img" not in message("<img src=x>")


def test_windows_are_mentioned() -> None:
    assert "read in 3 overlapping windows" in html(decider_of("sequence-regression"), [1.0], windows=3)


def test_each_label_has_a_letter_of_its_own() -> None:
    assert codes(["helix", "strand", "coil"]) == ["H", "S", "C"]
    letters = codes([f"label {number}" for number in range(20)])
    assert len(set(letters)) == 20
