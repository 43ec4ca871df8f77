"""Figures of a card: real PNG files of a readable size, with words that say the same."""

from __future__ import annotations

import io

import matplotlib.image
import numpy as np
import pytest
from sample_records import sample_runs
from sklearn.metrics import average_precision_score

from hubtools.evaluation.predictions import Predictions
from hubtools.findings.board.leaderboard import build_board
from hubtools.reporting.figures import plots
from hubtools.specs.problem import Problem


def shape(figure: plots.CardFigure) -> tuple[int, int]:
    height, width = matplotlib.image.imread(io.BytesIO(figure.png)).shape[:2]
    return width, height


def predictions(n: int, outputs: int) -> Predictions:
    rng = np.random.default_rng(0)
    truth = (rng.random((n, outputs)) < np.linspace(0.5, 0.05, outputs)).astype(np.int8)
    scores = 1 / (1 + np.exp(-(2 * truth - 1 + rng.normal(size=truth.shape))))
    ids = np.array([f"P{i}" for i in range(n)])
    return Predictions(Problem("sequence-multilabel"), ids, None, None, truth, scores)


def test_confusion_says_the_share_of_each_class() -> None:
    figure = plots.confusion_figure([[8, 2], [5, 15]], ["Helix", "Strand"], "test")
    assert "Helix: 80% right; Strand: 75% right" in figure.alt
    assert shape(figure)[0] > 400


def test_confusion_of_a_class_that_does_not_occur_and_of_many() -> None:
    assert "B: 0% right" in plots.confusion_figure([[3, 1], [0, 0]], ["A", "B"], "test").alt
    many = plots.confusion_figure(np.eye(30, dtype=int).tolist(), [f"class number {i}" for i in range(30)], "test")
    assert shape(many)[0] <= plots.WIDTH * plots.DPI


def test_a_file_shows_what_matplotlib_itself_saves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawn once, with few colours: next to no pixel is far from that of the figure that matplotlib lays out and saves."""
    own, saved = plots.confusion_figure([[8, 2], [5, 15]], ["Helix", "Strand"], "test").png, io.BytesIO()
    monkeypatch.setattr(plots, "png", lambda figure: figure.savefig(saved, format="png") or b"")
    plots.confusion_figure([[8, 2], [5, 15]], ["Helix", "Strand"], "test")
    found, expected = (matplotlib.image.imread(io.BytesIO(file))[..., :3] for file in (own, saved.getvalue()))
    assert found.shape == expected.shape
    # An axis that is a pixel elsewhere is more than this.
    far = (np.abs(found - expected).max(2) > 0.1).mean()
    assert far < 1e-3, far


def test_dollar_signs_of_a_name_are_dollar_signs() -> None:
    """Between two of them matplotlib would read mathematics, and stop at what is none."""
    figure = plots.confusion_figure([[8, 2], [5, 15]], ["$x$ and $$y$$", "$k_i$"], "test")
    assert shape(figure)[0] > 100


def test_average_precision_is_that_of_scikit_learn() -> None:
    p = predictions(400, 3)
    figure = plots.precision_recall_figure(p, ["a", "b", "c"], [0, 1, 2], "test")
    for index, name in enumerate("abc"):
        assert f"{name} {average_precision_score(p.truth[:, index], p.scores[:, index]):.2f}" in figure.alt


def test_of_many_labels_those_with_most_positives_are_drawn() -> None:
    figure = plots.precision_recall_figure(predictions(300, 20), [f"label {i}" for i in range(20)], range(20), "test")
    assert figure.alt.count("label ") == plots.MAX_PANELS
    assert "8 labels with fewest positives are not drawn" in figure.caption


def test_a_label_without_positives_is_not_drawn() -> None:
    p = predictions(50, 2)
    p.truth[:, 1] = 0
    assert "b" not in plots.precision_recall_figure(p, ["a", "b"], [0, 1], "test").alt.split(": ")[1]


@pytest.mark.parametrize("n", [50, 10_000])
def test_regression_draws_few_points_and_counts_many(n: int) -> None:
    rng = np.random.default_rng(0)
    truth = rng.normal(size=n)
    ids = np.array([f"P{i}" for i in range(n)])
    p = Predictions(Problem("sequence-regression"), ids, None, None, truth, truth + rng.normal(size=n))
    assert f"{n:,} test cases" in plots.regression_figure(p, "log fold", "test").alt


def test_training_needs_two_epochs_and_survives_gaps() -> None:
    lines = [{"epoch": e, "train_loss": 1 / e, "validation": {"mcc": None if e == 2 else 0.1 * e}} for e in (1, 2, 3)]
    figure = plots.training_figure(lines, "mcc", 3)
    assert figure is not None and "Epoch 3 was chosen" in figure.caption
    assert plots.training_figure(lines[:1], "mcc", 1) is None
    assert plots.training_figure([], "mcc", None) is None


def test_comparison_names_every_row_and_marks_the_own() -> None:
    table = next(t for t in build_board(sample_runs()).tables if t.question.task == "localisation")
    figure = plots.comparison_figure(table, table.rows[2].record.run_id)
    for row in table.rows:
        assert f"{row.name} {row.recipe}" in figure.alt


def test_no_global_state_of_matplotlib_is_touched() -> None:
    import matplotlib as mpl

    before = dict(mpl.rcParams)
    plots.confusion_figure([[1, 0], [0, 1]], ["A", "B"], "test")
    assert {key for key, value in mpl.rcParams.items() if before[key] != value} == set()
