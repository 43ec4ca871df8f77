"""An engine, added as docs/extending.md says: it is given the jobs of a plan, asked for their states, and told to stop."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from extending_page import blocks, install
from tiny_project import task_name, write_project

from hubtools.runs.engines import states
from hubtools.runs.engines.known_engines import ENGINES
from hubtools.runs.kept_plan import read_plans
from hubtools.runs.store import find_records

PROBLEM = "sequence-classification"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project in which the package of the page is installed."""
    for name, value in {"_added": {}, "_looked": False, "_bringers": {}}.items():
        monkeypatch.setattr(ENGINES, name, value)
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.delitem(sys.modules, "my_lab_engine", raising=False)
    install(site, {"my_lab_engine.py": blocks("An engine", "python")[0]}, blocks("An engine", "toml")[0])
    write_project(tmp_path, PROBLEM)
    (tmp_path / "benchmarks" / "profiles").mkdir(parents=True)
    (tmp_path / "benchmarks" / "profiles" / "night.yaml").write_text(
        "name: night\ntitle: Night\nengine: night\noptions: {nice: 0}\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path


@pytest.mark.slow
def test_it_does_jobs_tells_their_state_and_stops_them(here: Path, bench: Callable[..., tuple[int, str, str]]) -> None:
    command = (
        "run",
        "--task",
        task_name(PROBLEM),
        "--recipe",
        "majority",
        "--recipe",
        "composition",
        "--device",
        "cpu",
    )
    code, _, err = bench(*command, "--on", "night")
    assert code == 0 and "2 runs in 1 job handed to night" in err, err
    (kept,), _ = read_plans(here / "runs")
    assert set(states(kept).values()) == {"running"}
    assert "nothing to hand over, 2 waiting or running" in bench(*command, "--on", "night")[2]
    deadline = time.monotonic() + 120
    while set(states(kept).values()) != {"ended"}:
        assert time.monotonic() < deadline
        time.sleep(0.1)
        _reap(kept.jobs)
    runs, problems = find_records([here / "runs"])
    assert not problems and [run.record.status for run in runs] == ["complete"] * 2
    assert "nothing to hand over, 2 done before" in bench(*command, "--on", "night")[2]
    bench(*command, "--subset", "10", "--on", "night")
    assert "1 job of night stopped" in bench("cancel")[2]


def _reap(jobs: dict[str, list[int]]) -> None:
    """A process that has ended stays in the list of processes until the one that started it asks, and here that goes on."""
    for job in jobs:
        try:
            os.waitpid(int(job), os.WNOHANG)
        except ChildProcessError:
            continue


def test_its_options_are_checked(here: Path, bench: Callable[..., tuple[int, str, str]]) -> None:
    (here / "benchmarks" / "profiles" / "night.yaml").write_text(
        "name: night\ntitle: Night\nengine: night\noptions: {nice: 40}\n"
    )
    code, _, err = bench("run", "--task", task_name(PROBLEM), "--recipe", "majority", "--on", "night")
    assert code == 2 and "options: nice" in err
