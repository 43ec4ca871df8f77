"""Runs that are done: run after run, with a word for whoever watches."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from hubtools.api.asked import Names
from hubtools.api.computing import ExecutionOptions, quiet
from hubtools.api.engines.dispatch import Workers, to_workers
from hubtools.api.engines.planned_runs import PlannedRuns
from hubtools.api.found_runs import RunResults
from hubtools.api.plans import RunPlan, plan
from hubtools.common.errors import UserError
from hubtools.common.files import is_file
from hubtools.common.notebook import lines_html
from hubtools.runs.store import CARD, DEFAULT_ROOT, FAILURE, OpenRun, read_record

if TYPE_CHECKING:
    from hubtools.runs.engines.job_engine import AttachedEngine, Submission
    from hubtools.runs.engines.job_events import JobEvent
    from hubtools.runs.engines.outcomes import Outcome
    from hubtools.runs.plan import PlannedRun
    from hubtools.runs.session import Session
    from hubtools.specs.record import SweepFacts
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
        beside: others are done at the same time, so that each line says which it is of.
        again: why it failed, or why the process that was at it is gone, where it comes again.
    """

    number: int
    total: int
    run: PlannedRun
    outcome: Outcome | None = None
    mistake: UserError | None = None
    elsewhere: Path | None = None
    waiting: bool = False
    beside: bool = False
    again: UserError | None = None

    @property
    def begins(self) -> bool:
        """Whether it is about to be done; else it has ended, or another process is at it."""
        return self.outcome is None and self.mistake is None and self.elsewhere is None and self.again is None

    def __str__(self) -> str:
        place = f"[{self.number}/{self.total}] "
        if self.begins:
            return place + self.run.title
        return place + self._happened() if self.beside else self._happened()

    def _happened(self) -> str:
        if self.again is not None:
            return f"it comes again: {self.again}"
        if self.elsewhere is not None:
            if not self.waiting:
                return "under way in another process; it comes again"
            return f"waiting for another process{_since(self.elsewhere)}: {self.run.title} ({self.elsewhere})"
        if self.outcome is not None:
            return outcome_line(self.outcome)
        return f"failed: {self.mistake}"


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

    @property
    def tried_again(self) -> list[str]:
        """A line for each run that failed at first by something that passed, or did not."""
        tried = [(outcome, outcome.again) for outcome in self.outcomes if outcome.again]
        return [f"{one.run.title}: {why}" for one, why in tried]

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
    workers: Workers | None = None,
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
        workers: processes of this machine that divide the runs, or ``auto`` for as many as suit it: one a GPU, or one a core
            where there is memory for them. By default this process does all.
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
    return run_plan(asked, runs, execution, force=force, workers=workers, on_event=on_event)


def run_plan(
    planned: RunPlan,
    runs: str | os.PathLike[str] = DEFAULT_ROOT,
    execution: ExecutionOptions | None = None,
    *,
    force: bool = False,
    workers: Workers | None = None,
    on_event: OnRun = unseen,
) -> FinishedRuns:
    """Do what is planned.

    Args:
        planned: from :func:`hubtools.plan`.
        runs, execution, force, workers, on_event: as for :func:`hubtools.run`.

    Raises:
        UserError: as there.
    """
    root = Path(runs)
    check_writable(root)
    how = execution or ExecutionOptions()
    asked = PlannedRuns(planned.runs, root, how, force)
    if workers is not None and (to := to_workers(asked, workers)) is not None:
        return perform_by(to.engine, to.work, planned.runs, on_event=on_event)
    if len(planned) > 1:
        from hubtools.runs.kept_plan import keep_plan, plan_of

        keep_plan(root, plan_of(planned.runs, "hubtools.run"))
    session = how.session(root, planned.runs)
    return perform(planned.runs, session, force=force, on_event=on_event)


def perform(
    planned: tuple[PlannedRun, ...], session: Session, *, force: bool = False, on_event: OnRun = unseen
) -> FinishedRuns:
    """Do runs one after the other, in a session that is there, and write the card of a single one.

    Raises:
        UserError: of a single run, its mistake.
    """
    from hubtools.runs.many.turns import in_turn

    collected = Collected(planned, on_event)
    with quiet():
        for number, outcome in in_turn(planned, session, Told(planned, on_event), force=force):
            if isinstance(outcome, UserError):
                collected.not_begun(number, outcome)
                continue
            collected.ended(number, outcome)
            if (
                outcome.record.status != "failed"
                and planned[number].recipe.needs_checkpoint
                and not outcome.elsewhere
                and has_card(planned)
            ):
                collected.problems[number] = write_card(outcome)
    return collected.finished()


def perform_by(
    engine: AttachedEngine, work: Submission, planned: Sequence[PlannedRun], *, on_event: OnRun = unseen
) -> FinishedRuns:
    """Have jobs done by an engine that works for as long as this call, and tell what happens meanwhile.

    Raises:
        UserError: no job can be done.
    """
    from hubtools.common.telling import bar

    with (
        bar("runs", len(planned), "run") as shown,
        contextlib.closing(cast("Generator[JobEvent]", engine.events(work))) as events,
    ):

        def told(event: RunEvent) -> None:
            # A line takes the place of the bar, which comes again below it.
            shown.clear()
            on_event(event)
            shown.update(event.outcome is not None or event.mistake is not None)
            shown.refresh()

        collected = Collected(planned, told, beside=True)
        for event in events:
            collected.took(event)
    return collected.finished()


@dataclass
class Collected:
    """What became of runs, as it is told while they are done, in whatever order.

    Attributes:
        planned, on_event: the runs, and who is told.
        beside: as of events.
        raises: whether the mistake of a run that is the only one is raised, and not told.
        outcomes, problems: by the number of the run, from 0.
    """

    planned: Sequence[PlannedRun]
    on_event: OnRun
    beside: bool = False
    raises: bool = True
    outcomes: dict[int, Outcome] = field(default_factory=dict)
    problems: dict[int, list[str]] = field(default_factory=dict)
    started: float = field(default_factory=time.perf_counter)

    def not_begun(self, number: int, mistake: UserError) -> None:
        """A run could not be begun, or was given up.

        Raises:
            UserError: it is the only one.
        """
        if self.raises and single(self.planned) and self._main(number):
            raise mistake
        self.problems[number] = [f"{self.planned[number].title}: {mistake}"]
        self.tell(number, mistake=mistake)

    def ended(self, number: int, outcome: Outcome) -> None:
        """A run was done, or is found done.

        Raises:
            UserError: it is the only one, and failed by this mistake.
        """
        if self.raises and outcome.mistake is not None and single(self.planned) and self._main(number):
            raise outcome.mistake
        self.outcomes[number] = outcome
        self.tell(number, outcome=outcome)
        if outcome.record.status == "failed":
            self.problems[number] = [f"{self.planned[number].title}: {failure_reason(outcome)}"]

    def _main(self, number: int) -> bool:
        """Whether a run is what was asked for, and no baseline beside it."""
        return len(self.planned) == 1 or not self.planned[number].recipe.baseline

    def took(self, event: JobEvent) -> None:
        """What another process says of a run."""
        from hubtools.runs.engines.outcomes import Outcome

        number, mistake = event.number, event.mistake.error() if event.mistake else None
        folder = Path(event.folder) if event.folder else None
        if event.kind == "begins":
            self.tell(number)
        elif event.kind == "elsewhere":
            self.tell(number, elsewhere=folder, waiting=event.waiting)
        elif event.kind == "again":
            self.tell(number, again=mistake)
        elif event.kind == "ended" and folder is not None:
            record = read_record(folder)
            run = self.planned[number]
            done = Outcome(run, folder, record, event.was_done, mistake, event.done_elsewhere, again=event.text or None)
            self.ended(number, done)
            if event.problems:
                self.problems[number] = list(event.problems)
        elif mistake is not None:
            self.not_begun(number, mistake)

    def tell(self, number: int, **what: Any) -> None:
        """An event of a run."""
        self.on_event(RunEvent(number + 1, len(self.planned), self.planned[number], beside=self.beside, **what))

    def finished(self) -> FinishedRuns:
        """All of it, in the order of the plan, whatever order they were done in."""
        outcomes = tuple(self.outcomes[number] for number in sorted(self.outcomes))
        return FinishedRuns(
            tuple(OpenRun(outcome.folder, outcome.record) for outcome in outcomes),
            outcomes=outcomes,
            planned=len(self.planned),
            problems=tuple(line for number in sorted(self.problems) for line in self.problems[number]),
            seconds=time.perf_counter() - self.started,
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

    def again(self, number: int, why: UserError) -> None:
        """As :class:`hubtools.runs.execute.Watcher`."""
        self.on_event(RunEvent(number + 1, len(self.planned), self.planned[number], again=why))


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
    tuned = f"; {tuned_words(record.sweep)}" if record.sweep and record.sweep.budget is not None else ""
    attempts = len(record.cost.attempts) if record.cost else 1
    several = f" in {attempts} attempts" if attempts > 1 else ""
    return f"{already}test {record.primary_metric} {value}{interval}{tuned}{aligned}{cached}; {seconds_of(outcome)} s{several}"


def tuned_words(sweep: SweepFacts) -> str:
    """What a suite's budget of trials chose."""
    import json

    values = " ".join(f"{name}={json.dumps(value)}" for name, value in sorted(sweep.chosen.items()))
    own = ", the recipe's own" * sweep.own_values
    return f"{values}{own}: best of {sweep.trials} trials, validation {sweep.validation:.4f}"


def seconds_of(outcome: Outcome) -> str:
    """How long a run took."""
    return f"{outcome.record.cost.wall_seconds:.0f}" if outcome.record.cost else "?"


def has_card(planned: Sequence[PlannedRun]) -> bool:
    """Whether runs get their card when they end: a single one does.

    A card of many holds it against the others, which are still to come, and its figures take longer than a probe of small data:
    ``bench card`` and ``bench publish`` write it when somebody wants to read it.
    """
    return single(planned)


def single(planned: Sequence[PlannedRun]) -> bool:
    """Whether one run was asked for, whatever baselines stand beside it."""
    return len(planned) == 1 or sum(not run.recipe.baseline for run in planned) == 1


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
