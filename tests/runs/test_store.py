"""The folder of runs: whole files, one owner at a time, and no reader that a broken record can stop."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from sample_records import sample_runs, write_runs

from hubtools.common.errors import UserError
from hubtools.common.files import write_atomic
from hubtools.findings.verification import add_submission
from hubtools.runs.claims import claimed
from hubtools.runs.store import find_records, read_record, run_folder, write_record
from hubtools.specs.record import RunRecord


@pytest.fixture(scope="module")
def record() -> RunRecord:
    return sample_runs()[0][1]


def test_a_record_is_read_as_it_was_written(tmp_path: Path, record: RunRecord) -> None:
    write_record(tmp_path / "run", record)
    assert read_record(tmp_path / "run") == record
    assert read_record(tmp_path / "run" / "run.json") == record


def test_a_write_that_dies_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "run.json"
    write_atomic(path, "old")

    def die(descriptor: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("hubtools.common.files.os.fsync", die)
    with pytest.raises(KeyboardInterrupt):
        write_atomic(path, "new")
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("inside", ["file/run.json", "file/deeper/run.json"])
def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path, inside: str) -> None:
    # Permissions do not bind root, a file in the place of a folder does.
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot write it \(.+\)") as caught:
        write_atomic(tmp_path / inside, "x")
    assert str(tmp_path) in str(caught.value) and "\n" not in str(caught.value)
    with pytest.raises(UserError, match=r"cannot write it \(.+\)"), claimed(tmp_path / inside):
        pytest.fail("claimed")


def test_a_run_belongs_to_one_process_at_a_time(tmp_path: Path) -> None:
    claim = (
        "import sys; from pathlib import Path; from hubtools.runs.claims import claimed; "
        "from hubtools.common.errors import UserError\n"
        "try:\n  with claimed(Path(sys.argv[1])): print('mine')\n"
        "except UserError as error: print(error)"
    )

    def other_process() -> str:
        done = subprocess.run([sys.executable, "-c", claim, tmp_path / "run"], capture_output=True, text=True)
        assert not done.stderr
        return done.stdout

    with claimed(tmp_path / "run"):
        assert "another process is running it right now" in other_process()
    assert other_process() == "mine\n"


def test_what_fails_inside_a_claim_is_not_taken_for_the_folders_fault(tmp_path: Path) -> None:
    with pytest.raises(PermissionError), claimed(tmp_path / "run"):
        raise PermissionError
    with claimed(tmp_path / "run"):
        pass


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "not a run record"),
        (b"{", "not a run record"),
        (b"\xff\xfe\x00", "not text in UTF-8"),
        (b"{}", "run_id: this key is missing"),
    ],
)
def test_a_record_that_cannot_be_read_is_reported_and_the_others_are_found(
    tmp_path: Path, record: RunRecord, content: bytes, reason: str
) -> None:
    write_record(tmp_path / "good", record)
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "run.json").write_bytes(content)
    (tmp_path / "empty").mkdir()
    found, problems = find_records([tmp_path])
    assert [folder.name for folder, _ in found] == ["good"]
    assert len(problems) == 1 and reason in problems[0] and str(tmp_path / "bad" / "run.json") in problems[0]
    assert "\n" not in problems[0]


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("run_id",), "../victim"),
        (("run_id",), "/etc"),
        (("run_id",), "abc"),
        (("identity", "task", "name"), "../../etc/hosts"),
        (("identity", "recipe", "name"), "probe/.."),
        (("suite",), "../core"),
        (("results",), {"../test": {"n_proteins": 1, "n_labelled": 1, "scores": {}}}),
        (("outputs",), [{"path": "../../.ssh/id", "bytes": 1, "sha256": "0"}]),
        (("outputs",), [{"path": "/etc/passwd", "bytes": 1, "sha256": "0"}]),
    ],
)
def test_an_identifier_that_would_leave_its_folder_is_no_record(
    tmp_path: Path, record: RunRecord, place: tuple[str, ...], value: object
) -> None:
    content = record.model_dump(mode="json")
    *parents, leaf = place
    inner = content
    for key in parents:
        inner = inner[key]
    inner[leaf] = value
    (tmp_path / "run.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match=rf"not a run record .*{place[-1]}"):
        read_record(tmp_path)


@pytest.mark.parametrize("character", ["\n", "\r", "\x1b[31m", "\x00", "\x85", "\u2028", "\u202e"])
def test_a_text_that_cannot_be_shown_is_no_record(tmp_path: Path, record: RunRecord, character: str) -> None:
    for change in (
        lambda content: content["task"].update(labels={f"a{character}import os": "a"}),
        lambda content: content["task"].update(title=f"T{character}"),
        lambda content: content.update(command=f"bench run{character}"),
        lambda content: content["environment"].update(device_name=f"CPU{character}"),
        lambda content: content["recipe"].update(name=f"probe{character}"),
    ):
        content = record.model_dump(mode="json")
        change(content)
        (tmp_path / "run.json").write_text(json.dumps(content))
        with pytest.raises(
            UserError, match=r"which may not be shown|one line without control characters|letters, digits"
        ):
            read_record(tmp_path)
    # BibTeX has lines.
    content = record.model_dump(mode="json")
    content["task"]["citation"] = "@article{a,\n  year = {2024}\n}"
    (tmp_path / "run.json").write_text(json.dumps(content))
    assert read_record(tmp_path).task["citation"].count("\n") == 2


def test_a_submission_leaves_every_other_folder_alone(tmp_path: Path, record: RunRecord) -> None:
    """Found by testers: the id was joined to a path, and the folder there replaced."""
    write_record(tmp_path / "run", record)
    (tmp_path / "victim").mkdir()
    (tmp_path / "victim" / "thesis.txt").write_text("three years")
    content = record.model_dump(mode="json") | {"run_id": "../victim"}
    (tmp_path / "run" / "run.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match="run_id: expected 12 hexadecimal digits"):
        add_submission(tmp_path / "run", tmp_path / "dest")
    # Nor is a folder replaced that happens to be called so.
    write_record(tmp_path / "run", record)
    (tmp_path / "dest").mkdir()
    (tmp_path / "victim").rename(tmp_path / "dest" / record.run_id)
    with pytest.raises(UserError, match="something else"):
        add_submission(tmp_path / "run", tmp_path / "dest")
    assert (tmp_path / "dest" / record.run_id / "thesis.txt").read_text() == "three years"


def test_folders_and_single_runs_can_be_named(tmp_path: Path) -> None:
    runs = sample_runs()[:3]
    write_runs(tmp_path, runs)
    everything, _ = find_records([tmp_path])
    one, _ = find_records([everything[0][0]])
    assert len(everything) == 3 and one == everything[:1]
    with pytest.raises(UserError, match="there is no folder"):
        find_records([tmp_path / "elsewhere"])


def test_the_name_of_a_run_is_readable_and_safe(record: RunRecord) -> None:
    assert record.identity.checkpoint is not None
    odd = record.identity.checkpoint.model_copy(update={"name": "My Org/../ESM 2 (8M)"})
    folder = run_folder(Path("runs"), record.identity.model_copy(update={"checkpoint": odd}))
    assert folder.parent == Path("runs")
    assert folder.name.startswith(f"{record.identity.task.name}--my-org-..-esm-2-8m--{record.identity.recipe.name}--s")
    nameless = odd.model_copy(update={"name": "蛋白質"})
    folder = run_folder(Path("runs"), record.identity.model_copy(update={"checkpoint": nameless}))
    assert "--checkpoint--" in folder.name


def test_the_records_of_one_task_are_found_without_reading_the_others(tmp_path: Path) -> None:
    runs = sample_runs()
    write_runs(tmp_path, runs)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "run.json").write_text("{")
    found, problems = find_records([tmp_path], task="localisation")
    expected = {record.run_id for _, record in runs if record.identity.task.name == "localisation"}
    assert {record.run_id for _, record in found} == expected != set()
    assert problems == []
    assert len(find_records([tmp_path])[0]) == len(runs) and len(find_records([tmp_path])[1]) == 1


def test_reading_leaves_garbage_collection_as_it_was(tmp_path: Path) -> None:
    import gc

    write_runs(tmp_path, sample_runs()[:2])
    find_records([tmp_path])
    assert gc.isenabled()
    gc.disable()
    try:
        find_records([tmp_path])
        assert not gc.isenabled()
    finally:
        gc.enable()
