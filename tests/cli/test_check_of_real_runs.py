"""A check of runs that were trained: what is run again passes, and a broken learning rate does not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from tiny_checkpoints import write_checkpoint
from tiny_project import QUICK, task_name, write_project

from hubtools.cli.main import cli

PROBLEM = "residue-classification"


def bench(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(cli, list(arguments), catch_exceptions=False)
    return result.exit_code, result.stdout


@pytest.mark.slow
def test_an_unchanged_rerun_passes_and_a_broken_learning_rate_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    write_project(tmp_path, PROBLEM)
    checkpoint = write_checkpoint(tmp_path / "esm", "esm")
    run = ["run", "--checkpoint", str(checkpoint), "--task", task_name(PROBLEM), "--recipe", "full", "--device", "cpu"]
    run += [part for seed in (1, 2, 3) for part in ("--seed", str(seed))]
    quick = [part for key, value in QUICK.items() for part in ("--set", f"{key}={value}")]
    assert bench(*run, *quick, "--runs", "main")[0] == 0
    assert bench("baseline", "create", "main", "--runs", "main")[0] == 0
    baseline = "benchmarks/baselines/main"

    assert bench(*run, *quick, "--runs", "again")[0] == 0
    code, text = bench("check", "--baseline", baseline, "--candidate", "again", "--format", "json")
    (one,) = json.loads(text)["comparisons"]
    assert code == 0 and one["difference"] is None and one["largest_difference_of_predictions"] < 1e-4
    # Another process at another time: not the same runs copied.
    assert json.loads(text)["notes"] == []

    rates = QUICK | {"learning_rate": 1e-9, "head_learning_rate": 1e-9}
    broken = [part for key, value in rates.items() for part in ("--set", f"{key}={value}")]
    assert bench(*run, *broken, "--runs", "broken")[0] == 0
    code, text = bench("check", "--baseline", baseline, "--candidate", "broken", "--format", "json")
    (one,) = json.loads(text)["comparisons"]
    assert (code, one["verdict"]) == (1, "worse")
    changed = {change["what"]: change["after"] for change in one["changed"]}
    assert changed == {"recipe: learning_rate": "1e-09", "recipe: head_learning_rate": "1e-09"}
