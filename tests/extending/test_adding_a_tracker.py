"""A tracker, added as docs/extending.md says: named by an option, told of a run."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner
from extending_page import blocks, install
from tiny_project import task_name, write_task

from hubtools.cli.main import cli
from hubtools.runs.store import find_records
from hubtools.runs.tracking.trackers import TRACKERS

PROBLEM = "sequence-classification"


@pytest.mark.slow
def test_it_is_told_how_a_run_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TRACKERS, "_added", {})
    monkeypatch.setattr(TRACKERS, "_looked", False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    write_task(tmp_path, PROBLEM)
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))
    install(site, {"my_lab_tracker.py": blocks("A tracker", "python")[0]}, blocks("A tracker", "toml")[0])

    asked = ["run", "--task", task_name(PROBLEM), "--recipe", "composition", "--track", "lines:our-runs"]
    done = CliRunner().invoke(cli, asked, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    ((_, record),) = find_records([tmp_path / "runs"])[0]
    title, status, seconds = (tmp_path / "our-runs.tsv").read_text().strip().split("\t")
    assert title == f"{task_name(PROBLEM)} · baseline · composition · seed 1"
    assert status == "complete" and float(seconds) == record.cost.wall_seconds
