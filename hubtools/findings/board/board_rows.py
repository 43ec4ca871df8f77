"""A board's tables and their rows: what stands on a board, without how it gets there."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from statistics import fmean
from typing import TYPE_CHECKING, Any, Literal

from hubtools.evaluation.statistics.arm_interval import ArmScore
from hubtools.findings.arms import Arm, ComparisonGroup, arm_key
from hubtools.findings.board.best_rows import BY_INTERVALS
from hubtools.findings.wording import best_of, metric_title, trust
from hubtools.runs.store import OpenRun
from hubtools.specs.record import RunRecord, SweepFacts
from hubtools.specs.task import Task

if TYPE_CHECKING:
    from hubtools.evaluation.statistics.resampled import Resampled

# What a table is called whose rows nothing was tuned for, where others are beside it that were.
AS_PUBLISHED = "as published"


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
        arm: what it was tuned with, in words, where its table is of rows that were; else empty.
        beside: the score of the same checkpoint in each of the tables that :attr:`Table.beside` names; None where it has none.
    """

    runs: tuple[OpenRun, ...]
    scores: dict[tuple[str, str], ArmScore]
    rank: int = 0
    best_set: bool = False
    basis: str = ""
    resampled: Resampled | None = field(default=None, repr=False, compare=False)
    precision: str = ""
    arm: str = ""
    beside: tuple[ArmScore | None, ...] = ()

    @property
    def key(self) -> tuple[Any, ...]:
        """What makes a row the same on another task: its arm; of a tuned one not what was chosen, which each task chooses anew."""
        key = arm_key(self.record)
        return (*key[:-1], self.record.identity.recipe.name, self.record.precision, self.arm) if self.arm else key

    @property
    def best_set_place(self) -> Literal["best", "within", ""]:
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
        return "random" if self.record.from_scratch else "checkpoint"

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
        return self._recipe(self.record.sweep.chosen if self.arm and self.record.sweep else {})

    @property
    def recipe_anywhere(self) -> str:
        """The same on every task: of a tuned row without what was chosen."""
        chosen = self.record.sweep.chosen if self.record.sweep else {}
        return self._recipe({}, chosen) if self.arm else self.recipe

    def _recipe(self, chosen: Mapping[str, Any], without: Collection[str] = ()) -> str:
        # Random weights are said in words.
        told = {k: v for k, v in {**self.record.overrides, **chosen}.items() if k not in without}
        fields = [f"{k}={v}" for k, v in sorted(told.items()) if (k, v) != ("weights", "random")]
        random = ["random weights"] if self.kind == "random" else []
        name = "baseline" if self.kind == "baseline" else self.record.identity.recipe.name
        both = self.sweep is not None and self.sweep.budget is not None and self.sweep.own_values
        swept = [self.arm] if self.arm else [best_of(self.trials)] if self.trials and not both else []
        return ", ".join([name, *random, *fields, *filter(None, [self.precision]), *swept])

    @property
    def of_weights(self) -> bool:
        """Whether the interval is of these very weights, one seed, where another seed would give others."""
        return Arm(self.runs).of_weights

    @property
    def trials(self) -> int:
        """How many trials of a sweep the recipe was chosen from; 0 where it was not."""
        return self.sweep.trials if self.sweep else 0

    @property
    def sweep(self) -> SweepFacts | None:
        """The sweep that chose the recipe's fields, the one of most trials; None where none did."""
        swept = [record.sweep for _, record in self.runs if record.sweep]
        return max(swept, key=lambda sweep: sweep.trials, default=None)

    @property
    def adaptation(self) -> str:
        """``full``, ``probe`` or ``baseline``."""
        return self.record.recipe_spec.adaptation or ""

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
        arm: how the recipes of its rows were chosen, in words, where the question has several such tables; else empty.
        tuned: whether every row but the trivial baselines was tuned with the same budget.
        beside: names of the arms whose score stands beside each row's.
    """

    question: ComparisonGroup
    split: str
    rows: tuple[Row, ...]
    metrics: tuple[str, ...]
    other_splits: tuple[str, ...]
    remarks: tuple[str, ...] = ()
    arm: str = ""
    tuned: bool = False
    beside: tuple[str, ...] = ()

    @property
    def task(self) -> Task:
        """The task file as used by the latest run."""
        return max((record for row in self.rows for _, record in row.runs), key=lambda r: r.started).task_spec

    @property
    def title(self) -> str:
        """Title of the task, its version, and what sets this table apart."""
        title = self.task.title or self.question.task
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
        return next((row for row in self.rows if row.best_set_place == "best"), None)

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
