"""Whatever is damaged of what bench keeps for itself: the run falls back or computes again, says it once, and ends the same."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from damage import BIT, WAYS
from sample_records import sample_runs, write_runs
from tiny_checkpoints import write_checkpoint
from tiny_project import QUICK, task_name, write_project

from hubtools.data import DataCache
from hubtools.data.sources import file_cache
from hubtools.data.sources.uniprot_answers import Kept, _file_of_rows, _read_note
from hubtools.runs.execute import Outcome, execute
from hubtools.runs.plan import PlannedRun
from hubtools.runs.session import Session
from hubtools.runs.sweeps.trials import TRIALS, Trial, kept_trials
from hubtools.specs.data_sources import UrlFile
from hubtools.specs.lookup.spec_files import load_recipe, load_task
from hubtools.training.compute import measured as measured_module
from hubtools.training.compute.device import Execution
from hubtools.training.finetune import fit as fit_module
from hubtools.training.finetune.resume import (
    OPTIMISER,
    STATE,
    WEIGHTS,
    Progress,
    check_checkpoint,
    last_whole_checkpoint,
    load_weights,
    read_optimiser,
)
from hubtools.training.finetune.resume import write_checkpoint as keep
from hubtools.training.frozen.embedding_store import EmbeddingSource, EmbeddingStore

Bench = Callable[..., tuple[int, str, str]]
EVERY = {**WAYS, **BIT}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    folder = write_project(tmp_path_factory.mktemp("project"), "sequence-classification")
    write_checkpoint(folder / "esm", "esm")
    return folder


def planned(project: Path, recipe: str, **settings: Any) -> PlannedRun:
    task = load_task(str(project / "tasks" / f"{task_name('sequence-classification')}.yaml"))
    made = load_recipe(recipe, settings)
    return PlannedRun(task, made, str(project / "esm") if made.needs_checkpoint else None, 1, overrides=settings)


def go(item: PlannedRun, root: Path) -> Outcome:
    outcome = execute(item, Session(root / "runs", DataCache(root / "cache"), Execution(torch.device("cpu"), 512)))
    assert outcome.record.status == "complete", outcome.record.failure
    return outcome


# What an interrupted fit goes on from


def fitted(work: Path) -> tuple[torch.nn.Module, list[torch.nn.Parameter]]:
    """A fit of three epochs of two steps each, the second of which is the best."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(40, 30), torch.nn.Linear(30, 2))
    trained = list(model.parameters())
    optimiser = torch.optim.AdamW(trained)
    for epoch in (1, 2, 3):
        for _ in range(2):
            model(torch.randn(4, 40)).sum().backward()
            optimiser.step()
        progress = Progress(epoch, 2 * epoch, 10 * epoch, 1.0, 0.5, min(2 * epoch, 4), 0)
        keep(work, progress, model, optimiser.state_dict())
    return model, trained


@pytest.mark.parametrize("way", EVERY)
@pytest.mark.parametrize("name", [WEIGHTS, OPTIMISER, STATE])
def test_a_damaged_checkpoint_is_passed_over_and_the_one_before_is_gone_on_from(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, way: str
) -> None:
    model, trained = fitted(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"checkpoint-4", "checkpoint-6"}

    def found() -> Path | None:
        return last_whole_checkpoint(tmp_path, lambda folder: check_checkpoint(folder, model, trained, 2))

    assert found() == tmp_path / "checkpoint-6" and capsys.readouterr().err == ""
    EVERY[way](tmp_path / "checkpoint-6" / name)
    if (name, way) == (STATE, "a bit"):
        pytest.skip("a number of it is another number; it holds no result")
    assert found() == tmp_path / "checkpoint-4"
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "checkpoint-6: cannot be gone on from" in said
    assert said.endswith("going on from checkpoint-4\n") and "pydantic" not in said
    load_weights(model, tmp_path / "checkpoint-4")
    assert set(read_optimiser(tmp_path / "checkpoint-4")) == {0, 1, 2, 3}
    # The next one of that step takes its place, whatever lies there.
    keep(tmp_path, Progress(3, 6, 30, 1.0, 0.5, 4, 0), model, torch.optim.AdamW(trained).state_dict())
    assert found() == tmp_path / "checkpoint-6"


def test_what_a_killed_process_left_of_a_checkpoint_goes(tmp_path: Path) -> None:
    left = tmp_path / ".checkpoint-2.abc123"
    left.mkdir()
    (left / WEIGHTS).write_bytes(bytes(1000))
    fitted(tmp_path)
    assert not left.exists()


@pytest.mark.slow
@pytest.mark.parametrize("way", ["cut", "a bit", "a folder"])
def test_a_run_whose_newest_checkpoint_is_damaged_ends_as_an_unbroken_one(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    item = planned(project, "full", **{**QUICK, "epochs": 6, "patience": None})
    expected = go(item, tmp_path / "unbroken")
    original, steps = fit_module.FairTrainer.training_step, []

    def step(self: Any, *arguments: Any, **options: Any) -> Any:
        steps.append(1)
        if len(steps) == 23:
            raise KeyboardInterrupt
        return original(self, *arguments, **options)

    monkeypatch.setattr(fit_module.FairTrainer, "training_step", step)
    with pytest.raises(KeyboardInterrupt):
        go(item, tmp_path / "broken")
    (folder,) = (tmp_path / "broken" / "runs").iterdir()
    EVERY[way](folder / ".work" / "checkpoint-20" / WEIGHTS)
    found = go(item, tmp_path / "broken")
    assert found.record.results == expected.record.results and found.record.training == expected.record.training


# A run's own folder


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_each_file_of_a_run_may_be_damaged_when_it_is_done_again(
    project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], way: str
) -> None:
    """With its record: so the run is not known to be done."""
    item = planned(project, "probe", epochs=2)
    expected = go(item, tmp_path)
    paths = sorted(path for path in expected.folder.rglob("*") if path.is_file() and path.name != "run.json")
    assert {path.name for path in paths} >= {
        ".claim-1.free",
        "predictions.parquet",
        "replicates.safetensors",
        "config.json",
    }
    assert {path.name for path in paths} >= {"training.jsonl", "head.safetensors", "encoder.json"}
    for path in paths:
        if path.exists():
            EVERY[way](path)
        EVERY[way](expected.folder / "run.json")
        (expected.folder / ".work").write_text("in the place of a folder")
        capsys.readouterr()
        found = go(item, tmp_path)
        said = [line for line in capsys.readouterr().err.splitlines() if line and "it/s]" not in line]
        assert found.record.results == expected.record.results, path
        assert len(said) == (way != "gone") and all("is done anew" in line for line in said), said
        assert {output.path for output in found.record.outputs} == {output.path for output in expected.record.outputs}


@pytest.mark.slow
def test_folders_in_the_place_of_files_and_files_in_the_place_of_folders(project: Path, tmp_path: Path) -> None:
    item = planned(project, "probe", epochs=2)
    expected = go(item, tmp_path)
    (expected.folder / "run.json").unlink()
    (expected.folder / "model" / "config.json").unlink()
    (expected.folder / "card").write_text("")
    (expected.folder / "failure.txt").mkdir()
    assert go(item, tmp_path).record.results == expected.record.results


# Records beside others


@pytest.mark.parametrize("way", WAYS)
def test_a_broken_record_is_a_line_and_the_board_of_the_others_stands(tmp_path: Path, bench: Bench, way: str) -> None:
    write_runs(tmp_path / "runs", sample_runs())
    (broken, *_) = sorted((tmp_path / "runs").glob("*/run.json"))
    whole = bench("board", "--runs", tmp_path / "runs", "--format", "csv")
    assert whole[0] == 0
    EVERY[way](broken)
    code, out, err = bench("board", "--runs", tmp_path / "runs", "--format", "csv")
    assert code == 0 and 1 < len(out.splitlines()) <= len(whole[1].splitlines())
    assert (str(broken) in err) == (way != "gone") and "Traceback" not in err


@pytest.mark.parametrize(
    "change",
    [
        {"task": {}},
        {"task": {"name": "x", "version": 1}},
        {"recipe": {}},
        {"results": {}},
        {"data": None},
        {"training": None},
        {"cost": None},
        {"suite": "gone"},
        {"status": "running"},
    ],
    ids=json.dumps,
)
def test_a_record_of_which_a_part_is_missing_does_not_stop_the_board(
    tmp_path: Path, bench: Bench, change: dict[str, Any]
) -> None:
    write_runs(tmp_path / "runs", sample_runs())
    path = sorted((tmp_path / "runs").glob("*/run.json"))[0]
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    code, out, _ = bench("board", "--runs", tmp_path / "runs", "--format", "csv")
    assert code == 0 and len(out.splitlines()) > 1
    assert bench("board", "--runs", tmp_path / "runs", "--html", tmp_path / "b.html")[0] == 0


def test_what_a_killed_process_left_is_no_run(tmp_path: Path, bench: Bench) -> None:
    write_runs(tmp_path / "runs", sample_runs())
    folder = sorted((tmp_path / "runs").glob("*/run.json"))[0].parent
    before = bench("board", "--runs", tmp_path / "runs", "--format", "csv")
    folder.rename(folder.with_name(f".{folder.name}.abc123"))
    assert before != bench("board", "--runs", tmp_path / "runs", "--format", "csv")


# Caches


@pytest.mark.parametrize("way", WAYS)
def test_a_damaged_array_is_computed_again(tmp_path: Path, capsys: pytest.CaptureFixture[str], way: str) -> None:
    """Found by testers: one of no bytes ended every run."""
    cache, expected = DataCache(tmp_path), np.arange(1000)
    computed: list[int] = []

    def compute() -> np.ndarray:
        computed.append(1)
        return expected

    cache.array("x", compute)
    EVERY[way](tmp_path / "arrays" / "x.npy")
    capsys.readouterr()
    for _ in range(2):
        assert np.array_equal(cache.array("x", compute), expected)
    assert len(computed) == 2, "once, and it is kept again"
    assert len(capsys.readouterr().err.splitlines()) == (way != "gone")


def test_an_archive_in_the_place_of_an_array_is_none(tmp_path: Path) -> None:
    (tmp_path / "arrays").mkdir()
    with (tmp_path / "arrays" / "x.npy").open("wb") as stream:
        np.savez(stream, a=np.arange(3))
    for _ in range(2):
        assert DataCache(tmp_path).array("x", lambda: np.arange(2)).tolist() == [0, 1]


@pytest.mark.parametrize("way", EVERY)
@pytest.mark.parametrize("part", ["files/*", "unpinned/*", "locks/*", "partial"])
def test_a_damaged_file_of_the_data_cache_is_fetched_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], part: str, way: str
) -> None:
    content, fetched = b"sequence,label\n" * 100, []

    def download(url: str, part: Path) -> None:
        fetched.append(url)
        part.write_bytes(content)

    monkeypatch.setattr("hubtools.data.sources.file_cache.download", download)
    unpinned = UrlFile(url="https://example.org/x.csv")
    first = DataCache(tmp_path).first_content(unpinned)
    pinned = unpinned.model_copy(update={"sha256": first.sha256})
    if part == "partial":
        for path in (tmp_path / "files").iterdir():
            path.unlink()
        for path in (tmp_path / "partial" / first.sha256, tmp_path / "partial" / "url-x"):
            path.write_bytes(content)
            EVERY[way](path)
    else:
        (path,) = tmp_path.glob(part)
        EVERY[way](path)
    capsys.readouterr()
    cache = DataCache(tmp_path)
    assert cache.fetch(pinned).read_bytes() == content
    assert cache.fetch(unpinned).read_bytes() == content and cache.first_content(unpinned).sha256 == first.sha256
    assert len(fetched) <= 4
    assert len(capsys.readouterr().err.splitlines()) <= 1
    # And from now on nothing is fetched.
    fetched.clear()
    assert DataCache(tmp_path).fetch(unpinned).read_bytes() == content and not fetched


@pytest.mark.parametrize("way", WAYS)
def test_a_damaged_note_of_a_checksum_is_not_a_checksum(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """Else the checkpoint would be another one, and its runs other runs."""
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(file_cache, "REMEMBERED_ABOVE", 10)
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(bytes(100))
    expected = file_cache.remembered_sha256(weights)
    (note,) = (tmp_path / "cache" / "checksums").iterdir()
    assert note.read_text() == expected
    EVERY[way](note)
    assert file_cache.remembered_sha256(weights) == expected
    assert note.read_text() == expected


@pytest.mark.parametrize("way", EVERY)
def test_damaged_measurements_are_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path))

    def ask() -> str:
        monkeypatch.setattr(measured_module, "_known", {})
        return measured_module.measured("cpu", "which", lambda: {"a": lambda: None}, ("a", "b"))

    assert ask() == "a"
    for path in (tmp_path / "measured-cpu.json", tmp_path / "measured-cpu.json.lock"):
        EVERY[way](path) if path.stat().st_size else WAYS["a folder"](path)
        assert ask() == "a"
    (tmp_path / "measured-cpu.json").write_text((tmp_path / "measured-cpu.json").read_text().replace('"a"', '"c"'))
    assert ask() == "a", "an answer that is none"


@pytest.mark.parametrize("way", EVERY)
def test_damaged_embeddings_are_computed_again(tmp_path: Path, capsys: pytest.CaptureFixture[str], way: str) -> None:
    space = EmbeddingSource("esm", "0" * 64, "pretrained", "float32", "cpu", "torch").space("mean", 2)
    entries = {bytes([i]) * 32: np.full((1, 8), i, np.float32) for i in range(20)}
    EmbeddingStore(tmp_path).add(space, entries)
    (path,) = tmp_path.glob("*/*.safetensors")
    EVERY[way](path)
    store = EmbeddingStore(tmp_path)
    assert store.find(space, entries) == {}
    assert len(capsys.readouterr().err.splitlines()) == (way != "gone")
    store.add(space, entries)
    assert set(EmbeddingStore(tmp_path).find(space, entries)) == set(entries)


@pytest.mark.parametrize("header", [b"5", b"[]", b'"x"', b"{}", b'{"__metadata__": 3}', b'{"keys": []}', b"[" * 5000])
def test_a_header_of_another_form_is_damage(tmp_path: Path, header: bytes) -> None:
    space = EmbeddingSource("esm", "0" * 64, "pretrained", "float32", "cpu", "torch").space("mean", 2)
    (tmp_path / space.name).mkdir()
    path = tmp_path / space.name / "a.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(64))
    assert EmbeddingStore(tmp_path).find(space, [b"0" * 32]) == {} and not path.exists()


@pytest.mark.parametrize("way", WAYS)
def test_damaged_notes_of_answers_of_uniprot_are_none(tmp_path: Path, way: str) -> None:
    cache, note = DataCache(tmp_path), tmp_path / "uniprot" / "query-x.json"
    note.parent.mkdir()
    kept = Kept("reviewed:true", ["accession"], "2026_01", "2026-01-01", 3, "0" * 64, "1" * 64, "2026-01-02")
    note.write_text(json.dumps(kept.__dict__))
    (note.parent / f"rows-{'0' * 64}").write_text("1" * 64)
    assert _read_note(note) == kept and _file_of_rows("0" * 64, cache) == "1" * 64
    EVERY[way](note)
    assert _read_note(note) is None and not note.is_dir()
    EVERY[way](note.parent / f"rows-{'0' * 64}")
    assert _file_of_rows("0" * 64, cache) is None


# Trials of a sweep


@pytest.mark.parametrize("way", EVERY)
def test_trials_are_kept_as_far_as_they_can_be_read(tmp_path: Path, way: str) -> None:
    trials = [
        Trial(number=n, values={"epochs": n}, run_id="0" * 12, status="complete", score=0.5, epochs=n, seconds=1.0)
        for n in range(1, 8)
    ]
    path, said = tmp_path / TRIALS, list[str]()
    path.write_text("".join(trial.model_dump_json() + "\n" for trial in trials))
    assert kept_trials(tmp_path, said.append) == trials and not said
    EVERY[way](path)
    found = kept_trials(tmp_path, said.append)
    assert found == trials[: len(found)] and len(found) < len(trials)
    assert len(said) == (way not in {"gone", "emptied"}) and all("done again" in line for line in said)
