"""What is to be run: tasks × (baselines + checkpoints × recipe) × seeds, as a list."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from hubtools.specs.loading import load_recipe
from hubtools.specs.recipe import Recipe
from hubtools.specs.task import Problem, Task

# Which baselines make sense at which level; the others are left out of a suite silently, for they do not exist.
_PER_RESIDUE_ONLY = {"onehot-window"}
_PER_PROTEIN_ONLY = {"composition", "nearest-neighbour"}


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
    """

    task: Task
    recipe: Recipe
    checkpoint: str | None
    seed: int
    subset: int | None = None
    suite: str | None = None
    overrides: dict[str, Any] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """For progress and tables."""
        return f"{self.task.name} · {self.checkpoint or 'baseline'} · {self.recipe.name} · seed {self.seed}"

    def command(self, pinned_checkpoint: str | None) -> str:
        """The command line that makes this run again."""
        parts = ["bench run"]
        if pinned_checkpoint:
            parts.append(f"--checkpoint {pinned_checkpoint}")
        parts.append(f"--task {self.task.name} --recipe {self.recipe.name} --seed {self.seed}")
        parts += [f"--set {key}={_plain(value)}" for key, value in self.overrides.items()]
        if self.subset is not None:
            parts.append(f"--subset {self.subset}")
        return " ".join(parts)


def _plain(value: Any) -> str:
    return {True: "true", False: "false", None: "null"}.get(value, str(value)) if not isinstance(value, str) else value


def expand(
    tasks: Sequence[Task],
    checkpoints: Sequence[str],
    recipe: Recipe,
    seeds: Sequence[int],
    baselines: Sequence[str] = (),
    *,
    subset: int | None = None,
    suite: str | None = None,
    overrides: dict[str, Any] | None = None,
) -> list[PlannedRun]:
    """All runs, task by task, what is cheap first.

    A baseline that needs no checkpoint has nothing random worth repeating and runs with the first seed only.
    """
    planned = []
    baseline_recipes = [load_recipe(name) for name in baselines]
    for task in tasks:
        shared = {"subset": subset, "suite": suite}
        for baseline in baseline_recipes:
            if not baseline.needs_checkpoint and _exists(baseline, task.problem):
                planned.append(PlannedRun(task, baseline, None, seeds[0], **shared))
        if not recipe.needs_checkpoint:
            planned += [PlannedRun(task, recipe, None, seed, overrides=overrides or {}, **shared) for seed in seeds]
            continue
        for checkpoint in checkpoints:
            for baseline in baseline_recipes:
                if baseline.needs_checkpoint:
                    planned += [PlannedRun(task, baseline, checkpoint, seed, **shared) for seed in seeds]
            planned += [
                PlannedRun(task, recipe, checkpoint, seed, overrides=overrides or {}, **shared) for seed in seeds
            ]
    return planned


def _exists(baseline: Recipe, problem: Problem) -> bool:
    return baseline.baseline not in (_PER_PROTEIN_ONLY if problem.per_residue else _PER_RESIDUE_ONLY)
