"""One run, from a plan to a record: claimed, opened, done, and written whatever the end was.

Several processes of one run (``torchrun``) all come through here; the main one alone claims the folder and writes.
"""

from __future__ import annotations

import contextlib
import shutil
import traceback
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from hubtools.common.errors import UserError, one_line
from hubtools.common.files import write_atomic
from hubtools.common.secrets import scrub
from hubtools.runs.attempts import earlier, together
from hubtools.runs.energy import Meter, PowerDraw
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
from hubtools.specs.record import (
    Attempt,
    Cost,
    Failure,
    Identity,
    RunRecord,
)
from hubtools.training.compute import distributed
from hubtools.training.compute.device import Execution
from hubtools.training.compute.memory import out_of_memory


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
        Elsewhere: in the other processes, where the main one raised.
        ProcessLost: the processes did not fail together, and cannot go on together.
    """
    identity = distributed.main_first(lambda: session.identify(run))
    folder = run_folder(session.root, identity)
    # A probe, a baseline and zero-shot scores are the main process's alone; the others wait for the end of the run.
    shared, main = run.recipe.adaptation in {"full", "adapter"}, distributed.is_main()
    with contextlib.ExitStack() as held:
        previous = distributed.by_main(lambda: _claim(held, folder))
        # What a sweep chose stays known as such, whoever runs it, before or after.
        sweep = run.sweep or (previous.sweep if previous else None)
        if previous is not None and previous.status == "complete" and not force:
            if sweep != previous.sweep and main:
                previous.sweep = sweep
                write_record(folder, previous)
            return Outcome(run, folder, previous, was_done=True)
        end = distributed.Run()
        with contextlib.nullcontext() if shared else distributed.alone():
            record, mistake = opened(run, identity, session), None
            record.sweep, meter = sweep, Meter(_device(record))
            if main:
                # What is forced begins anew: nothing of what was before is in its result, nor in its cost.
                record.cost = None if force else earlier(folder, previous, record)
                if force:
                    shutil.rmtree(folder / WORK, ignore_errors=True)
                (folder / FAILURE).unlink(missing_ok=True)
                write_record(folder, record)
            # The others look at what is in the folder only after this.
            distributed.barrier()
            try:
                if main or shared:
                    with distributed.noticing(), meter:
                        if main:
                            # Again: the meter took seconds to start, which are not the run's.
                            record.started = datetime.now(UTC)
                            write_record(folder, record)
                        Steps(run, session, folder, record).do()
                record.status = "complete"
            except KeyboardInterrupt:
                # torchrun stops those whose neighbour has left: then it is that one's failure, which it wrote down.
                record.failure = end.failure_of_another()
                record.status = "failed" if record.failure else "interrupted"
                record.results, record.outputs = {}, []
                if record.failure:
                    raise distributed.ProcessLost(record.failure.message) from None
                raise
            except Exception as error:
                record.status, record.results, record.outputs = "failed", {}, []
                another = end.failure_of_another()
                record.failure = another or failure_of(error, record.environment.token_budget)
                if isinstance(error, UserError):
                    mistake = error
                elif another is None and not isinstance(
                    error, (distributed.MainProcessFailed, distributed.ProcessLost)
                ):
                    write_atomic(folder / FAILURE, scrub("".join(traceback.format_exception(error))))
            finally:
                if main:
                    record.finished = datetime.now(UTC)
                    _add_cost(record, meter, session.execution)
                    write_record(folder, record)
        if shared:
            end.agree(record.failure.message if record.failure else None)
        else:
            distributed.barrier()
    return Outcome(run, folder, record, was_done=False, mistake=mistake)


def _claim(held: contextlib.ExitStack, folder: Path) -> RunRecord | None:
    """Hold the folder; the record that is in it."""
    held.enter_context(claimed(folder))
    return _previous(folder)


def _previous(folder: Path) -> RunRecord | None:
    try:
        return read_record(folder)
    except UserError:
        return None


def failure_of(error: Exception, budget: int | None) -> Failure:
    """One line for the record and the screen."""
    kind, text = type(error).__name__, one_line(" ".join(str(error).split()))[:500]
    if out_of_memory(error):
        text = f"out of memory. Use a smaller --token-budget (it was {budget or 0:,}), or --gradient-checkpointing"
    elif not isinstance(error, UserError):
        text = f"{kind}: {text}" if text else kind
    return Failure(kind=kind, message=text)


def opened(run: PlannedRun, identity: Identity, session: Session) -> RunRecord:
    """The record of a run that begins."""
    return RunRecord(
        run_id=identity.run_id,
        status="running",
        identity=identity,
        task=run.task.model_dump(mode="json"),
        recipe=run.recipe.model_dump(mode="json"),
        overrides=run.overrides,
        suite=run.suite,
        places=run.places,
        command=run.command(identity.checkpoint),
        started=datetime.now(UTC),
        environment=describe(session.execution, precision=identity.precision or "float32", attention=None),
    )


def _device(record: RunRecord) -> PowerDraw:
    """What the run computes on."""
    made_on = record.environment
    threads = made_on.threads or made_on.cpu_count or 1
    return PowerDraw(made_on.device_name, made_on.device == "cuda", threads, made_on.processes)


def _add_cost(record: RunRecord, meter: Meter, execution: Execution) -> None:
    """Add this attempt to those before it."""
    before = record.cost or Cost(wall_seconds=0)
    trained = before.train_seconds
    tokens = record.training.tokens if record.training else 0
    # The seconds are a share where the encoder read for several seeds at once.
    share = record.training.seeds_together if record.training else 1
    this = Attempt(
        started=record.started,
        wall_seconds=round(meter.seconds, 3),
        # Still running is what neither ended nor failed: something took the process away.
        ended="killed" if record.status == "running" else record.status,
        energy=meter.energy,
    )
    peaks = [peak for peak in (before.peak_memory_bytes, execution.peak_memory()) if peak is not None]
    cost = Cost(
        wall_seconds=0,
        train_seconds=trained,
        tokens_per_second=round(tokens / (trained * share), 1) if tokens and trained else None,
        peak_memory_bytes=max(peaks, default=None),
    )
    record.cost = together([*before.attempts, this], cost)
