"""Clusters of a task's related proteins: found by its rule, once for the same proteins, and named by content."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from hubtools.common.hashing import digest
from hubtools.data.rows.row_kinds import rows_of
from hubtools.data.sources.file_cache import DataCache
from hubtools.data.splits.clusters import similarity_clusters
from hubtools.data.splits.identity import engine, identity_clusters
from hubtools.specs.task import Task

if TYPE_CHECKING:
    import pandas as pd

# Part of the name under which clusters are kept: raised when the method changes.
_METHOD = 1


def with_clusters(rows: pd.DataFrame, task: Task, cache: DataCache) -> pd.DataFrame:
    """Rows with the cluster of each protein, where the task has a rule to find it by.

    Raises:
        UserError: the rule needs MMseqs2, which is absent or fails.
    """
    if not task.data.cluster_rule:
        return rows
    return rows_of(task.problem).with_clusters(rows, lambda sequences: _clusters(sequences, task, cache))


def cluster_words(task: Task) -> str | None:
    """Where clusters come from, for the record; None where there are none."""
    if task.data.columns.cluster:
        return f"column {task.data.columns.cluster}"
    rule = task.data.cluster_rule
    if rule is None:
        return None
    if rule.identity is not None:
        return (
            f"single linkage of sequences of at least {rule.identity:.0%} identity over {rule.coverage:.0%} of both "
            f"({engine(rule.identity, clusters=True)})"
        )
    return f"single linkage of sequences that share {rule.min_shared:.0%} of the {rule.k}-mers of the smaller set"


def _clusters(sequences: list[str], task: Task, cache: DataCache) -> list[str]:
    """Names of similarity clusters: by content, so that they do not depend on the order of rows."""
    rule = task.data.cluster_rule
    assert rule is not None
    content = hashlib.sha256("\n".join(sequences).encode()).hexdigest()
    how = None if rule.identity is None else engine(rule.identity, clusters=True)
    name = digest({"method": _METHOD, "rule": rule.model_dump(), "engine": how, "sequences": content})

    def find() -> npt.NDArray[np.int64]:
        if rule.identity is not None:
            return identity_clusters(sequences, rule.identity, rule.coverage)
        return similarity_clusters(sequences, k=rule.k, min_shared=rule.min_shared)

    numbers = cache.array(f"clusters-{name}", find)
    names: dict[int, str] = {}
    for number, sequence in zip(numbers.tolist(), sequences, strict=True):
        key = hashlib.sha256(sequence.encode()).hexdigest()[:12]
        names[number] = min(names.get(number, key), key)
    return [names[number] for number in numbers.tolist()]
