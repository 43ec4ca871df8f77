"""Equal sequences: within the data, and on both sides of a split.

What happens to them depends on who made the splits. Where bench draws them, the data are cleaned first: a sequence
that occurs with different labels is left out altogether (nobody knows which one is right; equal sequences with
different regression values are repeated measurements and stay, on one side of the split), and of rows that say the
same the first is kept. Where the data declare their splits, the published test sets stay as they are, so that numbers
compare with the literature: a training or validation protein whose sequence is in a test split is left out, so is a
training protein whose sequence is in validation, and the rest is only reported. Everything left out is counted.

In a pair task all this is said of pairs instead of sequences; a pair and its mirror image are the same.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from hubtools.data.rows.row_kinds import rows_of
from hubtools.specs.task import Task

if TYPE_CHECKING:
    import pandas as pd


def cleaned(rows: pd.DataFrame, task: Task) -> tuple[pd.DataFrame, Counter[str], list[str]]:
    """Rows for seeded or declared splits, how many were removed by reason, and findings."""
    if not task.learns:
        # Nothing is trained, so nothing can leak; what repeats is reported where variants are read.
        return rows, Counter(), []
    data = task.data
    drawn = data.split is not None or (data.folds is not None and data.folds.scheme is not None)
    return without_repeats(rows, task) if drawn else without_leaks(rows, task)


def without_repeats(rows: pd.DataFrame, task: Task) -> tuple[pd.DataFrame, Counter[str], list[str]]:
    """Rows for a seeded split: conflicts removed, repeats kept once.

    Args:
        rows: columns ``sequence`` and ``label``, one row a protein.
        task: what the labels are.

    Returns:
        The rows kept, how many were removed by reason, and findings.
    """
    removed: Counter[str] = Counter()
    findings = []
    of = rows_of(task.problem)
    asked, what = of.same(rows), of.question
    said = rows["label"].map(_label_key)
    conflicting = said.groupby(asked).transform("nunique") > 1
    if conflicting.any():
        n_asked, n_rows = asked[conflicting].nunique(), int(conflicting.sum())
        if task.problem.kind == "regression":
            findings.append(f"{n_asked:,} {what}s have several values ({n_rows:,} rows): kept in one split")
        else:
            removed[f"{what} occurs with different labels"] = n_rows
            findings.append(f"{n_rows:,} rows removed: {n_asked:,} {what}s occur with different labels")
            rows, said, asked = rows[~conflicting], said[~conflicting], asked[~conflicting]
    repeated = (asked + "\0").str.cat(said).duplicated()
    if repeated.any():
        removed[f"same {what} and label as an earlier row"] = int(repeated.sum())
        findings.append(f"{int(repeated.sum()):,} rows removed: same {what} and label as an earlier row")
        rows = rows[~repeated]
    return rows, removed, findings


def without_leaks(rows: pd.DataFrame, task: Task) -> tuple[pd.DataFrame, Counter[str], list[str]]:
    """Rows of declared splits: what would be trained or selected on, and is also in a test split, removed.

    Args:
        rows: columns ``sequence``, ``label`` and ``split``.
        task: names the test splits.

    Returns:
        The rows kept, how many were removed by reason, and findings.
    """
    removed: Counter[str] = Counter()
    findings = []
    of, things = rows_of(task.problem), task.problem.level.rows
    for split, protected in (("train", "test"), ("validation", "test"), ("train", "validation")):
        splits = task.data.test_splits if protected == "test" else [protected]
        asked = of.same(rows)
        held_out = set(asked[rows["split"].isin(splits)])
        leaked = (rows["split"] == split) & asked.isin(held_out)
        if leaked.any():
            many, distinct = int(leaked.sum()), asked[leaked].nunique()
            removed[f"{split}: {of.question} is in {protected}"] = many
            name = "training" if split == "train" else split
            findings.append(
                f"{many:,} {name} {things} removed: {of.asked} in {protected} ({distinct:,} {of.question}s)"
            )
            rows = rows[~leaked]
    return rows, removed, findings + _repeats(rows, task)


def _repeats(rows: pd.DataFrame, task: Task) -> list[str]:
    """Lines about equal sequences, or pairs, that stay."""
    findings = []
    of, things = rows_of(task.problem), task.problem.level.rows
    asked, what = of.same(rows), of.question
    for split, part in rows.groupby("split", sort=False):
        mine = asked[part.index]
        repeated = int(mine.duplicated().sum())
        if not repeated:
            continue
        labels = part["label"].map(_label_key).groupby(mine).nunique()
        conflicts = int((labels > 1).sum())
        line = f"{split}: {repeated:,} {things} repeat an earlier {what}"
        findings.append(f"{line}, {conflicts:,} {what}s have different labels" if conflicts else line)
    tests = task.data.test_splits
    for position, first in enumerate(tests):
        for second in tests[position + 1 :]:
            both = set(asked[rows["split"] == first]) & set(asked[rows["split"] == second])
            if both:
                findings.append(f"{len(both):,} {what}s are in {first} and in {second}")
    return findings


def shared_clusters(rows: pd.DataFrame, task: Task) -> list[str]:
    """Lines about clusters of related proteins on both sides of a declared split."""
    findings = []

    def clusters_of(split: str) -> pd.Series:
        return rows_of(task.problem).read(rows[rows["split"] == split])["cluster"].dropna()

    trained = set(clusters_of("train"))
    for split in task.data.test_splits:
        clusters = clusters_of(split)
        related = int(clusters.isin(trained).sum())
        if related:
            findings.append(
                f"{split}: {related:,} of {len(clusters):,} proteins have a training protein in their cluster"
            )
    return findings


def _label_key(label: Any) -> str:
    """Equal labels, equal text."""
    return label.tobytes().hex() if isinstance(label, np.ndarray) else repr(label)
