"""Where and how to compute: each command is asked for each option."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from hubtools.api.computing import ExecutionOptions
from hubtools.cli.demo import demo
from hubtools.cli.estimate import estimate
from hubtools.cli.predict import predict
from hubtools.cli.proteins.embed import embed
from hubtools.cli.proteins.fold import fold
from hubtools.cli.proteins.scan import scan
from hubtools.cli.reproduce import reproduce
from hubtools.cli.run import run
from hubtools.cli.shared.execution_options import OPTIONS
from hubtools.cli.sweep import sweep
from hubtools.common.errors import UserError
from hubtools.runs.tracking import following
from hubtools.training.compute.device import Execution

LEARN = ("--checkpoint", "embedded", "--task", "localisation")
# A command, and how it is called.
COMMANDS: dict[str, tuple[click.Command, tuple[str, ...]]] = {
    "run": (run, LEARN),
    "estimate": (estimate, LEARN),
    "sweep": (sweep, (*LEARN, "--over", "learning_rate=1e-4..1e-2")),
    "reproduce": (reproduce, ("schmirler-2024/gb1-frozen/esm2-8m",)),
    "predict": (predict, ("runs/model", "proteins.fasta")),
    "demo": (demo, ("runs/model",)),
    "embed": (embed, ("proteins.fasta", "--checkpoint", "embedded", "-o", "e.parquet")),
    "fold": (fold, ("proteins.fasta", "-o", "folds")),
    "scan": (scan, ("proteins.fasta", "--checkpoint", "embedded", "-o", "s.csv")),
}
# What is given, and what the command is told.
GIVEN: list[tuple[tuple[str, ...], str, Any]] = [
    (("--data-mirror", "here", "--data-mirror", "there"), "mirrors", (Path("here"), Path("there"))),
    (("--device", "cpu"), "device", "cpu"),
    (("--token-budget", "777"), "token_budget", 777),
    (("--token-budget", "auto"), "token_budget", "auto"),
    (("--threads", "3"), "threads", 3),
    (("--gradient-checkpointing",), "gradient_checkpointing", True),
    (("--embedding-cache",), "embedding_cache", True),
    (("--no-embedding-cache",), "embedding_cache", False),
    (("--packing",), "packing", True),
    (("--no-packing",), "packing", False),
    (("--compile",), "compiled", True),
    (("--shard",), "shard", True),
    (("--track", "trackio:mine"), "track", "trackio:mine"),
    (("--trust-remote-code",), "trust_remote_code", True),
]
ONE_PROCESS = "in one process|of one process"
REFUSED = {
    ("estimate", "shard"): ONE_PROCESS,
    ("estimate", "track"): "nothing is run",
    ("sweep", "shard"): ONE_PROCESS,
    ("reproduce", "shard"): ONE_PROCESS,
    **{
        (command, option): why
        for command in ("predict", "demo")
        for option, why in {
            "mirrors": "no data of a task are read",
            "gradient_checkpointing": "nothing is trained",
            "embedding_cache": "nothing is kept of it",
            "shard": "is on one device",
            "track": "nothing to follow",
            "trust_remote_code": "no code that lies beside a model is run",
        }.items()
    },
    **{
        (command, option): why
        for command in ("embed", "fold", "scan")
        for option, why in {
            "mirrors": "no data of a task are read",
            "gradient_checkpointing": "nothing is trained",
            "shard": "is on one device",
            "track": "nothing to follow",
        }.items()
    },
    ("scan", "embedding_cache"): "nothing is kept of it",
    ("fold", "embedding_cache"): "nothing else is kept of it",
    ("fold", "token_budget"): "one at a time",
    ("fold", "packing"): "one at a time",
    ("fold", "compiled"): "own code is run as it is",
    ("fold", "trust_remote_code"): "no code of a checkpoint is run",
    ("demo", "packing"): "one question at a time",
    ("demo", "compiled"): "one question at a time",
}


class Told(Exception):
    """A command has come as far as to choose a device."""


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[ExecutionOptions]:
    """What commands are told, which then stop."""
    found: list[ExecutionOptions] = []

    def stop(options: ExecutionOptions) -> Execution:
        found.append(options)
        raise Told

    monkeypatch.setattr(ExecutionOptions, "choose", stop)
    # Whether a tracker is installed is said before.
    monkeypatch.setattr(following, "callback_of", lambda track: print)
    monkeypatch.chdir(tmp_path)
    for mirror in ("here", "there"):
        (tmp_path / mirror).mkdir()
    return found


@pytest.mark.parametrize(("given", "name", "value"), GIVEN, ids=[" ".join(given) for given, _, _ in GIVEN])
@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_takes_each_option_or_says_why_not(
    told: list[ExecutionOptions], command: str, given: tuple[str, ...], name: str, value: Any
) -> None:
    if command == "sweep":
        pytest.importorskip("optuna")
    called, needed = COMMANDS[command]
    if (why := REFUSED.get((command, name))) is not None:
        with pytest.raises(UserError, match=why) as refusal:
            CliRunner().invoke(called, [*needed, *given], catch_exceptions=False)
        assert refusal.value.where is not None and refusal.value.where.startswith("--")
        assert not told and "\n" not in str(refusal.value)
        return
    with pytest.raises(Told):
        CliRunner().invoke(called, [*needed, *given], catch_exceptions=False)
    assert getattr(told[0], name) == value


def shown(command: click.Command) -> dict[str, tuple[Any, ...]]:
    """Names, help and default of each option that is in the help."""
    return {
        str(option.name): (option.opts, option.secondary_opts, option.help, option.default, option.metavar)
        for option in command.params
        if isinstance(option, click.Option) and not option.hidden
    }


@pytest.mark.parametrize("command", COMMANDS)
def test_names_helps_and_defaults_are_the_same(command: str) -> None:
    here, there = shown(COMMANDS[command][0]), shown(run)
    names = {name for _, name, _ in GIVEN}
    # And the files of families, which are named before anything is asked of a checkpoint.
    assert len(OPTIONS) == len(names) + 1
    for name in {*names, "family"}:
        assert (name in here) is ((command, name) not in REFUSED)
        if name in here:
            assert here[name] == there[name]


@pytest.mark.parametrize("command", COMMANDS)
def test_without_an_option_nothing_is_refused(told: list[ExecutionOptions], command: str) -> None:
    if command == "sweep":
        pytest.importorskip("optuna")
    called, needed = COMMANDS[command]
    with pytest.raises(Told):
        CliRunner().invoke(called, needed, catch_exceptions=False)
    assert told == [ExecutionOptions("auto", None, False, True, False, False, None, False, ())]


@pytest.mark.parametrize("value", ["63", "many", "-1", "1e4"])
@pytest.mark.parametrize("command", [one for one in COMMANDS if (one, "token_budget") not in REFUSED])
def test_a_budget_is_a_number_or_auto(command: str, value: str) -> None:
    called, needed = COMMANDS[command]
    with pytest.raises(UserError, match="neither auto nor a number"):
        CliRunner().invoke(called, [*needed, "--token-budget", value], catch_exceptions=False)


def test_a_session_is_what_was_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path))
    (tmp_path / "mirror").mkdir()
    options = ExecutionOptions("cpu", 777, True, False, True, False, None, True, (tmp_path / "mirror",))
    session = options.session(tmp_path / "there")
    execution = session.execution
    assert (execution.token_budget, execution.packing, execution.compile) == (777, False, True)
    assert execution.gradient_checkpointing and not execution.shard and not execution.auto_budget
    assert session.root == tmp_path / "there" and session.trust_remote_code and session.embeddings is not None
    assert session.cache.mirrors[0] == tmp_path / "mirror"
    # What a command does by itself holds where nothing was said.
    assert options.session(tmp_path, cached=False).embeddings is None
    never = ExecutionOptions("cpu", "auto", False, True, False, False, False, False, ())
    assert never.session(tmp_path).embeddings is None and never.choose().auto_budget
