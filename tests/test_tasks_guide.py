"""docs/tasks.md: its examples are run, its files are loaded."""

from __future__ import annotations

import random
import re
import shlex
from pathlib import Path

import pytest
import yaml

from hubtools.cli.main import main
from hubtools.specs.lookup.spec_files import load_task
from hubtools.specs.lookup.task_packages import GROUP

GUIDE = Path(__file__).resolve().parent.parent / "docs" / "tasks.md"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", GUIDE.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


def commands() -> list[list[str]]:
    return [shlex.split(line) for block in blocks("sh") for line in block.splitlines() if line.startswith("bench ")]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The reader's working directory, with the table of the guide, and a FASTA for each of two classes."""
    (tmp_path / "proteins.csv").write_text(blocks("csv")[0])
    letters = random.Random(0)
    for name in ("nucleus", "membrane"):
        proteins = ["".join(letters.choices("ACDEFGHIKLMNPQRSTVWY", k=40)) for _ in range(30)]
        (tmp_path / f"{name}.fasta").write_text("".join(f">{name}{n}\n{p}\n" for n, p in enumerate(proteins)))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path


def bench(monkeypatch: pytest.MonkeyPatch, arguments: list[str]) -> None:
    monkeypatch.setattr("sys.argv", arguments)
    with pytest.raises(SystemExit) as exited:
        main()
    assert not exited.value.code, arguments


@pytest.mark.parametrize("text", blocks("yaml"), ids=lambda text: yaml.safe_load(text)["name"])
def test_every_task_file_of_the_guide_loads(tmp_path: Path, text: str) -> None:
    path = tmp_path / f"{yaml.safe_load(text)['name']}.yaml"
    path.write_text(text)
    assert load_task(str(path)).name == path.stem


def test_the_guide_has_a_file_for_each_level() -> None:
    found = {yaml.safe_load(text)["problem"].split("-")[0] for text in blocks("yaml")}
    assert found == {"sequence", "residue", "pair", "contact", "structure"}


@pytest.mark.parametrize("by_hand", [False, True], ids=["bench tasks new", "by hand"])
def test_the_commands_of_the_guide_run(folder: Path, monkeypatch: pytest.MonkeyPatch, by_hand: bool) -> None:
    local = [command for command in commands() if not any("hub://" in word for word in command)]
    assert [command[1] for command in local] == ["tasks", "tasks", "tasks", "run", "run"]
    if by_hand:
        (folder / "tasks").mkdir()
        (folder / "tasks" / "membrane.yaml").write_text(blocks("yaml")[0])
    for command in local[by_hand:]:
        bench(monkeypatch, command)
    assert len(list(folder.glob("runs/**/run.json"))) == 1


def test_the_entry_point_of_the_guide_is_the_one_that_is_read() -> None:
    assert f'[project.entry-points."{GROUP}"]' in blocks("toml")[0]


def test_files_that_the_guide_links_to_exist() -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", GUIDE.read_text(encoding="utf-8")):
        assert (GUIDE.parent / target).exists(), target
