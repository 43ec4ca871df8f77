"""Progress: on stderr, where a person watches, and nowhere else."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner
from tiny_checkpoints import write_checkpoint
from tiny_project import write_project

from hubtools.cli.main import cli
from hubtools.common import telling
from hubtools.common.telling import bar, step
from hubtools.publishing import reload


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telling, "bars_shown", lambda: True)


def test_it_is_said_on_stderr_and_taken_away_again(watched: None, capsys: pytest.CaptureFixture[str]) -> None:
    with step("reading"):
        pass
    shown = bar("counting", 3)
    shown.update(3)
    shown.close()
    printed = capsys.readouterr()
    assert "reading 00:00" in printed.err and "counting" in printed.err and not printed.out
    assert printed.err.endswith("\r"), "nothing stays on the line"


def test_nobody_watches_a_log_file(capsys: pytest.CaptureFixture[str]) -> None:
    with telling.on_stderr(), step("reading"):
        bar("counting", 3).close()
    assert capsys.readouterr() == ("", "")


def test_the_time_goes_on_while_nothing_can_be_counted(
    watched: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    original = telling.threading.Event.wait
    monkeypatch.setattr(telling.threading.Event, "wait", lambda self, timeout=None: original(self, timeout and 0.01))
    with step("waiting"):
        pause = telling.threading.Event()
        for _ in range(20):
            pause.wait(1)
    assert capsys.readouterr().err.count("waiting") > 2


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is said on the way."""
    words: list[str] = []
    original = telling._drawn
    monkeypatch.setattr(telling, "bars_shown", lambda: True)
    monkeypatch.setattr(telling, "_drawn", lambda text, *a, **o: (words.append(text), original(text, *a, **o))[1])
    return words


@pytest.mark.slow
def test_what_is_proven_of_a_checkpoint_and_what_an_audit_looks_for_is_seen(
    said: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_project(tmp_path, "residue-classification")
    write_checkpoint(tmp_path / "model", "esm")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    asked = ["tasks", "check", "tiny-residue-classification", "--checkpoint", "model"]
    assert CliRunner().invoke(cli, asked, catch_exceptions=False).exit_code == 0
    assert "loading model" in said
    assert {"proving alignment", "proving that batches change nothing"} <= set(said)
    said.clear()
    asked = ["tasks", "audit", "tiny-residue-classification"]
    assert CliRunner().invoke(cli, asked, catch_exceptions=False).exit_code == 0
    assert "looking for relatives" in said


def test_the_reload_check_is_seen(said: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ended = subprocess.CompletedProcess([], 1, "", "it broke")
    monkeypatch.setattr(reload.subprocess, "run", lambda *arguments, **options: ended)
    with pytest.raises(reload.UserError, match="it broke"):
        reload.reproduce_in_fresh_process(tmp_path)
    assert said == ["reload check, in a fresh process"]
