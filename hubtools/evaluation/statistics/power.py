"""What a comparison could show, said before it is made: by the formula of :mod:`hubtools.evaluation.statistics.difference`.

Of runs that are there, their own variance between seeds tells (:func:`power_of_runs`). Of a test set alone, two models are
made up that are equally good and differ on one row in ten (:func:`power_of_split`). Rows are wrong independently of each
other: that is the best that a test set can do, so what is said not to be shown is not. Margins are never made from it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from hubtools.evaluation.predictions import Predictions
from hubtools.evaluation.statistics.arm_interval import at_least, complete, covariances
from hubtools.evaluation.statistics.difference import (
    MIN_SEEDS,
    Chance,
    PairChance,
    Question,
    arm_chance,
    detectable,
    difference,
    pair_chance,
)
from hubtools.evaluation.statistics.resampled import ArmPredictions, Resampled, resample
from hubtools.evaluation.statistics.resampling import encode
from hubtools.specs.task import Task

# Of the rows of a class, or of the variance of errors: what two made-up models, or two seeds of one, do not share.
APART = 0.1
# Of the rows of a class: those on which both made-up models are wrong, at most.
WRONG = 0.2
# Standard deviation of a made-up model's errors in that of the truth: the correlation is then 0.8.
NOISE = 0.75
# A standard error from so many replicates is known to 4 %.
FEW_REPLICATES = 300
# Rows whose metric is drawn so often within a second; of more, a tenth as often, which is known to 13 %.
MANY_ROWS = 100_000


@dataclass(frozen=True)
class Power:
    """What a comparison of two arms could show.

    Attributes:
        metric: its name.
        seeds: runs of each arm.
        detectable: the smallest true loss that is shown, or excluded where there is none, in 80 % of cases, in units of
            the metric.
        floor: the same with any number of seeds; 0 where only seeds are what may vary; equal to ``detectable`` where fixed
            weights are compared.
        units: what is resampled, in words.
        assumption: what was taken for true of the two arms, in words that follow "where".
    """

    metric: str
    seeds: int
    detectable: float
    floor: float
    units: str
    assumption: str

    def sees(self, margin: float) -> bool:
        """Whether a loss of the margin would be shown."""
        return self.detectable <= margin


def power_of_runs(arm: Resampled) -> Power | None:
    """What comparing an arm with another of as many runs could show, where training again is the question.

    The candidate's seeds are taken to scatter as the arm's do, and the candidate to suit the same clusters, as after a
    change of code or recipe: V_shared is 0. Of another model it is not, and :func:`power_of_split` tells the floor.
    Simulated, five seeds find a loss of that size in 80 % of cases and three in 69 %, for the degrees of freedom of three
    are estimated too, and are then often fewer.

    Args:
        arm: at least three runs.

    Returns:
        None of fewer runs, and where there is no interval.
    """
    drawn = complete(arm.drawn)
    if len(arm.values) < MIN_SEEDS or drawn is None or np.isnan(arm.values).any():
        return None
    chance = arm_chance(covariances(drawn, arm.units), arm.values)
    found = pair_chance(chance, chance, chance.clusters, np.nan, np.nan, arm.units.degrees)
    assumption = "the candidate is good at the same proteins and its seeds scatter as these do"
    return Power(arm.metric, len(arm.values), _shown(found), 0.0, arm.units.described, assumption)


def power_of_split(
    task: Task, rows: Predictions, seeds: int = MIN_SEEDS, question: Question = Question.RECIPE
) -> Power | None:
    """What a test set could show before anything is trained: from its labels, the task's metric and its resampling.

    Two seeds of one model are taken to differ as much as two models: then Var = V + V / k, with V the variance of the
    difference of the two made-up models.

    Args:
        task: the task.
        rows: of a test split; of its scores only the shape is used.
        seeds: runs of each arm.
        question: what is asked; fewer than three seeds are always compared as fixed weights.

    Returns:
        None where the metric is not defined on such rows, or the split has too few of what is resampled.
    """
    if len(rows) < 2 or task.problem.level.within == "protein":
        # No two models of contacts can be made up whose errors are as those of true ones.
        return None
    first, second, assumption = _made_up(task, rows)
    positive = task.positive_index
    needed = rows.n_outputs if task.problem.kind == "multilabel" else 0 if positive is None else 1
    thresholds = [0.5] * needed or None
    replicates = FEW_REPLICATES if len(rows) < MANY_ROWS else FEW_REPLICATES // 10
    one, other = (
        resample(task, ArmPredictions([model], [thresholds], [0]), replicates=replicates) for model in (first, second)
    )
    found = difference(one, other, Question.WEIGHTS)
    if not found.detectable or found.shared is None or not math.isfinite(found.detectable):
        return None
    power = Power(found.metric, seeds, found.detectable, found.detectable, found.units, assumption)
    if seeds < MIN_SEEDS or question is Question.WEIGHTS:
        return power
    half = found.shared / 2
    between, degrees = at_least(0.0, half, seeds)
    arm = Chance(half, half, float(between), float(degrees), seeds)
    return replace(power, detectable=_shown(pair_chance(arm, arm, 0.0, np.nan, np.nan, found.unit_degrees)))


def _shown(chance: PairChance) -> float:
    return detectable(float(chance.error), float(chance.degrees))


def _made_up(task: Task, rows: Predictions) -> tuple[Predictions, Predictions, str]:
    """Two equally good models of the same rows, the same each time, and how they differ in words."""
    rng, kind = np.random.default_rng(0), task.problem.kind
    if kind == "regression":
        shared, *own = rng.normal(size=(3, len(rows)))
        spread = _spread(rows)
        scores = [rows.truth + NOISE * spread * (math.sqrt(1 - APART) * shared + math.sqrt(APART) * e) for e in own]
        said = f"two models, or two seeds, have all but {100 * APART:g} % of the variance of their errors in common"
    else:
        columns = rows.truth.T if kind == "multilabel" else rows.truth[None]
        n_classes = 2 if kind == "multilabel" else rows.n_outputs
        calls = _calls(columns, n_classes, rng)
        sure = rng.uniform(0.5, 1.0, size=columns.shape)
        # What is wrong is less sure, so that metrics of ranks are not those of a guess.
        scores = []
        for call in calls:
            surety = np.where(call == columns, sure, 0.5 + (sure - 0.5) / 2) + 1e-6
            if kind == "multilabel":
                scores.append(np.where(call == 1, surety, 1 - surety).T)
                continue
            others = ((1 - surety[0]) / (n_classes - 1))[:, None]
            scores.append(np.where(np.arange(n_classes) == call[0][:, None], surety[0][:, None], others))
        apart = float((calls[0] != calls[1]).mean())
        of = task.problem.level.names
        what = f"labels of the {of}" if kind == "multilabel" else of
        said = f"two models, or two seeds, disagree on {100 * apart:.2g} % of the {what}"
    first, second = (replace(rows, scores=np.asarray(score, dtype=np.float32)) for score in scores)
    return first, second, said


def _calls(columns: np.ndarray, n_classes: int, rng: np.random.Generator) -> np.ndarray:
    """(2, L, n) classes that two models decide for, given the (L, n) true ones; as often one is right as the other.

    A class that is most of a column counts for as much as all others: errors on a share of its rows would alone make every
    precision poor. Rows are taken at equal steps, class by class, so that the shares hold in each.
    """
    order, weights = [], []
    for column, truth in enumerate(columns):
        counts = np.bincount(truth, minlength=n_classes)
        rows = rng.permutation(len(truth))
        rows = rows[np.argsort(truth[rows], kind="stable")]
        order.append(rows + column * len(truth))
        weights.append((np.minimum(counts, len(truth) - counts) / np.maximum(counts, 1))[truth[rows]])
    rows, weight = np.concatenate(order), np.concatenate(weights)
    reached, truth = np.cumsum(weight), columns.ravel()
    calls = np.stack([truth, truth])
    if not reached[-1]:
        return calls.reshape(2, *columns.shape)

    def every(step: float, first: float) -> np.ndarray:
        return np.floor((reached - first) / step) > np.floor((reached - weight - first) / step)

    # Of a small test set one row at least: what is said of the disagreement is counted.
    step = min(2 / APART, float(reached[-1]))
    one, other = every(step, step / 4), every(step, 3 * step / 4)
    both = every(1 / WRONG, 0.5 / WRONG) & ~one & ~other
    for chosen, models in ((both, [0, 1]), (one, [0]), (other, [1])):
        is_true = truth[rows[chosen]]
        # Moved on by half, wrong calls are as frequent as the classes are.
        call = np.roll(is_true, len(is_true) // 2)
        call = np.where(call == is_true, (is_true + 1) % n_classes, call)
        for model in models:
            calls[model, rows[chosen]] = 1 - is_true if n_classes == 2 else call
    return calls.reshape(2, *columns.shape)


def _spread(rows: Predictions) -> np.ndarray:
    """(n,) standard deviation of the truth, of variants within their assay."""
    if rows.assays is None:
        return np.full(len(rows), rows.truth.std())
    codes, n_assays = encode(rows.assays.group)
    return np.array([rows.truth[codes == code].std() for code in range(n_assays)])[codes]
