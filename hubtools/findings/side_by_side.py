"""Two sides of runs against each other, task by task: what ``bench compare`` shows, as numbers.

Everything is said of B against A, and positive is better, also of errors. Each pair is a
:class:`hubtools.findings.arm_comparison.Comparison`, judged by the rule of :mod:`hubtools.evaluation.statistics.verdicts`, with what a reader
wants to know beside: other metrics, classes, and how the predictions differ row by row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hubtools.common.errors import UserError
from hubtools.evaluation.statistics.agreement import Agreement, agreement
from hubtools.evaluation.statistics.by_class import ClassDifference, class_differences
from hubtools.evaluation.statistics.difference import CONFIDENCE, MIN_SEEDS, Question
from hubtools.evaluation.statistics.resampled import REPLICATES
from hubtools.evaluation.statistics.same_predictions import SAME
from hubtools.evaluation.statistics.verdicts import Verdict
from hubtools.findings.arm_comparison import Comparison, ComparisonRequest, NotComparable, compared, judged
from hubtools.findings.arms import Arm
from hubtools.findings.wording import lost, plural, share

# Intervals of single classes need no more, and a task may have a thousand of them.
CLASS_REPLICATES = 1_000


@dataclass(frozen=True)
class Pair:
    """One arm of A beside one of B.

    Attributes:
        label: what tells this pair from the others: the task, and more where a task has several pairs.
        found: the two compared; A is the baseline, B the candidate.
        classes: one a class, label or assay.
        agreement: how the predictions differ row by row.
        notes: what the reader should know.
    """

    label: str
    found: Comparison
    classes: tuple[ClassDifference, ...]
    agreement: Agreement
    notes: tuple[str, ...]

    def wins(self) -> tuple[int, int, int]:
        """Classes in which B is better, worse, and neither at 5 % after Holm's correction."""
        told = [row for row in self.classes if row.adjusted_p is not None and row.adjusted_p <= 1 - CONFIDENCE]
        better = sum((row.value or 0) > 0 for row in told)
        return better, len(told) - better, len(self.classes) - len(told)


@dataclass(frozen=True)
class SideBySide:
    """What came of comparing two sides.

    Attributes:
        a, b: what the user named.
        split: that was compared on.
        replicates: of the bootstrap.
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
        return [pair for pair in self.pairs if pair.found.verdict is verdict]

    @property
    def headline(self) -> str:
        """The largest loss, and the verdicts in one sentence."""
        if len(self.pairs) == 1:
            found = self.pairs[0].found
            return f"B is {_SAID.get(found.verdict, found.verdict.value)}: {lost(found)}; {found.judgement.reason}"
        counted = [f"{verdict} {len(those)}" for verdict in Verdict if (those := self.of(verdict))]
        worst = largest_loss([pair.found for pair in self.pairs])
        shown = f"; the largest loss: {worst.task_name}, {lost(worst)}" if worst else ""
        return f"{plural(len(self.pairs), 'comparison')} of B with A: {', '.join(counted)}{shown}"


_SAID = {Verdict.CANNOT_TELL: "not to be told from A", Verdict.NO_LOSS: "not worse by what counts"}


def largest_loss(found: Sequence[Comparison]) -> Comparison | None:
    """The comparison that lost most, in margins where these are known; None where none lost."""
    losses = [one for one in found if one.difference.value < 0 and not one.same]
    return min(losses, key=lambda one: one.difference.value / (one.margin or 1.0), default=None)


def compare(
    pairs: Sequence[tuple[Arm, Arm]],
    named: tuple[str, str],
    *,
    question: Question | None = None,
    metric: str | None = None,
    split: str = "test",
    replicates: int = REPLICATES,
    left_out: Sequence[str] = (),
) -> SideBySide:
    """Compare arms, pair by pair.

    Args:
        pairs: arms of A and B, as ``hubtools.findings.pairing.pair_arms`` gives them.
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
    for a, _ in pairs:
        if metric is not None and metric not in a.task.metrics.names:
            raise UserError(
                f"the task {a.task.name} has no metric {metric}",
                where="--metric",
                fix=f"It has {', '.join(a.task.metrics.names)}.",
            )
    pairs = sorted(pairs, key=lambda pair: (pair[0].record.identity.task.name, pair[0].record.identity.fraction or 1))
    found, refused = [], []
    for a, b in pairs:
        try:
            found.append(
                compared(
                    a,
                    b,
                    split,
                    ComparisonRequest(
                        question=question, metric=metric, others=True, same_within=SAME, replicates=replicates
                    ),
                )
            )
        except NotComparable as error:
            refused.append(f"{a.record.identity.task.name}, {_both(a, b)}: {error.what}")
    if refused:
        more = f" (and {plural(len(refused) - 1, 'more pair')})" if len(refused) > 1 else ""
        raise UserError(
            f"these cannot be compared: {refused[0]}{more}",
            fix="Run both on the same task file and data, or leave the task out with :task=NAME.",
        )
    made = [
        _pair(label, one, question, min(replicates, CLASS_REPLICATES))
        for label, one in zip(_labels(pairs), judged(found), strict=True)
    ]
    return SideBySide(*named, split, replicates, question, tuple(made), tuple(left_out))


def _pair(label: str, found: Comparison, asked: Question | None, replicates: int) -> Pair:
    """One comparison with what is known beside."""
    a, b, task = found.baseline, found.candidate, found.task
    one, other = a.predicted(found.split), b.predicted(found.split)
    runs = (one.predictions, one.thresholds, other.predictions, other.thresholds)
    return Pair(
        label=label,
        found=found,
        classes=tuple(class_differences(task, *runs, replicates=replicates)),
        agreement=agreement(task, one, other),
        notes=tuple(_notes(a, b, found.question, asked)),
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
