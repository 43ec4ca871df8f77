"""The run record, ``run.json``: what was run on what, by which code, and what came out."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from hubtools.specs.base import read_exactly, read_recorded
from hubtools.specs.names import Name, RunId, SplitName
from hubtools.specs.recipe import Recipe
from hubtools.specs.record.identities import Identity, Line, OpenPart
from hubtools.specs.record.run_facts import (
    AlignmentFacts,
    CheckpointFacts,
    Cost,
    DataFacts,
    Environment,
    Failure,
    OutputFile,
    Score,
    SplitResult,
    SweepFacts,
    TokenFacts,
    TrainingFacts,
    WindowFacts,
)
from hubtools.specs.task import Task

# Raised when a field goes, or means something else; a new field alone does not raise it.
SCHEMA_VERSION = 1


class RunRecord(OpenPart):
    """One run. Written at the start, and again at the end, whatever the end was."""

    schema_version: int = Field(default=SCHEMA_VERSION, ge=1)
    run_id: RunId
    status: Literal["running", "complete", "failed", "interrupted"]
    identity: Identity
    task: dict[str, Any] = Field(description="The task file as used.")
    recipe: dict[str, Any] = Field(description="The recipe after defaults and overrides.")
    overrides: dict[str, Any] = Field(default={}, description="Recipe fields set on the command line.")
    suite: Name | None = None
    command: Line = Field(description="The command that makes this run again.")
    started: datetime
    finished: datetime | None = None
    checkpoint: CheckpointFacts | None = None
    data: DataFacts | None = None
    alignment: AlignmentFacts | None = None
    tokens: TokenFacts | None = Field(
        default=None, description="Of runs of a checkpoint; records from before they were counted lack it."
    )
    windows: WindowFacts | None = None
    training: TrainingFacts | None = None
    sweep: SweepFacts | None = None
    results: dict[SplitName, SplitResult] = Field(
        default={}, description="By split; validation is shown, never ranked on."
    )
    environment: Environment
    cost: Cost | None = None
    outputs: list[OutputFile] = []
    failure: Failure | None = None

    @property
    def task_spec(self) -> Task:
        """The task as used, as far as this version of bench knows it (:func:`hubtools.specs.base.read_recorded`)."""
        return read_recorded(Task, self.task, self.identity.task.hash)

    @property
    def recipe_spec(self) -> Recipe:
        """The recipe as used, likewise."""
        return read_recorded(Recipe, self.recipe, self.identity.recipe.hash)

    def exact_task(self) -> Task:
        """The task, to run it again or to hold it against another: a UserError where bench does not know all of it."""
        return read_exactly(Task, self.task, "task")

    def exact_recipe(self) -> Recipe:
        """The recipe, likewise."""
        return read_exactly(Recipe, self.recipe, "recipe")

    @property
    def primary_metric(self) -> str:
        """Name of the metric by which runs of this task are ranked."""
        return self.task_spec.metrics.primary

    @property
    def from_scratch(self) -> bool:
        """Whether nothing of a checkpoint but its architecture was used: its weights were random."""
        return self.recipe_spec.weights == "random"

    @property
    def title(self) -> str:
        """Of the task; its name where the record has none."""
        return self.task_spec.title or self.identity.task.name

    @property
    def test_splits(self) -> list[str]:
        """Splits with results on which nothing was chosen, in the order of the task."""
        return [name for name in self.results if name not in {"train", "validation"}]

    @property
    def precision(self) -> str | None:
        """In which the model computed; None of a baseline without one."""
        return (self.identity.precision or self.environment.precision) if self.identity.checkpoint else None

    def score(self, split: str = "test", metric: str | None = None) -> Score | None:
        """One score, or None where the run has none."""
        result = self.results.get(split)
        return result.scores.get(metric or self.primary_metric) if result else None

    @property
    def subject(self) -> str:
        """What was measured, for tables: the checkpoint, or the baseline's name."""
        return self.identity.checkpoint.name if self.identity.checkpoint else self.identity.recipe.name
