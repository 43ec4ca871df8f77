"""A suite that tunes: the same trials for every checkpoint, chosen on validation, beside the runs that are not tuned."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from tiny_checkpoints import write_checkpoint
from tiny_project import write_project

from hubtools.common.errors import UserError
from hubtools.data import DataCache
from hubtools.runs import steps as steps_module
from hubtools.runs.kept_plan import KeptPlan, plan_of
from hubtools.runs.many.run_states import FolderReader
from hubtools.runs.many.turns import in_turn
from hubtools.runs.plan import AskedRecipe, PlannedRun, expand
from hubtools.runs.session import Session
from hubtools.runs.sweeps import trials as sweep_module
from hubtools.runs.sweeps.tuned import sweep_of
from hubtools.specs.lookup.spec_files import load_recipe, load_suite, load_task
from hubtools.specs.suite import Suite, Tuning
from hubtools.training.compute.device import Execution

pytest.importorskip("optuna")

OVER: dict[str, Any] = {"learning_rate": [1e-3, "3e-3", 0.1], "head.pooling": ["mean", "attention"]}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    folder = write_project(tmp_path_factory.mktemp("project"), "sequence-classification", "residue-classification")
    write_checkpoint(folder / "esm", "esm")
    return folder


def planned(project: Path, problem: str = "sequence-classification", **tuning: Any) -> list[PlannedRun]:
    task = load_task(str(project / "tasks" / f"tiny-{problem}.yaml"))
    settings = {"epochs": 2}
    recipes = [AskedRecipe(load_recipe("probe", settings))]
    asked = Tuning(**({"trials": 3, "over": OVER} | tuning))
    names, baselines = [str(project / "esm")], ["majority", "random-probe", "quick-scratch"]
    return expand({task.name: task}, names, recipes, [1, 2], baselines, overrides=settings, tuning=asked)


def test_behind_each_run_of_a_checkpoint_comes_the_tuned_one(project: Path) -> None:
    runs = planned(project)
    titles = [f"{run.procedure} {run.seed}" for run in runs if run.recipe.name in {"probe", "random-probe"}]
    label = " · tuned: 3 trials"
    untuned = ["random-probe 1", "random-probe 2", "probe 1", "probe 2"]
    assert titles == untuned + [title.replace(" ", f"{label} ") for title in untuned]
    # What has nothing to tune, or trains otherwise than the recipe, is not tuned by fields that were chosen for that.
    assert {run.recipe.name for run in runs if run.tuning is None} > {"majority", "quick-scratch"}
    assert KeptPlan.model_validate_json(plan_of(runs, "bench").model_dump_json()).planned() == tuple(runs)
    space = {one.field: one.choices for one in sweep_of(runs[-1]).space}
    assert space == {"learning_rate": (1e-3, 3e-3, 0.1), "head.pooling": ("mean", "attention")}


def test_values_that_a_problem_cannot_have_are_left_out_there(project: Path) -> None:
    (tuned, *_) = [run for run in planned(project, "residue-classification") if run.tuning]
    assert [one.field for one in sweep_of(tuned).space] == ["learning_rate"]
    assert not any(
        run.tuning for run in planned(project, "residue-classification", over={"head.pooling": ["mean", "last"]})
    )


@pytest.mark.parametrize(
    ("over", "message"),
    [
        ({"learning_rte": [1, 2]}, "tuning.over.learning_rte: learning_rte: unknown key. Did you mean learning_rate?"),
        ({"learning_rate": [1e-3]}, "tuning.over.learning_rate: one value is nothing to choose from"),
        ({"learning_rate": "1e-2..1e-4"}, "tuning.over.learning_rate: the range '1e-2..1e-4' is empty"),
        ({"epochs": [1, 2]}, "tuning.over.epochs: it is set by --set"),
    ],
)
def test_what_cannot_be_tuned_is_said_before_anything_runs(project: Path, over: Any, message: str) -> None:
    with pytest.raises(UserError) as caught:
        planned(project, over=over)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_a_suite_tunes_on_all_training_data() -> None:
    suite = load_suite("fair")
    assert suite.tuning is not None and suite.tuning.trials == 12
    with pytest.raises(ValidationError, match="tuning is of all training data"):
        Suite.model_validate(suite.model_dump() | {"fractions": [0.1, 1]})


class Silent:
    """Nobody watches."""

    def begins(self, number: int) -> None: ...
    def elsewhere(self, number: int, folder: Path, waiting: bool) -> None: ...
    def again(self, number: int, why: UserError) -> None: ...


@pytest.mark.slow
def test_a_suite_chooses_on_validation_alone_and_goes_on(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = [run for run in planned(project) if run.recipe.name == "probe"]
    seen: list[bool] = []

    class Watched(steps_module.Steps):
        def do(self) -> None:
            seen.append(self.test)
            super().do()

    monkeypatch.setattr(sweep_module, "Steps", Watched)

    def session() -> Session:
        return Session(tmp_path / "runs", DataCache(tmp_path / "cache"), Execution(torch.device("cpu"), 512))

    first = dict(in_turn(runs[:3], session(), Silent()))
    assert seen == [False] * 3, "trials, of which none has a test split"
    states = FolderReader(tmp_path / "runs").of(runs)
    assert [state.state for state in states] == ["done", "done", "done", "waiting"]
    outcomes = dict(in_turn(runs, session(), Silent()))
    assert len(seen) == 3, "the second seed, and the same command again, try nothing anew"
    facts = [outcomes[number].record.sweep for number in (2, 3)]
    assert first[2].record.sweep == facts[0] == facts[1] and facts[0] is not None
    assert facts[0].budget == facts[0].trials == 3
    assert [outcomes[number].was_done for number in range(4)] == [True, True, True, facts[0].own_values]
    kept = sweep_module.kept_trials(sweep_of(runs[2]).folder(session()))
    scores = [trial.score for trial in kept if trial.score is not None]
    assert facts[0].validation == max(scores) == scores[[t.values for t in kept].index(facts[0].chosen)]
    assert outcomes[3].record.overrides == {"epochs": 2, **facts[0].chosen}
    # A larger budget goes on with the trials of the smaller one, which is not told of them.
    sweep_module.search(sweep_of(planned(project, trials=5)[-1]), session(), lambda trial: None)
    again = dict(in_turn(runs, session(), Silent()))
    assert again[2].record.sweep == facts[0]
