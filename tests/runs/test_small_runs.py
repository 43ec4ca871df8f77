"""Runs that name their encoder: asked, moved about, put together and published as if they held it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tiny_project import task_name
from tiny_runs import made

import hubtools
from hubtools.common.errors import UserError
from hubtools.common.hashing import file_sha256
from hubtools.data import DataCache
from hubtools.data.task_data import load_task_data
from hubtools.publishing.contents import plan_publication
from hubtools.runs.store import PREDICTIONS, RECORD, open_run, read_record
from hubtools.runs.whole_model import has_whole_model, kept_small
from hubtools.specs.lookup.spec_files import load_task

pytestmark = pytest.mark.slow
PROBLEM = "sequence-classification"


@pytest.fixture(scope="module")
def probe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    return made(tmp_path_factory.mktemp("probe"), PROBLEM, recipe="probe")


@pytest.fixture
def run(probe: Path, tmp_path: Path) -> Path:
    """A copy, whose checkpoint is where it was."""
    return Path(shutil.copytree(probe, tmp_path / "runs" / probe.name))


def test_it_says_what_was_recorded(run: Path, monkeypatch: pytest.MonkeyPatch, probe: Path) -> None:
    assert not (run / "model" / "model.safetensors").exists()
    assert sum(path.stat().st_size for path in (run / "model").iterdir()) < 40_000
    monkeypatch.chdir("/")
    home = probe.parents[1]
    task = load_task(str(home / "tasks" / f"{task_name(PROBLEM)}.yaml"))
    rows = load_task_data(task, DataCache(home / "cache")).splits["test"]
    answers = hubtools.predict(run, dict(zip(rows["id"], rows["sequence"], strict=True)))
    recorded = open_run(run).predictions["test"]
    found = {one.answer.protein.id: one.answer.scores for one in answers}
    given = np.array([np.ravel(found[name]) for name in recorded.ids.tolist()])
    np.testing.assert_allclose(given, recorded.scores.reshape(given.shape), atol=1e-5)


def test_an_encoder_that_is_not_there_is_one_line(run: Path, probe: Path, tmp_path: Path) -> None:
    esm = probe.parents[1] / "esm"
    moved = esm.rename(tmp_path / "moved")
    try:
        with pytest.raises(UserError) as caught:
            hubtools.open_model(run)
        assert f"the folder of its encoder, the checkpoint esm, is not there ({esm})" in str(caught.value)
        assert f"bench materialise {run} --encoder FOLDER" in str(caught.value) and "\n" not in str(caught.value)
        out = hubtools.materialise(run, tmp_path / "whole", encoder=moved, check=False).folder
        assert hubtools.predict(out, "MKTAYIAKQR")[0].scores.shape == (1, 2)
        other = Path(shutil.copytree(moved, tmp_path / "other"))
        (other / "vocab.txt").write_text((other / "vocab.txt").read_text() + "<more>\n")
        with pytest.raises(UserError, match="is not what the run read: files of it changed"):
            hubtools.materialise(run, encoder=other)
    finally:
        moved.rename(esm)


def test_it_becomes_whole_and_small_again(run: Path, tmp_path: Path) -> None:
    kept = {path.name: file_sha256(path) for path in (run / "model").iterdir()}
    with kept_small(open_run(run)):
        done = hubtools.materialise(run, check=False)
        assert done.folder == run / "model" and not done.was_whole
        weights = load_file(run / "model" / "model.safetensors")
        assert any(name.startswith("encoder.") for name in weights)
        listed = {output.path: output.sha256 for output in read_record(run).outputs}
        assert listed["model/model.safetensors"] == file_sha256(run / "model" / "model.safetensors")
        assert hubtools.materialise(run, check=False).was_whole
        # What lies there now is what is asked.
        (run / "model" / "model.safetensors").write_bytes(b"other")
        with pytest.raises(UserError, match="changed after the run"):
            hubtools.open_model(run)
    assert {path.name: file_sha256(path) for path in (run / "model").iterdir()} == kept
    assert not has_whole_model(open_run(run)) and hubtools.open_model(run)


def test_what_does_not_reproduce_is_not_left(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise UserError("the saved model does not do what was measured")

    monkeypatch.setattr("hubtools.publishing.reload.reproduce_in_fresh_process", refuse)
    before = (run / RECORD).read_text()
    for out in (None, tmp_path / "whole"):
        with pytest.raises(UserError, match="does not do what was measured"):
            hubtools.materialise(run, out)
    assert not (tmp_path / "whole").exists() and not (run / "model" / "model.safetensors").exists()
    assert json.loads((run / RECORD).read_text()) == json.loads(before)


def test_what_is_published_is_whole(run: Path, blank_figures: None) -> None:
    with kept_small(open_run(run)):
        publication = plan_publication(run, "me/tiny", licence="mit")
        names = {file.path for file in publication.files}
        assert "model.safetensors" in names and not names & {"encoder.json", "head.safetensors"}
        assert not publication.failed
        assert "bench materialise" not in (run / "card" / "README.md").read_text()
    assert not (run / "model" / "model.safetensors").exists() and (run / PREDICTIONS).is_file()
    (written,) = hubtools.write_cards(str(run))
    card = written.path.read_text()
    assert f"`bench materialise {run.as_posix()}`" in card
