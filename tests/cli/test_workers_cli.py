"""``bench run --workers``: the same results as one process, the same end."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import warm_process
import yaml
from tiny_checkpoints import write_checkpoint
from tiny_project import task_name, write_project

from hubtools.api.computing import ExecutionOptions
from hubtools.api.engines import dispatch
from hubtools.api.engines.planned_runs import PlannedRuns
from hubtools.api.plans import plan
from hubtools.runs.engines import capacity as counted
from hubtools.runs.kept_plan import read_plans
from hubtools.runs.store import OpenRun, find_records
from hubtools.training.compute import machine

PROBLEM = "sequence-classification"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_project(tmp_path, PROBLEM)
    for name in ("esm", "bert"):
        write_checkpoint(tmp_path / name, name)
    suite = {
        "name": "shared",
        "title": "Shared",
        "summary": "Made up.",
        "tasks": [task_name(PROBLEM)],
        "checkpoints": ["./esm", "./bert"],
        "recipe": "probe",
        "seeds": [1, 2],
        "baselines": ["majority"],
    }
    (tmp_path / "shared.yaml").write_text(yaml.safe_dump(suite))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
def test_several_processes_give_what_one_gives(project: Path) -> None:
    said = {}
    for workers in ("1", "2"):
        environment = {**os.environ, "BENCH_CACHE": str(project / f"cache-{workers}")}
        command = ["run", "--suite", "shared.yaml", "--set", "epochs=2", "--device", "cpu", "--threads", "1"]
        command += ["--workers", workers, "--runs", workers]
        process = warm_process.start(command, cwd=project, env=environment, bench=True)
        out, err = process.communicate(timeout=300)
        assert process.returncode == 0, err
        said[workers] = (out, err)
    assert "2 workers, 1 thread each" in said["2"][1] and "workers" not in said["1"][1]
    # The same table, but for the seconds.
    assert _without_seconds(said["1"][0]) == _without_seconds(said["2"][0])
    ended = re.findall(r"^    \[(\d)/5\] test accuracy", said["2"][1], re.MULTILINE)
    assert sorted(ended) == ["1", "2", "3", "4", "5"], "each says which it is, and is done once"
    one, two = ({run.folder.name: run for run in find_records([project / name])[0]} for name in "12")
    assert one.keys() == two.keys() and len(one) == 5
    for name in one:
        assert _lasting(one[name].record.model_dump(mode="json")) == _lasting(two[name].record.model_dump(mode="json"))
        pairs = [OpenRun(*run[name]).predictions for run in (one, two)]
        for split in pairs[0]:
            assert np.array_equal(pairs[0][split].scores, pairs[1][split].scores)
    (kept,), problems = read_plans(project / "2")
    assert not problems and kept.engine == "workers" and len(kept.runs) == 5


# What differs between two processes that do the same: when, how long, how much memory, with what.
_PASSING = {
    "started",
    "finished",
    "cost",
    "command",
    "train_seconds",
    "seconds",
    "threads_by",
    "embeddings",
    "seeds_together",
}
_PASSING |= {"sha256", "size", "bytes", "suite"}


def _lasting(part: Any) -> Any:
    if isinstance(part, dict):
        return {key: _lasting(value) for key, value in part.items() if key not in _PASSING}
    return [_lasting(one) for one in part] if isinstance(part, list) else part


def _without_seconds(table: str) -> list[str]:
    return [line.rsplit(maxsplit=1)[0] for line in table.splitlines()]


def test_torchrun_and_workers_are_refused_together(
    project: Path, bench: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"MASTER_ADDR": "127.0.0.1", "WORLD_SIZE": "2", "RANK": "0"}.items():
        monkeypatch.setenv(name, value)
    code, _, err = bench("run", "--suite", "shared.yaml", "--workers", "2")
    assert code == 2 and "torchrun's processes work on one run together" in err


@pytest.mark.parametrize("workers", ["0", "x", "-1", "1.5"])
def test_what_is_no_number_of_workers(bench: Callable[..., tuple[int, str, str]], workers: str) -> None:
    code, _, err = bench("run", "--workers", workers)
    assert code == 2 and "is neither auto nor a number from 1" in err


def test_a_job_has_its_numbers(project: Path, bench: Callable[..., tuple[int, str, str]]) -> None:
    assert "bench run-job" not in bench("--help")[1]
    code, _, err = bench("run-job", "0" * 12)
    assert code == 2 and "a job has its numbers" in err
    code, _, err = bench("run-job", "0" * 12, "0", "--runs", "none")
    assert code == 2 and "there is no such plan" in err


# How many


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A machine of eight cores, 64 GB and no GPU."""
    for name in ("OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(machine, "cores", lambda: 8)
    monkeypatch.setattr(machine, "free_memory", lambda: 64 << 30)
    monkeypatch.setattr(counted, "gpus", list)
    monkeypatch.setattr("platform.system", lambda: "Linux")
    return monkeypatch


def count(project: Path, workers: Any, **options: Any) -> tuple[int, list[str], str]:
    runs = plan(suite="shared.yaml", recipe=options.pop("recipe", None)).runs
    to = dispatch.to_workers(PlannedRuns(runs, project / "runs", ExecutionOptions(**options)), workers)
    if to is None:
        return 1, [], ""
    return len(to.engine.seats), list(to.work.command), to.why


def test_as_many_as_there_are_cores_and_jobs(project: Path, here: pytest.MonkeyPatch) -> None:
    number, command, why = count(project, "auto")
    assert 2 <= number <= 3 and why.endswith("1 thread each (8 cores)"), (
        "three jobs at most: baselines and two checkpoints"
    )
    assert command[command.index("--threads") + 1] == "1"
    assert count(project, 2)[0] == 2 and count(project, 1)[0] == 1
    assert count(project, "auto", threads=4)[0] == 2 and count(project, "auto", threads=8)[0] == 1
    here.setenv("OMP_NUM_THREADS", "4")
    assert count(project, "auto")[0] == 2


def test_one_a_gpu(project: Path, here: pytest.MonkeyPatch) -> None:
    here.setattr(counted, "gpus", lambda: ["3", "5"])
    runs = plan(suite="shared.yaml").runs
    to = dispatch.to_workers(PlannedRuns(runs, project / "runs", ExecutionOptions()), "auto")
    assert to is not None
    assert [seat["CUDA_VISIBLE_DEVICES"] for seat in to.engine.seats] == ["3", "5"] and "2 GPUs" in to.why
    # On the processor they are as if there were none.
    assert count(project, "auto", device="cpu")[2].endswith("(8 cores)")


def test_no_more_than_there_is_memory_for(project: Path, here: pytest.MonkeyPatch) -> None:
    here.setattr(machine, "free_memory", lambda: 3 << 29)
    number, _, _ = count(project, "auto")
    assert number == 1
    here.setattr(machine, "free_memory", lambda: 5 << 29)
    assert count(project, "auto")[2].endswith("(8 cores, and memory for 2)")
    assert count(project, 3)[0] >= 2, "who asks for a number gets it"


def test_gpus_are_those_that_may_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.metadata.version", lambda name: "2.13.0+cu128")
    for visible, expected in {
        "0,1": ["0", "1"],
        "": [],
        "-1": [],
        "GPU-a, GPU-b": ["GPU-a", "GPU-b"],
        "2,-1,3": ["2"],
    }.items():
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
        assert counted.gpus() == expected
    monkeypatch.setattr("importlib.metadata.version", lambda name: "2.13.0+cpu")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    assert counted.gpus() == []


def test_a_large_model_needs_more(project: Path) -> None:
    from dataclasses import replace

    from hubtools.specs.lookup.spec_files import load_recipe

    run = plan("esm", task_name(PROBLEM), "probe").runs[0]
    sizes = counted.Sizes()
    small = counted.needed(run, sizes)
    large = replace(run, checkpoint="facebook/esm2_t33_650M_UR50D")
    assert (
        small < 1.2e9 < counted.needed(large, sizes) < counted.needed(replace(large, recipe=load_recipe("full")), sizes)
    )


def test_options_survive_the_way_to_another_process() -> None:
    """What a job is started with says what the command said."""
    from dataclasses import fields

    import click

    from hubtools.cli.shared.execution_options import execution_options

    said = ExecutionOptions(
        "cpu", 512, True, False, True, True, False, True, (Path("a b"), Path("c")), 3, "trackio:ours"
    )
    assert all(getattr(said, field.name) != field.default for field in fields(said)), "none is left out"

    @click.command()
    @execution_options()
    def command(execution: ExecutionOptions) -> ExecutionOptions:
        return execution

    for options in (said, ExecutionOptions(), ExecutionOptions(token_budget="auto", embedding_cache=True)):
        assert command.main(options.arguments(), standalone_mode=False) == options
    assert json.dumps(said.arguments())
