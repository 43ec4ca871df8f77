"""Results from the literature that ``bench reproduce`` can run again: ``benchmarks/published/results.yaml``."""

from __future__ import annotations

import difflib
from typing import Annotated, Any

from pydantic import Field

from hubtools.specs.base import Spec
from hubtools.specs.content import roots
from hubtools.specs.errors import UserError
from hubtools.specs.loading import read_spec

FILE = "benchmarks/published/results.yaml"


class Paper(Spec):
    """Where results were published, and what was done there otherwise than here."""

    title: str
    doi: str
    differs: str = Field(description="What its procedure does otherwise than the recipes that stand for it here.")


class Cell(Spec):
    """One published number: a task, a checkpoint, a procedure, a value."""

    id: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
    paper: str = Field(description="Key of papers.")
    task: str
    version: int = Field(ge=1, description="Version of the task that has the published test set.")
    checkpoint: str = Field(description="Hub id.")
    recipe: str
    settings: dict[str, Any] = Field(default={}, description="Fields of the recipe that stand for the paper's.")
    seeds: list[int] = Field(min_length=1)
    metric: str
    split: str = "test"
    value: float
    spread: float | None = Field(default=None, description="Half of the published mean's 95 % interval over seeds.")
    printed: str = Field(default="", description="The spread as the source prints it.")
    tolerance: float = Field(gt=0, description="How far apart two procedures alike may be; this project's own.")
    source: str = Field(description="Table, file or page.")
    notes: str = Field(default="", description="What keeps the number from being quite comparable.")


class PublishedResults(Spec):
    """The whole table."""

    tolerance: str = Field(description="Why the tolerances are what they are.")
    papers: dict[str, Paper]
    cells: list[Cell]


def load_published() -> PublishedResults:
    """The table: the user's own file where there is one, else what ships.

    Raises:
        UserError: the file is wrong, or there is none.
    """
    for root in roots():
        path = root / FILE
        if path.is_file():
            table = read_spec(path, PublishedResults, FILE)
            for cell in table.cells:
                if cell.paper not in table.papers:
                    raise UserError(f"{cell.id}: there is no paper {cell.paper!r}", where=FILE, fix="Add it to papers.")
            return table
    raise UserError("there is no table of published results", where=FILE, fix="Reinstall bench.")


def find_cell(name: str) -> tuple[Cell, Paper]:
    """A published result by its id.

    Raises:
        UserError: nothing has that id; the message names near misses.
    """
    table = load_published()
    for cell in table.cells:
        if cell.id == name:
            return cell, table.papers[cell.paper]
    close = difflib.get_close_matches(name, [cell.id for cell in table.cells], n=3)
    hint = f"Did you mean {', '.join(close)}?" if close else "See bench reproduce --list."
    raise UserError(f"neither a run nor a published result is called {name!r}", fix=hint)
