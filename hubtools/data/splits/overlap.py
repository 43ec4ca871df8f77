"""What splits have in common after cleaning: equal sequences, relatives, clusters. On every run's record."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from hubtools.common.hashing import digest
from hubtools.data.rows.row_kinds import rows_of
from hubtools.data.sources.file_cache import DataCache
from hubtools.data.splits.identity import COVERAGE, best_identities, can_tell, engine
from hubtools.specs.problem import Problem
from hubtools.specs.record import SplitOverlap

if TYPE_CHECKING:
    import pandas as pd

ALWAYS = (0.9, 0.5)
# Residues of two splits together beyond which nothing is searched, and the record says so: it would take minutes.
_MOST_RESIDUES = {"MMseqs2": 200_000_000, "bundled": 16_000_000}
# Raised when the search changes: part of the name under which its answers are kept.
_METHOD = 2


def split_overlaps(
    parts: Mapping[str, pd.DataFrame],
    pairs: Sequence[tuple[str, str]],
    identities: Sequence[float],
    problem: Problem,
    cache: DataCache,
) -> tuple[list[SplitOverlap], str | None]:
    """Pair by pair, what two splits have in common, and how it was looked for.

    Args:
        parts: rows by split; columns ``sequence``, ``cluster`` (None where unknown), in pair tasks ``partner``.
        pairs: of splits; what is learnt from first, what is scored second.
        identities: thresholds.
        problem: of the task; it says what a model reads of a row.
        cache: where the answers are kept, by content and engine.

    Raises:
        UserError: MMseqs2 fails.
    """
    if not pairs:
        return [], None
    lowest = lowest_told(identities)
    how = engine(lowest)
    proteins = {name: rows_of(problem).sequences_read(part) for name, part in parts.items()}
    found, too_many = [], []
    for first, second in pairs:
        bounded = too_large(proteins[first], proteins[second], how)
        if bounded:
            too_many.append(f"{first} and {second}")
        similar: dict[str, int | None] = dict.fromkeys(f"{identity:g}" for identity in identities)
        told = [identity for identity in identities if can_tell(identity) and not bounded]
        if told:
            best = nearest(proteins[second], proteins[first], lowest, how, cache)
            similar |= {f"{identity:g}": int((best >= identity - 1e-9).sum()) for identity in told}
        known = set(proteins[first])
        found.append(
            SplitOverlap(
                first=first,
                second=second,
                identical=sum(sequence in known for sequence in proteins[second]),
                similar=similar,
                shared_clusters=_shared_clusters(parts[first], parts[second]),
            )
        )
    words = f"{how}; identity over the columns of a local alignment that covers {COVERAGE:.0%} of both"
    if too_many:
        words += f"; too large to search: {', '.join(too_many)}"
    return found, words


def lowest_told(identities: Sequence[float]) -> float:
    """The lowest of these identities that this machine can look for; 1 where there is none."""
    return min((identity for identity in identities if can_tell(identity)), default=1.0)


def too_large(first: Sequence[str], second: Sequence[str], how: str) -> bool:
    """Whether two splits are beyond the bound, so that nothing is searched."""
    return sum(map(len, set(first) | set(second))) > _MOST_RESIDUES[how.split()[0]]


def nearest(
    queries: Sequence[str], targets: Sequence[str], identity: float, how: str, cache: DataCache
) -> npt.NDArray[np.float64]:
    """Identity of each query's nearest target, 0 where there is none of that identity; kept by content."""
    content = [hashlib.sha256("\n".join(sequences).encode()).hexdigest() for sequences in (queries, targets)]
    name = digest({"method": _METHOD, "engine": how, "identity": identity, "coverage": COVERAGE, "content": content})

    def search() -> npt.NDArray[np.float64]:
        best = best_identities(queries, targets, identity)
        assert best is not None
        return best

    return cache.array(f"nearest-{name}", search)


def _shared_clusters(first: pd.DataFrame, second: pd.DataFrame) -> int | None:
    clusters = [
        {name for column in ("cluster", "partner_cluster") if column in part for name in part[column].dropna()}
        for part in (first, second)
    ]
    return len(clusters[0] & clusters[1]) if all(clusters) else None
