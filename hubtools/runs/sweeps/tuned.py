"""A run whose recipe is still to be fitted: the trials that its suite allows, and the ordinary run of the best."""

from __future__ import annotations

from dataclasses import replace

from hubtools.common import telling
from hubtools.runs.plan import PlannedRun
from hubtools.runs.session import Session
from hubtools.runs.sweeps.choices import keep_choice
from hubtools.runs.sweeps.search_space import read_space
from hubtools.runs.sweeps.trials import Sweep, go_through, kept_trials
from hubtools.training.compute.distributed import refuse_company


def sweep_of(run: PlannedRun) -> Sweep:
    """What is searched for a run that is to be tuned: the same for all its seeds."""
    assert run.tuning is not None
    name = run.recipe_file or run.recipe.name
    base = replace(run, tuning=None, seed=run.tuning.seed)
    space = read_space(run.tuning.texts, name, run.overrides, run.task.problem)
    return Sweep(base, name, space, run.tuning.trials, of_suite=True)


def tuned(run: PlannedRun, session: Session) -> PlannedRun:
    """The run with its recipe fitted: the trials that are missing are done first. What is not to be tuned is as it was.

    Raises:
        ClaimedElsewhere: another process is at the trials.
        UserError: no trial came to its end; checkpoint or data are not to be had; several processes share each run.
        KeyboardInterrupt: stopped; trials that ended are kept.
    """
    if run.tuning is None:
        return run
    refuse_company("a suite that tunes")
    sweep = sweep_of(run)
    folder = sweep.folder(session)
    # Whoever only finds them done needs no claim.
    trials = kept_trials(folder)
    if len(trials) < sweep.trials:
        with telling.bar(f"trials of {run.title}", sweep.trials, "trial") as shown:
            shown.update(len(trials))
            trials, _ = go_through(sweep, session, folder, lambda trial: shown.update(1))
    winner = sweep.winner(trials, run.seed)
    keep_choice(session.root, run, winner.recipe)
    return winner
