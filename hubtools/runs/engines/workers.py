"""Workers: processes of this machine that stay, each doing one job after the other.

A worker imports what it needs once, is given a job when it has none, and tells what happens over a socket that both hold. So it
notices, too, when the command is gone, and stops. Of a worker that is gone the runs that it had left are given to the others; a run that
was begun twice and took its worker with it both times is given up.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import socket
import subprocess
import time
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from hubtools.common import telling
from hubtools.common.errors import UserError
from hubtools.runs.engines.job_engine import AttachedEngine, Submission
from hubtools.runs.engines.job_events import JobEvent, Mistake, event_of, spans

# How often a run may take its worker with it before it is given up.
DEATHS = 2
# Seconds that workers have to write their records when all is stopped.
GRACE = 120.0
_LONGEST_LINE = 1 << 22


@dataclass(frozen=True)
class WorkerEngine(AttachedEngine):
    """Processes on this machine.

    Attributes:
        seats: what each worker's environment has that those of others have not: its GPU, its threads.
    """

    seats: Sequence[Mapping[str, str]] = ()
    name = "workers"

    def events(self, work: Submission) -> Iterator[JobEvent]:
        """As :meth:`AttachedEngine.events`; a worker that is gone is told, and does not stop the others."""
        pool = _Pool(work, deque(self.seats), deque(tuple(numbers) for numbers in work.jobs))
        try:
            yield from pool.run()
        finally:
            pool.stop()


@dataclass
class _Worker:
    """A process, and what it has to do.

    Attributes:
        seat: of it.
        job: numbers of runs that it was given and that have not ended.
        busy: whether it is at a job; it says itself when it is done with one.
        at: the run that it is at.
        said: the last line that it wrote to stderr.
        ready: whether it ever said anything.
    """

    process: subprocess.Popen[bytes]
    talk: socket.socket
    seat: Mapping[str, str]
    job: list[int] = field(default_factory=list)
    busy: bool = False
    at: int | None = None
    said: str = ""
    ready: bool = False
    unread: dict[str, bytes] = field(default_factory=lambda: {"talk": b"", "err": b""})

    def lines(self, stream: str, more: bytes) -> list[bytes]:
        """Whole lines of a stream, with what has just come."""
        *whole, rest = (self.unread[stream] + more).split(b"\n")
        self.unread[stream] = rest[-_LONGEST_LINE:]
        return whole

    def source(self, stream: str) -> Any:
        """What a stream is read from."""
        return self.talk if stream == "talk" else self.process.stderr

    def give(self, job: Sequence[int]) -> None:
        """Hand it a job; that it is gone will be noticed elsewhere."""
        self.job, self.at, self.busy = list(job), None, True
        self.tell({"job": spans(job)})

    def tell(self, message: dict[str, Any]) -> None:
        """Write to it."""
        with contextlib.suppress(OSError):
            self.talk.sendall((json.dumps(message) + "\n").encode())


@dataclass
class _Pool:
    """All workers of one command."""

    work: Submission
    seats: deque[Mapping[str, str]]
    jobs: deque[tuple[int, ...]]
    workers: list[_Worker] = field(default_factory=list)
    deaths: Counter[int] = field(default_factory=Counter)
    told: set[str] = field(default_factory=set)
    selector: selectors.BaseSelector = field(default_factory=selectors.DefaultSelector)

    def run(self) -> Iterator[JobEvent]:
        """Until no run is left."""
        while self.jobs or any(worker.busy for worker in self.workers):
            idle = [worker for worker in self.workers if not worker.busy]
            while self.jobs and (idle or self.seats):
                (idle.pop() if idle else self._start()).give(self.jobs.popleft())
            for key, _ in self.selector.select(timeout=1.0):
                worker, stream = key.data
                yield from self._heard(worker, stream)
        for worker in self.workers:
            worker.tell({"end": True})

    def _start(self) -> _Worker:
        """A process in the next free seat."""
        seat = self.seats.popleft()
        ours, theirs = socket.socketpair()
        with theirs:
            process = subprocess.Popen(
                [*self.work.command, "--talk", str(theirs.fileno()), self.work.plan],
                cwd=self.work.directory,
                env={**os.environ, **seat},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                pass_fds=[theirs.fileno()],
                # Ctrl-C is this process's to hear: it stops the workers one way, whatever stopped it.
                start_new_session=True,
            )
        worker = _Worker(process, ours, seat)
        self.workers.append(worker)
        self.selector.register(ours, selectors.EVENT_READ, (worker, "talk"))
        assert process.stderr is not None
        self.selector.register(process.stderr, selectors.EVENT_READ, (worker, "err"))
        return worker

    def _heard(self, worker: _Worker, stream: str) -> Iterator[JobEvent]:
        """Take what a worker wrote; of one that is gone, see to its runs."""
        source = worker.source(stream)
        if source.closed if stream == "err" else source.fileno() < 0:
            return  # Closed while another one was heard.
        more = _read(source)
        for line in worker.lines(stream, more):
            if stream == "err":
                self._say(worker, line.decode(errors="replace").rstrip())
            elif (event := event_of(line)) is not None:
                yield from self._took(worker, event)
        if not more:
            self.selector.unregister(source)
            source.close()
            if stream == "talk":
                yield from self._gone(worker)

    def _say(self, worker: _Worker, line: str) -> None:
        """Pass on what a worker wrote for people, once however many workers wrote it."""
        if line.strip():
            worker.said = line
            if line not in self.told:
                self.told.add(line)
                telling.warn(line)

    def _took(self, worker: _Worker, event: JobEvent) -> Iterator[JobEvent]:
        worker.ready = True
        if event.kind == "refused" and event.mistake is not None:
            raise event.mistake.error()
        if event.kind == "begins":
            worker.at = event.number
        elif event.kind == "again":
            worker.at = None
        elif event.kind in {"ended", "not begun"}:
            worker.at = None
            with contextlib.suppress(ValueError):
                worker.job.remove(event.number)
        elif event.kind == "done":
            worker.job, worker.at, worker.busy = [], None, False
        if event.kind != "done":
            yield event

    def _gone(self, worker: _Worker) -> Iterator[JobEvent]:
        """A worker has ended; what it had left comes again, in a worker that is there or in a new one."""
        self.workers.remove(worker)
        code = self._ended(worker)
        if not worker.job:
            return
        how = f"by signal {-code} ({signal.strsignal(-code) or 'unknown'})" if code < 0 else f"with exit code {code}"
        memory = "; was memory full?" if code == -signal.SIGKILL else ""
        why = f"its worker ended {how}{memory}" + (f" ({worker.said})" if worker.said and code > 0 else "")
        if not worker.ready:
            if code == -signal.SIGKILL and self.workers:
                self.jobs.append(tuple(worker.job))  # There is no room for so many.
                return
            raise UserError(f"a worker could not begin: it ended {how}" + (f" ({worker.said})" if worker.said else ""))
        left = list(worker.job)
        # What it was between two runs at, if at none: the first of those that are left.
        at = left[0] if worker.at is None else worker.at
        self.deaths[at] += 1
        again = self.deaths[at] < DEATHS
        mistake = Mistake(why if again else f"{why}, the second time", fix=None if again else _SMALLER)
        yield JobEvent("again" if again else "lost", at, mistake=mistake)
        if not again:
            left.remove(at)
        if left:
            # The run that it took comes by itself, so that the others of its job are not held up by it.
            rest = tuple(number for number in left if number != at)
            self.jobs.extend(job for job in ((at,) if again else (), rest) if job)
        # Where memory is full, one worker fewer has more of it; the last one has it alone.
        if code != -signal.SIGKILL or not self.workers:
            self.seats.append(worker.seat)

    def _ended(self, worker: _Worker) -> int:
        """The exit code of a worker whose socket is closed; what it last wrote to stderr is read."""
        try:
            code = worker.process.wait(timeout=GRACE)
        except subprocess.TimeoutExpired:
            worker.process.kill()
            code = worker.process.wait()
        if (stream := worker.process.stderr) is not None and not stream.closed:
            for line in worker.lines("err", stream.read()):
                self._say(worker, line.decode(errors="replace").rstrip())
            self.selector.unregister(stream)
            stream.close()
        return code

    def stop(self) -> None:
        """End all workers: at once where they have nothing to do, else when their records are written."""
        for worker in self.workers:
            if worker.busy:
                worker.process.terminate()
            else:
                worker.tell({"end": True})
        deadline = time.monotonic() + GRACE
        try:
            # What they still write is read, so that no full pipe holds them.
            while self.selector.get_map() and time.monotonic() < deadline:
                for key, _ in self.selector.select(timeout=0.5):
                    worker, stream = key.data
                    if not _read(source := worker.source(stream)):
                        self.selector.unregister(source)
                        source.close()
        except BaseException:
            deadline = 0.0  # A second Ctrl-C says that this takes too long.
            raise
        finally:
            for worker in self.workers:
                try:
                    worker.process.wait(timeout=max(0.0, deadline - time.monotonic()))
                except subprocess.TimeoutExpired:
                    worker.process.kill()
                    worker.process.wait()
            self.selector.close()


def _read(source: Any) -> bytes:
    """What has come; nothing where the other end is gone."""
    try:
        return os.read(source.fileno(), 1 << 16)
    except OSError:
        return b""


_SMALLER = "Use fewer --workers, or less memory for each: the same command goes on."


def with_seats(seats: Sequence[Mapping[str, str]]) -> WorkerEngine:
    """An engine of as many workers as there are seats."""
    return replace(WorkerEngine(), seats=seats)
