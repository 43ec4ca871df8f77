"""Where a task may come from, who wins, and that none of it runs anybody's code."""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path

import pytest
import yaml
from test_task_loading import GOOD

from hubtools.common.errors import UserError
from hubtools.specs.lookup.content import catalogue, find
from hubtools.specs.lookup.spec_files import load_task


def put(path: Path, name: str, title: str = "T") -> Path:
    """A task file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump({**yaml.safe_load(GOOD), "name": name, "title": title}))
    return path


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.delenv("BENCH_TASKS", raising=False)
    return folder


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of installed packages, which a test fills."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    return folder


def install(site: Path, package: str, target: str) -> Path:
    """A package with an entry point, whose code must not run."""
    (site / package).mkdir()
    (site / package / "__init__.py").write_text("raise RuntimeError('imported')\n")
    info = site / f"{package}-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text(f"[bench.tasks]\nours = {target}\n")
    importlib.invalidate_caches()
    return site / package


def test_a_folder_with_one_task_is_that_task(here: Path) -> None:
    put(here / "shared" / "crystallisability.yaml", "crystallisability")
    assert load_task("shared/").name == load_task("./shared").name == load_task("shared").name == "crystallisability"
    # Data lie beside the file.
    assert load_task("shared").data.files[0].path == Path("shared/a.csv")  # type: ignore[union-attr]
    put(here / "one" / "task.yaml", "binding")
    put(here / "one" / "tasks" / "other.yaml", "other")
    assert load_task("./one").name == "binding"


def test_a_folder_with_several_tasks_lists_them(here: Path) -> None:
    for name in ("b", "a"):
        put(here / "shared" / f"{name}.yaml", name)
    with pytest.raises(
        UserError, match=r"^\./shared: 2 tasks are there: a, b\. Name one: shared/a\.yaml\.$".replace(r"\./", "")
    ):
        load_task("./shared")
    (here / "none").mkdir()
    with pytest.raises(UserError, match=r"^none: no task file is there\. It needs task\.yaml, or tasks/NAME\.yaml\.$"):
        load_task("none")


def test_bench_tasks_names_further_folders(here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path / "lab" / "tasks" / "crystallisability.yaml", "crystallisability", "lab")
    put(tmp_path / "mine" / "crystallisability.yaml", "crystallisability", "mine")
    put(tmp_path / "mine" / "localisation.yaml", "localisation", "mine")
    put(tmp_path / "single" / "task.yaml", "binding")
    folders = [str(tmp_path / name) for name in ("mine", "lab", "single")]
    monkeypatch.setenv("BENCH_TASKS", os.pathsep.join(folders))
    assert load_task("crystallisability").title == load_task("localisation").title == "mine"
    assert load_task("binding").name == "binding"
    found = catalogue("task")["crystallisability"]
    assert found.origin == f"BENCH_TASKS ({folders[0]})"
    assert [other.path for other in found.hidden] == [tmp_path / "lab" / "tasks" / "crystallisability.yaml"]
    # The working directory comes first of all.
    put(here / "tasks" / "crystallisability.yaml", "crystallisability", "here")
    assert load_task("crystallisability").title == "here"
    monkeypatch.setenv("BENCH_TASKS", "nowhere")
    with pytest.raises(UserError, match=r"^BENCH_TASKS: there is no folder nowhere\. Correct BENCH_TASKS\.$"):
        load_task("crystallisability")


def test_an_installed_package_brings_tasks_without_being_imported(here: Path, site: Path) -> None:
    package = install(site, "plm_tasks_of_a_lab", "plm_tasks_of_a_lab")
    put(package / "tasks" / "stability.yaml", "stability")
    put(package / "tasks" / "localisation.yaml", "localisation", "theirs")
    found = catalogue("task")
    assert found["stability"].origin == "package plm_tasks_of_a_lab 1.2"
    assert load_task("stability").data.files[0].path == package / "tasks" / "a.csv"  # type: ignore[union-attr]
    # A package's comes before what bench ships, and the list can say so.
    assert load_task("localisation").title == "theirs"
    assert [other.origin for other in found["localisation"].hidden] == ["bench"]
    assert "plm_tasks_of_a_lab" not in sys.modules


def test_a_module_inside_a_package(here: Path, site: Path) -> None:
    package = install(site, "plm_lab", "plm_lab.benchmarks.tasks:anything")
    put(package / "benchmarks" / "tasks" / "stability.yaml", "stability")
    assert find("task", "stability") == package / "benchmarks" / "tasks" / "stability.yaml"
    assert "plm_lab" not in sys.modules


def test_a_broken_entry_point_is_a_warning(here: Path, site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    install(site, "plm_broken", "plm_broken.absent")
    assert "localisation" in catalogue("task") and "localisation" in catalogue("task")
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "warning: the package plm_broken 1.2 announces tasks in plm_broken.absent, and there is no such module. "
        "Its entry point ours is left out."
    ]
