"""Does it come out again? A record, or a number from the literature, run anew and held against what it was.

A record: the same predictions agree. Others are compared in pairs as fixed weights, against the task's margin m: *agree*
where the 95 % interval of the difference lies within ±m (two one-sided tests at 2.5 %; Schuirmann, Journal of
Pharmacokinetics and Biopharmaceutics 15, 1987), *differ* where it leaves out 0 and the difference exceeds m, else *cannot tell*.

A published number has no predictions to pair with, but the same test set. So the chance of which proteins were tested is
common to both and cancels as far as the models are alike; what is left is the seeds. With d = ours - published and h the
root of the sum of squares of our t-interval's half-width over seeds and the published one's: *agree* where |d| + h is within
the tolerance, *differ* where |d| - h is beyond it, else *cannot tell*.
"""

from __future__ import annotations

import itertools
import math
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from hubtools.evaluation.comparison import Difference, Question, difference
from hubtools.evaluation.sameness import largest_difference, other_rows
from hubtools.evaluation.seeds import over_seeds
from hubtools.runs.arms import Arm, Found
from hubtools.runs.plan import PlannedRun
from hubtools.runs.public import HUB
from hubtools.runs.store import PREDICTIONS
from hubtools.specs.errors import UserError
from hubtools.specs.loading import load_recipe, load_task
from hubtools.specs.published import Cell
from hubtools.specs.recipe import Recipe
from hubtools.specs.record import Identity, RunRecord
from hubtools.specs.sources import LocalData
from hubtools.specs.task import Task

Verdict = Literal["agree", "differ", "cannot tell"]
EXIT_CODES: dict[Verdict, int] = {"agree": 0, "differ": 1, "cannot tell": 3}
# Largest difference of two predictions that are called the same: rounding of other cores, not another model.
SAME = 1e-4


@dataclass(frozen=True)
class Reproduction:
    """What came of it.

    Attributes:
        verdict: agree, differ or cannot tell.
        reason: one line on why.
        metric, split: of the scores.
        before, after: the recorded or published score, and ours.
        low, high: 95 % interval of ``after - before``, signed so that positive is better; None where there is none.
        apart: largest difference of two predictions; None where there is none to compare.
    """

    verdict: Verdict
    reason: str
    metric: str
    split: str
    before: float
    after: float
    low: float | None = None
    high: float | None = None
    apart: float | None = None


def planned_from(record: RunRecord, checkpoint: str | None = None, task: str | None = None) -> PlannedRun:
    """The run that a record describes: task and recipe from the record itself, not from files that may have changed.

    Args:
        record: complete or not.
        checkpoint: where the weights are now, if not where the record says.
        task: where a task of local files is now, likewise.

    Raises:
        UserError: local weights or files are no longer where the record says.
    """
    identity, words = record.identity, shlex.split(record.command)
    named = {option: value for option, value in itertools.pairwise(words) if option.startswith("--")}
    given = task or named.get("--task", identity.task.name)
    known = identity.checkpoint
    if known is not None and checkpoint is None:
        checkpoint = f"{known.name}@{known.commit}" if known.source == "hub" else named.get("--checkpoint", known.name)
        if known.source == "local" and checkpoint != "embedded" and not Path(checkpoint).is_dir():
            raise UserError(
                f"the weights are not at {checkpoint}",
                where="the record",
                fix="Say where they are: --checkpoint FOLDER.",
            )
    recipe_file = named.get("--recipe", identity.recipe.name)
    return PlannedRun(
        task=_task(record, given, moved=task is not None),
        recipe=Recipe.model_validate(record.recipe),
        checkpoint=checkpoint if known else None,
        seed=identity.seed,
        subset=identity.subset,
        overrides=record.overrides,
        task_file=given if given != identity.task.name else None,
        recipe_file=recipe_file if recipe_file != identity.recipe.name else None,
        fraction=identity.fraction,
        sweep=record.sweep,
    )


def _task(record: RunRecord, given: str, *, moved: bool) -> Task:
    """The task as the record has it; from its file again where its data lie beside that."""
    from hubtools.data.task_repositories import open_task

    recorded = Task.model_validate(record.task)
    if not isinstance(recorded.data, LocalData):
        return recorded
    if moved or given.startswith(HUB) or Path(given).exists():
        return open_task(given)[1]
    if all(Path(file.path).is_file() for file in recorded.data.files):
        return recorded
    raise UserError(
        f"the files of the task {recorded.name} are not where they were",
        where="the record",
        fix="Say where: --task FILE.",
    )


def what_differs(recorded: Identity, found: Identity) -> tuple[list[str], list[str]]:
    """What would not be the same run: first what makes it another question, then what may change the answer."""
    refused, noted = [], []
    if recorded.task.hash != found.task.hash:
        refused.append(f"the task file is another one ({recorded.task.hash[:12]} then, {found.task.hash[:12]} now)")
    if recorded.data != found.data:
        refused.append(f"the data are others ({recorded.data[:12]} then, {found.data[:12]} now)")
    before, after = recorded.checkpoint, found.checkpoint
    if before is not None and after is not None:
        names = [which.commit or which.sha256 or "" for which in (before, after)]
        if names[0] != names[1]:
            refused.append(f"the weights are others ({names[0][:12]} then, {names[1][:12]} now)")
    if recorded.protocol != found.protocol:
        noted.append(f"the code is another one: protocol {recorded.protocol} then, {found.protocol} now")
    if recorded.recipe.hash != found.recipe.hash:
        noted.append("the recipe is hashed otherwise now; its fields are the recorded ones")
    return refused, noted


def same_record(original: Found, again: Found, split: str = "test", tolerance: float = SAME) -> Reproduction:
    """Hold a run made again against the original.

    Args:
        original, again: folder and record of each.
        split: the test split to compare on.
        tolerance: largest difference of two predictions that are called the same.

    Raises:
        UserError: predictions cannot be read, or are of other rows.
    """
    metric = original[1].primary_metric
    before, after = (record.score(split, metric) for _, record in (original, again))
    if before is None or after is None or before.value is None or after.value is None:
        raise UserError(
            f"one of the runs has no {metric} on {split}", where=str(original[0]), fix="Choose another --split."
        )
    scores = Reproduction("cannot tell", "", metric, split, before.value, after.value)
    if not (original[0] / PREDICTIONS).is_file():
        return _by_score(scores, before.low, before.high, upwards=before.higher_is_better)
    one, other = Arm((original,)), Arm((again,))
    rows = [arm.predictions(split)[0] for arm in (one, other)]
    if (line := other_rows(*rows)) is not None:
        raise UserError(
            f"the runs are not of the same rows: {line}", where=str(original[0]), fix="Compare runs of one task."
        )
    apart = largest_difference(*rows)
    scores = replace(scores, apart=apart)
    if apart <= tolerance:
        return replace(
            scores, verdict="agree", reason=f"the same predictions: at most {apart:.1e} apart", low=0.0, high=0.0
        )
    found = difference(one.resampled(split), other.resampled(split), Question.WEIGHTS)
    return _by_difference(scores, found, one.task.margin)


def _by_score(scores: Reproduction, low: float | None, high: float | None, *, upwards: bool) -> Reproduction:
    """Without predictions: against the recorded score and its interval."""
    if math.isclose(scores.before, scores.after, abs_tol=5e-5):
        return replace(scores, verdict="agree", reason="the same score; there are no predictions to compare")
    if low is None or high is None or low <= scores.after <= high:
        return replace(
            scores, reason="there are no predictions to compare, and the score lies within the recorded interval"
        )
    return replace(scores, verdict="differ", reason="the score lies outside the recorded interval")


def _by_difference(scores: Reproduction, found: Difference, margin: float) -> Reproduction:
    scores = replace(scores, low=found.low, high=found.high)
    if found.low is None or found.high is None:
        return replace(scores, reason="other predictions, and there is no interval")
    if -margin < found.low and found.high < margin:
        return replace(scores, verdict="agree", reason=f"other predictions, and a difference of {margin:g} is excluded")
    if not found.low <= 0 <= found.high and abs(found.value) > margin:
        return replace(
            scores, verdict="differ", reason=f"the difference is shown, and larger than the margin of {margin:g}"
        )
    return replace(scores, reason=f"a difference of {margin:g} is neither shown nor excluded")


def planned_for(cell: Cell, checkpoint: str | None = None, seeds: Sequence[int] = ()) -> list[PlannedRun]:
    """The runs that stand for a published result.

    Args:
        cell: the result.
        checkpoint: other weights, or where they lie; by default those of the paper.
        seeds: by default the cell's.

    Raises:
        UserError: the task is there at another version only, or recipe or task are not there.
    """
    task = load_task(cell.task)
    if task.version != cell.version:
        raise UserError(
            f"the number is about version {cell.version} of {cell.task}, and version {task.version} is here",
            where=cell.id,
            fix="Use a bench that has it.",
        )
    recipe = load_recipe(cell.recipe, cell.settings)
    chosen = list(seeds or cell.seeds)
    if task.problem.zero_shot or recipe.head.solver == "ridge":
        chosen = chosen[:1]  # Nothing is random.
    return [
        PlannedRun(task, recipe, checkpoint or cell.checkpoint, seed, overrides=dict(cell.settings)) for seed in chosen
    ]


def same_cell(cell: Cell, records: Sequence[RunRecord]) -> Reproduction:
    """Hold our runs against a published number.

    Args:
        cell: the result.
        records: complete runs of :func:`planned_for`.

    Raises:
        UserError: a run has no such score.
    """
    scores = [record.score(cell.split, cell.metric) for record in records]
    values = [score.value for score in scores if score is not None and score.value is not None]
    if len(values) < len(records) or not values:
        raise UserError(f"a run has no {cell.metric} on {cell.split}", where=cell.id, fix="Look at the run's record.")
    ours = over_seeds(values)
    mean = float(np.mean(values))
    gain = (mean - cell.value) * (1 if scores[0] is None or scores[0].higher_is_better else -1)
    found = Reproduction("cannot tell", "", cell.metric, cell.split, cell.value, mean)
    random = len(values) > 1 or not Arm(((Path(), records[0]),)).nothing_random
    if random and (ours[2].low is None or ours[2].high is None):
        return replace(found, reason="one seed does not tell how much another would change; run three or more")
    own = (ours[2].high - ours[2].low) / 2 if ours[2].low is not None and ours[2].high is not None else 0.0
    half = math.hypot(own, cell.spread or 0.0)
    found = replace(found, low=gain - half, high=gain + half)
    if abs(gain) + half <= cell.tolerance:
        return replace(found, verdict="agree", reason=f"within the tolerance of {cell.tolerance:g}")
    if abs(gain) - half > cell.tolerance:
        return replace(found, verdict="differ", reason=f"beyond the tolerance of {cell.tolerance:g}")
    return replace(found, reason=f"a difference of {cell.tolerance:g} is neither shown nor excluded")
