"""One run, from a plan to a record: claimed, opened, done, and written whatever the end was."""

from __future__ import annotations

import shutil
import time
import traceback
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import torch

from hubtools.runs.environment import describe
from hubtools.runs.plan import PlannedRun
from hubtools.runs.session import Session
from hubtools.runs.steps import WORK, Steps
from hubtools.runs.store import (
    FAILURE,
    claimed,
    read_record,
    run_folder,
    write_record,
)
from hubtools.specs.errors import UserError
from hubtools.specs.files import write_atomic
from hubtools.specs.record import (
    Cost,
    Failure,
    Identity,
    RunRecord,
)
from hubtools.training.device import Execution


@dataclass(frozen=True)
class Outcome:
    """What became of a planned run.

    Attributes:
        run, folder, record: what was asked for, where it is, what came out.
        was_done: there was nothing to do.
        mistake: the user's mistake that made the run fail, if one did.
    """

    run: PlannedRun
    folder: Path
    record: RunRecord
    was_done: bool
    mistake: UserError | None = None


def execute(run: PlannedRun, session: Session, *, force: bool = False) -> Outcome:
    """Do a run, or find it done. A failure is recorded, and returned rather than raised.

    Where bench itself is at fault, the traceback is kept in the run's folder (``failure.txt``).

    Raises:
        UserError: the run cannot even be named (no such checkpoint, data not to be had, folder not writable).
        KeyboardInterrupt: stopped by the user; the record says so, and the same command goes on.
    """
    identity = session.identify(run)
    folder = run_folder(session.root, identity)
    with claimed(folder):
        previous = _previous(folder)
        if previous is not None and previous.status == "complete" and not force:
            return Outcome(run, folder, previous, was_done=True)
        if force:
            shutil.rmtree(folder / WORK, ignore_errors=True)
        (folder / FAILURE).unlink(missing_ok=True)
        record, mistake = _opened(run, identity, session), None
        write_record(folder, record)
        started = time.perf_counter()
        try:
            Steps(run, session, folder, record).do()
            record.status = "complete"
        except KeyboardInterrupt:
            record.status, record.results, record.outputs = "interrupted", {}, []
            raise
        except Exception as error:
            record.status, record.results, record.outputs = "failed", {}, []
            record.failure = _failure(error, record.environment.token_budget)
            if isinstance(error, UserError):
                mistake = error
            else:
                write_atomic(folder / FAILURE, "".join(traceback.format_exception(error)))
        finally:
            record.finished = datetime.now(UTC)
            _add_cost(record, time.perf_counter() - started, session.execution)
            write_record(folder, record)
    return Outcome(run, folder, record, was_done=False, mistake=mistake)


def _previous(folder: Path) -> RunRecord | None:
    try:
        return read_record(folder)
    except UserError:
        return None


def _failure(error: Exception, budget: int | None) -> Failure:
    """One line for the record and the screen."""
    kind, text = type(error).__name__, " ".join(str(error).split())[:500]
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        text = f"out of memory. Use a smaller --token-budget (it was {budget or 0:,}), or --gradient-checkpointing"
    elif not isinstance(error, UserError):
        text = f"{kind}: {text}" if text else kind
    return Failure(kind=kind, message=text)


def _opened(run: PlannedRun, identity: Identity, session: Session) -> RunRecord:
    trains = run.recipe.adaptation in {"full", "probe"}
    precision = "bf16" if trains and session.execution.bf16(run.recipe.precision) else "float32"
    return RunRecord(
        run_id=identity.run_id,
        status="running",
        identity=identity,
        task=run.task.model_dump(mode="json"),
        recipe=run.recipe.model_dump(mode="json"),
        overrides=run.overrides,
        suite=run.suite,
        command=run.command(identity.checkpoint),
        started=datetime.now(UTC),
        environment=describe(session.execution, precision=precision, attention=None),
    )


def _add_cost(record: RunRecord, wall: float, execution: Execution) -> None:
    trained = record.cost.train_seconds if record.cost else None
    tokens = record.training.tokens if record.training else 0
    record.cost = Cost(
        wall_seconds=round(wall, 3),
        train_seconds=trained,
        tokens_per_second=round(tokens / trained, 1) if tokens and trained else None,
        peak_memory_bytes=execution.peak_memory(),
    )
