"""No exception of a library reaches a user: one line, with the traceback in a file; streams may end, be full or be closed."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from hubtools.cli import main
from hubtools.cli.shared import failures

Bench = Callable[..., tuple[int, str, str]]
TOKEN = "hf_" + "a" * 30


def piped(*arguments: str, shell: str) -> subprocess.CompletedProcess[str]:
    command = f"set -o pipefail; {sys.executable} -m hubtools.cli.main {' '.join(arguments)} {shell}"
    return subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)


def fail(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """Let `bench suites list` end so."""

    def raises(*given: object, **options: object) -> None:
        raise error

    monkeypatch.setattr("hubtools.cli.main.LazyGroup.invoke", raises)
    monkeypatch.setattr(sys, "argv", ["bench", "suites", "list"])


def called(capsys: pytest.CaptureFixture[str]) -> tuple[int, list[str]]:
    with pytest.raises(SystemExit) as ended:
        main.main()
    return int(str(ended.value.code)), capsys.readouterr().err.splitlines()


def test_what_nobody_expected_is_one_line_and_its_traceback_a_file_without_secrets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path))
    fail(monkeypatch, KeyError(f"torn\nin two, with {TOKEN}"))
    code, [line] = called(capsys)
    assert (code == 2 and line.startswith("error: this should not have happened in cli/")) or "should not have" in line
    assert "KeyError" in line and TOKEN not in line
    [file] = (tmp_path / "failures").iterdir()
    assert str(file) in line
    text = file.read_text()
    assert "Traceback (most recent call last)" in text and "bench suites list" in text and TOKEN not in text


def test_where_no_file_can_be_written_it_is_one_line_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "file"))
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path / "file"))
    fail(monkeypatch, RuntimeError("x"))
    code, [line] = called(capsys)
    assert code == 2 and "Its traceback could not be kept" in line


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (MemoryError(), "error: there is not enough memory. Give a smaller --token-budget"),
        (
            OSError(errno.ENOSPC, "No space left on device", "/a/b"),
            "error: /a/b: cannot write it (No space left on device).",
        ),
        (OSError(errno.ENOSPC, "No space left on device"), "error: cannot write (No space left on device). Make room"),
    ],
)
def test_what_is_known_of_machines_is_said(error, says, monkeypatch, capsys) -> None:
    fail(monkeypatch, error)
    code, [line] = called(capsys)
    assert code == 2 and line.startswith(says)


def test_who_works_on_bench_may_see_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(failures.VARIABLE, "1")
    fail(monkeypatch, KeyError("x"))
    with pytest.raises(KeyError):
        main.main()


@pytest.mark.slow
@pytest.mark.parametrize("command", ["tasks list", "recipes list", "suites list", "--help", "tasks show localisation"])
def test_a_reader_that_has_enough_ends_it_quietly(command: str) -> None:
    ended = piped(command, shell="| head -1")
    assert ended.stderr == "" and ended.returncode in {0, failures.BROKEN_PIPE}
    # Nobody reads from the start.
    ended = piped(command, shell="| true")
    assert ended.stderr == "" and ended.returncode in {0, failures.BROKEN_PIPE}


@pytest.mark.slow
def test_streams_that_are_full_or_closed() -> None:
    ended = piped("tasks", "list", shell="> /dev/full")
    assert ended.returncode == 2
    assert ended.stderr == "error: cannot write (No space left on device). Make room on that disk, or choose another.\n"
    for shell in (">&-", "2>&-", ">&- 2>&-", "<&-"):
        ended = piped("tasks", "list", shell=shell)
        assert ended.returncode == 0 and ended.stderr == "", shell


@pytest.mark.slow
def test_a_folder_that_is_gone_and_a_locale_that_is_none(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    odd = {**os.environ, "LC_ALL": "xx_XX", "LANG": "xx", "PYTHONIOENCODING": "ascii"}
    command = [sys.executable, "-m", "hubtools.cli.main", "board"]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=odd, check=False)
    assert ended.returncode == 2 and ended.stderr.startswith("error: there is no folder runs")
    code = f"import os, sys; os.chdir({str(gone)!r}); os.rmdir({str(gone)!r}); sys.argv = ['bench', 'board']\n"
    code += "from hubtools.cli.main import main\nmain()"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert ended.stderr == "error: the current folder is not there any more. Change to another: cd ~.\n"


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
@pytest.mark.parametrize(
    "command",
    [
        ("estimate", "--price-per-hour"),
        ("tasks", "new", "x.csv", "--masked-value"),
    ],
)
def test_a_number_that_is_none_is_refused(bench: Bench, command: tuple[str, ...], value: str) -> None:
    code, out, err = bench(*command, value)
    assert code == 2 and out == "" and err.count("\n") == 1 and err.startswith("error: ")
    assert "no number to compute with" in err or "is not in the range" in err


def test_a_launcher_that_says_nonsense(monkeypatch: pytest.MonkeyPatch) -> None:
    from hubtools.common.errors import UserError
    from hubtools.training.compute import distributed

    monkeypatch.setenv("MASTER_ADDR", "localhost")
    for value in ("two", "-1", "", "1e3", "²"):
        monkeypatch.setenv("WORLD_SIZE", value)
        with pytest.raises(UserError, match=r"^WORLD_SIZE: .* is no number of processes"):
            distributed.started()
