"""One run: what names it, what it writes, and that nothing is chosen after the test split is looked at."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn import metrics as sk
from tiny_checkpoints import write_checkpoint
from tiny_project import QUICK, task_name, tiny_rows, write_project, write_rows, write_task
from tiny_tasks import PROBLEMS

from hubtools.common.errors import UserError
from hubtools.common.hashing import file_sha256
from hubtools.data import DataCache
from hubtools.runs import preparation, steps
from hubtools.runs.execute import Outcome, execute
from hubtools.runs.plan import PlannedRun
from hubtools.runs.session import Session
from hubtools.runs.store import find_records, read_record
from hubtools.specs.lookup.spec_files import load_recipe, load_task
from hubtools.training.compute.device import Execution
from hubtools.training.finetune import fit as fit_module
from hubtools.training.frozen import probe as probe_module

Plan = Callable[..., PlannedRun]
ALSO = {
    "classification": {"primary": "f1", "also": ["accuracy", "macro_f1", "auroc"], "positive": "aromatic"},
    "multilabel": {"primary": "macro_f1", "also": ["micro_f1"]},
    "regression": {"primary": "pearson", "also": ["rmse", "r2"]},
}


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    for problem in PROBLEMS:
        write_task(folder, problem, metrics=ALSO[problem.split("-")[1]])
    write_checkpoint(folder / "esm", "esm")
    return folder


@pytest.fixture(scope="module")
def plan(project: Path) -> Plan:
    def make(
        problem: str = "residue-classification",
        recipe: str = "full",
        seed: int = 1,
        subset: int | None = None,
        folder: Path = project,
        **overrides: Any,
    ) -> PlannedRun:
        task = load_task(str(folder / "tasks" / f"{task_name(problem)}.yaml"))
        settings = {**QUICK, **overrides} if recipe == "full" else overrides
        made = load_recipe(recipe, settings)
        checkpoint = str(project / "esm") if made.needs_checkpoint else None
        return PlannedRun(task, made, checkpoint, seed, subset=subset, overrides=settings)

    return make


def session(root: Path, budget: int = 512) -> Session:
    """A fresh one, as every command makes."""
    return Session(root / "runs", DataCache(root / "cache"), Execution(torch.device("cpu"), budget))


def scores(outcome: Outcome) -> dict[str, dict[str, float | None]]:
    return {
        split: {name: score.value for name, score in result.scores.items()}
        for split, result in outcome.record.results.items()
    }


# What a run is called


def test_what_determines_the_result_determines_the_name(plan: Plan, project: Path, tmp_path: Path) -> None:
    def run_id(item: PlannedRun) -> str:
        return session(tmp_path).identify(item).run_id

    base = run_id(plan())
    assert run_id(plan()) == base
    other_weights = write_checkpoint(tmp_path / "esm", "esm", seed=1)
    other_data = write_project(tmp_path / "data", "residue-classification", metrics=ALSO["classification"])
    rows = tiny_rows("residue-classification")
    rows[0]["sequence"] = "W" + rows[0]["sequence"][1:]
    write_rows(other_data, "residue-classification", rows)
    other_task = write_project(tmp_path / "task", "residue-classification")
    changed = {
        "checkpoint": PlannedRun(plan().task, plan().recipe, str(other_weights), 1),
        "data": plan(folder=other_data),
        "task": plan(folder=other_task),
        "recipe": plan(epochs=3),
        "seed": plan(seed=2),
        "subset": plan(subset=10),
        "no checkpoint": plan(recipe="majority"),
    }
    names = {what: run_id(item) for what, item in changed.items()}
    assert len({base, *names.values()}) == len(changed) + 1, names


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["full", "probe"])
def test_the_precision_that_the_device_gives_is_part_of_the_name(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recipe: str
) -> None:
    """``auto`` is bfloat16 on a capable GPU: the same recipe, other arithmetic, another run."""
    here = execute(plan(recipe=recipe), session(tmp_path)).record
    monkeypatch.setattr(Execution, "bf16", lambda self, precision: precision == "auto")
    there = execute(plan(recipe=recipe), session(tmp_path)).record
    assert (here.identity.precision, there.identity.precision) == ("float32", "bf16")
    assert here.environment.precision == "float32" and there.environment.precision == "bf16"
    assert here.run_id != there.run_id and here.identity.recipe == there.identity.recipe
    # Both stay: neither is taken for the other.
    assert len(find_records([tmp_path / "runs"])[0]) == 2


def test_what_does_not_determine_the_result_does_not(plan: Plan, project: Path, tmp_path: Path) -> None:
    base = session(tmp_path).identify(plan()).run_id
    moved = write_project(
        tmp_path / "elsewhere", "residue-classification", metrics=ALSO["classification"], title="Other words", margin=0.5
    )  # fmt: skip
    copy = write_checkpoint(tmp_path / "same-weights", "esm")
    item = PlannedRun(plan(folder=moved).task, plan().recipe, str(copy), 1, suite="core", overrides={"epochs": 2})
    elsewhere = session(tmp_path / "b", budget=4096)
    assert elsewhere.identify(item).run_id == base


# Every problem type, from data to record


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["full", "probe"])
@pytest.mark.parametrize("problem", PROBLEMS)
def test_the_record_says_what_the_predictions_say(plan: Plan, tmp_path: Path, problem: str, recipe: str) -> None:
    outcome = execute(plan(problem, recipe, **({"epochs": 5} if recipe == "probe" else {})), session(tmp_path))
    record = outcome.record
    assert record.status == "complete", record.failure
    assert record == read_record(outcome.folder)
    assert record.alignment is not None and record.alignment.aligned == record.alignment.residues > 0
    assert list(record.results) == ["validation", "test"]
    thresholds = record.training.choices.get("thresholds") if record.training else None
    table = pd.read_parquet(outcome.folder / "predictions.parquet")
    for split, result in record.results.items():
        expected = by_scikit_learn(table[table["split"] == split], problem.split("-")[1], thresholds)
        found = {name: score.value for name, score in result.scores.items()}
        assert found == pytest.approx(expected, abs=1e-6), split
        assert all(score.low <= score.value <= score.high for score in result.scores.values())
    for output in record.outputs:
        path = outcome.folder / output.path
        assert (path.stat().st_size, file_sha256(path)) == (output.bytes, output.sha256), output.path
    listed = {output.path for output in record.outputs}
    there = {p.relative_to(outcome.folder).as_posix() for p in outcome.folder.rglob("*") if p.is_file()}
    assert there == listed | {"run.json", "places.json", ".claim-1.free"}, "what is in the folder is on the record"
    weights = {"full": {"model/model.safetensors"}, "probe": {"model/head.safetensors", "model/encoder.json"}}
    assert {"predictions.parquet", "training.jsonl", "model/config.json"} | weights[recipe] <= listed


def by_scikit_learn(table: pd.DataFrame, kind: str, thresholds: list[float] | None) -> dict[str, float]:
    truth = np.stack(list(table["label"]))
    if kind == "regression":
        values = table["prediction"].to_numpy(float)
        return {
            "pearson": np.corrcoef(truth, values)[0, 1],
            "rmse": sk.root_mean_squared_error(truth, values),
            "r2": sk.r2_score(truth, values),
        }
    probability = np.stack(list(table["probability"]))
    assert thresholds is not None
    if kind == "multilabel":
        called = probability >= np.array(thresholds)
        return {
            "macro_f1": sk.f1_score(truth, called, average="macro"),
            "micro_f1": sk.f1_score(truth, called, average="micro"),
        }
    called = (probability[:, 1] >= thresholds[0]).astype(int)
    return {
        "f1": sk.f1_score(truth, called),
        "accuracy": sk.accuracy_score(truth, called),
        "macro_f1": sk.f1_score(truth, called, average="macro"),
        "auroc": sk.roc_auc_score(truth, probability[:, 1]),
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    ("problem", "baseline"),
    [(problem, "majority") for problem in PROBLEMS]
    + [(p, b) for p in PROBLEMS if not p.startswith("residue") for b in ("composition", "nearest-neighbour")]
    + [(p, "onehot-window") for p in PROBLEMS if p.startswith("residue")],
)
def test_baselines_run_by_the_same_rules(plan: Plan, tmp_path: Path, problem: str, baseline: str) -> None:
    outcome = execute(plan(problem, baseline), session(tmp_path))
    assert outcome.record.status == "complete", outcome.record.failure
    table = pd.read_parquet(outcome.folder / "predictions.parquet")
    test = table[table["split"] == "test"]
    if problem.endswith("regression") and baseline == "majority":
        # A constant has no correlation: undefined is said, not invented.
        assert outcome.record.score() is not None and outcome.record.score().value is None
        assert test["prediction"].nunique() == 1
    else:
        assert outcome.record.training is not None
        expected = by_scikit_learn(test, problem.split("-")[1], outcome.record.training.choices.get("thresholds"))
        assert scores(outcome)["test"] == pytest.approx(expected, abs=1e-6)
    assert outcome.record.checkpoint is None and not (outcome.folder / "model").exists()


@pytest.mark.slow
def test_the_threshold_is_the_best_on_validation(plan: Plan, tmp_path: Path) -> None:
    outcome = execute(plan("sequence-classification"), session(tmp_path))
    (threshold,) = outcome.record.training.choices["thresholds"]
    table = pd.read_parquet(outcome.folder / "predictions.parquet")
    validation = table[table["split"] == "validation"]
    truth, probability = validation["label"].to_numpy(), np.stack(list(validation["probability"]))[:, 1]
    possible = [sk.f1_score(truth, probability >= limit) for limit in [*probability, threshold]]
    assert possible[-1] == max(possible)


# The test split


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["full", "probe", "composition"])
def test_the_test_split_is_predicted_once_and_last(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recipe: str
) -> None:
    """Proteins are called p0 (train), p1 (validation) and p2 (test)."""
    events: list[str] = []

    def logged(module: Any, name: str, event: Callable[..., str]) -> None:
        original = getattr(module, name)

        def call(*arguments: Any, **options: Any) -> Any:
            result = original(*arguments, **options)
            events.append(event(*arguments, **options))
            return result

        monkeypatch.setattr(module, name, call)

    def seen(_: Any, split: Any, *__: Any, **___: Any) -> str:
        return {"p0": "train", "p1": "validation", "p2": "test"}[split.ids[0].split("_")[0]]

    logged(steps, "predict", seen)
    logged(fit_module, "predict", seen)
    logged(probe_module, "embed", seen)
    logged(steps, "fit", lambda *_, **__: "trained")
    logged(steps, "fit_probe", lambda *_, **__: "trained")
    fit_baseline = steps.fit_baseline

    def baseline(*arguments: Any, **options: Any) -> Any:
        fitted, predictor = fit_baseline(*arguments, **options)
        events.append("trained")

        def call(split: Any) -> Any:
            events.append(seen(None, split))
            return predictor(split)

        return fitted, call

    monkeypatch.setattr(steps, "fit_baseline", baseline)
    logged(steps, "choose_thresholds", lambda *_, **__: "chosen")
    logged(steps, "score_and_resample", lambda *_, **__: "scored")
    outcome = execute(plan("sequence-classification", recipe), session(tmp_path))
    assert outcome.record.status == "complete", outcome.record.failure
    assert events.count("test") == 1
    # A probe has the embeddings of validation from training: its encoder reads each split once.
    again = [] if recipe == "probe" else ["validation"]
    assert events[events.index("trained") :] == ["trained", *again, "chosen", "test", "scored", "scored"]
    assert recipe != "probe" or events.count("validation") == 1


# The same command again


@pytest.mark.slow
def test_the_same_command_twice_does_nothing(plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = execute(plan(), session(tmp_path))

    def state() -> dict[Path, tuple[int, bytes]]:
        files = [path for path in first.folder.rglob("*") if path.is_file() and not path.name.startswith(".claim-")]
        return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in files}

    before = state()
    monkeypatch.setattr(steps.Steps, "do", lambda self: pytest.fail("it was run again"))
    second = execute(plan(), session(tmp_path))
    assert second.was_done and not first.was_done and second.record == first.record
    assert state() == before


@pytest.mark.slow
def test_force_does_it_again_and_gets_the_same(plan: Plan, tmp_path: Path) -> None:
    first = execute(plan(), session(tmp_path))
    before = (first.folder / "predictions.parquet").read_bytes()
    second = execute(plan(), session(tmp_path), force=True)
    assert not second.was_done and second.record.started > first.record.started
    assert scores(second) == scores(first) and second.folder == first.folder
    assert (first.folder / "predictions.parquet").read_bytes() == before
    # The log tells how long each epoch took; everything else is the same to the byte.
    files = [{o.path: o.sha256 for o in run.record.outputs if o.path != "training.jsonl"} for run in (first, second)]
    assert files[0] == files[1]


# What goes wrong


@pytest.mark.slow
def test_a_failure_is_recorded_in_one_line_and_the_next_run_goes_on(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*arguments: Any, **options: Any) -> None:
        raise ZeroDivisionError("first line\n  second line")

    shared = session(tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(steps, "fit", broken)
        failed = execute(plan(), shared)
        assert execute(plan(recipe="majority"), shared).record.status == "complete"
    record = read_record(failed.folder)
    assert (record.status, record.results, record.outputs) == ("failed", {}, [])
    assert record.failure is not None and record.failure.message == "ZeroDivisionError: first line second line"
    assert failed.mistake is None and "second line" in (failed.folder / "failure.txt").read_text()
    assert record.data is not None and record.finished is not None, "what was known is on the record"
    again = execute(plan(), shared)
    assert again.record.status == "complete" and not (failed.folder / "failure.txt").exists()


def test_memory_that_is_full_names_the_remedy(plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: Any, **options: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate …")

    monkeypatch.setattr(preparation, "build_model", full)
    failure = execute(plan(), session(tmp_path)).record.failure
    assert failure is not None
    assert failure.message == "out of memory. Use a smaller --token-budget (it was 512), or --gradient-checkpointing"


def test_a_mistake_in_the_data_is_recorded_and_handed_back(plan: Plan, tmp_path: Path) -> None:
    folder = write_project(tmp_path / "project", "residue-classification", metrics=ALSO["classification"])
    rows = tiny_rows("residue-classification")
    rows[3]["label"] = "[0]"
    write_rows(folder, "residue-classification", rows)
    outcome = execute(plan(folder=folder), session(tmp_path))
    assert isinstance(outcome.mistake, UserError) and "shorter than the sequence" in str(outcome.mistake)
    assert outcome.record.failure is not None and outcome.record.failure.message == str(outcome.mistake)
    assert read_record(outcome.folder).status == "failed" and not (outcome.folder / "failure.txt").exists()


@pytest.mark.slow
def test_training_that_diverges_says_so(plan: Plan, tmp_path: Path) -> None:
    outcome = execute(plan(learning_rate=1e30), session(tmp_path))
    assert "training diverged: the loss of the first epoch is not a number" in str(outcome.mistake)
    assert "A smaller rate: --set learning_rate=1e+29" in str(outcome.mistake)
    assert read_record(outcome.folder).status == "failed"


def test_what_cannot_be_named_has_no_folder(plan: Plan, tmp_path: Path) -> None:
    item = PlannedRun(plan().task, plan().recipe, str(tmp_path / "nowhere"), 1)
    with pytest.raises(UserError, match="no checkpoint folder"):
        execute(item, session(tmp_path))
    assert not (tmp_path / "runs").exists()


def test_a_record_that_cannot_be_read_is_made_anew(plan: Plan, tmp_path: Path) -> None:
    item = plan("sequence-classification", "majority")
    first = execute(item, session(tmp_path))
    (first.folder / "run.json").write_text("{")
    again = execute(item, session(tmp_path))
    assert not again.was_done and scores(again) == scores(first)
    assert len(find_records([tmp_path / "runs"])[0]) == 1


def test_where_the_encoder_drops_out_memory_is_part_of_the_name(plan: Plan, tmp_path: Path) -> None:
    """Its masks depend on how batches are cut: another budget is another run."""

    def identity(budget: int | str, drops: bool, **how: Any) -> Any:
        execution = Execution.choose("cpu", budget, **how)
        session = Session(tmp_path / "runs", DataCache(tmp_path / "cache"), execution)
        return session.identify(plan(encoder_dropout=drops))

    assert identity(64, False) == identity(512, False, packing=False)
    ids = {
        identity(*how, **more).run_id
        for how, more in [((64, True), {}), ((512, True), {}), ((64, True), {"packing": False})]
    }
    assert len(ids) == 3
    assert identity(64, True).batches == "64 tokens, packed where it can be, processes: 1, cpu"
    with pytest.raises(UserError, match=r"the token budget is part of a run's identity.*--token-budget 2048"):
        identity("auto", True)
    with pytest.raises(UserError, match="encoder_dropout is for adaptation: full and adapter"):
        load_recipe("probe", {"encoder_dropout": True})
