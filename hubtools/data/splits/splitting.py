"""Which protein is in which split: by the data's own rules, or by a seeded rule that keeps relatives together."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import date
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hubtools.common.errors import UserError, near
from hubtools.data.rows.dates import first_day, public_days
from hubtools.data.rows.row_kinds import rows_of
from hubtools.data.sources.source_rows import FILE, ID, cell_text, columns_present
from hubtools.data.splits.draws import draw_splits, sample
from hubtools.data.splits.fractions import held_labels
from hubtools.data.splits.identity import engine
from hubtools.specs.split_rules import SplitRule
from hubtools.specs.task import Task

if TYPE_CHECKING:
    import pandas as pd

# Ranges of values, and rows of each, in which a draw is stratified.
_RANGES = 10
ACROSS = "the two proteins are in different splits"


def declared_splits(rows: pd.DataFrame, task: Task) -> npt.NDArray[np.object_]:
    """The split of each row by the rules of the task file; None where no rule takes it.

    Raises:
        UserError: a rule names a column that is not there, takes no row, or takes one of another split.
    """
    assigned = np.full(len(rows), None, dtype=object)
    days = public_days(rows, task) if any(rule.by_date for rule in (task.data.splits or {}).values()) else []
    for split, rule in (task.data.splits or {}).items():
        taken = _taken(rows, rule, f"task {task.name}, split {split}")
        if rule.by_date:
            taken &= _in_time(days, rule)
            if not taken.any():
                span = " and ".join(f"{key} {day}" for key in ("since", "before") if (day := getattr(rule, key)))
                raise UserError(
                    f"the split is empty: no protein of it became public {span}",
                    where=f"task {task.name}, split {split}",
                    fix=_span(days),
                )
        clash = np.flatnonzero(taken & (assigned != None))  # noqa: E711
        if clash.size:
            raise UserError(
                f"{rows[ID].iloc[clash[0]]} is in the splits {assigned[clash[0]]} and {split} ({clash.size:,} such rows)",
                where=f"task {task.name}",
                fix="Make the rules under data.splits exclude each other.",
            )
        assigned[taken] = split
    return assigned


def _in_time(days: Sequence[date | None], rule: SplitRule) -> npt.NDArray[np.bool_]:
    """Whether each day is in the time of a rule; one that is not known is in none."""
    since = first_day(rule.since) if rule.since else date.min
    before = first_day(rule.before) if rule.before else date.max
    return np.array([day is not None and since <= day < before for day in days], dtype=bool)


def _span(days: Sequence[date | None]) -> str:
    known = [day for day in days if day is not None]
    return f"The days are from {min(known)} to {max(known)}." if known else "No row has a day: see columns.date."


def _taken(rows: pd.DataFrame, rule: SplitRule, where: str) -> npt.NDArray[np.bool_]:
    taken = rows[FILE].isin(rule.files).to_numpy() if rule.files else np.ones(len(rows), dtype=bool)
    for column, values in rule.where.items():
        present = columns_present(rows[taken])
        if column not in present:
            raise UserError(f"there is no column {column!r}", where=where, fix=near(column, present))
        cells = rows[column].map(cell_text)
        matching = cells.isin(values).to_numpy() & rows[column].notna().to_numpy()
        if "" in values:
            matching |= (cells == "").to_numpy()
        if not (taken & matching).any():
            seen = sorted(set(cells[taken]))
            shown = ", ".join(repr(value) for value in seen[:8]) + (" …" if len(seen) > 8 else "")
            wanted = " or ".join(repr(value) for value in values)
            raise UserError(
                f"the split is empty: no row has {column} = {wanted}", where=where, fix=f"The values are: {shown}."
            )
        taken = taken & matching
    if not taken.any():
        raise UserError(f"the split is empty: no row in {', '.join(rule.files) or 'any file'}", where=where)
    return taken


def final_splits(rows: pd.DataFrame, task: Task) -> tuple[pd.DataFrame, str]:
    """Draw the splits, or carve validation off train, where the data declare none.

    Returns:
        Rows with their final split, None for a pair whose proteins fall apart; and where validation came from.

    Raises:
        UserError: too few groups of relatives.
    """
    data = task.data
    if not task.learns:
        return rows, "none: nothing is trained, so nothing is chosen"
    if data.split is not None:
        fractions, seed = dict(data.split.fractions), data.split.seed
        told = f"drawn by seed {seed} with the other splits"
        if "validation" not in fractions:
            share = data.validation_fraction
            fractions |= {"validation": fractions["train"] * share, "train": fractions["train"] * (1 - share)}
            told += f", {share:.0%} of train"
        told += ", stratified by label" if data.stratified else ""
        return rows.assign(split=_drawn(rows, fractions, seed, task)), told
    if "validation" in (data.splits or {}):
        return rows, "declared by the data"
    train = rows["split"] == "train"
    part = rows[train]
    rows = rows.copy()
    rows.loc[train, "split"] = carved(part, task)
    return rows, carving(part, task, "train" if task.problem.level.row == "protein" else "the proteins of train")


def carved(learnt: pd.DataFrame, task: Task) -> npt.NDArray[np.object_]:
    """``train`` or ``validation`` of each row that is learnt from, where the data do not say it.

    Raises:
        UserError: too few groups of relatives.
    """
    share = task.data.validation_fraction
    return _drawn(learnt, {"train": 1 - share, "validation": share}, task.data.validation_seed, task)


def carving(learnt: pd.DataFrame, task: Task, of: str) -> str:
    """How :func:`carved` does it, in words; ``of`` names what the rows are."""
    data = task.data
    kept = "whole clusters" if learnt["cluster"].notna().any() else "equal sequences"
    by = ", stratified by label" if data.stratified else ""
    return f"{data.validation_fraction:.0%} of {of}, drawn by seed {data.validation_seed}{by}, {kept} on one side"


def _drawn(rows: pd.DataFrame, fractions: dict[str, float], seed: int, task: Task) -> npt.NDArray[np.object_]:
    """The split of each row by a draw of proteins; None for a pair whose proteins fall apart."""
    where = f"task {task.name}"
    if task.data.split is not None and task.data.split.by == "sequences":
        # Clusters then only serve the bootstrap.
        rows = rows.assign(**{name: None for name in ("cluster", "partner_cluster") if name in rows})
    held = strata(rows["label"].tolist(), task) if task.data.stratified else None
    return rows_of(task.problem).drawn(
        rows, partial(draw_splits, fractions=fractions, seed=seed, where=where, held=held)
    )


def strata(labels: Sequence[Any], task: Task) -> list[frozenset[int]]:
    """What each row has that splits should have in proportion: its labels, or the range that its value is in.

    Ranges are of equal size, ten rows or more each and ten of them at most; a value per residue counts by its mean.

    Args:
        labels: canonical.
        task: what they are.
    """
    if task.problem.kind != "regression":
        return [held_labels(label, task) for label in labels]
    values = np.array([np.nanmean(label) if np.isfinite(label).any() else np.nan for label in labels], dtype=np.float64)
    known = np.flatnonzero(np.isfinite(values))
    bins = max(1, min(_RANGES, len(known) // _RANGES))
    edges = np.quantile(values[known], np.arange(1, bins) / bins) if len(known) else np.zeros(0)
    held = [frozenset[int]()] * len(values)
    for row, place in zip(known.tolist(), np.searchsorted(edges, values[known], side="right").tolist(), strict=True):
        held[row] = frozenset({place})
    return held


def proven_draw(rows: pd.DataFrame, task: Task) -> str | None:
    """The digest of drawn splits, compared with the one that the task file pins; None where nothing was drawn.

    Raises:
        UserError: the draw came out otherwise.
    """
    split, rule = task.data.split, task.data.cluster_rule
    if split is None:
        return None
    got = split_digest(rows_of(task.problem).text(rows).tolist(), rows["split"].tolist())
    if split.sha256 not in {None, got}:
        with_what = (
            f" with {engine(rule.identity, clusters=True)}" if rule is not None and rule.identity is not None else ""
        )
        raise UserError(
            f"the splits came out otherwise{with_what}: sha256 {got}, the task file pins {split.sha256}",
            where=f"task {task.name}, data.split.sha256",
            fix="Use the data and the clustering program that the task was made with, or pin the new value "
            "(bench tasks check prints it) and raise version.",
        )
    return got


def split_digest(sequences: Sequence[str], splits: Sequence[str]) -> str:
    """sha256 of who is in which split: sorted lines of a sequence's own sha256 and its split, whatever the rows' order."""
    lines = {
        f"{hashlib.sha256(sequence.encode()).hexdigest()} {split}"
        for sequence, split in zip(sequences, splits, strict=True)
    }
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()


def subset_of(rows: pd.DataFrame, size: int, task: Task) -> tuple[pd.DataFrame, str]:
    """At most so many rows of each split, always the same, and a line that says so."""
    keys = rows_of(task.problem).text(rows)
    chosen = np.zeros(len(rows), dtype=bool)
    for _, positions in rows.groupby("split").indices.items():
        ids = rows["id"].iloc[positions].tolist()
        chosen[positions] = sample(ids, keys.iloc[positions].tolist(), size)
    return rows[chosen], f"subset: at most {size:,} {task.problem.level.rows} of each split"
