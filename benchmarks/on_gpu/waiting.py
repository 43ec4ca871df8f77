"""Is the card kept waiting? Synchronisations within an epoch, and the share of time that it computes."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterable
from typing import Any

import torch

from hubtools.training.batches import BucketedBatches
from on_gpu.checking import Check, Finding, LeftOut
from on_gpu.making import TINY, Fit, Machine, NoBar, fitting

# Share of an epoch's time that the card shall compute, at 650M.
BUSY = 0.95


def checks(machine: Machine) -> list[Check]:
    """Both, for what trains all and what trains an adapter."""
    shape = TINY if machine.smoke else "650M"
    made = [
        Check(
            "waiting",
            f"{shape}: synchronisations in an epoch of {recipe}",
            30,
            lambda recipe=recipe: waits(machine, shape, recipe),
        )
        for recipe in ("full", "lora")
    ]
    return [*made, Check("waiting", f"{shape}: share of time that the card computes", 40, lambda: busy(machine, shape))]


def epoch(one: Fit, trainer: Any, steps: int) -> None:
    """An epoch of so many steps."""
    size = one.job.recipe.batch_size
    trainer.sampler = BucketedBatches(one.train.row_lengths[: steps * size], size, one.job.recipe.bucket, 0)
    trainer.train_epoch(NoBar())


def waits(machine: Machine, shape: str, recipe: str) -> Finding:
    """Synchronisations of an epoch with twice the steps less those of one: what a step adds."""
    short, long = (1, 2) if machine.smoke else (4, 12)
    with fitting(machine, shape, 16 * long, recipe) as one:
        trainer = one.trainer()
        epoch(one, trainer, short)
        counts = {
            steps: synchronisations(machine, lambda steps=steps: epoch(one, trainer, steps)) for steps in (short, long)
        }
        trainer.dropouts.close()
    if not machine.on_card:
        raise LeftOut("there is no card to wait for; the steps were run")
    each = {place: n for place, n in (counts[long] - counts[short]).items() if n}
    said = (
        f"{sum(counts[long].values())} in an epoch of {long} steps, {sum(each.values()) / (long - short):g} a step more"
    )
    assert not each, f"{said}: {', '.join(f'{place} ({n})' for place, n in sorted(each.items()))}"
    return Finding(said, figures={"places": dict(counts[long])})


def synchronisations(machine: Machine, run: Any) -> Counter[str]:
    """Where the device was waited for, and how often, as torch tells it."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        if machine.on_card:
            torch.cuda.set_sync_debug_mode("warn")
        try:
            run()
        finally:
            if machine.on_card:
                torch.cuda.set_sync_debug_mode("default")
    return Counter(f"{one.filename}:{one.lineno}" for one in told if "synchronizing" in str(one.message))


def busy(machine: Machine, shape: str) -> Finding:
    """The union of the times of all kernels, by the time from the first to the last, in the middle of an epoch."""
    from torch.profiler import ProfilerActivity, profile

    steps = 1 if machine.smoke else 24
    with fitting(machine, shape, 16 * max(steps, 2), "full") as one:
        trainer = one.trainer()
        epoch(one, trainer, 2)
        machine.wait()
        with profile(activities=[ProfilerActivity.CUDA if machine.on_card else ProfilerActivity.CPU]) as profiled:
            epoch(one, trainer, steps)
            machine.wait()
        trainer.dropouts.close()
    kind = torch.autograd.DeviceType.CUDA if machine.on_card else torch.autograd.DeviceType.CPU
    spans = [
        (event.time_range.start, event.time_range.end)
        for event in profiled.events()
        if event.device_type == kind
        and not event.is_user_annotation
        and not event.name.startswith(("Mem", "ProfilerStep"))
    ]
    assert spans, "the profiler saw nothing"
    share = covered(spans)
    if not machine.on_card:
        raise LeftOut(f"there is no card; the processor's operators fill {share:.0%} of the time")
    verdict = "right" if share >= BUSY else "missed"
    return Finding(f"{share:.1%} of an epoch of {steps} steps (goal {BUSY:.0%})", verdict, {"share": share})


def covered(spans: Iterable[tuple[float, float]]) -> float:
    """Share of the time from the first beginning to the last end that lies within any of the spans."""
    total, reached, first = 0.0, float("-inf"), float("inf")
    for start, end in sorted(spans):
        first = min(first, start)
        total += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return total / (reached - first) if reached > first else 1.0
