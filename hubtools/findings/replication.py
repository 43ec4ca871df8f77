"""A published result made again: the runs that it asks for, and what they say of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hubtools.common.errors import UserError
from hubtools.evaluation.statistics.equivalence import Equivalence, Reported, of_reported
from hubtools.evaluation.statistics.resampled import REPLICATES
from hubtools.findings.arms import Arm, arms_of
from hubtools.models.checkpoint import recorded_name
from hubtools.runs.plan import AskedRecipe, PlannedRun, expand
from hubtools.runs.store import OpenRun
from hubtools.specs.lookup.trusted import TrustedSpecs
from hubtools.specs.published_results import Cell


@dataclass(frozen=True)
class Replication:
    """A published result, and runs that were to give it.

    Attributes:
        cell: the result.
        arm: the runs.
        values: their scores, by seed.
        finding: verdict, both scores and their difference.
        notes: what keeps the two from being comparable, as far as it is known.
    """

    cell: Cell
    arm: Arm
    values: list[float]
    finding: Equivalence
    notes: list[str]


def planned_runs(
    cell: Cell, held: TrustedSpecs, checkpoint: str | None = None, seeds: Sequence[int] = ()
) -> list[PlannedRun]:
    """The runs that make a published result again.

    Args:
        cell: the result.
        held: where its task and recipe come from.
        checkpoint: in place of the one that is named there: the same weights in a folder, or others.
        seeds: in place of those that are named there.

    Raises:
        UserError: bench's task has another version than the one the result was matched with.
    """
    experiment = cell.experiment
    task = held.task(experiment.task)
    if task.version != experiment.version:
        raise UserError(
            f"it is matched with version {experiment.version} of the task {task.name}, here is version {task.version}",
            where=cell.id,
            fix="See whether data and metric are still those of the paper, then correct version in its file.",
        )
    recipe = held.recipe(experiment.recipe, experiment.settings)
    return expand(
        {experiment.task: task},
        [checkpoint or cell.result.checkpoint],
        [AskedRecipe(recipe)],
        list(seeds) or experiment.seeds,
        overrides=dict(experiment.settings),
    )


def replicated(cell: Cell, runs: Sequence[OpenRun], checkpoint: str | None = None) -> Replication:
    """Hold runs against a published result.

    Args:
        cell: the result.
        runs: complete, of one checkpoint, which differ in their seed alone.
        checkpoint: what the user named in place of the published one.
    """
    experiment = cell.experiment
    (arm,) = arms_of(runs, experiment.split)
    made = arm.resampled(experiment.split, experiment.metric, 0 if experiment.same_test else REPLICATES)
    finding = of_reported(
        made,
        Reported(cell.result.value, cell.standard_error, cell.degrees),
        experiment.tolerance,
        same_test=experiment.same_test,
        nothing_random=arm.nothing_random,
    )
    notes = [f"Data: {experiment.data}", *experiment.differences]
    if cell.result.note:
        notes.append(cell.result.note)
    if cell.standard_error is None:
        notes.append("No spread is published, so that the chance in the published number is not in the interval.")
    if checkpoint is not None and recorded_name(checkpoint) != cell.result.checkpoint.partition("@")[0]:
        notes.append(f"The weights are {recorded_name(checkpoint)}, taken for {cell.result.checkpoint}.")
    return Replication(cell, arm, made.values.tolist(), finding, notes)
