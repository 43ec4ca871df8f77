"""A sweep: trials that end with validation, and the best of them as an ordinary run.

A trial is a run from which the test splits were taken away (``Steps(test=False)``): what it leaves is one line in
``trials.jsonl`` with a validation score, no ``run.json``, no predictions and no model, so that nothing of it can be
shown on a board, compared or published. The next values follow from the seed and from the trials so far alone (a fresh
sampler is told of them each time); so a sweep that was stopped goes on as if it had not been, with or without more
trials than before.
"""

from __future__ import annotations

import gc
import importlib.metadata
import json
import math
import shutil
import statistics
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from hubtools.common import telling
from hubtools.common.errors import UserError
from hubtools.common.files import clear, make_folder, write_atomic
from hubtools.common.hashing import digest
from hubtools.common.inside import inside
from hubtools.common.readers import reads
from hubtools.common.secrets import scrub
from hubtools.runs.claims import ClaimedElsewhere, ClaimLost, claimed, wait_for_one
from hubtools.runs.execute import failure_of, opened
from hubtools.runs.plan import PlannedRun
from hubtools.runs.session import Session
from hubtools.runs.steps import Steps
from hubtools.runs.store import FAILURE, folder_of
from hubtools.runs.sweeps.choices import SWEEPS
from hubtools.runs.sweeps.search_space import Dimension
from hubtools.specs.lookup.spec_files import load_recipe
from hubtools.specs.metric_names import METRICS
from hubtools.specs.record import SweepFacts

TRIALS, WORKING = "trials.jsonl", "working"
# Draws that only repeat earlier trials, after which there is nothing new to be expected.
_REPEATS = 40
# Failed trials without a complete one after which the sweep is given up.
_HOPELESS = 5


class Trial(BaseModel):
    """One trial, as it is kept."""

    model_config = ConfigDict(extra="forbid")

    number: int
    values: dict[str, Any]
    run_id: str | None
    status: Literal["complete", "failed"]
    score: float | None = None
    epochs: int | None = None
    seconds: float
    reason: str | None = None


@dataclass(frozen=True)
class Sweep:
    """What is searched.

    Attributes:
        base: the run whose recipe is varied; its overrides are what ``--set`` set.
        recipe_name: as the user gave it.
        space: fields and values.
        trials: at most so many.
        budget: seconds that all trials together may take, or None.
        of_suite: whether a suite gives every checkpoint as many trials: then what was tried beyond them does not count.
    """

    base: PlannedRun
    recipe_name: str
    space: tuple[Dimension, ...]
    trials: int
    budget: float | None = None
    of_suite: bool = False

    @property
    def direction(self) -> int:
        """1 where a larger score is better, -1 where a smaller is."""
        return 1 if METRICS[self.base.task.metrics.primary].higher_is_better else -1

    def folder(self, session: Session) -> Path:
        """Where the sweep is kept: named by all that determines its trials but their number.

        Raises:
            UserError: the checkpoint or the data are not to be had.
        """
        identity = session.identify(self.base)
        searched = {dimension.field: str(dimension) for dimension in self.space}
        subject = identity.checkpoint.name if identity.checkpoint else "baseline"
        parts = (identity.task.name, identity.recipe.name, digest([identity.run_id, searched])[:12])
        return inside(session.root / SWEEPS, folder_of(subject, *parts))

    def planned(self, values: dict[str, Any]) -> PlannedRun:
        """The run with these values, as if the user had set them.

        Raises:
            UserError: the values do not go together.
        """
        overrides = {**self.base.overrides, **values}
        return replace(self.base, recipe=load_recipe(self.recipe_name, overrides), overrides=overrides)

    def best(self, trials: Sequence[Trial]) -> Trial | None:
        """The trial that is best on validation, the earlier of equals."""
        complete = [trial for trial in trials if trial.score is not None]
        return max(complete, key=lambda t: (self.direction * (t.score or 0.0), -t.number), default=None)

    def winner(self, trials: Sequence[Trial], seed: int) -> PlannedRun:
        """The ordinary run of the best trial's values, which tells how they were chosen.

        Raises:
            UserError: no trial is complete.
        """
        trials = trials[: self.trials] if self.of_suite else trials
        best = self.best(trials)
        if best is None or best.score is None:
            last = f"; the last: {trials[-1].reason}" if trials else ""
            raise UserError(f"no trial of the sweep is complete{last}", fix="Change --over, or see what failed.")
        chosen = self.planned(best.values)
        facts = SweepFacts(
            trials=len(trials),
            fields={dimension.field: str(dimension) for dimension in self.space},
            chosen=best.values,
            validation=best.score,
            seed=self.base.seed,
            sampler=f"TPE of Optuna {importlib.metadata.version('optuna')}",
            budget=self.trials if self.of_suite else None,
            own_values=chosen.recipe.hash == self.base.recipe.hash,
        )
        return replace(chosen, seed=seed, sweep=facts)


def search(
    sweep: Sweep, session: Session, tell: Callable[[Trial], None], note: Callable[[str], None] = telling.warn
) -> tuple[list[Trial], str]:
    """Go through trials until the number or the budget is reached; those that were done before count.

    Trials follow from each other, so that one process at a time is at them. Another waits until it ends, and goes on with what it
    left, which is nothing where it came to its end.

    Args:
        sweep: what to search.
        session: what its runs share.
        tell: called after each new trial.
        note: told a line where another process is waited for.

    Returns:
        All trials, and why it ended, in words.

    Raises:
        UserError: the checkpoint or the data are not to be had.
        KeyboardInterrupt: stopped; finished trials are kept, and the one that was stopped goes on next time.
    """
    folder, waits = sweep.folder(session), False
    while True:
        try:
            return go_through(sweep, session, folder, tell)
        except ClaimedElsewhere as error:
            if not waits:
                note(
                    f"waiting for another process, which is at this sweep{f' ({error.holder})' if error.holder else ''}"
                )
            waits = True
        wait_for_one([folder])


def go_through(sweep: Sweep, session: Session, folder: Path, tell: Callable[[Trial], None]) -> tuple[list[Trial], str]:
    """As :func:`search`, without waiting.

    Raises:
        ClaimedElsewhere: another process is at them.
        UserError, KeyboardInterrupt: as there.
    """
    with claimed(folder):
        trials = kept_trials(folder, telling.warn)
        if (folder / TRIALS).is_dir():
            clear(folder / TRIALS)
        while (ended := _why_ended(sweep, trials)) is None:
            values = next_values(sweep, trials)
            if values is None:
                return trials, "every combination was tried"
            trial = _attempt(sweep, session, folder, len(trials) + 1, values)
            trials.append(trial)
            write_atomic(folder / TRIALS, "".join(t.model_dump_json() + "\n" for t in trials))
            tell(trial)
        shutil.rmtree(folder / WORKING, ignore_errors=True)
    return trials, ended


@reads("trials of a sweep", refuses=())
def kept_trials(folder: Path, tell: Callable[[str], None] = lambda line: None) -> list[Trial]:
    """The trials of a sweep's folder, as far as they can be read: the next follow from those before, so that they are done again.

    Args:
        folder: of the sweep.
        tell: told a line where something cannot be read.
    """
    path, found = folder / TRIALS, list[Trial]()
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return []
    except OSError as error:
        tell(f"{path}: cannot be read ({error.strerror}); all trials are done again")
        return []
    for line in lines:
        try:
            trial = Trial.model_validate_json(line)
            if trial.number != len(found) + 1:
                raise ValueError
        except ValueError:
            tell(f"{path}: line {len(found) + 1} is damaged; the trials from there on are done again")
            break
        found.append(trial)
    return found


def _why_ended(sweep: Sweep, trials: Sequence[Trial]) -> str | None:
    if len(trials) >= sweep.trials:
        return f"{len(trials)} trials are done"
    if len(trials) >= _HOPELESS and not any(trial.status == "complete" for trial in trials):
        return f"the first {len(trials)} trials all failed"
    if sweep.budget is not None and trials:
        # One that would not fit is not begun.
        spent, usual = sum(t.seconds for t in trials), statistics.median(t.seconds for t in trials)
        if spent + usual > sweep.budget:
            return f"the budget of {sweep.budget:.0f} s has no room for another trial ({spent:.0f} s spent)"
    return None


def next_values(sweep: Sweep, trials: Sequence[Trial]) -> dict[str, Any] | None:
    """The values of the next trial: the recipe's own first, then by TPE (Bergstra et al., 2011); None if all are known."""
    known = {json.dumps(trial.values, sort_keys=True) for trial in trials}
    for attempt in range(_REPEATS):
        values = _recipes_own(sweep) if attempt == 0 and not trials else _drawn(sweep, trials, attempt)
        if values is not None and json.dumps(values, sort_keys=True) not in known:
            return values
    return None


def _recipes_own(sweep: Sweep) -> dict[str, Any] | None:
    """The recipe as it is, where the search space holds it: the best trial is then no worse on validation."""
    values: dict[str, Any] = {}
    for dimension in sweep.space:
        value: Any = sweep.base.recipe.model_dump(mode="json")
        for part in dimension.field.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        if not dimension.contains(value):
            return None
        values[dimension.field] = value
    return values


def as_study(sweep: Sweep, trials: Sequence[Trial], seed: int = 0) -> Any:
    """An Optuna study in memory that knows these trials."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed))
    distributions = _distributions(sweep)
    for trial in trials:
        complete = trial.score is not None
        study.add_trial(
            optuna.trial.create_trial(
                params={
                    d.field: _text(trial.values[d.field]) if d.choices else trial.values[d.field] for d in sweep.space
                },
                distributions=distributions,
                value=sweep.direction * trial.score if trial.score is not None else None,
                state=optuna.trial.TrialState.COMPLETE if complete else optuna.trial.TrialState.FAIL,
            )
        )
    return study


def _distributions(sweep: Sweep) -> dict[str, Any]:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    made: dict[str, Any] = {}
    for d in sweep.space:
        if d.choices:
            # As text, since a choice may be a list.
            made[d.field] = CategoricalDistribution([_text(choice) for choice in d.choices])
        elif d.whole:
            made[d.field] = IntDistribution(int(d.low), int(d.high), log=d.log)
        else:
            made[d.field] = FloatDistribution(d.low, d.high, log=d.log)
    return made


def _drawn(sweep: Sweep, trials: Sequence[Trial], attempt: int) -> dict[str, Any]:
    seed = int(digest(["sweep", sweep.base.seed, len(trials), attempt])[:8], 16)
    params = as_study(sweep, trials, seed).ask(_distributions(sweep)).params
    return {
        d.field: next(choice for choice in d.choices if _text(choice) == params[d.field])
        if d.choices
        else d.rounded(params[d.field])
        for d in sweep.space
    }


def _text(choice: Any) -> str:
    return json.dumps(choice)


def _attempt(sweep: Sweep, session: Session, folder: Path, number: int, values: dict[str, Any]) -> Trial:
    """One trial; what goes wrong in it is its outcome."""
    started, run_id, epochs = time.perf_counter(), None, None
    status: Literal["complete", "failed"] = "failed"
    score, reason, followed = None, None, None
    try:
        run = sweep.planned(values)
        identity = session.identify(run)
        run_id = identity.run_id
        place = inside(folder / WORKING, run_id)
        make_folder(place.parent)
        make_folder(place)
        record = opened(run, identity, session)
        followed = session.tracking.begins(record, f"trial {number}")
        Steps(run, session, place, record, test=False, told=followed.epoch).do()
        record.status = "complete"
        found = record.score("validation")
        epochs = record.training.epochs_run if record.training else None
        if found is None or found.value is None or not math.isfinite(found.value):
            reason = f"{record.primary_metric} is not defined on validation"
        else:
            score, status = found.value, "complete"
        shutil.rmtree(place, ignore_errors=True)
    except ClaimLost:
        raise
    except Exception as error:
        if followed is not None:
            record.status, record.results = "failed", {}
            record.failure = failure_of(error, session.execution.token_budget)
        reason = failure_of(error, session.execution.token_budget).message
        if not isinstance(error, UserError):
            write_atomic(folder / f"trial-{number:03d}-{FAILURE}", scrub("".join(traceback.format_exception(error))))
        if run_id is not None:
            shutil.rmtree(inside(folder / WORKING, run_id), ignore_errors=True)
    finally:
        seconds = round(time.perf_counter() - started, 3)
        if followed is not None:
            # Still running is what neither ended nor failed.
            record.status = "interrupted" if record.status == "running" else record.status
            followed.ends(record)
    _free_memory()
    return Trial(
        number=number,
        values=values,
        run_id=run_id,
        status=status,
        score=score,
        epochs=epochs,
        seconds=seconds,
        reason=reason,
    )


def _free_memory() -> None:
    """So that a trial that ran out of memory does not take the next one with it."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def importance(sweep: Sweep, trials: Sequence[Trial]) -> dict[str, float]:
    """How much of the scores' variance each field explains (fANOVA, Hutter et al., 2014); empty for too few trials."""
    complete = [trial for trial in trials if trial.score is not None]
    if len(sweep.space) < 2 or len(complete) < 8 or len({trial.score for trial in complete}) < 2:
        return {}
    from optuna.importance import FanovaImportanceEvaluator, get_param_importances

    return get_param_importances(as_study(sweep, complete), evaluator=FanovaImportanceEvaluator(seed=0))
