"""Replicates that a run keeps: the same as drawn anew, under units that say what was drawn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from evaluation_cases import a_task, classification, multilabel

from hubtools.common.errors import UserError
from hubtools.evaluation import ArmPredictions, resample
from hubtools.evaluation.metrics.scoring import score_and_resample
from hubtools.evaluation.statistics.resampled import read_replicates, worth, write_replicates
from hubtools.specs.problem import Problem

TASK = a_task(Problem("residue-classification"), 3, primary="macro_f1", also=["accuracy"])


def test_what_a_run_keeps_is_what_a_comparison_draws(tmp_path: Path) -> None:
    predictions = classification()
    result, drawn, units = score_and_resample(TASK, predictions, None, replicates=200)
    write_replicates(tmp_path / "kept", {"test": drawn}, {"test": units})
    anew = resample(TASK, ArmPredictions([predictions], [None], [1]), metric="accuracy", replicates=200)
    found = read_replicates(tmp_path / "kept", [("test", "accuracy"), ("hard", "accuracy")])
    assert list(found) == [("test", "accuracy")]
    kept = found["test", "accuracy"]
    np.testing.assert_array_equal(kept[0], anew.drawn[0])
    for same in (units, anew.units):
        for field in ("n_units", "described", "digest", "effective", "degrees"):
            assert getattr(kept[1], field) == getattr(same, field)
    assert anew.values[0] == pytest.approx(result.scores["accuracy"].value)
    assert read_replicates(tmp_path / "nothing", [("test", "accuracy")]) == {}


def test_runs_are_resampled_alike_and_other_rows_are_refused() -> None:
    one = classification()
    found = resample(TASK, ArmPredictions([one, one], [None, None], [1, 2]), replicates=50)
    np.testing.assert_array_equal(found.drawn[0], found.drawn[1])
    assert found.seeds == (1, 2) and found.metric == "macro_f1"
    with pytest.raises(ValueError, match="different rows"):
        resample(TASK, ArmPredictions([one, classification(seed=5)], [None, None], [1, 2]), replicates=50)


def test_the_first_replicates_are_the_same_however_many_are_drawn() -> None:
    task = a_task(Problem("residue-multilabel"), 4, primary="macro_f1")
    few, many = (
        resample(task, ArmPredictions([multilabel()], [[0.5] * 4], [1]), replicates=replicates).drawn[0]
        for replicates in (100, 1_000)
    )
    np.testing.assert_array_equal(few, many[:100])


def test_another_file_is_not_taken_for_replicates(tmp_path: Path) -> None:
    (tmp_path / "kept").write_bytes(b"nothing of the kind")
    with pytest.raises(UserError, match="not a file of replicates"):
        read_replicates(tmp_path / "kept", [("test", "accuracy")])


def test_what_units_are_worth() -> None:
    """Equal ones their number; unequal ones less, between Kish's number and that of the squares."""
    assert worth(np.full(30, 7)) == pytest.approx(30)
    assert worth(np.zeros(3)) == 0
    sizes = np.array([100, 10, 10, 5, 1])
    kish, of_squares = sizes.sum() ** 2 / (sizes**2).sum(), (sizes**2).sum() ** 2 / (sizes**4).sum()
    assert of_squares < worth(sizes) < kish < 5
