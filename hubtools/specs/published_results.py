"""Published results that can be run again: one file a paper or leaderboard in ``benchmarks/published/``.

A file lists experiments, which share task and procedure, and each experiment its results, one a checkpoint. A result is
called ``PAPER/EXPERIMENT/CHECKPOINT``, such as ``schmirler-2024/gb1-frozen/esm2-8m``.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from hubtools.common.errors import UserError
from hubtools.common.readers import reads
from hubtools.specs.base import Spec, SpecError
from hubtools.specs.lookup.content import Place, catalogue
from hubtools.specs.lookup.spec_files import read_spec
from hubtools.specs.names import HubId, Name, SplitName

# Runs of which the mean may differ from the value by no more than printing and rounding explain.
_ROUNDING = 1.1e-3


class Result(Spec):
    """One number as it was published."""

    checkpoint: HubId
    value: float = Field(description="In bench's units: 0.818 where 81.8 % is printed.")
    printed: str = Field(description="As the source prints it, with its spread.")
    runs: list[float] = Field(
        default=[], description="The score of each run behind the value, where they are published."
    )
    spread: float | None = Field(default=None, ge=0, description="What stands behind ±, in the units of the value.")
    note: str | None = Field(default=None, description="What is particular about this number.")

    @model_validator(mode="after")
    def _mean_of_runs(self) -> Result:
        if len(self.runs) == 1:
            raise SpecError("one run has no spread. Leave runs out", "runs")
        if self.runs and abs(fmean(self.runs) - self.value) > _ROUNDING:
            raise SpecError(f"their mean is {fmean(self.runs):.4f}, the value {self.value:g}. Correct one", "runs")
        return self


class Experiment(Spec):
    """Results of one procedure on one task, and how bench makes them again."""

    title: str
    where: str = Field(description="Table of the source, as it numbers it.")
    task: Name
    version: int = Field(ge=1, description="Of the task file: a newer one has other data, labels or metric.")
    split: SplitName = "test"
    metric: str
    recipe: Name = Field(description="What comes nearest to the published procedure.")
    settings: dict[str, Any] = Field(default={}, description="Fields of the recipe that are changed.")
    seeds: list[int] = Field(default=[1, 2, 3], min_length=1)
    tolerance: float = Field(gt=0, description="Ours: a difference that is no contradiction.")
    reason: str = Field(description="Why the tolerance is what it is.")
    spread_is: Literal["1.96 SEM", "SEM", "SD"] | None = Field(default=None, description="What stands behind ±.")
    n_runs: int | None = Field(default=None, ge=2, description="Runs behind each value, where the spread needs them.")
    same_test: bool = Field(
        description="Whether the published number is on these very test rows; else which were tested is chance, too."
    )
    data: str = Field(description="Why the data are the same, and as far as they are not, how.")
    differences: list[str] = Field(description="What is known to be done otherwise than in the source.")
    results: dict[Name, Result] = Field(min_length=1)

    @field_validator("seeds")
    @classmethod
    def _distinct(cls, seeds: list[int]) -> list[int]:
        if len(set(seeds)) < len(seeds):
            raise ValueError("the same seed is listed twice. Remove one")
        return seeds

    @model_validator(mode="after")
    def _spreads_are_known(self) -> Experiment:
        for name, result in self.results.items():
            if result.spread is None or result.runs:
                continue
            if self.spread_is is None:
                raise SpecError("it has a spread. Say what it is: 1.96 SEM, SEM or SD", "spread_is")
            if self.n_runs is None:
                raise SpecError(f"the spread of {name} is of several runs. Say of how many", "n_runs")
        return self


class PaperSource(Spec):
    """One file: a paper or a leaderboard."""

    name: Name
    citation: str
    doi: str | None = Field(default=None, pattern=r"^10\.\d+/\S+$")
    numbers: str = Field(description="Where the numbers were read: an address, with a commit where there is one.")
    experiments: dict[Name, Experiment] = Field(min_length=1)


@dataclass(frozen=True)
class Cell:
    """One published number with everything that is known of it.

    Attributes:
        id: what names it.
        source, experiment, result: where it stands.
    """

    id: str
    source: PaperSource
    experiment: Experiment
    result: Result

    @property
    def standard_error(self) -> float | None:
        """Of the published value, over the runs behind it; None where nothing is published of its spread."""
        result, experiment = self.result, self.experiment
        if result.runs:
            return stdev(result.runs) / math.sqrt(len(result.runs))
        if result.spread is None or experiment.n_runs is None:
            return None
        divided = {"1.96 SEM": 1.96, "SEM": 1.0, "SD": math.sqrt(experiment.n_runs)}
        assert experiment.spread_is is not None
        return result.spread / divided[experiment.spread_is]

    @property
    def degrees(self) -> float:
        """Degrees of freedom of the standard error."""
        runs = len(self.result.runs) or self.experiment.n_runs
        return runs - 1 if runs and self.standard_error is not None else math.inf


@reads("published results")
def read_source(path: Path) -> PaperSource:
    """One file.

    Raises:
        UserError: it is wrong, or not called like its source.
    """
    source = read_spec(path, PaperSource)
    if source.name != path.stem:
        raise UserError(
            f"name is {source.name!r} but the file is called {path.name}",
            where=str(path),
            fix=f"Call the file {source.name}.yaml or write name: {path.stem}.",
        )
    return source


def published_cells(among: Sequence[Place]) -> dict[str, Cell]:
    """All published results by id.

    Args:
        among: where their files are looked for, first match wins.

    Raises:
        UserError: a file is wrong.
    """
    cells = {}
    for found in catalogue("published", among).values():
        source = read_source(found.path)
        for name, experiment in source.experiments.items():
            for key, result in experiment.results.items():
                cell = Cell(f"{source.name}/{name}/{key}", source, experiment, result)
                cells[cell.id] = cell
    return cells


def find_cell(name: str, known: Mapping[str, Cell]) -> Cell:
    """The published result of that id.

    Raises:
        UserError: there is none; the message lists near misses.
    """
    if name in known:
        return known[name]
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    hint = f"Did you mean {' or '.join(close)}?" if close else "bench reproduce --list shows what there is."
    raise UserError(f"there is neither a run nor a published result {name!r}", fix=hint)
