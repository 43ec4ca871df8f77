"""One run over several processes, started by ``torchrun``: who is who, and what they tell each other.

Without torchrun there is one process, everything here is free of effect, and nothing is imported.

Tensors of the fit go through the device's own backend (NCCL, gloo on a CPU); Python objects through gloo, so that
nothing small waits for a GPU. How a run's end is told goes through torchrun's store, which works where a process that
failed can no longer take part in anything.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from hubtools.common.errors import UserError
from hubtools.specs.record import Failure

if TYPE_CHECKING:
    import torch

T = TypeVar("T")
# Waiting for the main process to download or to train a probe is not a failure; a process that died is noticed at once.
PATIENCE = timedelta(days=7)
# Seconds that a failed process waits for the others to fail likewise, before it takes them with it.
GRACE = 10.0
LEFT = "bench/left"
_alone: ContextVar[bool] = ContextVar("alone", default=False)
_objects: Any = None
_runs = 0


class MainProcessFailed(Exception):
    """The main process failed and said why; this one has nothing to add."""


class ProcessLost(Exception):
    """The processes are not at the same step any more: all must end."""


def started() -> bool:
    """Whether torchrun started this process beside others."""
    return "MASTER_ADDR" in os.environ and _number("WORLD_SIZE", 1) > 1


def size() -> int:
    """Processes that work together, 1 where this one works :func:`alone`."""
    return 1 if _alone.get() or not started() else _number("WORLD_SIZE", 1)


def rank() -> int:
    """This process's number, the main one being 0."""
    return _number("RANK", 0) if started() else 0


def _number(variable: str, usual: int) -> int:
    """What a launcher wrote into the environment.

    Raises:
        UserError: it is no number.
    """
    value = os.environ.get(variable, str(usual))
    if not value.isascii() or not value.isdecimal():
        raise UserError(
            f"{value!r} is no number of processes", where=variable, fix="A launcher sets it: unset it here."
        )
    return int(value)


def local_rank() -> int:
    """This process's number on its machine: its GPU."""
    return _number("LOCAL_RANK", 0) if started() else 0


def is_main() -> bool:
    """Whether this process writes, prints and decides."""
    return rank() == 0


def refuse_company(command: str) -> None:
    """Refuse to be one of several processes.

    Raises:
        UserError: torchrun started this process beside others.
    """
    if started():
        raise UserError(f"{command} works in one process", fix=f"Start it without torchrun: {command} …")


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """What the main process does inside, it does without the others."""
    token = _alone.set(True)
    try:
        yield
    finally:
        _alone.reset(token)


@contextlib.contextmanager
def joined(device: torch.device) -> Iterator[None]:
    """Take part with this device until the end; all but the main process are quiet."""
    global _objects
    if not started():
        yield
        return
    import torch
    from torch import distributed as dist

    _number("MASTER_PORT", 29500)
    _number("LOCAL_RANK", 0)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    _objects = dist.new_group(backend="gloo", timeout=PATIENCE)
    with contextlib.ExitStack() as stack:
        if not is_main():
            nowhere = stack.enter_context(Path(os.devnull).open("w"))
            stack.enter_context(contextlib.redirect_stdout(nowhere))
            stack.enter_context(contextlib.redirect_stderr(nowhere))
        yield
    # Not after a failure: that would wait for processes that are gone.
    dist.destroy_process_group()


def broadcast(value: T) -> T:
    """The main process's value, in every process.

    Raises:
        ProcessLost: another process is gone.
    """
    if size() == 1:
        return value
    from torch import distributed as dist

    box = [value]
    with _broken_is_parted():
        dist.broadcast_object_list(box, src=0, group=_objects)
    return box[0]


def gather(value: T) -> list[T]:
    """Every process's value, in every process, in order of rank.

    Raises:
        ProcessLost: another process is gone.
    """
    if size() == 1:
        return [value]
    from torch import distributed as dist

    values: list[Any] = [None] * size()
    with _broken_is_parted():
        dist.all_gather_object(values, value, group=_objects)
    return values


@contextlib.contextmanager
def _broken_is_parted() -> Iterator[None]:
    try:
        yield
    except RuntimeError:
        raise ProcessLost("another process is gone") from None


def gathered(parts: list[T]) -> list[T]:
    """The parts of all processes, one list after the other."""
    return [part for one in gather(parts) for part in one]


def barrier() -> None:
    """Wait for all."""
    gather(None)


def by_main(make: Callable[[], T]) -> T:
    """What ``make`` gives in the main process, in every process.

    Raises:
        Elsewhere: the main process failed; what it raised is raised there.
    """
    if size() == 1:
        return make()
    if not is_main():
        made, problem = broadcast((None, None))
        if problem is not None:
            raise MainProcessFailed(problem)
        return made  # type: ignore[return-value]
    try:
        value = make()
    except BaseException as error:
        broadcast((None, one_line(error)))
        raise
    broadcast((value, None))
    return value


def main_first(make: Callable[[], T]) -> T:
    """What ``make`` gives, made by the main process first; the others then find in the cache what it fetched.

    Raises:
        Elsewhere: as :func:`by_main`.
    """
    first: list[T] = []
    by_main(lambda: first.append(make()))
    return first[0] if first else make()


def divided(costs: Any, processes: int | None = None, which: int | None = None) -> np.ndarray:
    """The items, as indices, that this process takes so that each has about the same cost: every one once.

    The dearest first, each to whoever has least so far (Graham, 1969); the same in all processes.
    """
    processes, which = processes or size(), rank() if which is None else which
    costs = np.asarray(costs)
    if processes == 1:
        return np.arange(len(costs))
    loads, mine = np.zeros(processes), []
    for item in np.argsort(-costs, kind="stable"):
        least = int(loads.argmin())
        loads[least] += costs[item]
        if least == which:
            mine.append(item)
    return np.array(sorted(mine), dtype=np.int64)


def add_up(tensors: Iterable[torch.Tensor], bucket: int = 1 << 24) -> None:
    """Replace each tensor by its sum over the processes, in pieces of about ``bucket`` numbers."""
    if size() == 1:
        return
    import torch
    from torch import distributed as dist

    pending: list[torch.Tensor] = []

    def send() -> None:
        if not pending:
            return
        flat = torch.cat([tensor.reshape(-1) for tensor in pending])
        dist.all_reduce(flat)
        parts = flat.split([tensor.numel() for tensor in pending])
        torch._foreach_copy_(pending, [part.view_as(t) for part, t in zip(parts, pending, strict=True)])
        pending.clear()

    held = 0
    for tensor in tensors:
        pending.append(tensor)
        held += tensor.numel()
        if held >= bucket:
            send()
            held = 0
    send()


def equalise(tensors: Iterable[torch.Tensor]) -> None:
    """Give every process the main one's values."""
    if size() == 1:
        return
    from torch import distributed as dist

    for tensor in tensors:
        dist.broadcast(tensor.detach(), src=0)


def one_line(error: BaseException) -> str:
    """An error in one line."""
    text = " ".join(str(error).split())[:500]
    return text or type(error).__name__


class Run:
    """The end of one run, as the processes tell it to each other, whatever state they are in."""

    def __init__(self) -> None:
        global _runs
        _runs += 1
        self.number = _runs

    def _key(self, process: int) -> str:
        return f"bench/{self.number}/{process}"

    def agree(self, problem: str | None) -> None:
        """Tell how the run ended here, and go on once it has ended likewise in every process.

        A process that failed waits only for a moment: the others may be waiting for it in an exchange, which breaks for
        them when it leaves.

        Args:
            problem: why it failed, None where it did not.

        Raises:
            ProcessLost: it ended otherwise elsewhere, or not yet.
        """
        if size() == 1:
            return
        store = _store()
        store.set(self._key(rank()), problem or "")
        deadline = time.monotonic() + (GRACE if problem else PATIENCE.total_seconds())
        keys = [self._key(process) for process in range(size())]
        # In steps, so that a signal is heard.
        while not store.check(keys) and time.monotonic() < deadline and not store.check([LEFT]):
            time.sleep(0.05)
        together = store.check(keys) and not store.check([LEFT])
        if not together or len({bool(store.get(key)) for key in keys}) > 1:
            store.set(LEFT, "")
            said = next((text for key in keys if store.check([key]) and (text := store.get(key).decode())), "")
            raise ProcessLost(problem or said)

    def failure_of_another(self) -> Failure | None:
        """What failed, where this process only noticed that another one was gone."""
        if size() == 1:
            return None
        store = _store()
        if not store.check([LEFT]):
            return None
        for process in range(size()):
            key = self._key(process)
            if process != rank() and store.check([key]) and (said := store.get(key).decode()):
                return Failure(kind="ProcessLost", message=f"process {process} of {size()} failed: {said}")
        return None


def _store() -> Any:
    from torch import distributed as dist

    return dist.distributed_c10d._get_default_store()


@contextlib.contextmanager
def noticing() -> Iterator[None]:
    """Tell a signal that ended all processes, this one included, from a failure of another one.

    Raises:
        KeyboardInterrupt: the signal came.
    """
    try:
        yield
    except (RuntimeError, ProcessLost):
        # Ctrl-C reaches all; the first that ends breaks the exchange of the others before they have heard it.
        if size() > 1:
            time.sleep(1.0)
        raise


def leave(code: int) -> None:
    """End this process; beside others at once, without waiting for what it shares with them."""
    if not started():
        sys.exit(code)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code)
