"""One run, from a plan to a record: claimed, opened, done, and written whatever the end was.

Several processes of one run (``torchrun``) all come through here; the main one alone claims the folder and writes.
"""

from __future__ import annotations

import contextlib
import traceback
from datetime import UTC, datetime, timedelta
from pathlib import Path

from hubtools.common import telling
from hubtools.common.errors import UserError, one_line
from hubtools.common.files import clear, write_atomic
from hubtools.common.secrets import scrub
from hubtools.runs.claims import ClaimedElsewhere, ClaimLost, claimed
from hubtools.runs.costs.attempts import earlier, together
from hubtools.runs.costs.energy import Meter, PowerDraw
from hubtools.runs.costs.environment import describe
from hubtools.runs.engines.outcomes import Outcome
from hubtools.runs.plan import PlannedRun
from hubtools.runs.second_try import Passing, may_pass
from hubtools.runs.session import Session
from hubtools.runs.steps import WORK, Steps
from hubtools.runs.store import (
    FAILURE,
    RECORD,
    make_way,
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
from hubtools.training.compute.threads import settle_again

# What a record that is not finished yet may be wrong by about when its run began.
MOMENT = timedelta(seconds=1)


def execute(run: PlannedRun, session: Session, *, force: bool = False, since: datetime | None = None) -> Outcome:
    """Do a run, or find it done. A failure is recorded, and returned rather than raised.

    Where bench itself is at fault, the traceback is kept in the run's folder (``failure.txt``).

    Args:
        run, session: what to do, with what.
        force: do it again where it is done.
        since: when the command began: what another process has done since then is not done again.

    Raises:
        ClaimedElsewhere: another process is at it, or took it over because this one was silent for too long.
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
        previous, free = distributed.by_main(lambda: _claim(held, folder, run, force))
        if not free:
            raise ClaimedElsewhere(folder)
        # What a sweep chose stays known as such, whoever runs it, before or after.
        sweep = run.sweep or (previous.sweep if previous else None)
        done = previous if previous is not None and previous.status == "complete" else None
        elsewhere = done is not None and since is not None and (done.finished or done.started) >= since
        if done is not None and (elsewhere or not force):
            if sweep != done.sweep and main:
                done.sweep = sweep
                write_record(folder, done)
            return Outcome(run, folder, done, was_done=True, elsewhere=elsewhere)
        end = distributed.Run()
        with contextlib.nullcontext() if shared else distributed.alone():
            settle_again()
            record, mistake = opened(run, identity, session), None
            passing: Passing | None = None
            record.sweep, meter = sweep, Meter(_device(record))
            stops: list[type[BaseException]] = []
            if main:
                # What is forced begins anew: nothing of what was before is in its result, nor in its cost.
                record.cost = None if force else earlier(folder, previous, record)
                make_way(folder)
                if force:
                    clear(folder / WORK)
                clear(folder / FAILURE)
                write_record(folder, record)
            # Before the meter runs, and after it has stopped: a tracker's seconds are not the run's.
            followed = session.tracking.begins(record)
            # The others look at what is in the folder only after this.
            distributed.barrier()
            try:
                if main or shared:
                    with distributed.noticing(), meter:
                        if main:
                            # Again: the meter may have taken seconds to start, which are not the run's.
                            opened_at, record.started = record.started, datetime.now(UTC)
                            if record.started - opened_at > MOMENT:
                                write_record(folder, record)
                        Steps(run, session, folder, record, told=followed.epoch).do()
                record.status = "complete"
            except KeyboardInterrupt:
                stops = [ClaimLost]
                # torchrun stops those whose neighbour has left: then it is that one's failure, which it wrote down.
                record.failure = end.failure_of_another()
                record.status = "failed" if record.failure else "interrupted"
                record.results, record.outputs = {}, []
                if record.failure:
                    raise distributed.ProcessLost(record.failure.message) from None
                raise
            except ClaimLost:
                raise  # The record is another's.
            except Exception as error:
                record.status, record.results, record.outputs = "failed", {}, []
                another = end.failure_of_another()
                record.failure = another or failure_of(error, record.environment.token_budget)
                passing = may_pass(error) if another is None else None
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
                    # Who is stopped stops, whoever has the run by now.
                    with contextlib.suppress(*stops):
                        write_record(folder, record)
                    followed.ends(record)
        if shared:
            end.agree(record.failure.message if record.failure else None)
        else:
            distributed.barrier()
    return Outcome(run, folder, record, was_done=False, mistake=mistake, passing=passing)


def _claim(held: contextlib.ExitStack, folder: Path, run: PlannedRun, force: bool) -> tuple[RunRecord | None, bool]:
    """Hold the folder, unless there is nothing to do; the record that is in it, and whether nobody else holds it."""
    # What is complete stays so: a matrix that is asked for again is read, and nothing is written.
    with contextlib.suppress(UserError):
        if (
            not force
            and (done := read_record(folder)).status == "complete"
            and (run.sweep is None or run.sweep == done.sweep)
        ):
            return done, True
    try:
        held.enter_context(claimed(folder))
    except ClaimedElsewhere:
        return None, False
    if not (folder / RECORD).exists():
        return None, True
    try:
        return read_record(folder), True
    except UserError as error:
        telling.warn(f"{error} It cannot be gone on from: {run.title} is done anew")
        return None, True


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
        origins=run.origins,
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
