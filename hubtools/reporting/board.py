"""What the runs say: comparable runs side by side, built from their records alone.

A table holds only runs that answer the same question: the same task file at the same version, the same data, the
same rows of the test split, the same subset, the same share of the training data, the same protocol. A row is one
checkpoint at one commit (or one baseline) under one recipe; its seeds are averaged.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean
from typing import TYPE_CHECKING, Any, Literal

from hubtools.evaluation.seeds import ArmScore
from hubtools.reporting.best_sets import BY_INTERVALS, in_best_set, resampled_rows
from hubtools.reporting.overall import Overall, overall_of
from hubtools.reporting.wording import metric_title, plural, share, trust
from hubtools.runs.arms import Arm, Found, Question, arm_key, precision_apart, without_copies
from hubtools.specs.errors import UserError
from hubtools.specs.metric_names import METRICS
from hubtools.specs.problem import Problem
from hubtools.specs.record import RunRecord

if TYPE_CHECKING:
    from hubtools.evaluation.resampled import Resampled


@dataclass(frozen=True)
class Row:
    """One checkpoint or baseline under one recipe, over its seeds.

    Attributes:
        runs: folders and records, by seed.
        scores: estimates by (split, metric).
        rank: place by the primary metric, from 1.
        best_set: whether it may be the best by the primary metric, at 95 % over all rows of the table.
        basis: what that was asked of: its ``recipe``, its ``weights``, or ``intervals``; empty where the score is not defined.
        resampled: the primary metric under the resamplings that all rows of the table share; None where not all have it.
        precision: in which its runs computed, where a row differs from it in that alone; else empty.
    """

    runs: tuple[Found, ...]
    scores: dict[tuple[str, str], ArmScore]
    rank: int = 0
    best_set: bool = False
    basis: str = ""
    resampled: Resampled | None = field(default=None, repr=False, compare=False)
    precision: str = ""

    @property
    def standing(self) -> Literal["best", "within", ""]:
        """``best`` (leads), ``within`` (in the best set too) or nothing."""
        if not self.best_set:
            return ""
        return "best" if self.rank == 1 else "within"

    @property
    def record(self) -> RunRecord:
        """The record of the first seed: what the seeds share is read from it."""
        return self.runs[0][1]

    @property
    def kind(self) -> Literal["checkpoint", "random", "baseline"]:
        """A checkpoint, the same architecture with random weights, or a baseline without any."""
        if self.record.identity.checkpoint is None:
            return "baseline"
        return "random" if self.record.recipe.get("weights") == "random" else "checkpoint"

    @property
    def is_baseline(self) -> bool:
        """Whether the row is there to be beaten: random weights count as such."""
        return self.kind != "checkpoint"

    @property
    def name(self) -> str:
        """What was measured."""
        return self.record.subject

    @property
    def revision(self) -> str:
        """Commit, or content hash of a local folder; empty for baselines."""
        checkpoint = self.record.identity.checkpoint
        return (checkpoint.commit or checkpoint.sha256 or "") if checkpoint else ""

    @property
    def recipe(self) -> str:
        """Recipe for tables: whether it is a baseline, which fields were set, the precision where it tells rows apart, whether a sweep chose."""
        # Random weights are said in words.
        fields = [f"{k}={v}" for k, v in sorted(self.record.overrides.items()) if (k, v) != ("weights", "random")]
        random = ["random weights"] if self.kind == "random" else []
        name = "baseline" if self.kind == "baseline" else self.record.identity.recipe.name
        swept = [f"best of {plural(self.trials, 'trial')}"] if self.trials else []
        return ", ".join([name, *random, *fields, *filter(None, [self.precision]), *swept])

    @property
    def of_weights(self) -> bool:
        """Whether the interval is of these very weights, one seed, where another seed would give others."""
        return Arm(self.runs).of_weights

    @property
    def trials(self) -> int:
        """How many trials of a sweep the recipe was chosen from; 0 where it was not."""
        return max((record.sweep.trials for _, record in self.runs if record.sweep), default=0)

    @property
    def adaptation(self) -> str:
        """``full``, ``probe`` or ``baseline``."""
        return str(self.record.recipe.get("adaptation", ""))

    @property
    def seeds(self) -> list[int]:
        """Seeds, ascending."""
        return [record.identity.seed for _, record in self.runs]

    @property
    def parameters(self) -> int | None:
        """Parameters of the checkpoint."""
        return self.record.checkpoint.parameters if self.record.checkpoint else None

    @property
    def wall_seconds(self) -> float | None:
        """Mean wall time of a run."""
        times = [record.cost.wall_seconds for _, record in self.runs if record.cost]
        return fmean(times) if times else None


@dataclass(frozen=True)
class Table:
    """Comparable rows, best first.

    Attributes:
        question: what all rows answer.
        split: the split that rows are ranked on.
        metrics: metrics on the split, primary first.
        other_splits: further test splits, shown by the primary metric.
        remarks: what sets this table apart from others of the same task (subset, older version, ...).
    """

    question: Question
    split: str
    rows: tuple[Row, ...]
    metrics: tuple[str, ...]
    other_splits: tuple[str, ...]
    remarks: tuple[str, ...] = ()

    @property
    def task(self) -> dict[str, Any]:
        """The task file as used by the latest run."""
        return max((record for row in self.rows for _, record in row.runs), key=lambda r: r.started).task

    @property
    def title(self) -> str:
        """Title of the task, its version, and what sets this table apart."""
        title = self.task.get("title") or self.question.task
        return " · ".join([title, f"version {self.question.version}", *self.remarks])

    @property
    def not_for_ranking(self) -> str | None:
        """Why scores of this task rank no models, where the task says so."""
        stated = trust(self.task)
        return stated["reason"] if stated and stated["colour"] == "red" else None

    @property
    def basis(self) -> str:
        """How the best set was made, in words; empty where one row is all there is."""
        asked = {row.basis for row in self.rows if row.basis}
        if sum(bool(row.basis) for row in self.rows) < 2:
            return ""
        if asked == {BY_INTERVALS}:
            return "best set by intervals: not every run kept its resamplings"
        if len(asked) > 1:
            return "best set by paired differences: of recipes where rows have three seeds, else of these weights"
        return f"best set by paired differences, question {asked.pop()}"

    @property
    def primary(self) -> tuple[str, str]:
        """Split and metric that rows are ranked by."""
        return self.split, self.metrics[0]

    @property
    def columns(self) -> list[tuple[str, str]]:
        """(split, metric) of every further column, the most telling first."""
        others = [(split, self.metrics[0]) for split in self.other_splits]
        return others + [(self.split, metric) for metric in self.metrics[1:]]

    @property
    def best(self) -> Row | None:
        """The row with the best primary score, where any is defined."""
        return next((row for row in self.rows if row.standing == "best"), None)

    def around(self, run_id: str, most: int) -> Table:
        """The same table, cut to what a reader takes in: the row of a run, the best baselines, and the best rows.

        Args:
            run_id: whose row stays.
            most: rows that are left, at least 2; half of them at most are kept for baselines. Ranks stay what they are.
        """
        if len(self.rows) <= most:
            return self
        own = [row for row in self.rows if any(record.run_id == run_id for _, record in row.runs)]
        baselines = [row for row in self.rows if row.is_baseline][: most // 2]
        ranks = list(dict.fromkeys(row.rank for row in [*own, *baselines, *self.rows]))[:most]
        return replace(self, rows=tuple(row for row in self.rows if row.rank in ranks))

    def heading(self, column: tuple[str, str]) -> str:
        """Heading of a column, naming the split where it is not the table's."""
        split, metric = column
        return (
            metric_title(metric, arrow=True) if split == self.split else f"{split}: {metric_title(metric, arrow=True)}"
        )


@dataclass(frozen=True)
class Board:
    """All tables, the rows over all tasks, the runs that did not finish, and what was left out with the reason."""

    tables: tuple[Table, ...]
    unfinished: tuple[Found, ...] = ()
    notes: tuple[str, ...] = ()
    overall: Overall | None = None

    @property
    def n_runs(self) -> int:
        """Number of complete runs on the board."""
        return sum(len(row.runs) for table in self.tables for row in table.rows)


def build_board(found: Sequence[Found], task: str | None = None, split: str = "test") -> Board:
    """Group records into tables.

    Args:
        found: folders and records, as ``hubtools.runs.store.find_records`` gives them.
        task: only this task.
        split: the test split that rows are ranked on.

    Raises:
        UserError: no record is of that task, no task has that split, or the split is one that choices were made on.
    """
    if split in {"train", "validation"}:
        raise UserError(
            f"runs are not ranked on {split}: choices were made on it", fix="Name a test split, as in --split test."
        )
    if task is not None:
        names = sorted({record.identity.task.name for _, record in found})
        found = [(folder, record) for folder, record in found if record.identity.task.name == task]
        if not found:
            raise UserError(f"no run is of the task {task!r}", fix=f"There are runs of: {', '.join(names) or 'none'}.")
    kept, notes = without_copies(found)
    complete = [(folder, record) for folder, record in kept if record.status == "complete"]
    scored = [(folder, record) for folder, record in complete if split in record.results]
    if complete and not scored:
        splits = sorted({name for _, record in complete for name in record.test_splits})
        raise UserError(
            f"no run has results on a split {split!r}", fix=f"Test splits of these runs: {', '.join(splits)}."
        )
    if left := len(complete) - len(scored):
        notes.append(f"{left} of {len(complete)} complete runs have no results on {split} and are not shown.")
    groups: dict[Question, list[Found]] = defaultdict(list)
    for folder, record in scored:
        groups[Question.of(record, split)].append((folder, record))
    ordered = sorted(groups, key=_order)
    tables = tuple(
        _table(question, groups[question], split, _remarks(question, ordered, _is_pair(groups[question])))
        for question in ordered
    )
    unfinished = sorted(
        ((folder, record) for folder, record in kept if record.status != "complete"), key=lambda pair: pair[1].started
    )
    overall, why_not = overall_of(tables)
    return Board(tables, tuple(unfinished), (*notes, *why_not), overall)


def table_of(found: Sequence[Found], record: RunRecord, split: str = "test") -> Table:
    """The table that a complete run stands in."""
    question = Question.of(record, split)
    board = build_board([pair for pair in found if Question.of(pair[1], split) == question], split=split)
    return board.tables[0]


def _order(question: Question) -> tuple[Any, ...]:
    """By task, the latest version first, all data before parts of them, the larger part before the smaller."""
    q = question
    parts = (q.subset is not None, -(q.subset or 0), -(q.fraction or 1))
    return q.task, -q.version, *parts, q.task_hash, q.data, q.rows, q.protocol


def _is_pair(found: Sequence[Found]) -> bool:
    return Problem(found[0][1].task["problem"]).is_pair


def _remarks(question: Question, all_questions: Sequence[Question], is_pair: bool) -> tuple[str, ...]:
    remarks = []
    if question.subset is not None:
        noun = "pairs" if is_pair else "proteins"
        remarks.append(f"subset of at most {question.subset:,} {noun} a split")
    if question.fraction is not None:
        remarks.append(f"{share(question.fraction)} of the training data")
    same_task = [other for other in all_questions if other.task == question.task]
    latest = max(other.version for other in same_task)
    if question.version < latest:
        remarks.append(f"older than version {latest}")

    def scope(q: Question) -> tuple[Any, ...]:
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


def _table(question: Question, found: list[Found], split: str, remarks: tuple[str, ...]) -> Table:
    metrics = _in_order(m for _, record in found for m in _metric_names(record, split))
    others = _in_order(s for _, record in found for s in record.results if s not in {"train", "validation", split})
    by_row: dict[Any, list[Found]] = defaultdict(list)
    for folder, record in found:
        by_row[arm_key(record)].append((folder, record))
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
    return Table(question, split, tuple(ranked), tuple(metrics), tuple(others), remarks)


def _row(runs: list[Found], split: str, metrics: list[str], others: list[str], precision: str) -> Row:
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
