"""What is published names no folder of the machine that made it, and still finds its task."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "publishing"))
from small_run import make_run

from hubtools.runs.public import public_record, task_reference
from hubtools.runs.store import read_record
from hubtools.specs.record import DataFacts, RunRecord, SourceFile

REPOSITORY = f"hub://lab/peptides@{'d' * 40}"


def local_record(folder: Path, task: str) -> RunRecord:
    record = read_record(make_run(folder))
    record.task["data"] = {"source": "file", "files": [{"path": "/home/ann/cache/rows.csv"}]}
    files = [SourceFile(name="rows", location="/home/ann/cache/rows.csv")]
    record.data = DataFacts(source="file", files=files, splits={}, validation="drawn")
    record.command = f"bench run --checkpoint /home/ann/esm --task {task} --recipe /home/ann/own.yaml --seed 1"
    record.identity.checkpoint.source = "local"  # type: ignore[union-attr]
    return record


@pytest.mark.parametrize(
    ("task", "location", "shown"),
    [
        ("/home/ann/peptides.yaml", "rows.csv", "peptides.yaml"),
        (f"{REPOSITORY}/peptides", f"{REPOSITORY}/rows.csv", f"{REPOSITORY}/peptides"),
    ],
)
def test_no_folder_of_this_machine_is_told(tmp_path: Path, task: str, location: str, shown: str) -> None:
    record = local_record(tmp_path, task)
    public = public_record(record)
    assert "/home" not in public.model_dump_json() and "/home" in record.model_dump_json()
    assert public.data is not None and public.data.files[0].location == location
    assert public.command == f"bench run --checkpoint esm --task {shown} --recipe own.yaml --seed 1"
    assert public.identity == record.identity and public.results == record.results
    assert task_reference(public) == (shown if shown.startswith("hub://") else None)


def test_what_is_public_already_stays(tmp_path: Path) -> None:
    record = read_record(make_run(tmp_path))
    assert public_record(record) == record
