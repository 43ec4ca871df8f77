"""Two processes of one run give what one gives: losses, choice of epoch, predictions; and the failure of one ends both."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import warm_process
from tiny_checkpoints import write_checkpoint
from tiny_project import task_name, write_project

from hubtools.cli.main import cli
from hubtools.common.errors import UserError
from hubtools.evaluation.predictions import Predictions, read_predictions
from hubtools.runs.store import find_records
from hubtools.training.compute.distributed import divided

SETTINGS = ["epochs=3", "batch_size=7", "learning_rate=1e-4", "head_learning_rate=1e-3"]
# Recipe -> its tasks and settings.
CASES = {
    "full": (["residue-classification", "pair-classification"], []),
    "lora": (["residue-classification"], ["adapter.dropout=0.1", "calibration=temperature"]),
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_project(tmp_path_factory.mktemp("project"), "residue-classification", "pair-classification")
    write_checkpoint(folder / "esm", "esm")
    return folder


def arguments(recipe: str, runs: str, *options: str) -> list[str]:
    """Of ``bench``."""
    problems, settings = CASES[recipe]
    tasks = [text for problem in problems for text in ("--task", task_name(problem))]
    # What a test sets itself is set once.
    own = {option.split("=")[1] for option in options if option.startswith("--set=")}
    chosen = [f"--set={setting}" for setting in SETTINGS + settings if setting.split("=")[0] not in own]
    place = ["--device", "cpu", "--token-budget", "200", "--runs", runs]
    return ["run", "--checkpoint", "esm", "--recipe", recipe, *tasks, *chosen, *place, *options]


def start(project: Path, processes: int, command: list[str], code: str | None = None) -> list[warm_process.Process]:
    """The processes that ``torchrun`` starts, with the environment that it gives them."""
    environment = {**os.environ, "BENCH_CACHE": str(project / "cache")}
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}
    each: list[dict[str, str]] = [
        {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(processes), "LOCAL_WORLD_SIZE": str(processes)}
        for rank in range(processes)
    ]
    return [
        warm_process.start(
            command, cwd=project, env=environment | (own | meeting if processes > 1 else {}), code=code, bench=True
        )
        for own in each
    ]


def bench(project: Path, processes: int, command: list[str], code: str | None = None) -> tuple[int, str]:
    """The exit code, as ``torchrun`` has it, and what was said on stderr. A hang is a failure."""
    running = start(project, processes, command, code)
    try:
        said = "".join(process.communicate(timeout=240)[1] for process in running)
    except subprocess.TimeoutExpired:
        for process in running:
            process.kill()
        pytest.fail(f"it hangs: {[process.communicate()[1] for process in running]}")
    return int(any(process.returncode for process in running)), said


def torchrun(project: Path, command: list[str]) -> subprocess.Popen[str]:
    """Two processes, by the launcher itself."""
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "hubtools.cli.main"]
    return subprocess.Popen(
        [sys.executable, *launcher, *command],
        cwd=project,
        env={**os.environ, "BENCH_CACHE": str(project / "cache")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell starts its background jobs, and all below them, with SIGINT ignored: not so at a terminal.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def outcomes(root: Path) -> dict[str, tuple[Any, list[dict[str, Any]], dict[str, Predictions]]]:
    """By task: record, lines of the log, predictions."""
    found, problems = find_records([root])
    assert not problems
    return {
        record.identity.task.name: (
            record,
            [json.loads(line) for line in (folder / "training.jsonl").read_text().splitlines()],
            read_predictions(folder / "predictions.parquet"),
        )
        for folder, record in found
    }


@pytest.mark.slow
@pytest.mark.parametrize("options", [[], ["--shard"]], ids=["whole", "divided"])
@pytest.mark.parametrize("recipe", CASES)
def test_two_processes_give_what_one_gives(project: Path, recipe: str, options: list[str]) -> None:
    alone, together = f"{recipe}-1", f"{recipe}-2{''.join(options)}"
    if not (project / alone).is_dir():
        assert bench(project, 1, arguments(recipe, alone))[0] == 0
    code, said = bench(project, 2, arguments(recipe, together, *options))
    assert code == 0, said
    n = len(CASES[recipe][0])
    assert said.count(f"[{n}/{n}]") == 1, "one process speaks"
    expected, found = outcomes(project / alone), outcomes(project / together)
    assert len(found) == n and found.keys() == expected.keys()
    for task, (one, log, rows) in expected.items():
        both, other_log, other_rows = found[task]
        assert both.status == one.status == "complete" and both.identity == one.identity
        assert (both.environment.processes, both.environment.sharded) == (2, bool(options))
        assert (one.environment.layout, both.environment.layout) == ("packed", "padded" if options else "packed")
        assert both.training.parameters_trained == one.training.parameters_trained
        assert both.training.best_epoch == one.training.best_epoch
        cooled = [record.training.choices.get("temperature") for record in (one, both)]
        if recipe == "lora":
            assert cooled[0] is not None and cooled[1] == pytest.approx(cooled[0], rel=1e-3)
        else:
            assert cooled == [None, None]
        # A protein of several pairs is read in each part that has one of them.
        assert both.training.tokens >= one.training.tokens
        assert both.training.tokens == one.training.tokens or "pair" in task
        for line, other in zip(log, other_log, strict=True):
            assert other["train_loss"] == pytest.approx(line["train_loss"], rel=1e-4)
            assert other["validation"] == pytest.approx(line["validation"], abs=1e-3)
        assert rows.keys() == other_rows.keys() == {"validation", "test"}
        for split, right in rows.items():
            got = other_rows[split]
            assert np.ptp(right.scores) > 1e-3, "a model that says the same of everything would pass any test"
            assert got.ids.tolist() == right.ids.tolist() and got.truth.tolist() == right.truth.tolist()
            np.testing.assert_array_equal(got.positions, right.positions)
            np.testing.assert_allclose(got.scores, right.scores, atol=1e-4)
        for split, result in one.results.items():
            assert result.scores and result.n_labelled == both.results[split].n_labelled
            for metric, score in result.scores.items():
                assert both.results[split].scores[metric].value == pytest.approx(score.value, abs=1e-2)
    if recipe == "full" and not options:
        assert bench(project, 2, arguments(recipe, together))[0] == 0
        again = outcomes(project / together)
        assert all(again[task][0] == found[task][0] for task in found), "the same command twice is nothing to do"


# Stands for what can go wrong in one process alone.
BREAKS = """
import os, sys
os.environ["TRANSFORMERS_VERBOSITY"] = "error"
from hubtools.cli.main import main
from hubtools.training.finetune.fit import FairTrainer

original = FairTrainer.training_step

def step(self, *arguments):
    if os.environ["RANK"] == "1" and self.progress.step == 8:
        raise RuntimeError("broken cable")
    return original(self, *arguments)

FairTrainer.training_step = step
sys.argv[0] = "bench"
main()
"""


@pytest.mark.slow
def test_the_failure_of_one_ends_both_and_is_told(project: Path) -> None:
    code, said = bench(project, 2, arguments("lora", "broken"), BREAKS)
    assert code == 1
    ((folder, record),), _ = find_records([project / "broken"])
    assert record.status == "failed" and record.results == {}
    assert record.failure.message == "process 1 of 2 failed: RuntimeError: broken cable"
    assert f"error: {record.failure.message}" in said
    assert (folder / "failure.txt").read_text().splitlines()[-1] == "RuntimeError: broken cable"
    # The same command, repaired, goes on from the first epoch.
    assert bench(project, 2, arguments("lora", "broken"))[0] == 0
    ((folder, record),), _ = find_records([project / "broken"])
    assert record.status == "complete" and not (folder / "failure.txt").exists()
    assert [attempt.ended for attempt in record.cost.attempts] == ["failed", "complete"]
    lines = (folder / "training.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == [1, 2, 3]


@pytest.mark.slow
def test_control_c_stops_both_and_is_recorded(project: Path) -> None:
    process = torchrun(project, arguments("lora", "stopped", "--set=epochs=10000"))
    deadline = time.monotonic() + 120
    # The line of an epoch is written before its checkpoint.
    while not list((project / "stopped").glob("*/.work/checkpoint-*")):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=60)[1]
    assert "stopped; what is done is kept. The same command goes on." in said
    ((folder, record),), _ = find_records([project / "stopped"])
    assert (record.status, record.failure) == ("interrupted", None)
    assert list((folder / ".work").glob("checkpoint-*"))


@pytest.mark.slow
def test_what_one_process_does_alone_may_fail_alone(project: Path) -> None:
    """A probe that diverges is its own failure; the baseline before it and what comes later are done."""
    rate = ["--set=learning_rate=1e35", "--set=head_learning_rate=1e35"]
    task = ["--task", task_name("residue-classification"), "--baselines"]
    command = ["run", "--checkpoint", "esm", "--recipe", "probe", *task, *rate, "--seeds", "1,2", "--runs", "alone"]
    code, said = bench(project, 2, [*command, "--device", "cpu"])
    assert code == 1 and "Traceback" not in said
    found, _ = find_records([project / "alone"])
    status = sorted((record.identity.recipe.name, record.status) for _, record in found)
    assert [entry for entry in status if entry[0] == "probe"] == [("probe", "failed")] * 2
    others = [record for _, record in found if record.identity.recipe.name != "probe"]
    assert others and {record.environment.processes for _, record in found} == {1}
    assert {record.status for record in others if record.identity.checkpoint is None} == {"complete"}


@pytest.mark.parametrize("command", [["estimate"], ["sweep", "--over", "learning_rate=1e-4..1e-2"]])
def test_what_works_in_one_process_refuses_others(monkeypatch: pytest.MonkeyPatch, command: list[str]) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    with pytest.raises(UserError, match=f"bench {command[0]} works in one process"):
        cli.main([*command, "--checkpoint", "embedded", "--task", "localisation"], standalone_mode=False)


def test_work_is_divided_once_and_evenly() -> None:
    costs = np.random.default_rng(0).integers(1, 1000, 301)
    parts = [divided(costs, 4, which) for which in range(4)]
    assert sorted(np.concatenate(parts).tolist()) == list(range(301))
    loads = [costs[part].sum() for part in parts]
    assert max(loads) - min(loads) <= costs.max()
    assert divided([5], 2, 1).tolist() == [] and divided([5], 2, 0).tolist() == [0]
