"""Ctrl-C, a cluster's SIGTERM, a kill: what is done is kept, and the same command ends as an unbroken run."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
import warm_process
from tiny_checkpoints import write_checkpoint
from tiny_project import QUICK, task_name, write_project

from hubtools.common.errors import UserError
from hubtools.data import DataCache
from hubtools.runs.claims import claimed
from hubtools.runs.execute import Outcome, execute
from hubtools.runs.plan import PlannedRun
from hubtools.runs.session import Session
from hubtools.runs.store import read_record
from hubtools.specs.lookup.spec_files import load_recipe, load_task
from hubtools.specs.record import RunRecord
from hubtools.training.compute.device import Execution
from hubtools.training.finetune import fit as fit_module
from hubtools.training.frozen import heads as head_module

pytestmark = pytest.mark.slow
# Long enough that a signal finds it at work.
SETTINGS = {**QUICK, "epochs": 30, "patience": None}
STEPS = 30 * 5


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    folder = write_project(tmp_path_factory.mktemp("project"), "sequence-classification")
    write_checkpoint(folder / "esm", "esm")
    return folder


def planned(project: Path, recipe: str = "full", **settings: Any) -> PlannedRun:
    task = load_task(str(project / "tasks" / f"{task_name('sequence-classification')}.yaml"))
    return PlannedRun(task, load_recipe(recipe, settings), str(project / "esm"), 1, overrides=settings)


def go(item: PlannedRun, root: Path) -> Outcome:
    return execute(item, Session(root, DataCache(root / "cache"), Execution(torch.device("cpu"), 512)))


@pytest.fixture(scope="module")
def unbroken(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    outcome = go(planned(project, **SETTINGS), tmp_path_factory.mktemp("unbroken"))
    assert outcome.record.status == "complete"
    return outcome


def assert_same(found: Outcome, expected: Outcome) -> None:
    for field in ("identity", "results", "training", "data", "alignment"):
        assert getattr(found.record, field) == getattr(expected.record, field), field
    tables = [pd.read_parquet(outcome.folder / "predictions.parquet") for outcome in (found, expected)]
    pd.testing.assert_frame_equal(*tables)
    assert epochs(found.folder) == epochs(expected.folder)


def epochs(folder: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (folder / "training.jsonl").read_text().splitlines()]
    assert all(line.pop("seconds", 1) > 0 for line in lines)
    return lines


def epoch_seconds(folder: Path) -> list[float]:
    return [json.loads(line)["seconds"] for line in (folder / "training.jsonl").read_text().splitlines()]


def count_steps(monkeypatch: pytest.MonkeyPatch, stop_at: int | None = None) -> list[int]:
    """Count the optimiser's steps; at one of them press Ctrl-C."""
    original, steps = fit_module.FairTrainer.training_step, []

    def step(self: Any, *arguments: Any, **options: Any) -> Any:
        steps.append(1)
        if len(steps) == stop_at:
            raise KeyboardInterrupt
        return original(self, *arguments, **options)

    monkeypatch.setattr(fit_module.FairTrainer, "training_step", step)
    return steps


def endings(record: RunRecord) -> list[str]:
    """How the attempts ended, whose seconds and energy must add up to those of the run."""
    cost = record.cost
    assert cost is not None
    assert cost.wall_seconds == pytest.approx(sum(attempt.wall_seconds for attempt in cost.attempts), abs=1e-3)
    assert cost.attempts[-1].started == record.started
    assert all(a.started < b.started for a, b in zip(cost.attempts, cost.attempts[1:], strict=False))
    known = [attempt.energy.kwh for attempt in cost.attempts if attempt.energy]
    assert cost.energy is not None and cost.energy.kwh == pytest.approx(sum(known))
    if record.status == "complete":
        assert cost.train_seconds is not None and 0 < cost.train_seconds < cost.wall_seconds
        if record.training is not None and record.training.tokens:
            # What is in the result, by the time that it took: what was lost is in neither.
            assert cost.tokens_per_second == pytest.approx(record.training.tokens / cost.train_seconds, rel=1e-3)
    return [attempt.ended for attempt in cost.attempts]


def test_control_c_is_recorded_and_the_same_command_goes_on(
    project: Path, unbroken: Outcome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    item = planned(project, **SETTINGS)
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        count_steps(patched, stop_at=78)
        go(item, tmp_path)
    (folder,) = [path for path in tmp_path.iterdir() if path.name != "cache"]
    record = read_record(folder)
    assert (record.status, record.results, record.outputs, record.failure) == ("interrupted", {}, [], None)
    assert record.finished is not None and record.cost is not None
    assert endings(record) == ["interrupted"]
    steps = count_steps(monkeypatch)
    again = go(item, tmp_path)
    assert_same(again, unbroken)
    assert len(steps) == STEPS - 75, "the whole epochs before are not trained again"
    assert endings(again.record) == ["interrupted", "complete"] and endings(unbroken.record) == ["complete"]
    assert again.record.cost is not None and again.record.cost.attempts[0] == record.cost.attempts[0]
    assert epoch_seconds(again.folder) == sorted(epoch_seconds(again.folder)), "the log goes on, too"
    assert not (folder / ".work").exists()


def test_a_stopped_probe_starts_anew_and_ends_the_same(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    item = planned(project, "probe", epochs=5)
    expected = go(item, tmp_path / "unbroken")

    def stop(*arguments: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(head_module, "primary_score", stop)
        go(item, tmp_path / "broken")
    found = go(item, tmp_path / "broken")
    # It finds what the encoder had read before.
    (again, first) = (outcome.record.training.embeddings for outcome in (found, expected))
    assert again.cached > 0 and again.computed + again.cached == first.computed + first.cached
    found.record.training.embeddings, found.record.training.tokens = first, expected.record.training.tokens
    assert_same(found, expected)


@pytest.mark.parametrize(
    ("number", "code", "status"),
    [
        (signal.SIGKILL, -9, "running"),
        (signal.SIGTERM, 143, "interrupted"),
        (signal.SIGINT, 130, "interrupted"),
    ],
)
def test_a_process_that_is_stopped_can_be_followed_by_another(
    project: Path,
    unbroken: Outcome,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    code: int,
    status: str,
) -> None:
    process = start(project, tmp_path)
    folder = wait_for_epochs(process, tmp_path, 3)
    with pytest.raises(UserError, match="another process"), claimed(folder):
        pass
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert process.returncode == code and "Traceback" not in err and not out
    if number != signal.SIGKILL:
        assert err.splitlines()[-1] == "stopped; what is done is kept. The same command goes on."
    record = read_record(folder)
    assert record.status == status and record.results == {}
    trained = len(epochs(folder))
    assert 3 <= trained < 30
    took = epoch_seconds(folder)[-2]
    steps = count_steps(monkeypatch)
    again = go(planned(project, **SETTINGS), tmp_path)
    assert_same(again, unbroken)
    ended = "killed" if number == signal.SIGKILL else status
    assert endings(again.record) == [ended, "complete"]
    first, second = again.record.cost.attempts
    assert first.started == record.started and (first.energy is None) == (number == signal.SIGKILL)
    assert took < first.wall_seconds < (second.started - first.started).total_seconds()
    # At most one epoch more than its log tells: the state is written after the line.
    assert len(steps) <= STEPS - 5 * (trained - 1)
    assert RunRecord.model_validate_json((folder / "run.json").read_text()).status == "complete"


def wait_for_epochs(process: warm_process.Process, root: Path, n: int) -> Path:
    """The run's folder, once so many epochs are done."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        for log in root.glob("*/training.jsonl"):
            if len(log.read_text().splitlines()) >= n:
                return log.parent
        if process.poll() is not None:
            pytest.fail(f"it ended by itself: {process.communicate()[1]}")
        time.sleep(0.005)
    process.kill()
    pytest.fail("it did not start")


def start(project: Path, runs: Path) -> warm_process.Process:
    """The command, in a process of its own."""
    settings = [f"--set={key}={json.dumps(value)}" for key, value in SETTINGS.items()]
    task = task_name("sequence-classification")
    arguments = ["run", "--checkpoint", "esm", "--task", task, *settings, "--token-budget", "512", "--runs", runs]
    environment = {**os.environ, "BENCH_CACHE": str(runs / "cache")}
    return warm_process.start(arguments, cwd=project, env=environment, bench=True)


def test_the_attempts_of_a_chain_add_up(
    project: Path, unbroken: Outcome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed, killed again, interrupted, complete."""
    trained = 0
    for before in (None, ["killed"]):
        process = start(project, tmp_path)
        folder = wait_for_epochs(process, tmp_path, trained + 2)
        process.kill()
        process.communicate(timeout=30)
        record, trained = read_record(folder), len(epochs(folder))
        assert record.status == "running"
        assert before == (record.cost and [attempt.ended for attempt in record.cost.attempts])
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        count_steps(patched, stop_at=30)
        go(planned(project, **SETTINGS), tmp_path)
    assert endings(read_record(folder)) == ["killed", "killed", "interrupted"]
    done = go(planned(project, **SETTINGS), tmp_path)
    assert_same(done, unbroken)
    assert endings(done.record) == ["killed", "killed", "interrupted", "complete"]
    energy = done.record.cost.energy
    assert energy is not None and "the sum over 4 attempts" in energy.how
    assert energy.how.endswith("2 not known and not in it: a lower bound")
