"""The learning rate over a fit: a rise, then a fall."""

from __future__ import annotations

import math


def factor(schedule: str, step: int, warmup: int, total: int) -> float:
    """By what the learning rates are multiplied after so many optimiser steps.

    Args:
        schedule: ``linear`` or ``cosine`` (to zero at the end), or ``constant``.
        step: optimiser steps done.
        warmup: steps over which the rate rises from zero.
        total: steps of the whole fit.
    """
    if step < warmup:
        return step / max(1, warmup)
    if schedule == "constant":
        return 1.0
    if schedule == "linear":
        return max(0.0, (total - step) / max(1, total - warmup))
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, total - warmup)))
