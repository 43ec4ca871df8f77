"""Runs that are followed: what a tracker is told while they learn and at the end, and that it changes nothing and fails nothing."""

from __future__ import annotations

import importlib.util
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from click.testing import CliRunner
from test_execute import plan, project, session

from hubtools.api.computing import ExecutionOptions
from hubtools.cli.main import cli
from hubtools.common.errors import UserError
from hubtools.evaluation import read_predictions
from hubtools.runs.execute import execute
from hubtools.runs.plan import PlannedRun
from hubtools.runs.session import Session
from hubtools.runs.store import PREDICTIONS, TRAINING_LOG
from hubtools.runs.tracking.following import Tracking
from hubtools.runs.tracking.trackers import TRACKERS, TrackerKind, TrackEvent, callback_of
from hubtools.training.finetune import fit as fit_module

assert plan and project  # fixtures
Plan = Callable[..., PlannedRun]
SECRET = "hf_" + "a1B2c3D4e5F6g7H8"


class FakeModule(ModuleType):
    """A module with the functions that trackio and wandb have, which notes what it is told."""

    def __init__(self, name: str, fails: str = "", message: str = "no network") -> None:
        super().__init__(name)
        self.told: list[tuple[str, Any]] = []
        self.fails, self.message = fails, message

    def _note(self, what: str, value: Any) -> None:
        print(f"a banner of {what} with https://user:{SECRET}@host/")
        self.told.append((what, value))
        if what == self.fails:
            raise ConnectionError(self.message)

    def init(self, project: str, name: str, group: str, config: dict[str, Any], resume: str, id: str = "") -> None:
        told = {"project": project, "name": name, "group": group, "config": config, "resume": resume, "id": id}
        self._note("init", told)

    def log(self, metrics: dict[str, Any], step: int | None = None) -> None:
        self._note("log", (step, metrics))

    def finish(self) -> None:
        self._note("finish", None)

    def logged(self) -> list[tuple[int | None, dict[str, Any]]]:
        return [value for what, value in self.told if what == "log"]


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeModule:
    made = FakeModule("wandb")
    monkeypatch.setitem(sys.modules, "wandb", made)
    for name in TRACKERS["wandb"].environment:
        monkeypatch.delenv(name, raising=False)
    return made


def followed(root: Path, track: Any) -> Session:
    return replace(session(root), tracking=Tracking(track))


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / TRAINING_LOG).read_text().splitlines()]


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["full", "probe"])
def test_losses_while_it_runs_and_the_record_at_the_end(
    plan: Plan, tmp_path: Path, fake: FakeModule, recipe: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run = plan("sequence-classification", recipe, epochs=2)
    outcome = execute(run, followed(tmp_path, "wandb:mine"))
    record = outcome.record
    assert record.status == "complete"
    assert [what for what, _ in fake.told] == ["init", "log", "log", "log", "finish"]
    begun = fake.told[0][1]
    assert begun["project"] == "mine" and begun["resume"] == "allow"
    assert begun["id"].startswith(record.run_id) and begun["id"] in begun["name"]
    assert begun["config"]["identity"] == record.identity.model_dump(mode="json")
    for (step, values), line in zip(fake.logged(), lines(outcome.folder), strict=False):
        assert step == line["step"]
        assert values["train_loss"] == line["train_loss"]
        assert values["validation/f1"] == line["validation"]["f1"]
    step, last = fake.logged()[-1]
    score = record.results["test"].scores["f1"]
    assert step is None and last["record/status"] == "complete" and last["record/run"] == record.run_id
    assert (last["record/test/f1"], last["record/test/f1_low"]) == (score.value, score.low)
    # No folder of this machine, and nothing of what a tracker prints.
    assert str(tmp_path) not in json.dumps(fake.told, default=str)
    printed = capsys.readouterr()
    assert "banner" not in printed.out + printed.err

    alone = execute(run, session(tmp_path / "alone"))
    assert alone.record.run_id == record.run_id
    mine, theirs = (read_predictions(one.folder / PREDICTIONS)["test"].scores for one in (outcome, alone))
    assert (mine == theirs).all()


@pytest.mark.slow
def test_of_seeds_that_are_trained_together_each_run_tells_its_own(plan: Plan, tmp_path: Path) -> None:
    told: list[TrackEvent] = []
    shared = followed(tmp_path, told.append)
    shared.planned = [plan("sequence-classification", "probe", seed, epochs=3) for seed in (1, 2)]
    for run in shared.planned:
        outcome = execute(run, shared)
        mine = [event for event in told if event.run == outcome.record.run_id]
        assert [event.kind for event in mine] == ["begins", "learns", "learns", "learns", "ends"]
        assert [event.values["train_loss"] for event in mine[1:4]] == [x["train_loss"] for x in lines(outcome.folder)]
        assert mine[-1].record is not None and mine[-1].record.run_id == outcome.record.run_id
    assert len({event.group for event in told}) == 1 and len({event.title for event in told}) == 2


@pytest.mark.slow
def test_within_an_epoch_a_loss_is_told_now_and_then(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fit_module, "TELL_EVERY", 0.0)
    told: list[TrackEvent] = []
    outcome = execute(plan("sequence-classification", "full", epochs=1, batch_size=8), followed(tmp_path, told.append))
    (epoch,) = lines(outcome.folder)
    steps = [event for event in told if event.kind == "learns" and "epoch" not in event.values]
    assert [event.step for event in steps] == list(range(1, epoch["step"] + 1))
    losses = [event.values["train_loss"] for event in steps]
    assert min(losses) <= epoch["train_loss"] <= max(losses)


@pytest.mark.slow
@pytest.mark.parametrize("fails", ["init", "log", "finish"])
def test_a_tracker_that_fails_is_one_line_and_never_the_runs_failure(
    plan: Plan, tmp_path: Path, fake: FakeModule, fails: str, caplog: pytest.LogCaptureFixture
) -> None:
    fake.fails, fake.message = fails, f"no network\nfor https://user:{SECRET}@host/ with {SECRET}"
    shared = followed(tmp_path, "wandb")
    runs = [plan("sequence-classification", "composition", seed) for seed in (1, 2)]
    assert [execute(run, shared).record.status for run in runs] == ["complete", "complete"]
    said = [record.getMessage() for record in caplog.records]
    # Where it does not begin it is not asked again.
    assert len(said) == (1 if fails == "init" else 2)
    assert all("wandb does not follow" in line and "no network" in line and "\n" not in line for line in said)
    assert SECRET not in "".join(said)


@pytest.mark.slow
def test_a_run_that_fails_is_told_too(plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: Any, **options: Any) -> Any:
        raise RuntimeError("something broke")

    monkeypatch.setattr("hubtools.runs.steps.fit_baseline", fail)
    told: list[TrackEvent] = []
    assert execute(plan("sequence-classification", "composition"), followed(tmp_path, told.append)).record.failure
    assert [event.kind for event in told] == ["begins", "ends"]
    assert told[-1].values["record/status"] == "failed" and "something broke" in told[-1].values["record/failure"]


def test_one_that_is_not_there_is_refused_before_anything_is_computed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "wandb", raising=False)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, package=None: None)
    with pytest.raises(UserError, match=r"needs the package wandb.*plm-hubtools\[wandb\]"):
        ExecutionOptions(track="wandb").session(tmp_path)
    monkeypatch.undo()
    with pytest.raises(UserError, match="there is no tracker 'mlflow'"):
        callback_of("mlflow")
    asked = [
        "run",
        "--checkpoint",
        "embedded",
        "--task",
        "stability",
        "--track",
        "nobody",
        "--runs",
        str(tmp_path / "r"),
    ]
    done = CliRunner().invoke(cli, asked)
    assert isinstance(done.exception, UserError) and "there is no tracker 'nobody'" in str(done.exception)


def test_a_package_brings_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TRACKERS, "_added", {})
    projects: list[str] = []

    def follow(project: str) -> Callable[[TrackEvent], None]:
        projects.append(project)
        return lambda event: None

    TRACKERS.register(TrackerKind("notebook", follow))
    callback_of("notebook")
    callback_of("notebook:mine")
    assert projects == ["bench", "mine"]


TRACKIO = importlib.util.find_spec("trackio") is not None


@pytest.mark.slow
@pytest.mark.skipif(not TRACKIO, reason="needs trackio")
def test_the_real_trackio_keeps_it(plan: Plan, tmp_path: Path) -> None:
    """In a process of its own: it reads where it keeps things when it is imported."""
    code = f"""
import sys; sys.path[:0] = {[str(Path(__file__).parent), str(Path(__file__).parents[1])]!r}
from pathlib import Path
from hubtools.api import running
import hubtools
done = hubtools.run(task="tiny-sequence-classification", recipe="composition", runs={str(tmp_path / "runs")!r},
    execution=hubtools.ExecutionOptions(device="cpu", track="trackio:tried"))
print(done.complete[0].record.run_id)
"""
    where = tmp_path / "trackio"
    project = Path(str(plan("sequence-classification", "full").checkpoint)).parent
    environment = os.environ | {
        "TRACKIO_DIR": str(where),
        "HF_HUB_OFFLINE": "1",
        "BENCH_CACHE": str(tmp_path / "cache"),
    }
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, cwd=project, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    run_id = done.stdout.strip()
    assert len(run_id) == 12, "nothing else is printed"
    (file,) = where.glob("tried*.db")
    with sqlite3.connect(file) as database:
        names = [row[0] for row in database.execute("select distinct run_name from metrics")]
        kept = "".join(str(row[0]) for row in database.execute("select metrics from metrics"))
    assert len(names) == 1 and run_id in names[0]
    assert "record/test/f1" in kept and run_id in kept
