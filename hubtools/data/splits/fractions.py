"""A share of the training data to learn from: nested, drawn by the run's seed, with every label as long as it can be.

Rows are drawn one by one, not by whole clusters: a learning curve asks what fewer measurements of the same kind would
be worth, and a family is often larger than the share. Validation and test are as they are, so that all points of a
curve are chosen and scored on the same proteins, and no relative changes sides.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hubtools.data.rows.row_kinds import rows_of
from hubtools.specs.task import Task

if TYPE_CHECKING:
    import pandas as pd


def fraction_of(rows: pd.DataFrame, fraction: float, seed: int, task: Task) -> tuple[pd.DataFrame, str]:
    """Rows with only a share of the training ones, and a line that says so.

    Args:
        rows: canonical, with their final ``split``.
        fraction: of the training rows (pairs, in pair tasks), above 0 and at most 1; at least one row is kept.
        seed: of the draw. A smaller share of the same seed is part of a larger one.
        task: whose labels are to be kept in proportion.
    """
    learnt = (rows["split"] == "train").to_numpy()
    train = np.flatnonzero(learnt)
    part = rows.iloc[train]
    keys = [
        hashlib.sha256(f"fraction:{seed}:{name}:{text}".encode()).hexdigest()
        for name, text in zip(part["id"], rows_of(task.problem).text(part), strict=True)
    ]
    size = max(1, int(fraction * len(train) + 0.5))
    chosen = drawing_order(keys, [held_labels(label, task) for label in part["label"]])[:size]
    kept = ~learnt
    kept[train[chosen]] = True
    line = (
        f"fraction: {size:,} of {len(train):,} training {task.problem.level.rows} ({100 * fraction:g} %), drawn by seed "
        f"{seed}; validation and test are whole"
    )
    return rows[kept], line


def held_labels(label: Any, task: Task) -> frozenset[int]:
    """The labels that one row has, of a residue task those of any of its residues; none for values."""
    if task.problem.kind == "regression":
        return frozenset()
    values = np.asarray(label)
    if task.problem.kind == "multilabel":
        return frozenset(np.flatnonzero((values == 1).reshape(-1, values.shape[-1]).any(axis=0)).tolist())
    return frozenset(np.unique(values[values >= 0]).tolist())


def drawing_order(keys: Sequence[str], held: Sequence[frozenset[int]]) -> list[int]:
    """The order in which rows are learnt from as the share grows; a share is the beginning of it.

    First one row for each label that the rows before do not have, so that no label is lost while there is room (where
    there is not, the commonest are there). Then the strata in proportion: a row's stratum is its rarest label, and the
    r-th of the m rows of a stratum comes when a share of (r + 1/2) / m is reached.

    Args:
        keys: random text of each row, which decides between equals; a row is the same whatever the order of rows.
        held: labels of each row.

    Returns:
        Positions of the rows.
    """
    drawn = sorted(range(len(keys)), key=keys.__getitem__)
    count = Counter(label for labels in held for label in labels)
    first_with: dict[int, int] = {}
    for index in drawn:
        for label in held[index]:
            first_with.setdefault(label, index)
    covered: set[int] = set()
    # From rare to common, since a row with a rare label often brings common ones along; taken from common to rare.
    front: list[int] = []
    for label in sorted(count, key=lambda label: (count[label], label)):
        if label not in covered:
            covered |= held[first_with[label]]
            front.insert(0, first_with[label])
    stratum = [min(labels, key=lambda label: (count[label], label), default=-1) for labels in held]
    sizes, seen = Counter(stratum), Counter[int]()
    due: dict[int, float] = {}
    for index in drawn:
        due[index] = (seen[stratum[index]] + 0.5) / sizes[stratum[index]]
        seen[stratum[index]] += 1
    rest = sorted(set(drawn) - set(front), key=lambda index: (due[index], keys[index]))
    return front + rest
