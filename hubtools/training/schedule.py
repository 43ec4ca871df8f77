"""The learning rate over a fit: a rise, then a fall. Fine-tuning and the heads of probes have the same."""

from __future__ import annotations

import math

from hubtools.specs.recipe import Recipe


def factor(recipe: Recipe, step: int, total: int) -> float:
    """By what the learning rates are multiplied in one optimiser step.

    The warm-up has w = ⌈``recipe.warmup`` · total⌉ steps, and its step i (from 0) has (i + 1) / w: the first step learns,
    the last one at the whole rate. So does step w, with which the fall begins. Both falls would be at zero in step
    ``total``, the one after the last: the last one has 1 / (total − w) of a linear fall, and what the cosine has there.

    Args:
        recipe: warm-up and schedule.
        step: from 0; optimiser steps done before.
        total: steps of the whole fit.
    """
    warmup = math.ceil(recipe.warmup * total)
    if step < warmup:
        return (step + 1) / warmup
    if recipe.schedule == "constant":
        return 1.0
    fallen = min(1.0, (step - warmup) / max(1, total - warmup))
    return 1 - fallen if recipe.schedule == "linear" else 0.5 * (1 + math.cos(math.pi * fallen))
