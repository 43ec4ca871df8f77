"""The suite: tasks × recipe × seeds (× checkpoints)."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator

from hubtools.specs.base import Spec


class Suite(Spec):
    """One suite file."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
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

    @field_validator("tasks", "fractions", "seeds", "baselines", "checkpoints")
    @classmethod
    def _distinct(cls, values: list) -> list:
        if len(set(values)) != len(values):
            raise ValueError("the same value is listed twice")
        return values
