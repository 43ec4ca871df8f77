"""What would go to the Hub, and what may not: decided without any network."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest
from small_run import make_run, write_small_card

from hubtools.common.errors import UserError
from hubtools.publishing.contents import Publication, lay_out, plan_publication
from hubtools.runs.store import open_run, read_record, write_record
from hubtools.specs.record import CheckpointIdentity


@pytest.fixture(autouse=True)
def small_card(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hubtools.publishing.contents._write_card", write_small_card)


def failures(publication: Publication) -> dict[str, str]:
    return {check.title: str(check.error) for check in publication.failed}


def test_the_repository_holds_model_card_record_and_predictions(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run")
    (folder / "model" / "README.md").write_text("# left by transformers")
    (folder / ".claim-1.free").touch()
    (folder / "model" / ".cache").touch()
    publication = plan_publication(folder, "me/peptides")
    assert [file.path for file in publication.files] == [
        "README.md",
        "config.json",
        "model.safetensors",
        "modeling_protein_task.py",
        "predictions.parquet",
        "run.json",
        "training.jsonl",
        "vocab.txt",
        "figures/confusion.png",
    ]
    assert not publication.failed and publication.licence == "mit"
    assert publication.bytes == sum(file.source.stat().st_size for file in publication.files)
    assert publication.files[0].source == folder / "card" / "README.md"


def test_an_open_run_is_not_read_again(tmp_path: Path) -> None:
    run = open_run(make_run(tmp_path / "run"))
    (run.folder / "run.json").unlink()
    publication = plan_publication(run, "me/peptides")
    assert publication.run is run and not publication.failed


def test_a_stranger_gets_those_files_and_nothing_else(tmp_path: Path) -> None:
    publication = plan_publication(make_run(tmp_path / "run"), "me/peptides")
    with lay_out(publication.files) as stage:
        laid = {path.relative_to(stage).as_posix() for path in Path(stage).rglob("*") if path.is_file()}
        assert laid == {file.path for file in publication.files}
        assert json.loads((Path(stage) / "config.json").read_text()) == {"model_type": "esm"}


@pytest.mark.parametrize("repo", ["peptides", "a/b/c", "me/--x", "me/", "me/a b"])
def test_a_repository_is_owner_and_name(tmp_path: Path, repo: str) -> None:
    with pytest.raises(UserError, match="is not a Hub id"):
        plan_publication(make_run(tmp_path / "run"), repo)


@pytest.mark.parametrize("status", ["running", "failed", "interrupted"])
def test_an_unfinished_run_is_not_published(tmp_path: Path, status: str) -> None:
    with pytest.raises(UserError, match=f"this run is {status}.*bench run"):
        plan_publication(make_run(tmp_path / "run", status=status), "me/peptides")


def test_a_baseline_is_not_published(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="a baseline"):
        plan_publication(make_run(tmp_path / "run", baseline=True), "me/peptides")


def test_a_folder_without_a_record_is_not_a_run(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no run record"):
        plan_publication(tmp_path, "me/peptides")


def test_a_record_with_another_identity_is_refused(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run")
    record = json.loads((folder / "run.json").read_text())
    record["identity"]["seed"] = 7
    (folder / "run.json").write_text(json.dumps(record))
    with pytest.raises(UserError, match="run_id is not that of its identity"):
        plan_publication(folder, "me/peptides")


@pytest.mark.parametrize("name", ["model/model.safetensors", "model/config.json", "predictions.parquet"])
def test_a_file_that_changed_after_the_run_is_refused(tmp_path: Path, name: str) -> None:
    folder = make_run(tmp_path / "run")
    path = folder / name
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    failed = failures(plan_publication(folder, "me/peptides"))
    assert (
        "changed after the run" in failed["files are those of the run"] and name in failed["files are those of the run"]
    )


def test_a_file_that_the_run_did_not_write_is_refused(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run")
    (folder / "model" / "notes.txt").write_text("mine")
    assert "did not write it" in failures(plan_publication(folder, "me/peptides"))["files are those of the run"]


def test_a_file_that_is_gone_is_noticed(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run")
    (folder / "model" / "vocab.txt").unlink()
    assert "it is gone" in failures(plan_publication(folder, "me/peptides"))["files are those of the run"]


@pytest.mark.parametrize("name", ["pytorch_model.bin", "optimizer.pt", "extra.pkl", "last.ckpt", "weights.h5"])
def test_weights_that_can_run_code_are_refused(tmp_path: Path, name: str) -> None:
    folder = make_run(tmp_path / "run", model_files={name: pickle.dumps([1.0])})
    assert f"{name} can run code" in failures(plan_publication(folder, "me/peptides"))["safe formats"]


def test_code_that_bench_did_not_write_is_refused(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", model_files={"setup.py": "import os"})
    assert "code that bench did not write" in failures(plan_publication(folder, "me/peptides"))["safe formats"]


def test_damaged_weights_are_refused(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", model_files={"model.safetensors": b"\x10\0\0\0\0\0\0\0{}"})
    assert "damaged weights" in failures(plan_publication(folder, "me/peptides"))["safe formats"]


def test_a_token_in_a_file_is_refused_and_not_shown(tmp_path: Path) -> None:
    secret = "hf_AbCdEfGhIjKlMnOpQrStUvWx"
    folder = make_run(tmp_path / "run", config={"model_type": "esm", "note": secret})
    failed = failures(plan_publication(folder, "me/peptides"))
    assert "config.json holds what looks like a token" in failed["no secrets"] and secret not in failed["no secrets"]


def test_an_unknown_licence_must_be_stated(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", licence=None)
    publication = plan_publication(folder, "me/peptides")
    assert "--licence" in failures(publication)["licence"] and publication.licence is None
    assert plan_publication(folder, "me/peptides", licence="afl-3.0").licence == "afl-3.0"


def test_a_licence_that_the_hub_would_refuse_is_said_before_anything_is_uploaded(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run")
    spelt = plan_publication(folder, "me/peptides", licence="MIT License")
    assert failures(spelt)["licence"] == "--licence: 'MIT License' is no id of the Hub. Did you mean mit?"
    slip = failures(plan_publication(folder, "me/peptides", licence="mitt"))["licence"]
    assert slip == "--licence: 'mitt' is no id of the Hub. Did you mean mit?"
    # An own licence has a name and the page of the base model; without such a page there is nothing to say where it is.
    assert not plan_publication(folder, "me/peptides", licence="our-terms").failed
    record = read_record(folder)
    record.identity.checkpoint = CheckpointIdentity(name="esm", source="local", sha256="d" * 64)
    record.run_id = record.identity.run_id
    write_record(folder, record)
    own = failures(plan_publication(folder, "me/peptides", licence="our-terms"))["licence"]
    assert "'our-terms' is no id of the Hub, which then needs the address of its text" in own


def test_a_non_commercial_base_does_not_become_permissive(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", licence="cc-by-nc-sa-4.0")
    assert plan_publication(folder, "me/peptides").licence == "cc-by-nc-sa-4.0"
    assert "forbids commercial use" in failures(plan_publication(folder, "me/peptides", licence="mit"))["licence"]
