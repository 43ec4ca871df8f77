"""Runs that are done: run after run, with a word for whoever watches."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hubtools.api.asked import Names
from hubtools.api.computing import ExecutionOptions, quiet
from hubtools.api.found_runs import RunResults
from hubtools.api.plans import RunPlan, plan
from hubtools.common.errors import UserError
from hubtools.common.files import is_file
from hubtools.common.notebook import lines_html
from hubtools.runs.store import CARD, DEFAULT_ROOT, FAILURE, OpenRun, read_record

if TYPE_CHECKING:
    from hubtools.runs.execute import Outcome
    from hubtools.runs.plan import PlannedRun
    from hubtools.runs.session import Session
    from hubtools.specs.task import Task


@dataclass(frozen=True)
class RunEvent:
    """Something that happened to one run of several.

    Attributes:
        number, total: which it is, from 1, and of how many.
        run: what was planned.
        outcome: what became of it; None where it begins, or could not be begun.
        mistake: why it could not be begun.
        elsewhere: its folder, where another process is at it: it comes again when the others are done.
        waiting: they are, and that process is waited for.
    """

    number: int
    total: int
    run: PlannedRun
    outcome: Outcome | None = None
    mistake: UserError | None = None
    elsewhere: Path | None = None
    waiting: bool = False

    @property
    def begins(self) -> bool:
        """Whether it is about to be done; else it has ended, or another process is at it."""
        return self.outcome is None and self.mistake is None and self.elsewhere is None

    def __str__(self) -> str:
        if self.elsewhere is not None:
            if not self.waiting:
                return "under way in another process; it comes again"
            return f"waiting for another process{_since(self.elsewhere)}: {self.run.title} ({self.elsewhere})"
        if self.outcome is not None:
            return outcome_line(self.outcome)
        return f"failed: {self.mistake}" if self.mistake else f"[{self.number}/{self.total}] {self.run.title}"


def _since(folder: Path) -> str:
    with contextlib.suppress(UserError):
        return f", at it since {read_record(folder).started.astimezone():%H:%M}"
    return ""


OnRun = Callable[[RunEvent], None]


def unseen(event: RunEvent) -> None:
    """Nobody watches."""


@dataclass(frozen=True, repr=False)
class FinishedRuns(RunResults):
    """The runs of one call, with what became of each.

    Attributes:
        outcomes: of runs that could be begun, in order.
        planned: how many were.
        problems: what failed, a line each.
        seconds: that all of it took.
    """

    outcomes: tuple[Outcome, ...] = field(default=(), kw_only=True)
    planned: int = field(default=0, kw_only=True)
    problems: tuple[str, ...] = field(default=(), kw_only=True)
    seconds: float = field(default=0.0, kw_only=True)

    @property
    def complete(self) -> list[Outcome]:
        """Those that have results."""
        return [outcome for outcome in self.outcomes if outcome.record.status == "complete"]

    @property
    def done_before(self) -> int:
        """Runs for which there was nothing to do when the call began."""
        return sum(outcome.was_done and not outcome.elsewhere for outcome in self.outcomes)

    @property
    def done_elsewhere(self) -> int:
        """Runs that another process did in the meantime."""
        return sum(outcome.elsewhere for outcome in self.outcomes)

    def __repr__(self) -> str:
        counted = f"{len(self.complete)} of {self.planned} runs in {self.seconds:.0f} s"
        return counted + (f", {self.done_before} done before" if self.done_before else "")

    def _repr_html_(self) -> str:
        return super()._repr_html_() + lines_html("Failed", self.problems)


def run(
    checkpoint: Names | None = None,
    task: Names | Task | None = None,
    recipe: Names | None = None,
    *,
    suite: str | None = None,
    seeds: int | Iterable[int] | None = None,
    set: Mapping[str, Any] | None = None,
    baselines: bool | None = None,
    subset: int | None = None,
    fractions: float | Iterable[float] | None = None,
    runs: str | os.PathLike[str] = DEFAULT_ROOT,
    execution: ExecutionOptions | None = None,
    force: bool = False,
    on_event: OnRun = unseen,
) -> FinishedRuns:
    """Fine-tune and evaluate checkpoints on tasks; record and score each run, and write the card of a single one.

    The same call twice does nothing new; an interrupted one goes on where it stopped. Several processes may share a folder of runs:
    they divide what is to be done, and each returns when all of it is.

    Args:
        checkpoint, task, recipe, suite, seeds, set, baselines, subset, fractions: as for :func:`hubtools.plan`.
        runs: folder of runs.
        execution: where and how to compute; by default on the best device there is.
        force: run again what is already done.
        on_event: called before and after each run. Nothing is printed.

    Returns:
        The runs with what became of each: ``to_pandas()``, ``problems``. Of several runs one that fails is a line of
        ``problems``, and the others go on.

    Raises:
        UserError: what is asked for does not exist or cannot be done; of a single run also a mistake that made it fail.

    >>> import hubtools, tempfile
    >>> done = hubtools.run("embedded", "benchmarks/golden/tasks/golden-class.yaml",
    ...     "benchmarks/golden/recipes/golden-probe.yaml", runs=tempfile.mkdtemp(),
    ...     execution=hubtools.ExecutionOptions(device="cpu", embedding_cache=False))
    >>> len(done.complete), done.problems
    (1, ())
    """
    asked = plan(
        checkpoint,
        task,
        recipe,
        suite=suite,
        seeds=seeds,
        set=set,
        baselines=baselines,
        subset=subset,
        fractions=fractions,
    )
    return run_plan(asked, runs, execution, force=force, on_event=on_event)


def run_plan(
    planned: RunPlan,
    runs: str | os.PathLike[str] = DEFAULT_ROOT,
    execution: ExecutionOptions | None = None,
    *,
    force: bool = False,
    on_event: OnRun = unseen,
) -> FinishedRuns:
    """Do what is planned.

    Args:
        planned: from :func:`hubtools.plan`.
        runs, execution, force, on_event: as for :func:`hubtools.run`.

    Raises:
        UserError: as there.
    """
    root = Path(runs)
    check_writable(root)
    session = (execution or ExecutionOptions()).session(root, planned.runs)
    return perform(planned.runs, session, force=force, on_event=on_event)


def perform(
    planned: tuple[PlannedRun, ...], session: Session, *, force: bool = False, on_event: OnRun = unseen
) -> FinishedRuns:
    """Do runs one after the other, in a session that is there, and write the card of a single one.

    Raises:
        UserError: of a single run, its mistake.
    """
    from hubtools.runs.execute import in_turn

    started = time.perf_counter()
    ended: dict[int, Outcome] = {}
    problems: dict[int, list[str]] = {}
    with quiet():
        for number, outcome in in_turn(planned, session, Told(planned, on_event), force=force):
            item = planned[number]
            if isinstance(outcome, UserError):
                if len(planned) == 1:
                    raise outcome
                problems[number] = [f"{item.title}: {outcome}"]
                on_event(RunEvent(number + 1, len(planned), item, mistake=outcome))
                continue
            if outcome.mistake is not None and len(planned) == 1:
                raise outcome.mistake
            ended[number] = outcome
            on_event(RunEvent(number + 1, len(planned), item, outcome))
            if outcome.record.status == "failed":
                problems[number] = [f"{item.title}: {failure_reason(outcome)}"]
            elif item.recipe.needs_checkpoint and not outcome.elsewhere and has_card(planned):
                problems[number] = write_card(outcome)
    # In the order of the plan, whatever order they were done in.
    outcomes = tuple(ended[number] for number in sorted(ended))
    return FinishedRuns(
        tuple(OpenRun(outcome.folder, outcome.record) for outcome in outcomes),
        outcomes=outcomes,
        planned=len(planned),
        problems=tuple(line for number in sorted(problems) for line in problems[number]),
        seconds=time.perf_counter() - started,
    )


@dataclass(frozen=True)
class Told:
    """What happens to runs that are done in turn, as events.

    Attributes:
        planned: the runs.
        on_event: takes the events.
    """

    planned: Sequence[PlannedRun]
    on_event: OnRun

    def begins(self, number: int) -> None:
        """As :class:`hubtools.runs.execute.Watcher`."""
        self.on_event(RunEvent(number + 1, len(self.planned), self.planned[number]))

    def elsewhere(self, number: int, folder: Path, waiting: bool) -> None:
        """As :class:`hubtools.runs.execute.Watcher`."""
        self.on_event(RunEvent(number + 1, len(self.planned), self.planned[number], elsewhere=folder, waiting=waiting))


def check_writable(root: Path) -> None:
    """Say it now, not after an hour of training.

    Raises:
        UserError: nothing can be written there.
    """
    if is_file(root):
        raise UserError("it is a file, not a folder", where=str(root), fix="Choose another --runs.")
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot make it ({error.strerror})", where=str(root), fix="Choose another --runs.") from None
    if not os.access(root, os.W_OK | os.X_OK):
        raise UserError("cannot write there", where=str(root), fix="Choose another --runs.")


def failure_reason(outcome: Outcome) -> str:
    """Why a run failed, in one line."""
    details, failure = outcome.folder / FAILURE, outcome.record.failure
    return (failure.message if failure else "unknown") + (f" (details: {details})" if details.is_file() else "")


def outcome_line(outcome: Outcome) -> str:
    """What came out of a run, in one line."""
    record = outcome.record
    if record.status == "failed":
        return f"failed: {failure_reason(outcome)}"
    score = record.score()
    value = "undefined" if score is None or score.value is None else f"{score.value:.4f}"
    interval = f" [{score.low:.4f}, {score.high:.4f}]" if score and score.low is not None else ""
    aligned = f"; {record.alignment}" if record.alignment else ""
    already = "done elsewhere: " if outcome.elsewhere else "already done: " if outcome.was_done else ""
    seen = record.training.embeddings if record.training else None
    # Else the seconds would be misread.
    cached = f"; {seen.cached:,} of {seen.cached + seen.computed:,} embeddings cached" if seen and seen.cached else ""
    attempts = len(record.cost.attempts) if record.cost else 1
    several = f" in {attempts} attempts" if attempts > 1 else ""
    return f"{already}test {record.primary_metric} {value}{interval}{aligned}{cached}; {seconds_of(outcome)} s{several}"


def seconds_of(outcome: Outcome) -> str:
    """How long a run took."""
    return f"{outcome.record.cost.wall_seconds:.0f}" if outcome.record.cost else "?"


def has_card(planned: Sequence[PlannedRun]) -> bool:
    """Whether runs get their card when they end: a single one does.

    A card of many holds it against the others, which are still to come, and its figures take longer than a probe of small data:
    ``bench card`` and ``bench publish`` write it when somebody wants to read it.
    """
    return len(planned) == 1


def write_card(outcome: Outcome, *, again: bool = False) -> list[str]:
    """The card of a run, unless it is there (or ``again``); what goes wrong here must not end a night of runs: it is a line."""
    from hubtools.reporting.card.model_card import build_card

    if not again and outcome.was_done and (outcome.folder / CARD / "README.md").is_file():
        return []
    try:
        build_card(outcome.folder)
    except Exception as error:
        reason = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
        return [f"card of {outcome.folder.name}: {reason}"]
    return []
