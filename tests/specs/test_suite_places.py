"""Paths in a suite start at its file; names stay names."""

from __future__ import annotations

from pathlib import Path

import pytest

from hubtools.specs.lookup.spec_files import load_suite

TEXT = "name: mine\ntitle: Mine\ntasks: [own/a.yaml, localisation]\nrecipe: own/r.yaml\nbaselines: [majority]\n"


def test_paths_start_at_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "project" / "benchmarks"
    (folder / "own").mkdir(parents=True)
    for name in ("a.yaml", "r.yaml"):
        (folder / "own" / name).write_text("")
    (folder / "mine.yaml").write_text(TEXT + "checkpoints: [lab/esm, own]\n")
    monkeypatch.chdir(tmp_path / "project")
    suite = load_suite("mine")
    assert (suite.tasks, suite.recipe) == (["benchmarks/own/a.yaml", "localisation"], "benchmarks/own/r.yaml")
    assert (suite.baselines, suite.checkpoints) == (["majority"], ["lab/esm", "own"])
    monkeypatch.chdir(tmp_path)
    assert load_suite("project/benchmarks/mine.yaml").tasks[0] == "project/benchmarks/own/a.yaml"
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    assert load_suite(str(folder / "mine.yaml")).recipe == str(folder / "own" / "r.yaml")


def test_what_is_not_there_is_left_to_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "benchmarks" / "mine.yaml").write_text(TEXT)
    monkeypatch.chdir(tmp_path)
    assert load_suite("mine").tasks == ["own/a.yaml", "localisation"]


def test_the_command_of_a_record_names_the_files(monkeypatch: pytest.MonkeyPatch) -> None:
    from hubtools.api.plans import plan_runs

    root = Path(__file__).resolve().parents[2]
    monkeypatch.chdir(root)
    planned = plan_runs((), (), "golden", (), [], {}, None, None)
    assert len(planned) == 15
    for run in planned:
        words = run.command(None).split()
        for option in ("--task", "--recipe"):
            assert (root / words[words.index(option) + 1]).is_file()
