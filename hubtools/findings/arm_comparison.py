"""Two arms of runs compared on one metric of one split: the object of which compare, check, baseline and reproduce are views."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from statistics import stdev

import numpy as np

from hubtools.common.errors import UserError
from hubtools.evaluation.predictions import Predictions
from hubtools.evaluation.statistics.arm_interval import ArmScore
from hubtools.evaluation.statistics.cost import CostComparison
from hubtools.evaluation.statistics.difference import MIN_SEEDS, Difference, Question, difference
from hubtools.evaluation.statistics.resampled import REPLICATES, ArmPredictions, resample_metrics
from hubtools.evaluation.statistics.same_predictions import largest_difference, other_rows
from hubtools.evaluation.statistics.verdicts import Judgement, Verdict, judge
from hubtools.findings.arms import Arm, mismatches
from hubtools.findings.changes import Change, changes
from hubtools.specs.task import Task

NOT_ASKED = CostComparison(not_compared="not asked for")
NOT_JUDGED = Judgement(Verdict.CANNOT_TELL, "not judged")


class NotComparable(UserError):
    """Two arms that do not answer the same question, or not on the same rows."""


@dataclass(frozen=True)
class Comparison:
    """A candidate's arm against a baseline's.

    Attributes:
        baseline, candidate: the arms.
        split: the test split that they are compared on.
        margin: the loss that counts, in units of the metric; None where none is stated for it.
        values: the metric of each run of both, by seed; None where it is not defined.
        difference: in the metric, positive where the candidate is better.
        others: the same in the task's other metrics; of these nothing is judged.
        apart: largest difference of two predictions of the same seed, and of thresholds; None where a seed of the candidate
            has no counterpart.
        same: whether that is so little that nothing was tested.
        judgement: by the rule of :mod:`hubtools.evaluation.statistics.verdicts`, corrected for what it was judged together with.
        cost: of the candidate against its budget.
        changed: what else is not the same.
    """

    baseline: Arm
    candidate: Arm
    split: str
    margin: float | None
    values: tuple[tuple[float | None, ...], tuple[float | None, ...]]
    difference: Difference
    others: tuple[Difference, ...]
    apart: float | None
    same: bool
    judgement: Judgement
    cost: CostComparison
    changed: tuple[Change, ...]

    @property
    def task(self) -> Task:
        """The task file as the baseline used it."""
        return self.baseline.task

    @property
    def task_name(self) -> str:
        """As runs call it."""
        return self.baseline.record.identity.task.name

    @property
    def name(self) -> str:
        """The arm; both where they are called differently."""
        before, after = self.baseline.name, self.candidate.name
        return before if before == after else f"{before} → {after}"

    @property
    def metric(self) -> str:
        """That was compared."""
        return self.difference.metric

    @property
    def question(self) -> Question:
        """That was asked; ``weights`` where nothing in a run is random."""
        return self.difference.question

    @property
    def verdict(self) -> Verdict:
        """What it comes to."""
        return self.judgement.verdict

    @property
    def means(self) -> tuple[float | None, float | None]:
        """Of both arms over their runs; None where one run has no value."""
        known = [[value for value in side if value is not None] for side in self.values]
        before, after = (
            float(np.mean(k)) if len(k) == len(side) else None for k, side in zip(known, self.values, strict=True)
        )
        return before, after

    @cached_property
    def scores(self) -> tuple[ArmScore | None, ArmScore | None]:
        """Of both arms, with their intervals, as every table shows them; None where its runs did not record the metric."""
        column = (self.split, self.metric)
        before, after = (arm.scores([column]).get(column) for arm in (self.baseline, self.candidate))
        return before, after

    @property
    def deviations(self) -> tuple[float | None, float | None]:
        """Standard deviations over the runs of both; None of a single run."""
        before, after = (
            stdev(v) if len(v) > 1 and None not in v else None  # type: ignore[type-var]
            for v in self.values
        )
        return before, after

    @property
    def seeds_needed(self) -> int | None:
        """Runs an arm with which a loss of the margin would be found or excluded; None where that is open or not known."""
        if self.verdict is not Verdict.CANNOT_TELL or self.question is not Question.RECIPE:
            return None
        if self.difference.low is None:
            return MIN_SEEDS if min(self.difference.seeds) < MIN_SEEDS else None
        return None if self.margin is None else self.difference.seeds_needed(self.margin)

    @property
    def remedy(self) -> str:
        """What a reader can do who cannot tell; empty where there is nothing to be said."""
        found = self.difference
        if self.verdict is not Verdict.CANNOT_TELL or self.margin is None:
            return ""
        if self.question is Question.WEIGHTS:
            if found.detectable is None:
                return ""
            return f"a loss below {found.detectable:.2g} cannot be told on this test set"
        if found.low is None:
            return f"at least {self.seeds_needed} seeds an arm would tell" if self.seeds_needed else ""
        if self.seeds_needed is None:
            return f"no number of seeds shows a loss of {self.margin:g} on this test set"
        more = "more seeds" if self.seeds_needed <= min(found.seeds) else f"{self.seeds_needed} seeds an arm"
        return f"{more} would show a loss of {self.margin:g}"


def question_of(a: Arm, b: Arm, asked: Question | None = None) -> Question:
    """What the user asks, or else what the seeds can answer. Where nothing is random both questions are one."""
    if a.nothing_random and b.nothing_random:
        return Question.WEIGHTS
    return asked or (Question.RECIPE if min(len(a.runs), len(b.runs)) >= MIN_SEEDS else Question.WEIGHTS)


@dataclass(frozen=True)
class ComparisonRequest:
    """What a command asks of a comparison.

    Attributes:
        question: by default ``recipe`` where both arms have three seeds, else ``weights``.
        margin: the loss that counts; by default the task's, where the metric is its primary one.
        metric: by default the task's primary one.
        others: whether to look at the task's other metrics, too.
        same_within: predictions that differ by no more are the same, and nothing is tested. By default every pair is.
        replicates: of the bootstrap.
    """

    question: Question | None = None
    margin: float | None = None
    metric: str | None = None
    others: bool = False
    same_within: float | None = None
    replicates: int = REPLICATES


BY_DEFAULT = ComparisonRequest()


def compared(baseline: Arm, candidate: Arm, split: str = "test", request: ComparisonRequest = BY_DEFAULT) -> Comparison:
    """Two arms side by side, not yet judged.

    Args:
        baseline, candidate: the arms.
        split: a test split of both.
        request: what is asked.

    Raises:
        NotComparable: they do not answer the same question, or not on the same rows.
        UserError: predictions cannot be read.
    """
    if lines := mismatches(baseline, candidate, split):
        raise NotComparable("; ".join(lines))
    task = baseline.task
    chosen, margin = request.metric or task.metrics.primary, request.margin
    names = [chosen, *(name for name in task.metrics.names if request.others and name != chosen)]
    before, after = baseline.predicted(split), candidate.predicted(split)
    _refuse_other_rows(baseline, candidate, [*before.predictions, *after.predictions])
    apart = _apart(before, after)
    same = request.same_within is not None and apart is not None and apart <= request.same_within
    drawn, other_drawn = (
        # By the baseline's task: the candidate's record only says that its own is the same.
        resample_metrics(task, arm, names, replicates=0 if same else request.replicates)
        for arm in (before, after)
    )
    if drawn[0].units.digest != other_drawn[0].units.digest:
        told = f"{drawn[0].units.described} and {other_drawn[0].units.described}"
        raise NotComparable(f"what the bootstrap draws: {told}")
    asked = question_of(baseline, candidate, request.question)
    first, *rest = [difference(one, other, asked) for one, other in zip(drawn, other_drawn, strict=True)]
    if margin is None and chosen == task.metrics.primary:
        margin = task.margin
    return Comparison(
        baseline=baseline,
        candidate=candidate,
        split=split,
        margin=margin,
        values=(_defined(drawn[0].values), _defined(other_drawn[0].values)),
        difference=replace(first, identical=True) if same else first,
        others=tuple(rest),
        apart=apart,
        same=same,
        judgement=NOT_JUDGED,
        cost=NOT_ASKED,
        changed=tuple(changes(baseline, candidate)),
    )


def judged(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """The comparisons of one command with their verdicts, corrected for their number."""
    judgements = judge([one.difference for one in comparisons], [one.margin for one in comparisons])
    return [
        replace(one, judgement=replace(judgement, reason=_same_predictions(one)) if one.same else judgement)
        for one, judgement in zip(comparisons, judgements, strict=True)
    ]


def _same_predictions(one: Comparison) -> str:
    missing = [str(seed) for seed in one.baseline.seeds if seed not in one.candidate.seeds]
    fewer = f", of seeds that both have (without {', '.join(missing)})" if missing else ""
    return f"the same predictions, apart by {one.apart:.1g} at most{fewer}"


def _defined(values: np.ndarray) -> tuple[float | None, ...]:
    return tuple(float(value) if math.isfinite(value) else None for value in values)


def _refuse_other_rows(baseline: Arm, candidate: Arm, runs: Sequence[Predictions]) -> None:
    """Refuse predictions of other rows, whatever the records say."""
    folders = [folder for folder, _ in (*baseline.runs, *candidate.runs)]
    for folder, predictions in zip(folders, runs, strict=True):
        if (line := other_rows(runs[0], predictions)) is not None:
            raise NotComparable(
                f"{line}, in {folders[0].name} and {folder.name}",
                fix="Run both on the same data with the same version of bench.",
            )


def _apart(baseline: ArmPredictions, candidate: ArmPredictions) -> float | None:
    """The largest difference of predictions, and of thresholds, over the candidate's seeds."""
    known = {
        seed: (run, cut)
        for seed, run, cut in zip(baseline.seeds, baseline.predictions, baseline.thresholds, strict=True)
    }
    largest = 0.0
    for seed, run, cut in zip(candidate.seeds, candidate.predictions, candidate.thresholds, strict=True):
        if seed not in known:
            return None
        counterpart, its_cut = known[seed]
        if (cut is None) != (its_cut is None):
            return None
        largest = max(largest, largest_difference(counterpart, run))
        if cut is not None and its_cut is not None:
            largest = max(largest, float(np.abs(np.subtract(cut, its_cut)).max()))
    return largest
