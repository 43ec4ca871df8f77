"""``bench run --on slurm`` on a real Slurm of one node; and what is said where there is none."""

from __future__ import annotations

import contextlib
import json
import os
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import warm_process
from one_node_slurm import one_node, slurm
from tiny_checkpoints import write_checkpoint
from tiny_project import task_name, write_project

from hubtools.common.errors import UserError
from hubtools.runs.engines import slurm as slurm_engine
from hubtools.runs.engines import states
from hubtools.runs.engines.known_engines import ENGINES
from hubtools.runs.engines.slurm import SlurmEngine, SlurmJobCommand, SlurmOptions
from hubtools.runs.kept_plan import read_plans
from hubtools.runs.store import OpenRun, find_records

PROBLEM = "sequence-classification"
PROFILE = "name: slurm\ntitle: Tests\nengine: slurm\noptions: {time: 10, parallel: 2, warning: 10}\n"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_project(tmp_path, PROBLEM)
    write_checkpoint(tmp_path / "esm", "esm")
    (tmp_path / "benchmarks" / "profiles").mkdir(parents=True)
    (tmp_path / "benchmarks" / "profiles" / "slurm.yaml").write_text(PROFILE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def cluster(project: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    with contextlib.ExitStack() as stack:
        environment = dict(stack.enter_context(one_node(project / "cluster")))
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        yield environment


@pytest.mark.slow
def test_a_plan_in_the_queue(project: Path, cluster: dict[str, str]) -> None:
    """Handed over, not twice, preempted in the middle, gone on with, cancelled; and the results are those of one process."""
    command = ["run", "--checkpoint", "esm", "--task", task_name(PROBLEM), "--recipe", "full", "--seeds", "1,2"]
    command += [
        "--set",
        "epochs=25",
        "--set",
        "patience=null",
        "--set",
        "batch_size=8",
        "--device",
        "cpu",
        "--runs",
        "there",
    ]

    def bench(*arguments: str) -> str:
        environment = {**os.environ, "BENCH_CACHE": str(project / "cache"), "OMP_NUM_THREADS": "1"}
        process = warm_process.start(list(arguments), cwd=project, env=environment, bench=True)
        out, err = process.communicate(timeout=300)
        assert process.returncode == 0, err
        return err + out

    assert "2 runs in 2 jobs handed to slurm (1_0 to 1_1)" in bench(*command, "--on", "slurm")
    # Neither what waits nor what runs is handed over again, also by another plan.
    assert "nothing to hand over, 2 waiting or running" in bench(*command, "--on", "slurm")
    (kept,), _ = read_plans(project / "there")
    assert kept.engine == "slurm" and kept.jobs == {"1_0": [0], "1_1": [1]}
    assert set(states(kept).values()) <= {"waiting", "running"}
    folder = project / "there" / ".plans" / f"{kept.id}.slurm"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700, "what submitit pickles is the user's alone"
    logs = _wait(
        lambda: [log for log in project.glob("there/*/training.jsonl") if len(log.read_text().splitlines()) > 1]
    )
    preempted = json.loads((logs[0].parent / "run.json").read_text())
    job = f"1_{preempted['identity']['seed'] - 1}"
    slurm(cluster, "scancel", "--signal=USR2", job)
    _wait(lambda: slurm(cluster, "squeue", "-h", "-r", "-j", job, "-o", "%T").strip() == "PENDING")
    assert states(kept)[job] == "waiting"
    stopped = json.loads((logs[0].parent / "run.json").read_text())
    assert stopped["status"] == "interrupted", "its record was written before it gave way"
    # A job that was requeued waits for two minutes; here for as long as its node takes it for the one that was stopped.
    time.sleep(3)
    slurm(cluster, "scontrol", "update", f"jobid={job}", "starttime=now")
    _wait(lambda: not slurm(cluster, "squeue", "-h", "-r").strip())
    there = {run.record.identity.seed: run for run in find_records([project / "there"])[0]}
    assert [run.record.status for run in there.values()] == ["complete"] * 2, _said(folder)
    attempts = there[preempted["identity"]["seed"]].record.cost.attempts  # type: ignore[union-attr]
    assert [attempt.ended for attempt in attempts] == ["interrupted", "complete"], "it went on where it stopped"
    assert "nothing to hand over, 2 done before" in bench(*command, "--on", "slurm")
    assert set(states(kept).values()) == {"ended"}
    bench(*command[: command.index("--seeds")], "--seed", "1", *command[command.index("--set") : -1], "here")
    (one,) = find_records([project / "here"])[0]
    other = there[1]
    assert one.record.run_id == other.record.run_id
    for split, expected in OpenRun(*one).predictions.items():
        assert np.array_equal(OpenRun(*other).predictions[split].scores, expected.scores)
    # Another plan is stopped.
    bench(*command, "--set", "weight_decay=0.02", "--on", "slurm")
    assert "2 jobs of slurm stopped" in bench("cancel", "--runs", "there")
    _wait(lambda: not slurm(cluster, "squeue", "-h", "-r").strip())
    assert "0 jobs of slurm stopped" in bench("cancel", "--runs", "there")


def _wait(ask: Callable[[], Any], seconds: float = 240) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := ask()):
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.2)
    return found


def _said(folder: Path) -> str:
    return "\n".join(log.read_text() for log in folder.glob("*.out"))


def test_where_there_is_no_slurm(
    project: Path, bench: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("submitit")
    monkeypatch.setenv("PATH", str(project))
    code, _, err = bench("run", "--checkpoint", "esm", "--task", task_name(PROBLEM), "--on", "slurm")
    assert code == 2 and 'Slurm takes no jobs (Could not detect "srun"' in err
    with pytest.raises(UserError, match="squeue is not there"):
        SlurmEngine().states(["1"])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--on", "slurn"], "there is no engine 'slurn'. Did you mean slurm?"),
        (["--on", "slurm", "--profile", "none"], "no profile is called 'none'"),
        (["--on", "ray", "--profile", "slurm"], "it is a profile of slurm, not of ray"),
        (["--on", "slurm", "--workers", "2"], "workers are processes of this machine"),
        (["--on", "slurm", "--profile", "wrong.yaml"], "options: partitions"),
        (["--profile", "wrong.yaml"], "options: partitions"),
    ],
)
def test_mistakes_are_one_line(
    project: Path, bench: Callable[..., tuple[int, str, str]], arguments: list[str], said: str
) -> None:
    (project / "wrong.yaml").write_text("name: wrong\ntitle: W\nengine: slurm\noptions: {partitions: a}\n")
    code, _, err = bench("run", "--checkpoint", "esm", "--task", task_name(PROBLEM), *arguments)
    assert code == 2 and said in err.splitlines()[-1]


def test_states_are_those_of_the_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        slurm_engine, "_ask", lambda *command: "7_0|RUNNING\n7_1|PENDING\n7_2|COMPLETING\n7_3|FAILED\n8|CONFIGURING\n"
    )
    asked = ["7_0", "7_1", "7_2", "7_3", "7_4", "8"]
    assert SlurmEngine().states(asked) == dict(
        zip(asked, ["running", "waiting", "running", "ended", "ended", "waiting"], strict=True)
    )
    assert SlurmEngine().states([]) == {}


def test_a_profile_becomes_options_of_sbatch() -> None:
    options = SlurmOptions(
        partition="gpu", account="lab", gpus=1, memory_gb=1.5, sbatch={"nice": "5"}, setup=["module load x"]
    )
    said = slurm_engine._parameters(options, "ab")
    assert (
        said["mem"] == "1536M"
        and said["gpus_per_node"] == 1
        and said["partition"] == "gpu"
        and said["account"] == "lab"
    )
    assert said["additional_parameters"] == {"requeue": True, "nice": "5"} and said["setup"][-1] == "module load x"
    assert "qos" not in said and "gpus_per_node" not in slurm_engine._parameters(SlurmOptions(), "ab")


def test_profiles_that_are_shipped_are_right() -> None:
    from hubtools.specs.lookup.content import available
    from hubtools.specs.lookup.spec_files import profile_in

    for path in available("profile").values():
        profile = profile_in(path)
        ENGINES[profile.engine].checked(profile.options, str(path))


def test_a_job_fails_where_its_process_does_otherwise_than_saying_so(tmp_path: Path) -> None:
    assert SlurmJobCommand(["sh", "-c", "exit 1"], str(tmp_path))() == 1, "runs that failed say so in their records"
    with pytest.raises(RuntimeError, match="exit code 3"):
        SlurmJobCommand(["sh", "-c", "exit 3"], str(tmp_path))()
    # What is meant for the whole job is not heard by the process that computes.
    assert SlurmJobCommand(["sh", "-c", "kill -USR2 $$; exit 0"], str(tmp_path))() == 0
