"""What several attempts of a run took: carried from record to record, and summed without making anything up."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
from sample_records import FULL, PEPTIDES, make_record
from tiny_project import task_name, write_project

from hubtools.data import DataCache
from hubtools.runs import steps
from hubtools.runs.costs.attempts import earlier, last_written, total_energy
from hubtools.runs.execute import Outcome, execute
from hubtools.runs.plan import PlannedRun
from hubtools.runs.session import Session
from hubtools.runs.store import read_record, write_record
from hubtools.specs.lookup.spec_files import load_recipe, load_task
from hubtools.specs.record import Attempt, Cost, Energy, RunRecord
from hubtools.training.compute.device import Execution

ESM = "facebook/esm2_t6_8M_UR50D"
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def record(status: Any = "running", cost: Cost | None = None, started: datetime = NOON) -> RunRecord:
    made = make_record(PEPTIDES, FULL, 0.7, checkpoint=ESM)
    return made.model_copy(update={"status": status, "cost": cost, "started": started})


def attempt(seconds: float, ended: Any = "interrupted", energy: Energy | None = None) -> Attempt:
    return Attempt(started=NOON - timedelta(hours=1), wall_seconds=seconds, ended=ended, energy=energy)


def file(path: Path, seconds: float) -> None:
    """One that was written so long after noon."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    os.utime(path, (NOON.timestamp() + seconds,) * 2)


def test_a_killed_attempt_lasted_until_its_last_file(tmp_path: Path) -> None:
    for path, seconds in {
        "run.json": 1,
        "training.jsonl": 90,
        ".work/checkpoint-5/weights.safetensors": 100.5,
        "model/model.safetensors": -500,
        # Not of the run: whoever asks leaves a claim, and a card is made afterwards.
        ".claim-1": 5000,
        "card/README.md": 5000,
        "notes.txt": 5000,
    }.items():
        file(tmp_path / path, seconds)
    (tmp_path / "predictions.parquet").symlink_to(tmp_path / "notes.txt")
    cost = earlier(tmp_path, record(), record(started=NOON + timedelta(days=1)))
    assert cost is not None and [(a.wall_seconds, a.ended) for a in cost.attempts] == [(100.5, "killed")]
    assert cost.wall_seconds == 100.5 and cost.energy is None


def test_a_file_from_the_future_or_from_before_makes_no_time_up(tmp_path: Path) -> None:
    file(tmp_path / "run.json", 10 * 365 * 86400)
    assert last_written(tmp_path) <= datetime.now(UTC)
    file(tmp_path / "run.json", -1)
    cost = earlier(tmp_path, record(), record())
    assert cost is not None and cost.wall_seconds == 0


def test_what_is_complete_or_another_run_is_not_carried_over(tmp_path: Path) -> None:
    other = record("failed", Cost(wall_seconds=5))
    other.run_id = "0" * 12
    for previous in (None, other, record("complete", Cost(wall_seconds=5, attempts=[attempt(5, "complete")]))):
        assert earlier(tmp_path, previous, record()) is None


@pytest.mark.parametrize("status", ["failed", "interrupted"])
def test_a_record_of_a_version_that_did_not_count_is_one_attempt(tmp_path: Path, status: str) -> None:
    energy = Energy(source="estimate", kwh=0.5, how="half")
    cost = earlier(tmp_path, record(status, Cost(wall_seconds=7.5, energy=energy)), record())
    assert cost is not None and cost.attempts == [
        Attempt(started=NOON, wall_seconds=7.5, ended=status, energy=energy)  # type: ignore[arg-type]
    ]


def test_peaks_of_memory_are_of_one_device(tmp_path: Path) -> None:
    previous = record("failed", Cost(wall_seconds=1, peak_memory_bytes=7))
    now = record()
    assert earlier(tmp_path, previous, now).peak_memory_bytes == 7  # type: ignore[union-attr]
    now.environment = now.environment.model_copy(update={"device": "other"})
    assert earlier(tmp_path, previous, now).peak_memory_bytes is None  # type: ignore[union-attr]


def test_the_sum_of_energies_says_what_is_in_it() -> None:
    measured = Energy(source="codecarbon", kwh=2.0, co2_grams=700.0, how="codecarbon 3", place="DEU")
    estimate = Energy(source="estimate", kwh=1.0, how="1 hours × 4 CPU threads", place="DEU")
    assert total_energy([]) is None and total_energy([attempt(1, "killed")]) is None
    assert total_energy([attempt(1, energy=measured)]) == measured, "one attempt is what it always was"
    both = total_energy([attempt(1, energy=measured), attempt(2, energy=measured)])
    assert both == Energy(
        source="codecarbon",
        kwh=4.0,
        co2_grams=1400.0,
        how="codecarbon 3; the sum over 2 attempts, 2 measured",
        place="DEU",
    )
    mixed = total_energy([attempt(1, energy=measured), attempt(2, energy=estimate), attempt(3, "killed")])
    assert mixed is not None and (mixed.source, mixed.kwh, mixed.co2_grams) == ("estimate", 3.0, None)
    assert mixed.how == (
        "codecarbon 3; 1 hours × 4 CPU threads; the sum over 3 attempts, 1 measured, 1 estimated, "
        "1 not known and not in it: a lower bound"
    )


def test_an_old_record_is_read() -> None:
    made = record("complete", Cost(wall_seconds=3.0))
    old = made.model_dump(mode="json")
    del old["cost"]["attempts"]
    assert RunRecord.model_validate(old) == made and made.cost is not None and made.cost.attempts == []


# Through a run


@pytest.fixture(scope="module")
def item(tmp_path_factory: pytest.TempPathFactory) -> PlannedRun:
    folder = write_project(tmp_path_factory.mktemp("project"), "sequence-classification")
    task = load_task(str(folder / "tasks" / f"{task_name('sequence-classification')}.yaml"))
    return PlannedRun(task, load_recipe("majority", {}), None, 1)


def go(item: PlannedRun, root: Path, **options: Any) -> Outcome:
    return execute(
        item, Session(root / "runs", DataCache(root / "cache"), Execution(torch.device("cpu"), 512)), **options
    )


def endings(found: RunRecord) -> list[str]:
    return [attempt.ended for attempt in found.cost.attempts] if found.cost else []


def test_kills_in_a_row_are_on_record_when_the_next_attempt_starts(
    item: PlannedRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[RunRecord] = []
    do = steps.Steps.do

    def look(self: steps.Steps) -> None:
        seen.append(read_record(self.folder))
        do(self)

    monkeypatch.setattr(steps.Steps, "do", look)
    folder = go(item, tmp_path).folder
    assert endings(read_record(folder)) == ["complete"] and seen[0].cost is None
    write_record(folder, seen[0])  # As a kill would have left it.
    for n in (1, 2, 3):
        go(item, tmp_path)
        assert endings(seen[n]) == ["killed"] * n
        assert seen[n].cost is not None and seen[n].cost.wall_seconds >= 0
        assert endings(read_record(folder)) == ["killed"] * n + ["complete"]
        write_record(folder, seen[n])


def test_a_failure_counts_and_force_begins_anew(
    item: PlannedRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*arguments: Any) -> None:
        raise ZeroDivisionError

    for _ in range(2):
        with monkeypatch.context() as patched:
            patched.setattr(steps.Steps, "do", broken)
            failed = go(item, tmp_path)
    assert endings(failed.record) == ["failed", "failed"]
    done = go(item, tmp_path)
    assert endings(done.record) == ["failed", "failed", "complete"]
    assert go(item, tmp_path).was_done
    assert endings(go(item, tmp_path, force=True).record) == ["complete"]
