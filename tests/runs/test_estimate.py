"""The arithmetic of bench estimate, by hand on a tiny project."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from click.testing import CliRunner
from tiny_checkpoints import write_checkpoint
from tiny_project import write_project

from hubtools.cli.estimate import duration, estimate_command
from hubtools.specs.errors import UserError

TRILLION = 1e12


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_project(tmp_path, "sequence-classification")
    write_checkpoint(tmp_path / "model", "esm")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path


def estimated(*options: str) -> dict:
    base = ["--checkpoint", "model", "--task", "tiny-sequence-classification", "--device", "cpu", "--json"]
    done = CliRunner().invoke(estimate_command, [*base, *options], catch_exceptions=False)
    assert done.exit_code == 0
    return json.loads(done.stdout)


def lengths(project: Path, split: str) -> list[int]:
    rows = (project / "tasks" / "sequence-classification.csv").read_text().splitlines()[1:]
    # A token each for the beginning and the end.
    return [len(row.split(",")[1]) + 2 for row in rows if row.endswith(split)]


def flops(rows: list[int], times: int) -> float:
    """Two layers of width 16 with a feed-forward of 32: 2 · (4 h² + 2 h f) a token, 4 h n for attention."""
    return times * 2 * sum(n * 2 * (4 * 16**2 + 2 * 16 * 32) + 4 * 16 * n**2 for n in rows)


def test_full_fine_tuning_on_a_stated_device(project: Path) -> None:
    options = ["--set", "batch_size=8", "--set", "epochs=5", "--set", "patience=1"]
    found = estimated(
        *options, "--device-flops", "1e12", "--device-memory", "1", "--price-per-hour", "36", "--watts", "100"
    )
    (run,) = found["runs"]
    train, validation, test = (lengths(project, split) for split in ("train", "validation", "test"))
    work = run["workload"]
    assert work["proteins"] == len(train)
    assert work["tokens_per_epoch"] == sum(train)
    # It may stop after patience + 1 epochs.
    assert work["epochs"] == [2, 5]
    assert work["steps"] == [2 * math.ceil(len(train) / 8), 5 * math.ceil(len(train) / 8)]
    assert work["training_flops"] == pytest.approx([2 * flops(train, 3), 5 * flops(train, 3)])
    # Validation after each epoch and at the end, the test split once.
    once = flops(validation, 1) + flops(test, 1)
    assert work["reading_flops"] == pytest.approx([once + n * flops(validation, 1) for n in (2, 5)])
    low, high = found["seconds"]
    # Assumed: a fifth to a half of the peak; the rest is what reading data and model took here.
    assert high - low == pytest.approx(
        (work["training_flops"][1] + work["reading_flops"][1]) / (0.2 * TRILLION)
        - (work["training_flops"][0] + work["reading_flops"][0]) / (0.5 * TRILLION)
    )
    assert found["cost"] == pytest.approx([low * 0.01, high * 0.01])
    assert found["kilowatt_hours"] == pytest.approx([low / 36000, high / 36000])
    memory = run["memory"]
    assert memory["gradients"] * 2 == memory["optimiser"]
    assert run["fits"] is True


def test_what_does_not_fit_says_what_would(project: Path) -> None:
    (run,) = estimated("--device-flops", "1e12", "--device-memory", "0.0001")["runs"]
    assert run["fits"] is False
    assert "--gradient-checkpointing" in run["advice"]
    assert "--recipe probe" in run["advice"]


def test_a_probe_reads_once_and_trains_nothing_of_the_encoder(project: Path) -> None:
    (run,) = estimated("--recipe", "probe", "--device-flops", "1e12", "--device-memory", "1")["runs"]
    everything = [n for split in ("train", "validation", "test") for n in lengths(project, split)]
    assert run["workload"]["training_flops"] == [0, 0]
    assert run["workload"]["reading_flops"] == pytest.approx([flops(everything, 1)] * 2)
    assert run["memory"]["optimiser"] < run["memory"]["weights"]


def test_baselines_are_named_and_seeds_measured_once(project: Path) -> None:
    found = estimated("--seeds", "1,2", "--baselines", "--recipe", "probe", "--set", "epochs=2")["runs"]
    assert [run["title"] for run in found if run["workload"] is None]
    first, second = (run for run in found if "· probe · " in run["title"] and "random" not in run["title"])
    assert first["seconds"] == second["seconds"]
    assert first["seconds"][0] > 0


def test_half_a_device_is_refused(project: Path) -> None:
    with pytest.raises(UserError, match="belong together"):
        estimated("--device-flops", "1e12")


@pytest.mark.parametrize("value", ["63", "many", "-1", "1e4"])
def test_a_budget_is_a_number_or_auto(project: Path, value: str) -> None:
    with pytest.raises(UserError, match="neither auto nor a number"):
        estimated("--token-budget", value)


def test_a_checkpoint_that_is_not_there_is_one_line(project: Path) -> None:
    with pytest.raises(UserError):
        estimated("--checkpoint", "./nowhere")


def test_durations_are_read_at_a_glance() -> None:
    assert [duration(s) for s in (5, 119, 600, 9000)] == ["5 s", "119 s", "10 min", "2.5 h"]
