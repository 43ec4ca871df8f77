"""One process at a time has a run: of many at once, killed, silent, paused and come back, of other machines."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hubtools.common.errors import UserError
from hubtools.common.files import append_whole, replacing_folder, write_atomic
from hubtools.runs import claims
from hubtools.runs.claims import ClaimedElsewhere, ClaimLost, claimed, clock, held, wait_for_one

# A holder that works, and says whether it could write when it is told to.
HOLDER = """
import sys
from pathlib import Path
from hubtools.common.files import write_atomic
from hubtools.runs import claims
claims.BEAT, claims.STALE, claims.WATCH = 0.05, 0.6, 0.2
folder = Path(sys.argv[1])
with claims.claimed(folder):
    print("mine", flush=True)
    for line in sys.stdin:
        try:
            write_atomic(folder / "result", line.strip())
            print("wrote", flush=True)
        except claims.ClaimLost as lost:
            print(f"stopped: {lost}", flush=True)
"""
# Six processes, each of which takes the run as often as it can. A lock of the system, of another file, sees whether two are
# inside at once; some are killed there.
CROWD = """
import fcntl, os, random, signal, sys, time
from pathlib import Path
from hubtools.runs import claims
folder = Path(sys.argv[1])
ended = time.monotonic() + float(sys.argv[2])
children = []

def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False

for child in range(6):
    if (pid := os.fork()) == 0:
        draw = random.Random(child)
        referee = os.open(folder / "referee", os.O_CREAT | os.O_RDWR)
        while time.monotonic() < ended:
            try:
                with claims.claimed(folder):
                    while True:
                        try:
                            fcntl.flock(referee, fcntl.LOCK_EX | fcntl.LOCK_NB)
                            break
                        except BlockingIOError:
                            # A process that is just ending has its files for a moment.
                            if alive(int(os.pread(referee, 20, 0))):
                                os._exit(9)
                    os.pwrite(referee, b"%20d" % os.getpid(), 0)
                    with (folder / "turns").open("a") as turns:
                        turns.write(f"{child}\\n")
                    time.sleep(draw.random() * 0.004)
                    if child < 2 and draw.random() < 0.02:
                        os.kill(os.getpid(), signal.SIGKILL)
                    fcntl.flock(referee, fcntl.LOCK_UN)
            except claims.ClaimedElsewhere:
                time.sleep(draw.random() * 0.002)
        os._exit(0)
    children.append(pid)
print(*[os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children])
"""


@pytest.fixture
def start() -> Iterator[Callable[[Path], subprocess.Popen[str]]]:
    """Another process that holds a run."""
    started: list[subprocess.Popen[str]] = []

    def hold(folder: Path) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", HOLDER, folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        started.append(process)
        assert said(process) == "mine"
        return process

    yield hold
    for process in started:
        process.send_signal(signal.SIGCONT)
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            assert stream is not None
            stream.close()


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def told(process: subprocess.Popen[str], text: str) -> str:
    """What it says to a text that it is to write."""
    assert process.stdin is not None
    process.stdin.write(f"{text}\n")
    process.stdin.flush()
    return said(process)


def of_another_machine(folder: Path, silent: float, number: int = 1, **changes: Any) -> Path:
    """A claim as a process of another machine leaves it."""
    folder.mkdir(exist_ok=True)
    holder = {
        "host": "node7",
        "pid": 4711,
        "boot": "00000000-0000-0000-0000-000000000000",
        "space": "pid:[1]",
        "started": "99",
        "token": "0" * 32,
        "since": "2026-01-01T00:00:00Z",
    }
    path = folder / f".claim-{number}"
    path.write_text(json.dumps(holder | changes))
    os.utime(path, (time.time() - silent,) * 2)
    return path


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in {"BEAT": 0.05, "STALE": 0.6, "WATCH": 0.2, "LOOK": 0.02}.items():
        monkeypatch.setattr(claims, name, seconds)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the referee reads /proc")
def test_of_many_processes_one_has_it_and_the_killed_ones_are_in_nobodys_way(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", CROWD, tmp_path, "3"], capture_output=True, text=True, check=True)
    ends = [int(code) for code in done.stdout.split()]
    assert 9 not in ends, "two were inside at once"
    assert set(ends[2:]) == {0} and set(ends[:2]) <= {0, -9}, done.stderr
    turns = (tmp_path / "turns").read_text().split()
    assert len(turns) > 20 and len(set(turns)) >= 4
    # Numbers grew with the turns, and what was before is tidied up.
    names = sorted(path.name for path in tmp_path.glob(".claim-*"))
    assert len(names) <= 3 and max(int(name.split("-")[1].split(".")[0]) for name in names) >= len(turns)


def test_a_killed_process_is_followed_at_once(tmp_path: Path, start: Any) -> None:
    process = start(tmp_path)
    with pytest.raises(ClaimedElsewhere, match=rf"another process .* \(.*process {process.pid}, since 20") as caught:
        claims._taken(tmp_path)
    assert caught.value.holder is not None and caught.value.holder.pid == process.pid
    now = held(tmp_path, clock(tmp_path))
    assert now is not None and not now.gone and not now.lost and now.silent < 5
    process.kill()
    # Not even waited for: what ended is no process.
    deadline = time.monotonic() + 5
    while not (found := held(tmp_path, clock(tmp_path))) or not found.gone:
        assert time.monotonic() < deadline
    with claimed(tmp_path) as claim:
        assert claim.number == 2
    assert held(tmp_path, clock(tmp_path)) is None


def test_what_was_given_back_is_free_and_numbers_grow(tmp_path: Path) -> None:
    for number in range(1, 5):
        with claimed(tmp_path) as claim:
            assert claim.number == number
            with pytest.raises(ClaimedElsewhere), claimed(tmp_path):
                pass
    assert sorted(path.name for path in tmp_path.iterdir()) == [".claim-3.free", ".claim-4.free"]


def test_a_machine_that_is_silent_is_watched_and_then_taken_over(tmp_path: Path, quick: None) -> None:
    of_another_machine(tmp_path, silent=3600)
    # Whoever comes from a pause finds everybody silent: one look is not enough.
    with pytest.raises(ClaimedElsewhere, match="node7, process 4711"), claimed(tmp_path):
        pass
    began = time.monotonic()
    wait_for_one([tmp_path])
    assert 0.15 < time.monotonic() - began < 5
    with claimed(tmp_path) as claim:
        assert claim.number == 2


def test_a_machine_that_beats_is_waited_for(tmp_path: Path, quick: None) -> None:
    path = of_another_machine(tmp_path, silent=3600)
    ended = time.monotonic() + 0.8
    while time.monotonic() < ended:
        with pytest.raises(ClaimedElsewhere), claimed(tmp_path):
            pass
        # Its clock is an hour behind, or this one's before: what counts is that the time of the file changes.
        os.utime(path, (path.stat().st_mtime + 1,) * 2)
        time.sleep(0.02)


def test_a_short_silence_is_none(tmp_path: Path, quick: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "STALE", 1000.0)
    of_another_machine(tmp_path, silent=10)
    for _ in range(3):
        with pytest.raises(ClaimedElsewhere), claimed(tmp_path):
            pass
        time.sleep(0.15)


def test_who_was_paused_and_comes_back_stops_and_writes_nothing(tmp_path: Path, start: Any, quick: None) -> None:
    process = start(tmp_path)
    assert told(process, "first") == "wrote"
    process.send_signal(signal.SIGSTOP)
    wait_for_one([tmp_path])
    with claimed(tmp_path) as claim:
        write_atomic(tmp_path / "result", "second")
        process.send_signal(signal.SIGCONT)
        assert told(process, "third").startswith("stopped: ")
        assert (tmp_path / "result").read_text() == "second"
        # It gives back what it had, which is nothing of another's.
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(10) == 0
        claim.require()
        write_atomic(tmp_path / "result", "fourth")
    assert told_names(tmp_path) == ["result"]


def told_names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith(".claim-"))


def test_a_heart_beats_while_the_process_works(tmp_path: Path, quick: None, start: Any) -> None:
    process = start(tmp_path)
    path = tmp_path / ".claim-1"
    times = set()
    for _ in range(30):
        times.add(path.stat().st_mtime_ns)
        time.sleep(0.03)
    assert len(times) > 3
    assert told(process, "x") == "wrote"


@pytest.mark.parametrize(
    "write",
    [
        lambda folder: write_atomic(folder / "a", "x"),
        lambda folder: append_whole(folder / "deep" / "a", "x"),
        lambda folder: replacing_folder(folder / "a", "mark").__enter__(),
    ],
)
def test_nothing_is_written_of_a_lost_run(tmp_path: Path, write: Any) -> None:
    run = tmp_path / "run"
    with claimed(run):
        of_another_machine(run, silent=0, number=2)
        with pytest.raises(ClaimLost, match="took the run over"):
            write(run)
        # Elsewhere it may write.
        write_atomic(tmp_path / "other", "x")
    assert sorted(path.name for path in run.iterdir()) == [".claim-1.free", ".claim-2"]
    assert (write_atomic(run / "a", "x"), (run / "a").read_text()) == (None, "x")


def test_what_takes_long_to_write_is_looked_at_again_at_its_end(tmp_path: Path) -> None:
    with (
        claimed(tmp_path),
        pytest.raises(ClaimLost),
        replacing_folder(tmp_path / "model", "mark", durable=False) as place,
    ):
        (place / "mark").write_text("x")
        of_another_machine(tmp_path, silent=0, number=2)
    assert not (tmp_path / "model").exists()


def test_a_folder_that_is_removed_is_lost(tmp_path: Path) -> None:
    import shutil

    with claimed(tmp_path / "run") as claim:
        shutil.rmtree(tmp_path / "run")
        with pytest.raises(ClaimLost):
            claim.require()
        claim.beat()


def test_a_holder_removes_what_nobody_needs(tmp_path: Path, quick: None) -> None:
    of_another_machine(tmp_path / "run", 60)
    with pytest.raises(ClaimedElsewhere), claimed(tmp_path / "run"):
        pass
    wait_for_one([tmp_path / "run"])
    with claimed(tmp_path / "run") as late:
        late.remove()
        assert not (tmp_path / "run").exists()
    with claimed(tmp_path / "run") as again:
        # Who held it before, and comes back, has nothing in it.
        with pytest.raises(ClaimLost):
            late.require()
        late.remove()
        again.require()
        (tmp_path / "run" / "result").touch()
        again.remove()
        assert [path.name for path in (tmp_path / "run").iterdir()] == ["result"], "what is no claim stays"


def test_a_folder_that_goes_away_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make, left = claims.make_folder, [2]

    def gone_twice(folder: Path) -> None:
        make(folder)
        if left[0]:
            left[0] -= 1
            folder.rmdir()

    monkeypatch.setattr(claims, "make_folder", gone_twice)
    with claimed(tmp_path / "run") as claim:
        claim.require()
    left[0] = 1000
    with pytest.raises(UserError), claimed(tmp_path / "other"):
        pass


@pytest.mark.parametrize("content", [b"", b"{", b"\xff" * 9000, b'{"host": "\\u001b[2J"}', b"[" * 5000])
def test_a_claim_that_cannot_be_read_is_somebodys_until_it_is_silent(
    tmp_path: Path, content: bytes, quick: None
) -> None:
    path = of_another_machine(tmp_path, silent=3600)
    path.write_bytes(content)
    os.utime(path, (0, 0))
    now = held(tmp_path, time.time())
    assert now is not None and now.holder is None and now.lost
    with pytest.raises(ClaimedElsewhere), claimed(tmp_path):
        pass
    wait_for_one([tmp_path])
    with claimed(tmp_path):
        pass


def test_a_folder_in_its_place_stops_nobody_for_good(tmp_path: Path, quick: None) -> None:
    (tmp_path / ".claim-3").mkdir()
    os.utime(tmp_path / ".claim-3", (0, 0))
    wait_for_one([tmp_path])
    with claimed(tmp_path) as claim:
        assert claim.number == 4


def test_a_number_of_a_process_that_came_again_is_not_that_process(tmp_path: Path) -> None:
    mine = claims._myself(os.getpid())
    of_another_machine(tmp_path, silent=0, **{**mine, "started": "1"})
    if mine["started"] is None:
        pytest.skip("this system does not say when a process began")
    with claimed(tmp_path) as claim:
        assert claim.number == 2


def test_a_process_that_may_not_be_seen_is_not_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other users' processes are hidden on many clusters."""
    mine = claims._myself(os.getpid())
    of_another_machine(tmp_path, silent=0, **{**mine, "pid": 1})
    monkeypatch.setattr(claims, "_stat", lambda pid: [])

    def refused(pid: int, number: int) -> None:
        raise PermissionError

    monkeypatch.setattr(claims.os, "kill", refused)
    with pytest.raises(ClaimedElsewhere), claimed(tmp_path):
        pass


def test_without_links_one_process_is_the_first_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(source: Any, target: Any) -> None:
        raise OSError(claims.errno.EPERM, "no links here")

    monkeypatch.setattr(claims.os, "link", refused)
    assert claims._placed_first(tmp_path / "a", b"1") and not claims._placed_first(tmp_path / "a", b"2")
    with claimed(tmp_path), pytest.raises(ClaimedElsewhere), claimed(tmp_path):
        pass


def test_a_link_that_was_made_and_is_said_to_be_there_is_this_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What NFS does where the server's first answer was lost."""
    link = os.link

    def twice(source: Any, target: Any) -> None:
        link(source, target)
        raise FileExistsError

    monkeypatch.setattr(claims.os, "link", twice)
    assert claims._placed_first(tmp_path / "a", b"1")
    monkeypatch.setattr(claims.os, "link", link)
    assert not claims._placed_first(tmp_path / "a", b"2")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_who_saw_a_number_long_ago_does_not_win_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Others went on to number 5, and tidied number 2 up, between a look and a link."""
    seen = claims._Latest(1, True)
    of_another_machine(tmp_path, silent=0, number=5)
    looks = iter([seen])
    look = claims._latest
    monkeypatch.setattr(claims, "_latest", lambda folder: next(looks, None) or look(folder))
    with pytest.raises(ClaimedElsewhere), claimed(tmp_path):
        pass
    assert [path.name for path in tmp_path.iterdir()] == [".claim-5"]


def test_it_says_whose_job_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "18")
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "17")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "3")
    with claimed(tmp_path):
        found = held(tmp_path, clock(tmp_path))
        assert found is not None and "job 17_3" in str(found.holder)


def test_where_nothing_can_be_written_that_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> Any:
        raise OSError(28, "No space left on device", str(tmp_path / ".claim-1"))

    monkeypatch.setattr(claims, "_created", full)
    with pytest.raises(UserError, match="No space left"), claimed(tmp_path):
        pass
    assert not list(tmp_path.iterdir())
