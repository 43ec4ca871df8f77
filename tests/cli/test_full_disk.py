"""A disk that is full or read-only under every command that writes: the old file or the new one, whole, and one clear line."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch
from faulty_disk import STEPS, faulty
from frozen_runs import write_seeds
from hub_server import Hub
from sample_records import sample_runs, write_runs
from tiny_runs import made

from hubtools.data.sources.file_cache import DataCache
from hubtools.publishing.reload import ReloadedPredictions
from hubtools.runs.store import read_record

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("blank_figures")]
Bench = Callable[..., tuple[int, str, str]]
PROBLEM = "sequence-classification"
TASK = f"tiny-{PROBLEM}"
SAID = ("No space left on device", "Read-only file system", "File too large")


@dataclass(frozen=True)
class Case:
    """A command that writes.

    Attributes:
        arguments: of bench; RUN stands for the folder of a finished run.
        fails: the folder whose disk fails.
        before: commands that make what is there already, by arguments.
    """

    arguments: tuple[str, ...]
    fails: str
    before: tuple[tuple[str, ...], ...] = ()


NEW = ("tasks", "new", f"tasks/{PROBLEM}.csv", "--name", "mine", "--label", "label", "--split-column", "set")
PREDICT = ("predict", "RUN", "few.fasta", "-o")
BASELINE = ("baseline", "create", "main", "--runs", "frozen")
COMMANDS = {
    "tasks new": Case((*NEW, "-o", "out"), "out"),
    "tasks new --force": Case((*NEW, "--force", "-o", "out"), "out", ((*NEW, "-o", "out"),)),
    "run": Case(("run", "--task", TASK, "--recipe", "majority", "--runs", "out"), "out"),
    "run --force": Case(
        ("run", "--task", TASK, "--recipe", "majority", "--runs", "out", "--force"),
        "out",
        (("run", "--task", TASK, "--recipe", "majority", "--runs", "out"),),
    ),
    **{f"predict {form}": Case((*PREDICT, f"out/p.{form}"), "out") for form in ("tsv", "jsonl", "parquet")},
    "predict again": Case((*PREDICT, "out/p.parquet"), "out", ((*PREDICT, "out/p.parquet"),)),
    "card": Case(("card", "RUN"), "RUN/card"),
    "card again": Case(("card", "RUN", "--author", "me"), "RUN/card", (("card", "RUN"),)),
    "board --html": Case(("board", "--runs", "records", "--html", "out/board.html"), "out"),
    "board --site": Case(("board", "--runs", "records", "--site", "out/site"), "out"),
    "board --site again": Case(
        ("board", "--runs", "records", "--site", "out/site"),
        "out",
        (("board", "--runs", "records", "--site", "out/site"),),
    ),
    "baseline create": Case(BASELINE, "benchmarks"),
    "baseline update": Case(("baseline", "update", "main", "--runs", "newer"), "benchmarks", (BASELINE,)),
    "data freeze": Case(("data", "freeze", "tasks/open.yaml"), "tasks"),
    "publish --dry-run": Case(("publish", "RUN", "--repo", "me/x", "--licence", "cc0-1.0", "--dry-run"), "RUN/card"),
    "cache rm": Case(("cache", "rm", "--all"), "kept"),
    "data rm": Case(("data", "rm", "--all"), "kept"),
}
# Where the disk fails at another moment than at once.
LATER = {"open": (0, 1, 2), "write": (0, 1500), "sync": (0, 1, 2), "rename": (0, 1, 2), "read-only": (0,)}


@pytest.fixture(scope="module")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a task and its table, runs, and a few proteins."""
    folder = tmp_path_factory.mktemp("made") / "project"
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    made(folder, PROBLEM, recipe="probe")
    torch.set_num_threads(before)
    (folder / "runs").rename(folder / "ready")
    shutil.rmtree(folder / "cache")
    (folder / "few.fasta").write_text("".join(f">p{n}\n{'MKTAYIAKQR' * 3}\n" for n in range(300)))
    write_runs(folder / "records", sample_runs())
    write_seeds(folder / "frozen")
    write_seeds(folder / "newer", skill=0.5)
    task = (folder / "tasks" / f"{TASK}.yaml").read_text().replace(f"name: {TASK}", "name: open")
    task = task.replace("source: file", "source: url").replace(
        f"path: {PROBLEM}.csv", f"url: https://example.org/{PROBLEM}.csv"
    )
    (folder / "tasks" / "open.yaml").write_text(task)
    return folder


@pytest.fixture
def project(made_once: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hub: Hub) -> Iterator[Path]:
    """A copy of it as the current folder, with an empty cache elsewhere, and a Hub that answers."""
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(
        "hubtools.publishing.reload.reproduce_in_fresh_process",
        lambda folder, mirrors=(), task=None: ReloadedPredictions(3, ("test",), 2e-7, 1e-4),
    )
    table = made_once / "tasks" / f"{PROBLEM}.csv"
    monkeypatch.setattr(
        "hubtools.data.sources.file_cache.download", lambda url, part: part.write_bytes(table.read_bytes()) and None
    )
    yield made_once
    monkeypatch.chdir(made_once)


def prepare(case: Case, made_once: Path, folder: Path, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Copy the project, make it the current folder, do what comes before; the arguments of the command."""
    shutil.copytree(made_once, folder)
    monkeypatch.chdir(folder)
    (run,) = (folder / "ready").iterdir()
    if case.fails == "kept":
        monkeypatch.setenv("BENCH_CACHE", str(folder / "kept"))
        cache = DataCache(folder / "kept")
        for text in ("one", "two", "three"):
            (folder / text).write_text(text)
            cache.adopt(folder / text)
        for name in "ab":
            path = folder / "kept" / "embeddings" / ("0" * 24) / f"{name}.safetensors"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(bytes(100))
    for arguments in case.before:
        code, _, err = bench(*_named(arguments, run))
        assert code == 0, err
    return _named(case.arguments, run)


def _named(arguments: tuple[str, ...], run: Path) -> list[str]:
    return [part.replace("RUN", str(run.relative_to(Path.cwd()))) for part in arguments]


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def whole(name: str, content: bytes, folder: Path) -> bool:
    """Of what is never twice the same: whether it can be read to its end."""
    if name.endswith("run.json"):
        read_record(folder / name)
        return True
    if name.endswith(".parquet"):
        return pq.read_table(folder / name).num_rows > 0
    return name.endswith(".json") and bool(json.loads(content))


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("command", COMMANDS)
def test_the_old_or_the_new_whole_and_one_line(
    project: Path, tmp_path: Path, bench: Bench, monkeypatch: pytest.MonkeyPatch, command: str, step: str
) -> None:
    case = COMMANDS[command]
    arguments = prepare(case, project, tmp_path / "well", bench, monkeypatch)
    code, out, err = bench(*arguments)
    assert code == 0, out[out.find("✗") :] + err
    well = files(tmp_path / "well")
    failed = 0
    for later in LATER[step]:
        folder = tmp_path / f"{step}-{later}"
        arguments = prepare(case, project, folder, bench, monkeypatch)
        before = files(folder)
        (run,) = (folder / "ready").iterdir()
        root = Path(*[str(run) if part == "RUN" else part for part in Path(case.fails).parts])
        with faulty(folder / root, step, later):
            code, out, err = bench(*arguments)
        after = files(folder)
        lines = [line for line in err.splitlines() if any(said in line for said in SAID)]
        if code:
            failed += 1
            assert len(lines) >= 1 and lines[-1].lstrip().startswith(("error: ", "failed: ", "cannot ")), err
        else:
            # It did not come to that, or what failed can be done without (that a folder's entry outlives a loss of power).
            gone = {name for name in (before if " rm" in command else well) if not _ignored(name)} - set(after)
            assert bool(gone) == (" rm" in command), (out, err)
        for name in after:
            content = after[name]
            if _ignored(name):
                continue
            assert not Path(name).name.startswith("."), f"{name} is left of the attempt"
            assert content in (before.get(name), well.get(name)) or whole(name, content, folder), name
        if " rm" not in command:
            assert {name for name in before if not _ignored(name)} <= set(after), "nothing that was there is gone"
        shutil.rmtree(folder, ignore_errors=True)
        monkeypatch.chdir(tmp_path)
    assert failed or (command, step) in _NOTHING_TO_FAIL, "the disk failed, and nobody was told"


def _ignored(name: str) -> bool:
    """What is never taken for an output."""
    return name.endswith((".lock", ".partial")) or Path(name).name.startswith(".claim-")


_NOTHING_TO_FAIL = {
    # Tens of thousands of files, which the same command makes again.
    ("board --site", "sync"),
    ("board --site again", "sync"),
    *((command, step) for command in ("cache rm", "data rm") for step in ("open", "write", "sync", "rename")),
}


def test_what_was_removed_is_what_is_said(
    project: Path, tmp_path: Path, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found by testers: files of a read-only disk were said to be removed, or a traceback came."""
    for command in ("cache rm", "data rm"):
        folder = tmp_path / command.replace(" ", "-")
        arguments = prepare(COMMANDS[command], project, folder, bench, monkeypatch)
        before = files(folder)
        with faulty(folder / "kept", "read-only"):
            code, out, err = bench(*arguments)
        assert code == 2 and out == "" and len(err.splitlines()) == 1, (out, err)
        assert "cannot remove it (Read-only file system)" in err and files(folder) == before
        code, out, _ = bench(*arguments)
        assert code == 0 and out.startswith(f"removed {2 + (command == 'data rm')} files")
