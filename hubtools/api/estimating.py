"""What runs would take, before hours are spent: from some seconds of calibration, or by arithmetic for another device."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from hubtools.api.asked import Say, silent
from hubtools.api.computing import ExecutionOptions, quiet
from hubtools.api.plans import RunPlan
from hubtools.common.notebook import line_html, table_html
from hubtools.runs.store import DEFAULT_ROOT

if TYPE_CHECKING:
    import pandas

    from hubtools.runs.workload import RunEstimate, StatedDevice

HOUR, GB = 3600, 1e9


@dataclass(frozen=True)
class RunEstimates(Sequence["RunEstimate"]):
    """What each of several runs would take; every span has two ends.

    Attributes:
        items: one a run, in order.
        planned: the runs.
        device: the device that it was computed for; None where this one was measured.
    """

    items: tuple[RunEstimate, ...]
    planned: RunPlan
    device: StatedDevice | None = None

    @overload
    def __getitem__(self, place: int) -> RunEstimate: ...

    @overload
    def __getitem__(self, place: slice) -> Sequence[RunEstimate]: ...

    def __getitem__(self, place: int | slice) -> RunEstimate | Sequence[RunEstimate]:
        """One estimate, or some."""
        return self.items[place]

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[RunEstimate]:
        return iter(self.items)

    @property
    def seconds(self) -> tuple[float, float]:
        """Of all runs together, at least and at most."""
        low, high = (sum(item.seconds[end] for item in self.items) for end in (0, 1))
        return low, high

    def cost(self, price_per_hour: float) -> tuple[float, float]:
        """Of all runs together, at least and at most."""
        low, high = (seconds / HOUR * price_per_hour for seconds in self.seconds)
        return low, high

    def kilowatt_hours(self, watts: float) -> tuple[float, float]:
        """Of all runs together on a device of that power, at least and at most."""
        low, high = (seconds / HOUR * watts / 1000 for seconds in self.seconds)
        return low, high

    @property
    def power(self) -> list[str]:
        """What comparisons of these runs could show: a sentence a task, where its runs differ in their number of seeds."""
        from hubtools.findings.wording import power_text

        said = {
            f"{run.task.name}: {power_text(item.power, run.task.margin)}": None
            for run, item in zip(self.planned, self.items, strict=True)
            if item.power is not None
        }
        return list(said)

    def rows(self) -> list[dict[str, Any]]:
        """One row a run, as ``bench estimate --json`` has them."""
        return [item.plain() for item in self.items]

    def to_pandas(self) -> pandas.DataFrame:
        """One row a run."""
        import pandas as pd

        return pd.DataFrame(self.rows())

    def __repr__(self) -> str:
        from hubtools.findings.wording import duration, plural

        ends = list(dict.fromkeys(map(duration, self.seconds)))
        return f"{plural(len(self.items), 'run')}: {' to '.join(ends)}"

    def _repr_html_(self) -> str:
        from hubtools.findings.wording import duration, size

        rows = [
            [
                item.title,
                " to ".join(dict.fromkeys(map(duration, item.seconds))),
                size(item.memory.total if item.memory else None),
                {True: "yes", False: "no", None: "?"}[item.fits] if item.workload else item.note,
            ]
            for item in self.items
        ]
        return line_html(repr(self), strong=True) + table_html(("run", "time", "memory", "fits"), rows)


def estimate(
    planned: RunPlan,
    *,
    runs: str | os.PathLike[str] = DEFAULT_ROOT,
    execution: ExecutionOptions | None = None,
    flops: float | None = None,
    memory: float | None = None,
    force: bool = False,
    on_note: Say = silent,
) -> RunEstimates:
    """Time, memory and disk of runs, before hours are spent.

    Some seconds are measured on this device with the very model; for other hardware it is plain arithmetic.

    Args:
        planned: from :func:`hubtools.plan`.
        runs: folder of runs: what is done there takes nothing.
        execution: where and how to compute.
        flops, memory: of another device: operations a second and gigabytes; both or neither.
        force: count also what is already done.
        on_note: told a line at each step.

    Raises:
        UserError: one of ``flops`` and ``memory`` is missing; no such checkpoint, or data not to be had; several processes.
    """
    from hubtools.common.errors import UserError
    from hubtools.runs.run_estimate import Estimator
    from hubtools.runs.workload import StatedDevice
    from hubtools.training.compute.device import USUAL_ON_GPU
    from hubtools.training.compute.distributed import refuse_company

    if (flops is None) != (memory is None):
        raise UserError("flops and memory belong together", fix="Give both, or neither to measure.")
    refuse_company("bench estimate")
    asked = execution or ExecutionOptions()
    other = None
    if flops is not None and memory is not None:
        other = StatedDevice(flops, round(memory * GB))
        if not isinstance(asked.token_budget, int):
            asked = replace(asked, token_budget=USUAL_ON_GPU)
    session = asked.session(Path(runs), planned.runs)
    with quiet():
        estimator = Estimator(session, other, on_note, force=force)
        return RunEstimates(tuple(estimator.estimate(item) for item in planned), planned, other)
