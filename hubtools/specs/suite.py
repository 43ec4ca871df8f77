"""The suite: tasks × recipe × seeds (× checkpoints), with what may be tuned; and the profile: what an engine that does the runs is asked for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, field_validator, model_validator

from hubtools.common.files import is_there
from hubtools.specs.base import Spec
from hubtools.specs.names import Name


class Tuning(Spec):
    """The same small budget of trials on validation for every checkpoint: what a suite lets a recipe be fitted by."""

    trials: int = Field(ge=2, le=1000, description="Of each checkpoint on each task; no trial reads a test split.")
    over: dict[str, str | list[Any]] = Field(
        min_length=1,
        description="Field of the recipe -> the values that are tried: a list, or a range such as 1e-4..1e-2.",
    )
    seed: int = Field(default=1, ge=0, lt=10**9, description="Of the trials and of the search.")

    @property
    def texts(self) -> list[str]:
        """The fields as ``bench sweep --over`` takes them."""
        return [f"{name}={_text(values)}" for name, values in self.over.items()]


def tuned_label(trials: int) -> str:
    """What a row of a board is called whose recipe was fitted with so many trials."""
    return f"tuned: {trials} trials on validation"


def _text(values: str | list[Any]) -> str:
    return values if isinstance(values, str) else ",".join(json.dumps(value) for value in values)


class Suite(Spec):
    """One suite file."""

    name: Name
    title: str
    summary: str = ""
    tasks: list[str] = Field(min_length=1)
    recipe: str = Field(description="Recipe by which checkpoints are adapted.")
    zero_shot: str = Field(
        default="masked-marginals", description="Recipe for tasks in which nothing is trained (variant-effect)."
    )
    fractions: list[Annotated[float, Field(gt=0, le=1)]] = Field(
        default=[1.0], min_length=1, description="Shares of the training data to learn from, one run each."
    )
    twins: bool = Field(
        default=False, description="Beside each run of a checkpoint also one of the same recipe with random weights."
    )
    seeds: list[int] = Field(default=[1, 2, 3], min_length=1)
    baselines: list[str] = Field(
        default=[], description="Recipes that every result is shown beside; those that do not fit a task are left out."
    )
    checkpoints: list[str] = Field(default=[], description="Checkpoints of the suite, where it names some.")
    tuning: Tuning | None = Field(
        default=None,
        description="Beside the recipe as it is, the same with these fields chosen on validation: as many trials for every checkpoint.",
    )

    @model_validator(mode="after")
    def _tunes_whole(self) -> Suite:
        if self.tuning is not None and set(self.fractions) != {1.0}:
            raise ValueError("tuning is of all training data, and fractions are parts of it. Leave one of them out")
        return self

    def located_at(self, folder: Path) -> Suite:
        """A copy whose relative paths start at that folder, where there is such a file or folder; names stay names."""
        named = {"tasks": self.tasks, "baselines": self.baselines, "checkpoints": self.checkpoints}
        changed: dict[str, Any] = {key: [_below(folder, name) for name in names] for key, names in named.items()}
        changed |= {"recipe": _below(folder, self.recipe), "zero_shot": _below(folder, self.zero_shot)}
        return self.model_copy(update=changed)

    @field_validator("tasks", "fractions", "seeds", "baselines", "checkpoints")
    @classmethod
    def _distinct(cls, values: list[Any]) -> list[Any]:
        if len(set(values)) != len(values):
            raise ValueError("the same value is listed twice")
        return values


def _below(folder: Path, name: str) -> str:
    """A path that a suite gives, for the working directory; a name as it is."""
    path = folder / name
    if "/" not in name or not is_there(path):
        return name
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


class Profile(Spec):
    """One profile file: how an engine is to be asked: partition, time, GPUs."""

    name: Name
    title: str
    summary: str = ""
    engine: Name = Field(description="Engine that it is for: slurm, ray, or one that a package brings.")
    options: dict[str, Any] = Field(default={}, description="What that engine takes.")
