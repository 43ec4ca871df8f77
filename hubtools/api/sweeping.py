"""Recipe fields chosen on validation, and the best of them as an ordinary run."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hubtools.api.asked import Say, seeds_of, silent
from hubtools.api.computing import ExecutionOptions, quiet
from hubtools.api.plans import check_checkpoint, refuse_checkpoint
from hubtools.api.running import (
    FinishedRuns,
    OnRun,
    RunEvent,
    Told,
    check_writable,
    failure_reason,
    unseen,
    write_card,
)
from hubtools.common.errors import UserError
from hubtools.common.notebook import lines_html, table_html
from hubtools.runs.store import DEFAULT_ROOT, OpenRun

if TYPE_CHECKING:
    import pandas

    from hubtools.runs.session import Session
    from hubtools.runs.sweeps.trials import Sweep, Trial

OnTrial = Callable[["Trial"], None]


def _no_trial(trial: Trial) -> None:
    """Nobody watches."""


@dataclass(frozen=True, repr=False)
class SweptRuns(FinishedRuns):
    """The best trial as runs of its own, and the trials that it was chosen from.

    Attributes:
        plan: what was searched.
        trials: all of them, also of earlier calls; each has a validation score and nothing else.
        ended: why the search ended.
        folder: of the trials.
        figure: a picture of them.
    """

    plan: Sweep = field(kw_only=True)
    trials: tuple[Trial, ...] = field(kw_only=True)
    ended: str = field(kw_only=True)
    folder: Path = field(kw_only=True)
    figure: Path = field(kw_only=True)

    def trials_to_pandas(self) -> pandas.DataFrame:
        """One row a trial: number, status, score (on validation), epochs, seconds, and a column a field."""
        import pandas as pd

        common = ("number", "status", "score", "epochs", "seconds")
        return pd.DataFrame([{**{name: getattr(t, name) for name in common}, **t.values} for t in self.trials])

    def _repr_html_(self) -> str:
        from hubtools.findings.wording import number

        fields = [dimension.field for dimension in self.plan.space]
        rows = [[t.number, *(t.values[name] for name in fields), number(t.score)] for t in self.trials]
        table = table_html(("trial", *fields, "validation"), rows)
        return table + lines_html("Ended", [self.ended]) + super()._repr_html_()


def sweep(
    checkpoint: str | None,
    task: str,
    recipe: str = "probe",
    *,
    over: Sequence[str],
    trials: int = 20,
    budget: float | None = None,
    seeds: int | Iterable[int] | None = None,
    set: Mapping[str, Any] | None = None,
    subset: int | None = None,
    runs: str | os.PathLike[str] = DEFAULT_ROOT,
    execution: ExecutionOptions | None = None,
    on_trial: OnTrial = _no_trial,
    on_event: OnRun = unseen,
) -> SweptRuns:
    """Search recipe fields for the best validation score, then run the best once a seed, as any other run.

    No trial reads a test split, and none can stand on a board. The same call twice does nothing new.

    Args:
        checkpoint, task, set, subset: as for :func:`hubtools.plan`.
        recipe: whose fields are varied.
        over: ``learning_rate=1e-4..1e-2``, ``epochs=5..20`` or ``head.hidden=null,64,256``.
        trials: at most so many.
        budget: seconds that all trials may take.
        seeds: trials and search use the first; the best is run with each. By default 1.
        runs, execution, on_event: as for :func:`hubtools.run`.
        on_trial: called after each trial.

    Raises:
        UserError: no such task, recipe, field or value; nothing that is trained; Optuna is not installed.
    """
    from hubtools.training.compute.distributed import refuse_company

    chosen = seeds_of(seeds) or [1]
    planned = plan_sweep(
        checkpoint=checkpoint,
        task_name=task,
        recipe_name=recipe,
        over=tuple(over),
        trials=trials,
        budget=budget,
        seeds=chosen,
        settings=dict(set or {}),
        subset=subset,
    )
    root = Path(runs)
    check_writable(root)
    refuse_company("bench sweep")
    session = (execution or ExecutionOptions()).session(root)
    return run_sweep(planned, session, chosen, on_trial=on_trial, on_event=on_event)


def plan_sweep(
    *,
    checkpoint: str | None,
    task_name: str,
    recipe_name: str,
    over: tuple[str, ...],
    trials: int,
    budget: float | None,
    seeds: list[int],
    settings: dict[str, Any],
    subset: int | None,
) -> Sweep:
    """What is asked for, checked as far as it can be before anything runs.

    Raises:
        UserError: no such task, recipe, field or value, or nothing that is trained; Optuna is not installed.
    """
    from hubtools.data.sources.task_repositories import open_task
    from hubtools.data.splits.folds import refuse_choosing
    from hubtools.runs.plan import PlannedRun
    from hubtools.runs.sweeps.budget import require_optuna
    from hubtools.runs.sweeps.search_space import read_space
    from hubtools.runs.sweeps.trials import Sweep
    from hubtools.specs.lookup.content import origin_of
    from hubtools.specs.lookup.spec_files import load_recipe

    require_optuna("bench sweep")
    given, task = open_task(task_name)
    recipe = load_recipe(recipe_name, settings)
    if not task.learns or not recipe.learns:
        raise UserError(
            "nothing is trained in it, so there is no validation split to choose on", where=f"task {task.name}"
        )
    refuse_choosing(task)
    if (reason := recipe.why_not(task.problem, task.learns, task.chains)) is not None:
        raise UserError(
            f"the recipe {recipe.name} does not exist for {task.problem.value}: {reason}",
            where=f"task {task.name}",
            fix="Choose another --recipe: bench recipes list.",
        )
    check_checkpoint(recipe, (checkpoint,) if checkpoint else ())
    if checkpoint and not recipe.needs_checkpoint:
        refuse_checkpoint(recipe, checkpoint)
    base = PlannedRun(
        task,
        recipe,
        checkpoint,
        seeds[0],
        subset=subset,
        overrides=settings,
        task_file=given if given != task.name else None,
        recipe_file=recipe_name if recipe_name != recipe.name else None,
        origins={"task": origin_of("task", given), "recipe": origin_of("recipe", recipe_name)},
    )
    return Sweep(base, recipe_name, read_space(over, recipe_name, settings, task.problem), trials, budget)


def run_sweep(
    planned: Sweep,
    session: Session,
    seeds: Sequence[int],
    *,
    on_trial: OnTrial = _no_trial,
    on_searched: Callable[[list[Trial], str], None] = lambda trials, ended: None,
    on_event: OnRun = unseen,
    on_note: Say = silent,
) -> SweptRuns:
    """Search, then run the best once a seed, in a session that is there.

    Args:
        planned: from :func:`plan_sweep`.
        session: of its runs.
        seeds: of the runs.
        on_trial, on_event: as for :func:`sweep`.
        on_searched: told the trials and why the search ended, before the best is run.
        on_note: told a line where trials were done before, or another process is waited for.

    Raises:
        UserError: no trial came to its end, or a run's mistake.
    """
    from hubtools.runs.many.turns import in_turn
    from hubtools.runs.sweeps.trials import kept_trials, search

    started = time.perf_counter()
    folder = planned.folder(session)
    if known := kept_trials(folder):
        on_note(f"{len(known)} trials were done before: {folder}")
    with quiet():
        trials, ended = search(planned, session, on_trial, on_note)
        on_searched(trials, ended)
        winners = [planned.winner(trials, seed) for seed in seeds]
        outcomes, problems = [], []
        for number, outcome in in_turn(
            winners, session, Told(winners, lambda event: None if event.begins else on_event(event))
        ):
            winner = winners[number]
            if isinstance(outcome, UserError):
                raise outcome
            if outcome.mistake is not None:
                raise outcome.mistake
            outcomes.append(outcome)
            if outcome.record.status == "failed":
                problems.append(f"{winner.title}: {failure_reason(outcome)}")
            elif winner.recipe.needs_checkpoint:
                # Written anew where the run was there before the sweep: the card tells of it now.
                problems += write_card(outcome, again=True)
            on_event(RunEvent(number + 1, len(winners), winner, outcome))
    figure = write_figure(planned, trials, folder)
    return SweptRuns(
        tuple(OpenRun(outcome.folder, outcome.record) for outcome in outcomes),
        outcomes=tuple(outcomes),
        planned=len(winners),
        problems=tuple(problems),
        seconds=time.perf_counter() - started,
        plan=planned,
        trials=tuple(trials),
        ended=ended,
        folder=folder,
        figure=figure,
    )


def write_figure(planned: Sweep, trials: list[Trial], folder: Path) -> Path:
    """Draw the trials into their folder."""
    from hubtools.common.files import write_atomic
    from hubtools.reporting.figures.sweep_figure import sweep_figure

    best = planned.best(trials)
    assert best is not None
    path = folder / "sweep.png"
    write_atomic(path, sweep_figure(trials, planned.space, best, planned.base.task.metrics.primary))
    return path
