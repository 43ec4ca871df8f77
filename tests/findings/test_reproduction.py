"""A run held against the same made again: invented predictions, nothing trained."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from comparison_cases import write_runs_of
from sample_records import FITNESS, PEPTIDES

from hubtools.common.errors import UserError
from hubtools.evaluation.metrics.scoring import score_and_resample
from hubtools.evaluation.predictions import read_predictions, write_predictions
from hubtools.evaluation.statistics.equivalence import EquivalenceVerdict
from hubtools.findings.reproduction import Reproduction, compared, recorded_run
from hubtools.runs.store import PREDICTIONS, OpenRun, open_run, write_record


def made(root: Path, quality: float = 1.5, **options) -> OpenRun:
    (folder,) = write_runs_of(root, options.pop("task", FITNESS), quality=quality, **options)
    return open_run(folder)


def changed(root: Path, size: float, **options) -> OpenRun:
    """The run again, with noise of that size on its predictions."""
    folder, record = made(root, **options)
    splits = read_predictions(folder / PREDICTIONS)
    noise = size * np.random.default_rng(3).normal(size=len(splits["test"]))
    splits["test"] = replace(splits["test"], scores=splits["test"].scores + noise)
    write_predictions(folder / PREDICTIONS, splits, [])
    return OpenRun(folder, record)


def scored(found: OpenRun) -> OpenRun:
    """The run with the scores of its predictions in its record."""
    folder, record = found
    predictions = read_predictions(folder / PREDICTIONS)
    record.results = {name: score_and_resample(FITNESS, split, None)[0] for name, split in predictions.items()}
    write_record(folder, record)
    return OpenRun(folder, record)


def test_the_same_predictions_agree(tmp_path: Path) -> None:
    done = compared(made(tmp_path / "a"), made(tmp_path / "b"), notes=["as before"])
    assert (done.finding.verdict, done.apart, done.notes) == (EquivalenceVerdict.AGREE, 0.0, ["as before"])
    assert done.finding.before == done.finding.after and "the same predictions" in done.finding.reason


def test_rounding_is_the_same_and_more_than_rounding_is_tested(tmp_path: Path) -> None:
    original = made(tmp_path / "a")
    rounded = compared(original, changed(tmp_path / "b", 1e-6))
    assert (
        0 < rounded.apart < 1e-4 and rounded.finding.low is None and rounded.finding.verdict is EquivalenceVerdict.AGREE
    )
    tested = compared(original, changed(tmp_path / "c", 0.005))
    assert tested.apart > 1e-3 and -0.01 < tested.finding.low < tested.finding.high < 0.01
    assert tested.finding.verdict is EquivalenceVerdict.AGREE and "within ±0.01" in tested.finding.reason


def test_a_much_worse_rerun_differs_and_a_little_worse_one_cannot_be_told(tmp_path: Path) -> None:
    original = made(tmp_path / "a")
    worse = compared(original, changed(tmp_path / "b", 2.0)).finding
    assert worse.verdict is EquivalenceVerdict.DIFFER and worse.value < -0.01 and worse.high < 0
    unclear = compared(original, changed(tmp_path / "c", 0.3)).finding
    assert unclear.verdict is EquivalenceVerdict.CANNOT_TELL and unclear.low < -0.01


def test_a_better_rerun_is_no_reproduction_either(tmp_path: Path) -> None:
    found = compared(changed(tmp_path / "a", 2.0), made(tmp_path / "b")).finding
    assert found.verdict is EquivalenceVerdict.DIFFER and found.value > 0.01 and found.low > 0


def test_without_predictions_the_score_is_compared_and_that_is_said(tmp_path: Path) -> None:
    original = scored(made(tmp_path / "a"))
    (original[0] / PREDICTIONS).unlink()
    same = compared(original, scored(made(tmp_path / "b")))
    assert (same.finding.verdict, same.apart) == (EquivalenceVerdict.AGREE, None)
    assert "same score and interval" in same.finding.reason and "only its score" in same.notes[-1]
    # Two independent estimates: no pairing, so that less can be told.
    close = compared(original, scored(changed(tmp_path / "c", 0.005))).finding
    assert close.verdict is EquivalenceVerdict.CANNOT_TELL and close.high - close.low > 0.04
    assert compared(original, scored(changed(tmp_path / "d", 9.0))).finding.verdict is EquivalenceVerdict.DIFFER


def test_a_score_without_interval_and_predictions_cannot_tell(tmp_path: Path) -> None:
    folder, record = scored(made(tmp_path / "a"))
    (folder / PREDICTIONS).unlink()
    score = record.results["test"].scores["spearman"]
    score.low = score.high = None
    found = compared((folder, record), scored(changed(tmp_path / "b", 0.005))).finding
    assert (found.verdict, found.reason) == (EquivalenceVerdict.CANNOT_TELL, "the record has no interval")


def test_what_else_changed_is_listed(tmp_path: Path) -> None:
    original, again = made(tmp_path / "a"), made(tmp_path / "b")
    again.record.environment.device_name = "another"
    again.record.environment.packages["torch"] = "9.0"
    names = [change.what for change in compared(original, again).changed]
    assert names == ["package: torch", "device"]


def refused(original: OpenRun, again: OpenRun, split: str = "test") -> str:
    with pytest.raises(UserError) as mistake:
        done = compared(original, again, split)
        assert isinstance(done, Reproduction)
    return str(mistake.value)


def test_other_rows_and_splits_that_are_not_there_are_refused(tmp_path: Path) -> None:
    original = made(tmp_path / "a")
    assert "400 and 300 rows" in refused(original, made(tmp_path / "b", rows=300))
    assert "no results on hard. Name a test split: test" in refused(original, made(tmp_path / "c"), "hard")
    assert "no results on validation" in refused(original, made(tmp_path / "d"), "validation")


def test_only_one_complete_run_is_reproduced(tmp_path: Path) -> None:
    found, named = recorded_run(str(made(tmp_path / "one")[0] / "run.json"))
    assert named.notes == [] and found[1].identity.seed == 1
    made(tmp_path / "two")
    made(tmp_path / "two", task=PEPTIDES)
    folder, record = made(tmp_path / "three")
    record.status = "failed"
    write_record(folder, record)
    for where, said in (
        (tmp_path / "two", r"2 runs are named, and one is wanted: .*\. Name one, for example .*/two:task="),
        (folder, "this run is failed"),
        (tmp_path, "no run record"),
    ):
        with pytest.raises(UserError, match=said):
            recorded_run(str(where))
