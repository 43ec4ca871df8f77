"""What the record says about a task's splits: sizes, label counts, a digest of every row."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from hubtools.data.rows.chain_breaks import residues_in
from hubtools.data.rows.labels import label_counts, scored_labels
from hubtools.data.rows.row_kinds import rows_of
from hubtools.data.structures.row_structures import STRUCTURE
from hubtools.specs.record import SplitFacts
from hubtools.specs.task import Task

if TYPE_CHECKING:
    import pandas as pd

# More labels than this are counted rather than named.
_LISTED = 20


def split_facts(part: pd.DataFrame, task: Task) -> SplitFacts:
    """Of one split of canonical rows."""
    each = rows_of(task.problem).read(part)
    lengths, clusters = each["sequence"].map(residues_in), each["cluster"].dropna()
    labels = part["label"].tolist()
    return SplitFacts(
        proteins=len(each),
        residues=int(lengths.sum()),
        labelled=sum(scored_labels(task, label) for label in labels),
        clusters=int(clusters.nunique()) if len(clusters) else None,
        rows_sha256=_digest(part, task),
        label_counts=label_counts(task, labels),
        longest=int(lengths.max()),
    )


def _digest(part: pd.DataFrame, task: Task) -> str:
    """sha256 of ids, sequences, what else a row is about, and labels, in the order of rows."""
    columns = ["id", "sequence", *(name for name in (*rows_of(task.problem).content, STRUCTURE) if name in part)]
    rows = hashlib.sha256()
    for *texts, label in zip(*(part[name] for name in columns), part["label"], strict=True):
        rows.update(json.dumps(texts).encode())
        rows.update(np.ascontiguousarray(label).tobytes())
    return rows.hexdigest()


def absent_labels(splits: Mapping[str, SplitFacts], task: Task) -> list[str]:
    """Lines on labels that a split never has: their scores are undefined or their training is impossible."""
    lines = []
    for name, split in splits.items():
        absent = [label for label in task.label_names if split.label_counts and not split.label_counts.get(label)]
        if len(absent) > _LISTED:
            lines.append(f"{name}: no example of {len(absent):,} of {len(task.label_names):,} labels")
        elif absent:
            lines.append(f"{name}: no example of {', '.join(absent)}")
    return lines
