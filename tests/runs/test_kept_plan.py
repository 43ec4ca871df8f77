"""What was asked for is kept as JSON, and another process makes the very same runs of it."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import hubtools
from hubtools.common.errors import UserError
from hubtools.runs.kept_plan import PLANS, KeptArm, keep_plan, plan_of, read_plan, read_plans
from hubtools.runs.plan import PlannedRun
from hubtools.runs.store import find_records
from hubtools.specs.lookup.content import available
from hubtools.specs.lookup.spec_files import load_recipe, load_task
from hubtools.specs.record import SweepFacts


@pytest.fixture(scope="module")
def asked() -> tuple[PlannedRun, ...]:
    """Of several tasks, shares, checkpoints and overrides."""
    some = hubtools.plan(
        ["embedded", "./esm", "me/esm@main"],
        ["localisation", "secondary-structure"],
        "probe",
        seeds=[1, 2, 3],
        set={"epochs": 4, "head.hidden": 8},
        fractions=[0.1, 1],
        baselines=True,
        subset=40,
    )
    facts = SweepFacts(
        trials=3, fields={"epochs": "1 … 4"}, chosen={"epochs": 4}, validation=0.5, seed=1, sampler="TPE"
    )
    return (*hubtools.plan("embedded", suite="core"), *some, dataclasses.replace(some[0], sweep=facts))


def test_it_holds_all_that_a_planned_run_is() -> None:
    """A field that is added to a run has to be kept, too."""
    fields = {field.name for field in dataclasses.fields(PlannedRun)}
    assert fields == set(KeptArm.model_fields) | {"seed"}


def test_the_same_runs_come_out(asked: tuple[PlannedRun, ...], tmp_path: Path) -> None:
    plan = plan_of(asked, "bench run --suite core", engine="slurm", options={"profile": {"gpus": 1}})
    keep_plan(tmp_path, plan)
    found = read_plan(tmp_path, plan.id)
    assert found == plan and found.planned() == asked
    assert [run.command(None) for run in found.planned()] == [run.command(None) for run in asked]
    assert [run.task.hash for run in found.planned()] == [run.task.hash for run in asked]
    assert [run.recipe.hash for run in found.planned()] == [run.recipe.hash for run in asked]
    # Tasks once, seeds beside each other.
    assert len(found.tasks) < len(found.arms) < len(found.runs)


@pytest.mark.parametrize("kind", ["task", "recipe"])
def test_every_task_and_recipe_of_the_house(kind: Any, tmp_path: Path) -> None:
    tasks = [load_task(name) for name in available("task")] if kind == "task" else [load_task("localisation")]
    recipes = [load_recipe(name) for name in available("recipe")] if kind == "recipe" else [load_recipe("probe")]
    runs = tuple(PlannedRun(task, recipe, "embedded", 1) for task in tasks for recipe in recipes)
    plan = keep_plan(tmp_path, plan_of(runs, "bench run"))
    assert read_plan(tmp_path, plan.id).planned() == runs


def test_another_process_makes_them(asked: tuple[PlannedRun, ...], tmp_path: Path) -> None:
    plan = keep_plan(tmp_path, plan_of(asked, "bench run"))
    code = (
        "import sys\nfrom pathlib import Path\nfrom hubtools.runs.kept_plan import read_plan\n"
        "for run in read_plan(Path(sys.argv[1]), sys.argv[2]).planned():\n    print(run.title, run.task.hash)\n"
        "assert 'torch' not in sys.modules"
    )
    said = subprocess.run([sys.executable, "-c", code, tmp_path, plan.id], capture_output=True, text=True, check=True)
    assert said.stdout.splitlines() == [f"{run.title} {run.task.hash}" for run in asked]


def test_asked_for_again_it_goes_on(asked: tuple[PlannedRun, ...], tmp_path: Path) -> None:
    first = keep_plan(tmp_path, plan_of(asked, "first", engine="slurm").with_jobs({"12_0": [0, 1], "12_1": [2]}))
    again = keep_plan(tmp_path, plan_of(asked, "second", engine="slurm").with_jobs({"13": range(1, 3)}))
    assert again.id == first.id and again.begun == first.begun and again.command == "second"
    assert again.jobs == {"12_0": [0, 1], "12_1": [2], "13": [1, 2]}
    # A process that takes part here leaves the engine's jobs known.
    assert keep_plan(tmp_path, plan_of(asked, "third")) == read_plan(tmp_path, first.id) == again
    # Another engine has jobs of its own.
    assert keep_plan(tmp_path, plan_of(asked, "fourth", engine="ray")).jobs == {}
    assert plan_of(asked[1:], "").id != first.id


def test_it_is_no_run(asked: tuple[PlannedRun, ...], tmp_path: Path) -> None:
    keep_plan(tmp_path, plan_of(asked, "bench run"))
    assert find_records([tmp_path]) == ([], [])
    plans, problems = read_plans(tmp_path)
    assert len(plans) == 1 and not problems
    assert read_plans(tmp_path / "none") == ([], [])


def test_a_secret_is_not_kept(asked: tuple[PlannedRun, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_" + "a1B2" * 8)
    secret = "hf_" + "a1B2" * 8
    plan = keep_plan(tmp_path, plan_of(asked, f"bench run {secret}", options={"env": {"X": secret}}))
    assert secret not in (tmp_path / PLANS / f"{plan.id}.json").read_text()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda values: values.update(runs=[{"arm": 10**6, "seed": 1}]), "an arm that is not there"),
        (lambda values: values["arms"][0].update(task=99), "a recipe that is not there"),
        (lambda values: values.update(jobs={"1": [10**9]}), "a run that is not there"),
        (lambda values: values["runs"][0].update(folder="../../etc"), "not a plan of this version"),
        (lambda values: values.update(command="a\u001b[2J"), "not a plan of this version"),
        (lambda values: values.update(begun="yesterday"), "not a plan of this version"),
        (lambda values: values["runs"].pop(), "its runs are others"),
        (lambda values: values["arms"][0].update(overrides={"a": "\u202e"}), "not a plan of this version"),
        (lambda values: values.clear(), "not a plan of this version"),
    ],
)
def test_what_somebody_else_wrote_is_refused_in_a_line(
    asked: tuple[PlannedRun, ...], tmp_path: Path, change: Any, said: str
) -> None:
    plan = keep_plan(tmp_path, plan_of(asked, "bench run"))
    path = tmp_path / PLANS / f"{plan.id}.json"
    values = json.loads(path.read_text())
    change(values)
    path.write_text(json.dumps(values))
    with pytest.raises(UserError, match=said):
        read_plan(tmp_path, plan.id)
    assert len(read_plans(tmp_path)[1]) == 1
    # And is made anew where it is asked for again.
    assert keep_plan(tmp_path, plan).planned() == asked


@pytest.mark.parametrize("text", ["", "[" * 9999, "null", '{"id": 1e999}', "\ud800"])
def test_what_is_no_json_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / PLANS).mkdir()
    (tmp_path / PLANS / ("a" * 12 + ".json")).write_bytes(text.encode(errors="surrogatepass"))
    with pytest.raises(UserError, match="not a plan"):
        read_plan(tmp_path, "a" * 12)
    with pytest.raises(UserError, match="no name of a file"):
        read_plan(tmp_path, "../x")
