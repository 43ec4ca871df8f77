"""Baselines: runs frozen to be compared with, renewed, looked at."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from hubtools.api.asked import Names, Say, names_of, silent
from hubtools.api.found_runs import said_of
from hubtools.common.errors import UserError
from hubtools.common.files import is_folder, is_there
from hubtools.common.inside import inside, why_not_inside
from hubtools.specs.baseline_file import BASELINES
from hubtools.specs.references import is_address

if TYPE_CHECKING:
    from hubtools.findings.arms import Arm
    from hubtools.findings.baseline_update import Compared, Renewal
    from hubtools.findings.frozen_baseline import Baseline
    from hubtools.findings.naming.selectors import Selector
    from hubtools.specs.baseline_file import BaselineFile

Where = str | PathLike[str]


@dataclass(frozen=True)
class PlannedBaseline:
    """Runs that are about to be frozen.

    Attributes:
        folder: that will hold them.
        arms: what is frozen.
        question: what checks will ask.
        few: arms with fewer than three seeds, although another seed would give another run.
    """

    folder: Path
    arms: tuple[Arm, ...]
    question: str
    few: tuple[Arm, ...]
    _file: BaselineFile

    @property
    def runs(self) -> int:
        """How many runs that are."""
        return sum(len(arm.seeds) for arm in self.arms)

    def freeze(self, *, any_size: bool = False) -> Baseline:
        """Write it.

        Args:
            any_size: also more than 50 MB.

        Raises:
            UserError: predictions are missing, something looks like a token, it is too large, the folder cannot be written.
        """
        from hubtools.findings.frozen_baseline import freeze, sources

        return freeze(self.folder, self._file, sources(self.arms), any_size=any_size)


def plan_baseline(
    name: str,
    runs: Where = "runs",
    *,
    task: Names | None = None,
    checkpoint: Names | None = None,
    recipe: Names | None = None,
    suite: str | None = None,
    question: Literal["weights", "recipe"] | None = None,
    tolerance: float | None = None,
    to: Where = BASELINES,
    on_note: Say = silent,
) -> PlannedBaseline:
    """What would be frozen under a name: records and predictions of the test splits, no models. Nothing is written.

    Args:
        name: small letters, digits and hyphens.
        runs, task, checkpoint, recipe, on_note: which runs, as for :func:`hubtools.results`.
        suite: only tasks and recipes of this suite.
        question: what checks ask; by default ``recipe`` where every arm has three seeds, else ``weights``.
        tolerance: checks compare the predictions themselves: none may change by more than this.
        to: folder of baselines.

    Raises:
        UserError: it is there already, there are no such runs, or the name is none.
    """
    from hubtools.evaluation.statistics.difference import MIN_SEEDS
    from hubtools.findings.frozen_baseline import new_baseline

    target = inside(Path(to), name)
    if is_there(target):
        raise UserError("it is there already", where=str(target), fix=f"Renew it: bench baseline update {name}.")
    arms = _arms(str(runs), _wanted(task, suite, checkpoint, recipe), None, on_note)
    few = tuple(arm for arm in arms if not arm.nothing_random and len(arm.seeds) < MIN_SEEDS)
    asked = question or ("weights" if few else "recipe")
    return PlannedBaseline(target, tuple(arms), asked, few, new_baseline(name, asked, arms, tolerance))


@dataclass(frozen=True)
class PlannedUpdate:
    """Newer runs that are about to take the place of frozen ones.

    Attributes:
        old: the baseline as it is.
        renewals: what becomes of each arm.
    """

    old: Baseline
    renewals: tuple[Renewal, ...]

    @property
    def changed(self) -> int:
        """How many arms will be different."""
        return sum(one.changed for one in self.renewals)

    @property
    def compared(self) -> list[Compared]:
        """Old and new side by side."""
        from hubtools.findings.baseline_update import compared

        return compared(self.old, list(self.renewals))

    def freeze(self, *, any_size: bool = False) -> Baseline:
        """Write it in place of the old; margins and tolerances stay as they were edited.

        Args:
            any_size: also more than 50 MB.

        Raises:
            UserError: as :meth:`PlannedBaseline.freeze`.
        """
        from hubtools.findings.frozen_baseline import freeze

        file = self.old.file.model_copy(update={"arms": [one.after for one in self.renewals]})
        kept = {folder: source for one in self.renewals for folder, source in one.runs.items()}
        return freeze(self.old.folder, file, kept, any_size=any_size)


def plan_update(
    name: Where,
    runs: Where = "runs",
    *,
    task: Names | None = None,
    checkpoint: Names | None = None,
    recipe: Names | None = None,
    suite: str | None = None,
    add: bool = False,
    only_cost: bool = False,
    to: Where = BASELINES,
    on_note: Say = silent,
) -> PlannedUpdate:
    """What newer runs would change in a baseline. Nothing is written.

    Args:
        name: of the baseline, or its path.
        runs, task, checkpoint, recipe, suite, to, on_note: as for :func:`plan_baseline`.
        add: also freeze what the baseline lacks.
        only_cost: renew the budgets of what did not change, and nothing else.

    Raises:
        UserError: there is no such baseline, it was altered, or no runs could take the place of its own.
    """
    from hubtools.findings.baseline_update import renewals

    old = baseline_named(name, to, on_note=on_note)
    old.verify()
    places = None if add else {arm.place for arm in old.file.arms}
    arms = _arms(str(runs), _wanted(task, suite, checkpoint, recipe), places, on_note)
    return PlannedUpdate(old, tuple(renewals(old, arms, add=add, only_cost=only_cost)))


def baseline_named(name: Where, to: Where = BASELINES, *, on_note: Say = silent) -> Baseline:
    """The baseline of that name in the folder of baselines, or at that path, or at ``hub://user/repo[@revision][/folder]``.

    Raises:
        UserError: there is none.
    """
    from hubtools.findings.frozen_baseline import open_baseline
    from hubtools.findings.naming.hub_runs import fetch_runs

    asked, home = str(name), Path(to)
    if is_address(asked):
        fetched = fetch_runs(asked)
        on_note(f"{asked} is {fetched.reference}")
        return open_baseline(fetched.folder)
    # A name is looked up among the baselines, a path is one.
    named = home / asked if why_not_inside(asked, 1) is None else None
    if named is not None and not is_folder(named) and not is_folder(Path(asked)):
        known = sorted(path.parent.name for path in home.glob("[!.]*/baseline.yaml"))
        raise UserError(
            f"there is no baseline {asked}",
            where=str(home),
            fix=f"There are: {', '.join(known)}." if known else f"Make it: bench baseline create {asked}.",
        )
    return open_baseline(named if named is not None and is_folder(named) else Path(asked))


def _arms(root: str, wanted: Selector, places: Collection[tuple[Any, ...]] | None, on_note: Say) -> list[Arm]:
    from hubtools.findings.frozen_baseline import arms_to_freeze
    from hubtools.findings.naming.named_runs import Needs, runs_named

    named = runs_named([root], Needs.PREDICTIONS)
    said_of([named], on_note)
    return arms_to_freeze(named.found, wanted, places, root)


def _wanted(task: Names | None, suite: str | None, checkpoint: Names | None, recipe: Names | None) -> Selector:
    from hubtools.findings.naming.selectors import Selector

    tasks, recipes = names_of(task), names_of(recipe)
    if suite is not None:
        from hubtools.data.sources.task_repositories import open_task
        from hubtools.specs.lookup.spec_files import load_recipe, load_suite

        spec = load_suite(suite)
        tasks = tasks or tuple(open_task(name)[1].name for name in spec.tasks)
        recipes = recipes or tuple(load_recipe(n).name for n in (spec.recipe, spec.zero_shot, *spec.baselines))
    return Selector.of(task=tasks, checkpoint=names_of(checkpoint), recipe=recipes)
