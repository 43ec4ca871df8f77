"""Precision of contacts: against a plain implementation, protein by protein, and what the bootstrap draws."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from tiny_tasks import tiny_task

from hubtools.evaluation import metric, read_predictions, score_and_resample, statistic, write_predictions
from hubtools.evaluation.metrics.contact_precision import MAX_PROTEINS, by_protein, precision
from hubtools.evaluation.predictions import Predictions
from hubtools.specs.metric_names import METRICS, RANGES
from hubtools.specs.problem import Problem

ALL = [name for name, known in METRICS.items() if known.level == "residue pair"]


def predictions(lengths: list[int], seed: int = 0, levels: int | None = None, clusters: bool = False) -> Predictions:
    """All pairs of a separation from six on; with ``levels`` only so many different scores."""
    rng = np.random.default_rng(seed)
    ids, numbers, residues = [], [], []
    for protein, length in enumerate(lengths):
        for j, i in itertools.product(range(length), repeat=2):
            if j - i >= 6:
                ids.append(f"p{protein}")
                numbers.append(j * (j - 1) // 2 + i + 1)
                residues.append(length)
    n = len(ids)
    scores = rng.normal(size=n) if levels is None else rng.integers(levels, size=n)
    return Predictions(
        problem=Problem("contact-prediction"),
        ids=np.array(ids),
        positions=np.array(numbers),
        clusters=np.array([f"c{name}" for name in ids]) if clusters else None,
        truth=(rng.random(n) < 0.2).astype(float),
        scores=scores,
        residues=np.array(residues),
    )


def plain(found: Predictions, protein: str, part: int, least: int, most: float) -> float:
    """The list of pairs, sorted; of equal scores all orders are tried by their mean."""
    pairs = []
    for row in np.flatnonzero(found.ids == protein):
        # The pair, looked for.
        i, j = next(
            (i, j)
            for j in range(int(found.residues[row]))
            for i in range(j)
            if j * (j - 1) // 2 + i + 1 == found.positions[row]
        )
        if least <= j - i <= most:
            pairs.append((float(found.scores[row]), float(found.truth[row])))
    top = min(max(1, int(found.residues[found.ids == protein][0]) // part), len(pairs))
    if not pairs:
        return float("nan")
    by_score = {score: [t for s, t in pairs if s == score] for score, _ in pairs}
    each = [np.mean(by_score[score]) for score, _ in sorted(pairs, reverse=True)]
    return float(np.mean(each[:top]))


@pytest.mark.parametrize("levels", [None, 3])
@pytest.mark.parametrize("name", ALL)
def test_each_metric_is_what_a_plain_one_says(name: str, levels: int | None) -> None:
    found = predictions([9, 20, 33], levels=levels)
    part, least, most = _meaning(name)
    expected = [plain(found, f"p{protein}", part, least, most) for protein in range(3)]
    assert by_protein(name, found) == pytest.approx(expected, abs=1e-12, nan_ok=True)


def _meaning(name: str) -> tuple[int, int, float]:
    _, part, reach = name.split("_")
    least, most = RANGES[reach]
    return int(part[1:] or 1), least, np.inf if most is None else most


def test_ranges_are_as_the_field_has_them() -> None:
    assert RANGES == {"short": (6, 11), "medium": (12, 23), "long": (24, None)}
    assert len(ALL) == 9


def test_ties_count_by_the_mean_over_their_orders() -> None:
    truth, apart = np.array([1.0, 0, 0, 1, 0, 0]), np.full(6, 30)
    assert precision(truth, np.zeros(6), apart, 2, 1, "long") == pytest.approx(2 / 6)
    assert precision(truth, np.array([9.0, 0, 0, 0, 0, 0]), apart, 2, 1, "long") == pytest.approx((1 + 1 / 5) / 2)
    assert precision(truth, np.arange(6.0), apart, 600, 1, "long") == pytest.approx(2 / 6), "fewer pairs than L"
    assert np.isnan(precision(truth, truth, np.full(6, 8), 6, 1, "long"))


def test_the_score_is_the_mean_over_proteins_and_whole_proteins_are_drawn() -> None:
    task = tiny_task("contact-prediction", metrics={"primary": "precision_l_long", "also": ["precision_l5_short"]})
    found = predictions([10, 28, 30, 35])
    result, drawn, units = score_and_resample(task, found, None, replicates=200)
    each = by_protein("precision_l_long", found)
    assert np.isnan(each[0]) and not np.isnan(each[1:]).any()
    assert result.scores["precision_l_long"].value == pytest.approx(np.nanmean(each))
    assert (result.n_proteins, result.n_labelled, units.n_units) == (4, len(found), 4)
    assert "4 proteins" in result.interval
    rng = np.random.default_rng(0)
    draws = rng.integers(0, 4, size=(200, 4))
    assert drawn["precision_l_long"] == pytest.approx([np.nanmean(each[d]) for d in draws], abs=1e-6, nan_ok=True)
    assert [row["name"] for row in result.per_class] == ["p0", "p1", "p2", "p3"]
    assert result.per_class[0]["precision_l_long"] is None


def test_clusters_are_drawn_where_there_are_enough_and_many_proteins_have_no_table() -> None:
    task = tiny_task("contact-prediction", metrics={"primary": "precision_l_short"})
    result, _, _ = score_and_resample(task, predictions([9] * (MAX_PROTEINS + 1), clusters=True), None, replicates=20)
    assert "homology clusters" in result.interval and result.per_class == []


def test_the_file_keeps_pairs_bit_for_bit(tmp_path: Path) -> None:
    found = predictions([9, 20])
    write_predictions(tmp_path / "p.parquet", {"test": found})
    back = read_predictions(tmp_path / "p.parquet")["test"]
    for name in ("ids", "positions", "truth", "scores", "residues"):
        assert np.array_equal(getattr(found, name), getattr(back, name)), name
    with pytest.raises(ValueError, match="length of their protein"):
        Predictions(found.problem, found.ids, found.positions, None, found.truth, found.scores)


def test_metrics_of_contacts_are_of_nothing_else() -> None:
    for name in ALL:
        with pytest.raises(Exception, match="within its protein"):
            statistic(name, predictions([9]), None, np.zeros(6, dtype=int), 1)
    with pytest.raises(Exception, match="pairs of residues"):
        metric("precision_l_long")
    with pytest.raises(ValueError, match=r"not for contact-prediction\. Use one of: precision_l2_long"):
        tiny_task("contact-prediction", metrics={"primary": "spearman"})
    with pytest.raises(ValueError, match="not for sequence-regression"):
        tiny_task("sequence-regression", metrics={"primary": "precision_l_long"})
