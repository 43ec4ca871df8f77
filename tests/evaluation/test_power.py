"""What a comparison could show: against closed forms and against simulated comparisons."""

from __future__ import annotations

import math

import numpy as np
import pytest
from evaluation_cases import a_task
from tiny_tasks import METRIC, PROBLEMS, tiny_split

from hubtools.evaluation import Predictions
from hubtools.evaluation.metrics.scoring import score_split
from hubtools.evaluation.predictions import Assays
from hubtools.evaluation.statistics.difference import Question, detectable, difference
from hubtools.evaluation.statistics.power import APART, power_of_runs, power_of_split
from hubtools.evaluation.statistics.resampled import Resampled, Units
from hubtools.specs.problem import Problem
from hubtools.training.trivial_baselines import labelled_rows

UNITS = Units(400, None, "400 proteins (no clusters)", "x", 400.0)


def split(n: int, share: float = 0.5, clusters: int = 0) -> Predictions:
    rng = np.random.default_rng(1)
    truth = (np.arange(n) < share * n).astype(int)
    codes = np.arange(n) % clusters if clusters else None
    return Predictions(
        problem=Problem("sequence-classification"),
        ids=np.array([f"P{i}" for i in range(n)]),
        positions=None,
        clusters=None if codes is None else np.array([f"c{code}" for code in codes]),
        truth=rng.permutation(truth),
        scores=np.full((n, 2), 0.5),
    )


def task(metric: str = "accuracy", positive: int | None = None):
    return a_task(Problem("sequence-classification"), 2, primary=metric, positive=positive)


@pytest.mark.parametrize(("n", "clusters"), [(400, 0), (1000, 0), (1000, 200)])
def test_the_floor_of_accuracy_is_that_of_the_closed_form(n: int, clusters: int) -> None:
    """Of n rows of which a share d is right in one of two models alone, the difference has the variance d / n."""
    found = power_of_split(task(), split(n, clusters=clusters))
    assert found is not None and "10 % of the proteins" in found.assumption
    assert found.floor == pytest.approx((1.96 + 0.842) * math.sqrt(APART / n), rel=0.1)
    # Two seeds differ as two models do: Var = V + V / k, and few seeds have fat tails.
    assert found.floor * math.sqrt(4 / 3) * 0.99 < found.detectable < found.floor * 1.6


def test_more_seeds_show_less_and_never_less_than_the_floor() -> None:
    found = [power_of_split(task(), split(400), seeds) for seeds in (3, 5, 10, 1000)]
    shown = [one.detectable for one in found if one is not None]
    assert shown == sorted(shown, reverse=True) and shown[-1] == pytest.approx(found[0].floor, rel=0.01)  # type: ignore[union-attr]
    single = power_of_split(task(), split(400), 1)
    assert single is not None and single.detectable == single.floor


def test_it_is_the_same_each_time() -> None:
    assert power_of_split(task("mcc"), split(300)) == power_of_split(task("mcc"), split(300))


def test_of_a_rare_class_errors_are_as_many_as_of_all_others() -> None:
    found = power_of_split(task("auprc", positive=1), split(2000, share=0.05))
    assert found is not None and "disagree on 1 % of the proteins" in found.assumption
    assert 0.02 < found.floor < 0.3


@pytest.mark.parametrize("problem", PROBLEMS)
def test_every_problem_has_a_finite_number(problem: str) -> None:
    kind = Problem(problem).kind
    its = a_task(Problem(problem), {"classification": 2, "multilabel": 2}.get(kind, 0), primary=METRIC[kind])
    rows = labelled_rows(tiny_split(problem, 60), its)
    assert (
        not rows.scores.any()
        and len(rows) >= 60
        and score_split(its, rows, [0.5] * 2 if kind == "multilabel" else None)
    )
    found = power_of_split(its, rows)
    assert found is not None and 0 < found.floor < found.detectable < 1


@pytest.mark.parametrize("n_proteins", [1, 30])
def test_variants_too(n_proteins: int) -> None:
    rng, n = np.random.default_rng(0), 300
    names = np.array([f"A{i % n_proteins}" for i in range(n)])
    assays = Assays(names, names, np.full(n, ""))
    ids = np.array([f"v{i}" for i in range(n)])
    rows = Predictions(Problem("variant-effect"), ids, None, None, rng.normal(size=n), np.zeros(n), assays)
    found = power_of_split(a_variant_task(), rows)
    assert found is not None and 0 < found.floor < 0.5


def a_variant_task():
    from tiny_tasks import tiny_task

    return tiny_task("variant-effect", metrics={"primary": "spearman"})


def test_nothing_is_said_where_the_metric_is_not_defined() -> None:
    assert power_of_split(task("auroc", positive=1), split(100, share=0)) is None
    assert power_of_split(task(), split(1)) is None
    regression = a_task(Problem("sequence-regression"), primary="spearman")
    ids = np.array([f"P{i}" for i in range(50)])
    same = Predictions(Problem("sequence-regression"), ids, None, None, np.ones(50), np.zeros(50))
    assert power_of_split(regression, same) is None


def arm(rng: np.random.Generator, values: np.ndarray, clusters: np.ndarray) -> Resampled:
    """Runs that clusters move alike, with little of their own."""
    drawn = values[:, None] + clusters + rng.normal(scale=1e-4, size=(len(values), len(clusters)))
    return Resampled("accuracy", tuple(range(len(values))), values, drawn, UNITS)


@pytest.mark.parametrize(("k", "low", "high"), [(3, 0.62, 0.78), (5, 0.73, 0.87)])
def test_a_loss_as_large_is_found_in_four_of_five_comparisons(k: int, low: float, high: float) -> None:
    rng, scatter = np.random.default_rng(k), 0.01
    clusters = rng.normal(scale=0.02, size=50)
    values = rng.normal(size=k)
    values = 0.8 + scatter * (values - values.mean()) / values.std(ddof=1)
    found = power_of_runs(arm(rng, values, clusters))
    assert found is not None and found.floor == 0 and found.seeds == k
    assert found.detectable == pytest.approx(detectable(scatter * math.sqrt(2 / k), 2 * (k - 1)), rel=0.01)
    seen, trials = 0, 600
    for _ in range(trials):
        before, after = rng.normal(0.8, scatter, k), rng.normal(0.8 - found.detectable, scatter, k)
        one, other = arm(rng, before, clusters), arm(rng, after, clusters)
        other = Resampled(other.metric, tuple(s + 100 for s in other.seeds), other.values, other.drawn, UNITS)
        end = difference(one, other, Question.RECIPE).high
        seen += end is not None and end < 0
    # Of three seeds Satterthwaite's degrees of freedom are estimated, too, and often fewer.
    assert low < seen / trials < high
    assert found.sees(found.detectable) and not found.sees(0.99 * found.detectable)


def test_two_runs_tell_nothing_of_seeds() -> None:
    rng = np.random.default_rng(0)
    assert power_of_runs(arm(rng, np.array([0.8, 0.81]), rng.normal(size=50))) is None
