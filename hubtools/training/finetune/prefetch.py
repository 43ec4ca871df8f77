"""The next batches are made while this one computes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import TypeVar

import torch

from hubtools.training.batches import Batch

A = TypeVar("A")
B = TypeVar("B")


def ahead(make: Callable[[A], B], items: Iterable[A], depth: int = 2) -> Generator[B]:
    """``map(make, items)`` in order, made by one other thread, at most ``depth`` ahead of who reads.

    What ``make`` raises is raised here, in its place. When the reader stops, whatever the reason, the thread finishes
    what it is at and ends. ``items`` is read in the reader's own thread.
    """
    pending: deque[Future[B]] = deque()
    with ThreadPoolExecutor(1, thread_name_prefix="batches") as other:
        try:
            for item in items:
                pending.append(other.submit(make, item))
                if len(pending) > depth:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()


def pinned(batch: Batch) -> Batch:
    """The batch in page-locked memory, from which a GPU copies while everything else goes on."""
    inputs = {key: value.pin_memory() if torch.is_tensor(value) else value for key, value in batch.inputs.items()}
    return replace(batch, inputs=inputs, labels=batch.labels.pin_memory())
