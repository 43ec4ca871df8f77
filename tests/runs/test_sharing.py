"""Several processes on one folder of runs: they divide what is to be done, and each ends with all of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import torch
import warm_process
import yaml
from tiny_checkpoints import write_checkpoint
from tiny_project import QUICK, task_name, write_project

from hubtools.api import running
from hubtools.api.running import RunEvent, perform
from hubtools.data import DataCache
from hubtools.runs import claims
from hubtools.runs.claims import ClaimedElsewhere, ClaimLost, claimed, wait_for_one
from hubtools.runs.execute import execute
from hubtools.runs.plan import PlannedRun
from hubtools.runs.session import Session
from hubtools.runs.store import find_records, read_record, run_folder, write_record
from hubtools.specs.lookup.spec_files import load_recipe, load_task
from hubtools.training.compute.device import Execution

PROBLEM = "sequence-classification"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    folder = write_project(tmp_path_factory.mktemp("project"), PROBLEM)
    write_checkpoint(folder / "esm", "esm")
    suite = {
        "name": "shared",
        "title": "Shared",
        "summary": "Made up.",
        "tasks": [task_name(PROBLEM)],
        "checkpoints": ["./esm"],
        "recipe": "full",
        "seeds": [1, 2, 3],
        "baselines": ["majority", "composition"],
    }
    (folder / "shared.yaml").write_text(yaml.safe_dump(suite))
    return folder


def planned(project: Path, *seeds: int) -> tuple[PlannedRun, ...]:
    task = load_task(str(project / "tasks" / f"{task_name(PROBLEM)}.yaml"))
    return tuple(PlannedRun(task, load_recipe("majority", {}), None, seed) for seed in seeds)


def session(root: Path) -> Session:
    return Session(root / "runs", DataCache(root / "cache"), Execution(torch.device("cpu"), 512))


def start(project: Path, runs: Path, *arguments: object, epochs: int = 6) -> warm_process.Process:
    settings = [f"--set={key}={json.dumps(value)}" for key, value in {**QUICK, "epochs": epochs}.items()]
    environment = {**os.environ, "BENCH_CACHE": str(runs / "cache")}
    command = ["run", *arguments, *settings, "--set", "patience=null", "--token-budget", "512", "--runs", runs]
    return warm_process.start(command, cwd=project, env=environment, bench=True)


@pytest.mark.slow
def test_six_processes_of_one_suite_divide_its_runs(project: Path, tmp_path: Path) -> None:
    """Found by testers: five of six ended in "another process is running it", exit 1."""
    processes = [start(project, tmp_path, "--suite", "shared.yaml") for _ in range(6)]
    said = [process.communicate(timeout=300) for process in processes]
    # What the others said would hide what the one that failed says.
    assert not [err for process, (_, err) in zip(processes, said, strict=True) if process.returncode]
    records, problems = find_records([tmp_path])
    assert not problems and [run.record.status for run in records] == ["complete"] * 5
    # Each did some of them or none, and ends with the table of all.
    begun = 0
    for out, err in said:
        assert len([line for line in out.splitlines() if "tiny" in line]) == 5
        assert "failed" not in err and "Traceback" not in err
        done = [line.strip() for line in err.splitlines() if "test accuracy" in line]
        assert len(done) == 5
        begun += sum(line.startswith("test accuracy") for line in done)
    assert begun == 5, "each run is done once"
    assert all(len(run.record.cost.attempts) == 1 for run in records if run.record.cost)
    # Nothing is left of what they wrote beside each other.
    assert not [path for path in tmp_path.glob("*/.*") if not path.name.startswith(".claim-")]


@pytest.mark.slow
def test_the_run_of_a_process_that_is_killed_is_taken_over(project: Path, tmp_path: Path) -> None:
    command = ("--checkpoint", "esm", "--task", task_name(PROBLEM))
    first = start(project, tmp_path, *command, epochs=400)
    log = _log(tmp_path, first)
    second = start(project, tmp_path, *command, epochs=400)
    deadline = time.monotonic() + 60
    waits = "waiting for another process, at it since "
    while waits not in _said(second) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert f"{log.parent})" in _said(second), "and says what for"
    before = len(log.read_text().splitlines())
    first.kill()
    first.communicate(timeout=60)
    while len(log.read_text().splitlines()) <= before + 1 and time.monotonic() < deadline + 60:
        time.sleep(0.05)
    record = read_record(log.parent)
    assert record.status == "running" and record.cost is not None
    assert [attempt.ended for attempt in record.cost.attempts] == ["killed"], "it goes on where that one stopped"
    second.kill()
    second.communicate(timeout=60)


@pytest.mark.slow
def test_two_processes_of_one_sweep_end_with_the_same(project: Path, tmp_path: Path) -> None:
    """Found by testers: the second ended in "another process is running it", exit 1."""
    command = ["--checkpoint", "esm", "--task", task_name(PROBLEM), "--over", "learning_rate=1e-3..1e-1", "--trials", 4]
    environment = {**os.environ, "BENCH_CACHE": str(tmp_path / "cache")}
    processes = [
        warm_process.start(
            ["sweep", *command, "--set", "epochs=2", "--runs", tmp_path], cwd=project, env=environment, bench=True
        )
        for _ in range(2)
    ]
    said = [process.communicate(timeout=200) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], said
    assert said[0][0].splitlines()[:6] == said[1][0].splitlines()[:6], "the same table"
    trials = [line for _, err in said for line in err.splitlines() if "/4] " in line]
    assert len(trials) == 4, "each is done once"
    assert sum("waiting for another process" in err for _, err in said) <= 2
    assert len(find_records([tmp_path])[0]) == 1


def _said(process: warm_process.Process) -> str:
    stream = process._streams[1]
    return os.pread(stream.fileno(), 1 << 20, 0).decode()


def _log(runs: Path, process: warm_process.Process) -> Path:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        for log in runs.glob("*/training.jsonl"):
            if len(log.read_text().splitlines()) >= 2:
                return log
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    pytest.fail("it did not start")


# What others are at comes last


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Any]:
    """Another process: ``other(folder)`` holds a run until ``other.stdin`` is closed."""
    code = (
        "import sys\nfrom pathlib import Path\nfrom hubtools.runs.claims import claimed\n"
        "with claimed(Path(sys.argv[1])):\n    print('mine', flush=True)\n    sys.stdin.read()\n"
    )
    started: list[subprocess.Popen[str]] = []

    def hold(folder: Path) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", code, folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        started.append(process)
        assert process.stdout is not None and process.stdout.readline() == "mine\n"
        return process

    yield hold
    for process in started:
        process.kill()
        process.communicate()


def folder_of(item: PlannedRun, root: Path) -> Path:
    return run_folder(root / "runs", session(root).identify(item))


def test_it_is_waited_for_when_the_others_are_done_and_taken_over(
    project: Path, tmp_path: Path, other: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    items = planned(project, 1, 2, 3)
    folder = folder_of(items[0], tmp_path)
    process, heard = other(folder), list[str]()
    monkeypatch.setattr(claims, "LOOK", 0.02)

    def hear(event: RunEvent) -> None:
        heard.append(f"{event.number} {'begins' if event.begins else event}".partition(";")[0].partition(" 0.")[0])
        if event.waiting:
            process.kill()
            process.wait()

    done = perform(items, session(tmp_path), on_event=hear)
    assert [outcome.run.seed for outcome in done.outcomes] == [1, 2, 3], "in the order of the plan"
    assert len(done.complete) == 3 and not done.problems and done.done_elsewhere == 0
    assert heard[:6] == [
        "1 begins",
        "1 under way in another process",
        "2 begins",
        "2 test accuracy",
        "3 begins",
        "3 test accuracy",
    ]
    assert heard[6:] == [
        "1 begins",
        "1 under way in another process",
        f"1 waiting for another process: {items[0].title} ({folder})",
        "1 begins",
        "1 test accuracy",
    ]


def test_what_another_process_did_meanwhile_is_not_done_again(
    project: Path, tmp_path: Path, other: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    items = planned(project, 1, 2)
    done_there = execute(items[0], session(tmp_path))
    process = other(done_there.folder)
    monkeypatch.setattr(claims, "LOOK", 0.02)

    def finish(event: RunEvent) -> None:
        if event.waiting:
            record = done_there.record.model_copy(update={"finished": datetime.now(UTC)})
            write_record(done_there.folder, record)
            process.kill()
            process.wait()

    # Not even where all is to be done again: the other process was asked to do the same.
    done = perform(items, session(tmp_path), force=True, on_event=finish)
    assert (done.done_elsewhere, done.done_before, len(done.complete)) == (1, 0, 2)
    assert str(RunEvent(1, 2, items[0], done.outcomes[0])).startswith("done elsewhere: test accuracy")
    # What was done before is.
    assert perform(items, session(tmp_path), force=True).done_elsewhere == 0
    again = perform(items, session(tmp_path))
    assert (again.done_before, again.done_elsewhere) == (2, 0)


def test_a_single_claim_says_whose_it_is(project: Path, tmp_path: Path, other: Any) -> None:
    (item,) = planned(project, 1)
    folder = folder_of(item, tmp_path)
    other(folder)
    with pytest.raises(ClaimedElsewhere, match="another process is running it right now") as caught:
        execute(item, session(tmp_path))
    assert caught.value.folder == folder


def test_the_first_that_is_free_ends_the_wait(tmp_path: Path, other: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    processes = [other(tmp_path / name) for name in "ab"]
    looks: list[float] = []

    def sleep(seconds: float) -> None:
        looks.append(seconds)
        if len(looks) == 3:
            processes[1].kill()
            processes[1].wait()

    monkeypatch.setattr(claims.time, "sleep", sleep)
    wait_for_one([tmp_path / "a", tmp_path / "b"])
    assert len(looks) >= 3 and set(looks) == {claims.LOOK}
    with claimed(tmp_path / "b"), pytest.raises(ClaimedElsewhere), claimed(tmp_path / "a"):
        pass


@pytest.mark.parametrize("end", [None, RuntimeError("out of luck"), KeyboardInterrupt()])
def test_who_lost_its_run_in_the_middle_writes_no_record(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: BaseException | None
) -> None:
    """It was silent for so long that another process took the run over, and is at it."""
    (item,) = planned(project, 1)
    folder = folder_of(item, tmp_path)

    def is_taken_over(*_: Any) -> None:
        (folder / ".claim-2").write_bytes(b"another's")
        (folder / "run.json").write_text("another's")
        if end is not None:
            raise end

    monkeypatch.setattr("hubtools.runs.steps.Steps.do", is_taken_over)
    with pytest.raises(KeyboardInterrupt if isinstance(end, KeyboardInterrupt) else ClaimLost):
        execute(item, session(tmp_path))
    assert (folder / "run.json").read_text() == "another's"
    assert sorted(path.name for path in folder.iterdir()) == [".claim-1.free", ".claim-2", "places.json", "run.json"]


def test_a_run_that_cannot_be_begun_is_told_once(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside others it is a line, and nothing is tried again."""
    items, tried = planned(project, 1, 2), list[int]()

    def fails(item: PlannedRun, *_: Any, **__: Any) -> Any:
        tried.append(item.seed)
        raise running.UserError("no such data")

    monkeypatch.setattr("hubtools.runs.many.turns.execute", fails)
    done = perform(items, session(tmp_path))
    assert tried == [1, 2] and len(done.problems) == 2 and _all("no such data", done.problems)


def _all(text: str, lines: Sequence[str]) -> bool:
    return all(text in line for line in lines)
