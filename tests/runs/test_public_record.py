"""What is published names no folder of the machine that made it, and still finds its task."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "publishing"))
from small_run import make_run

from hubtools.runs.public_record import placed, places_of, public_command, public_failure, public_record, task_reference
from hubtools.runs.store import read_record, write_record
from hubtools.specs.record import DataFacts, Failure, RunRecord, SourceFile

REPOSITORY = f"hub://lab/peptides@{'d' * 40}"


def local_record(folder: Path, task: str, source: str = "file") -> RunRecord:
    record = read_record(make_run(folder))
    record.task["data"] = {"source": source, "files": [{"path": "/home/ann/cache/rows.csv"}]}
    files = [SourceFile(name="rows", location="/home/ann/cache/rows.csv")]
    record.data = DataFacts(source=source, files=files, splits={}, validation="drawn")
    record.command = f"bench run --checkpoint /home/ann/esm --task {task} --recipe /home/ann/own.yaml --seed 1"
    record.identity.checkpoint.source = "local"  # type: ignore[union-attr]
    return record


@pytest.mark.parametrize("source", ["file", "structures"])
@pytest.mark.parametrize(
    ("task", "location", "shown"),
    [
        ("/home/ann/peptides.yaml", "rows.csv", "peptides.yaml"),
        (f"{REPOSITORY}/peptides", f"{REPOSITORY}/rows.csv", f"{REPOSITORY}/peptides"),
    ],
)
def test_no_folder_of_this_machine_is_told(tmp_path: Path, task: str, location: str, shown: str, source: str) -> None:
    record = local_record(tmp_path, task, source)
    public = public_record(record)
    assert "/home" not in public.model_dump_json() and "/home" in record.model_dump_json()
    assert public.data is not None and public.data.files[0].location == location
    assert public.command == f"bench run --checkpoint esm --task {shown} --recipe own.yaml --seed 1"
    assert public.identity == record.identity and public.results == record.results
    assert task_reference(public) == (shown if shown.startswith("hub://") else None)


def test_nor_where_structures_lie(tmp_path: Path) -> None:
    record = read_record(make_run(tmp_path / "made"))
    address = "https://example.org/more/b.zip"
    files = [{"path": "/home/ann/pdb", "derives": "dssp"}, {"url": address, "sha256": "0" * 64, "derives": "dssp"}]
    record.task["data"] = {
        "source": "structures",
        "files": files,
        "structures": {"folder": "/home/ann/own"},
        "splits": {"test": {}},
    }
    located = [SourceFile(name="pdb", location="/home/ann/pdb"), SourceFile(name="b", location=address)]
    record.data = DataFacts(source="structures", files=located, splits={}, validation="drawn")
    public, places = public_record(record), places_of(record)
    told = public.model_dump_json()
    assert "/home" not in told and address in told and places is not None
    again = placed(public, places.model_dump_json())
    assert again.task["data"] == record.task["data"] and again.data == record.data


def test_nor_where_an_ontology_lies_and_it_is_found_again(tmp_path: Path) -> None:
    record = read_record(make_run(tmp_path / "made"))
    record.task["hierarchy"] = {"obo": "/home/ann/go/go-basic.obo", "sha256": "0" * 64}
    write_record(tmp_path / "run", record)
    assert "/home" not in (tmp_path / "run" / "run.json").read_text()
    again = read_record(tmp_path / "run")
    assert again.task["hierarchy"] == record.task["hierarchy"] and again.command == record.command
    (tmp_path / "run" / "places.json").unlink()
    assert read_record(tmp_path / "run").task["hierarchy"]["obo"] == "go-basic.obo"


def test_what_is_public_already_stays(tmp_path: Path) -> None:
    record = read_record(make_run(tmp_path))
    assert public_record(record) == record


def test_a_command_whose_quotes_do_not_close_is_shown_all_the_same(tmp_path: Path) -> None:
    record = local_record(tmp_path, "it's.yaml")
    assert task_reference(record) is None
    said = public_command(record)
    assert "it" in said and "/home" not in said and said.endswith("--seed 1")


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("no file '/home/ann/data/x.csv'", "no file 'x.csv'"),
        ("no file ~/data/x.csv, nor C:\\Users\\ann\\y.csv", "no file x.csv, nor y.csv"),
        ("see https://hf.co/docs/hub and either/or", "see https://hf.co/docs/hub and either/or"),
    ],
)
def test_a_failure_names_files_by_their_names_alone(tmp_path: Path, message: str, shown: str) -> None:
    record = local_record(tmp_path, "t.yaml")
    assert public_failure(record) == ""
    record.failure = Failure(kind="OSError", message=message)
    assert public_failure(record) == f"OSError: {shown}"
