#!/usr/bin/env python3
"""Do the intervals cover what they claim, and how often does each gate cry wolf? Comparisons of models with known truth.

usage: python benchmarks/simulation.py [--trials N] [--quick] [--out FILE]
       python benchmarks/simulation.py --runs FOLDER [--trials N]
       python benchmarks/simulation.py --bound
       python benchmarks/simulation.py --best [--trials N]

Made-up models are tested on made-up proteins of homology families, many times, and every method is asked each time. The
truth is a formula, so that whether an interval covers it, and whether a gate was right to fire, is known. Four tables:
intervals of one model and of a difference; gates by false alarms and power; the verdicts of bench check; and the same
through the real path, from predictions of macro F1 and Spearman's rho to p-values. With --runs, the runs of a folder that
differ in their seed alone take the place of the made-up models: groups of them are compared on proteins drawn anew.

With --best, sets that shall hold the best of several models (benchmarks/best_sets.py).

The models and the methods are in benchmarks/simulated.py.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from best_sets import sets_tables, simulate_sets, simulate_tasks
from scipy.stats import t as student
from simulated import (
    ACCURACY,
    CASES,
    GATES,
    ONE_ARM_REGIMES,
    REAL,
    REGIMES,
    TAIL,
    Case,
    Regime,
    Tally,
    World,
    bounds,
    constant,
    differences,
    draw_world,
    first,
    gates,
    of_families,
    of_weights,
    one_arm,
    resampled,
    runs_of,
)

from hubtools.evaluation import Predictions, resample
from hubtools.evaluation.statistics.arm_interval import arm_interval
from hubtools.evaluation.statistics.difference import Question, difference
from hubtools.evaluation.statistics.resampled import ArmPredictions, Resampled, Units
from hubtools.evaluation.statistics.verdicts import Verdict, holm, judge

SEEDS = (1, 3, 5, 10)
FAMILIES = (20, 40, 80, 150)
# True gains, in accuracy.
EFFECTS = (0.0, -0.01, -0.02, -0.03)
MARGIN = 0.01
# A loss to be found, and the largest number of seeds with which it is tried.
LOSS, MANY = 0.02, 40
VERDICTS = tuple(verdict for verdict in Verdict if verdict is not Verdict.OTHER)
ONE_ARM = ("bootstrap, proteins", "bootstrap, families", "root of squares", "hierarchical", "bench")
DIFFERENCES = (
    "weights: percentiles",
    "weights: bench",
    "recipe: Welch t of seeds",
    "recipe: hierarchical",
    "recipe: equal variances",
    "recipe: no lower bound",
    "recipe: bench",
)


def truth_of(regime: Regime, world: World, seeds: int) -> float:
    """What the interval of the first arm is about: of one seed its weights, which no other seed has."""
    return of_weights(regime, 0, world.overall[0][:1], ACCURACY) if seeds == 1 else ACCURACY


def simulate(regime: Regime, trials: int, tally: Tally, rng: np.random.Generator) -> None:
    """All methods on many test sets of a regime."""
    weights, units = of_families(regime.families)
    losses: list[float] = []
    for _ in range(trials):
        world = draw_world(regime, max(SEEDS), rng)
        right = world.latent[0] > -constant(ACCURACY)
        baseline = resampled(right, world, weights, units)
        for k in SEEDS:
            truth = truth_of(regime, world, k)
            for name, (low, high) in one_arm(right[:k], first(baseline, k, 0), rng).items():
                tally.add("arm", regime.name, name, k, happened=low <= truth <= high)
        for effect in EFFECTS:
            other = world.latent[1] > -constant(ACCURACY + effect)
            candidate = resampled(other, world, weights, units)
            for k in SEEDS:
                one, two = first(baseline, k, 0), first(candidate, k, 1)
                intervals, found = differences(one, two)
                for name, (low, high) in intervals.items():
                    truth = _truth(regime, world, k, effect) if name.startswith("weights") else effect
                    tally.add("difference", regime.name, name, k, effect, happened=low <= truth <= high)
                for name, fired in gates(right[:k], other[:k], one, two, intervals, rng).items():
                    tally.add("gate", regime.name, name, k, effect, happened=fired)
                if found is None:
                    continue
                verdict = judge([found], [MARGIN])[0].verdict
                for which in VERDICTS:
                    tally.add("verdict", regime.name, k, effect, which, happened=verdict == which)
                if effect == 0 and k == 5 and found.p_value is not None:
                    losses.append(found.p_value)
                if effect == 0 and found.detectable is not None:
                    tally.numbers["detectable", regime.name, k].append(found.detectable)
                    needed = found.seeds_needed(LOSS)
                    tally.numbers["needed", regime.name, k].append(np.inf if needed is None else needed)
    # Ten tasks to a check: is one of them called a loss?
    for start in range(0, len(losses) - 9, 10):
        ten = losses[start : start + 10]
        tally.add("ten", regime.name, "without", happened=min(ten) <= 2 * TAIL)
        tally.add("ten", regime.name, "Holm", happened=any(p is not None and p <= 2 * TAIL for p in holm(ten)))
    # What the comparisons say could be found, and how many seeds would find a loss: is it so?
    for k in SEEDS[1:]:
        loss = float(np.median(tally.numbers["detectable", regime.name, k]))
        for fires in finds(regime, k, loss, max(10, trials // 4), weights, units, rng):
            tally.add("detectable", regime.name, k, happened=fires)
    needed = float(np.quantile(tally.numbers["needed", regime.name, 5], 0.5, method="higher"))
    if needed <= MANY:
        for fires in finds(regime, int(needed), LOSS, max(10, trials // 4), weights, units, rng):
            tally.add("needed", regime.name, happened=fires)


def few_and_many(trials: int, tally: Tally, rng: np.random.Generator) -> None:
    """Coverage of one arm's interval with few families and many, equal and unequal, weakly and strongly alike."""
    for families in FAMILIES:
        weights, units = of_families(families)
        for which in ONE_ARM_REGIMES:
            for unequal in (False, True):
                regime = replace(which, families=families, unequal=unequal, proteins=max(1_000, 13 * families))
                for _ in range(trials):
                    world = draw_world(regime, max(SEEDS), rng)
                    right = world.latent[0] > -constant(ACCURACY)
                    arm = resampled(right, world, weights, units)
                    for k in SEEDS:
                        truth = truth_of(regime, world, k)
                        low, high = bounds(arm_interval(first(arm, k, 0)))
                        tally.add("few", families, unequal, which.name, k, happened=low <= truth <= high)


def finds(
    regime: Regime, k: int, loss: float, trials: int, weights: np.ndarray, units: Units, rng: np.random.Generator
) -> Iterator[bool]:
    """Whether the comparison of a recipe finds a true loss, test set by test set."""
    for _ in range(trials):
        world = draw_world(regime, k, rng)
        arms = (
            resampled(latent > -constant(ACCURACY - less), world, weights, units)
            for latent, less in zip(world.latent, (0.0, loss), strict=True)
        )
        one, two = (first(arm, k, which) for which, arm in enumerate(arms))
        found = difference(one, two, Question.RECIPE)
        yield found.high is not None and found.high < 0


def _truth(regime: Regime, world: World, k: int, effect: float) -> float:
    before, after = (
        of_weights(regime, arm, world.overall[arm][:k], accuracy)
        for arm, accuracy in ((0, ACCURACY), (1, ACCURACY + effect))
    )
    return after - before


def through_predictions(case: Case, trials: int, tally: Tally, rng: np.random.Generator) -> None:
    """False alarms of the shipped path where both arms are equally good, and coverage of one arm's interval."""
    task, runs = case.task, 5
    truth = _expected(case, rng)
    for _ in range(trials):
        before, after = runs_of(case, draw_world(REAL, runs, rng), rng)
        none: list[list[float] | None] = [None] * runs
        one = resample(task, ArmPredictions(before, none, range(runs)), replicates=400)
        two = resample(task, ArmPredictions(after, none, range(100, 100 + runs)), replicates=400)
        for k in (3, 5):
            few, others = first(one, k, 0), first(two, k, 1)
            low, high = bounds(arm_interval(few))
            tally.add("real", case.name, "one arm: covered", k, happened=low <= truth <= high)
            for question in Question:
                found = difference(few, others, question)
                assert found.p_value is not None
                tally.add("real", case.name, f"{question}: p < 0.05", k, happened=found.p_value < 2 * TAIL)


def _expected(case: Case, rng: np.random.Generator) -> float:
    """The metric of the mean run on very many proteins."""
    large = replace(REAL, proteins=8_000, families=2_000)
    none: list[list[float] | None] = [None]
    scores = []
    for _ in range(30):
        before, _ = runs_of(case, draw_world(large, 1, rng), rng)
        scores.append(resample(case.task, ArmPredictions(before, none, [0]), replicates=0).values[0])
    return float(np.mean(scores))


# -------------------------------------------------------------------------------------------------------- real runs


def among_runs(folder: Path, trials: int, tally: Tally, rng: np.random.Generator) -> str:
    """Groups of runs of one arm, which are equally good by construction, on clusters drawn anew from the test split."""
    from hubtools.evaluation.statistics.resampling import bootstrap_units
    from hubtools.findings.arms import arms_of
    from hubtools.runs.store import find_records

    arms = arms_of(find_records([folder])[0])
    if not arms:
        raise SystemExit(f"{folder}: no complete runs with a test split")
    arm = max(arms, key=lambda arm: len(arm.runs))
    if len(arm.runs) < 12:
        raise SystemExit(f"{folder}: {arm.name} has {len(arm.runs)} seeds; at least 12 are needed, 30 are better")
    runs, thresholds, task = arm.predictions(), arm.thresholds(), arm.task
    truth = float(arm.resampled(replicates=0).values.mean())
    codes, n_units, described = bootstrap_units(runs[0])
    if codes.ndim == 2:
        raise SystemExit(f"{task.name}: pairs cannot be drawn cluster by cluster")
    rows_of = np.split(np.argsort(codes, kind="stable"), np.cumsum(np.bincount(codes))[:-1])
    for _ in range(trials):
        # With replacement: the split is the population, and a unit drawn twice is two units.
        units = rng.integers(0, n_units, size=n_units)
        rows = np.concatenate([rows_of[unit] for unit in units])
        names = np.repeat([f"U{i}" for i in range(n_units)], [len(rows_of[unit]) for unit in units])
        for k in (3, 5):
            chosen = rng.permutation(len(runs))[: 2 * k]
            drawn = [_renamed(runs[run].rows(rows), names) for run in chosen]
            arm_drawn = ArmPredictions(drawn, [thresholds[run] for run in chosen], range(2 * k))
            found = resample(task, arm_drawn, replicates=400)
            one = Resampled(found.metric, tuple(range(k)), found.values[:k], found.drawn[:k], found.units)
            two = Resampled(found.metric, tuple(range(k, 2 * k)), found.values[k:], found.drawn[k:], found.units)
            low, high = bounds(arm_interval(one))
            tally.add("runs", "one arm: covered", k, happened=low <= truth <= high)
            intervals, _ = differences(one, two)
            for name, (low, high) in intervals.items():
                tally.add("runs", f"{name}: says different", k, happened=low > 0 or high < 0)
    return f"{arm.name} on {task.name}: {len(runs)} seeds, {task.metrics.primary} {truth:.4f}, {described}"


def _renamed(predictions: Predictions, names: np.ndarray) -> Predictions:
    """The same rows of units of other names."""
    return Predictions(
        predictions.problem,
        names,
        predictions.positions,
        names,
        predictions.truth,
        predictions.scores,
    )


# -------------------------------------------------------------------------------------------------- the lower bound


def of_the_bound(trials: int, rng: np.random.Generator) -> str:
    """False alarms by the degrees of freedom that the lower bound of a variance between seeds counts for.

    Scores alone: the bound is a run's own variance, known exactly and set to 1; the rest, which no replicate shows, is a
    multiple of it. Large test set, so that nothing is shared.
    """
    rest = (0.0, 0.5, 1.0, 2.0, 5.0, 20.0, 1e6)
    rows = []
    for baseline, arms in ((1.0, "both arms alike"), (1e-9, "one arm has no seeds")):
        for k in (3, 5, 10):
            for name, bounded in (("no bound", 0), ("k - 1", 1), ("3 (k - 1)", 3), ("as many as clusters", 10_000)):
                shares = []
                for multiple in rest:
                    truth = np.array([baseline, 1.0])[:, None] * (1 + multiple)
                    found = truth * rng.chisquare(k - 1, size=(2, trials)) / (k - 1)
                    own = truth / (1 + multiple) * (bounded > 0)
                    degrees = np.where(found >= own, k - 1, bounded * (k - 1))
                    terms = np.maximum(found, own) / k
                    variance = terms.sum(axis=0)
                    of_sum = variance**2 / (terms**2 / degrees).sum(axis=0)
                    gain = rng.normal(size=trials) * np.sqrt(truth.sum() / k)
                    shares.append(np.mean(gain < student.ppf(TAIL, of_sum) * np.sqrt(variance)))
                rows.append([arms, str(k), name, " / ".join(_percent(share) for share in shares)])
    seen = " / ".join("all" if multiple == rest[-1] else f"{multiple:g}" for multiple in rest)
    title = f"False alarms, nominal 2.5 %, {trials:,} comparisons each, where what no replicate shows is {seen} times the bound"
    return f"{title}\n\n{markdown(['', 'seeds', 'degrees of the bound', 'per cent'], rows)}"


# ----------------------------------------------------------------------------------------------------------- tables


def markdown(header: list[str], rows: list[list[str]]) -> str:
    """A table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.1f}"


def _over_seeds(tally: Tally, *key: Any, seeds: tuple[int, ...] = SEEDS, last: tuple[Any, ...] = ()) -> str:
    shares = [_percent(tally.share(*key, k, *last)) for k in seeds]
    return " / ".join(share or "·" for share in shares)


def _needed(tally: Tally, regime: str) -> str:
    low, middle, high = np.quantile(tally.numbers["needed", regime, 5], [0.1, 0.5, 0.9], method="higher")
    shown = [f"{value:.0f}" if np.isfinite(value) else "none" for value in (middle, low, high)]
    found = tally.share("needed", regime)
    return f"{shown[0]} ({shown[1]} to {shown[2]})" + ("" if found is None else f": {_percent(found)}")


def tables(tally: Tally, trials: int, real_trials: int) -> str:
    """What is printed."""
    regimes = [regime.name for regime in REGIMES]
    seeds = " / ".join(map(str, SEEDS))
    error = 100 * np.sqrt(TAIL * (1 - TAIL) / trials)
    parts = [
        f"{trials:,} test sets a regime. Of a share of 2.5 % the simulation's own standard error is {error:.1f} points, "
        f"of one of 95 % {100 * np.sqrt(0.95 * 0.05 / trials):.1f}.",
        f"**Coverage of 95 % intervals of one model's accuracy**, in per cent, with {seeds} seeds",
        markdown(
            ["interval", *regimes],
            [[name, *(_over_seeds(tally, "arm", regime, name) for regime in regimes)] for name in ONE_ARM],
        ),
        f"**The same of bench's interval, by the number of families**, in per cent, with {seeds} seeds ({10 * trials:,} test sets "
        f"each, standard error {100 * np.sqrt(0.95 * 0.05 / (10 * trials)):.1f}; one seed: of these weights)",
        markdown(
            ["families", "sizes", *(regime.name for regime in ONE_ARM_REGIMES)],
            [
                [str(families), "unequal" if unequal else "equal"]
                + [_over_seeds(tally, "few", families, unequal, regime.name) for regime in ONE_ARM_REGIMES]
                for families in FAMILIES
                for unequal in (False, True)
            ],
        ),
        f"**Coverage of 95 % intervals of a difference** (true loss: 2 points), in per cent, with {seeds} seeds",
        markdown(
            ["interval", *regimes],
            [
                [name, *(_over_seeds(tally, "difference", regime, name, last=(-0.02,)) for regime in regimes)]
                for name in DIFFERENCES
            ],
        ),
    ]
    for title, effect in (
        ("False alarms: how often each gate says *worse* where nothing is (nominal: 2.5 %)", 0.0),
        ("Power: how often where 2 points are lost", -0.02),
        ("Power: how often where 3 points are lost", -0.03),
    ):
        rows = [
            [gate, *(_over_seeds(tally, "gate", regime, gate, last=(effect,)) for regime in regimes)] for gate in GATES
        ]
        parts += [f"**{title}**, in per cent, with {seeds} seeds", markdown(["gate", *regimes], rows)]
    rows = [
        [f"{100 * abs(effect):g}", str(k)]
        + [
            " / ".join(_percent(tally.share("verdict", regime, k, effect, which)) for which in VERDICTS)
            for regime in regimes
        ]
        for effect in EFFECTS
        for k in SEEDS[1:]
    ]
    title = f"**Verdicts of bench check**, margin {100 * MARGIN:g} point: {' / '.join(VERDICTS)}, in per cent"
    parts += [title, markdown(["true loss", "seeds", *regimes], rows)]
    rows = [
        [name, *(_percent(tally.share("ten", regime, key)) for regime in regimes)]
        for name, key in (("no correction", "without"), ("Holm", "Holm"))
    ]
    parts += ["**Ten tasks, five seeds, nothing lost**: checks with at least one false alarm, in per cent"]
    parts += [markdown(["", *regimes], rows)]
    rows = [
        [
            str(k),
            *(
                f"{100 * float(np.median(tally.numbers['detectable', regime, k])):.1f}: "
                f"{_percent(tally.share('detectable', regime, k))}"
                for regime in regimes
            ),
        ]
        for k in SEEDS[1:]
    ]
    parts += [
        "**Detectable difference**: median of what the comparisons state, in points: how often a true loss of that size "
        "is found (aim: 80 %), in per cent",
        markdown(["seeds", *regimes], rows),
        f"**Seeds needed to find a loss of {100 * LOSS:g} points**, as comparisons of 5 seeds state: median (first to last "
        "decile), and how often the median finds it, in per cent",
        markdown(regimes, [[_needed(tally, regime) for regime in regimes]]),
    ]
    lines = ["one arm: covered", "weights: p < 0.05", "recipe: p < 0.05"]
    rows = [[line, *(_over_seeds(tally, "real", case.name, line, seeds=(1, 3, 5)) for case in CASES)] for line in lines]
    parts += [
        f"**From predictions to p-values**, both arms equally good, {real_trials:,} test sets, in per cent, "
        "with 1 / 3 / 5 seeds",
        markdown(["", *(case.name for case in CASES)], rows),
    ]
    return "\n\n".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=600, help="test sets a regime")
    parser.add_argument("--quick", action="store_true", help="few test sets: to see that it runs")
    parser.add_argument("--runs", type=Path, help="a folder of runs that differ in their seed alone")
    parser.add_argument("--bound", action="store_true", help="what the lower bound of the variance between seeds does")
    parser.add_argument("--best", action="store_true", help="whether best sets hold the true best, and their size")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="write every share there as JSON")
    options = parser.parse_args()
    trials = 30 if options.quick else options.trials
    tally, rng, started = Tally(), np.random.default_rng(options.seed), time.perf_counter()
    if options.bound:
        print(of_the_bound(100 * trials, rng))
    elif options.best:
        simulate_sets(trials, tally, rng)
        simulate_tasks(trials, tally, rng)
        print(sets_tables(trials, tally, markdown))
    elif options.runs is not None:
        about = among_runs(options.runs, trials, tally, rng)
        names = sorted({key[1] for key in tally.of})
        rows = [[name, *(_percent(tally.share("runs", name, k)) for k in (3, 5))] for name in names]
        print(
            f"{about}\n{trials:,} test sets; nominal: 95 % and 5 %, in per cent\n\n{markdown(['', '3 seeds', '5 seeds'], rows)}"
        )
    else:
        for regime in REGIMES:
            simulate(regime, trials, tally, rng)
        few_and_many(10 * trials, tally, rng)
        real_trials = max(10, trials // 3)
        for case in CASES:
            through_predictions(case, real_trials, tally, rng)
        print(tables(tally, trials, real_trials))
    print(f"\n{time.perf_counter() - started:.0f} s")
    if options.out:
        options.out.write_text(json.dumps(tally.as_json(), indent=1) + "\n")


if __name__ == "__main__":
    main()
