"""What the runs say: comparable runs side by side, built from their records alone.

A table holds only runs that answer the same question: the same task file at the same version, the same data, the
same rows of the test split, the same subset, the same share of the training data, the same protocol. A row is one
checkpoint at one commit (or one baseline) under one recipe; its seeds are averaged.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from hubtools.common.errors import UserError
from hubtools.evaluation.statistics.arm_interval import ArmScore
from hubtools.findings.arms import Arm, ComparisonGroup, arm_key, precision_apart, sound_runs, without_copies
from hubtools.findings.board.arms_apart import BoardArm, RunsOfArm, apart, of_arm, side_by_side
from hubtools.findings.board.best_rows import in_best_set, resampled_rows
from hubtools.findings.board.board_rows import Row, Table
from hubtools.findings.board.overall import Overall, overall_of
from hubtools.findings.wording import share
from hubtools.runs.store import OpenRun
from hubtools.specs.metric_names import METRICS
from hubtools.specs.record import RunRecord


@dataclass(frozen=True)
class Board:
    """All tables, the rows over all tasks, the runs that did not finish, and what was left out with the reason."""

    tables: tuple[Table, ...]
    unfinished: tuple[OpenRun, ...] = ()
    notes: tuple[str, ...] = ()
    overall: Overall | None = None

    @property
    def n_runs(self) -> int:
        """Number of complete runs on the board."""
        return len({record.run_id for table in self.tables for row in table.rows for _, record in row.runs})


def build_board(
    found: Sequence[OpenRun], task: str | None = None, split: str = "test", arm: BoardArm | None = None
) -> Board:
    """Group records into tables.

    Args:
        found: folders and records, as ``hubtools.runs.store.find_records`` gives them.
        task: only this task.
        split: the test split that rows are ranked on.
        arm: ``default``: only what no suite tuned; ``tuned``: only what one did.

    Raises:
        UserError: no record is of that task or that arm, no task has that split, or the split is one that choices were made on.
    """
    if split in {"train", "validation"}:
        raise UserError(
            f"runs are not ranked on {split}: choices were made on it", fix="Name a test split, as in --split test."
        )
    if task is not None:
        names = sorted({record.identity.task.name for _, record in found})
        found = [run for run in found if run[1].identity.task.name == task]
        if not found:
            raise UserError(f"no run is of the task {task!r}", fix=f"There are runs of: {', '.join(names) or 'none'}.")
    sound, altered = sound_runs(found)
    kept, notes = without_copies(sound)
    complete = [run for run in kept if run[1].status == "complete"]
    scored = [run for run in complete if split in run[1].results]
    if complete and not scored:
        splits = sorted({name for _, record in complete for name in record.test_splits})
        raise UserError(
            f"no run has results on a split {split!r}", fix=f"Test splits of these runs: {', '.join(splits)}."
        )
    if left := len(complete) - len(scored):
        notes.append(f"{left} of {len(complete)} complete runs have no results on {split} and are not shown.")
    groups: dict[ComparisonGroup, list[OpenRun]] = defaultdict(list)
    for run in scored:
        groups[ComparisonGroup.of(run[1], split)].append(run)
    ordered = sorted(groups, key=_order)
    built = []
    for question in ordered:
        remarks = _remarks(question, ordered, _rows(groups[question]))
        built += side_by_side([_table(question, one, split, remarks) for one in apart(groups[question])])
    tables = of_arm(built, arm)
    unfinished = sorted((run for run in kept if run[1].status != "complete"), key=lambda run: run[1].started)
    overall, why_not = overall_of(tables)
    return Board(tables, tuple(unfinished), (*altered, *notes, *why_not), overall)


def table_of(found: Sequence[OpenRun], record: RunRecord, split: str = "test") -> Table:
    """The table that a complete run stands in."""
    question = ComparisonGroup.of(record, split)
    board = build_board([pair for pair in found if ComparisonGroup.of(pair[1], split) == question], split=split)
    # A run whose recipe's own values were the best of its trials stands in two; the first is of what is not tuned.
    return next(
        (t for t in board.tables if any(r.run_id == record.run_id for row in t.rows for _, r in row.runs)),
        board.tables[0],
    )


def _order(question: ComparisonGroup) -> tuple[Any, ...]:
    """By task, the latest version first, all data before parts of them, the larger part before the smaller."""
    q = question
    parts = (q.subset is not None, -(q.subset or 0), -(q.fraction or 1))
    return q.task, -q.version, *parts, q.task_hash, q.data, q.rows, q.protocol


def _rows(found: Sequence[OpenRun]) -> str:
    return found[0][1].task_spec.problem.level.rows


def _remarks(question: ComparisonGroup, all_questions: Sequence[ComparisonGroup], noun: str) -> tuple[str, ...]:
    remarks = []
    if question.subset is not None:
        remarks.append(f"subset of at most {question.subset:,} {noun} a split")
    if question.fraction is not None:
        remarks.append(f"{share(question.fraction)} of the training data")
    same_task = [other for other in all_questions if other.task == question.task]
    latest = max(other.version for other in same_task)
    if question.version < latest:
        remarks.append(f"older than version {latest}")

    def scope(q: ComparisonGroup) -> tuple[Any, ...]:
        return q.version, q.subset, q.fraction

    twins = [q for q in same_task if scope(q) == scope(question)]
    for attribute, noun in (
        ("task_hash", "task file"),
        ("data", "data"),
        ("rows", "test rows"),
        ("protocol", "protocol"),
    ):
        if len({getattr(twin, attribute) for twin in twins}) > 1:
            remarks.append(f"{noun} {str(getattr(question, attribute))[:7]}")
    return tuple(remarks)


def _table(question: ComparisonGroup, of: RunsOfArm, split: str, remarks: tuple[str, ...]) -> Table:
    found = of.runs
    metrics = _in_order(m for _, record in found for m in _metric_names(record, split))
    others = _in_order(s for _, record in found for s in record.results if s not in {"train", "validation", split})
    by_row: dict[Any, list[OpenRun]] = defaultdict(list)
    for run in found:
        by_row[arm_key(run[1])].append(run)
    apart = precision_apart(by_row)
    rows = [_row(runs, split, metrics, others, apart[key]) for key, runs in by_row.items()]
    rows.sort(key=lambda row: (*row.scores[split, metrics[0]].sort_key, row.name, row.recipe))
    estimates = [row.scores[split, metrics[0]] for row in rows]
    scored = [row for row, estimate in zip(rows, estimates, strict=True) if estimate.value is not None]
    resampled = resampled_rows([row.runs for row in scored], split, metrics[0]) if scored else None
    drawn = [*(resampled or [])] + [None] * (len(rows) - len(resampled or []))
    ranked = [
        replace(row, rank=rank, best_set=inside, basis=basis, resampled=one)
        for rank, (row, (inside, basis), one) in enumerate(
            zip(rows, in_best_set(estimates, resampled), drawn, strict=True), 1
        )
    ]
    if of.tuned:
        ranked = [replace(row, arm="" if row.kind == "baseline" else of.label) for row in ranked]
    named = (*remarks, of.label) if of.label else remarks
    return Table(question, split, tuple(ranked), tuple(metrics), tuple(others), named, of.label, of.tuned)


def _row(runs: list[OpenRun], split: str, metrics: list[str], others: list[str], precision: str) -> Row:
    arm = Arm(tuple(sorted(runs, key=lambda pair: pair[1].identity.seed)))
    columns = [(split, metric) for metric in metrics] + [(other, metrics[0]) for other in others]
    found, upwards = arm.scores(columns), METRICS[metrics[0]].higher_is_better
    scores = {column: found.get(column) or ArmScore(None, None, None, upwards, ()) for column in columns}
    return Row(arm.runs, scores, precision=precision)


def _metric_names(record: RunRecord, split: str) -> list[str]:
    primary = record.primary_metric
    return [primary, *(name for name in record.results[split].scores if name != primary)]


def _in_order(names: Any) -> list[str]:
    """Distinct names in the order of their first appearance."""
    return list(dict.fromkeys(names))
