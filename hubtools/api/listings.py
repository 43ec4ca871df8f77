"""What there is to predict, and how: tasks, recipes and suites by name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from os import PathLike, fspath
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

from hubtools.common.errors import UserError, near
from hubtools.common.notebook import line_html, lines_html, table_html
from hubtools.specs.recipe import Recipe
from hubtools.specs.suite import Suite
from hubtools.specs.task import Task

if TYPE_CHECKING:
    import pandas

    from hubtools.specs.lookup.content import Found

Listed = TypeVar("Listed", Task, Recipe, Suite)


@dataclass(frozen=True)
class SpecList(Sequence[Listed], Generic[Listed]):
    """Tasks, recipes or suites, each also by its name.

    Attributes:
        kind: what they are.
        specs: all of them.
        places: the file of each and where it comes from, in the same order.
        problems: files that cannot be read, a line each.
        templates: names of tasks that are left out because they have never been loaded.
    """

    kind: str
    specs: tuple[Listed, ...]
    places: tuple[Found, ...]
    problems: tuple[str, ...] = ()
    templates: tuple[str, ...] = ()

    @overload
    def __getitem__(self, which: int | str) -> Listed: ...

    @overload
    def __getitem__(self, which: slice) -> Sequence[Listed]: ...

    def __getitem__(self, which: int | str | slice) -> Listed | Sequence[Listed]:
        """By place or by name.

        Raises:
            UserError: nothing is called so.
        """
        if isinstance(which, str):
            if which not in self.names:
                raise UserError(f"no {self.kind} is called {which!r}", fix=near(which, self.names))
            return self.specs[self.names.index(which)]
        return self.specs[which]

    def __len__(self) -> int:
        return len(self.specs)

    def __iter__(self) -> Iterator[Listed]:
        return iter(self.specs)

    @property
    def names(self) -> list[str]:
        """What each is called."""
        return [spec.name for spec in self.specs]

    def rows(self) -> list[dict[str, Any]]:
        """One row each: what :meth:`to_pandas` makes its table of."""
        return [
            {**_row(spec), "from": place.origin, "path": str(place.path)}
            for spec, place in zip(self.specs, self.places, strict=True)
        ]

    def summaries(self) -> list[dict[str, Any]]:
        """The same for programs: values as JSON has them, of tasks also every label, metric and the reason of trust."""
        return [
            {
                **(_summary(spec) if isinstance(spec, Task) else _row(spec)),
                "path": str(place.path),
                "from": place.origin,
                "hides": [str(other.path) for other in place.hidden],
            }
            for spec, place in zip(self.specs, self.places, strict=True)
        ]

    def to_pandas(self) -> pandas.DataFrame:
        """One row each: name, title, summary; of tasks problem, labels, test_splits, metric, trust, licence, version; of recipes
        adaptation; of suites tasks, recipe, seeds; from, path.
        """
        import pandas as pd

        return pd.DataFrame(self.rows())

    def __repr__(self) -> str:
        return f"{len(self)} {self.kind}s: {', '.join(self.names)}"

    def _repr_html_(self) -> str:
        shown = {
            "task": ("name", "title", "problem", "metric", "trust", "from"),
            "recipe": ("name", "title", "adaptation", "from"),
            "suite": ("name", "title", "recipe", "from"),
        }[self.kind]
        rows = [["–" if row[column] is None else row[column] for column in shown] for row in self.rows()]
        said = line_html(f"{len(self)} {self.kind}s", strong=True)
        return said + table_html(shown, rows) + lines_html("Cannot be read", self.problems)


def _row(spec: Task | Recipe | Suite) -> dict[str, Any]:
    common = {"name": spec.name, "title": spec.title, "summary": spec.summary}
    if isinstance(spec, Task):
        return {
            **common,
            "problem": spec.problem.value,
            "labels": len(spec.label_names) or None,
            "test_splits": ", ".join(spec.data.test_splits),
            "metric": spec.metrics.primary,
            "trust": spec.trust.colour if spec.trust else None,
            "licence": spec.licence,
            "version": spec.version,
        }
    if isinstance(spec, Recipe):
        return {**common, "adaptation": spec.adaptation}
    return {**common, "tasks": ", ".join(spec.tasks), "recipe": spec.recipe, "seeds": ", ".join(map(str, spec.seeds))}


def _summary(task: Task) -> dict[str, Any]:
    return {
        "name": task.name,
        "version": task.version,
        "title": task.title,
        "problem": task.problem.value,
        "labels": task.label_names,
        "test_splits": task.data.test_splits,
        "metrics": task.metrics.names,
        "trust": task.trust.model_dump() if task.trust else None,
        "published": len(task.published),
        "licence": task.licence,
        "source": task.data.source,
        **({"template": task.template} if task.template else {}),
    }


def load_task(name: str | PathLike[str]) -> Task:
    """A task: what to predict, on which data and splits, scored how.

    Args:
        name: of a task, a file, a folder that holds one, or ``hub://user/repo[@revision][/name]``.

    Returns:
        The checked file (:class:`hubtools.specs.task.Task`), which shows itself in a notebook.

    Raises:
        UserError: there is no such task, or its file is wrong; the message names file, line and key.

    >>> import hubtools
    >>> task = hubtools.load_task("localisation")
    >>> task.problem.value, task.metrics.primary, len(task.label_names)
    ('sequence-multilabel', 'macro_f1', 10)
    """
    from hubtools.data.sources.task_repositories import open_task

    return open_task(fspath(name))[1]


def load_recipe(name: str | PathLike[str]) -> Recipe:
    """A recipe, how a checkpoint is adapted and trained, by name or file.

    Raises:
        UserError: there is no such recipe, or its file is wrong.

    >>> import hubtools
    >>> hubtools.load_recipe("probe").adaptation
    'probe'
    """
    from hubtools.specs.lookup.spec_files import load_recipe as load

    return load(fspath(name))


def load_suite(name: str | PathLike[str]) -> Suite:
    """A suite, tasks with a recipe and seeds, by name or file.

    Raises:
        UserError: there is no such suite, or its file is wrong.

    >>> import hubtools
    >>> "localisation" in hubtools.load_suite("core").tasks
    True
    """
    from hubtools.specs.lookup.spec_files import load_suite as load

    return load(fspath(name))


def tasks(problem: str | None = None, *, templates: bool = False) -> SpecList[Task]:
    """All tasks: your own first, then those bench ships.

    Args:
        problem: only those of this problem, such as ``residue-classification``.
        templates: those alone whose file says that they have never been loaded, and which are left out else.

    Returns:
        Tasks, also by name. A file that is wrong is a line of ``problems``: it should not hide all the others.

    Raises:
        UserError: there is no such problem.

    >>> import hubtools
    >>> "binding-residues" in hubtools.tasks("residue-multilabel").names
    True
    >>> "glycosylation" in hubtools.tasks(templates=True).names
    True
    """
    from hubtools.specs.level import problems
    from hubtools.specs.lookup.content import catalogue
    from hubtools.specs.lookup.spec_files import load_task as load

    if problem is not None and problem not in problems():
        raise UserError(f"there is no problem {problem!r}", fix=f"There are: {', '.join(problems())}.")
    known: list[tuple[Task, Found]] = []
    unreadable, others = [], []
    for found in catalogue("task").values():
        try:
            task = load(str(found.path))
        except UserError as error:
            unreadable.append(str(error))
            continue
        if problem in {None, task.problem.value}:
            if bool(task.template) == templates:
                known.append((task, found))
            elif task.template:
                others.append(task.name)
    listed, places = tuple(task for task, _ in known), tuple(found for _, found in known)
    return SpecList("task", listed, places, tuple(unreadable), tuple(others))


def recipes() -> SpecList[Recipe]:
    """All recipes, how a checkpoint is adapted and trained: your own first, then those bench ships.

    Raises:
        UserError: a file is wrong.

    >>> import hubtools
    >>> hubtools.recipes()["probe"].adaptation
    'probe'
    """
    found = _catalogue("recipe")
    return SpecList("recipe", tuple(load_recipe(str(one.path)) for one in found), found)


def suites() -> SpecList[Suite]:
    """All suites, tasks with a recipe and seeds: your own first, then those bench ships.

    Raises:
        UserError: a file is wrong.

    >>> import hubtools
    >>> "core" in hubtools.suites().names
    True
    """
    found = _catalogue("suite")
    return SpecList("suite", tuple(load_suite(str(one.path)) for one in found), found)


def _catalogue(kind: str) -> tuple[Found, ...]:
    from hubtools.specs.lookup.content import catalogue

    return tuple(catalogue(kind).values())
