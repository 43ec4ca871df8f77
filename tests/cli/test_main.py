"""The command bench: its help is instant, and whatever is wrong with a command line is one line."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from hubtools.cli import main as main_module
from hubtools.cli.main import COMMANDS, cli, main
from hubtools.common.errors import UserError
from hubtools.common.version import __version__
from hubtools.specs.lookup.content import available


def bench(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr("sys.argv", ["bench", *arguments])
    with pytest.raises(SystemExit) as exited:
        main()
    assert isinstance(exited.value.code, int)
    return exited.value.code


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_there_and_says_what_it_does(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    assert bench(monkeypatch, name, "--help") == 0
    out = capsys.readouterr().out
    assert out.startswith(f"Usage: bench {name}") and len(out.splitlines()) > 4
    bench(monkeypatch, "--help")
    assert name in capsys.readouterr().out


def test_the_version_is_that_of_the_package(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench(monkeypatch, "--version") == 0
    assert capsys.readouterr().out.strip() == f"bench, version {__version__}"


def test_bench_alone_shows_its_help(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    bench(monkeypatch)
    shown = capsys.readouterr()
    assert "Usage: bench" in shown.out + shown.err and "error:" not in shown.err


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["bord"], "error: there is no command 'bord'. Did you mean board?"),
        (["xyz"], f"error: there is no command 'xyz'. Known: {', '.join(COMMANDS)}."),
        (["run", "--checkpont", "x"], "error: No such option '--checkpont'."),
        (["run", "--subset", "3"], "error: Invalid value for '--subset': 3 is not in the range x>=10. See bench run"),
        (["run", "--seed"], "error: Option '--seed' requires an argument. See bench run --help."),
        (["tasks", "shwo"], "error: No such command 'shwo'."),
        (["recipes", "show", "fulll"], "error: no recipe is called 'fulll'. Did you mean full?"),
        (
            ["suites", "show", "nothing"],
            "error: no suite is called 'nothing'. Known: catalogue, core, fair, fitness, flip, golden, learning-curve, pbc, quickstart, residue.",
        ),
        (["card"], "error: Missing argument"),
    ],
)
def test_a_wrong_command_line_is_one_line_and_exit_code_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str], line: str
) -> None:
    assert bench(monkeypatch, *arguments) == 2
    shown = capsys.readouterr()
    assert shown.out == "" and len(shown.err.splitlines()) == 1 and shown.err.startswith(line)


def commands(command: click.Command, path: str, context: click.Context) -> Iterator[tuple[str, click.Command]]:
    """Every command below, with what a user writes to call it."""
    if not isinstance(command, click.Group):
        yield path, command
        return
    for name in command.list_commands(context):
        below = command.get_command(context, name)
        assert below is not None
        yield from commands(below, f"{path} {name}", context)


EVERY = dict(commands(cli, "bench", click.Context(cli)))
ONCE = [
    pytest.param(path, option, id=f"{path} {option.opts[0]}")
    for path, command in EVERY.items()
    for option in command.params
    if isinstance(option, click.Option) and not option.multiple and (not option.is_flag or option.secondary_opts)
]


@pytest.mark.parametrize(("path", "option"), ONCE)
def test_an_option_that_is_taken_once_is_refused_a_second_time(path: str, option: click.Option) -> None:
    """Whatever the command: click keeps the last of two and drops the first in silence."""
    first, second = option.opts[0], (*option.opts, *option.secondary_opts)[-1]
    given = [first, second] if option.is_flag else [first, "1", second, "2"]
    with pytest.raises(UserError, match=r"is given 2 times, and taken once\. Give it once\.$") as refused:
        EVERY[path].make_context(path, given)
    assert str(refused.value).startswith(f"{path}: {max(option.opts, key=len)}")


def test_what_repeats_and_what_says_the_same_again_is_not_refused() -> None:
    context = EVERY["bench run"].make_context("run", ["--force", "--force", "--recipe", "probe", "--recipe", "full"])
    assert context.params["recipes"] == ("probe", "full") and context.params["force"] is True
    with pytest.raises(UserError, match=r"bench tasks list: --markdown and --json exclude each other"):
        EVERY["bench tasks list"].make_context("bench tasks list", ["--markdown", "--json"])


PATHS = [
    pytest.param(path, parameter, id=f"{path} {parameter.name}")
    for path, command in EVERY.items()
    for parameter in command.params
    if isinstance(parameter.type, click.Path)
]


@pytest.mark.parametrize(("path", "parameter"), PATHS)
@pytest.mark.parametrize(("name", "why"), [("", "is empty"), ("folder/" + "n" * 256, "is longer than 255 bytes")])
def test_a_name_that_no_file_can_have_is_refused(path: str, parameter: click.Parameter, name: str, why: str) -> None:
    """Whatever the command: the system's own words for it are raised where nobody looks for them."""
    given = [name] if isinstance(parameter, click.Argument) else [parameter.opts[0], name]
    with pytest.raises(UserError, match=rf"the name of a file or folder {why}"):
        EVERY[path].make_context(path, given)


@pytest.mark.parametrize(
    ("raised", "code", "said"),
    [
        (UserError("it is broken", where="a.yaml:3", fix="Mend it."), 2, "error: a.yaml:3: it is broken. Mend it.\n"),
        (KeyboardInterrupt(), 130, "stopped\n"),
        (SystemExit(1), 1, ""),
    ],
)
def test_how_a_command_ends_is_its_exit_code(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    raised: BaseException,
    code: int,
    said: str,
) -> None:
    def fail(**_: object) -> None:
        raise raised

    monkeypatch.setattr(main_module.cli, "main", fail)
    assert bench(monkeypatch) == code
    assert capsys.readouterr().err == said


def test_a_bug_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    """From whoever works on bench; a user gets one line and a file (test_unexpected.py)."""
    monkeypatch.setenv("BENCH_TRACEBACK", "1")

    def fail(**_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(main_module.cli, "main", fail)
    with pytest.raises(ZeroDivisionError):
        main()


def test_a_reader_that_goes_away_leaves_no_traceback(tmp_path: Path) -> None:
    command = f"{sys.executable} -m hubtools.cli.main recipes show full | true"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, cwd=tmp_path)
    assert done.stderr == ""


def test_a_terminal_that_knows_few_letters_is_enough(tmp_path: Path) -> None:
    # A dash stands where a task has no labels; rich writes it to the stream as it is.
    command = [sys.executable, "-m", "hubtools.cli.main", "tasks", "list"]
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert done.returncode == 0 and done.stderr == "" and "?" in done.stdout


@pytest.mark.parametrize("kind", ["recipe", "suite"])
def test_recipes_and_suites_are_listed_and_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    assert bench(monkeypatch, f"{kind}s", "list") == 0
    listed = capsys.readouterr().out
    for name in available(kind):
        assert name in listed
        assert bench(monkeypatch, f"{kind}s", "show", name) == 0
        assert f"name: {name}\n" in capsys.readouterr().out


def test_names_of_commands_are_those_that_click_knows() -> None:
    import click

    context = click.Context(cli)
    assert cli.list_commands(context) == list(COMMANDS)
    assert all(cli.get_command(context, name) is not None for name in COMMANDS)
