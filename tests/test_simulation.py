"""The simulation behind docs/statistics.md: its truth is true, its tables are whole, and bench does better than a threshold.

Few test sets, so the bounds are generous; the tables of the documentation come from many.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hubtools.evaluation.statistics.verdicts import Verdict

FOLDER = Path(__file__).resolve().parents[1] / "benchmarks"


@pytest.fixture(autouse=True)
def scripts_can_be_imported(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.syspath_prepend(str(FOLDER))
    yield
    for name in ("simulation", "best_sets", "simulated"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize("number", range(5))
def test_the_formula_of_the_true_accuracy_is_what_very_many_proteins_give(number: int) -> None:
    from simulated import ACCURACY, REGIMES, constant, draw_world, of_weights

    regime = REGIMES[number]
    rng = np.random.default_rng(number)
    gaps, of_these = [], []
    for _ in range(60):
        world = draw_world(regime, 4, rng)
        for arm in (0, 1):
            right = (world.latent[arm] > -constant(ACCURACY)).mean()
            gaps.append(right - ACCURACY)
            of_these.append(right - of_weights(regime, arm, world.overall[arm], ACCURACY))
    for errors in (gaps, of_these):
        assert abs(np.mean(errors)) < 4 * np.std(errors) / np.sqrt(60)
    # What the seeds do to everything is known to the second truth.
    assert np.std(of_these) <= np.std(gaps) * 1.02


@pytest.mark.slow
def test_the_degrees_of_the_lower_bound_are_chosen_by_false_alarms() -> None:
    from simulation import of_the_bound

    lines = [line.split(" | ") for line in of_the_bound(20_000, np.random.default_rng(0)).splitlines()[4:]]
    largest = {(line[2]): max(map(float, line[3].strip(" |").split(" / "))) for line in lines if line[1] == "3"}
    # Of three seeds, where the other arm has no seed noise (the last of both): nominal is 2.5 %.
    assert largest["3 (k - 1)"] < 3.2 < largest["as many as clusters"]
    assert largest["no bound"] == pytest.approx(2.5, abs=0.5)


def test_seeds_differ_by_as_much_as_the_documentation_says() -> None:
    from simulated import ACCURACY, REGIMES, of_weights

    effects = np.random.default_rng(0).normal(scale=np.sqrt(REGIMES[0].seed), size=4_000)
    scores = [of_weights(REGIMES[0], 1, np.array([effect]), ACCURACY) for effect in effects]
    assert np.std(scores) == pytest.approx(0.012, abs=0.0005)


@pytest.mark.slow
def test_where_seeds_differ_overall_thresholds_and_fixed_runs_cry_wolf_and_bench_does_not() -> None:
    from simulation import REGIMES, Tally, simulate

    tally, regime = Tally(), REGIMES[0]
    simulate(regime, 60, tally, np.random.default_rng(0))

    def alarms(gate: str, k: int) -> float:
        share = tally.share("gate", regime.name, gate, k, 0.0)
        assert share is not None
        return share

    assert alarms("threshold 0.5 points", 1) > 0.2
    assert alarms("bootstrap over families, runs fixed", 3) > 0.08
    for k in (3, 5, 10):
        assert alarms("bench (recipe)", k) < 0.1
        assert (tally.share("arm", regime.name, "bench", k) or 0) > 0.85
        assert (tally.share("difference", regime.name, "recipe: bench", k, -0.02) or 0) > 0.85
        assert (tally.share("difference", regime.name, "weights: bench", k, -0.02) or 0) > 0.85
    assert (tally.share("gate", regime.name, "bench (recipe)", 10, -0.03) or 0) > 0.9
    worse, passes = (
        [
            sum(tally.share("verdict", regime.name, 10, effect, which) or 0 for which in Verdict if said(which))
            for effect in (0.0, -0.03)
        ]
        for said in (lambda which: which.fails, lambda which: which.passes)
    )
    assert worse[0] < 0.1 < 0.8 < worse[1] and passes[1] < 0.1 < 0.2 < passes[0]


@pytest.mark.slow
def test_the_proteins_of_few_strong_families_are_not_so_many_draws() -> None:
    from simulation import REGIMES, Tally, simulate

    tally, regime = Tally(), REGIMES[2]
    simulate(regime, 40, tally, np.random.default_rng(0))
    proteins, families = (
        tally.share("arm", regime.name, f"bootstrap, {what}", 1) or 0 for what in ("proteins", "families")
    )
    assert proteins < 0.65 < 0.8 < families


@pytest.mark.slow
def test_from_predictions_to_p_values_nothing_is_found_where_nothing_is() -> None:
    from simulation import CASES, Tally, through_predictions

    tally = Tally()
    for case in CASES:
        through_predictions(case, 30, tally, np.random.default_rng(1))
        for line in ("weights: p < 0.05", "recipe: p < 0.05"):
            assert (tally.share("real", case.name, line, 3) or 0) < 0.25
        assert (tally.share("real", case.name, "one arm: covered", 3) or 0) > 0.75


@pytest.mark.slow
def test_the_tables_are_whole(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, tmp_path: Path) -> None:
    import simulation

    monkeypatch.setattr(simulation, "REGIMES", simulation.REGIMES[:1])
    monkeypatch.setattr(sys, "argv", ["simulation.py", "--trials", "4", "--out", str(tmp_path / "out.json")])
    simulation.main()
    printed = capsys.readouterr().out
    for title in (
        "Coverage",
        "False alarms",
        "Power",
        "Verdicts",
        "Ten tasks",
        "Detectable",
        "Seeds needed",
        "p-values",
    ):
        assert title in printed
    assert "bench (recipe)" in printed and (tmp_path / "out.json").stat().st_size > 1_000


@pytest.mark.slow
def test_a_best_set_holds_the_best_of_many_where_the_tie_group_loses_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twenty arms of one seed that are equally good: a given one is in the tie group of the leader far too seldom."""
    import best_sets
    from simulation import markdown

    for name, value in {"FAMILIES": (60,), "ARMS": (20,), "SEEDS": (1, 3), "TASKS": (5,), "OTHERS": 20}.items():
        monkeypatch.setattr(best_sets, name, value)
    kind = next(kind for kind in best_sets.KINDS if kind.name == "seeds differ protein by protein")
    monkeypatch.setattr(best_sets, "KINDS", (kind,))
    tally = best_sets._case(replace(kind, families=60, proteins=500), 40, np.random.default_rng(0))
    held = {
        method: tally.share("set", method, kind.name, 20, "all equal", 60, 1) for method in ("best set", "tie group")
    }
    assert held["best set"] >= 0.85 > held["tie group"]
    tally.join(best_sets._ranks(5, 20, 20, np.random.default_rng(0)))
    text = best_sets.sets_tables(40, tally, markdown)
    assert len([line for line in text.splitlines() if line.startswith("| 20 |")]) == 5 + 5 + 2


def test_the_tie_group_of_the_simulation_is_that_of_comparisons() -> None:
    from best_sets import tied
    from simulated import REPLICATES

    from hubtools.evaluation.statistics.difference import Question, difference
    from hubtools.evaluation.statistics.resampled import Resampled, Units

    rng, units = np.random.default_rng(0), Units(60, None, "60 families", "made up")
    for k, question in ((1, Question.WEIGHTS), (5, Question.RECIPE)):
        values = 0.7 + rng.normal(scale=0.03, size=(12, 1)) + rng.normal(scale=0.01, size=(12, k))
        drawn = values[..., None] + rng.normal(scale=0.01, size=(12, k, REPLICATES))
        arms = [Resampled("accuracy", tuple(range(10 * i, 10 * i + k)), values[i], drawn[i], units) for i in range(12)]
        leader = max(arms, key=lambda arm: arm.values.mean())
        found = [difference(leader, arm, question) for arm in arms]
        expected = [arm is leader or one.high >= 0 for arm, one in zip(arms, found, strict=True)]  # type: ignore[operator]
        assert tied(arms).tolist() == expected and 1 < sum(expected) < 12
