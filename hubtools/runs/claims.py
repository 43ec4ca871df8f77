"""Whose turn it is, where several processes, of one machine or of many, share a folder of runs.

A claim is a file in the run's folder, ``.claim-1``, that says which process holds the run. It works on any file system on which a
link, or an exclusive creation, has one winner, and so on NFS; no lock of the system is needed.

- **Numbers only grow.** Who takes a run makes the file of the next number, which one process can; the highest number is the one
  that counts. A holder gives a run back by renaming its own file (``.claim-1.free``). So nobody ever removes or replaces what
  may be another's, and a process that comes back late finds a higher number, and not a file like its own.
- **Heartbeat.** A thread renews the time of the file every :data:`BEAT` seconds. The file system's clock sets it and is what it is
  compared with, since clocks of machines differ.
- **Taken over** is a run whose process is known to be gone (same machine), and one without a heartbeat for :data:`STALE`
  seconds that the taker has itself watched for :data:`WATCH`: a laptop that slept has processes that are late and alive.
- **Fencing.** Before anything is written in the folder of a run, its holder looks whether it still is the one
  (:func:`hubtools.common.files.guarded`). One that was paused and came back stops instead.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import platform
import re
import secrets
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from pydantic import AwareDatetime, ValidationError

from hubtools.common.errors import UserError
from hubtools.common.files import guarded, make_folder, unwritable
from hubtools.common.readers import reads
from hubtools.specs.record.identities import Line, RecordPart

# Seconds between two looks at runs that others are at; of many runs more, so that a server of files has other things to do.
LOOK, LOOK_EACH = 1.0, 0.05
# Seconds between two heartbeats; without one after which a process is taken for lost, which are more than those for which NFS
# may show a process that comes back a listing of before (60 by default); for which a taker has watched it.
BEAT, STALE, WATCH = 10.0, 90.0, 20.0
_CLAIM = re.compile(r"\.claim-([0-9]{1,18})(\.free)?")
_LONGEST = 4096
# What names a job of an engine, where one started this process.
_JOBS = ("SLURM_JOB_ID", "RAY_JOB_ID", "JOB_ID", "PBS_JOBID", "LSB_JOBID")


class Holder(RecordPart):
    """Which process holds a run.

    Attributes:
        host, pid: of the process.
        boot: of the machine since it last began, where the system says so.
        space: of the numbers of processes: those of two containers are not the same.
        started: the process, in ticks of the system: numbers of processes come again.
        job: of the engine that started it.
        token: drawn for this claim.
        since: when it took the run, by its own clock.
    """

    host: Line
    pid: int
    boot: Line | None = None
    space: Line | None = None
    started: Line | None = None
    job: Line | None = None
    token: Line
    since: AwareDatetime

    def __str__(self) -> str:
        job = f", job {self.job}" if self.job else ""
        return f"{self.host}, process {self.pid}{job}, since {self.since.astimezone():%Y-%m-%d %H:%M}"


class ClaimedElsewhere(UserError):
    """Another process is at this very run.

    Args:
        folder: of the run.
        holder: the process, where it is known.
    """

    what = "another process is running it right now"

    def __init__(self, folder: Path, holder: Holder | None = None) -> None:
        self.folder, self.holder = folder, holder
        named = f" ({holder})" if holder else ""
        super().__init__(self.what + named, where=str(folder), fix="Wait for it, or use another --runs.")


class ClaimLost(ClaimedElsewhere):
    """This process held the run, was silent for too long, and another took it over: nothing more may be written."""

    what = "this process was taken for lost, and another took the run over"


class _Latest(NamedTuple):
    """The claim that counts: its number (0 where there is none), whether it was given back, its file's content and time."""

    number: int
    free: bool
    content: bytes = b""
    beat: float = 0.0


@dataclass(frozen=True)
class Held:
    """A run that a process holds, as others see it.

    Attributes:
        holder: which process; None where its claim cannot be read.
        silent: seconds since its last heartbeat.
        gone: whether it is known to have ended.
    """

    holder: Holder | None
    silent: float
    gone: bool

    @property
    def lost(self) -> bool:
        """Whether whoever asks for the run takes it over."""
        return self.gone or self.silent > STALE


@dataclass(eq=False)
class Claim:
    """A run that this process holds.

    Attributes:
        folder: of the run.
        number: of the claim.
        content: of its file.
    """

    folder: Path
    number: int
    content: bytes

    @property
    def path(self) -> Path:
        """Of its file."""
        return self.folder / f".claim-{self.number}"

    def require(self) -> None:
        """Make sure that it is still held, by a look at the folder.

        Raises:
            ClaimLost: it is not.
        """
        try:
            latest = _latest(self.folder)
        except FileNotFoundError:
            latest = _Latest(0, True)
        except OSError as error:
            raise unwritable(self.folder, error) or error from None
        if (latest.number, latest.free, latest.content) != (self.number, False, self.content):
            raise ClaimLost(self.folder, holder_in(latest.content))

    def beat(self) -> None:
        """Renew the time of its file, if the claim is still held; a file system that does not answer is asked again next time."""
        with contextlib.suppress(OSError, UserError):
            self.require()
            handle = os.open(self.path, os.O_RDONLY)
            try:
                # By the clock of the file system.
                os.utime(handle)
            finally:
                os.close(handle)

    def release(self) -> None:
        """Give the run back; of a claim that was lost, or removed, it changes nothing."""
        with contextlib.suppress(OSError):
            if self.path.read_bytes() == self.content:
                os.rename(self.path, f"{self.path}.free")  # noqa: PTH104

    def remove(self) -> None:
        """Give the folder back, and remove it where nothing but claims is in it. Who comes late finds no claim like its own."""
        with contextlib.suppress(OSError, UserError):
            self.require()
            for number, _, name in _claims(self.folder):
                if number < self.number:
                    (self.folder / name).unlink()
            self.path.unlink()
            self.folder.rmdir()


class _Heart:
    """The thread that renews the claims of this process."""

    def __init__(self) -> None:
        self.claims: list[Claim] = []
        self.thread: threading.Thread | None = None
        self.waits = threading.Event()

    def add(self, claim: Claim) -> None:
        self.claims = [*self.claims, claim]
        if self.thread is None:
            self.thread = threading.Thread(target=self._beats, name="claims", daemon=True)
            self.thread.start()

    def remove(self, claim: Claim) -> None:
        self.claims = [one for one in self.claims if one is not claim]

    def _beats(self) -> None:
        while not self.waits.wait(BEAT):
            for claim in self.claims:
                claim.beat()

    def forked(self) -> None:
        """A child has no such thread, and no claim of its own."""
        self.__init__()  # type: ignore[misc]


_heart = _Heart()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_heart.forked)
# What this process has seen of claims of others: number, time of the last heartbeat, and when it saw that first.
_seen: dict[Path, tuple[int, float, float]] = {}


@contextlib.contextmanager
def claimed(folder: Path) -> Iterator[Claim]:
    """Hold a run's folder for this process.

    Raises:
        ClaimedElsewhere: another process holds it.
        UserError: the folder cannot be written.
    """
    try:
        claim = _taken_anew(folder)
    except OSError as error:
        raise unwritable(Path(error.filename or folder), error) or error from None
    _heart.add(claim)
    try:
        with guarded(folder, claim.require):
            yield claim
    finally:
        _heart.remove(claim)
        claim.release()


def wait_for_one(folders: Sequence[Path]) -> None:
    """Wait until one of these runs can be claimed: its process has ended, and the run is done, failed or left."""
    while True:
        for folder in folders:
            try:
                if _may_be_taken(folder, _latest(folder)):
                    return
            except OSError:
                return  # Whoever claims it says why it cannot be.
        time.sleep(max(LOOK, LOOK_EACH * len(folders)))


def held(folder: Path, now: float) -> Held | None:
    """Who holds a run; None where nobody does.

    Args:
        folder: of the run.
        now: of the file system (:func:`clock`).
    """
    try:
        latest = _latest(folder)
    except OSError:
        return None
    if latest.free:
        return None
    holder = holder_in(latest.content)
    return Held(holder, max(0.0, now - latest.beat), holder is not None and _gone(holder))


def clock(folder: Path) -> float:
    """The time of the file system that a folder is on, in seconds; of this machine, where nothing can be written there."""
    probe = folder / f".claim.{secrets.token_hex(8)}"
    try:
        handle = os.open(probe, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
    except OSError:
        return time.time()
    try:
        return os.fstat(handle).st_mtime
    finally:
        os.close(handle)
        with contextlib.suppress(OSError):
            probe.unlink()


@reads("claim of a run", refuses=())
def holder_in(content: bytes) -> Holder | None:
    """Which process a claim names; None where it cannot be read."""
    try:
        return Holder.model_validate_json(content)
    except ValidationError:
        return None


def _taken_anew(folder: Path, again: int = 5) -> Claim:
    """The same, of a folder that is made; one that its last holder removes in this moment is made again, so often at most."""
    try:
        make_folder(folder)
        return _taken(folder)
    except FileNotFoundError:
        if not again:
            raise
    return _taken_anew(folder, again - 1)


def _taken(folder: Path) -> Claim:
    """Take a run.

    Raises:
        ClaimedElsewhere: another process holds it, or was faster.
        OSError: nothing can be written there.
    """
    before = _latest(folder)
    if not _may_be_taken(folder, before):
        raise ClaimedElsewhere(folder, holder_in(before.content))
    holder = Holder(**_myself(os.getpid()), job=_job(), token=secrets.token_hex(16), since=datetime.now(UTC))
    claim = Claim(folder, before.number + 1, holder.model_dump_json(exclude_none=True).encode())
    if not _placed_first(claim.path, claim.content):
        raise ClaimedElsewhere(folder)
    try:
        # A number that others have long passed may be free again, because its file was tidied up.
        claim.require()
    except ClaimLost as error:
        with contextlib.suppress(OSError):
            claim.path.unlink()
        raise ClaimedElsewhere(folder, error.holder) from None
    _seen.pop(folder, None)
    for number, _, name in _claims(folder):
        # The last one stays for whoever is just looking at it.
        if number < before.number:
            with contextlib.suppress(OSError):
                (folder / name).unlink()
    return claim


def _claims(folder: Path) -> list[tuple[int, bool, str]]:
    """The claims in a folder: number, whether it was given back, name."""
    with os.scandir(folder) as entries:
        found = [(match, entry.name) for entry in entries if (match := _CLAIM.fullmatch(entry.name))]
    return [(int(match[1]), match[2] is not None, name) for match, name in found]


def _latest(folder: Path) -> _Latest:
    """The claim that counts.

    Raises:
        OSError: the folder cannot be read.
    """
    while True:
        number, free, name = max(_claims(folder), default=(0, True, ""))
        if free:
            return _Latest(number, True)
        try:
            # Opened and not only looked at: then a file system of the network asks its server.
            handle = os.open(folder / name, os.O_RDONLY | os.O_NONBLOCK)
        except FileNotFoundError:
            continue  # Given back in this moment.
        except OSError:
            return _Latest(number, False, b"", (folder / name).lstat().st_mtime)
        try:
            beat = os.fstat(handle).st_mtime
            with contextlib.suppress(OSError):
                return _Latest(number, False, os.read(handle, _LONGEST), beat)
            return _Latest(number, False, b"", beat)
        finally:
            os.close(handle)


def _may_be_taken(folder: Path, latest: _Latest) -> bool:
    """Whether a claim was given back, is of a process that is gone, or is known by now to be without a heartbeat."""
    if latest.free:
        return True
    holder, now = holder_in(latest.content), time.monotonic()
    if holder is not None and _gone(holder):
        return True
    number, beat, since = _seen.get(folder, (0, 0.0, now))
    if (number, beat) != (latest.number, latest.beat):
        _seen[folder] = (latest.number, latest.beat, now)
        return False
    return now - since >= WATCH and clock(folder) - latest.beat > STALE


def _placed_first(path: Path, content: bytes) -> bool:
    """Whether this process was the one that gave a file its name, with all that is in it.

    Raises:
        OSError: nothing can be written there.
    """
    temporary = path.with_name(f".claim.{secrets.token_hex(8)}")
    try:
        _created(temporary, content)
        try:
            os.link(temporary, path)
        except FileExistsError:
            # A server that was asked twice, since its first answer was lost, says so of the link that it made.
            return temporary.stat().st_nlink == 2
        except OSError as error:
            if error.errno not in _WITHOUT_LINKS:
                raise
            try:
                _created(path, content)
            except FileExistsError:
                return False
        return True
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


_WITHOUT_LINKS = {errno.EPERM, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EMLINK}


def _created(path: Path, content: bytes) -> None:
    """A new file; not synced to the disk, since a loss of power ends its process, too.

    Raises:
        FileExistsError: it is there.
    """
    handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
    try:
        os.write(handle, content)
    finally:
        os.close(handle)


@functools.lru_cache(maxsize=4)
def _myself(pid: int) -> dict[str, str | int | None]:
    """What names a process of this machine."""
    return {
        "host": _line(platform.node()) or "?",
        "pid": pid,
        "boot": _line(_text("/proc/sys/kernel/random/boot_id")),
        "space": _space(),
        "started": words[_START] if (words := _stat(pid)) else None,
    }


def _line(text: str | None) -> str | None:
    return "".join(filter(str.isprintable, text))[:200] if text else None


def _text(path: str) -> str | None:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return None


def _space() -> str | None:
    try:
        return os.readlink("/proc/self/ns/pid")  # noqa: PTH115
    except OSError:
        return None


def _stat(pid: int) -> list[str]:
    """What Linux says of a process, from its state on; nothing where there is none, or it may not be seen."""
    words = (_text(f"/proc/{pid}/stat") or "").rpartition(")")[2].split()
    return words if len(words) > _START else []


# Among the words of a process: when it began, in ticks since the machine did.
_START = 19


def _gone(holder: Holder) -> bool:
    """Whether the process of a claim is known to have ended."""
    here = _myself(os.getpid())
    if any(getattr(holder, name) != here[name] for name in ("host", "boot", "space")):
        return False
    if words := _stat(holder.pid):
        # One that ended and whose parent has not looked is no process; another may have its number by now.
        return words[0] in {"Z", "X"} or words[_START] != holder.started
    try:
        # A process of another user may be hidden, and is not gone.
        os.kill(holder.pid, 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        return False
    return False


def _job() -> str | None:
    """The job of an engine that this process is part of, as the engine calls it."""
    if (array := os.environ.get("SLURM_ARRAY_JOB_ID")) is not None:
        return _line(f"{array}_{os.environ.get('SLURM_ARRAY_TASK_ID', '')}")
    return next((_line(os.environ[name]) for name in _JOBS if os.environ.get(name)), None)
