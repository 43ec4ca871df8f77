"""A check: every arm of a baseline against the candidate's, and a verdict on each and on all.

What cannot be compared is not: other data, other rows, another task version, or a missing task is a problem that ends the
check before anything is judged. What predicts the same passes without a test, and is none of the tests that Holm's method
corrects for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from hubtools.evaluation.statistics.cost import TOLERANCES, CostComparison, Costs, compare_cost
from hubtools.evaluation.statistics.difference import Question
from hubtools.evaluation.statistics.resampled import REPLICATES
from hubtools.evaluation.statistics.same_predictions import SAME
from hubtools.evaluation.statistics.verdicts import Verdict
from hubtools.findings.arm_comparison import NOT_ASKED, Comparison, ComparisonRequest, NotComparable, compared, judged
from hubtools.findings.arms import Arm
from hubtools.findings.frozen_baseline import is_baseline, open_baseline
from hubtools.findings.pairing import answers
from hubtools.specs.lookup.spec_files import load_task
from hubtools.specs.suite import Suite

# What an unclear verdict, or too high a cost, does to the check as a whole.
Severity = Literal["fail", "warn", "ignore"]
Outcome = Literal["pass", "worse", "over budget", "cannot tell", "error"]
EXIT_CODES: dict[Outcome, int] = {"pass": 0, "worse": 1, "over budget": 1, "error": 2, "cannot tell": 3}


@dataclass(frozen=True)
class Terms:
    """What a check is held to.

    Attributes:
        question: weights or recipe.
        margins: task -> the loss that counts as worse, where it is not the task's own.
        same: largest difference of two predictions that are called the same.
        must_agree: whether predictions that are not the same fail, whatever their score: a golden check.
        tolerances: how many times its budget a run may cost.
        budgets: name of the first run's folder -> what a run of its arm may cost, where it is not what it did.
        cannot_tell, cost: what an open verdict, and a cost over its budget, does to the check.
        replicates: of the bootstrap.
    """

    question: Question = Question.RECIPE
    margins: Mapping[str, float] = field(default_factory=dict)
    same: float = SAME
    must_agree: bool = False
    tolerances: Costs = TOLERANCES
    budgets: Mapping[str, Costs] = field(default_factory=dict)
    cannot_tell: Severity = "fail"
    cost: Severity = "fail"
    replicates: int = REPLICATES


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

    items: list[Comparison]
    problems: list[str]
    notes: list[str]
    terms: Terms
    split: str

    @property
    def worse(self) -> list[Comparison]:
        """Comparisons in which a loss that counts is shown, or other predictions where they must agree."""
        return [item for item in self.items if item.verdict.fails]

    @property
    def unclear(self) -> list[Comparison]:
        """Those that the data do not decide."""
        return [item for item in self.items if item.verdict is Verdict.CANNOT_TELL]

    @property
    def passed(self) -> list[Comparison]:
        """Those in which a loss that counts is excluded."""
        return [item for item in self.items if item.verdict.passes]

    @property
    def over_budget(self) -> list[Comparison]:
        """Items that cost more than they may."""
        return [item for item in self.items if item.cost.over]

    @property
    def outcome(self) -> Outcome:
        """The verdict on all: the worst one."""
        if self.problems:
            return "error"
        if self.worse:
            return "worse"
        if self.terms.cost == "fail" and self.over_budget:
            return "over budget"
        return "cannot tell" if self.unclear else "pass"

    @property
    def exit_code(self) -> int:
        """0 pass, 1 worse or over budget, 2 not comparable, 3 cannot tell (0 where that is to warn only)."""
        forgiven = self.outcome == "cannot tell" and self.terms.cannot_tell == "warn"
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
    problems, notes = list(paired.problems), list(paired.notes)
    items = []
    for before, after in paired.pairs:
        try:
            items.append(_compared(before, after, terms, split))
        except NotComparable as error:
            problems.append(f"{_task(before)}, {before.name}: {error.what}")
    if problems:
        return Check([], problems, notes, terms, split)
    notes += [
        f"{item.task_name}, {item.name}: these are the baseline's own runs, copied" for item in items if _copied(item)
    ]
    order = list(Verdict)
    found = [_held_to(item, terms) for item in judged(items)]
    return Check(
        sorted(found, key=lambda item: (order.index(item.verdict), not item.cost.over, item.task_name)),
        [],
        notes,
        terms,
        split,
    )


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


def _copied(item: Comparison) -> bool:
    """Whether the candidate is the baseline, and nothing was run again."""
    before, after = ([(r.run_id, r.started) for _, r in arm.runs] for arm in (item.baseline, item.candidate))
    return item.apart == 0 and before == after


def _compared(before: Arm, after: Arm, terms: Terms, split: str) -> Comparison:
    """One pair of arms, with its cost.

    Raises:
        NotComparable: they are not of one question.
    """
    shares = [arm.record.identity.fraction for arm in (before, after)]
    if shares[0] != shares[1]:
        shown = " and ".join("all" if share is None else f"{100 * share:g} %" for share in shares)
        raise NotComparable(f"share of the training data: {shown}")
    found = compared(
        before,
        after,
        split,
        ComparisonRequest(
            question=terms.question,
            margin=terms.margins.get(_task(before)),
            same_within=terms.same,
            replicates=terms.replicates,
        ),
    )
    if terms.must_agree and found.apart is None:
        seeds = " and ".join(", ".join(map(str, arm.seeds)) for arm in (before, after))
        raise NotComparable(f"seeds: {seeds}; where predictions must agree, the candidate's are among the baseline's")
    return replace(found, cost=_cost(before, after, terms))


def _cost(before: Arm, after: Arm, terms: Terms) -> CostComparison:
    if terms.cost == "ignore":
        return NOT_ASKED
    first, second = ([record for _, record in arm.runs] for arm in (before, after))
    return compare_cost(first, second, terms.budgets.get(before.runs[0][0].name), terms.tolerances)


def _held_to(item: Comparison, terms: Terms) -> Comparison:
    """The comparison by the rule of a golden check, where this is one."""
    if not terms.must_agree or item.same:
        return item
    reason = f"predictions differ by up to {item.apart:.2g} (allowed: {terms.same:g})"
    return replace(item, judgement=replace(item.judgement, verdict=Verdict.OTHER, reason=reason))


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
