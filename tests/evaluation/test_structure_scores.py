"""Scores of predicted structures: of known ones against themselves and perturbed copies, and by other implementations."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
from optional_packages import needs_biotite
from tiny_structures import chain_atoms

from hubtools.evaluation.metrics import structure_scores
from hubtools.evaluation.metrics.structure_scores import SCORES, compare_structures
from hubtools.inference.folding.known_structures import mean_scores
from hubtools.specs.metric_names import METRICS

pytestmark = needs_biotite


def helix(n: int, seed: int = 0) -> np.ndarray:
    """(n, 3) α carbons that wind as those of a protein, 3.8 Å apart."""
    sequence = "".join(np.random.default_rng(seed).choice(list("ACDEFGHIKLMNPQRSTVWY"), n))
    atoms = chain_atoms(sequence, seed=seed)
    return np.asarray(atoms.coord[atoms.atom_name == "CA"], dtype=np.float64)


def turned(places: np.ndarray, seed: int = 1) -> np.ndarray:
    """The same somewhere else: scores are of shape alone."""
    turn = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))[0]
    return places @ (turn * np.linalg.det(turn)) + [10.0, -20.0, 30.0]


def noisy(places: np.ndarray, size: float, seed: int = 2) -> np.ndarray:
    return turned(places + np.random.default_rng(seed).normal(0, size, places.shape))


def lddt_of(known: np.ndarray, predicted: np.ndarray) -> float:
    """By the definition of Mariani et al. 2013, pair by pair."""
    kept, counted = 0, 0
    for i in range(len(known)):
        for j in range(len(known)):
            distance = np.linalg.norm(known[i] - known[j])
            if i != j and distance < 15:
                off = abs(distance - np.linalg.norm(predicted[i] - predicted[j]))
                kept += sum(off < cutoff for cutoff in (0.5, 1, 2, 4))
                counted += 4
    return kept / counted


@pytest.mark.parametrize("n", [4, 20, 21, 90])
def test_a_structure_is_itself_wherever_it_lies(n: int) -> None:
    found = compare_structures(helix(n), turned(helix(n)))
    assert found == pytest.approx({"lddt": 1, "tm_score": 1, "gdt_ts": 1, "rmsd": 0}, abs=1e-4)


def test_scores_fall_with_noise() -> None:
    known = helix(80)
    found = [compare_structures(known, noisy(known, size)) for size in (0.1, 0.5, 1, 2, 5)]
    for name in SCORES:
        metric = METRICS[name]
        values = [one[name] for one in found]
        assert values == sorted(values, reverse=metric.higher_is_better) and len(set(values)) == 5, name


def test_a_mirror_image_is_another_protein() -> None:
    found = compare_structures(helix(80), helix(80) * [1, 1, -1])
    # Distances are the same in a mirror, and places are not.
    assert found["lddt"] == pytest.approx(1) and found["tm_score"] < 0.6 and found["rmsd"] > 2


def test_a_domain_that_turned_away_counts_for_what_stayed() -> None:
    known = helix(120)
    moved = known.copy()
    moved[80:] = turned(known[80:])
    found = compare_structures(known, turned(moved))
    assert 2 / 3 <= found["gdt_ts"] < 0.75 and 2 / 3 <= found["tm_score"] < 0.8 and found["rmsd"] > 8


def test_known_answers() -> None:
    # One residue of five is far away, each elsewhere, the others are where they were.
    known = helix(40)
    off = known.copy()
    off[::5] += np.random.default_rng(0).normal(0, 200, (8, 3))
    assert compare_structures(known, off)["gdt_ts"] == pytest.approx(0.8)
    assert compare_structures(known, known + 5)["rmsd"] == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize("size", [0.3, 1, 2])
def test_lddt_by_its_definition(size: float) -> None:
    known = helix(40)
    predicted = noisy(known, size)
    assert compare_structures(known, predicted)["lddt"] == pytest.approx(lddt_of(known, predicted), abs=1e-4)


@pytest.mark.skipif(importlib.util.find_spec("tmtools") is None, reason="tmtools is not installed: pip install tmtools")
@pytest.mark.parametrize("n", [30, 130])
@pytest.mark.parametrize("size", [0.3, 1, 2, 4])
def test_tm_score_by_the_authors_code(n: int, size: float) -> None:
    import tmtools

    known, letters = helix(n), "A" * n
    predicted = noisy(known, size)
    theirs = tmtools.tm_align(predicted, known, letters, letters, (letters, letters)).tm_norm_chain2
    # Both look for the best superposition: of what is hardly alike ours may be the better one.
    assert theirs - 0.005 < compare_structures(known, predicted)["tm_score"] < theirs + 0.01


def test_means_have_intervals_over_proteins() -> None:
    from scipy import stats

    known = helix(60)
    found = [compare_structures(known, noisy(known, size, seed)) for seed, size in enumerate(np.linspace(0.5, 3, 30))]
    means = mean_scores(found)
    for name in SCORES:
        metric = METRICS[name]
        values = np.array([one[name] for one in found])
        interval = means[name]
        assert interval.value == pytest.approx(values.mean())
        assert interval.low is not None and interval.high is not None
        assert metric.low < interval.low < interval.value < interval.high < metric.high
        # Of many proteins it is as wide as Student's, but for the bounds.
        half = stats.t.ppf(0.975, 29) * stats.sem(values)
        assert interval.high - interval.low == pytest.approx(2 * half, rel=0.1)
    assert mean_scores(found[:1])["lddt"].low is None


def test_one_search_serves_both_scores_of_superpositions(monkeypatch: pytest.MonkeyPatch) -> None:
    searched = []
    looked_for = structure_scores._looked_for
    monkeypatch.setattr(structure_scores, "_found", {})
    monkeypatch.setattr(structure_scores, "_KEPT", 2)
    monkeypatch.setattr(
        structure_scores, "_looked_for", lambda *pair: searched.append(len(pair[0])) or looked_for(*pair)
    )
    pairs = [(helix(n), noisy(helix(n), 2.0)) for n in (30, 31)]
    found = [[score(*pair) for pair in pairs] for score in (structure_scores.tm_score, structure_scores.gdt_ts)]
    assert searched == [30, 31]
    assert [list(scores) for scores in zip(*found, strict=True)] == [
        [looked_for(*pair)[0], looked_for(*pair)[1].mean()] for pair in pairs
    ]
    # The oldest makes room.
    structure_scores.tm_score(helix(32), noisy(helix(32), 2.0))
    structure_scores.tm_score(*pairs[1])
    structure_scores.tm_score(*pairs[0])
    assert searched == [30, 31, 32, 30]
