"""Is the true best in the best set, and how large is the set? Several made-up models on made-up proteins, with known truth.

Part of benchmarks/simulation.py (--best). Beside the best set stands the first tie group that boards had before: the leader,
and all rows whose difference to it has a 95 % interval that covers 0.
"""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
from scipy.special import stdtrit
from simulated import (
    ACCURACY,
    REGIMES,
    REPLICATES,
    TAIL,
    Regime,
    Tally,
    constant,
    draw_world,
    first,
    of_families,
    of_weights,
    resampled,
)

from hubtools.evaluation.statistics.best_set import _Rows, best_set
from hubtools.evaluation.statistics.difference import MIN_SEEDS, Question, difference
from hubtools.evaluation.statistics.mean_ranks import TaskScores, mean_ranks_of
from hubtools.evaluation.statistics.resampled import Resampled, Units

SEEDS = (1, 3, 5, 10)
FAMILIES = (20, 60, 150)
ARMS = (2, 5, 20)
PROTEINS = 1_000
# Those in which one arm is as any other.
KINDS = tuple(regime for regime in REGIMES if regime.quiet == 1.0)
TASKS = (5, 8, 15)
# Where all are equal coverage is put to the test: one in so many test sets is one of the other scenarios too.
OTHERS = 3


def losses(arms: int) -> dict[str, np.ndarray]:
    """By how much each arm is worse than the best, in accuracy, by scenario."""
    others = (np.arange(arms) > 0).astype(float)
    stairs = {"a staircase of 0.5 points": 0.005 * np.arange(arms)} if arms > 2 else {}
    return {
        "all equal": 0 * others,
        "one best by 0.5 points": 0.005 * others,
        "one best by 1 point": 0.01 * others,
        "one best by 2 points": 0.02 * others,
    } | stairs


def tied(arms: list[Resampled]) -> np.ndarray:
    """The first tie group: an interval as a comparison with the leader has it (tests hold the errors to that)."""
    values = np.array([arm.values.mean() for arm in arms])
    order = np.argsort(-values, kind="stable")
    ranked, gains = [arms[index] for index in order], values[order[0]] - values[order]
    inside = np.ones(len(arms), dtype=bool)
    if len(arms[0].values) >= MIN_SEEDS:
        found = _Rows.of(ranked, np.ones(REPLICATES, dtype=bool), 1.0).pairs(np.array([0]))
        inside[order] = gains <= stdtrit(found.degrees[0], 1 - TAIL) * found.error[0]
    else:
        for place, arm in zip(order[1:], ranked[1:], strict=True):
            of = difference(arm, ranked[0], Question.WEIGHTS)
            inside[place] = of.low is None or of.low <= 0
    return inside


def simulate_sets(trials: int, tally: Tally, rng: np.random.Generator) -> None:
    """Best sets and tie groups on many test sets of every kind."""
    cases = [replace(kind, families=families, proteins=PROTEINS) for kind in KINDS for families in FAMILIES]
    with ProcessPoolExecutor() as pool:
        for part in pool.map(_case, cases, [trials] * len(cases), rng.spawn(len(cases))):
            tally.join(part)


def _case(regime: Regime, trials: int, rng: np.random.Generator) -> Tally:
    tally, families = Tally(), regime.families
    weights, units = of_families(families)
    for arms in ARMS:
        for trial in range(trials):
            _one_board(regime, arms, weights, units, tally, rng, trial % OTHERS == 0)
    return tally


def _one_board(
    regime: Regime, arms: int, weights: np.ndarray, units: Units, tally: Tally, rng: np.random.Generator, every: bool
) -> None:
    world = draw_world(regime, max(SEEDS), rng, arms)
    for scenario, less in losses(arms).items():
        if less.any() and not every:
            continue
        accuracies = ACCURACY - less
        whole = [
            resampled(latent > -constant(accuracy), world, weights, units)
            for latent, accuracy in zip(world.latent, accuracies, strict=True)
        ]
        for k in SEEDS:
            rows = [first(arm, k, which) for which, arm in enumerate(whole)]
            # One seed: these very weights. Of arms that are equally good any one of them: the first.
            truth = accuracies
            if k == 1:
                truth = np.array([of_weights(regime, 1, world.overall[i][:1], a) for i, a in enumerate(accuracies)])
            best = int(np.argmax(truth))
            for method, found in (("best set", best_set(rows)), ("tie group", tied(rows))):
                key = (method, regime.name, arms, scenario, regime.families, k)
                tally.add("set", *key, happened=bool(found[best]))
                tally.numbers["size", *key].append(float(found.sum()))


def simulate_tasks(trials: int, tally: Tally, rng: np.random.Generator) -> None:
    """Best sets by mean rank: tasks of a world in which how much better a row is differs from task to task."""
    cases = [(tasks, arms) for tasks in TASKS for arms in ARMS]
    with ProcessPoolExecutor() as pool:
        for part in pool.map(_ranks, *zip(*cases, strict=True), [trials] * len(cases), rng.spawn(len(cases))):
            tally.join(part)


def _ranks(tasks: int, arms: int, trials: int, rng: np.random.Generator) -> Tally:
    tally = Tally()
    for scenario, ahead, boards in (("all equal", 0.0, trials), ("one best", 0.03, trials // OTHERS)):
        for _ in range(boards):
            found = mean_ranks_of(_tasks(tasks, arms, ahead, rng), replicates=500)
            tally.add("tasks", arms, scenario, tasks, happened=bool(found.best[0]))
            tally.numbers["tasks", arms, scenario, tasks].append(float(found.best.sum()))
    return tally


def _tasks(tasks: int, arms: int, ahead: float, rng: np.random.Generator) -> list[TaskScores]:
    """Scores of three seeds on tasks: a row's level on a task scatters by 0.02, a seed by 0.01, the test set by 0.01."""
    made = []
    for _ in range(tasks):
        level = 0.7 + rng.normal(scale=0.02, size=arms) + ahead * (np.arange(arms) == 0)
        chance = rng.normal(scale=0.01, size=(arms, 201))
        values = [at + own[0] + rng.normal(scale=0.01, size=3) for at, own in zip(level, chance, strict=True)]
        drawn = tuple(of[:, None] + own[1:] for of, own in zip(values, chance, strict=True))
        made.append(TaskScores(tuple(values), drawn, True, True))
    return made


def sets_tables(trials: int, tally: Tally, markdown: Any) -> str:
    """What is printed of both."""
    names = [kind.name for kind in KINDS]

    def cell(method: str, *key: Any) -> str:
        shares = [tally.share("set", method, *key, k) for k in SEEDS]
        sizes = [float(np.mean(tally.numbers["size", method, *key, k])) for k in SEEDS]
        return " / ".join(f"{100 * share:.1f}" for share in shares) + "; " + " / ".join(f"{size:.1f}" for size in sizes)

    def rows(method: str, sizes: tuple[int, ...] = FAMILIES) -> list[list[str]]:
        return [
            [str(arms), scenario, str(families), *(cell(method, name, arms, scenario, families) for name in names)]
            for arms in ARMS
            for scenario in losses(arms)
            for families in sizes
        ]

    header = ["models", "truth", "families", *names]
    shares = {
        method: np.array(
            [
                [
                    tally.share("set", method, name, arms, "all equal", families, k)
                    for families in FAMILIES
                    for k in SEEDS
                ]
                for name in names
                for arms in ARMS
            ],
            dtype=float,
        )
        for method in ("best set", "tie group")
    }
    summary = "; ".join(
        f"{method}: mean {100 * of.mean():.1f}, least {100 * of.min():.1f}, below {100 * limit:.1f} in "
        f"{(of < limit).sum()} of {of.size} cases"
        for limit in [0.95 - 1.64 * np.sqrt(0.95 * 0.05 / trials)]
        for method, of in shares.items()
    )
    summary = f"Over all cases in which all are equal: {summary}"
    seeds = " / ".join(map(str, SEEDS))
    tasks = [
        [
            str(arms),
            scenario,
            *(
                f"{100 * tally.share('tasks', arms, scenario, n):.1f}; "
                f"{np.mean(tally.numbers['tasks', arms, scenario, n]):.1f}"
                for n in TASKS
            ),
        ]
        for arms in ARMS
        for scenario in ("all equal", "one best")
    ]
    error = 100 * np.sqrt(0.95 * 0.05 / trials)
    return "\n\n".join(
        [
            f"{trials:,} test sets of {PROTEINS:,} proteins where all are equal, {trials // OTHERS:,} elsewhere. Of a share of "
            f"95 % the simulation's own standard error is {error:.1f} points, and {error * OTHERS**0.5:.1f}. {summary}.",
            f"**Best set**: in how many per cent of the test sets it holds the true best; its mean size, with {seeds} seeds",
            markdown(header, rows("best set")),
            "**Tie group** of the leader, as boards had before: the same, with 60 families",
            markdown(header, rows("tie group", (60,))),
            "**Best set by mean rank**: the same, by the number of tasks",
            markdown(["models", "truth", *(f"{n} tasks" for n in TASKS)], tasks),
        ]
    )
