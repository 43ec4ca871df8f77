"""What is to be run: tasks × (baselines + checkpoints × recipe) × seeds, as a list."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hubtools.specs.errors import UserError
from hubtools.specs.loading import load_recipe
from hubtools.specs.recipe import Recipe
from hubtools.specs.record import CheckpointIdentity
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
        suite: by whose wish.
        overrides: recipe fields set by the user.
        task_file, recipe_file: where the user gave a file instead of a name.
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

    @property
    def title(self) -> str:
        """For progress and tables."""
        return f"{self.task.name} · {self.checkpoint or 'baseline'} · {self.recipe.name} · seed {self.seed}"

    def command(self, checkpoint: CheckpointIdentity | None) -> str:
        """The command line that makes this run again, its checkpoint pinned where it is on the Hub."""
        parts = ["bench", "run"]
        if checkpoint is not None:
            pinned = f"{checkpoint.name}@{checkpoint.commit}" if checkpoint.commit else str(self.checkpoint)
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
        return shlex.join(parts)


def expand(
    tasks: Mapping[str, Task],
    checkpoints: Sequence[str],
    recipe: Recipe,
    seeds: Sequence[int],
    baselines: Sequence[str] = (),
    *,
    subset: int | None = None,
    suite: str | None = None,
    overrides: dict[str, Any] | None = None,
    recipe_file: str | None = None,
    zero_shot: Recipe | None = None,
) -> list[PlannedRun]:
    """All runs, task by task, what is cheap first.

    A baseline that needs no checkpoint has nothing random worth repeating and runs with the first seed only.

    Args:
        tasks: by the name or file that the user gave.
        checkpoints, recipe, seeds: what is asked for, all combined.
        baselines: recipes beside it; those that do not exist for a task's problem are left out.
        subset, suite, recipe_file: as in :class:`PlannedRun`.
        overrides: as there; they are already applied to ``recipe``.
        zero_shot: takes the recipe's place in tasks in which nothing is trained; without it they need such a recipe.

    Raises:
        UserError: the recipe does not exist for a task's problem.
    """
    planned = []
    baseline_recipes = [load_recipe(name) for name in baselines]
    for given, task in tasks.items():
        shared: dict[str, Any] = {"subset": subset, "suite": suite, "task_file": given if given != task.name else None}
        asked: dict[str, Any] = {"overrides": overrides or {}, "recipe_file": recipe_file, **shared}
        for baseline in baseline_recipes:
            # Those that are not defined for the problem are left out silently, for they do not exist.
            if baseline.baseline and baseline.why_not(task.problem) is None:
                planned.append(PlannedRun(task, baseline, None, seeds[0], **shared))
        chosen, task_seeds = recipe, list(seeds)
        if (
            task.problem.zero_shot
            and zero_shot is not None
            and recipe.adaptation != "zero-shot"
            and not recipe.baseline
        ):
            chosen, asked = zero_shot, shared
        if (reason := chosen.why_not(task.problem)) is not None:
            raise UserError(
                f"the recipe {chosen.name} does not exist for {task.problem.value}: {reason}",
                where=f"task {task.name}",
                fix="Choose another --recipe: bench recipes list.",
            )
        if chosen.weights == "pretrained" and (task.problem.zero_shot or chosen.head.solver == "ridge"):
            task_seeds = task_seeds[:1]  # Nothing is random, so nothing is worth repeating.
        if not chosen.needs_checkpoint:
            planned += [PlannedRun(task, chosen, None, seed, **asked) for seed in task_seeds]
            continue
        for checkpoint in checkpoints:
            for baseline in baseline_recipes:
                if baseline.needs_checkpoint and baseline.why_not(task.problem) is None:
                    planned += [PlannedRun(task, baseline, checkpoint, seed, **shared) for seed in seeds]
            planned += [PlannedRun(task, chosen, checkpoint, seed, **asked) for seed in task_seeds]
    return planned
