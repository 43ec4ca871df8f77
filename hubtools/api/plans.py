"""What would be run: a list of runs, made from names, before anything is computed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, overload

from hubtools.api.asked import Names, fractions_of, names_of, seeds_of
from hubtools.common import telling
from hubtools.common.errors import UserError
from hubtools.common.notebook import line_html, table_html

if TYPE_CHECKING:
    import pandas

    from hubtools.runs.plan import PlannedRun
    from hubtools.specs.recipe import Recipe
    from hubtools.specs.task import Task

_COLUMNS = ("task", "checkpoint", "recipe", "seed")


@dataclass(frozen=True)
class RunPlan(Sequence["PlannedRun"]):
    """Runs in the order in which they are asked for and reported; they are done checkpoint by checkpoint. A sequence of :class:`hubtools.runs.plan.PlannedRun`.

    Attributes:
        runs: all of them.
    """

    runs: tuple[PlannedRun, ...]

    @overload
    def __getitem__(self, place: int) -> PlannedRun: ...

    @overload
    def __getitem__(self, place: slice) -> RunPlan: ...

    def __getitem__(self, place: int | slice) -> PlannedRun | RunPlan:
        """One run, or a plan of some."""
        return RunPlan(self.runs[place]) if isinstance(place, slice) else self.runs[place]

    def __len__(self) -> int:
        return len(self.runs)

    def __iter__(self) -> Iterator[PlannedRun]:
        return iter(self.runs)

    @property
    def titles(self) -> list[str]:
        """What each run is called."""
        return [run.title for run in self.runs]

    def to_pandas(self) -> pandas.DataFrame:
        """One row a run: task, checkpoint (None of a baseline), recipe, seed, subset, fraction, suite."""
        import pandas as pd

        cells = [(*_cells(run)[:3], run.seed, run.subset, run.fraction, run.suite) for run in self.runs]
        return pd.DataFrame(cells, columns=[*_COLUMNS, "subset", "fraction", "suite"])

    def __repr__(self) -> str:
        return "\n".join([f"{_counted(self.runs)} planned:", *(f"  {title}" for title in self.titles)])

    def _repr_html_(self) -> str:
        rows = [[cell or "baseline" for cell in _cells(run)] for run in self.runs]
        return line_html(f"{_counted(self.runs)} planned", strong=True) + table_html(_COLUMNS, rows, numbers=["seed"])


def _cells(run: PlannedRun) -> tuple[str, str | None, str, str]:
    return run.task.name, run.checkpoint, run.procedure, str(run.seed)


def _counted(runs: Sequence[PlannedRun]) -> str:
    return f"{len(runs)} run{'s' if len(runs) != 1 else ''}"


def plan(
    checkpoint: Names | None = None,
    task: Names | Task | None = None,
    recipe: Names | None = None,
    *,
    suite: str | None = None,
    seeds: int | Iterable[int] | None = None,
    set: Mapping[str, Any] | None = None,
    baselines: bool | Sequence[str] | None = None,
    subset: int | None = None,
    fractions: float | Iterable[float] | None = None,
) -> RunPlan:
    """The runs that are asked for, in order; nothing is computed, and no data are read.

    Args:
        checkpoint: Hub id (also ``id@revision``), folder or ``embedded``; one or several.
        task: name, file, folder or ``hub://user/repo[@revision][/name]``, one or several, or what :func:`hubtools.load_task`
            gave. By default the suite's.
        recipe: how to adapt and train: name or file, one or several; by default the suite's, else ``full``.
        suite: name or file; without a task, ``core``.
        seeds: one or several; by default the suite's, else 1.
        set: recipe fields to replace, such as ``{"learning_rate": 1e-4}``.
        baselines: trivial baselines beside: whether those of the suite (without one, of ``core``) run, or recipes by name, which
            run beside a checkpoint only; by default with a suite.
        subset: at most so many proteins (or pairs) of each split, at least 10.
        fractions: shares of the training data to learn from.

    Returns:
        A sequence of planned runs, what is cheap first.

    Raises:
        UserError: no such task, recipe or suite; no checkpoint where one is needed, or one where none is.

    >>> import hubtools
    >>> hubtools.plan("embedded", "localisation", "probe", seeds=[1, 2], set={"epochs": 4})
    2 runs planned:
      localisation · embedded · probe · seed 1
      localisation · embedded · probe · seed 2
    """
    if subset is not None and subset < 10:
        raise UserError(f"{subset} proteins of a split are too few", where="subset", fix="Give 10 or more.")
    tasks = (_reference(task),) if _is_task(task) else names_of(task)  # type: ignore[arg-type]
    seed_list, shares = seeds_of(seeds), fractions_of(fractions)
    recipes, settings = names_of(recipe), dict(set or {})
    found = plan_runs(names_of(checkpoint), tasks, suite, recipes, seed_list, settings, baselines, subset, shares)
    return RunPlan(tuple(found))


def _is_task(task: object) -> bool:
    from hubtools.specs.task import Task

    return isinstance(task, Task)


def _reference(task: Task) -> str:
    """The name that finds a loaded task again: records name tasks so that anybody can."""
    from hubtools.specs.lookup.content import available
    from hubtools.specs.lookup.spec_files import load_task

    if task.name not in available("task") or load_task(task.name).hash != task.hash:
        raise UserError(
            f"the name {task.name} does not lead to this task",
            where="task",
            fix="Give the file, folder or address that it was loaded from.",
        )
    return task.name


def plan_runs(
    checkpoints: tuple[str, ...],
    tasks: tuple[str, ...],
    suite_name: str | None,
    recipe_names: tuple[str, ...],
    seeds: list[int],
    settings: dict[str, Any],
    baselines: bool | Sequence[str] | None,
    subset: int | None,
    fractions: list[float] | None = None,
) -> list[PlannedRun]:
    """The runs that are asked for, in order, from values in their one form.

    Raises:
        UserError: no such task, recipe or suite; no checkpoint where one is needed, or one where none is.
    """
    from hubtools.data.sources.task_repositories import open_task
    from hubtools.runs.plan import AskedRecipe, expand
    from hubtools.runs.sweeps.budget import require_optuna
    from hubtools.specs.lookup.spec_files import load_recipe, load_suite

    if suite_name is None and not tasks:
        suite_name = "core"
    suite = load_suite(suite_name) if suite_name else None
    # A recipe that the user names is meant for every task; the suite's gives way where nothing is trained.
    untrained = (suite.zero_shot if suite else "masked-marginals", "categorical-jacobian", "fold")
    zero_shot = [] if recipe_names else [load_recipe(name) for name in untrained]
    names = dict.fromkeys(recipe_names or (suite.recipe if suite else "full",))
    found = [(load_recipe(name, settings), name) for name in names]
    recipes = [AskedRecipe(recipe, name if name != recipe.name else None) for recipe, name in found]
    if "" in checkpoints:
        raise UserError("it is empty", where="--checkpoint", fix="Is the shell variable set?")
    for asked in recipes:
        check_checkpoint(asked.recipe, checkpoints or (suite.checkpoints if suite else ()))
    if checkpoints and not any(asked.recipe.needs_checkpoint for asked in recipes):
        refuse_checkpoint(recipes[0].recipe, checkpoints[0])
    checkpoints = tuple(dict.fromkeys(checkpoints or (suite.checkpoints if suite else ())))
    if baselines is None or isinstance(baselines, bool):
        wanted = suite is not None if baselines is None else baselines
        baseline_names: Sequence[str] = suite.baselines if suite else load_suite("core").baselines
    else:
        wanted = any(asked.recipe.needs_checkpoint for asked in recipes)
        baseline_names = tuple(baselines)
    named = {asked.recipe.name for asked in recipes}
    opened = dict(open_task(name) for name in tasks or (suite.tasks if suite else ()))
    for task in opened.values():
        if task.template:
            telling.warn(task.template_told)
    tuning = suite.tuning if suite else None
    if tuning is not None:
        require_optuna("a suite that tunes")
        if recipe_names:
            telling.warn(f"--recipe is not what the suite {suite_name} tunes: nothing is tuned")
            tuning = None
        elif set(fractions or [1.0]) != {1.0}:
            raise UserError(
                f"the suite {suite_name} tunes on all training data",
                where="--fraction",
                fix="Leave it out, or name the tasks and the recipe instead of the suite.",
            )
    return expand(
        opened,
        checkpoints,
        recipes,
        seeds or (suite.seeds if suite else [1]),
        [name for name in baseline_names if name not in named] if wanted else [],
        subset=subset,
        suite=suite.name if suite else None,
        suite_file=suite_name,
        overrides=settings,
        zero_shot=zero_shot,
        fractions=fractions or (suite.fractions if suite else [1.0]),
        twins=suite is not None and suite.twins,
        tuning=tuning,
    )


def check_checkpoint(recipe: Recipe, checkpoints: Sequence[str]) -> None:
    """Raises UserError where a recipe has no checkpoint to adapt."""
    if recipe.needs_checkpoint and not checkpoints:
        raise UserError(
            f"the recipe {recipe.name} needs a checkpoint",
            fix="Name one: --checkpoint facebook/esm2_t6_8M_UR50D, a folder, or embedded.",
        )


def refuse_checkpoint(recipe: Recipe, checkpoint: str) -> None:
    """Raises UserError for a checkpoint that is named where a baseline is all that is asked for: it would not be read."""
    raise UserError(
        f"the recipe {recipe.name} reads no checkpoint, and {checkpoint} is named",
        where="--checkpoint",
        fix="Leave it out, or name a recipe that adapts it, --recipe probe, say.",
    )
