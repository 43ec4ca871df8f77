"""The run record, ``run.json``: what was run on what, by which code, and what came out."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from hubtools.common.inside import one_file_twice
from hubtools.specs.base import read_exactly, read_recorded
from hubtools.specs.names import Name, RunId, SplitName
from hubtools.specs.problem import Problem
from hubtools.specs.recipe import Recipe
from hubtools.specs.record.identities import Identity, Line, OpenPart, procedure
from hubtools.specs.record.run_facts import (
    AlignmentFacts,
    CheckpointFacts,
    ContextFacts,
    Cost,
    DataFacts,
    Environment,
    Failure,
    OutputFile,
    PretrainingFacts,
    Score,
    SplitResult,
    StructureFacts,
    SweepFacts,
    TogetherFacts,
    TokenFacts,
    TrainingFacts,
    WindowFacts,
)
from hubtools.specs.task import Task

# Raised when a field goes, or means something else; a new field alone does not raise it.
SCHEMA_VERSION = 1


def _distinct(files: list[OutputFile]) -> list[OutputFile]:
    """The files, no two of which are one on a disk that knows no case."""
    if (same := one_file_twice(file.path for file in files)) is not None:
        raise ValueError(f"{same[0]} and {same[1]} are one file on many disks")
    return files


def _is_problem(value: object) -> bool:
    try:
        return bool(Problem(str(value)))
    except ValueError:
        return False


def _readable(task: dict[str, Any]) -> dict[str, Any]:
    """The task, if it holds what every command reads of it; the rest may be of an earlier or a later version."""
    metrics, data, labels = task.get("metrics"), task.get("data"), task.get("labels", {})
    files = data.get("files", []) if isinstance(data, dict) else None
    if not _is_problem(task.get("problem")):
        what = "problem"
    elif not isinstance(metrics, dict) or not metrics.get("primary") or not isinstance(metrics["primary"], str):
        what = "metrics"
    elif not isinstance(labels, dict) or not all(isinstance(name, str) for name in labels.values()):
        what = "labels"
    elif metrics.get("positive") not in (None, *labels.values()):
        what = "metrics.positive"
    elif not isinstance(data, dict) or not isinstance(data.get("source"), str) or not isinstance(files, list):
        what = "data"
    elif not all(isinstance(file, dict) and isinstance(file.get("path", ""), str) for file in files):
        what = "data.files"
    else:
        return task
    raise ValueError(f"its {what} is not what this version of bench knows")


class RunRecord(OpenPart):
    """One run. Written at the start, and again at the end, whatever the end was."""

    schema_version: int = Field(default=SCHEMA_VERSION, ge=1)
    run_id: RunId
    status: Literal["running", "complete", "failed", "interrupted"]
    identity: Identity
    task: Annotated[dict[str, Any], AfterValidator(_readable)] = Field(description="The task file as used.")
    recipe: dict[str, Any] = Field(description="The recipe after defaults and overrides.")
    overrides: dict[str, Any] = Field(default={}, description="Recipe fields set on the command line.")
    suite: Name | None = None
    origins: dict[Literal["task", "recipe", "suite"], Line] = Field(
        default={},
        description="Where each was found: bench, ./tasks, an installed package, a file, the Hub, and whether it took the "
        "place of one that bench ships. Records from before it was written have none.",
    )
    command: Line = Field(description="The command that makes this run again.")
    started: datetime
    finished: datetime | None = None
    checkpoint: CheckpointFacts | None = None
    data: DataFacts | None = None
    pretraining: PretrainingFacts | None = Field(
        default=None,
        description="Of runs of pre-trained checkpoints on tasks that know when their proteins became public.",
    )
    closed: dict[Line, Line] = Field(
        default={},
        description="Repositories of the Hub that were read by a token and that not everybody can read: private or gated.",
    )
    alignment: AlignmentFacts | None = None
    tokens: TokenFacts | None = Field(
        default=None, description="Of runs of a checkpoint; records from before they were counted lack it."
    )
    structure: StructureFacts | None = Field(
        default=None,
        description="What a checkpoint was shown whose tokens are of residues and structure; others read the sequence alone.",
    )
    windows: WindowFacts | None = None
    context: ContextFacts | None = Field(
        default=None, description="Of runs of a checkpoint; records from before it was measured lack it."
    )
    together: TogetherFacts | None = Field(
        default=None, description="Of runs of a checkpoint; records from before real proteins were read lack it."
    )
    training: TrainingFacts | None = None
    sweep: SweepFacts | None = None
    results: dict[SplitName, SplitResult] = Field(
        default={}, description="By split; validation is shown, never ranked on."
    )
    environment: Environment
    cost: Cost | None = None
    outputs: Annotated[list[OutputFile], AfterValidator(_distinct)] = []
    failure: Failure | None = None

    @property
    def task_spec(self) -> Task:
        """The task as used, as far as this version of bench knows it (:func:`hubtools.specs.base.read_recorded`)."""
        return read_recorded(Task, self.task, self.identity.task.hash)

    @property
    def recipe_spec(self) -> Recipe:
        """The recipe as used, likewise."""
        return read_recorded(Recipe, self.recipe, self.identity.recipe.hash)

    @property
    def learns(self) -> bool:
        """Whether something was learnt from a training split."""
        return self.task_spec.learns and self.recipe_spec.learns

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
    def procedure(self) -> str:
        """The recipe's name, and what sets runs of a learning curve apart."""
        return procedure(self.identity.recipe.name, self.identity.fraction, self.overrides)

    @property
    def subject(self) -> str:
        """What was measured, for tables: the checkpoint, or the baseline's name."""
        return self.identity.checkpoint.name if self.identity.checkpoint else self.identity.recipe.name
