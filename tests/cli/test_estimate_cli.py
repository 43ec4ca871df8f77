"""bench estimate: it takes what bench run takes, and its text tells what to do next."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from tiny_checkpoints import write_checkpoint
from tiny_project import write_project

from hubtools.cli.estimate import duration, estimate, span
from hubtools.cli.run import planned_by, run
from hubtools.common.errors import UserError

TASK = "tiny-sequence-classification"
# A device that is not here, so that nothing is measured.
STATED = ("--device-flops", "1e12", "--device-memory", "1")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_project(tmp_path, "sequence-classification")
    write_checkpoint(tmp_path / "model", "esm")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path


def said(*options: str) -> str:
    checkpoint = [] if "majority" in options else ["--checkpoint", "model"]
    base = [*checkpoint, "--task", TASK, "--device", "cpu"]
    done = CliRunner().invoke(estimate, [*base, *options], catch_exceptions=False)
    assert done.exit_code == 0
    return done.stdout


# The options


def test_no_option_of_bench_run_is_forgotten() -> None:
    names = {option.name for option in estimate.params}
    assert {option.name for option in run.params} - names == {"dry_run", "workers", "engine", "profile"}


def test_the_runs_are_those_of_bench_run(project: Path) -> None:
    given = ["--checkpoint", "model", "--task", TASK, "--fractions", "0.5,1"]
    asked, here = (planned_by(command.make_context("x", list(given)).params) for command in (run, estimate))
    assert [item.fraction for item in asked] == [0.5, None] and asked == here


def test_half_a_device_is_refused(project: Path) -> None:
    with pytest.raises(UserError, match="belong together"):
        said("--device-flops", "1e12")


def test_an_estimate_is_of_one_process(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="of one process"):
        said("--shard", *STATED)
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    with pytest.raises(UserError, match="works in one process"):
        said(*STATED)


def test_a_checkpoint_that_is_not_there_is_one_line(project: Path) -> None:
    with pytest.raises(UserError):
        said("--checkpoint", "./nowhere")


# The text


def test_a_table_a_sum_and_what_to_do_next(project: Path) -> None:
    table, total = said("--baselines", "--seeds", "1,2", "--recipe", "quick", *STATED).split("\n\n")
    head, *rows = table.splitlines()
    assert head.split() == ["run", "proteins", "tokens", "cached", "epochs", "time", "memory", "disk", "fits"]
    procedures = ("random-probe · seed 1", "random-probe · seed 2", "quick · seed 1", "quick · seed 2")
    assert [row.split("  ")[0] for row in rows[:-1]] == [f"{TASK} · model · {end}" for end in procedures]
    assert all(row.split()[-1] == "yes" for row in rows[:-1])
    assert rows[-1] == "and 3 runs: baseline without a checkpoint: small, not estimated"
    names = [line.split()[0] for line in total.splitlines()]
    assert names == ["time", "memory", "disk", "power", "arithmetic,", "training", "next:"]
    assert total.endswith("next: bench run with the same options\n")


def test_what_the_test_set_could_show_is_said_with_the_planned_seeds(project: Path) -> None:
    (line,) = [line for line in said("--recipe", "quick", "--seeds", "1-3", *STATED).splitlines() if "power" in line]
    assert line.startswith(f"power    {TASK}: with 3 seeds an arm a test on 40 proteins") and "with any number" in line
    assert line.endswith("The margin of 0.01 is smaller than that: checks will often say cannot tell")
    (run,) = json.loads(said("--recipe", "quick", *STATED, "--json"))["runs"]
    assert run["power"]["seeds"] == 1 and 0.05 < run["power"]["detectable"] == run["power"]["floor"] < 0.3


def test_what_does_not_fit_says_what_would(project: Path) -> None:
    shown = said("--device-flops", "1e12", "--device-memory", "0.0001")
    assert f"does not fit: {TASK} · model · full · seed 1. Try --gradient-checkpointing, a --token-budget" in shown
    assert "--recipe lora, --recipe probe" in shown and "next:" not in shown


def test_money_and_energy_are_hours_times_a_number(project: Path) -> None:
    found = json.loads(said(*STATED, "--price-per-hour", "36", "--watts", "100", "--json"))
    low, high = found["seconds"]
    assert found["cost"] == pytest.approx([low * 0.01, high * 0.01])
    assert found["kilowatt_hours"] == pytest.approx([low / 36000, high / 36000])
    shown = said(*STATED, "--price-per-hour", "36", "--watts", "100").splitlines()
    assert any(line.startswith("cost ") for line in shown)
    assert any(line.startswith("energy ") and line.endswith("an estimate: watts × hours") for line in shown)


def test_baselines_alone_take_no_table(project: Path) -> None:
    shown = said("--recipe", "majority")
    assert shown.startswith("1 run: baseline without a checkpoint") and shown.endswith("the same options\n")


def test_durations_are_read_at_a_glance() -> None:
    assert [duration(s) for s in (5, 119, 600, 9000)] == ["5 s", "119 s", "10 min", "2.5 h"]
    assert (span((5.1, 5.2), time=True), span((2, 7))) == ("5 s", "2 – 7")
