"""What a command was asked to run, kept beside the runs: another process reads it, does its part of it, or tells how far it is.

A matrix repeats itself: tasks and recipes are written once, what runs of several seeds share is one entry (:class:`KeptArm`),
and a run is two numbers. Nothing in it is a program: it is JSON, read as what anybody may have written.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, Field, ValidationError, model_validator

from hubtools.common.bounds import LARGEST_JSON, json_values, read_bounded
from hubtools.common.errors import UserError
from hubtools.common.files import write_atomic
from hubtools.common.hashing import digest
from hubtools.common.inside import inside
from hubtools.common.readers import reads
from hubtools.common.secrets import scrub, scrubbed
from hubtools.runs.plan import PlannedRun
from hubtools.specs.lookup.spec_files import first_mistake
from hubtools.specs.names import FolderName, Name, RunId
from hubtools.specs.recipe import Recipe
from hubtools.specs.record import SweepFacts
from hubtools.specs.record.identities import Line, OpenPart, RecordPart
from hubtools.specs.suite import Tuning
from hubtools.specs.task import Task

# Hidden from whoever looks for runs, as every name with a dot is.
PLANS = ".plans"
_Place = Annotated[int, Field(ge=0)]


class KeptArm(OpenPart):
    """What runs share that differ in their seed alone: a :class:`PlannedRun` without it.

    Attributes:
        task, recipe: places in the lists of the plan.
    """

    task: _Place
    recipe: _Place
    checkpoint: Line | None = None
    subset: int | None = None
    fraction: float | None = None
    suite: Line | None = None
    overrides: dict[str, Any] = Field(default_factory=dict)
    task_file: Line | None = None
    recipe_file: Line | None = None
    origins: dict[Literal["task", "recipe", "suite"], Line] = Field(default_factory=dict)
    sweep: SweepFacts | None = None
    tuning: Tuning | None = None


class KeptRun(RecordPart):
    """One run: the place of its arm in the list of the plan, its seed, and its folder where that is known already."""

    arm: _Place
    seed: _Place
    folder: FolderName | None = None


class KeptPlan(OpenPart):
    """What was asked for at once.

    Attributes:
        id: digest of its runs; the same runs asked for again are the same plan.
        command: as it was typed.
        directory: in which it was typed: paths in it that are not absolute begin there.
        begun: when.
        engine: what does the runs: ``here``, ``workers``, ``slurm``, ``ray`` or one that a package brings.
        jobs: of the engine: its name for a job -> numbers of the job's runs, from 0.
        options: of the command and of the engine's profile, as JSON has them.
        tasks, recipes: of the runs, each once.
        arms, runs: see there.
    """

    id: RunId
    command: Line
    directory: Line
    begun: AwareDatetime
    engine: Name = "here"
    jobs: dict[Line, list[_Place]] = Field(default_factory=dict)
    options: dict[str, Any] = Field(default_factory=dict)
    tasks: list[Task]
    recipes: list[Recipe]
    arms: list[KeptArm]
    runs: list[KeptRun]

    @model_validator(mode="after")
    def _fits_together(self) -> KeptPlan:
        for arm in self.arms:
            if arm.task >= len(self.tasks) or arm.recipe >= len(self.recipes):
                raise ValueError("an arm is of a task or a recipe that is not there")
        if any(run.arm >= len(self.arms) for run in self.runs):
            raise ValueError("a run is of an arm that is not there")
        if any(number >= len(self.runs) for numbers in self.jobs.values() for number in numbers):
            raise ValueError("a job is of a run that is not there")
        return self

    def planned(self) -> tuple[PlannedRun, ...]:
        """The runs, as they were asked for."""
        arms = [
            PlannedRun(
                task=self.tasks[arm.task],
                recipe=self.recipes[arm.recipe],
                seed=0,
                **{name: getattr(arm, name) for name in _SHARED},
            )
            for arm in self.arms
        ]
        return tuple(replace(arms[run.arm], seed=run.seed) for run in self.runs)

    def with_jobs(self, jobs: Mapping[str, Iterable[int]]) -> KeptPlan:
        """The plan with further jobs of its engine."""
        return self.model_copy(update={"jobs": {**self.jobs, **{job: list(runs) for job, runs in jobs.items()}}})


# Of a planned run and of an arm alike.
_SHARED = tuple(name for name in KeptArm.model_fields if name not in {"task", "recipe"})


def plan_of(
    runs: Sequence[PlannedRun],
    command: str,
    *,
    engine: str = "here",
    options: Mapping[str, Any] | None = None,
    directory: Path | None = None,
) -> KeptPlan:
    """What is to be kept of runs that were asked for.

    Args:
        runs: in order.
        command: as it was typed; passwords and tokens in it are left out.
        engine, options: as in :class:`KeptPlan`.
        directory: by default the current one.
    """
    tasks, recipes, arms = dict[str, Task](), dict[str, Recipe](), dict[str, KeptArm]()
    places: dict[str, dict[str, int]] = {"task": {}, "recipe": {}, "arm": {}}
    # A task is one object for all its runs, and what is set for them another: each is written out once.
    written: dict[int, str] = {}
    known: dict[tuple[Any, ...], int] = {}
    kept = []
    for run in runs:
        same = tuple(
            value if isinstance(value, (str, int, float)) else id(value)
            for value in (run.task, run.recipe, *(getattr(run, name) for name in _SHARED))
        )
        if same not in known:
            for spec in (run.task, run.recipe):
                if id(spec) not in written:
                    written[id(spec)] = spec.model_dump_json()
            task, recipe = written[id(run.task)], written[id(run.recipe)]
            tasks[task], recipes[recipe] = run.task, run.recipe
            arm = KeptArm(
                task=_place(places["task"], task),
                recipe=_place(places["recipe"], recipe),
                **{name: getattr(run, name) for name in _SHARED},
            )
            key = arm.model_dump_json()
            arms[key] = arm
            known[same] = _place(places["arm"], key)
        kept.append(KeptRun(arm=known[same], seed=run.seed))
    plan = KeptPlan(
        id="0" * 12,
        command=scrub(command),
        directory=str(directory or Path.cwd()),
        begun=datetime.now(UTC),
        engine=engine,
        options=dict(options or {}),
        tasks=list(tasks.values()),
        recipes=list(recipes.values()),
        arms=list(arms.values()),
        runs=kept,
    )
    return plan.model_copy(update={"id": _id(plan)})


def _place(places: dict[str, int], key: str) -> int:
    return places.setdefault(key, len(places))


def _id(plan: KeptPlan) -> str:
    """Of what is to be run; not of who does it, nor of where its results lie."""
    parts = {"tasks", "recipes", "arms", "runs"}
    runs = {"runs": {"__all__": {"folder"}}}
    return digest(plan.model_dump(mode="json", include=parts, exclude=runs, exclude_defaults=True))[:12]


def keep_plan(root: Path, plan: KeptPlan) -> KeptPlan:
    """Keep a plan in a folder of runs; one of the same runs that is there is gone on with.

    That one's beginning stays, and its jobs where the engine is the same. What is done ``here`` of a plan that was given to an
    engine changes nothing of it.

    Returns:
        What is kept.

    Raises:
        UserError: it cannot be written.
    """
    try:
        before = read_plan(root, plan.id)
    except UserError:
        before = None
    if before is not None:
        if plan.engine == "here" and before.engine != "here":
            return before
        jobs = {**before.jobs, **plan.jobs} if before.engine == plan.engine else plan.jobs
        plan = plan.model_copy(update={"begun": before.begun, "jobs": jobs})
    content = plan.model_dump(mode="json", exclude_defaults=True)
    content["options"] = scrubbed(content.get("options", {}))
    write_atomic(_path(root, plan.id), json.dumps(content, ensure_ascii=False, allow_nan=False) + "\n")
    return plan


def _path(root: Path, plan_id: str) -> Path:
    return inside(root / PLANS, f"{plan_id}.json")


@reads("plan that was kept")
def read_plan(root: Path, plan_id: str) -> KeptPlan:
    """A plan that was kept in a folder of runs.

    Raises:
        UserError: there is none of that name, or it is not one that this version of bench wrote.
    """
    path = _path(root, plan_id)
    where = str(path)
    try:
        plan = KeptPlan.model_validate(json_values(read_bounded(path, LARGEST_JSON)))
    except FileNotFoundError:
        raise UserError("there is no such plan", where=where, fix="bench status lists those that are there.") from None
    except OSError as error:
        raise UserError(f"cannot read it ({error.strerror})", where=where) from None
    except ValidationError as error:
        why = first_mistake(error, KeptPlan)[1]
        raise UserError(f"not a plan of this version of bench ({why})", where=where, fix=_AGAIN) from None
    except ValueError:
        raise UserError("not a plan of bench (not JSON)", where=where, fix=_AGAIN) from None
    if not plan.id == plan_id == _id(plan):
        raise UserError("not what bench kept: its runs are others than its name says", where=where, fix=_AGAIN)
    return plan


_AGAIN = "Remove it; the command that made it makes it again."


@reads("plans that were kept", refuses=())
def read_plans(root: Path) -> tuple[list[KeptPlan], list[str]]:
    """All plans of a folder of runs, the earliest first, and a line for each that cannot be read."""
    found, problems = list[KeptPlan](), list[str]()
    for path in sorted((root / PLANS).glob("[!.]*.json")):
        try:
            found.append(read_plan(root, path.stem))
        except UserError as error:
            problems.append(str(error))
    return sorted(found, key=lambda plan: (plan.begun, plan.id)), problems
