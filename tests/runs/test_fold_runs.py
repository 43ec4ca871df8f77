"""A run over folds: every row predicted out of its fold, one record, no model; stopped and gone on with."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import spearmanr
from tiny_checkpoints import write_checkpoint
from tiny_project import write_rows, write_task
from tiny_tasks import LETTERS

from hubtools.common.errors import UserError
from hubtools.data import DataCache, load_task_data
from hubtools.evaluation.predictions import Predictions
from hubtools.findings.board.leaderboard import build_board
from hubtools.findings.verification import _folds
from hubtools.inference.named_model import refuse_without_model
from hubtools.publishing.contents import plan_publication
from hubtools.reporting.card.model_card import build_card
from hubtools.runs import steps
from hubtools.runs.execute import Outcome, execute
from hubtools.runs.folds.fold_work import out_of_fold
from hubtools.runs.plan import PlannedRun
from hubtools.runs.session import Session
from hubtools.runs.store import open_run
from hubtools.specs.lookup.spec_files import load_recipe, load_task
from hubtools.specs.problem import Problem
from hubtools.training.compute.device import Execution

N = 36


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("folds")
    data = {
        "source": "file",
        "files": [{"path": "sequence-regression.csv"}],
        "columns": {"id": "id"},
        "folds": {"column": "set"},
    }
    metrics = {"primary": "spearman", "also": ["rmse"]}
    write_task(folder, "sequence-regression", data=data, metrics=metrics)
    drawn = random.Random(0)
    rows = []
    for number in range(N):
        sequence = "".join(drawn.choice(LETTERS) for _ in range(drawn.randint(8, 20)))
        value = sum(sequence.count(letter) for letter in "FWY") / len(sequence)
        rows.append({"id": f"p{number}", "sequence": sequence, "label": str(value), "set": str(number % 3)})
    write_rows(folder, "sequence-regression", rows)
    write_checkpoint(folder / "esm", "esm")
    return folder


def go(project: Path, root: Path, recipe: str, **settings: Any) -> Outcome:
    task = load_task(str(project / "tasks" / "tiny-sequence-regression.yaml"))
    run = PlannedRun(task, load_recipe(recipe, settings), str(project / "esm"), 1, overrides=settings)
    return execute(run, Session(root, DataCache(root / "cache"), Execution(torch.device("cpu"), 512)))


def watched(monkeypatch: pytest.MonkeyPatch, name: str, stop_at: int | None = None) -> list[set[str]]:
    """The ids that each fit of a run was given; a Ctrl-C instead of that fit."""
    given, fit = list[set[str]](), getattr(steps, name)

    def watching(model: Any, train: Any, validation: Any, *more: Any, **options: Any) -> Any:
        if len(given) == stop_at:
            raise KeyboardInterrupt
        given.append({*train.ids, *validation.ids})
        return fit(model, train, validation, *more, **options)

    monkeypatch.setattr(steps, name, watching)
    return given


def table(outcome: Outcome) -> pd.DataFrame:
    return pd.read_parquet(outcome.folder / "predictions.parquet")


@pytest.mark.parametrize(("recipe", "fit"), [("probe", "fit_probe"), ("full", "fit")])
def test_all_rows_are_predicted_out_of_fold_and_a_run_that_was_stopped_goes_on(
    recipe: str, fit: str, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"epochs": 2}
    with monkeypatch.context() as patched:
        given = watched(patched, fit)
        whole = go(project, tmp_path / "whole", recipe, **settings)
    record = whole.record
    assert record.status == "complete", record.failure
    said = table(whole)
    assert set(said["split"]) == {"test"} and sorted(said["id"]) == sorted(f"p{number}" for number in range(N))
    folds = {name: {f"p{number}" for number in range(N) if str(number % 3) == name} for name in "012"}
    for learnt, held in zip(given, folds.values(), strict=True):
        assert not learnt & held, "a fit was given rows of the fold that it predicts"
        assert learnt | held == {f"p{number}" for number in range(N)}
    result = record.results["test"]
    assert list(record.results) == ["test"] and [fold.name for fold in result.folds] == ["0", "1", "2"]
    assert result.scores["spearman"].value == pytest.approx(spearmanr(said["label"], said["prediction"]).statistic)
    for fold in result.folds:
        own = said[said["id"].isin(folds[fold.name])]
        assert fold.rows == len(own) == 12 and fold.train + fold.validation == N - 12
        assert fold.scores["spearman"] == pytest.approx(spearmanr(own["label"], own["prediction"]).statistic)
    assert record.training is not None and record.training.steps == sum(fold.steps for fold in result.folds)
    assert record.windows is not None and record.windows.residues_total == record.data.splits["test"].residues  # type: ignore[union-attr]
    assert not (whole.folder / "model").exists() and not (whole.folder / ".work").exists()
    lines = [json.loads(line) for line in (whole.folder / "training.jsonl").read_text().splitlines()]
    assert [line["fold"] for line in lines] == ["0", "0", "1", "1", "2", "2"]

    with monkeypatch.context() as patched:
        watched(patched, fit, stop_at=1)
        with pytest.raises(KeyboardInterrupt):
            go(project, tmp_path / "stopped", recipe, **settings)
    with monkeypatch.context() as patched:
        again = watched(patched, fit)
        resumed = go(project, tmp_path / "stopped", recipe, **settings)
    assert len(again) == 2, "the fold that was done is not done again"
    pd.testing.assert_frame_equal(table(resumed), said)
    assert resumed.record.results == record.results
    assert resumed.record.run_id == record.run_id

    if recipe == "probe":
        place = open_run(whole.folder)
        card = build_card(place).read_text()
        assert "### By fold" in card and "No model was kept" in card and "validation (choices" not in card
        (shown,) = build_board([place]).tables
        assert shown.rows[0].scores["test", "spearman"].value == result.scores["spearman"].value
        data = load_task_data(place.task, DataCache(tmp_path / "whole" / "cache"))
        recomputed = _folds(place.task, data, record, place.predictions)
        assert recomputed == "6 recomputed", "three folds, two metrics"
        claimed = record.model_copy(deep=True)
        claimed.results["test"].folds[1].scores["spearman"] = 0.99
        with pytest.raises(UserError, match="the scores of fold 1 are others"):
            _folds(place.task, data, claimed, place.predictions)
        with pytest.raises(UserError, match="none was kept, so there is none to publish"):
            plan_publication(place, "me/folds")
        with pytest.raises(UserError, match="each fold of this run had a model of its own"):
            refuse_without_model(place, "folds")


def part(ids: list[str]) -> Predictions:
    values = np.arange(len(ids), dtype=np.float64)
    return Predictions(Problem("sequence-regression"), np.array(ids), None, None, values, values)


def test_predictions_of_folds_are_put_into_the_order_of_the_rows_and_none_is_missing_or_twice() -> None:
    joined = out_of_fold([part(["c", "a"]), part(["b"])], ["a", "b", "c"])
    assert joined.ids.tolist() == ["a", "b", "c"] and joined.truth.tolist() == [1.0, 0.0, 0.0]
    with pytest.raises(ValueError, match="3 rows were predicted out of fold 2 times"):
        out_of_fold([part(["c"]), part(["b"])], ["a", "b", "c"])
    with pytest.raises(ValueError, match="3 rows were predicted out of fold 3 times"):
        out_of_fold([part(["c", "b"]), part(["b"])], ["a", "b", "c"])
