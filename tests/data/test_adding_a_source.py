"""docs/extending.md, a data source: its class, its entry point and its task file, as they stand there."""

from __future__ import annotations

import importlib
import re
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hub_server import Hub

from hubtools.common.errors import UserError
from hubtools.common.hashing import file_sha256
from hubtools.data import DataCache, load_task_data, source_digest
from hubtools.data.sources.known_sources import pinned, source_of
from hubtools.data.sources.task_repositories import fetch_task
from hubtools.runs.public_record import public_record
from hubtools.runs.store import read_record
from hubtools.specs.lookup import source_packages
from hubtools.specs.lookup.spec_files import load_task
from hubtools.specs.task import Task

PAGE = Path(__file__).resolve().parents[2] / "docs" / "extending.md"
SECTION = PAGE.read_text(encoding="utf-8").split("\n## A data source\n")[1].split("\n## ")[0]
SEQUENCES = ["MKTAYIAKQR", "MSDNGPQNQR", "MALWMRLLPL", "MVLSPADKTN", "MNIFEMLRID", "MLLAVLYCLL"]

Bench = Callable[..., tuple[int, str, str]]


def block(language: str) -> str:
    return re.findall(rf"^```{language}\n(.*?)^```", SECTION, flags=re.DOTALL | re.MULTILINE)[0]


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The package of the page: one module, and one line that names it."""
    site = tmp_path / "site"
    info = site / "sqlite_source-1.dist-info"
    info.mkdir(parents=True)
    (site / "sqlite_source.py").write_text(block("python"), encoding="utf-8")
    group, line = re.fullmatch(r'\[project\.entry-points\."(.+)"\]\n(.*)\n', block("toml")).groups()  # type: ignore[union-attr]
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: sqlite-source\nVersion: 1\n")
    (info / "entry_points.txt").write_text(f"[{group}]\n{line.replace(chr(34), '')}\n")
    monkeypatch.setattr(source_packages, "_REGISTERED", {})
    monkeypatch.syspath_prepend(str(site))
    yield
    sys.modules.pop("sqlite_source", None)


@pytest.fixture
def task_file(tmp_path: Path, installed: None, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The task of the page, with the database that it names."""
    folder = tmp_path / "work" / "tasks"
    folder.mkdir(parents=True)
    rows = [(f"P{n}", sequence, n % 2, "train" if n < 4 else "test") for n, sequence in enumerate(SEQUENCES)]
    with closing(sqlite3.connect(folder / "proteins.db")) as database:
        database.execute("create table measured (accession text, sequence text, soluble integer, part text)")
        database.executemany("insert into measured values (?, ?, ?, ?)", rows)
        database.commit()
    (folder / "soluble.yaml").write_text(block("yaml"), encoding="utf-8")
    monkeypatch.chdir(folder.parent)
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    return folder / "soluble.yaml"


def change(task_file: Path) -> None:
    with closing(sqlite3.connect(task_file.parent / "proteins.db")) as database:
        database.execute("update measured set soluble = 1 where accession = 'P0'")
        database.commit()


def test_a_task_is_loaded_and_the_record_says_from_what(task_file: Path, tmp_path: Path) -> None:
    data = load_task_data(load_task(str(task_file)), DataCache(tmp_path / "cache"))
    assert data.splits["test"]["sequence"] == SEQUENCES[4:]
    assert data.splits["test"]["id"] == ["P4", "P5"] and data.splits["test"]["label"] == [0, 1]
    sha256 = file_sha256(task_file.parent / "proteins.db")
    facts = data.facts
    assert facts.source == "sqlite"
    assert [(file.name, file.location, file.sha256) for file in facts.files] == [("measured", "proteins.db", sha256)]
    assert f"not pinned: proteins.db has the sha256 {sha256}" in facts.findings


def test_its_pin_is_written_and_holds(task_file: Path, tmp_path: Path, bench: Bench) -> None:
    cache = DataCache(tmp_path / "cache")
    before = source_digest(load_task(str(task_file)), cache)
    sha256 = file_sha256(task_file.parent / "proteins.db")
    code, out, _ = bench("data", "freeze", task_file)
    assert code == 0 and f"sha256: {sha256}" in out
    text = task_file.read_text(encoding="utf-8")
    assert text == block("yaml").replace("proteins.db\n", f"proteins.db\n  sha256: {sha256}\n")
    task = load_task(str(task_file))
    assert pinned(task, cache) == (task, []) and source_digest(task, cache) == before
    change(task_file)
    with pytest.raises(UserError, match=r"wrong checksum.*Correct the database"):
        source_digest(task, DataCache(tmp_path / "cache"))
    task_file.write_text(block("yaml"), encoding="utf-8")
    assert source_digest(load_task(str(task_file)), cache) != before


def test_the_commands_take_it(task_file: Path, bench: Bench) -> None:
    assert "SQLite database proteins.db (not pinned)" in bench("tasks", "show", task_file)[1]
    code, out, err = bench("tasks", "check", task_file)
    assert code == 0, err
    assert "not pinned: proteins.db" in out
    code, out, _ = bench("data", "fetch", task_file)
    assert code == 0 and "0 files" in out
    assert bench("data", "ls")[0] == 0


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("  database: proteins.db\n", "", "data.database: this key is missing. Add it."),
        ("database: proteins", "databse: proteins", "data.databse: unknown key"),
        ("source: sqlite", "source: sqlit", "data: unknown source 'sqlit'. Did you mean sqlite?"),
        ("proteins.db", "absent.db", "there is no database"),
        ("- name: measured", "- name: guessed", "cannot read the table guessed (no such table: guessed)"),
        ("- name: measured", "- rename: {a: b}", "data.files[0].name: nothing says which it is. Add it"),
    ],
)
def test_what_is_wrong_is_one_line(task_file: Path, bench: Bench, old: str, new: str, said: str) -> None:
    task_file.write_text(block("yaml").replace(old, new), encoding="utf-8")
    code, _, err = bench("tasks", "check", task_file)
    assert code == 2 and said in err and len(err.splitlines()) == 1


def test_a_run_is_recorded_and_tells_nothing_of_the_machine(
    task_file: Path, tmp_path: Path, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, _, err = bench("run", "--recipe", "majority", "--runs", "runs", "--task", task_file)
    assert code == 0, err
    (path,) = Path("runs").rglob("run.json")
    assert str(tmp_path) not in path.read_text(encoding="utf-8")
    record, task = read_record(path), load_task(str(task_file))
    assert record.data is not None and record.data.source == "sqlite"
    assert record.data.files[0].sha256 == file_sha256(task_file.parent / "proteins.db")
    # What the record holds is the task again, wherever its folder lies, and the public one names no folder.
    assert Task.model_validate(record.task) == task
    public = public_record(record)
    assert public.task["data"]["database"] == "proteins.db" and str(tmp_path) not in public.model_dump_json()
    assert Task.model_validate(public.task).hash == record.identity.task.hash == task.hash
    # Also where the package is not: a record may be published from another machine.
    monkeypatch.setattr(source_packages, "_REGISTERED", {})
    (tmp_path / "site" / "sqlite_source-1.dist-info" / "entry_points.txt").unlink()
    assert public_record(record) == public


def test_a_task_on_the_hub_brings_its_database_and_reads_no_other(task_file: Path, hub: Hub) -> None:
    database = (task_file.parent / "proteins.db").read_bytes()
    hub.add_dataset("lab/soluble", {"task.yaml": block("yaml"), "proteins.db": database, "more.db": b""})
    fetched = fetch_task("hub://lab/soluble").path.parent
    assert sorted(path.name for path in fetched.glob("*.db")) == ["proteins.db"]
    hub.add_dataset(
        "lab/other", {"task.yaml": block("yaml").replace("proteins.db", str(task_file.parent / "proteins.db"))}
    )
    with pytest.raises(UserError, match="which is outside the repository"):
        fetch_task("hub://lab/other")


def test_without_the_package_it_is_no_source(
    task_file: Path, tmp_path: Path, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry != str(tmp_path / "site")])
    assert (
        "unknown source 'sqlite'. Known sources: url, file, hub, package, uniprot, structures."
        in bench("tasks", "show", task_file)[2]
    )


def test_a_module_that_is_not_there_is_one_line(task_file: Path, tmp_path: Path, bench: Bench) -> None:
    (tmp_path / "site" / "sqlite_source.py").unlink()
    code, _, err = bench("tasks", "show", task_file)
    assert code == 2 and "announces the source sqlite in sqlite_source:SqliteSource, which cannot be imported" in err


def test_a_notebook_needs_no_package(task_file: Path, tmp_path: Path) -> None:
    (tmp_path / "site" / "sqlite_source-1.dist-info" / "entry_points.txt").unlink()
    with pytest.raises(UserError, match="unknown source 'sqlite'"):
        load_task(str(task_file))
    source = importlib.import_module("sqlite_source").SqliteSource
    source_packages.register_source("sqlite", source)
    assert type(source_of(load_task(str(task_file)).data)) is source
