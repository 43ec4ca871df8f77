"""The reliability diagram and what a card says of calibration."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import matplotlib.image
import pytest
from sample_records import LOCALISATION, PEPTIDES, STRUCTURE, write_full_run

from hubtools.evaluation import read_predictions
from hubtools.evaluation.metrics.calibration_error import calibration
from hubtools.findings.board.leaderboard import build_board
from hubtools.reporting.board_tables import as_json
from hubtools.reporting.card.model_card import build_card, lint_card
from hubtools.reporting.figures.calibration_figure import reliability_figure, verdict
from hubtools.runs.store import read_record, write_record
from hubtools.specs.record import Calibration
from hubtools.specs.task import Task

pytestmark = pytest.mark.usefixtures("blank_figures")


def measured(root: Path, task: Task, replicates: int = 200) -> Path:
    """An invented run whose record says how calibrated its predictions are."""
    folder = write_full_run(root, task)
    record = read_record(folder)
    for split, predictions in read_predictions(folder / "predictions.parquet").items():
        record.results[split].calibration = calibration(task, predictions, replicates=replicates)
    write_record(folder, record)
    return folder


def example(**changes: object) -> Calibration:
    bins = {"counts": [0, 40, 60], "confidence": [None, 0.5, 0.9], "observed": [None, 0.4, 0.7]}
    bins |= {"observed_low": [None, 0.3, None], "observed_high": [None, 0.5, None]}
    scores = {"ece": 0.16, "low": 0.1, "high": 0.2, "noise": 0.05, "adaptive": 0.15, "brier": 0.2, "log_loss": 0.6}
    return Calibration.model_validate({"of": "the likeliest class", **scores, **bins, **changes})


@pytest.mark.figures
def test_the_figure_says_what_it_shows() -> None:
    figure = reliability_figure(example(), "test")
    height, width = matplotlib.image.imread(io.BytesIO(figure.png)).shape[:2]
    assert (width, height) == (736, 832)
    assert figure.alt.endswith("test. 0.50 said, 0.40 so; 0.90 said, 0.70 so.")
    assert "error 0.160 (0.100 to 0.200); a perfectly calibrated model would show up to 0.050 here." in figure.caption
    assert "error 0.160." in reliability_figure(example(low=None, high=None, noise=None), "test").caption


def test_the_sentence_tells_noise_from_error() -> None:
    assert "more than chance makes" in verdict(example(), "test")
    assert "says 74% where 58% are so" in verdict(example(), "test"), "(40 · 0.5 + 60 · 0.9) / 100"
    assert "no more than chance makes" in verdict(example(noise=0.2), "test")
    assert "not measured" in verdict(example(noise=None), "test")


@pytest.mark.parametrize("task", [LOCALISATION, STRUCTURE, PEPTIDES], ids=lambda task: task.name)
def test_the_card_shows_it_for_every_test_split(task: Task, tmp_path: Path) -> None:
    folder = measured(tmp_path, task)
    text, record = build_card(folder).read_text(encoding="utf-8"), read_record(folder)
    assert lint_card(text) == []
    assert (folder / "card" / "figures" / "reliability.png").is_file() and "figures/reliability.png" in text
    section = text.split("### Calibration")[1].split("\n#")[0]
    for split in task.data.test_splits:
        found = record.results[split].calibration
        assert found is not None
        assert f"{found.ece:.3f} ({found.low:.3f} to {found.high:.3f})" in section and f"{found.brier:.3f}" in section
    table = re.findall(r"^\|.*$", section, flags=re.MULTILINE)
    assert len(table) == 6 and len({line.count("|") for line in table}) == 1
    assert "calibration was not checked" not in text


def test_a_card_of_an_older_record_says_that_it_was_not_checked(tmp_path: Path) -> None:
    text = build_card(write_full_run(tmp_path, PEPTIDES)).read_text(encoding="utf-8")
    assert "its calibration was not checked" in text and "### Calibration" not in text


def test_the_card_tells_of_a_temperature(tmp_path: Path) -> None:
    folder = measured(tmp_path, PEPTIDES)
    record = read_record(folder)
    assert record.training is not None
    record.recipe["calibration"] = "temperature"
    record.training.choices |= {"temperature": 1.5503110839882457}
    record.training.choices |= {"temperature_log_loss": {"before": 0.458088, "after": 0.428978}}
    write_record(folder, record)
    text = build_card(folder).read_text(encoding="utf-8")
    assert "- temperature: 1.55031\n- log loss on validation: 0.4581 before, 0.4290 with the temperature\n" in text
    assert "divided by a temperature fitted on validation, which is in the weights" in text
    record.training.choices["temperature_bound"] = "1: why"
    write_record(folder, record)
    assert "- temperature, why there: at 1: why" in build_card(folder).read_text(encoding="utf-8")


def test_the_board_as_json_has_it_by_run_without_the_bins(tmp_path: Path) -> None:
    folder = measured(tmp_path, LOCALISATION)
    record = read_record(folder)
    board = json.loads(as_json(build_board([(folder, record)])))
    (run,) = board["tables"][0]["rows"][0]["runs"]
    assert set(run["calibration"]) == {"validation", "test", "hpa"}
    found = record.results["hpa"].calibration
    assert found is not None and run["calibration"]["hpa"]["ece"] == found.ece
    assert "counts" not in run["calibration"]["hpa"]
