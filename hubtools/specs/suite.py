"""The suite: tasks × recipe × seeds (× checkpoints); and the profile: what an engine that does the runs is asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, field_validator

from hubtools.common.files import is_there
from hubtools.specs.base import Spec
from hubtools.specs.names import Name


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
