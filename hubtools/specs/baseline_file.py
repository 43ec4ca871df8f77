"""The file that says what a frozen baseline holds: ``baseline.yaml``, which is read in a review and edited by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from hubtools.common.inside import one_file_twice
from hubtools.common.readers import reads
from hubtools.specs.base import Spec, SpecError
from hubtools.specs.lookup.spec_files import read_spec
from hubtools.specs.names import FolderName, Name, Sha256, SplitName
from hubtools.specs.task import Task

BASELINE_FILE = "baseline.yaml"
# Of a project's folder: where baselines are kept, each under its name.
BASELINES = Path("benchmarks") / "baselines"

Ratio = Annotated[float, Field(ge=1)]


class Tolerances(Spec):
    """How many times its budget something may cost before a check says so."""

    wall_seconds: Ratio = Field(default=1.5, description="Wall time, at most so many times the budget.")
    tokens_per_second: Ratio = Field(default=1.5, description="Throughput, at least the budget divided by this.")
    peak_memory_bytes: Ratio = Field(default=1.25, description="Peak memory, at most so many times the budget.")


class Budgets(Spec):
    """What a run of the arm took: the median over its seeds, rounded to three digits."""

    wall_seconds: float | None = None
    tokens_per_second: float | None = None
    peak_memory_bytes: int | None = None


class FrozenScore(Spec):
    """The primary metric on one split: mean over the seeds, and its 95 % interval over what the bootstrap draws."""

    mean: float | None = None
    low: float | None = None
    high: float | None = None


class FrozenRun(Spec):
    """One run: a folder beside the file."""

    seed: int
    folder: FolderName
    scores: dict[SplitName, float | None] = Field(description="The primary metric by test split.")
    files: dict[FolderName, Sha256] = Field(description="sha256 of each file of the folder.")


class FrozenArm(Spec):
    """Runs that differ in their seed alone."""

    task: Name
    version: int
    metric: str
    checkpoint: str | None = Field(
        default=None, description="name@commit on the Hub, name@sha256:… of a folder; none for a trivial baseline."
    )
    recipe: str
    settings: dict[str, Any] = Field(default={}, description="Fields of the recipe that were changed.")
    subset: int | None = None
    fraction: float | None = None
    scores: dict[SplitName, FrozenScore]
    budgets: Budgets = Budgets()
    runs: list[FrozenRun] = Field(min_length=1)

    @property
    def place(self) -> tuple[Any, ...]:
        """What a newer version of the arm shares with it: all but task version, commit of the checkpoint and seeds."""
        name = self.checkpoint.rpartition("@")[0] if self.checkpoint else None
        settings = tuple(sorted((key, repr(value)) for key, value in self.settings.items()))
        return self.task, name, self.recipe, settings, self.subset, self.fraction

    @property
    def title(self) -> str:
        """For tables: checkpoint and recipe, and what sets the arm apart."""
        settings = [f"{key}={value}" for key, value in sorted(self.settings.items())]
        parts = [self.checkpoint.rpartition("@")[0]] if self.checkpoint else []
        parts.append(", ".join([self.recipe, *settings]))
        parts += [f"{self.subset} a split"] if self.subset else []
        parts += [f"{100 * self.fraction:g} % of train"] if self.fraction else []
        return " · ".join(parts)


class BaselineFile(Spec):
    """One ``baseline.yaml``. Question, margins and tolerances are the owner's to edit; ``update`` leaves them."""

    name: Name
    question: Literal["weights", "recipe"] = Field(
        description="weights: are the models different? recipe: would training again give another result?"
    )
    margins: dict[Name, Annotated[float, Field(gt=0)]] = Field(
        default={}, description="Task -> the loss that counts as worse, where it is not the task's own margin."
    )
    tolerances: Tolerances = Tolerances()
    prediction_tolerance: Annotated[float, Field(ge=0)] | None = Field(
        default=None,
        description="Predictions must agree within this (probabilities; values in their standard deviations). "
        "Without it scores are compared, not predictions.",
    )
    arms: list[FrozenArm] = Field(min_length=1)

    @model_validator(mode="after")
    def _consistent(self) -> BaselineFile:
        folders = [run.folder for arm in self.arms for run in arm.runs]
        if len(set(folders)) < len(folders):
            raise SpecError("the same folder is listed twice. Remove one", "arms")
        if (same := one_file_twice(folders)) is not None:
            raise SpecError(f"{same[0]} and {same[1]} are one folder on many disks. Rename one", "arms")
        if unknown := set(self.margins) - {arm.task for arm in self.arms}:
            raise SpecError(f"no run is of the task {min(unknown)}. Remove it", "margins")
        return self

    def margin(self, task: Task) -> float:
        """The loss in the task's primary metric that counts as worse."""
        return self.margins.get(task.name, task.margin)

    def text(self) -> str:
        """The file: always the same keys in the same order, one fact a line."""
        import yaml

        values = self.model_dump(mode="json", exclude_none=True)
        values = {key: value for key, value in values.items() if value != {}}
        for arm in values["arms"]:
            if not arm["settings"]:
                del arm["settings"]
        return yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=1_000_000)


@reads("baseline file")
def read_baseline_file(folder: Path, where: str | None = None) -> BaselineFile:
    """Read the file of a baseline's folder, called ``where`` in messages (by default its path).

    Raises:
        UserError: there is none, or it is wrong.
    """
    return read_spec(folder / BASELINE_FILE, BaselineFile, where)
