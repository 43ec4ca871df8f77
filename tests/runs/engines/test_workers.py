"""A pool of workers: who does what, and what happens when one is gone. The workers here speak the protocol and compute nothing."""

from __future__ import annotations

import json
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hubtools.common.errors import UserError
from hubtools.runs.engines import workers
from hubtools.runs.engines.job_engine import Submission
from hubtools.runs.engines.job_events import JobEvent, Mistake, event_of, spans
from hubtools.runs.engines.workers import with_seats

# What each run does is a line of the file ``runs.json``: it is waited for, or the process ends.
WORKER = r"""
import json, os, signal, socket, sys, time
from pathlib import Path

talk = socket.socket(fileno=int(sys.argv[sys.argv.index("--talk") + 1]))
lines, does = talk.makefile("r"), json.loads(Path("runs.json").read_text())

def tell(**event):
    talk.sendall((json.dumps(event) + "\n").encode())

def stop(*_):
    Path(f"stopped-{os.getpid()}").touch()
    sys.exit(143)

signal.signal(signal.SIGTERM, stop)
if "refused" in does:
    tell(kind="refused", mistake={"what": does["refused"]})
    sys.exit(2)
if "dies" in does:
    sys.exit("no such module")
for line in lines:
    job = json.loads(line).get("job")
    if job is None:
        break
    for part in job.split(","):
        first, _, last = part.partition("-")
        for number in range(int(first), int(last or first) + 1):
            do = does.get(str(number), 0)
            tell(kind="begins", number=number)
            mark = Path(f"killed-{number}")
            if do == "twice" or (do == "once" and not mark.exists()):
                mark.touch()
                print("no room", file=sys.stderr, flush=True)
                os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(do if isinstance(do, (int, float)) else 0)
            tell(kind="ended", number=number, folder=f"{os.getpid()} {os.environ['SEAT']} {os.environ['OMP_NUM_THREADS']}")
    tell(kind="done")
else:
    time.sleep(0.2)
    stop()
"""


@pytest.fixture
def pool(tmp_path: Path) -> Iterator[Any]:
    """``pool(jobs, seats, **what runs do)`` gives the events of a pool; what its workers left is in the folder."""
    (tmp_path / "worker.py").write_text(WORKER)

    def work(jobs: list[tuple[int, ...]], seats: int = 2, **does: Any) -> Any:
        (tmp_path / "runs.json").write_text(json.dumps({name.lstrip("_"): do for name, do in does.items()}))
        given = Submission("plan", tmp_path, tmp_path, jobs, [sys.executable, str(tmp_path / "worker.py")])
        return with_seats([{"SEAT": str(seat), "OMP_NUM_THREADS": "1"} for seat in range(seats)]).events(given)

    yield work


def ended(events: list[JobEvent]) -> Counter[int]:
    return Counter(event.number for event in events if event.kind == "ended")


def test_each_run_is_done_once_and_each_worker_has_a_seat_of_its_own(pool: Any) -> None:
    events = list(pool([(0, 1), (2,), (5, 3), (4,)], _0=0.3))
    assert ended(events) == Counter(range(6))
    who = {event.folder.split()[0]: event.folder.split()[1] for event in events if event.folder}
    assert sorted(who.values()) == ["0", "1"], "two processes did it all"
    first = [event for event in events if event.number in {3, 5} and event.kind == "ended"]
    assert [event.number for event in first] == [5, 3], "in the order of the job"


def test_what_a_killed_worker_had_left_is_done_by_others(pool: Any, caplog: pytest.LogCaptureFixture) -> None:
    events = list(pool([(0, 1, 2), (3,)], _1="once"))
    assert ended(events) == Counter(range(4))
    (again,) = [event for event in events if event.kind == "again"]
    assert again.number == 1 and again.mistake is not None
    assert again.mistake.what.startswith("its worker ended by signal 9 (Killed); was memory full?")
    assert caplog.messages == ["no room"]


def test_a_run_that_takes_its_worker_twice_is_given_up_and_the_others_are_done(pool: Any) -> None:
    events = list(pool([(0, 1, 2), (3,)], seats=2, _1="twice"))
    assert ended(events) == Counter([0, 2, 3])
    (lost,) = [event for event in events if event.kind == "lost"]
    assert lost.number == 1 and lost.mistake is not None and "the second time" in lost.mistake.what
    assert "fewer --workers" in str(lost.mistake.error())


def test_a_worker_that_may_not_begin_says_why_for_all(pool: Any) -> None:
    with pytest.raises(UserError, match="device 'cuda' cannot be used"):
        list(pool([(0,), (1,)], refused="device 'cuda' cannot be used"))
    with pytest.raises(UserError, match=r"could not begin: it ended with exit code 1 \(no such module\)"):
        list(pool([(0,), (1,)], dies=True))


def test_stopped_in_the_middle_every_worker_writes_what_it_has(pool: Any, tmp_path: Path) -> None:
    events = pool([(0,), (1,)], _0=60, _1=60)
    begun = [next(events), next(events)]
    assert {event.number for event in begun} == {0, 1}
    started = time.monotonic()
    events.close()
    assert len(list(tmp_path.glob("stopped-*"))) == 2 and time.monotonic() - started < 20


def test_a_worker_that_does_not_stop_is_killed(pool: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(workers, "GRACE", 0.5)
    (tmp_path / "worker.py").write_text(WORKER.replace("sys.exit(143)", "time.sleep(60)"))
    events = pool([(0,)], seats=1, _0=60)
    next(events)
    started = time.monotonic()
    events.close()
    assert time.monotonic() - started < 20


def test_workers_of_a_command_that_is_gone_stop_by_themselves(tmp_path: Path) -> None:
    """Here the listening is that of the worker itself."""
    import socket

    from hubtools.api.engines.engine_job import Conversation

    heard: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: heard.append(number))
    try:
        ours, theirs = socket.socketpair()
        talk = Conversation(theirs.detach())
        ours.sendall(b'{"job": "0-2"}\n')
        assert talk.next_job() == "0-2"
        talk.tell(JobEvent("begins", 0))
        assert event_of(ours.recv(1000)) == JobEvent("begins", 0)
        ours.close()
        assert talk.next_job() is None
        deadline = time.monotonic() + 10
        while not heard and time.monotonic() < deadline:
            time.sleep(0.01)
        assert heard == [signal.SIGTERM]
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_worker_that_is_told_to_end_ends_in_peace() -> None:
    import socket

    from hubtools.api.engines.engine_job import Conversation

    ours, theirs = socket.socketpair()
    talk = Conversation(theirs.detach())
    ours.sendall(b'{"end": true}\n')
    assert talk.next_job() is None
    ours.close()


@pytest.mark.parametrize(
    "event",
    [
        JobEvent("begins", 0),
        JobEvent("ended", 3, "runs/a", was_done=True, problems=("card of a: no",)),
        JobEvent("not begun", 0, mistake=Mistake("no such data", "task x", "Look.")),
        JobEvent("elsewhere", 12, "runs/b", waiting=True),
        JobEvent("done"),
    ],
)
def test_events_come_back_as_they_were(event: JobEvent) -> None:
    line = event.line()
    assert line.endswith("\n") and event_of(line) == event


@pytest.mark.parametrize("line", ["", "warning: x", "[1]", "{", '{"kind": "ended", "mistake": 3}', "null"])
def test_other_lines_are_no_events(line: str) -> None:
    assert event_of(line) is None


def test_numbers_as_an_argument() -> None:
    from hubtools.api.engines.engine_job import numbers_of

    for numbers in [(0,), (0, 1, 2, 7), (7, 1, 2), tuple(range(1000))]:
        assert numbers_of(spans(numbers), 1000) == numbers
    assert spans((0, 1, 2, 7)) == "0-2,7"
    for wrong in ("", "5", "0-5", "2-1", "x", "0,,1", "-1", "١"):
        with pytest.raises(UserError, match="no runs of a plan"):
            numbers_of(wrong, 5)
