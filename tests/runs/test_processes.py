"""Two processes of one run give what one gives: losses, choice of epoch, predictions; and the failure of one ends both."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tiny_checkpoints import write_checkpoint
from tiny_project import task_name, write_project

from hubtools.runs.store import find_records
from hubtools.training.distributed import divided

SETTINGS = ["epochs=2", "batch_size=7", "learning_rate=1e-4", "head_learning_rate=1e-3", "head.dropout=0"]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_project(tmp_path_factory.mktemp("project"), "residue-classification")
    write_checkpoint(folder / "esm", "esm")
    # Each process draws its own dropout; without it two are one computation.
    config = json.loads((folder / "esm" / "config.json").read_text())
    config |= {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    (folder / "esm" / "config.json").write_text(json.dumps(config))
    return folder


def bench(project: Path, processes: int, runs: str, *options: str) -> subprocess.CompletedProcess[str]:
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    settings = [f"--set={setting}" for setting in SETTINGS]
    task = ["--task", task_name("residue-classification"), "--checkpoint", "esm", "--token-budget", "200"]
    start = [sys.executable, *(launcher if processes > 1 else []), "-m", "hubtools.cli.main", "run"]
    return subprocess.run(
        [*start, *task, *settings, "--device", "cpu", "--runs", runs, *options],
        cwd=project,
        env={**os.environ, "OMP_NUM_THREADS": "1", "BENCH_CACHE": str(project / "cache")},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def outcome(project: Path, runs: str) -> tuple[Any, list[dict[str, Any]], pd.DataFrame]:
    ((folder, record),), problems = find_records([project / runs])
    assert not problems
    log = [json.loads(line) for line in (folder / "training.jsonl").read_text().splitlines()]
    return record, log, pd.read_parquet(folder / "predictions.parquet")


@pytest.mark.slow
@pytest.mark.parametrize(("runs", "options"), [("two", []), ("divided", ["--shard"])])
def test_two_processes_give_what_one_gives(project: Path, runs: str, options: list[str]) -> None:
    if not (project / "one").is_dir():
        assert bench(project, 1, "one").returncode == 0
    done = bench(project, 2, runs, *options)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("[1/1]") == 1, "one process speaks"
    (one, log, rows), (both, other_log, other_rows) = outcome(project, "one"), outcome(project, runs)
    assert both.status == "complete" and both.identity == one.identity
    assert (both.environment.processes, both.environment.sharded) == (2, bool(options))
    assert both.training.best_epoch == one.training.best_epoch and both.training.tokens == one.training.tokens
    for line, other in zip(log, other_log, strict=True):
        assert other["train_loss"] == pytest.approx(line["train_loss"], rel=1e-4)
    numbers = rows.select_dtypes("number").columns
    np.testing.assert_allclose(other_rows[numbers], rows[numbers], atol=1e-3)
    pd.testing.assert_frame_equal(other_rows.drop(columns=numbers), rows.drop(columns=numbers))
    again = bench(project, 2, runs, *options)
    assert again.returncode == 0 and outcome(project, runs)[0] == both, "the same command twice is nothing to do"


def test_work_is_divided_once_and_evenly() -> None:
    costs = np.random.default_rng(0).integers(1, 1000, 301)
    parts = [divided(costs, 4, which) for which in range(4)]
    assert sorted(np.concatenate(parts).tolist()) == list(range(301))
    loads = [costs[part].sum() for part in parts]
    assert max(loads) - min(loads) <= costs.max()
    assert divided([5], 2, 1).tolist() == [] and divided([5], 2, 0).tolist() == [0]
