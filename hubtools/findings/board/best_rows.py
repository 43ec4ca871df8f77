"""The best set of a table: from the resamplings that the runs kept, or by intervals where there are none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from hubtools.evaluation.statistics.arm_interval import ArmScore
from hubtools.findings.arms import SMALL, Arm
from hubtools.runs.store import PREDICTIONS, REPLICATES, OpenRun

if TYPE_CHECKING:
    from hubtools.evaluation.statistics.resampled import Resampled

# Runs of a table whose resamplings are made from predictions where they kept none.
FEW_RUNS = 8
BY_INTERVALS = "intervals"


def resampled_rows(rows: Sequence[tuple[OpenRun, ...]], split: str, metric: str) -> list[Resampled] | None:
    """The metric of each row under the same resamplings; None where some have none and making them would take long."""
    runs = [folder for row in rows for folder, _ in row]
    missing = 0
    for folder in runs:
        missing += not (folder / REPLICATES).is_file()
        if missing > FEW_RUNS:
            return None
    found = []
    size = 0
    for row in rows:
        arm = Arm(row)
        one = arm.kept(split, metric)
        if one is None:
            files = [folder / PREDICTIONS for folder, _ in row]
            size += sum(file.stat().st_size if file.is_file() else SMALL + 1 for file in files)
            if size > SMALL:
                return None
            from hubtools.common.errors import UserError
            from hubtools.evaluation.statistics.resampled import KEPT_REPLICATES

            for run in row:
                run.file(PREDICTIONS)
            try:
                one = arm.resampled(split, metric, KEPT_REPLICATES)
            except (UserError, ValueError):  # an older record may lack what its predictions need, such as thresholds
                return None
        found.append(one)
    alike = {(one.units.digest, one.drawn.shape[1]) for one in found}
    return found if len(alike) == 1 and found[0].drawn.shape[1] > 1 else None


def in_best_set(estimates: Sequence[ArmScore], resampled: Sequence[Resampled] | None) -> list[tuple[bool, str]]:
    """Whether each row may be the best, and what it was asked as: ``recipe``, ``weights`` or ``intervals``; else empty.

    Args:
        estimates: the primary score of each row, best first, those without a score last.
        resampled: of each row that has a score; None: by intervals.
    """
    scored = [estimate for estimate in estimates if estimate.value is not None]
    without = [(False, "")] * (len(estimates) - len(scored))
    if resampled is None:
        best = scored[0].value if scored else None
        last = max((i for i, one in enumerate(scored) if best is not None and one.contains(best)), default=0)
        return [(index <= last, BY_INTERVALS) for index in range(len(scored))] + without
    from hubtools.evaluation.statistics.best_set import best_set, question_of

    found = best_set(resampled)
    return [(bool(of), question_of(row, row).value) for of, row in zip(found, resampled, strict=True)] + without
