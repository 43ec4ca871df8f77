"""Learning curves from run records: score against training data, pretrained beside random weights.

A curve holds runs that answer one question (the board's, but for the share of the training data): the same task, data,
test rows, subset and protocol. A series is one checkpoint under one recipe, weights apart; at each share its seeds are
averaged as on the board, with the same interval, and the gain of pretrained weights is a paired difference as everywhere.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from statistics import fmean
from typing import Any

from hubtools.common.errors import UserError
from hubtools.common.escaping import spreadsheet_cell
from hubtools.common.hashing import digest
from hubtools.evaluation.statistics.arm_interval import ArmScore
from hubtools.evaluation.statistics.best_set import question_of
from hubtools.evaluation.statistics.difference import difference
from hubtools.evaluation.statistics.resampled import Resampled
from hubtools.findings.arms import Arm, ComparisonGroup, sound_runs, without_copies
from hubtools.findings.wording import number, plural, share, with_interval
from hubtools.runs.store import OpenRun
from hubtools.specs.record import RunRecord
from hubtools.specs.task import Task


@dataclass(frozen=True)
class Point:
    """One share of the training data.

    Attributes:
        fraction: the share, 1 for all.
        n: training proteins (pairs, in pair tasks), the mean over seeds.
        estimate: of the primary metric.
        resampled: the same under the resamplings that the runs kept; None where they kept none.
    """

    fraction: float
    n: float
    estimate: ArmScore
    resampled: Resampled | None = field(default=None, repr=False, compare=False)

    @property
    def seeds(self) -> tuple[int, ...]:
        """Seeds with a run."""
        return tuple(seed for seed, _ in self.estimate.by_seed)


@dataclass(frozen=True)
class Factor:
    """With how many times the training data random weights are as good as pretrained ones.

    Attributes:
        value: the factor, read off the random curve, straight between its points over the logarithm of n.
        bound: ``""`` where the score lies on the random curve; ``">"`` where the curve ends below it, so that the value
            is the least it can be; ``"<"`` where the curve begins above it.
    """

    value: float
    bound: str = ""

    def __str__(self) -> str:
        digits = f"{self.value:.2g}" if self.value < 100 else f"{self.value:,.0f}"
        return f"{self.bound} {digits} ×".strip()


@dataclass(frozen=True)
class Series:
    """One checkpoint under one recipe.

    Attributes:
        name: checkpoint and recipe.
        pretrained, random: points by rising n; either may be empty.
    """

    name: str
    pretrained: tuple[Point, ...]
    random: tuple[Point, ...]

    def pairs(self) -> list[tuple[Point | None, Point | None]]:
        """Pretrained and random points of the same share, by rising share."""
        mine, others = ({p.fraction: p for p in points} for points in (self.pretrained, self.random))
        return [(mine.get(f), others.get(f)) for f in sorted(mine.keys() | others.keys())]

    def factor(self, point: Point) -> Factor | None:
        """The data-efficiency factor of a pretrained point; None where it or the random curve is not defined."""
        return efficiency(point, self.random)


@dataclass(frozen=True)
class Curve:
    """All that is drawn in one panel.

    Attributes:
        question: what all runs answer; its share of the training data means nothing.
        task: the task file as used.
        metric: the primary one.
        split: where it was scored.
        series: by name.
        baselines: (name, estimate) from all training data.
    """

    question: ComparisonGroup
    task: Task
    metric: str
    split: str
    series: tuple[Series, ...]
    baselines: tuple[tuple[str, ArmScore], ...]

    @property
    def title(self) -> str:
        """Of the panel."""
        noun = self.noun
        subset = "" if self.question.subset is None else f", subset of at most {self.question.subset:,} {noun} a split"
        return f"{self.task.title or self.question.task}{subset}"

    @property
    def noun(self) -> str:
        """What a row is."""
        return self.task.problem.level.rows

    @property
    def higher_is_better(self) -> bool:
        """Direction of the metric."""
        points = [p for s in self.series for p in (*s.pretrained, *s.random)]
        return points[0].estimate.higher_is_better


def build_curves(
    found: Sequence[OpenRun], task: str | None = None, split: str = "test"
) -> tuple[list[Curve], list[str]]:
    """Learning curves of all questions that were answered from at least two shares of the training data.

    Args:
        found: folders and records, as ``hubtools.runs.store.find_records`` gives them.
        task: only this task.
        split: a test split.

    Returns:
        The curves, and notes on what is missing.

    Raises:
        UserError: there is none, or the split is one that choices were made on.
    """
    if split in {"train", "validation"}:
        raise UserError(f"curves are not drawn on {split}: choices were made on it", fix="Name a test split.")
    sound, altered = sound_runs([pair for pair in found if task in {None, pair[1].identity.task.name}])
    kept, notes = without_copies(sound)
    notes = altered + notes
    groups: dict[ComparisonGroup, list[OpenRun]] = defaultdict(list)
    unfinished = 0
    for run in kept:
        _, record = run
        if record.status != "complete":
            unfinished += record.identity.fraction is not None or record.suite == "learning-curve"
        elif record.score(split) is not None and record.data is not None and "train" in record.data.splits:
            groups[replace(ComparisonGroup.of(record, split), fraction=None)].append(run)
    curves = [
        curve
        for question, members in sorted(groups.items(), key=lambda pair: str(pair[0]))
        if (curve := _curve(question, members, split)) is not None
    ]
    if not curves:
        of = f" of the task {task}" if task else ""
        raise UserError(
            f"no run{of} learnt from a share of the training data",
            fix="Make some: bench run --suite learning-curve --checkpoint … --task …",
        )
    if unfinished:
        notes.append(
            f"{plural(unfinished, 'run')} of a learning curve did not finish and {'is' if unfinished == 1 else 'are'} not drawn."
        )
    for curve in curves:
        notes += _missing(curve)
    return curves, notes


def _curve(question: ComparisonGroup, found: Sequence[OpenRun], split: str) -> Curve | None:
    by_series: dict[Any, list[OpenRun]] = defaultdict(list)
    baselines: dict[str, list[OpenRun]] = defaultdict(list)
    for pair in found:
        identity = pair[1].identity
        if identity.checkpoint is not None:
            by_series[_series_key(pair[1])].append(pair)
        elif identity.fraction is None:
            baselines[identity.recipe.hash].append(pair)
    series = [
        made
        for members in by_series.values()
        # A single share is no curve, whatever stands beside it on the board.
        if len({record.identity.fraction for _, record in members}) > 1 and (made := _series(members, split))
    ]
    if not series:
        return None
    lines = [(members[0][1].identity.recipe.name, _arm(members).score(split)) for members in baselines.values()]
    lines = sorted((line for line in lines if line[1].value is not None), key=lambda line: line[1].sort_key)
    latest = max((record for _, record in found), key=lambda record: record.started)
    ordered = tuple(sorted(series, key=lambda s: s.name))
    return Curve(question, latest.task_spec, latest.primary_metric, split, ordered, tuple(lines))


def _arm(found: Sequence[OpenRun]) -> Arm:
    return Arm(tuple(sorted(found, key=lambda pair: pair[1].identity.seed)))


def _series_key(record: RunRecord) -> tuple[Any, ...]:
    """The checkpoint and what is done with it; whether its weights are pretrained is what is compared."""
    checkpoint = record.identity.checkpoint
    assert checkpoint is not None
    which = checkpoint.sha256 if checkpoint.source == "local" else (checkpoint.name, checkpoint.commit)
    procedure = {k: v for k, v in record.recipe.items() if k not in {"name", "title", "summary", "weights"}}
    return which, digest(procedure)


def _series(found: Sequence[OpenRun], split: str) -> Series:
    by_share: dict[tuple[bool, float], list[OpenRun]] = defaultdict(list)
    for pair in found:
        identity = pair[1].identity
        by_share[pair[1].from_scratch, identity.fraction or 1.0].append(pair)
    points: dict[bool, list[Point]] = {False: [], True: []}
    for (random, fraction), members in sorted(by_share.items(), key=lambda item: item[0]):
        arm = _arm(members)
        n = fmean(_learnt_from(record) for _, record in members)
        points[random].append(Point(fraction, n, arm.score(split), arm.kept(split)))
    records = [record for _, record in found]
    named = next((r for r in records if not r.from_scratch), records[0])
    fields = [f"{k}={v}" for k, v in sorted(named.overrides.items()) if k != "weights"]
    return Series(
        ", ".join([named.subject, named.identity.recipe.name, *fields]), tuple(points[False]), tuple(points[True])
    )


def _learnt_from(record: RunRecord) -> int:
    """Training proteins, or pairs where the rows are pairs."""
    assert record.data is not None
    train = record.data.splits["train"]
    return train.labelled if record.task_spec.problem.level.proteins > 1 else train.proteins


def efficiency(point: Point, random: Sequence[Point]) -> Factor | None:
    """With how many times a point's training data random weights reach its score.

    Args:
        point: of the pretrained series.
        random: of its twin, by rising n.
    """
    score, upwards = point.estimate.value, point.estimate.higher_is_better
    curve = [(p.n, p.estimate.value) for p in random if p.estimate.value is not None]
    if score is None or len(curve) < 2:
        return None
    sign = 1 if upwards else -1
    heights = [(n, sign * (value - score)) for n, value in curve]
    if heights[0][1] >= 0:
        # At its first point already as good: with how little is not known.
        return Factor(heights[0][0] / point.n, "" if heights[0][1] == 0 else "<")
    for (n, below), (further, above) in pairwise(heights):
        if below < 0 <= above:
            reached = math.exp(math.log(n) + (math.log(further) - math.log(n)) * -below / (above - below))
            return Factor(reached / point.n)
    return Factor(curve[-1][0] / point.n, ">")


@dataclass(frozen=True)
class Gain:
    """How much better pretrained weights are than random ones.

    Attributes:
        value: positive where they are better.
        low, high: 95 % interval; None where there is none.
        of_weights: whether it is of these very weights, because there are too few seeds to speak of the recipe.
    """

    value: float
    low: float | None
    high: float | None
    of_weights: bool

    def __str__(self) -> str:
        return with_interval(self.value, self.low, self.high, self.of_weights)


def gain(pretrained: Point | None, random: Point | None) -> Gain | None:
    """The gain at one share, by the paired difference of :func:`hubtools.evaluation.statistics.difference.difference`."""
    if pretrained is None or random is None:
        return None
    mine, other = pretrained.estimate, random.estimate
    if mine.value is None or other.value is None:
        return None
    value = (1 if mine.higher_is_better else -1) * (mine.value - other.value)
    drawn = random.resampled, pretrained.resampled
    if drawn[0] is None or drawn[1] is None or drawn[0].units.digest != drawn[1].units.digest:
        return Gain(value, None, None, of_weights=True)
    question = question_of(drawn[0], drawn[1])
    found = difference(drawn[0], drawn[1], question)
    return Gain(value, found.low, found.high, question.value == "weights")


def _missing(curve: Curve) -> list[str]:
    """Lines on points and seeds that the curve lacks."""
    notes = []
    for series in curve.series:
        where = f"{curve.question.task}, {series.name}"
        points = [
            (kind, p) for kind, ps in (("pretrained", series.pretrained), ("random weights", series.random)) for p in ps
        ]
        if not series.random:
            notes.append(f"{where}: no run with random weights (--set weights=random), so there is no gain to tell.")
        elif lone := [share(p.fraction) for a, b in series.pairs() for p in (a, b) if p and (a is None or b is None)]:
            notes.append(f"{where}: only one of pretrained and random weights at {', '.join(lone)}.")
        most = max((p.seeds for _, p in points), key=len)
        for kind, point in points:
            if set(point.seeds) != set(most):
                seeds = ", ".join(map(str, point.seeds))
                notes.append(
                    f"{where}: {kind} at {share(point.fraction)} has seeds {seeds}, others {', '.join(map(str, most))}."
                )
            if point.estimate.value is None:
                notes.append(f"{where}: {kind} at {share(point.fraction)}: {curve.metric} is not defined.")
        if len(most) == 1:
            notes.append(
                f"{where}: one seed; what another draw of the training proteins would change was not measured."
            )
    return notes


def as_rows(curves: Sequence[Curve]) -> list[dict[str, Any]]:
    """One row a point of a series and one a baseline, all numbers in full."""
    rows = []
    for curve in curves:
        common = {
            "task": curve.question.task,
            "version": curve.question.version,
            "subset": curve.question.subset,
            "split": curve.split,
            "metric": curve.metric,
        }
        for series in curve.series:
            for kind, points in (("pretrained", series.pretrained), ("random", series.random)):
                for point in points:
                    factor = series.factor(point) if kind == "pretrained" else None
                    twin = next((b for a, b in series.pairs() if a is point), None)
                    gained = gain(point, twin) if kind == "pretrained" else None
                    rows.append(
                        common
                        | {"series": series.name, "weights": kind, "fraction": point.fraction, "n": point.n}
                        | _numbers(point.estimate)
                        | {
                            "gain": gained.value if gained else None,
                            "gain_low": gained.low if gained else None,
                            "gain_high": gained.high if gained else None,
                            "gain_of": ("weights" if gained.of_weights else "recipe") if gained else None,
                            "data_factor": factor.value if factor else None,
                            "data_factor_bound": factor.bound if factor else "",
                        }
                    )
        for name, estimate in curve.baselines:
            rows.append(
                common
                | {"series": name, "weights": "baseline", "fraction": 1.0, "n": None}
                | _numbers(estimate)
                | dict.fromkeys(("gain", "gain_low", "gain_high", "gain_of", "data_factor"))
                | {"data_factor_bound": ""}
            )
    return rows


def _numbers(estimate: ArmScore) -> dict[str, Any]:
    return {
        "value": estimate.value,
        "low": estimate.low,
        "high": estimate.high,
        "higher_is_better": estimate.higher_is_better,
        "seeds": {str(seed): value for seed, value in estimate.by_seed},
    }


def as_json(curves: Sequence[Curve], notes: Sequence[str]) -> str:
    """All numbers of the figure."""
    content = {"points": as_rows(curves), "notes": list(notes)}
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def as_tsv(curves: Sequence[Curve]) -> str:
    """The same numbers, one line a point."""
    stream = io.StringIO()
    rows = as_rows(curves)
    writer = csv.DictWriter(stream, list(rows[0]), delimiter="\t", lineterminator="\n")
    writer.writeheader()
    shown = (row | {"seeds": " ".join(f"{s}:{v}" for s, v in row["seeds"].items())} for row in rows)
    writer.writerows({key: spreadsheet_cell(value) for key, value in row.items()} for row in shown)
    return stream.getvalue()


def score_text(point: Point | None) -> str:
    """A point's score for people, with its interval."""
    if point is None:
        return number(None)
    found = point.estimate
    return with_interval(found.value, found.low, found.high, len(point.seeds) == 1)
