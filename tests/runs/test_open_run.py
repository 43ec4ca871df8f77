"""A run is read once, by the command that opens it, and passed along."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from sample_records import LOCALISATION, PEPTIDES, STRUCTURE, sample_runs, write_full_run, write_runs

from hubtools.common.errors import UserError
from hubtools.evaluation import predictions
from hubtools.runs import store
from hubtools.runs.store import OpenRun, find_records, open_run

Bench = Callable[..., tuple[int, str, str]]


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each record and each file of predictions was read."""
    counted: Counter[str] = Counter()
    content, table = store._content, predictions.read_predictions

    def of_record(path: Path) -> bytes:
        counted[f"{path.parent.name}/{path.name}"] += 1
        return content(path)

    def of_predictions(path: Path, only: str | None = None) -> object:
        counted[f"{path.parent.name}/{path.name}"] += 1
        return table(path, only)

    monkeypatch.setattr(store, "_content", of_record)
    monkeypatch.setattr(predictions, "read_predictions", of_predictions)
    return counted


def test_what_is_in_it_is_read_when_it_is_asked_for_and_once(tmp_path: Path, read: Counter[str]) -> None:
    folder = write_full_run(tmp_path, LOCALISATION)
    run = open_run(folder)
    assert open_run(run) is run and (run.folder, run.record) == run
    assert run.task == LOCALISATION and run.recipe.name == run.record.identity.recipe.name
    assert read == {f"{folder.name}/run.json": 1}
    assert run.predictions is run.predictions and run.training_log is run.training_log
    assert set(run.predictions) >= {"test"} and {"epoch"} <= set(run.training_log[0])
    assert read == {f"{folder.name}/run.json": 1, f"{folder.name}/predictions.parquet": 1}


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no run record"):
        open_run(tmp_path)
    run = OpenRun(tmp_path, sample_runs()[0][1])
    assert run.training_log == []
    with pytest.raises(UserError, match="there are no predictions"):
        _ = run.predictions


def test_what_is_open_is_not_read_again(tmp_path: Path, read: Counter[str]) -> None:
    write_runs(tmp_path, sample_runs())
    every, _ = find_records([tmp_path])
    assert set(read.values()) == {1} and len(read) == len(every)
    again, problems = find_records([tmp_path], STRUCTURE.name, every)
    assert set(read.values()) == {1} and not problems
    assert [run.folder for run in again] == [run.folder for run in find_records([tmp_path], STRUCTURE.name)[0]]


def test_cards_read_the_runs_that_are_named_once(tmp_path: Path, bench: Bench, read: Counter[str]) -> None:
    write_runs(tmp_path, sample_runs())
    folders = [write_full_run(tmp_path, task) for task in (PEPTIDES, LOCALISATION)]
    read.clear()
    assert bench("card", *folders)[0] == 0
    for folder in folders:
        assert read[f"{folder.name}/run.json"] == read[f"{folder.name}/predictions.parquet"] == 1
