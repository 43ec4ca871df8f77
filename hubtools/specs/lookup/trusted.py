"""What whoever verifies results holds to be right: the files of bench, and before them those of a folder that is named.

A check of somebody else's result would prove nothing if that somebody brought the task along. So here nothing is taken
from the current folder, from ``BENCH_TASKS`` or from installed packages, and nothing is found by a path.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hubtools.common.errors import UserError, nearest
from hubtools.common.files import is_folder
from hubtools.specs.lookup.content import KINDS, OURS, Place, catalogue, shipped_root
from hubtools.specs.lookup.spec_files import recipe_in, suite_in, task_in
from hubtools.specs.published_results import Cell, published_cells
from hubtools.specs.recipe import Recipe
from hubtools.specs.suite import Suite
from hubtools.specs.task import Task


@dataclass(frozen=True)
class TrustedSpecs:
    """Tasks, recipes, suites and published results that are held to be right.

    Attributes:
        owner: a folder with ``tasks/`` and ``benchmarks/`` of one's own, found before what bench ships.
    """

    owner: Path | None = None

    def __post_init__(self) -> None:
        if self.owner is not None and not is_folder(self.owner):
            raise UserError("there is no such folder", where=str(self.owner), fix="Correct --project.")

    def places(self, kind: str) -> list[Place]:
        """Where files of a kind are looked for."""
        own = [] if self.owner is None else [Place(str(self.owner), self.owner / KINDS[kind])]
        return [*own, Place(OURS, shipped_root() / KINDS[kind])]

    def holds(self, kind: str, name: str) -> bool:
        """Whether something of a kind has that name."""
        return name in catalogue(kind, self.places(kind))

    def origin_of(self, kind: str, name: str) -> str | None:
        """For a record, where something of that name is from; None where nothing has it."""
        found = catalogue(kind, self.places(kind)).get(name)
        return None if found is None else OURS if found.origin == OURS else "--project"

    def task(self, name: str) -> Task:
        """The task of that name.

        Raises:
            UserError: none is held, or its file is wrong.
        """
        return task_in(self._path("task", name))

    def recipe(self, name: str, overrides: Mapping[str, Any] | None = None) -> Recipe:
        """The recipe of that name with single fields replaced.

        Raises:
            UserError: none is held, its file is wrong, or a field is not one.
        """
        return recipe_in(self._path("recipe", name), dict(overrides or {}))

    def suite(self, name: str) -> Suite:
        """The suite of that name.

        Raises:
            UserError: none is held, or its file is wrong.
        """
        return suite_in(self._path("suite", name))

    def cells(self) -> dict[str, Cell]:
        """All published results by id.

        Raises:
            UserError: a file is wrong.
        """
        return published_cells(self.places("published"))

    def _path(self, kind: str, name: str) -> Path:
        known = catalogue(kind, self.places(kind))
        if name in known:
            return known[name].path
        close = nearest(name, known)
        hint = f"Did you mean {close}? " if close else ""
        raise UserError(
            f"no {kind} {name!r} is held here",
            fix=f"{hint}What is checked does not bring its own: --project DIR names a folder whose {kind}s are right.",
        )
