"""Two sides of runs against each other, task by task: what ``bench compare`` shows, as numbers.

Everything is said of B against A, and positive is better, also of errors. The verdict on a pair of arms, with m the
margin of the task and p corrected by Holm's method over the pairs:

better, worse      p is at most 5 %, and zero is outside the 95 % interval.
equivalent         neither, and the interval lies within ±m: a difference that counts is excluded. Or the predictions are
                   the same.
no difference      none is shown, and none is excluded.
cannot tell        there is no interval: too few seeds for the question, one cluster, a metric that is not defined.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from statistics import stdev

from hubtools.evaluation.agreement import Agreement, agreement
from hubtools.evaluation.classes import ClassDifference, class_differences
from hubtools.evaluation.comparison import CONFIDENCE, MIN_SEEDS, Difference, Question, difference
from hubtools.evaluation.gate import holm
from hubtools.evaluation.predictions import Predictions
from hubtools.evaluation.randomisation import randomisation_p
from hubtools.evaluation.resampled import REPLICATES, resample_metrics
from hubtools.evaluation.sameness import other_rows
from hubtools.reporting.wording import plural, share, signed
from hubtools.runs.arms import Arm, mismatches
from hubtools.runs.changes import Change, changes
from hubtools.specs.errors import UserError
from hubtools.specs.task import Task

# Intervals of single classes need no more, and a task may have a thousand of them.
CLASS_REPLICATES = 1_000


class Verdict(StrEnum):
    """What a comparison comes to, of B."""

    BETTER = "better"
    WORSE = "worse"
    EQUIVALENT = "equivalent"
    NO_DIFFERENCE = "no difference shown"
    CANNOT_TELL = "cannot tell"


@dataclass(frozen=True)
class Side:
    """One arm of a pair.

    Attributes:
        arm: its runs.
        values: the metric of each run, by seed; None where undefined.
    """

    arm: Arm
    values: tuple[float | None, ...]

    @property
    def mean(self) -> float | None:
        """Over the runs; None where one has no value."""
        defined = [value for value in self.values if value is not None]
        return sum(defined) / len(defined) if len(defined) == len(self.values) else None

    @property
    def deviation(self) -> float | None:
        """Standard deviation over the runs; None of a single one."""
        defined = [value for value in self.values if value is not None]
        return stdev(defined) if len(defined) == len(self.values) > 1 else None


@dataclass(frozen=True)
class Pair:
    """One arm of A beside one of B.

    Attributes:
        label: what tells this pair from the others: the task, and more where a task has several pairs.
        task: the task file as used.
        a, b: the arms.
        found: the difference in the metric compared; positive where B is better.
        margin: the difference that counts; None where the metric is not the one that the task's margin is about.
        p_value: two-sided, of no difference; None where there is none.
        p_method: how it was computed.
        adjusted_p: after Holm's correction over all pairs.
        verdict, reason: what it comes to, and why, in one line.
        seeds_needed: runs an arm with which a difference of the margin would be found; None where that is not known.
        secondary: the task's other metrics; of these nothing is corrected.
        classes: one a class, label or assay.
        agreement: how the predictions differ row by row.
        changed: what is not the same beside the scores.
        notes: what the reader should know.
    """

    label: str
    task: Task
    a: Side
    b: Side
    found: Difference
    margin: float | None
    p_value: float | None
    p_method: str
    adjusted_p: float | None
    verdict: Verdict
    reason: str
    seeds_needed: int | None
    secondary: tuple[Difference, ...]
    classes: tuple[ClassDifference, ...]
    agreement: Agreement
    changed: tuple[Change, ...]
    notes: tuple[str, ...]

    def wins(self) -> tuple[int, int, int]:
        """Classes in which B is better, worse, and neither at 5 % after Holm's correction."""
        told = [row for row in self.classes if row.adjusted_p is not None and row.adjusted_p <= 1 - CONFIDENCE]
        better = sum((row.value or 0) > 0 for row in told)
        return better, len(told) - better, len(self.classes) - len(told)


@dataclass(frozen=True)
class Comparison:
    """What came of a comparison.

    Attributes:
        a, b: what the user named.
        split: that was compared on.
        replicates: of the bootstrap and the randomisation.
        asked: the question, where the user named one.
        pairs: by label.
        left_out: what has no counterpart, one line each.
    """

    a: str
    b: str
    split: str
    replicates: int
    asked: Question | None
    pairs: tuple[Pair, ...]
    left_out: tuple[str, ...]

    def of(self, verdict: Verdict) -> list[Pair]:
        """Pairs with that verdict."""
        return [pair for pair in self.pairs if pair.verdict is verdict]

    @property
    def headline(self) -> str:
        """The verdicts in one sentence."""
        if len(self.pairs) == 1:
            return f"B is {_SAID[self.pairs[0].verdict]}: {self.pairs[0].reason}"
        counted = [f"{verdict} {len(found)}" for verdict in Verdict if (found := self.of(verdict))]
        return f"{plural(len(self.pairs), 'comparison')} of B with A: {', '.join(counted)}"


_SAID = {
    Verdict.BETTER: "better",
    Verdict.WORSE: "worse",
    Verdict.EQUIVALENT: "equivalent",
    Verdict.NO_DIFFERENCE: "neither better nor worse as far as shown",
    Verdict.CANNOT_TELL: "not to be told from A",
}


def compare(
    pairs: Sequence[tuple[Arm, Arm]],
    named: tuple[str, str],
    *,
    question: Question | None = None,
    metric: str | None = None,
    split: str = "test",
    replicates: int = REPLICATES,
    left_out: Sequence[str] = (),
) -> Comparison:
    """Compare arms, pair by pair.

    Args:
        pairs: arms of A and B, as ``hubtools.runs.pairing.pair_arms`` gives them.
        named: what the user wrote for A and B.
        question: by default ``recipe`` where both arms have three seeds, else ``weights``.
        metric: by default each task's primary one.
        split: a test split.
        replicates: of the bootstrap.
        left_out: what has no counterpart.

    Raises:
        UserError: two arms do not answer the same question, or not on the same rows; a task has not this metric;
            predictions cannot be read.
    """
    refused = [
        f"{a.record.identity.task.name}, {_both(a, b)}: {'; '.join(lines)}"
        for a, b in pairs
        if (lines := mismatches(a, b, split))
    ]
    if refused:
        more = f" (and {plural(len(refused) - 1, 'more pair')})" if len(refused) > 1 else ""
        raise UserError(
            f"these cannot be compared: {refused[0]}{more}",
            fix="Run both on the same task file and data, or leave the task out with :task=NAME.",
        )
    for a, _ in pairs:
        if metric is not None and metric not in a.task.metrics.names:
            raise UserError(
                f"the task {a.task.name} has no metric {metric}",
                where="--metric",
                fix=f"It has {', '.join(a.task.metrics.names)}.",
            )
    pairs = sorted(pairs, key=lambda pair: (pair[0].record.identity.task.name, pair[0].record.identity.fraction or 1))
    labels = _labels(pairs)
    made = [
        _pair(label, a, b, question, metric, split, replicates) for label, (a, b) in zip(labels, pairs, strict=True)
    ]
    adjusted = holm([pair.p_value for pair in made])
    judged = tuple(_judged(pair, p, len(made)) for pair, p in zip(made, adjusted, strict=True))
    return Comparison(*named, split, replicates, question, judged, tuple(left_out))


def _pair(label: str, a: Arm, b: Arm, asked: Question | None, metric: str | None, split: str, replicates: int) -> Pair:
    """One pair without its verdict."""
    task = a.task
    before, after = a.predictions(split), b.predictions(split)
    _same_rows(label, a, b, before, after)
    cuts, other_cuts = a.thresholds(), b.thresholds()
    chosen = metric or task.metrics.primary
    names = [chosen, *(name for name in task.metrics.names if name != chosen)]
    question = question_of(a, b, asked)
    drawn = resample_metrics(task, before, cuts, a.seeds, names, replicates=replicates)
    other_drawn = resample_metrics(task, after, other_cuts, b.seeds, names, replicates=replicates)
    if drawn[0].units.digest != other_drawn[0].units.digest:
        told = f"{drawn[0].units.described} and {other_drawn[0].units.described}"
        raise UserError(f"these cannot be compared: {label}: what the bootstrap draws differs ({told})")
    differences = [difference(one, other, question) for one, other in zip(drawn, other_drawn, strict=True)]
    found = differences[0]
    p_value, p_method = found.p_value, "t-test over seeds and clusters"
    if found.identical:
        # Nothing was tested, and nothing is to be corrected for.
        p_value, p_method = None, "none: the same scores in every replicate"
    elif question is Question.WEIGHTS:
        p_method = "bootstrap"
        if p_value is not None:
            swapped = randomisation_p(task, before, cuts, after, other_cuts, metric=chosen, replicates=replicates)
            if swapped is not None:
                p_value, p_method = swapped, "approximate randomisation"
    return Pair(
        label=label,
        task=task,
        a=Side(a, tuple(_defined(value) for value in drawn[0].values)),
        b=Side(b, tuple(_defined(value) for value in other_drawn[0].values)),
        found=found,
        margin=task.margin if chosen == task.metrics.primary else None,
        p_value=_defined(p_value),
        p_method=p_method,
        adjusted_p=None,
        verdict=Verdict.CANNOT_TELL,
        reason="",
        seeds_needed=None,
        secondary=tuple(differences[1:]),
        classes=tuple(
            class_differences(task, before, cuts, after, other_cuts, replicates=min(replicates, CLASS_REPLICATES))
        ),
        agreement=agreement(task, before, cuts, a.seeds, after, other_cuts, b.seeds),
        changed=tuple(changes(a, b)),
        notes=tuple(_notes(a, b, question, asked)),
    )


def question_of(a: Arm, b: Arm, asked: Question | None = None) -> Question:
    """What the user asks, or else what the seeds can answer. Where nothing is random both questions are one."""
    if a.nothing_random and b.nothing_random:
        return Question.WEIGHTS
    return asked or (Question.RECIPE if min(len(a.runs), len(b.runs)) >= MIN_SEEDS else Question.WEIGHTS)


def _judged(pair: Pair, adjusted: float | None, tests: int) -> Pair:
    """The pair with its verdict."""
    verdict, reason = verdict_of(pair.found, pair.margin, adjusted, tests)
    needed = None
    if verdict in {Verdict.NO_DIFFERENCE, Verdict.CANNOT_TELL} and pair.found.question is Question.RECIPE:
        if pair.found.low is None:
            needed = MIN_SEEDS if min(pair.found.seeds) < MIN_SEEDS else None
        elif pair.margin is not None:
            needed = pair.found.seeds_needed(pair.margin)
    return replace(pair, adjusted_p=adjusted, verdict=verdict, reason=reason, seeds_needed=needed)


def verdict_of(found: Difference, margin: float | None, adjusted: float | None, tests: int) -> tuple[Verdict, str]:
    """What a difference comes to, and why in one line, by the rules at the head of this module.

    Args:
        found: the difference.
        margin: that counts; None where none is stated for this metric.
        adjusted: its p-value after Holm's correction.
        tests: how many differences were corrected for.
    """
    if found.identical:
        return Verdict.EQUIVALENT, "both scored the same in every replicate"
    if math.isnan(found.value):
        return Verdict.CANNOT_TELL, f"{found.metric} is not defined in every run"
    if found.low is None or found.high is None:
        if found.question is Question.RECIPE and min(found.seeds) < MIN_SEEDS:
            return (
                Verdict.CANNOT_TELL,
                f"needs at least {MIN_SEEDS} seeds an arm, there are {found.seeds[0]} and {found.seeds[1]}",
            )
        return Verdict.CANNOT_TELL, f"there is no interval over {found.units}"
    within = margin is not None and -margin < found.low and found.high < margin
    outside = found.low > 0 or found.high < 0
    if outside and adjusted is not None and adjusted <= 1 - CONFIDENCE:
        small = f", but by less than the margin of {margin:g}" if within else ""
        verdict = Verdict.BETTER if found.value > 0 else Verdict.WORSE
        return verdict, f"by {signed(abs(found.value)).lstrip('+')}{small}"
    if within:
        return Verdict.EQUIVALENT, f"the whole interval is within the margin of ±{margin:g}"
    if outside and tests > 1:
        return Verdict.NO_DIFFERENCE, f"its own interval excludes zero, but not after correction for {tests} tests"
    if outside:
        return Verdict.NO_DIFFERENCE, "the interval excludes zero, but the test does not confirm it"
    about = "a difference that counts" if margin is None else f"a difference of {margin:g}"
    return Verdict.NO_DIFFERENCE, f"the interval contains zero, and {about} is not excluded"


def _same_rows(label: str, a: Arm, b: Arm, before: Sequence[Predictions], after: Sequence[Predictions]) -> None:
    """Refuse predictions of other rows, whatever the records say."""
    folders = [folder for folder, _ in (*a.runs, *b.runs)]
    for folder, predictions in zip(folders, (*before, *after), strict=True):
        if (line := other_rows(before[0], predictions)) is not None:
            raise UserError(
                f"these cannot be compared: {label}: {line}, in {folders[0].name} and {folder.name}",
                fix="Run both on the same data with the same version of bench.",
            )


def _notes(a: Arm, b: Arm, question: Question, asked: Question | None) -> list[str]:
    """What may differ and does, and what the reader should know of the seeds."""
    notes = []
    if a.nothing_random and b.nothing_random:
        notes.append("nothing in these runs is random: made again they are the same, with any seed")
    elif asked is None and question is Question.WEIGHTS:
        notes.append(
            f"with fewer than {MIN_SEEDS} seeds an arm this is about these very weights; training again may turn out otherwise"
        )
    one, other = a.record.identity, b.record.identity
    if one.protocol != other.protocol:
        notes.append(f"made under different protocols of bench: {one.protocol} and {other.protocol}")
    if one.fraction != other.fraction:
        notes.append(f"learnt from {share(one.fraction or 1)} and {share(other.fraction or 1)} of the training data")
    shared = {record.run_id for _, record in a.runs} & {record.run_id for _, record in b.runs}
    folders = {folder.resolve() for folder, _ in a.runs} & {folder.resolve() for folder, _ in b.runs}
    if folders:
        notes.append(f"{plural(len(folders), 'run')} on both sides, so that the arms are not independent")
    elif shared and a.seeds == b.seeds:
        notes.append("the same runs made twice")
    return notes


def _labels(pairs: Sequence[tuple[Arm, Arm]]) -> list[str]:
    """A name of each pair: its task, and where a task has several pairs in what they differ."""
    parts = [(a.record.identity.task.name, _both(a, b), _shares(a, b)) for a, b in pairs]
    labels = []
    for task, both, shares in parts:
        mine = [part for part in parts if part[0] == task]
        apart = [both] if len({part[1] for part in mine}) > 1 else []
        apart += [shares] if len({part[2] for part in mine}) > 1 else []
        labels.append(", ".join([task, *apart]))
    return labels


def _shares(a: Arm, b: Arm) -> str:
    """The share of the training data that each learnt from."""
    shown = dict.fromkeys(share(arm.record.identity.fraction or 1) for arm in (a, b))
    return f"{' → '.join(shown)} of train"


def _both(a: Arm, b: Arm) -> str:
    return a.name if a.name == b.name else f"{a.name} → {b.name}"


def _defined(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)
