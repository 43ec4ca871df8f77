"""The card's picture of a structure task: which proteins are shown, and where what is predicted lies on what is known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from optional_packages import needs_biotite

from hubtools.evaluation import Predictions
from hubtools.evaluation.metrics.structure_scores import laid_onto
from hubtools.reporting.figures import predicted_structures
from hubtools.reporting.figures.predicted_structures import predicted_structures_figure
from hubtools.specs.level import STRUCTURE
from hubtools.specs.problem import problem_of
from hubtools.training.folding.structure_predictions import helix_places

pytestmark = needs_biotite


def folded(noise: dict[str, float], residues: int = 30, gap: int = 10) -> Predictions:
    """Helices that lack one residue, turned and moved, with noise of so many Å."""
    rng = np.random.default_rng(1)
    numbers = np.delete(np.arange(1, residues + 1), gap)
    places = helix_places(residues)[numbers - 1]
    turn = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    predicted = [places @ turn.T + 40 + sigma * rng.normal(size=places.shape) for sigma in noise.values()]
    n, size = len(noise), 3 * len(numbers)
    return Predictions(
        problem=problem_of(STRUCTURE, "regression"),
        ids=np.repeat(np.array(list(noise)), size),
        positions=np.tile((3 * (numbers[:, None] - 1) + [1, 2, 3]).ravel(), n),
        clusters=None,
        truth=np.tile(places.ravel(), n),
        scores=np.concatenate([one.ravel() for one in predicted]),
    )


def test_the_best_the_middle_and_the_worst(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Any] = []
    draw = predicted_structures.draw_bonds
    monkeypatch.setattr(predicted_structures, "draw_bonds", lambda *given: (drawn.append(given), draw(*given)))
    figure = predicted_structures_figure(
        folded({"far": 8.0, "near": 0.0, "off": 1.0, "way_off": 3.0, "close": 0.4}), "test"
    )
    assert figure is not None and figure.png[:4] == b"\x89PNG"
    assert "best: near (29 residues; lDDT 1.000, TM-score 1.000); middle: off" in figure.alt
    assert "worst: far" in figure.alt and "3 of the 5 proteins" in figure.caption
    _, places, joined, colours, _ = drawn[0]
    # Turned back and moved back, it lies on the known one.
    np.testing.assert_allclose(places[29:], places[:29], atol=1e-4)
    # No bond over the missing residue, and none from one structure to the other.
    assert sorted(set(range(58)) - set(joined.tolist())) == [9, 28, 38, 57]
    assert len(set(colours[:29])) == len(set(colours[29:])) == 1 and colours[0] != colours[29]


def test_few_proteins_and_short_ones() -> None:
    two = predicted_structures_figure(folded({"a": 0.1, "b": 4.0}), "test")
    assert two is not None and "best: a" in two.alt and "worst: b" in two.alt
    one = predicted_structures_figure(folded({"a": 0.1}), "test")
    assert one is not None and "; a (29 residues" in one.alt and "best" not in one.alt
    assert predicted_structures_figure(folded({"a": 0.1}, residues=4, gap=1), "test") is None


def test_superposition_is_of_least_squares() -> None:
    from scipy.spatial.transform import Rotation

    rng = np.random.default_rng(2)
    known, predicted = rng.normal(size=(2, 40, 3)) * 9
    moved = laid_onto(known, predicted)
    turn, _ = Rotation.align_vectors(known - known.mean(axis=0), predicted - predicted.mean(axis=0))
    np.testing.assert_allclose(moved, turn.apply(predicted - predicted.mean(axis=0)) + known.mean(axis=0), atol=1e-4)
