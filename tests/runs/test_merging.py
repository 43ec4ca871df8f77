"""Folders of runs become one: what is the same counts once, what is not is named, and nothing that is there is lost."""

from __future__ import annotations

import json
import os
import shutil
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sample_records import LOCALISATION, PEPTIDES, PROBE, make_record, relisted, scored_worse, write_full_run
from test_claims import of_another_machine

import hubtools
from hubtools.common.errors import UserError
from hubtools.evaluation.predictions import read_predictions, write_predictions
from hubtools.runs.many.merging import MergedRun, merged
from hubtools.runs.store import find_records, run_folder, write_record


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two folders: seeds 1 and 2, seeds 2 and 3."""
    root = tmp_path_factory.mktemp("merging")
    for name, seeds in {"a": (1, 2), "b": (2, 3)}.items():
        for seed in seeds:
            folder = write_full_run(root / name, PEPTIDES, PROBE, seed=seed)
            (folder / "model").mkdir()
            (folder / "model" / "weights.bin").write_bytes(b"w" * 100)
            relisted(folder)
            (folder / "card").mkdir()
            (folder / "card" / "README.md").write_text("a card")
            (folder / ".claim-1.free").touch()
    return root


@pytest.fixture
def two(shipped: Path, tmp_path: Path) -> Path:
    for name in "ab":
        shutil.copytree(shipped / name, tmp_path / name)
    return tmp_path


def what(found: list[MergedRun]) -> list[str]:
    return [run.what for run in found]


def of_seed(root: Path, seed: int) -> Path:
    (folder,) = root.glob(f"*--s{seed}--*")
    return folder


def contents(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def test_each_run_is_there_once_and_whole(two: Path) -> None:
    before = {name: contents(two / name) for name in "ab"}
    found = list(merged([two / "a", two / "b"], two / "c"))
    assert what(found) == ["copied", "copied", "same", "copied"]
    assert {name: contents(two / name) for name in "ab"} == before, "sources stay as they are"
    expected = {
        name: content
        for name, content in (before["a"] | before["b"]).items()
        if "/card/" not in name and "/." not in name
    }
    assert contents(two / "c") == expected
    records, problems = find_records([two / "c"])
    assert len(records) == 3 and not problems
    for run in records:
        run.require_unaltered()
        assert stat.S_IMODE(run.folder.stat().st_mode) == 0o755
    # Again there is nothing to do.
    assert set(what(list(merged([two / "a", two / "b"], two / "c")))) == {"same"}


def test_the_same_run_of_another_machine_counts_once(two: Path) -> None:
    """Its predictions are the same but for rounding, its record another."""
    other = of_seed(two / "b", 2)
    splits = {
        split: replace(found, scores=(1 - 1e-6) * found.scores + 0.5e-6)
        for split, found in read_predictions(other / "predictions.parquet").items()
    }
    write_predictions(other / "predictions.parquet", splits, PEPTIDES.label_names)
    relisted(other)
    assert (other / "run.json").read_bytes() != (of_seed(two / "a", 2) / "run.json").read_bytes()
    assert what(list(merged([two / "a", two / "b"], two / "c"))) == ["copied", "copied", "same", "copied"]


def test_other_predictions_are_a_conflict_and_the_first_stays(two: Path) -> None:
    scored_worse(of_seed(two / "b", 2), PEPTIDES, noise=0.3)
    relisted(of_seed(two / "b", 2))
    found = list(merged([two / "a", two / "b"], two / "c"))
    assert what(found) == ["copied", "copied", "conflict", "copied"]
    assert "are one run, and differ (" in str(found[2].why) and "predictions differ by" in str(found[2].why)
    assert (
        contents(of_seed(two / "c", 2))["predictions.parquet"] == contents(of_seed(two / "a", 2))["predictions.parquet"]
    )


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda run: (run / "run.json").write_text("{"), "not a run record"),
        (lambda run: (run / "predictions.parquet").write_bytes(b"x"), "it changed after the run"),
        (lambda run: (run / "model" / "weights.bin").write_bytes(b"v" * 100), "it changed after the run"),
        (lambda run: (run / "predictions.parquet").unlink(), "it is gone"),
        (lambda run: _linked(run / "predictions.parquet"), "cannot read it"),
        (lambda run: _changed(run, lambda values: values.update(run_id="0" * 12)), "its id is not that of"),
        (lambda run: _changed(run, lambda values: values.update(outputs=[])), "no checksum of its predictions"),
        (lambda run: _changed(run, lambda values: values["outputs"][0].update(path="../../x")), "not a run record"),
    ],
)
def test_what_is_not_as_its_record_says_is_named_and_left_out(two: Path, harm: Any, said: str) -> None:
    harm(of_seed(two / "a", 1))
    found = list(merged([two / "a", two / "b"], two / "c"))
    assert what(found) == ["unreadable", "copied", "same", "copied"]
    assert said in str(found[0].why) and "\n" not in str(found[0].why)
    assert len(list((two / "c").iterdir())) == 2, "nothing half copied is left"


def _linked(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to(path.with_name("elsewhere"))


def _changed(run: Path, change: Any) -> None:
    values = json.loads((run / "run.json").read_text())
    change(values)
    (run / "run.json").write_text(json.dumps(values))


def test_a_copy_that_a_loss_of_power_cut_short_is_made_again(two: Path) -> None:
    assert what(list(merged([two / "a"], two / "c"))) == ["copied", "copied"]
    (of_seed(two / "c", 1) / "predictions.parquet").write_bytes(b"")
    (of_seed(two / "c", 2) / "model" / "weights.bin").write_bytes(b"")
    assert what(list(merged([two / "a"], two / "c"))) == ["copied", "copied"]
    for run in find_records([two / "c"])[0]:
        run.require_unaltered()


def test_a_folder_is_named_by_the_run_and_not_by_its_source(two: Path) -> None:
    of_seed(two / "a", 1).rename(two / "a" / "any name at all")
    (first, *_) = merged([two / "a"], two / "c")
    assert first.target is not None and first.target.parent == two / "c"
    assert first.target.name.startswith("antimicrobial-peptide--") and first.target.is_dir()


def test_a_model_that_was_removed_is_not_missed(two: Path) -> None:
    shutil.rmtree(of_seed(two / "a", 1) / "model")
    assert what(list(merged([two / "a"], two / "c"))) == ["copied", "copied"]


def test_what_is_not_complete_is_left_out(tmp_path: Path) -> None:
    for seed, status in enumerate(("failed", "running", "interrupted"), 1):
        record = make_record(LOCALISATION, PROBE, 0.5, checkpoint="me/esm", seed=seed, status=status)
        write_record(run_folder(tmp_path / "a", record.identity), record)
    assert set(what(list(merged([tmp_path / "a"], tmp_path / "c")))) == {"unfinished"}
    assert not (tmp_path / "c").exists()


def test_a_complete_run_takes_the_place_of_one_that_is_not_unless_a_process_is_at_it(two: Path) -> None:
    target = two / "c" / of_seed(two / "a", 1).name
    shutil.copytree(of_seed(two / "a", 1), target)
    _changed(target, lambda values: values.update(status="failed", results={}, outputs=[]))
    # A process that was killed before it wrote a record left its claim alone.
    bare = two / "c" / of_seed(two / "a", 2).name
    bare.mkdir()
    of_another_machine(bare, silent=10**6)
    of_another_machine(target, silent=0, number=7)
    found = list(merged([two / "a"], two / "c"))
    assert what(found) == ["conflict", "copied"] and "another process is running it" in str(found[0].why)
    os.utime(target / ".claim-7", (0, 0))
    assert what(list(merged([two / "a"], two / "c"))) == ["copied", "same"]
    assert not (target / ".claim-7").exists()


def test_something_else_in_its_place_stays(two: Path) -> None:
    target = two / "c" / of_seed(two / "a", 1).name
    target.mkdir(parents=True)
    (target / "thesis.txt").write_text("mine")
    found = list(merged([two / "a"], two / "c"))
    assert what(found) == ["conflict", "copied"] and (target / "thesis.txt").read_text() == "mine"


def test_what_cannot_be_meant_is_refused(two: Path) -> None:
    for sources, into, said in [
        (["none"], "c", "there is no such folder"),
        (["a"], "a", "the folder that the others go into"),
        (["a"], "file", "it is a file"),
    ]:
        (two / "file").write_text("")
        with pytest.raises(UserError, match=said):
            list(merged([two / name for name in sources], two / into))


def test_the_command(two: Path, bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(two)
    assert bench("merge", "a", "b", "--into", "c") == (
        0,
        "4 runs: 3 copied, 1 there already\n",
        "board  bench board c\n",
    )
    scored_worse(of_seed(two / "b", 3), PEPTIDES, noise=0.3)
    relisted(of_seed(two / "b", 3))
    code, out, err = bench("merge", "b", "--into", "c")
    assert (code, out) == (1, "2 runs: 1 there already, 1 in conflict\n")
    assert err.startswith("conflict: b/") and len(err.splitlines()) == 1
    code, out, err = bench("merge", "none", "--into", "c")
    assert (code, out) == (2, "") and len(err.splitlines()) == 1
    code, _, err = bench("board", "c")
    assert code == 0


def test_from_python(two: Path) -> None:
    seen: list[MergedRun] = []
    done = hubtools.merge([str(two / "a"), str(two / "b")], two / "c", on_run=seen.append)
    assert repr(done) == "4 runs: 3 copied, 1 there already" and tuple(seen) == done.runs and not done.problems
    assert list(done.to_pandas()["what"]) == ["copied", "copied", "same", "copied"] and "4 runs" in done._repr_html_()
    single = hubtools.merge(str(of_seed(two / "a", 1)), two / "d")
    assert [run.what for run in single.runs] == ["copied"]
