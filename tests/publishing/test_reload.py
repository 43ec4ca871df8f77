"""The saved model must do what was measured, or it does not go out."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from small_run import make_run, small_predictions

from hubtools.common.errors import UserError
from hubtools.publishing import reload
from hubtools.publishing.contents import collect_files, lay_out
from hubtools.publishing.reload import compare, reproduce, reproduce_in_fresh_process

RECORDED = {"test": small_predictions()}


def test_rounding_is_reproduction() -> None:
    result = compare(RECORDED, {"test": small_predictions(5e-5)}, "float32")
    assert result.rows == 3 and result.splits == ("test",) and result.difference == pytest.approx(5e-5, rel=1e-2)
    assert "3 predictions (test) reproduced" in str(result)


@pytest.mark.parametrize(
    ("shift", "precision", "allowed"), [(3e-4, "float32", False), (3e-4, "bf16", True), (0.1, "bf16", False)]
)
def test_more_than_rounding_is_not(shift: float, precision: str, allowed: bool) -> None:
    again = {"test": small_predictions(shift)}
    if allowed:
        assert compare(RECORDED, again, precision).tolerance == 2e-2
    else:
        with pytest.raises(UserError, match="does not do what was measured"):
            compare(RECORDED, again, precision)


@pytest.mark.parametrize("change", [{"ids": np.array(["a", "b", "x"])}, {"truth": np.array([0, 1, 0])}])
def test_other_data_are_not_compared(change: dict[str, np.ndarray]) -> None:
    with pytest.raises(UserError, match="other proteins or labels"):
        compare(RECORDED, {"test": dataclasses.replace(small_predictions(), **change)}, "float32")


def test_every_test_split_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []
    both = {"validation": small_predictions(), "test": small_predictions(), "hpa": small_predictions()}
    monkeypatch.setattr("hubtools.evaluation.predictions.read_predictions", lambda path: both)
    monkeypatch.setattr(reload, "predict_again", lambda folder, record, splits: asked.append(splits) or both)
    assert reproduce(make_run(tmp_path / "run")).rows == 6 and asked == [["test", "hpa"]]


def test_the_command_writes_its_verdict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    folder, out = make_run(tmp_path / "run"), tmp_path / "out.json"
    monkeypatch.setattr(reload, "predict_again", lambda *_: {"test": small_predictions(1e-6)})
    assert reload.main([str(folder), "--out", str(out)]) == 0
    assert json.loads(out.read_text())["rows"] == 3 and "reproduced" in capsys.readouterr().out
    monkeypatch.setattr(reload, "predict_again", lambda *_: {"test": small_predictions(0.05)})
    assert reload.main([str(folder), "--out", str(out)]) == 2
    assert "does not do what was measured" in json.loads(out.read_text())["error"]


@pytest.mark.slow
def test_the_verdict_of_the_fresh_process_is_passed_on(tmp_path: Path) -> None:
    files = [file for file in collect_files(make_run(tmp_path / "run")) if file.path != "predictions.parquet"]
    with lay_out(tuple(files)) as stage, pytest.raises(UserError, match="it is gone"):
        reproduce_in_fresh_process(Path(stage))


def test_a_process_that_dies_is_a_failed_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = tmp_path / "python"
    fake.write_text("#!/bin/sh\necho loading >&2\necho Killed: out of memory >&2\nexit 137\n")
    fake.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(fake))
    with pytest.raises(UserError, match="Killed: out of memory") as caught:
        reproduce_in_fresh_process(tmp_path)
    assert "\n" not in str(caught.value)
