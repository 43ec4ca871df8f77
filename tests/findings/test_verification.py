"""What others hand in is recomputed: whatever is claimed and is not so is found, and said in one line."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_runs import made

from hubtools.common.errors import UserError
from hubtools.common.hashing import file_sha256
from hubtools.data import DataCache
from hubtools.evaluation.predictions import read_predictions, write_predictions
from hubtools.findings.verification import (
    NotAsked,
    Verification,
    _checkpoint,
    add_submission,
    check_submission,
    submissions_in,
)
from hubtools.runs.store import PREDICTIONS, RECORD, read_record
from hubtools.specs.lookup.content import shipped_root
from hubtools.specs.lookup.spec_files import load_recipe, load_task
from hubtools.specs.lookup.trusted import TrustedSpecs
from hubtools.specs.record import RunRecord

pytestmark = pytest.mark.slow
PROBLEMS = [
    "sequence-classification",
    "sequence-multilabel",
    "residue-classification",
    "residue-regression",
    "pair-classification",
    "pair-multilabel",
    "pair-regression",
]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("runs")
    return {problem: made(folder / problem, problem) for problem in PROBLEMS}


@pytest.fixture
def submission(runs: dict[str, Path], tmp_path: Path) -> Path:
    """One of a classification."""
    run = runs["sequence-classification"]
    return add_submission(run, tmp_path)


def checked(folder: Path, run: Path, known: dict[str, RunRecord] | None = None) -> Verification:
    """As its task's owner checks it, who holds the folder that the run is from."""
    project = run.parents[1]
    return check_submission(folder, DataCache(project / "cache"), TrustedSpecs(project), known)


def refusals(verdict: Verification) -> str:
    return "\n".join(f"{one.title}: {one.detail}" for one in verdict.findings if one.holds is False)


@pytest.mark.parametrize("problem", PROBLEMS)
def test_an_honest_one_has_nothing_to_refuse(runs: dict[str, Path], tmp_path: Path, problem: str) -> None:
    run = runs[problem]
    folder = add_submission(run, tmp_path)
    assert {path.name for path in folder.iterdir()} == {RECORD, PREDICTIONS, "replicates.safetensors"}
    assert str(tmp_path) not in (folder / RECORD).read_text()
    verdict = checked(folder, run)
    assert refusals(verdict) == ""
    # Its checkpoint is a folder, which nobody else has: said, and no reason to refuse.
    assert [one.title for one in verdict.findings if one.holds is None] == ["checkpoint"]
    assert verdict.accepted is None
    assert any("numbers recomputed" in one.detail for one in verdict.findings)


def test_the_embedded_checkpoint_is_one_that_anybody_has() -> None:
    """Found by testers: a run of what comes with bench was not wholly checked, since its checkpoint is "a folder"."""
    golden = next((shipped_root() / "benchmarks/baselines/golden").glob("golden-class--*golden-probe*"))
    record = read_record(golden)
    assert "comes with bench" in _checkpoint(record)
    record.identity.checkpoint = record.identity.checkpoint.model_copy(update={"sha256": "0" * 64})
    with pytest.raises(NotAsked):
        _checkpoint(record)


def rewrite(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    record = json.loads((folder / RECORD).read_text())
    change(record)
    (folder / RECORD).write_text(json.dumps(record))


def repredict(folder: Path, change: Callable[[Any], Any], *, honest_checksum: bool = True) -> None:
    """Change the predictions of the test split, and the checksum with them."""
    splits = read_predictions(folder / PREDICTIONS)
    splits["test"] = change(splits["test"])
    write_predictions(folder / PREDICTIONS, splits, ["other", "aromatic"])
    if honest_checksum:

        def sign(record: dict[str, Any]) -> None:
            for output in record["outputs"]:
                if output["path"] == PREDICTIONS:
                    output["sha256"] = file_sha256(folder / PREDICTIONS)

        rewrite(folder, sign)


def better(record: dict[str, Any]) -> None:
    record["results"]["test"]["scores"]["accuracy"]["value"] = 0.999


def narrower(record: dict[str, Any]) -> None:
    score = record["results"]["test"]["scores"]["accuracy"]
    score["low"] = score["value"] - 0.001


def other_class(record: dict[str, Any]) -> None:
    record["results"]["test"]["per_class"][0]["recall"] = 0.123


def other_calibration(record: dict[str, Any]) -> None:
    record["results"]["test"]["calibration"]["ece"] = 0.0


def other_stratum(record: dict[str, Any]) -> None:
    record["results"]["test"]["strata"]["length"][0]["n_proteins"] += 1


def other_seed(record: dict[str, Any]) -> None:
    record["identity"]["seed"] = 7


def other_data(record: dict[str, Any]) -> None:
    record["identity"]["data"] = "0" * 64
    record["run_id"] = RunRecord.model_validate(record).identity.run_id


def other_task(record: dict[str, Any]) -> None:
    record["identity"]["task"]["hash"] = "0" * 64


def unknown_task(record: dict[str, Any]) -> None:
    record["identity"]["task"]["name"] = "nobody-has-this"


def a_path(record: dict[str, Any]) -> None:
    record["identity"]["task"]["name"] = "/etc/hosts"


def a_token(record: dict[str, Any]) -> None:
    record["environment"]["platform"] = "hf_" + "a" * 30


def a_folder(record: dict[str, Any]) -> None:
    record["environment"]["device_name"] = "/home/me/secret"


def old_protocol(record: dict[str, Any]) -> None:
    record["identity"]["protocol"] = 1


def strange_task(record: dict[str, Any]) -> None:
    record["task"]["data"]["mirror"] = "https://example.org"


def strange_recipe(record: dict[str, Any]) -> None:
    record["recipe"]["optimiser"] = "muon"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (better, "accuracy on test: value is 0"),
        (narrower, "accuracy on test: low is 0"),
        (other_class, "results by class on test are others"),
        (other_calibration, "the calibration on test is another"),
        (other_stratum, "results by identity or length on test are others"),
        (other_seed, "is not that of its identity"),
        (other_data, "it was run on other data"),
        (other_task, "here is version 1"),
        (unknown_task, "nobody-has-this"),
        (a_path, "task.name: expected lower-case letters"),
        (a_token, "looks like a token"),
        (a_folder, "names folders of a machine"),
        (old_protocol, "protocol 1"),
        (strange_task, "cannot read the task in the record (data.mirror)"),
        (strange_recipe, "cannot read the recipe in the record (optimiser)"),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_a_changed_record_is_found(
    submission: Path, runs: dict[str, Path], change: Callable[[dict[str, Any]], None], said: str
) -> None:
    rewrite(submission, change)
    verdict = checked(submission, runs["sequence-classification"])
    assert verdict.accepted is False and said in refusals(verdict), refusals(verdict)


def as_the_truth(split: Any) -> Any:
    scores = np.eye(2, dtype=np.float32)[split.truth]
    return replace(split, scores=scores)


def other_truth(split: Any) -> Any:
    return replace(split, truth=split.scores.argmax(1))


def fewer(split: Any) -> Any:
    return split.rows(np.arange(len(split) // 2))


def no_probabilities(split: Any) -> Any:
    return replace(split, scores=split.scores * 3)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (as_the_truth, "is claimed"),
        (other_truth, "test has other labels than the task"),
        (fewer, "test has other rows than the task"),
        (no_probabilities, "do not add up to one"),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_changed_predictions_are_found(
    submission: Path, runs: dict[str, Path], change: Callable[[Any], Any], said: str
) -> None:
    repredict(submission, change)
    verdict = checked(submission, runs["sequence-classification"])
    assert verdict.accepted is False and said in refusals(verdict), refusals(verdict)


def test_predictions_under_the_old_checksum_are_found(submission: Path, runs: dict[str, Path]) -> None:
    repredict(submission, as_the_truth, honest_checksum=False)
    assert "not the file that the run wrote" in refusals(checked(submission, runs["sequence-classification"]))


def test_strange_files_are_refused_before_anything_is_read(
    submission: Path, runs: dict[str, Path], tmp_path: Path
) -> None:
    run = runs["sequence-classification"]
    (submission / "model.pkl").write_bytes(b"")
    assert "model.pkl does not belong" in refusals(checked(submission, run))
    (submission / "model.pkl").unlink()
    (submission / "replicates.safetensors").unlink()
    (submission / "replicates.safetensors").symlink_to("/etc/passwd")
    verdict = checked(submission, run)
    assert "replicates.safetensors does not belong" in refusals(verdict) and len(verdict.findings) == 1
    (submission / "replicates.safetensors").unlink()
    (submission / PREDICTIONS).unlink()
    assert "predictions.parquet is missing" in refusals(checked(submission, run))


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b'{"schema_version": 99}', b"null"])
def test_what_is_no_record_is_said(submission: Path, runs: dict[str, Path], content: bytes) -> None:
    (submission / RECORD).write_bytes(content)
    verdict = checked(submission, runs["sequence-classification"])
    assert verdict.accepted is False and "record" in refusals(verdict)


def test_what_is_no_parquet_is_said(submission: Path, runs: dict[str, Path]) -> None:
    (submission / PREDICTIONS).write_bytes(b"PAR1 or not")
    verdict = checked(submission, runs["sequence-classification"])
    assert verdict.accepted is False and "predictions" in refusals(verdict)


def test_a_known_run_with_another_result_is_found(submission: Path, runs: dict[str, Path]) -> None:
    run = runs["sequence-classification"]
    known = read_record(submission)
    assert refusals(checked(submission, run, {known.run_id: known})) == ""
    other = known.model_copy(deep=True)
    other.results["test"].scores["accuracy"].value = 0.123
    assert "is known, with another accuracy" in refusals(checked(submission, run, {known.run_id: other}))


def test_the_folder_is_called_by_the_run(submission: Path, runs: dict[str, Path], tmp_path: Path) -> None:
    shutil.move(submission, tmp_path / "mine")
    assert "must be called" in refusals(checked(tmp_path / "mine", runs["sequence-classification"]))


def test_folders_of_submissions(submission: Path, tmp_path: Path) -> None:
    assert submissions_in(submission) == submissions_in(submission.parent) == [submission]
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no submission"):
        submissions_in(tmp_path / "empty")


@pytest.mark.parametrize("place", ["current folder", "BENCH_TASKS", "package"])
def test_a_submitter_does_not_bring_the_task_along(
    runs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """Found by testers: a task file beside the submission, under a shipped name, gave "accepted, MCC 1.000"."""
    run = runs["sequence-classification"]
    theirs = tmp_path / "theirs"
    shutil.copytree(run.parents[1] / "tasks", theirs / "tasks")
    (file,) = (theirs / "tasks").glob("*.yaml")
    (file.parent / "solubility.yaml").write_text(file.read_text().replace(f"name: {file.stem}", "name: solubility"))
    monkeypatch.chdir(theirs if place == "current folder" else tmp_path)
    monkeypatch.setenv("BENCH_TASKS", str(theirs) if place == "BENCH_TASKS" else "")
    if place == "package":
        monkeypatch.setattr("hubtools.specs.lookup.content.package_folders", lambda: [("theirs 1", theirs)])
    assert load_task("solubility").title != TrustedSpecs().task("solubility").title, "bench run takes theirs"
    folder = add_submission(run, tmp_path / "handed-in")
    task = load_task("solubility")

    def as_solubility(record: dict[str, Any]) -> None:
        record["task"] = task.model_dump(mode="json")
        record["identity"]["task"] = {"name": task.name, "version": task.version, "hash": task.hash}
        record["run_id"] = RunRecord.model_validate(record).identity.run_id

    rewrite(folder, as_solubility)
    named = folder.parent / read_record(folder).run_id
    folder.rename(named)
    verdict = check_submission(named, DataCache(run.parents[1] / "cache"), TrustedSpecs())
    assert verdict.accepted is False
    assert "task: it is of solubility version 1" in refusals(verdict) and "here is version" in refusals(verdict)
    # Under a name of its own it is no task of this board either.
    own = add_submission(run, tmp_path / "own")
    assert "is held here" in refusals(check_submission(own, DataCache(run.parents[1] / "cache"), TrustedSpecs()))


def test_nor_the_recipe_nor_the_suite(runs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = runs["sequence-classification"]
    theirs = tmp_path / "theirs"
    (theirs / "benchmarks" / "recipes").mkdir(parents=True)
    monkeypatch.chdir(theirs)
    folder = add_submission(run, tmp_path / "handed-in")
    recipe = read_record(folder).recipe | {"name": "probe", "title": ""}
    (theirs / "benchmarks" / "recipes" / "probe.yaml").write_text(json.dumps(recipe))
    own = load_recipe("probe")

    def as_probe(record: dict[str, Any]) -> None:
        record["recipe"], record["overrides"] = own.model_dump(mode="json"), {}
        record["identity"]["recipe"] = {"name": "probe", "hash": own.hash}
        record["suite"] = "core"
        record["run_id"] = RunRecord.model_validate(record).identity.run_id

    rewrite(folder, as_probe)
    named = folder.parent / read_record(folder).run_id
    folder.rename(named)
    said = refusals(checked(named, run))
    assert "recipe: it is of another probe" in said
    assert "suite: tiny-sequence-classification is no task of the suite core as it is held here" in said


def test_a_recipe_that_is_not_what_its_hash_says_is_found(submission: Path, runs: dict[str, Path]) -> None:
    rewrite(submission, lambda record: record["recipe"].update(epochs=1000))
    said = refusals(checked(submission, runs["sequence-classification"]))
    assert "the recipe in the record is not the one that it names" in said
    rewrite(submission, lambda record: record["overrides"].update(epochs=1000))
    assert "recipe: it is of another full with its settings" in refusals(
        checked(submission, runs["sequence-classification"])
    )


def test_what_is_checked_is_no_project_of_the_owners(
    submission: Path, bench: Callable[..., tuple[int, str, str]]
) -> None:
    (submission.parent / "tasks").mkdir()
    for folder in (submission.parent, submission.parent / "tasks"):
        code, _, err = bench("submissions", "check", submission.parent, "--project", folder)
        assert code == 2 and "this is in what is checked" in err
    assert bench("submissions", "check", submission, "--project", submission.parent / "absent")[0] == 2
