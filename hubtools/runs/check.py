"""A check: every arm of a baseline against the candidate's, and a verdict on each and on all.

What cannot be compared is not: other data, other rows, another task version, or a missing task is a problem that ends the
check before anything is judged. What predicts the same passes without a test, and is none of the tests that Holm's method
corrects for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from hubtools.evaluation.comparison import MIN_SEEDS, Difference, Question, difference
from hubtools.evaluation.cost import TOLERANCES, CostComparison, Costs, compare_cost
from hubtools.evaluation.gate import Judgement, judge
from hubtools.evaluation.predictions import Predictions
from hubtools.evaluation.resampled import REPLICATES, resample
from hubtools.evaluation.sameness import SAME, largest_difference, other_rows
from hubtools.runs.arms import Arm, mismatches
from hubtools.runs.changes import Change, changes
from hubtools.runs.frozen import is_baseline, open_baseline
from hubtools.runs.pairing import answers
from hubtools.specs.loading import load_task
from hubtools.specs.suite import Suite

# What an unclear verdict, or too high a cost, does to the check as a whole.
Severity = Literal["fail", "warn", "ignore"]
Outcome = Literal["pass", "regression", "inconclusive", "error"]
EXIT_CODES: dict[Outcome, int] = {"pass": 0, "regression": 1, "error": 2, "inconclusive": 3}


@dataclass(frozen=True)
class Terms:
    """What a check is held to.

    Attributes:
        question: weights or recipe.
        margins: task -> the loss that counts as worse, where it is not the task's own.
        same: largest difference of two predictions that are called the same.
        must_agree: whether predictions that are not the same are a regression whatever their score: a golden check.
        tolerances: how many times its budget a run may cost.
        budgets: name of the first run's folder -> what a run of its arm may cost, where it is not what it did.
        inconclusive, cost: what each does to the check.
        replicates: of the bootstrap.
    """

    question: Question = Question.RECIPE
    margins: Mapping[str, float] = field(default_factory=dict)
    same: float = SAME
    must_agree: bool = False
    tolerances: Costs = TOLERANCES
    budgets: Mapping[str, Costs] = field(default_factory=dict)
    inconclusive: Severity = "fail"
    cost: Severity = "fail"
    replicates: int = REPLICATES


@dataclass(frozen=True)
class Item:
    """One arm of the baseline against the candidate's.

    Attributes:
        baseline, candidate: the arms.
        metric: the task's primary one.
        question: what was asked; ``weights`` where nothing in a run is random.
        margin: the loss that counts as worse.
        before, after: mean score of each.
        difference: None where the predictions are the same, and nothing was tested.
        apart: largest difference of two predictions of the same seed; None where a seed has no counterpart.
        judgement: on quality.
        cost: against the budget.
        changed: what else is not the same.
    """

    baseline: Arm
    candidate: Arm
    metric: str
    question: Question
    margin: float
    before: float
    after: float
    difference: Difference | None
    apart: float | None
    judgement: Judgement
    cost: CostComparison
    changed: list[Change]

    @property
    def task(self) -> str:
        """Name of the task."""
        return self.baseline.record.identity.task.name

    @property
    def name(self) -> str:
        """The arm; both where they are called differently."""
        before, after = self.baseline.name, self.candidate.name
        return before if before == after else f"{before} → {after}"


@dataclass(frozen=True)
class Check:
    """What came of a check.

    Attributes:
        items: worst first; empty where there are problems.
        problems: why nothing could be judged: task (empty for all) and one line each.
        notes: what the reader should know beside.
        terms: what it was held to.
        split: that was compared.
    """

    items: list[Item]
    problems: list[str]
    notes: list[str]
    terms: Terms
    split: str

    def of(self, verdict: str) -> list[Item]:
        """Items with that verdict on quality."""
        return [item for item in self.items if item.judgement.verdict == verdict]

    @property
    def over_budget(self) -> list[Item]:
        """Items that cost more than they may."""
        return [item for item in self.items if item.cost.over]

    @property
    def outcome(self) -> Outcome:
        """The verdict on all: the worst one."""
        if self.problems:
            return "error"
        if self.of("regression") or (self.terms.cost == "fail" and self.over_budget):
            return "regression"
        return "inconclusive" if self.of("inconclusive") else "pass"

    @property
    def exit_code(self) -> int:
        """0 pass, 1 regression, 2 not comparable, 3 inconclusive (0 where that is to warn only)."""
        forgiven = self.outcome == "inconclusive" and self.terms.inconclusive == "warn"
        return 0 if forgiven else EXIT_CODES[self.outcome]


def check(
    baseline: Sequence[Arm], candidate: Sequence[Arm], terms: Terms, split: str = "test", suite: Suite | None = None
) -> Check:
    """Compare a candidate with a baseline.

    Args:
        baseline, candidate: arms of each.
        terms: what it is held to.
        split: the test split to compare on.
        suite: its tasks, and the checkpoints that it names, must be there; others are left aside.

    Raises:
        UserError: predictions cannot be read.
    """
    problems: list[str] = []
    if suite is not None:
        # A suite may name the file of a task.
        tasks = [load_task(name).name if "/" in name else name for name in suite.tasks]
        problems = _lacking(suite, tasks, baseline, "baseline") + _lacking(suite, tasks, candidate, "candidate")
        baseline, candidate = ([arm for arm in arms if _task(arm) in tasks] for arms in (baseline, candidate))
        if problems:
            return Check([], problems, [], terms, split)
    paired = answers(baseline, candidate, split)
    problems = list(paired.problems)
    for before, after in paired.pairs:
        problems += [f"{_task(before)}, {before.name}: {line}" for line in _incomparable(before, after, split)]
    notes = list(paired.notes)
    items = []
    if not problems:
        for before, after in paired.pairs:
            item = _compared(before, after, terms, split)
            if isinstance(item, str):
                problems.append(f"{_task(before)}, {before.name}: {item}")
            else:
                items.append(item)
    if problems:
        return Check([], problems, notes, terms, split)
    notes += [f"{item.task}, {item.name}: these are the baseline's own runs, copied" for item in items if _copied(item)]
    order = ["regression", "inconclusive", "pass"]
    judged = sorted(
        _judged(items, terms), key=lambda item: (order.index(item.judgement.verdict), not item.cost.over, item.task)
    )
    return Check(judged, [], notes, terms, split)


def _task(arm: Arm) -> str:
    return arm.record.identity.task.name


def _lacking(suite: Suite, tasks: Sequence[str], arms: Sequence[Arm], side: str) -> list[str]:
    """What a suite names and a side does not have."""
    from hubtools.models.checkpoint import recorded_name

    lines = []
    for task in tasks:
        subjects = {arm.record.subject for arm in arms if _task(arm) == task}
        absent = [name for name in suite.checkpoints if recorded_name(name) not in subjects]
        if not subjects:
            lines.append(f"{task}: the {side} has no run of this task of suite {suite.name}")
        elif absent:
            lines.append(f"{task}: the {side} has no run of {', '.join(absent)}, which suite {suite.name} names")
    return lines


def _incomparable(before: Arm, after: Arm, split: str) -> list[str]:
    """Why two arms do not answer the same question: one line each."""
    lines = mismatches(before, after, split)
    shares = [arm.record.identity.fraction for arm in (before, after)]
    if shares[0] != shares[1]:
        shown = " and ".join("all" if share is None else f"{100 * share:g} %" for share in shares)
        lines.append(f"share of the training data: {shown}")
    return lines


def _copied(item: Item) -> bool:
    """Whether the candidate is the baseline, and nothing was run again."""
    before, after = ([(r.run_id, r.started) for _, r in arm.runs] for arm in (item.baseline, item.candidate))
    return item.apart == 0 and before == after


def _compared(before: Arm, after: Arm, terms: Terms, split: str) -> Item | str:
    """One pair of arms, judged only where nothing was to be tested; a line where their rows are not the same."""
    task, sides = before.task, [before.predictions(split), after.predictions(split)]
    first = sides[0][0]
    for other in [*sides[0][1:], *sides[1]]:
        if (line := other_rows(first, other)) is not None:
            return line
    apart = _apart(before, sides[0], after, sides[1])
    if terms.must_agree and apart is None:
        seeds = " and ".join(", ".join(map(str, arm.seeds)) for arm in (before, after))
        return f"seeds: {seeds}; where predictions must agree, the candidate's are among the baseline's"
    same = apart is not None and apart <= terms.same
    resampled = [
        # By the baseline's task: the candidate's record only says that its own is the same.
        resample(task, predictions, arm.thresholds(), arm.seeds, replicates=0 if same else terms.replicates)
        for arm, predictions in zip((before, after), sides, strict=True)
    ]
    if resampled[0].units.digest != resampled[1].units.digest:
        return f"what the bootstrap draws: {resampled[0].units.described} and {resampled[1].units.described}"
    question = terms.question
    if before.nothing_random and after.nothing_random:
        # Run again it gives the same: which proteins were tested is the only chance.
        question = Question.WEIGHTS
    return Item(
        baseline=before,
        candidate=after,
        metric=resampled[0].metric,
        question=question,
        margin=terms.margins.get(task.name, task.margin),
        before=float(resampled[0].values.mean()),
        after=float(resampled[1].values.mean()),
        difference=None if same else difference(resampled[0], resampled[1], question),
        apart=apart,
        judgement=Judgement("pass", _same_as(before, after, terms), None),
        cost=_cost(before, after, terms),
        changed=changes(before, after),
    )


def _apart(before: Arm, first: Sequence[Predictions], after: Arm, second: Sequence[Predictions]) -> float | None:
    """The largest difference of predictions, and of thresholds, over the candidate's seeds."""
    known = {seed: (run, cut) for seed, run, cut in zip(before.seeds, first, before.thresholds(), strict=True)}
    largest = 0.0
    for seed, run, cut in zip(after.seeds, second, after.thresholds(), strict=True):
        if seed not in known:
            return None
        counterpart, its_cut = known[seed]
        if (cut is None) != (its_cut is None):
            return None
        largest = max(largest, largest_difference(counterpart, run))
        if cut is not None and its_cut is not None:
            largest = max(largest, float(np.abs(np.subtract(cut, its_cut)).max()))
    return largest


def _same_as(before: Arm, after: Arm, terms: Terms) -> str:
    missing = [str(seed) for seed in before.seeds if seed not in after.seeds]
    fewer = f", of seeds that both have (without {', '.join(missing)})" if missing else ""
    return f"the same predictions within {terms.same:g}{fewer}"


def _cost(before: Arm, after: Arm, terms: Terms) -> CostComparison:
    if terms.cost == "ignore":
        return CostComparison(not_compared="not asked for")
    first, second = ([record for _, record in arm.runs] for arm in (before, after))
    return compare_cost(first, second, terms.budgets.get(before.runs[0][0].name), terms.tolerances)


def _judged(items: Sequence[Item], terms: Terms) -> list[Item]:
    """The items with their verdicts; those of the tests are corrected for their number."""
    differences = [item.difference for item in items if item.difference is not None]
    margins = [item.margin for item in items if item.difference is not None]
    verdicts = iter(judge(differences, margins))
    return [
        item if item.difference is None else replace(item, judgement=_explained(item, next(verdicts), terms))
        for item in items
    ]


def _explained(item: Item, judgement: Judgement, terms: Terms) -> Judgement:
    """The judgement with what a reader can do about it."""
    if terms.must_agree:
        reason = f"predictions differ by up to {item.apart:.2g} (allowed: {terms.same:g})"
        return replace(judgement, verdict="regression", reason=reason)
    return replace(judgement, reason=_remedy(item, judgement)) if judgement.verdict == "inconclusive" else judgement


def _remedy(item: Item, judgement: Judgement) -> str:
    """Why the data do not tell, and how many seeds would."""
    found = item.difference
    assert found is not None
    if item.question is Question.WEIGHTS:
        least = (
            "" if found.detectable is None else f"; a loss below {found.detectable:.2g} cannot be told on this test set"
        )
        return judgement.reason + least
    needed = found.seeds_needed(item.margin)
    if min(found.seeds) < MIN_SEEDS:
        there = " and ".join(map(str, found.seeds))
        return (
            f"at least {needed or MIN_SEEDS} seeds an arm are needed to tell, there are {there} (baseline, candidate)"
        )
    if found.low is None:
        return judgement.reason
    if needed is None:
        return f"{judgement.reason}; no number of seeds shows a loss of {item.margin:g} on this test set"
    more = "more seeds" if needed <= min(found.seeds) else f"{needed} seeds an arm"
    return f"{judgement.reason}; {more} would show a loss of {item.margin:g}"


def terms_of(arms: Sequence[Arm]) -> Terms:
    """What the frozen baseline that holds these arms says a check is held to; defaults where they lie in none.

    Raises:
        UserError: its file is wrong.
    """
    folder = arms[0].runs[0][0].parent
    if not is_baseline(folder):
        return Terms()
    file = open_baseline(folder).file
    budgets = {run.folder: Costs(**arm.budgets.model_dump()) for arm in file.arms for run in arm.runs}
    agreed = file.prediction_tolerance
    return Terms(
        question=Question(file.question),
        margins=file.margins,
        same=SAME if agreed is None else agreed,
        must_agree=agreed is not None,
        tolerances=Costs(**file.tolerances.model_dump()),
        budgets={name: budget for name, budget in budgets.items() if budget != Costs()},
    )
