"""No folder of this machine in any run.json, nor in what is published; and the files are found again."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tiny_checkpoints import write_checkpoint
from tiny_project import QUICK, task_name, write_task

from hubtools.models.families import known_families
from hubtools.publishing.contents import plan_publication
from hubtools.runs.public_record import public_record
from hubtools.runs.store import PLACES, RECORD, read_record

PROBLEM = "sequence-classification"
Bench = Callable[..., tuple[int, str, str]]


def texts(value: Any) -> Iterator[str]:
    """Every text of a JSON value, keys too."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from texts(key)
            yield from texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from texts(inner)


def named(text: str, *folders: Path) -> list[str]:
    """Which folders of this machine a text names, as they are and as links lead to them."""
    known = {str(form) for folder in (*folders, Path.home()) for form in (folder, folder.resolve())} - {"/"}
    return sorted(folder for folder in known if folder in text)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a space in its name, that holds a task with its data, a checkpoint, a recipe and a suite."""
    folder = tmp_path / "ann smith" / "project"
    write_task(folder, PROBLEM)
    write_checkpoint(folder / "esm", "esm")
    recipe = {"name": "mine", "title": "Mine", "summary": "A probe.", "adaptation": "probe", "epochs": 1}
    (folder / "mine.yaml").write_text(yaml.safe_dump(recipe))
    suite = {
        "name": "suite",
        "title": "All",
        "summary": "All of it.",
        "recipe": str(folder / "mine.yaml"),
        "seeds": [1],
    }
    suite |= {"tasks": [str(folder / "tasks" / f"{task_name(PROBLEM)}.yaml")], "baselines": ["composition"]}
    (folder / "suite.yaml").write_text(yaml.safe_dump(suite))
    (folder / "families.py").write_text(
        "from hubtools.models.families import Family, register\nregister(Family('anns'))\n"
    )
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    monkeypatch.setenv("BENCH_CACHE", str(folder / "cache"))
    monkeypatch.setenv("BENCH_FAMILIES", str(folder / "families.py"))
    for name, empty in (("_brought", []), ("_looked", []), ("_bringers", {})):
        monkeypatch.setattr(known_families, name, empty)
    return folder


@pytest.mark.slow
def test_no_run_json_names_a_folder_whatever_was_given_by_its_path(place: Path, bench: Bench, tmp_path: Path) -> None:
    task, runs = place / "tasks" / f"{task_name(PROBLEM)}.yaml", place / "runs"
    common = ("--device", "cpu", "--runs", runs)
    given = ("--checkpoint", place / "esm", "--task", task)
    code, _, err = bench("run", *given, "--recipe", place / "mine.yaml", "--seed", 1, *common)
    assert code == 0, err
    code, _, err = bench("run", "--suite", place / "suite.yaml", "--checkpoint", place / "esm", *common)
    assert code == 0, err
    settings = [word for key, value in QUICK.items() for word in ("--set", f"{key}={value}")]
    code, _, err = bench("run", *given, "--recipe", "lora", "--seed", 2, *settings, *common)
    assert code == 0, err
    found = sorted(runs.glob(f"*/{RECORD}"))
    assert len(found) == 3  # The suite's probe is the first run again.
    for path in found:
        for text in texts(json.loads(path.read_text(encoding="utf-8"))):
            assert not named(text, tmp_path, place) and "ann smith" not in text and not text.startswith("/"), text
        # Where they are is told beside it, and a reader has it back.
        record = read_record(path)
        assert str(task) in record.command and record.task["data"]["files"][0]["path"] == str(
            task.parent / f"{PROBLEM}.csv"
        )
        assert public_record(record) == public_record(public_record(record))
    # What would be published of them: each text of each file.
    for path in found:
        if (path.parent / "model").is_dir():
            plan = plan_publication(path.parent, "me/tiny", licence="mit")
            assert PLACES not in {file.path for file in plan.files}
            for file in plan.files:
                if file.source.suffix in {".json", ".jsonl", ".md", ".txt", ".py", ".yaml"}:
                    content = file.source.read_text(encoding="utf-8")
                    assert not named(content, tmp_path, place) and "ann smith" not in content, file.path
    # From anywhere the run can be made again, for its files are found.
    (probe,) = [path.parent for path in found if "--mine--" in path.parent.name]
    code, _, err = bench("reproduce", probe, "--as-recorded", "--device", "cpu", "--dry-run")
    assert code == 0 and "task, data and weights are those of the record" in err
    # Without the note they are asked for.
    (probe / PLACES).unlink()
    code, _, err = bench("reproduce", probe, "--as-recorded", "--device", "cpu", "--dry-run")
    assert code == 2 and f"the data of the task {task_name(PROBLEM)} are not here ({PROBLEM}.csv" in err
    code, _, err = bench(
        "reproduce",
        probe,
        "--as-recorded",
        "--device",
        "cpu",
        "--dry-run",
        "--task",
        task,
        "--checkpoint",
        place / "esm",
    )
    assert code == 0, err


def test_nor_does_that_of_a_run_that_failed(
    place: Path, bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise FileNotFoundError(2, "No such file or directory", str(place / "cache" / "rows.bin"))

    monkeypatch.setattr("hubtools.runs.steps.fit_baseline", fails)
    task = place / "tasks" / f"{task_name(PROBLEM)}.yaml"
    code, _, _ = bench("run", "--task", task, "--recipe", "composition", "--runs", place / "runs", "--device", "cpu")
    (path,) = place.glob(f"runs/*/{RECORD}")
    content = json.loads(path.read_text(encoding="utf-8"))
    assert code != 0 and content["status"] == "failed" and "rows.bin" in content["failure"]["message"]
    found = [text for text in texts(content) if named(text, tmp_path) or "smith" in text or text.startswith("/")]
    assert not found


def a_run(place: Path, bench: Bench) -> Path:
    task = place / "tasks" / f"{task_name(PROBLEM)}.yaml"
    code, _, err = bench("run", "--task", task, "--recipe", "majority", "--runs", place / "runs", "--device", "cpu")
    assert code == 0, err
    (path,) = place.glob(f"runs/*/{RECORD}")
    return path.parent


@pytest.mark.parametrize(
    "change",
    [
        lambda noted: noted.update(command="bench run --task evil.yaml --recipe majority --seed 1"),
        lambda noted: noted["data"]["files"][0].update(path="/etc/passwd"),
        lambda noted: noted["data"].update(validation_seed=7),
        lambda noted: noted.update(files=["/etc/passwd"]),
        lambda noted: noted.update(command="a\u001b[31m"),
        lambda noted: noted.clear(),
    ],
)
def test_a_note_of_something_else_changes_nothing(
    change: Callable[[dict[str, Any]], Any], place: Path, bench: Bench
) -> None:
    """A folder may come from anybody: the note adds folders to the record's names, and nothing else."""
    folder = a_run(place, bench)
    noted = json.loads((folder / PLACES).read_text(encoding="utf-8"))
    (folder / PLACES).unlink()
    plain = read_record(folder)
    change(noted)
    (folder / PLACES).write_text(json.dumps(noted))
    assert read_record(folder) == plain
    for damaged in (b"", b"{", os.urandom(64)):
        (folder / PLACES).write_bytes(damaged)
        assert read_record(folder) == plain


def test_what_is_copied_elsewhere_is_still_the_run(place: Path, bench: Bench, tmp_path: Path) -> None:
    folder = a_run(place, bench)
    shutil.copytree(folder, tmp_path / "copy")
    assert read_record(tmp_path / "copy") == read_record(folder)
    # A run of a task that bench ships, with a checkpoint of the Hub, has nothing to note.
    assert (folder / PLACES).is_file()
