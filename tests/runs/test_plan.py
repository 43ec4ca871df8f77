"""What will be run, in which order, and the command that makes a run again."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest
from tiny_project import write_project, write_task
from tiny_tasks import tiny_task

import hubtools
from hubtools.api.plans import plan_runs
from hubtools.cli.run import run as run_command
from hubtools.common.errors import UserError
from hubtools.runs.plan import AskedRecipe, PlannedRun, expand
from hubtools.specs.level import problems
from hubtools.specs.lookup.content import shipped_root
from hubtools.specs.lookup.spec_files import load_recipe, load_suite, load_task
from hubtools.specs.problem import Problem
from hubtools.specs.recipe import BASELINES
from hubtools.specs.record import CheckpointIdentity

LOCAL = CheckpointIdentity(name="esm", source="local", sha256="0" * 64)
ON_HUB = CheckpointIdentity(name="me/esm", source="hub", commit="a" * 40)


def titles(planned: list[PlannedRun]) -> list[str]:
    return [item.title.removeprefix("tiny-") for item in planned]


def test_task_by_task_what_is_cheap_first() -> None:
    residue, protein = tiny_task("residue-classification"), tiny_task("sequence-regression")
    planned = expand(
        {residue.name: residue, protein.name: protein},
        ["a", "b"],
        [AskedRecipe(load_recipe("full"))],
        [1, 2],
        load_suite("core").baselines,
    )
    assert titles(planned) == [
        "residue-classification · baseline · majority · seed 1",
        "residue-classification · baseline · onehot-window · seed 1",
        "residue-classification · a · random-probe · seed 1",
        "residue-classification · a · random-probe · seed 2",
        "residue-classification · a · full · seed 1",
        "residue-classification · a · full · seed 2",
        "residue-classification · b · random-probe · seed 1",
        "residue-classification · b · random-probe · seed 2",
        "residue-classification · b · full · seed 1",
        "residue-classification · b · full · seed 2",
        "sequence-regression · baseline · majority · seed 1",
        "sequence-regression · baseline · composition · seed 1",
        "sequence-regression · baseline · nearest-neighbour · seed 1",
        "sequence-regression · a · random-probe · seed 1",
        "sequence-regression · a · random-probe · seed 2",
        "sequence-regression · a · full · seed 1",
        "sequence-regression · a · full · seed 2",
        "sequence-regression · b · random-probe · seed 1",
        "sequence-regression · b · random-probe · seed 2",
        "sequence-regression · b · full · seed 1",
        "sequence-regression · b · full · seed 2",
    ]


def test_a_baseline_by_name_runs_with_every_seed_asked_for_and_without_the_checkpoints() -> None:
    task = tiny_task("sequence-classification")
    planned = expand({task.name: task}, ["a"], [AskedRecipe(load_recipe("composition"))], [3, 4])
    assert [(item.checkpoint, item.seed) for item in planned] == [(None, 3), (None, 4)]


def test_a_learning_curve_is_shares_by_seeds_with_a_random_twin_before_each() -> None:
    protein, residue = tiny_task("sequence-regression"), tiny_task("residue-classification")
    planned = expand(
        {protein.name: protein}, ["a"], [AskedRecipe(load_recipe("full"))], [1, 2], ["majority"],
        overrides={"epochs": 3}, fractions=[0.1, 1.0], twins=True,
    )  # fmt: skip
    assert titles(planned) == [
        "sequence-regression · baseline · majority · seed 1",
        *(
            f"sequence-regression · a · full{weights}{share} · seed {seed}"
            for share in (" · 10 % of train", "")
            for seed in (1, 2)
            for weights in (" with random weights", "")
        ),
    ]
    assert [item.fraction for item in planned] == [None, *[0.1] * 4, *[None] * 4], "all of it is no share"
    twin, run = planned[1], planned[2]
    assert (twin.overrides, run.overrides) == ({"epochs": 3, "weights": "random"}, {"epochs": 3})
    assert twin.recipe == load_recipe("full", {"weights": "random"}).model_copy(update={"epochs": run.recipe.epochs})
    # What is random already has no twin, nor has what needs no checkpoint.
    for name in ("random-probe", "onehot-window"):
        planned = expand(
            {residue.name: residue}, ["a"], [AskedRecipe(load_recipe(name))], [1], fractions=[0.5], twins=True
        )
        assert [(item.recipe.name, item.overrides) for item in planned] == [(name, {})]


def test_the_shipped_learning_curve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    suite = load_suite("learning-curve")
    assert suite.fractions == [0.01, 0.03, 0.1, 0.3, 1] and suite.twins
    write_project(tmp_path, "residue-regression")
    monkeypatch.chdir(tmp_path)
    planned = plan_runs(("a",), ("tiny-residue-regression",), "learning-curve", ("full",), [], {}, None, None)
    trained = [item for item in planned if item.checkpoint]
    assert {item.recipe.name for item in trained} == {"full"} and len(trained) == 5 * 3 * 2
    assert {item.title for item in planned} - {item.title for item in trained} == {
        "tiny-residue-regression · baseline · majority · seed 1",
        "tiny-residue-regression · baseline · onehot-window · seed 1",
    }


def test_where_nothing_is_trained_there_is_no_share_of_training_data() -> None:
    task = tiny_task("variant-effect")
    with pytest.raises(UserError, match="nothing is trained in it, so there is no share of training data"):
        expand({task.name: task}, ["a"], [AskedRecipe(load_recipe("masked-marginals"))], [1], fractions=[0.1, 1.0])


BASELINES_OF = {
    "protein": {"majority", "composition", "nearest-neighbour"},
    "residue": {"majority", "onehot-window"},
    "pair": {"majority", "composition", "nearest-neighbour"},
    "variant": {"substitution-matrix"},
    "residue pair": {"separation"},
    "structure": {"helix"},
}


@pytest.mark.parametrize("problem", [Problem(value) for value in problems()])
@pytest.mark.parametrize("baseline", BASELINES)
def test_the_plan_knows_which_baselines_exist(baseline: str, problem: Problem) -> None:
    task = tiny_task(problem.value)
    zero_shot = [load_recipe("masked-marginals"), load_recipe("categorical-jacobian"), load_recipe("fold")]
    planned = expand({task.name: task}, ["a"], [AskedRecipe(load_recipe("full"))], [1], [baseline], zero_shot=zero_shot)
    untrained = {"variant": "masked-marginals", "residue pair": "categorical-jacobian", "structure": "fold"}
    asked = untrained.get(problem.level.name, "full")
    exists = baseline in BASELINES_OF[problem.level.name]
    assert [item.recipe.name for item in planned] == ([baseline] if exists else []) + [asked]


def test_nothing_random_is_repeated_and_random_weights_are() -> None:
    task = tiny_task("variant-effect")
    zero_shot = load_recipe("masked-marginals")
    planned = expand(
        {task.name: task}, ["a"], [AskedRecipe(load_recipe("full"))], [1, 2],
        ["majority", "random-probe", "substitution-matrix", "random-masked-marginals"], zero_shot=[zero_shot],
    )  # fmt: skip
    assert [(item.recipe.name, item.seed) for item in planned] == [
        ("substitution-matrix", 1),
        ("random-masked-marginals", 1),
        ("random-masked-marginals", 2),
        ("masked-marginals", 1),
    ]


def planned_run(**changes: Any) -> PlannedRun:
    values = {"task": tiny_task(), "recipe": load_recipe("full"), "checkpoint": "./my esm", "seed": 7, **changes}
    return PlannedRun(**values)


def test_a_checkpoint_of_the_hub_is_pinned_in_the_command() -> None:
    item = planned_run(checkpoint="me/esm@main", subset=20)
    expected = f"bench run --checkpoint me/esm@{'a' * 40} --task tiny-residue-classification --recipe full --seed 7"
    assert item.command(ON_HUB) == f"{expected} --subset 20"
    trusted = ON_HUB.model_copy(update={"trust_remote_code": True})
    assert item.command(trusted).startswith(f"bench run --checkpoint me/esm@{'a' * 40} --trust-remote-code --task")


def test_a_command_can_be_pasted_into_a_shell() -> None:
    command = planned_run(task_file="my tasks/tiny.yaml").command(LOCAL)
    assert "--checkpoint './my esm' --task 'my tasks/tiny.yaml'" in command
    assert planned_run(checkpoint=None, recipe=load_recipe("majority")).command(None) == (
        "bench run --task tiny-residue-classification --recipe majority --seed 7"
    )


@pytest.mark.parametrize(
    "given",
    [
        [],
        ["--seed", "3", "--subset", "12"],
        ["--set", "batch_size=1", "--set", "weight_decay=0", "--set", "learning_rate=1e-4"],
        ["--set", "patience=null", "--set", "head.hidden=4", "--set", "schedule=cosine", "--set", "head_learning_rate=1e-05"],
        ["--set", "window={residues: 40, overlap: 8}"],
        ["--recipe", "probe"],
        ["--recipe", "probe", "--set", "weights=random", "--fraction", "0.03"],
        ["--fraction", "1"],
        ["--recipe", "majority"],
        ["--recipe", "mine/own.yaml"],
        ["--task", "tasks/tiny-residue-classification.yaml"],
    ],
)  # fmt: skip
def test_the_recorded_command_plans_the_same_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: list[str]
) -> None:
    write_project(tmp_path, "residue-classification")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "own.yaml").write_text("name: own\nadaptation: full\nepochs: 3\n")
    monkeypatch.chdir(tmp_path)
    task = [] if "--task" in given else ["--task", "tiny-residue-classification"]

    def planned(arguments: list[str]) -> PlannedRun:
        options = run_command.make_context("run", arguments).params
        names = ("checkpoints", "tasks", "suite", "recipes", "seeds", "settings", "baselines", "subset", "fractions")
        (item,) = plan_runs(*(options[name] for name in names))
        return item

    checkpoint = [] if "majority" in given else ["--checkpoint", "./my esm"]
    first = planned([*checkpoint, *task, *given])
    command = shlex.split(first.command(LOCAL if first.recipe.needs_checkpoint else None))
    again = planned(command[2:])
    assert again == first and again.recipe.hash == first.recipe.hash and again.task.hash == first.task.hash


def test_a_task_is_found_in_the_users_folder_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_task(tmp_path, "sequence-regression").rename(tmp_path / "tasks" / "localisation.yaml")
    path = tmp_path / "tasks" / "localisation.yaml"
    path.write_text(path.read_text().replace("tiny-sequence-regression", "localisation"))
    monkeypatch.chdir(tmp_path)
    assert load_task("localisation").title == "Tiny"


def test_in_python_recipes_are_a_list_too() -> None:
    planned = hubtools.plan("embedded", "localisation", ["probe", "majority"], seeds=[1, 2])
    assert [(item.recipe.name, item.checkpoint, item.seed) for item in planned] == [
        *(("majority", None, seed) for seed in (1, 2)),
        *(("probe", "embedded", seed) for seed in (1, 2)),
    ]
    with pytest.raises(UserError, match="the recipe majority reads no checkpoint, and embedded is named"):
        hubtools.plan("embedded", "localisation", "majority")


def test_the_record_says_which_was_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A task, recipe or suite of the current folder may have the name of one that bench ships."""
    from hubtools.api.plans import plan

    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BENCH_TASKS", raising=False)
    shipped = plan(task="localisation", recipe="majority")[0]
    assert shipped.origins == {"task": "bench", "recipe": "bench"}
    for kind, name in (("tasks", "localisation"), ("benchmarks/recipes", "majority"), ("benchmarks", "core")):
        path = tmp_path / kind / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text((shipped_root() / kind / f"{name}.yaml").read_text() + "# mine\n")
    mine = plan(suite="core", task="localisation", recipe="majority", baselines=False)[0]
    other = ", in place of the one that bench ships"
    assert mine.origins == {
        "task": f"./tasks{other}",
        "recipe": f"./benchmarks/recipes{other}",
        "suite": f"./benchmarks{other}",
    }
    assert plan(task="tasks/localisation.yaml", recipe="majority")[0].origins["task"] == "a file"
    # The very same file hides nothing.
    (tmp_path / "tasks" / "localisation.yaml").write_text((shipped_root() / "tasks" / "localisation.yaml").read_text())
    assert plan(task="localisation", recipe="majority")[0].origins["task"] == "./tasks"
