"""What is to be run: tasks × (baselines + recipes × checkpoints × shares of the training data) × seeds, as a list."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from hubtools.common.errors import UserError
from hubtools.common.files import is_folder, user_path
from hubtools.models.checkpoint import EMBEDDED
from hubtools.runs.sweeps.budget import fitted
from hubtools.specs.lookup.content import origin_of
from hubtools.specs.lookup.spec_files import load_recipe
from hubtools.specs.recipe import Recipe
from hubtools.specs.record import CheckpointIdentity, SweepFacts, procedure
from hubtools.specs.suite import Tuning
from hubtools.specs.task import Task


@dataclass(frozen=True)
class PlannedRun:
    """One run that somebody asked for.

    Attributes:
        task: the question.
        recipe: the procedure, overrides applied.
        checkpoint: name as given, or None for a baseline without one.
        seed: of everything random.
        subset: at most this many proteins of each split, or None.
        fraction: share of the training proteins (or pairs) to learn from, or None for all.
        suite: by whose wish.
        overrides: recipe fields set by the user.
        task_file, recipe_file: where the user gave a file instead of a name.
        origins: where task, recipe and suite were found, for the record; no part of the run's identity.
        sweep: how the overrides were chosen, where a sweep chose them; no part of the run's identity.
        tuning: what is still to be chosen, on validation and before the run has its name; None where nothing is.
    """

    task: Task
    recipe: Recipe
    checkpoint: str | None
    seed: int
    subset: int | None = None
    suite: str | None = None
    overrides: dict[str, Any] = field(default_factory=dict)
    task_file: str | None = None
    recipe_file: str | None = None
    fraction: float | None = None
    sweep: SweepFacts | None = None
    tuning: Tuning | None = None
    origins: dict[Literal["task", "recipe", "suite"], str] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """For progress and tables."""
        return f"{self.task.name} · {self.checkpoint or 'baseline'} · {self.procedure} · seed {self.seed}"

    @property
    def procedure(self) -> str:
        """The recipe's name, and what sets runs of a learning curve, or of a tuned recipe, apart."""
        budget = self.tuning.trials if self.tuning else self.sweep.budget if self.sweep else None
        tuned = "" if budget is None else f" · tuned: {budget} trials"
        return f"{procedure(self.recipe.name, self.fraction, self.overrides)}{tuned}"

    def command(self, checkpoint: CheckpointIdentity | None) -> str:
        """The command line that makes this run again, its checkpoint pinned where it is on the Hub."""
        parts = ["bench", "run"]
        if checkpoint is not None:
            named = str(self.checkpoint)
            # From any folder: what the run does without is looked for there.
            if named != EMBEDDED and is_folder(user_path(named)):
                named = str(user_path(named).absolute())
            pinned = f"{checkpoint.name}@{checkpoint.commit}" if checkpoint.commit else named
            parts += ["--checkpoint", pinned]
            if checkpoint.trust_remote_code:
                parts.append("--trust-remote-code")
        parts += ["--task", self.task_file or self.task.name, "--recipe", self.recipe_file or self.recipe.name]
        parts += ["--seed", str(self.seed)]
        for key, value in self.overrides.items():
            # JSON is YAML, which is what --set reads; text needs no quotes of its own.
            parts += ["--set", f"{key}={value if isinstance(value, str) else json.dumps(value)}"]
        if self.subset is not None:
            parts += ["--subset", str(self.subset)]
        if self.fraction is not None:
            parts += ["--fraction", repr(self.fraction)]
        return shlex.join(parts)


@dataclass(frozen=True)
class AskedRecipe:
    """A recipe, overrides applied, and its file where the user gave one instead of a name."""

    recipe: Recipe
    file: str | None = None


def expand(
    tasks: Mapping[str, Task],
    checkpoints: Sequence[str],
    recipes: Sequence[AskedRecipe],
    seeds: Sequence[int],
    baselines: Sequence[str] = (),
    *,
    subset: int | None = None,
    suite: str | None = None,
    suite_file: str | None = None,
    overrides: dict[str, Any] | None = None,
    zero_shot: Sequence[Recipe] = (),
    fractions: Sequence[float] = (1.0,),
    twins: bool = False,
    tuning: Tuning | None = None,
) -> list[PlannedRun]:
    """All runs, task by task, what is cheap first.

    A baseline that needs no checkpoint has nothing random worth repeating and runs with the first seed only, and
    baselines learn from all data: they are what the others are held against.

    Args:
        tasks: by the name or file that the user gave.
        checkpoints, recipes, seeds: what is asked for, all combined.
        baselines: recipes beside it; those that do not exist for a task's problem are left out.
        suite_file: where the user gave a file instead of the suite's name.
        subset, suite: as in :class:`PlannedRun`.
        overrides: as there; they are already applied to ``recipes``.
        zero_shot: the first of them that exists for a task takes a recipe's place where nothing is trained; without one
            such tasks need such a recipe.
        fractions: shares of the training data to learn from, one run each.
        twins: beside each run also one of the same recipe with random weights.
        tuning: behind the runs of a checkpoint the same with fields chosen on validation; also behind baselines that train as a
            recipe does. Not where nothing is trained, nor on a task with folds, which has no split to choose on.

    Raises:
        UserError: a recipe does not exist for a task's problem, a task has nothing to learn from, or the recipe cannot be tuned so.
    """
    planned = []
    baseline_recipes = []
    for name in baselines:
        baseline = load_recipe(name)
        baseline_recipes.append(
            (baseline, name if name != baseline.name else None, {"recipe": origin_of("recipe", name)})
        )
    of_suite = {"suite": origin_of("suite", suite_file or suite)} if suite else {}
    for given, task in tasks.items():
        origins = {"task": origin_of("task", given), **of_suite}
        shared: dict[str, Any] = {"subset": subset, "suite": suite, "task_file": given if given != task.name else None}
        shared["origins"] = origins
        for baseline, file, found in baseline_recipes:
            # Those that are not defined for the problem are left out silently, for they do not exist.
            if baseline.baseline and baseline.why_not(task.problem, task.learns, task.chains) is None:
                own = shared | {"recipe_file": file, "origins": origins | found}
                planned.append(PlannedRun(task, baseline, None, seeds[0], **own))
        chosen = [_chosen(task, asked, zero_shot, overrides or {}, origins) for asked in recipes]
        if set(fractions) != {1.0} and not (task.learns and all(recipe.learns for recipe, _ in chosen)):
            raise UserError(
                "nothing is trained in it, so there is no share of training data",
                where=f"task {task.name}",
                fix="Leave it out, or leave --fraction out.",
            )
        for recipe, own in chosen:
            if not recipe.needs_checkpoint:
                planned += [
                    PlannedRun(task, recipe, None, seed, fraction=_share(fraction), **(shared | own))
                    for fraction in fractions
                    for seed in _seeds(recipe, task, seeds, fractions)
                ]
        adapting = [(recipe, own) for recipe, own in chosen if recipe.needs_checkpoint]
        for checkpoint in checkpoints if adapting else ():
            before = len(planned)
            for baseline, file, found in baseline_recipes:
                if baseline.needs_checkpoint and baseline.why_not(task.problem, task.learns, task.chains) is None:
                    own = shared | {"recipe_file": file, "origins": origins | found}
                    planned += [PlannedRun(task, baseline, checkpoint, seed, **own) for seed in seeds]
            # Runs on the same rows follow each other, so that data are read once.
            planned += [
                PlannedRun(task, variant, checkpoint, seed, fraction=_share(fraction), **(shared | own | random))
                for fraction in fractions
                for recipe, own in adapting
                for seed in _seeds(recipe, task, seeds, fractions)
                for variant, random in _variants(recipe, own.get("overrides", {}), twins)
            ]
            if tuning is not None:
                planned += _tuned(planned[before:], tuning, {recipe.adaptation for recipe, _ in adapting})
    return planned


def _tuned(runs: Sequence[PlannedRun], tuning: Tuning, adaptations: set[str]) -> list[PlannedRun]:
    """The same runs with the recipe still to be fitted, those of one arm after each other.

    Raises:
        UserError: the recipe cannot be tuned so.
    """
    kept: dict[str, Tuning | None] = {}
    found = []
    for run in runs:
        trained = run.task.problem.level.trained and run.task.data.folds is None
        if not trained or run.recipe.adaptation not in adaptations - {"zero-shot"}:
            continue
        name, key = run.recipe_file or run.recipe.name, run.recipe.hash
        if key not in kept:
            kept[key] = fitted(tuning, name, run.overrides, run.task.problem)
        if (own := kept[key]) is not None:
            found.append(replace(run, tuning=own))
    return sorted(found, key=lambda run: list(kept).index(run.recipe.hash))


def _chosen(
    task: Task, asked: AskedRecipe, zero_shot: Sequence[Recipe], overrides: dict[str, Any], origins: dict[str, str]
) -> tuple[Recipe, dict[str, Any]]:
    """The recipe for a task, and what its runs say of it.

    Raises:
        UserError: it does not exist for the task's problem.
    """
    recipe, own = asked.recipe, dict[str, Any](overrides=overrides, recipe_file=asked.file)
    trains = recipe.adaptation != "zero-shot" and not recipe.baseline
    instead = next(
        (known for known in zero_shot if known.why_not(task.problem, task.learns, task.chains) is None), None
    )
    refused = recipe.why_not(task.problem, task.learns, task.chains)
    if not task.problem.level.trained and instead is not None and trains and refused is not None:
        recipe, own = instead, {}
        refused = None
    if refused is not None:
        raise UserError(
            f"the recipe {recipe.name} does not exist for {task.problem.value}: {refused}",
            where=f"task {task.name}",
            fix="Choose another --recipe: bench recipes list.",
        )
    return recipe, own | {"origins": origins | {"recipe": origin_of("recipe", own.get("recipe_file") or recipe.name)}}


def _seeds(recipe: Recipe, task: Task, seeds: Sequence[int], fractions: Sequence[float]) -> Sequence[int]:
    """The first alone where nothing is random, so that nothing is worth repeating; a share of the data is drawn by the seed."""
    fixed = not recipe.learns or recipe.head.solver == "ridge"
    return seeds[:1] if recipe.weights == "pretrained" and set(fractions) == {1.0} and fixed else seeds


def _share(fraction: float) -> float | None:
    """All data are None, so that a run has one identity however it was asked for."""
    return None if fraction == 1 else fraction


def _variants(recipe: Recipe, overrides: dict[str, Any], twins: bool) -> list[tuple[Recipe, dict[str, Any]]]:
    """The recipe, before it the same with random weights where that is asked for, and what sets each apart."""
    if not twins or recipe.weights == "random":
        return [(recipe, {})]
    random = recipe.model_copy(update={"weights": "random"})
    return [(random, {"overrides": {**overrides, "weights": "random"}}), (recipe, {})]
