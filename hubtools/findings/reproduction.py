"""A run made again from its record alone, and what the two have in common."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from hubtools.common.errors import UserError
from hubtools.common.files import is_file, is_folder, user_path
from hubtools.common.readers import reads
from hubtools.data.sources.task_repositories import open_task
from hubtools.evaluation.statistics.difference import Question
from hubtools.evaluation.statistics.equivalence import Equivalence, EquivalenceVerdict, Reported, of_reported, of_rerun
from hubtools.evaluation.statistics.resampled import resample
from hubtools.evaluation.statistics.same_predictions import SAME
from hubtools.findings.arm_comparison import ComparisonRequest, NotComparable
from hubtools.findings.arm_comparison import compared as compared_arms
from hubtools.findings.arms import Arm
from hubtools.findings.changes import Change, changes
from hubtools.findings.naming.named_runs import Named, run_named
from hubtools.models.checkpoint import EMBEDDED, EMBEDDED_NAME
from hubtools.runs.plan import PlannedRun
from hubtools.runs.public_record import task_reference
from hubtools.runs.session import Session
from hubtools.runs.store import PREDICTIONS, OpenRun, find_records, run_folder
from hubtools.specs.lookup.content import origin_of
from hubtools.specs.lookup.trusted import TrustedSpecs
from hubtools.specs.metric_names import METRICS
from hubtools.specs.recipe import Recipe
from hubtools.specs.record import CheckpointIdentity, Identity, RunRecord
from hubtools.specs.task import Task

# Scores that are nothing but the order in which numbers were added apart.
_ROUNDING = 1e-6
# 95 % of a normal distribution.
_WIDTH = 2 * 1.959964


@dataclass(frozen=True)
class Reproduction:
    """A run, and the same made again.

    Attributes:
        original, again: folder and record of each.
        split, metric: what was compared.
        finding: verdict, both scores and their difference.
        apart: largest difference of two predictions; None where the original has none.
        changed: what else is not the same.
        notes: what the reader should know beside.
    """

    original: OpenRun
    again: OpenRun
    split: str
    metric: str
    finding: Equivalence
    apart: float | None
    changed: list[Change]
    notes: list[str]


def recorded_run(where: str) -> tuple[OpenRun, Named]:
    """The one complete run that a user names, and what else was found under its name.

    Args:
        where: as for :func:`hubtools.findings.naming.named_runs.runs_named`.

    Raises:
        UserError: it is not there, is several runs, did not finish, or has other predictions than it wrote.
    """
    run, named = run_named(where)
    folder, record = run
    if record.status != "complete":
        raise UserError(f"this run is {record.status}", where=str(folder), fix=f"Finish it: {record.command}")
    if is_file(folder / PREDICTIONS):
        run.file(PREDICTIONS)  # Before hours are spent.
    return run, named


def planned_again(
    record: RunRecord, held: TrustedSpecs | None, checkpoint: str | None = None, task: str | None = None
) -> PlannedRun:
    """The run that a record describes, to be made again.

    Args:
        record: of the run.
        held: what its task and recipe are to be where they have names of these; None to take them as recorded.
        checkpoint: where its weights are now, if not where they were.
        task: the task's file, if its data are not where they were.

    Raises:
        UserError: weights or data are not where the record says; under a name that is held, it has another task or recipe.
    """
    return PlannedRun(
        task=_task_of(record, held, task),
        recipe=_recipe_of(record, held),
        checkpoint=_checkpoint_of(record, checkpoint),
        seed=record.identity.seed,
        subset=record.identity.subset,
        fraction=record.identity.fraction,
        overrides=record.overrides,
        task_file=task or task_reference(record),
        origins=_origins_of(record, held, task),
    )


def _origins_of(
    record: RunRecord, held: TrustedSpecs | None, given: str | None
) -> dict[Literal["task", "recipe", "suite"], str]:
    """Where task and recipe of the run made again are from: what is held, the file that the user names, the record."""

    def place(kind: str, name: str) -> str:
        return (held.origin_of(kind, name) if held is not None else None) or "the record"

    task = place("task", record.identity.task.name) if given is None else origin_of("task", given)
    return {"task": task, "recipe": place("recipe", record.identity.recipe.name)}


def not_held(record: RunRecord, held: TrustedSpecs | None, task: str | None = None) -> list[str]:
    """A line for the task and the recipe that are the record's own word, where they are.

    Args:
        record, held, task: as for :func:`planned_again`.
    """
    if held is None:
        return ["task and recipe are taken as the record has them (--as-recorded)"]
    named = {"task": record.identity.task.name, "recipe": record.identity.recipe.name}
    own = [kind for kind, name in named.items() if not held.holds(kind, name) and not (kind == "task" and task)]
    return [f"the {kind} {named[kind]} is not held here: it is taken as the record has it" for kind in own]


def _task_of(record: RunRecord, held: TrustedSpecs | None, given: str | None) -> Task:
    """The task with its data in reach: the file that the user names, else the one that is held, else the record's."""
    if given is not None:
        return open_task(given)[1]
    asked = record.identity.task
    if held is not None and held.holds("task", asked.name):
        here = held.task(asked.name)
        if (here.version, here.hash) != (asked.version, asked.hash):
            raise UserError(
                f"its task {asked.name} is another one, version {asked.version} ({asked.hash[:12]}), than the one that is "
                f"held here, version {here.version} ({here.hash[:12]})",
                fix="If you trust it, name its file, --task FILE, or take it as it is: --as-recorded.",
            )
        return here
    task = record.exact_task()
    missing = [path for path in task.local_files if not path.exists()]
    if not missing:
        return task
    if (reference := task_reference(record)) is not None:
        return open_task(reference)[1]
    recorded = {Path(file.location).name: file.sha256 for file in (record.data.files if record.data else [])}
    sha256 = recorded.get(missing[0].name)
    raise UserError(
        f"the data of the task {task.name} are not here ({missing[0]}{f', sha256 {sha256}' if sha256 else ''})",
        fix="Say where its file is: --task FILE.",
    )


def _recipe_of(record: RunRecord, held: TrustedSpecs | None) -> Recipe:
    """The recipe as recorded, which is the held one of its name where there is one."""
    recipe = record.exact_recipe()
    name = record.identity.recipe.name
    if held is None or not held.holds("recipe", name):
        return recipe
    here = held.recipe(name, record.overrides)
    if here.hash != recipe.hash:
        was, now = recipe.model_dump(), here.model_dump()
        other = [key for key in was if was[key] != now[key] and key not in {"title", "summary"}]
        shown = "; ".join(f"{key} {was[key]}, here {now[key]}" for key in other)
        raise UserError(
            f"its recipe {name} is not the one that is held here: {shown}",
            fix="If you trust it, take it as it is: --as-recorded.",
        )
    return recipe


@reads("command in a record")
def _checkpoint_of(record: RunRecord, given: str | None) -> str | None:
    """What names the recorded weights here; None of a baseline without any."""
    recorded = record.identity.checkpoint
    if recorded is None:
        if given is not None:
            raise UserError("this run has no checkpoint", where="--checkpoint", fix="Leave it out.")
        return None
    if given is not None:
        return given
    if recorded.commit is not None:
        return f"{recorded.name}@{recorded.commit}"
    if recorded.name == EMBEDDED_NAME:
        return EMBEDDED
    try:
        words = shlex.split(record.command)
    except ValueError:
        # Of a record from anybody: a quote that is not closed.
        words = []
    named = words[words.index("--checkpoint") + 1] if "--checkpoint" in words[:-1] else ""
    if named and is_folder(user_path(named)):
        return named
    raise UserError(
        f"the checkpoint {recorded.name} was a folder, which is not here (sha256 of its files together {recorded.sha256})",
        fix="Say where it is: --checkpoint FOLDER.",
    )


def check_identity(record: RunRecord, run: PlannedRun, session: Session) -> list[str]:
    """Make sure, before anything is trained, that it will be the same run; a line for what differs and may.

    Raises:
        UserError: task, data or weights are others; or the run would be written over the original.
    """
    was, now = record.identity, session.identify(run)
    if was.task.name != now.task.name or was.task.version != now.task.version:
        raise UserError(
            f"the run is of {was.task.name}, version {was.task.version}, not {now.task.name}, version {now.task.version}",
            fix="Name the file of that version: --task FILE.",
        )
    if was.task.hash != now.task.hash:
        raise UserError(
            f"the task {was.task.name} is another one (recorded {was.task.hash[:12]}, here {now.task.hash[:12]})",
            fix="Name the task file of the run: --task FILE.",
        )
    if was.data != now.data:
        raise UserError(
            f"the data of {was.task.name} are others (recorded {was.data[:12]}, here {now.data[:12]})",
            fix="Bring back the files of the run, or name the task file beside them: --task FILE.",
        )
    if was.checkpoint is not None and now.checkpoint is not None:
        _same_weights(was.checkpoint, now.checkpoint)
    return _other_code(record, was, now)


def _same_weights(was: CheckpointIdentity, now: CheckpointIdentity) -> None:
    named = [which.name if which.source == "hub" else None for which in (was, now)]
    if named[0] != named[1] or (was.commit, was.sha256) != (now.commit, now.sha256):
        shown = " and ".join(f"{which.name}@{(which.commit or which.sha256 or '')[:12]}" for which in (was, now))
        what = "these are other weights" if was.source == now.source else "a folder cannot be told to be a Hub commit"
        raise UserError(f"{what} (recorded and here: {shown})", fix="Name the weights of the run: --checkpoint.")
    if was.trust_remote_code != now.trust_remote_code:
        asked = "Give --trust-remote-code." if was.trust_remote_code else "Leave --trust-remote-code out."
        does = "ran" if was.trust_remote_code else "did not run"
        raise UserError(f"the run {does} the code of {was.name}", fix=asked)


def _other_code(record: RunRecord, was: Identity, now: Identity) -> list[str]:
    from hubtools.common.version import __version__

    notes = []
    if was.protocol != now.protocol:
        notes.append(f"the code is another one: protocol {was.protocol} then, {now.protocol} now")
    if was.precision is not None and was.precision != now.precision:
        notes.append(f"it computed in {was.precision} then, and does in {now.precision} here")
    if record.environment.bench != __version__:
        notes.append(f"bench {record.environment.bench} then, {__version__} now")
    if was.recipe.hash != now.recipe.hash:
        notes.append(
            "the recipe is hashed otherwise now, as its defaults are others; every field is taken from the record"
        )
    return notes


def refuse_itself(original: OpenRun, run: PlannedRun, session: Session) -> None:
    """A run is not compared with itself.

    Raises:
        UserError: it would be made, or lies, in the original's own folder, or is a copy of it.
    """
    folder = run_folder(session.root, session.identify(run))
    if folder.resolve() == original[0].resolve():
        raise UserError("that is where the run itself is", where=str(session.root), fix="Choose another --runs.")
    done, _ = find_records([folder]) if is_folder(folder) else ([], [])
    if any(record.started == original[1].started for _, record in done):
        raise UserError("it is a copy of the run", where=str(folder), fix="Remove it, or choose another --runs.")


def compared(original: OpenRun, again: OpenRun, split: str = "test", notes: Sequence[str] = ()) -> Reproduction:
    """Hold a run made again against the original.

    Predictions that are the same within 0.0001 agree. Others are compared by their score: the paired bootstrap of the two
    runs, and the task's margin. Without the original's predictions there is only its score.

    Args:
        original, again: folder and record of each.
        split: a test split of both.
        notes: to be kept with what comes out.

    Raises:
        UserError: the original has no results on the split; the two were not scored on the same rows.
    """
    before, after = Arm((original,)), Arm((again,))
    known = original[1].test_splits
    if split not in known:
        raise UserError(f"the run has no results on {split}", fix=f"Name a test split: {', '.join(sorted(known))}.")
    metric, said = original[1].primary_metric, [*notes, *from_cache([again])]
    apart: float | None = None
    if (original[0] / PREDICTIONS).is_file():
        apart, finding = _by_predictions(before, after, split)
    else:
        said.append("the original's predictions are not there: only its score and interval were compared")
        finding = _by_score(before, after, split)
    return Reproduction(original, again, split, metric, finding, apart, changes(before, after), said)


def from_cache(runs: Sequence[OpenRun]) -> list[str]:
    """A line where runs read embeddings that earlier runs had left: then the encoder was not run again."""
    facts = [record.training.embeddings for _, record in runs if record.training and record.training.embeddings]
    cached = sum(one.cached for one in facts)
    if not cached:
        return []
    total = cached + sum(one.computed for one in facts)
    return [
        f"{cached:,} of {total:,} embeddings are those of earlier runs: without --embedding-cache they are computed anew"
    ]


def _by_predictions(before: Arm, after: Arm, split: str) -> tuple[float, Equivalence]:
    try:
        found = compared_arms(before, after, split, ComparisonRequest(question=Question.WEIGHTS, same_within=SAME))
    except NotComparable as error:
        raise UserError(
            f"the two runs were not scored on the same rows: {error.what}", fix="Bring back the data of the run."
        ) from None
    assert found.apart is not None  # They are of one seed.
    if found.same:
        was, now = found.means
        reason = f"the same predictions within {SAME:g}"
        return found.apart, Equivalence(
            EquivalenceVerdict.AGREE, reason, was or 0.0, now or 0.0, None, None, after.task.margin
        )
    return found.apart, of_rerun(found.difference, after.task.margin, METRICS[found.metric].higher_is_better)


def _by_score(before: Arm, after: Arm, split: str) -> Equivalence:
    """From a score with its interval: the same numbers, or two independent estimates, which claims too little."""
    was, now = before.record.score(split), after.record.score(split)
    if was is None or now is None or was.value is None or now.value is None:
        raise UserError(f"the score on {split} is not defined in both runs", fix="Compare another --split.")
    margin = after.task.margin
    rows = [arm.question(split).rows for arm in (before, after)]
    bounds = [[score.value, score.low, score.high] for score in (was, now)]
    if rows[0] and rows[0] == rows[1] and all(_alike(*pair) for pair in zip(*bounds, strict=True)):
        reason = f"the same score and interval within {_ROUNDING:g}, on the same rows"
        return Equivalence(EquivalenceVerdict.AGREE, reason, was.value, now.value, None, None, margin)
    error = None if was.low is None or was.high is None else (was.high - was.low) / _WIDTH
    if error is None:
        reason = "the record has no interval"
        return Equivalence(EquivalenceVerdict.CANNOT_TELL, reason, was.value, now.value, None, None, margin)
    made = resample(after.task, after.predicted(split))
    return of_reported(made, Reported(was.value, error), margin, same_test=False, nothing_random=True)


def _alike(one: float | None, other: float | None) -> bool:
    return one == other or (one is not None and other is not None and abs(one - other) <= _ROUNDING)
