"""What a run on the processor takes beside its model: measured on the process that has just computed its steps."""

from __future__ import annotations

from dataclasses import replace

import torch

from hubtools.evaluation.statistics.resampled import KEPT_REPLICATES
from hubtools.evaluation.statistics.resampling import AT_ONCE
from hubtools.training.compute.memory import resident_memory
from hubtools.training.compute.operations import MEASURED, Memory

# Tables of 8-byte numbers that are there at once where replicates are drawn.
TABLES = 3


def held(memory: Memory, device: torch.device, rows: int, measured: tuple[int, int] | None) -> Memory:
    """The same with what this process took beside the model when steps were measured, and with what scoring will take.

    The peak is measured because most of it is no tensor: libraries that training imports, what they allocate once, what was
    needed for a moment to read the data.

    Args:
        memory: of the model, with its tables, without a batch.
        device: of the run; nothing is added where it is not the processor.
        rows: that are resampled at most.
        measured: the peak of this process when the largest batch was computed, and that batch's bytes; None where it was not,
            for there is no room: then all is counted, beside what the process holds now.
    """
    if device.type != "cpu":
        return memory
    scoring = TABLES * 8 * min(AT_ONCE, KEPT_REPLICATES * rows)
    if measured is None:
        return replace(memory, process=max(resident_memory() - memory.weights, 0), scoring=scoring)
    peak, batch = measured
    process = peak - (memory.total - memory.tables) - batch
    return replace(memory, process=max(process, 0), scoring=scoring, sure=MEASURED)
