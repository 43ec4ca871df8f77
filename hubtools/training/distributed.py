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

if TYPE_CHECKING:
    import torch

T = TypeVar("T")
# Waiting for the main process to download or to train a probe is not a failure; a process that died is noticed at once.
PATIENCE = timedelta(days=7)
# Seconds that a failed process waits for the others to fail likewise, before it takes them with it.
GRACE = 15.0
_alone: ContextVar[bool] = ContextVar("alone", default=False)
_objects: Any = None
_runs = 0


class Elsewhere(Exception):
    """Another process failed, and says why; this one has nothing to add."""


def started() -> bool:
    """Whether torchrun started this process beside others."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def size() -> int:
    """Processes that work together, 1 where this one works :func:`alone`."""
    return 1 if _alone.get() or not started() else int(os.environ["WORLD_SIZE"])


def rank() -> int:
    """This process's number, the main one being 0."""
    return int(os.environ["RANK"]) if started() else 0


def local_rank() -> int:
    """This process's number on its machine: its GPU."""
    return int(os.environ.get("LOCAL_RANK", "0")) if started() else 0


def is_main() -> bool:
    """Whether this process writes, prints and decides."""
    return rank() == 0


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
    """The main process's value, in every process."""
    if size() == 1:
        return value
    from torch import distributed as dist

    box = [value]
    dist.broadcast_object_list(box, src=0, group=_objects)
    return box[0]


def gather(value: T) -> list[T]:
    """Every process's value, in every process, in order of rank."""
    if size() == 1:
        return [value]
    from torch import distributed as dist

    values: list[Any] = [None] * size()
    dist.all_gather_object(values, value, group=_objects)
    return values


def gathered(parts: list[T]) -> list[T]:
    """The parts of all processes, one list after the other."""
    return [part for one in gather(parts) for part in one]


def barrier() -> None:
    """Wait for all."""
    gather(None)


def main_first(make: Callable[[], T]) -> T:
    """What ``make`` gives, made by the main process first; the others then find in the cache what it fetched.

    Raises:
        Elsewhere: the main process failed; what it raised is raised there.
    """
    if size() == 1:
        return make()
    if not is_main():
        if (problem := broadcast(None)) is not None:
            raise Elsewhere(problem)
        return make()
    try:
        made = make()
    except BaseException as error:
        broadcast(one_line(error))
        raise
    broadcast(None)
    return made


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

    def _store(self) -> Any:
        from torch import distributed as dist

        return dist.distributed_c10d._get_default_store()

    def _key(self, process: int) -> str:
        return f"bench/{self.number}/{process}"

    def ended(self, problem: str | None) -> list[str | None]:
        """Tell how it ended here, and hear how it ended in each process: None, or the problem.

        A process that failed alone waits only for a moment: the others may be waiting for it in an exchange, which ends
        for them when it leaves.

        Raises:
            Elsewhere: the others did not come to an end with this one.
        """
        if size() == 1:
            return [problem]
        store = self._store()
        store.set(self._key(rank()), problem or "")
        deadline = time.monotonic() + (GRACE if problem else PATIENCE.total_seconds())
        keys = [self._key(process) for process in range(size())]
        while not store.check(keys):
            # In steps, so that a signal is heard.
            time.sleep(0.05)
            if time.monotonic() > deadline:
                raise Elsewhere("the processes are not at the same step any more")
        return [store.get(key).decode() or None for key in keys]

    def reason(self, error: BaseException) -> str:
        """Why it failed here: another process's own reason, where this one only noticed that it was gone."""
        if size() > 1:
            store = self._store()
            for process in range(size()):
                key = self._key(process)
                if process != rank() and store.check([key]) and (said := store.get(key).decode()):
                    return f"process {process} of {size()} failed: {said}"
        return one_line(error)


@contextlib.contextmanager
def noticing() -> Iterator[None]:
    """Tell a signal that ended all processes, this one included, from a failure of another one.

    Raises:
        KeyboardInterrupt: the signal came.
    """
    try:
        yield
    except RuntimeError:
        # Ctrl-C reaches all; the first that ends breaks the exchange of the others before they have heard it.
        if size() > 1:
            time.sleep(1.0)
        raise


def leave() -> None:
    """End this process at once, without waiting for those that it shares something with."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(1)
