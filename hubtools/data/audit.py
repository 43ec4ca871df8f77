"""The audit of a task's data: leakage between all splits, conflicting labels, repeats, letters, lengths, absent labels."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict

from hubtools.data.cache import DataCache
from hubtools.data.overlap import sequences_of, split_overlaps
from hubtools.data.sequences import letters_outside
from hubtools.specs.record import SplitOverlap

if TYPE_CHECKING:
    from hubtools.data.loading import TaskData

WINDOWS = (510, 1022, 2046)
Level = Literal["ok", "look", "problem"]


class Finding(BaseModel):
    """One line of an audit."""

    model_config = ConfigDict(extra="forbid")
    level: Level
    about: str
    text: str


class Audit(BaseModel):
    """What an audit found; its JSON is stable within a schema version."""

    model_config = ConfigDict(extra="forbid")
    schema_version: int = 1
    task: str
    version: int
    semaphore: str | None
    verdict: Level
    method: str | None
    proteins: dict[str, int]
    overlaps: list[SplitOverlap]
    removed: dict[str, int]
    labels: dict[str, dict[str, int]]
    longer_than: dict[str, dict[int, int]]
    findings: list[Finding]


def audit_task(data: TaskData, identities: Sequence[float], cache: DataCache) -> Audit:
    """Look at a task's data as loaded, pair of splits by pair of splits.

    Args:
        data: the task's data.
        identities: thresholds of similarity.
        cache: where answers of the search are kept.

    Raises:
        UserError: MMseqs2 fails.
    """
    task, facts = data.task, data.facts
    parts = {name: _frame(split) for name, split in data.splits.items()}
    overlaps, method = split_overlaps(parts, list(combinations(parts, 2)), identities, cache)
    findings = [_overlap_finding(overlap, len(sequences_of(parts[overlap.second]))) for overlap in overlaps]
    findings += [Finding(level="look", about="removed", text=f"{n:,} rows: {why}") for why, n in facts.removed.items()]
    longer_than = {}
    for name, part in parts.items():
        sequences = sequences_of(part)
        findings += _repeats(name, part, data)
        if letters := letters_outside(sequences):
            text = ", ".join(f"{letter} {count:,}" for letter, count in letters.items())
            findings.append(Finding(level="look", about=name, text=f"residues outside the twenty: {text}"))
        longer_than[name] = {size: sum(len(sequence) > size for sequence in sequences) for size in WINDOWS}
        if n := longer_than[name][1022]:
            findings.append(Finding(level="ok", about=name, text=f"{n:,} proteins are longer than 1,022 residues"))
        counts = facts.splits[name].label_counts
        if absent := [label for label, count in counts.items() if not count]:
            findings.append(Finding(level="look", about=name, text=f"no example of {', '.join(absent)}"))
    colour = task.semaphore.colour if task.semaphore else None
    leaks = [f for f in findings if f.level == "problem"]
    if colour == "green" and leaks:
        text = f"the task file says green, and {len(leaks)} findings here are problems: correct one of the two"
        findings.append(Finding(level="problem", about="semaphore", text=text))
    order: list[Level] = ["ok", "look", "problem"]
    return Audit(
        task=task.name,
        version=task.version,
        semaphore=colour,
        verdict=max((finding.level for finding in findings), key=order.index, default="ok"),
        method=method,
        proteins={name: split.proteins for name, split in facts.splits.items()},
        overlaps=overlaps,
        removed=facts.removed,
        labels={name: split.label_counts for name, split in facts.splits.items()},
        longer_than=longer_than,
        findings=findings,
    )


def _frame(split: Any) -> Any:
    import pandas as pd

    wanted = [name for name in ("sequence", "partner", "label", "cluster") if name in split.column_names]
    frame = pd.DataFrame({name: pd.Series(split[name][:], dtype=object) for name in wanted})
    return frame if "cluster" in frame else frame.assign(cluster=None)


def _overlap_finding(overlap: SplitOverlap, n: int) -> Finding:
    """Equal sequences are a problem, and so is a tenth of near duplicates (0.9); any near duplicate is worth a look."""
    told = {float(key): count for key, count in overlap.similar.items() if count is not None}
    close = max((count for identity, count in told.items() if identity >= 0.9), default=0)
    bad = overlap.identical > 0 or close > 0.1 * n
    level: Level = "problem" if bad else "look" if any(told.values()) or overlap.shared_clusters else "ok"
    shown = [f"{overlap.identical:,} identical"]
    for key, count in overlap.similar.items():
        shown.append(f"≥ {float(key):.0%}: {'not known' if count is None else f'{count:,}'}")
    if overlap.shared_clusters is not None:
        shown.append(f"{overlap.shared_clusters:,} clusters shared")
    about = f"{overlap.first} → {overlap.second}"
    return Finding(level=level, about=about, text=f"of {n:,} in {overlap.second}: {', '.join(shown)}")


def _repeats(name: str, part: Any, data: TaskData) -> list[Finding]:
    if data.task.problem.is_pair or data.task.problem.zero_shot:
        return []
    repeated = int(part["sequence"].duplicated().sum())
    if not repeated:
        return []
    conflicts = int((part["label"].map(repr).groupby(part["sequence"]).nunique() > 1).sum())
    text = f"{repeated:,} repeats of an earlier sequence, {conflicts:,} sequences with different labels"
    return [Finding(level="look", about=name, text=text)]
