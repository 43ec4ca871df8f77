"""The audit of a task's data: leakage between all splits, conflicting labels, repeats, letters, lengths, absent labels."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from hubtools.common.hashing import digest
from hubtools.data.rows.sequences import letters_outside
from hubtools.data.sources.file_cache import DataCache
from hubtools.data.splits.distributions import (
    LabelSpread,
    Lengths,
    NearestRelatives,
    label_spread,
    lengths,
    nearest_relatives,
)
from hubtools.data.splits.folds import fold_overlaps
from hubtools.data.splits.identity import COVERAGE, can_tell, close_pairs, engine, identity_clusters
from hubtools.data.splits.overlap import lowest_told, nearest, split_overlaps, too_large
from hubtools.specs.level import PROTEIN
from hubtools.specs.record import SplitOverlap

if TYPE_CHECKING:
    from hubtools.data.task_data import TaskData

NEAR_IDENTICAL = 0.95
# All against all takes minutes beyond these: then it is done only where the user asks for it.
_MOST_CLUSTERED = {"residues": 3_000_000, "proteins": 6_000}
_MOST_COMPARED = {"residues": 16_000_000, "proteins": 40_000}
# Raised when a search changes: part of the name under which its answers are kept.
_METHOD = 1
Level = Literal["ok", "look", "problem"]


class AuditFinding(BaseModel):
    """One line of an audit."""

    model_config = ConfigDict(extra="forbid")
    level: Level
    about: str
    text: str


class ClusterOverlap(BaseModel):
    """Clusters of one identity that have proteins in both of two splits."""

    model_config = ConfigDict(extra="forbid")
    identity: float
    first: str
    second: str
    clusters: int
    proteins: int = Field(description="Proteins of the second that are in such a cluster.")


class Audit(BaseModel):
    """What an audit found; its JSON is stable within a schema version."""

    model_config = ConfigDict(extra="forbid")
    schema_version: int = 2
    task: str
    title: str
    version: int
    trust: str | None
    trust_reason: str | None = None
    verdict: Level
    method: str | None
    proteins: dict[str, int]
    rows: dict[str, int]
    overlaps: list[SplitOverlap]
    nearest: list[NearestRelatives] = Field(description="Of scored splits, against what is learnt or chosen from.")
    clusters: list[ClusterOverlap] = []
    clusters_method: str | None = None
    removed: dict[str, int]
    labels: dict[str, LabelSpread]
    lengths: dict[str, Lengths]
    letters: dict[str, dict[str, int]] = Field(description="Residues outside the twenty, by split.")
    findings: list[AuditFinding]


def audit_task(data: TaskData, identities: Sequence[float], cache: DataCache, *, clusters: bool | None = None) -> Audit:
    """Look at a task's data as loaded, pair of splits by pair of splits.

    Args:
        data: the task's data.
        identities: thresholds of similarity.
        cache: where answers of the search are kept.
        clusters: whether to cluster all splits together at each identity; None where that takes seconds only.

    Raises:
        UserError: MMseqs2 fails.
    """
    task, facts = data.task, data.facts
    parts = {name: _frame(split) for name, split in data.splits.items()}
    read = {name: data.sequences(name) for name in parts}
    spread = {name: label_spread(task, part["label"].tolist()) for name, part in parts.items()}
    sizes = {name: lengths(sequences) for name, sequences in read.items()}
    outside = {name: letters for name, sequences in read.items() if (letters := letters_outside(sequences))}
    overlaps: list[SplitOverlap] = []
    shared: list[Any] = []
    method = clustered_by = None
    findings = []
    if not task.learns:
        text = "nothing is trained or chosen here, so nothing can leak between splits: not searched"
        findings.append(AuditFinding(level="ok", about="leakage", text=text))
    else:
        if data.folds:
            overlaps, method = fold_overlaps(parts["test"], data.folds, identities, task, cache)
        else:
            overlaps, method = split_overlaps(parts, list(combinations(parts, 2)), identities, task.problem, cache)
        findings += [_overlap_finding(overlap, len(read[overlap.second])) for overlap in overlaps]
        shared, clustered_by, found = _shared_clusters(read, identities, cache, clusters)
        findings += found
    # Some are told with the number of distinct sequences too; that line is then enough.
    told = [line for line in facts.findings if " removed: " in line]
    told += [
        f"{n:,} rows left out by bench: {why}"
        for why, n in facts.removed.items()
        if not any(line.startswith(f"{n:,} ") for line in told)
    ]
    findings += [AuditFinding(level="look", about="removed", text=text) for text in told]
    for name, part in parts.items():
        findings += _repeats(name, part, data)
        if name in outside:
            text = ", ".join(f"{letter} {count:,}" for letter, count in outside[name].items())
            findings.append(AuditFinding(level="look", about=name, text=f"residues outside the twenty: {text}"))
        if n := sizes[name].longer_than[1022]:
            findings.append(AuditFinding(level="ok", about=name, text=f"{n:,} proteins are longer than 1,022 residues"))
        if absent := [label for label, count in spread[name].counts.items() if not count]:
            listed = (
                ", ".join(absent) if len(absent) <= 20 else f"{len(absent):,} of {len(spread[name].counts):,} labels"
            )
            findings.append(AuditFinding(level="look", about=name, text=f"no example of {listed}"))
    findings += _near_conflicts(parts, data, cache)
    colour = task.trust.colour if task.trust else None
    leaks = [f for f in findings if f.level == "problem"]
    if colour == "green" and leaks:
        text = f"the task file says green, and {len(leaks)} findings here are problems: correct one of the two"
        findings.append(AuditFinding(level="problem", about="trust", text=text))
    order: list[Level] = ["ok", "look", "problem"]
    return Audit(
        task=task.name,
        title=task.title,
        version=task.version,
        trust=colour,
        trust_reason=task.trust.reason if task.trust else None,
        verdict=max((finding.level for finding in findings), key=order.index, default="ok"),
        method=method,
        proteins={name: split.proteins for name, split in facts.splits.items()},
        rows={name: len(part) for name, part in parts.items()},
        overlaps=overlaps,
        nearest=_nearest(read, data, identities, cache) if overlaps else [],
        clusters=shared,
        clusters_method=clustered_by,
        removed=facts.removed,
        labels=spread,
        lengths=sizes,
        letters=outside,
        findings=findings,
    )


def _frame(split: Any) -> Any:
    import pandas as pd

    wanted = [
        name
        for name in ("sequence", "partner", "wildtype", "label", "cluster", "partner_cluster")
        if name in split.column_names
    ]
    frame = pd.DataFrame({name: pd.Series(split[name][:], dtype=object) for name in wanted})
    return frame if "cluster" in frame else frame.assign(cluster=None)


def _nearest(
    read: Mapping[str, list[str]], data: TaskData, identities: Sequence[float], cache: DataCache
) -> list[NearestRelatives]:
    """The search of the overlaps is kept, so that this reads its answers."""
    lowest = lowest_told(identities)
    how = engine(lowest)
    found = []
    for first in ("train", "validation"):
        for second in data.task.data.test_splits:
            if first in read and lowest < 1 and not too_large(read[first], read[second], how):
                best = nearest(read[second], read[first], lowest, how, cache)
                found.append(nearest_relatives(first, second, best, lowest))
    return found


def _shared_clusters(
    read: Mapping[str, list[str]], identities: Sequence[float], cache: DataCache, asked: bool | None
) -> tuple[list[ClusterOverlap], str | None, list[AuditFinding]]:
    """Clusters of all splits together, at each identity that can be told, and in which pairs of splits they lie."""
    told = [identity for identity in identities if can_tell(identity)]
    distinct = list(dict.fromkeys(sequence for sequences in read.values() for sequence in sequences))
    if asked is False or not told:
        return [], None, []
    if asked is None and _beyond(distinct, _MOST_CLUSTERED):
        text = (
            f"not clustered: {len(distinct):,} proteins are beyond the default bound (--clusters does it all the same)"
        )
        return [], None, [AuditFinding(level="ok", about="clusters", text=text)]
    how = engine(min(told), clusters=True)
    shared = []
    for identity in told:
        key = {"method": _METHOD, "engine": how, "identity": identity, "coverage": COVERAGE, "of": _content(distinct)}

        def find(identity: float = identity) -> Any:
            return identity_clusters(distinct, identity, COVERAGE)

        numbers = dict(zip(distinct, cache.array(f"audit-clusters-{digest(key)}", find).tolist(), strict=True))
        of = {name: [numbers[sequence] for sequence in sequences] for name, sequences in read.items()}
        for first, second in combinations(read, 2):
            both = set(of[first]) & set(of[second])
            within = sum(number in both for number in of[second])
            shared.append(
                ClusterOverlap(identity=identity, first=first, second=second, clusters=len(both), proteins=within)
            )
    return shared, f"single linkage of pairs that {how} finds", []


def _near_conflicts(parts: Mapping[str, Any], data: TaskData, cache: DataCache) -> list[AuditFinding]:
    """Nearly the same protein, another class: at most one of the two labels can be expected of any model."""
    import pandas as pd

    problem = data.task.problem
    if problem.level is not PROTEIN or problem.kind == "regression":
        return []
    rows = pd.concat(parts.values(), ignore_index=True)
    labels = rows["label"].map(repr).groupby(rows["sequence"], sort=False).agg(set)
    distinct = labels.index.tolist()
    if _beyond(distinct, _MOST_COMPARED):
        text = f"{len(distinct):,} proteins are too many to compare the labels of near-identical ones"
        return [AuditFinding(level="ok", about="labels", text=text)]
    key = {"method": _METHOD, "near": NEAR_IDENTICAL, "engine": engine(NEAR_IDENTICAL), "of": _content(distinct)}
    pairs = cache.array(f"near-identical-{digest(key)}", lambda: close_pairs(distinct, NEAR_IDENTICAL))
    said = labels.tolist()
    conflicts = sum(said[first] != said[second] for first, second in pairs.tolist())
    if not len(pairs):
        return []
    text = f"{len(pairs):,} pairs of proteins of at least {NEAR_IDENTICAL:.0%} identity, {conflicts:,} with different labels"
    return [AuditFinding(level="look" if conflicts else "ok", about="labels", text=text)]


def _beyond(sequences: list[str], bound: Mapping[str, int]) -> bool:
    return len(sequences) > bound["proteins"] or sum(map(len, sequences)) > bound["residues"]


def _content(sequences: list[str]) -> str:
    return hashlib.sha256("\n".join(sequences).encode()).hexdigest()


def _overlap_finding(overlap: SplitOverlap, n: int) -> AuditFinding:
    """Equal sequences are a problem, and so is a tenth of near duplicates (0.9); any near duplicate is worth a look.

    Two test splits may overlap: neither is learnt from. Where nearly every protein is a near duplicate, the data are
    variants of one protein, and being alike is what the task is about.
    """
    told = {float(key): count for key, count in overlap.similar.items() if count is not None}
    close = max((count for identity, count in told.items() if identity >= 0.9), default=0)
    learnt, variants = overlap.first in {"train", "validation"}, close > 0.99 * n
    bad = learnt and (overlap.identical > 0 or (close > 0.1 * n and not variants))
    level: Level = (
        "problem" if bad else "look" if any([overlap.identical, overlap.shared_clusters, *told.values()]) else "ok"
    )
    shown = [f"{overlap.identical:,} identical"]
    for key, count in overlap.similar.items():
        shown.append(f"≥ {float(key):.0%}: {'not known' if count is None else f'{count:,}'}")
    if overlap.shared_clusters is not None:
        shown.append(f"{overlap.shared_clusters:,} clusters shared")
    if variants and n > 1:
        shown.append("variants of one protein")
    about = f"{overlap.first} → {overlap.second}"
    return AuditFinding(level=level, about=about, text=f"of {n:,} in {overlap.second}: {', '.join(shown)}")


def _repeats(name: str, part: Any, data: TaskData) -> list[AuditFinding]:
    if data.task.problem.level.row != "protein":
        return []
    repeated = int(part["sequence"].duplicated().sum())
    if not repeated:
        return []
    conflicts = int((part["label"].map(repr).groupby(part["sequence"]).nunique() > 1).sum())
    text = f"{repeated:,} repeats of an earlier sequence, {conflicts:,} sequences with different labels"
    return [AuditFinding(level="look", about=name, text=text)]
