"""What a run took against what it may take: wall time, throughput and peak memory as ratios, where they compare at all.

Seconds of another machine say nothing about a change of code, so runs are compared only where device, cores, threads and
number of processes are the same. Nor do the seconds of a run that read embeddings which an earlier one had left: of an
arm, those runs count that computed what they read. Of probes whose seeds were trained together that is the first run,
whose wall time holds the work for all of them; it is compared with another first run of as many seeds.

A run of several attempts paid its start-up more than once and did again what was lost, and where a process was killed its
seconds are a lower bound: they are what it took, and no budget for a run that nobody stops. Its memory is as good as any.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from statistics import median

from hubtools.specs.record import RunRecord

# Below this a run is mostly start-up, whose seconds are the machine's mood.
SHORTEST_SECONDS = 10.0


@dataclass(frozen=True)
class Costs:
    """What a run takes, or may take; None where it is not known.

    Attributes:
        wall_seconds: from start to end.
        tokens_per_second: throughput of training, or of the encoder that a probe reads with.
        peak_memory_bytes: of the GPU, or of the process.
    """

    wall_seconds: float | None = None
    tokens_per_second: float | None = None
    peak_memory_bytes: float | None = None


# How many times the budget is still within it.
TOLERANCES = Costs(wall_seconds=1.5, tokens_per_second=1.5, peak_memory_bytes=1.25)
# What more of it is called.
_OVER = {"wall_seconds": "longer", "tokens_per_second": "slower", "peak_memory_bytes": "more memory"}
QUANTITIES = tuple(_OVER)


@dataclass(frozen=True)
class Ratio:
    """One quantity of the candidate against its budget.

    Attributes:
        quantity: field of :class:`Costs`.
        budget, value: in its unit.
        ratio: times the budget; above 1 is worse, also of throughput.
        tolerance: the ratio from which on it is over.
    """

    quantity: str
    budget: float
    value: float
    ratio: float
    tolerance: float

    @property
    def over(self) -> bool:
        """Whether the budget and its tolerance are exceeded."""
        return self.ratio > self.tolerance

    def __str__(self) -> str:
        return f"{_OVER[self.quantity]}: {self.ratio:.2g} x (tolerance {self.tolerance:g} x)"


@dataclass(frozen=True)
class CostComparison:
    """What came of comparing cost.

    Attributes:
        ratios: of what could be compared.
        not_compared: why something, or everything, was not; None where all was.
    """

    ratios: tuple[Ratio, ...] = ()
    not_compared: str | None = None

    @property
    def over(self) -> list[Ratio]:
        """What exceeds its budget, worst first."""
        return sorted((ratio for ratio in self.ratios if ratio.over), key=lambda ratio: -ratio.ratio)


def compare_cost(
    baseline: Sequence[RunRecord],
    candidate: Sequence[RunRecord],
    budget: Costs | None = None,
    tolerances: Costs = TOLERANCES,
) -> CostComparison:
    """Cost of an arm against that of the baseline's.

    Args:
        baseline, candidate: records of each arm's runs.
        budget: what it may take; by default what the baseline took, the median over its runs.
        tolerances: how many times that is still within it.
    """
    machines = [{_hardware(record) for record in records} for records in (baseline, candidate)]
    if len(machines[0] | machines[1]) > 1:
        shown = ", ".join(sorted(machines[0] | machines[1]))
        return CostComparison(not_compared=f"other hardware ({shown})")
    before, after = ([record for record in records if _did_the_work(record)] for records in (baseline, candidate))
    if not after or not before:
        return CostComparison(not_compared="embeddings were read from the cache")
    budget, value = budget or typical(baseline), typical(candidate)
    skipped = _stopped(before, after, budget) or _timing_skipped(
        _unbroken(before) or before, _unbroken(after), budget, value
    )
    ratios = []
    for quantity in QUANTITIES:
        allowed, took = getattr(budget, quantity), getattr(value, quantity)
        timing = quantity != "peak_memory_bytes"
        if not allowed or not took or (timing and skipped):
            continue
        ratio = allowed / took if quantity == "tokens_per_second" else took / allowed
        ratios.append(Ratio(quantity, allowed, took, ratio, getattr(tolerances, quantity)))
    if not ratios and skipped is None:
        return CostComparison(not_compared="the records hold no cost")
    return CostComparison(tuple(ratios), skipped)


def typical(records: Sequence[RunRecord]) -> Costs:
    """The median of each quantity that was measured, over the runs that computed what they read; of time, in one go."""
    found, records = {}, [record for record in records if _did_the_work(record)]
    for field in fields(Costs):
        counted = records if field.name == "peak_memory_bytes" else _unbroken(records)
        values = [getattr(record.cost, field.name) for record in counted if record.cost]
        measured = [value for value in values if value is not None]
        found[field.name] = median(measured) if measured else None
    return Costs(**found)


def _hardware(record: RunRecord) -> str:
    """All that seconds and bytes depend on beside the code, in words."""
    made = record.environment
    parts = [made.device_name, made.device]
    parts += [f"{made.cpu_count} core{'s'[: made.cpu_count > 1]}"] if made.cpu_count else []
    parts += [f"{made.threads} thread{'s'[: made.threads > 1]}"] if made.threads else []
    parts += [f"{made.processes} processes"] if made.processes > 1 else []
    return " · ".join(parts)


def _did_the_work(record: RunRecord) -> bool:
    seen = record.training.embeddings if record.training else None
    return not (seen and seen.cached)


def _unbroken(records: Sequence[RunRecord]) -> list[RunRecord]:
    """Those that were done in one attempt."""
    return [record for record in records if not (record.cost and len(record.cost.attempts) > 1)]


def _stopped(before: Sequence[RunRecord], after: Sequence[RunRecord], budget: Costs) -> str | None:
    """Why seconds do not compare where all runs of a side took several attempts, unless the budget is somebody's word."""
    if _unbroken(after) and (_unbroken(before) or budget.wall_seconds or budget.tokens_per_second):
        return None
    return "time: runs took several attempts, with start-up and lost work more than once"


def _timing_skipped(before: Sequence[RunRecord], after: Sequence[RunRecord], budget: Costs, value: Costs) -> str | None:
    """Why seconds do not compare although memory does; None where they do."""
    together = [
        {record.training.seeds_together if record.training else 1 for record in records} for records in (before, after)
    ]
    if together[0] != together[1]:
        counts = " and ".join("/".join(map(str, sorted(counts))) for counts in together)
        return f"time: seeds were trained together ({counts} of them)"
    longest = max(value.wall_seconds or 0, budget.wall_seconds or 0)
    return f"time: below {SHORTEST_SECONDS:g} s it is mostly start-up" if 0 < longest < SHORTEST_SECONDS else None
