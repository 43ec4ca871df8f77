"""Variant effects: NDCG and AUROC of measured values, and means over assays, against other people's arithmetic."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr
from sklearn.metrics import ndcg_score, roc_auc_score

from hubtools.evaluation import read_predictions, score_split, value, write_predictions
from hubtools.evaluation.metrics.assays import assay_statistic, assay_units
from hubtools.evaluation.metrics.ranking import ndcg
from hubtools.evaluation.predictions import Assays, Predictions
from hubtools.evaluation.statistics.resampling import bootstrap_weights
from hubtools.specs.problem import Problem
from hubtools.specs.task import Task


def variant_task(cutoff: Any = "median", active: bool = False) -> Task:
    columns = {"mutant": "m", **({"active": "ok"} if active else {})}
    return Task.model_validate(
        {
            "name": "v",
            "version": 1,
            "title": "V",
            "problem": "variant-effect",
            "summary": "Made up.",
            "data": {
                "source": "file",
                "files": [{"path": "v.csv"}, {"path": "wt.fasta", "lookup": True}],
                "columns": columns,
                "splits": {"test": {"files": ["v"]}},
            },
            "metrics": {"primary": "spearman", "also": ["ndcg", "auroc"], "cutoff": cutoff},
            "licence": "CC0-1.0",
            "citation": "none",
        }
    )


def measured(n_assays: int, n: int = 60, seed: int = 0, active: bool = False, ties: bool = True) -> Predictions:
    """Assays of unequal size, two to a protein, proteins in two categories; scores tied here and there."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(n // 2, n, n_assays)
    assay = np.repeat(np.arange(n_assays), sizes)
    truth = rng.normal(size=len(assay)) * (1 + assay) + assay
    scores = truth / (1 + assay) + rng.normal(size=len(assay)) * 2
    if ties:
        scores = np.round(scores, 1)
    order = rng.permutation(len(assay))  # Rows of an assay need not lie together.
    category = np.where(assay % 3 == 0, "binding", "stability")
    return Predictions(
        problem=Problem("variant-effect"),
        ids=np.array([f"v{i}" for i in range(len(assay))]),
        positions=None,
        clusters=None,
        truth=truth[order],
        scores=scores[order],
        assays=Assays(
            group=np.array([f"assay{a}" for a in assay])[order],
            protein=np.array([f"protein{a // 2}" for a in assay])[order],
            category=category[order],
            active=(truth > 0.3).astype(np.int8)[order] if active else None,
        ),
    )


def frame(predictions: Predictions) -> pd.DataFrame:
    assays = predictions.assays
    return pd.DataFrame(
        {"truth": predictions.truth, "score": predictions.scores.astype(float)}
        | {name: getattr(assays, name) for name in ("group", "protein", "category", "active")}
    )


def their_ndcg(part: pd.DataFrame) -> float:
    gains = (part["truth"] - part["truth"].min()) / (part["truth"].max() - part["truth"].min())
    return ndcg_score(gains.to_numpy()[None], part["score"].to_numpy()[None], k=max(len(part) // 10, 1))


def their_auroc(part: pd.DataFrame) -> float:
    return roc_auc_score(part["truth"] >= part["truth"].median(), part["score"])


THEIRS = {
    "spearman": lambda part: spearmanr(part["truth"], part["score"])[0],
    "ndcg": their_ndcg,
    "auroc": their_auroc,
}


def averaged(rows: pd.DataFrame, metric: str) -> float:
    """As ProteinGym averages: assays of a protein in a category, proteins of a category, categories."""
    by_assay = rows.groupby(["category", "protein", "group"]).apply(THEIRS[metric], include_groups=False)
    by_protein = by_assay.groupby(["category", "protein"]).mean()
    return by_protein.groupby("category").mean().mean()


@pytest.mark.parametrize("metric", THEIRS)
def test_one_assay_is_its_metric(metric):
    predictions = measured(1)
    got = score_split(variant_task(), predictions, None, replicates=0)
    assert got.scores[metric].value == pytest.approx(THEIRS[metric](frame(predictions)), abs=1e-9)
    assert got.per_class == []


@pytest.mark.parametrize("metric", THEIRS)
def test_several_assays_are_averaged_as_proteingym_does(metric):
    predictions = measured(9)
    got = score_split(variant_task(), predictions, None, replicates=0)
    expected = averaged(frame(predictions), metric)
    assert got.scores[metric].value == pytest.approx(expected, abs=1e-9)
    plain = frame(predictions).groupby("group").apply(THEIRS[metric], include_groups=False)
    assert abs(expected - plain.mean()) > 1e-5, "the plain mean would do"
    assert {row["name"]: row[metric] for row in got.per_class} == pytest.approx(plain.to_dict(), abs=1e-9)
    assert (got.n_proteins, got.n_labelled) == (5, len(predictions))


def test_a_row_drawn_twice_counts_as_if_it_were_there_twice():
    """Replicates with few proteins: variants within each assay, against the same rows taken literally."""
    task, predictions = variant_task(), measured(5)
    units = assay_units(predictions)
    assert "variants within 5 assays (only 3 proteins)" in units.described
    weights = next(bootstrap_weights(units.n_units, 4, 0, units.strata))
    group = predictions.assays.group
    for name in np.unique(group):
        assert (weights[:, group == name].sum(axis=1) == (group == name).sum()).all(), "an assay keeps its size"
    for metric in ("spearman", "ndcg"):
        got = assay_statistic(metric, task, predictions, units)(weights)
        rows = frame(predictions)
        expected = [averaged(rows.loc[np.repeat(rows.index, row)], metric) for row in weights]
        np.testing.assert_allclose(got, expected, atol=1e-9)
        assert np.ptp(got) > 1e-4


def test_with_twenty_proteins_these_are_drawn():
    task, predictions = variant_task(), measured(44, n=20)
    units = assay_units(predictions)
    assert (units.n_units, units.strata, units.described) == (22, None, "22 proteins (44 assays)")
    weights = next(bootstrap_weights(22, 3, 0))
    got = assay_statistic("spearman", task, predictions, units)(weights)
    rows = frame(predictions)
    names = list(dict.fromkeys(predictions.assays.protein))
    by_assay = rows.groupby(["category", "protein", "group"]).apply(THEIRS["spearman"], include_groups=False)
    by_protein = by_assay.groupby(["category", "protein"]).mean()
    for value_, row in zip(got, weights, strict=True):
        drawn = dict(zip(names, row, strict=True))
        means = [
            np.average(part, weights=[drawn[protein] for protein in part.index.get_level_values("protein")])
            for _, part in by_protein.groupby("category")
        ]
        assert value_ == pytest.approx(np.mean(means))


def test_functional_by_column_by_number_or_by_median():
    predictions = measured(1, active=True)
    rows = frame(predictions)
    by_column = score_split(variant_task(None, active=True), predictions, None, replicates=0).scores["auroc"].value
    assert by_column == pytest.approx(roc_auc_score(rows["active"], rows["score"]))
    without = measured(1)
    by_number = score_split(variant_task(0.3), without, None, replicates=0).scores["auroc"].value
    assert by_number == pytest.approx(roc_auc_score(rows["truth"] >= 0.3, rows["score"]))
    by_median = score_split(variant_task("median"), without, None, replicates=0).scores["auroc"].value
    assert by_median == pytest.approx(their_auroc(rows))


def test_an_assay_without_a_defined_metric_is_left_out_of_its_mean():
    predictions = measured(3)
    flat = predictions.assays.group == "assay2"
    scores = np.where(flat, 1.0, predictions.scores)
    changed = Predictions(
        predictions.problem, predictions.ids, None, None, predictions.truth, scores, assays=predictions.assays
    )
    result = score_split(variant_task(), changed, None, replicates=20)
    assert [row["spearman"] is None for row in sorted(result.per_class, key=lambda row: row["name"])] == [
        False,
        False,
        True,
    ]
    assert result.scores["spearman"].value == pytest.approx(averaged(frame(changed)[~flat], "spearman"))
    assert result.scores["spearman"].low is not None


def test_ndcg_is_that_of_scikit_learn_also_in_ordinary_regression():
    rng = np.random.default_rng(0)
    truth, scores = np.round(rng.normal(size=57), 1), np.round(rng.normal(size=57), 0)
    predictions = Predictions(Problem("sequence-regression"), np.arange(57).astype(str), None, None, truth, scores)
    rows = pd.DataFrame({"truth": truth, "score": scores.astype(np.float32)})
    assert value("ndcg", predictions, None) == pytest.approx(their_ndcg(rows))


@pytest.mark.parametrize("kind", ["even", "heavy", "many of no effect", "alike within a protein"])
def test_ndcg_of_very_many_rows_is_that_of_scikit_learn_on_the_rows_drawn(kind):
    """Whose ranks are walked some at a time, but where their discounts differ."""
    rng, per, proteins = np.random.default_rng(0), 200, 400
    units = np.repeat(np.arange(proteins), per)
    noise, own = rng.normal(size=(2, len(units))), np.repeat(rng.normal(size=proteins), per)
    truth = {
        "even": noise[0],
        "heavy": np.exp(2 * noise[0]),
        "many of no effect": np.maximum(noise[0], 0.3),
        "alike within a protein": own + 0.05 * noise[0],
    }[kind]
    scores = 0.8 * (truth if kind == "alike within a protein" else noise[0]) + 0.5 * noise[1]
    weights = rng.multinomial(proteins, np.full(proteins, 1 / proteins), size=3)
    expected = []
    for drawn in (np.repeat(np.arange(len(units)), row[units]) for row in weights):
        gains = (truth[drawn] - truth[drawn].min()) / np.ptp(truth[drawn])
        expected.append(ndcg_score(gains[None], scores[drawn][None], k=len(drawn) // 10))
    np.testing.assert_allclose(ndcg(truth, scores, units)(weights), expected, rtol=0, atol=1e-5)


def test_ndcg_of_a_perfect_and_of_the_worst_order():
    truth, units, once = np.arange(50.0), np.zeros(50, dtype=int), np.ones((1, 1))
    assert ndcg(truth, truth, units)(once)[0] == pytest.approx(1)
    assert ndcg(truth, -truth, units)(once)[0] < 0.05
    assert np.isnan(ndcg(np.ones(50), truth, units)(once)[0]), "nothing to be ranked first"


def test_predictions_keep_their_assays(tmp_path: Path):
    for active in (False, True):
        predictions = measured(3, active=active)
        write_predictions(tmp_path / "p.parquet", {"test": predictions})
        again = read_predictions(tmp_path / "p.parquet")["test"]
        for name in ("group", "protein", "category"):
            assert (getattr(again.assays, name) == getattr(predictions.assays, name)).all()
        assert (again.assays.active is not None) == active
        task = variant_task(None if active else "median", active=active)
        assert score_split(task, again, None, replicates=50) == score_split(task, predictions, None, replicates=50)


def test_variants_without_assays_are_no_predictions():
    with pytest.raises(ValueError, match="variants need their assays"):
        Predictions(Problem("variant-effect"), np.array(["a"]), None, None, np.array([1.0]), np.array([1.0]))
