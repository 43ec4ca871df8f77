"""A recorded or a published result made again: agree, differ, or cannot tell."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from hubtools.api.asked import Say, seeds_of, silent
from hubtools.api.computing import ExecutionOptions, quiet
from hubtools.api.found_runs import said_of
from hubtools.api.running import OnRun, RunEvent, Told, check_writable, failure_reason, unseen
from hubtools.common.errors import UserError
from hubtools.common.files import is_there
from hubtools.common.notebook import line_html, lines_html, table_html
from hubtools.runs.store import OpenRun

if TYPE_CHECKING:
    from hubtools.findings.replication import Replication
    from hubtools.findings.reproduction import Reproduction
    from hubtools.runs.plan import PlannedRun
    from hubtools.runs.session import Session
    from hubtools.specs.published_results import Cell

REPRODUCED = Path("reproduced")


@dataclass(frozen=True)
class MadeAgain:
    """What came of making a result again.

    Attributes:
        done: the run and its repetition, or the published number and the runs that were to give it.
    """

    done: Reproduction | Replication

    @property
    def verdict(self) -> str:
        """``agree``, ``differ`` or ``cannot tell``."""
        return str(self.done.finding.verdict)

    @property
    def exit_code(self) -> int:
        """0 agree, 1 differ, 3 cannot tell."""
        from hubtools.reporting.comparison.reproduction_report import EXIT_CODES

        return EXIT_CODES[self.done.finding.verdict]

    def json(self) -> str:
        """All of it, for programs."""
        from hubtools.reporting.comparison.reproduction_report import as_json

        return as_json(self.done)

    def __repr__(self) -> str:
        return f"{self.verdict}: {self.done.finding.reason}"

    def _repr_html_(self) -> str:
        from hubtools.findings.wording import number, with_interval

        found = self.done.finding
        scores = [("then", number(found.before)), ("now", number(found.after))]
        scores.append(("difference", with_interval(found.value, found.low, found.high)))
        table = table_html(("", "score"), scores, numbers=["score"])
        return line_html(repr(self), strong=True) + table + lines_html("To be known", self.done.notes)


@dataclass(frozen=True)
class PlannedAgain:
    """A result that can be made again: known to be the same question, and not run yet.

    Attributes:
        planned: the runs that make it.
        notes: what differs and may.
        original: the recorded run; None of a published result.
        cell: the published result; None of a record.
    """

    planned: tuple[PlannedRun, ...]
    notes: tuple[str, ...] = ()
    original: OpenRun | None = None
    cell: Cell | None = None
    _root: Path = REPRODUCED
    _execution: ExecutionOptions | None = None
    _session: Session | None = None
    _split: str = "test"
    _checkpoint: str | None = None

    def run(self, on_event: OnRun = unseen) -> MadeAgain:
        """Run it, and hold it against the original.

        Args:
            on_event: called before and after each run.

        Raises:
            UserError: a run did not come to its end; the two were not scored on the same rows.
        """
        from hubtools.findings.replication import replicated
        from hubtools.findings.reproduction import compared

        session = self._session or _session(
            self._root, self._execution or ExecutionOptions(), self.planned, cached=True
        )
        runs = _all_of(self.planned, session, on_event)
        if self.original is not None:
            return MadeAgain(compared(self.original, runs[0], self._split, self.notes))
        assert self.cell is not None
        return MadeAgain(replicated(self.cell, runs, self._checkpoint))


def reproduce(
    what: str | os.PathLike[str],
    *,
    checkpoint: str | None = None,
    task: str | None = None,
    seeds: int | Iterable[int] | None = None,
    split: str | None = None,
    as_recorded: bool = False,
    project: str | os.PathLike[str] | None = None,
    runs: str | os.PathLike[str] = REPRODUCED,
    execution: ExecutionOptions | None = None,
    on_event: OnRun = unseen,
    on_note: Say = silent,
) -> MadeAgain:
    """Make a recorded or a published result again, and say whether it agrees, differs, or cannot be told.

    Args:
        what: one run, named as for :func:`hubtools.results`, or the id of a published result (``bench reproduce --list``).
        checkpoint: where the weights are now; of a published result also others.
        task: of a record: the task file, where its data are elsewhere now.
        seeds: of a published result.
        split: of a record: the test split that is compared.
        as_recorded: of a record: its own task and recipe, although others are held of their names.
        project: folder whose tasks and recipes are held to be right beside those of bench.
        runs, execution, on_event: as for :func:`hubtools.run`.
        on_note: as for :func:`hubtools.results`.

    Raises:
        UserError: not the same task, data or weights; or a run did not come to its end.
    """
    planned = plan_again(
        what,
        checkpoint=checkpoint,
        task=task,
        seeds=seeds,
        split=split,
        as_recorded=as_recorded,
        project=project,
        runs=runs,
        execution=execution,
        on_note=on_note,
    )
    return planned.run(on_event)


def plan_again(
    what: str | os.PathLike[str],
    *,
    checkpoint: str | None = None,
    task: str | None = None,
    seeds: int | Iterable[int] | None = None,
    split: str | None = None,
    as_recorded: bool = False,
    project: str | os.PathLike[str] | None = None,
    runs: str | os.PathLike[str] = REPRODUCED,
    execution: ExecutionOptions | None = None,
    on_note: Say = silent,
) -> PlannedAgain:
    """Check that a result can be made again, and that it would be the same run. Arguments are those of :func:`reproduce`.

    Raises:
        UserError: not the same task, data or weights.
    """
    from hubtools.findings import reproduction as records
    from hubtools.findings.replication import planned_runs
    from hubtools.specs.lookup.trusted import TrustedSpecs
    from hubtools.specs.published_results import find_cell
    from hubtools.training.compute.distributed import refuse_company

    held = TrustedSpecs(None if project is None else Path(project))
    refuse_company("bench reproduce")
    name, root, how, chosen = os.fspath(what), Path(runs), execution or ExecutionOptions(), seeds_of(seeds)
    if _is_cell(name):
        cell = find_cell(name, held.cells())
        for option, given in (("task", task), ("split", split), ("as-recorded", as_recorded)):
            if given:
                raise UserError("a published result has its own", where=f"--{option}", fix="Leave it out.")
        asked = tuple(planned_runs(cell, held, checkpoint, chosen))
        for told in dict.fromkeys(run.task.template_told for run in asked if run.task.template):
            on_note(f"note: {told}")
        return PlannedAgain(asked, cell=cell, _root=root, _execution=how, _checkpoint=checkpoint)
    if chosen:
        raise UserError("a record has its seed", where="--seed", fix="Leave it out.")
    original, named = records.recorded_run(name)
    said_of([replace(named, notes=[])], on_note)
    trusted = None if as_recorded else held
    planned = records.planned_again(original[1], trusted, checkpoint, task)
    # Embeddings that the run itself left would hide that the encoder gives others now.
    session = _session(root, how, (planned,), cached=False)
    notes = named.notes + records.not_held(original[1], trusted, task)
    notes += records.check_identity(original[1], planned, session)
    records.refuse_itself(original, planned, session)
    for note in notes:
        on_note(f"note: {note}")
    return PlannedAgain((planned,), tuple(notes), original, _session=session, _split=split or "test")


def _is_cell(what: str) -> bool:
    from hubtools.findings.naming.selectors import parse
    from hubtools.specs.references import is_address

    place = parse(what)[0]
    return not is_address(place) and not is_there(Path(place))


def _session(root: Path, execution: ExecutionOptions, planned: tuple[PlannedRun, ...], *, cached: bool) -> Session:
    check_writable(root)
    return execution.session(root, planned, cached=cached)


def _all_of(planned: tuple[PlannedRun, ...], session: Session, on_event: OnRun) -> list[OpenRun]:
    from hubtools.runs.many.turns import in_turn

    found = {}
    with quiet():
        for number, outcome in in_turn(planned, session, Told(planned, on_event)):
            item = planned[number]
            if isinstance(outcome, UserError):
                raise outcome
            if outcome.mistake is not None:
                raise outcome.mistake
            on_event(RunEvent(number + 1, len(planned), item, outcome))
            if outcome.record.status != "complete":
                raise UserError(failure_reason(outcome), where=item.title, fix="Run it again when that is mended.")
            found[number] = OpenRun(outcome.folder, outcome.record)
    return [found[number] for number in sorted(found)]
