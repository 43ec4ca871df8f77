"""Predicted structures of a few proteins, each laid onto the known one: the best, the one in the middle, the worst."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hubtools.evaluation.metrics.structure_scores import laid_onto, lddt, of_coordinates, tm_score
from hubtools.evaluation.statistics.resampling import rows_of_each
from hubtools.findings.wording import number
from hubtools.reporting.figures.plots import BLUE, INK, PALE, WIDTH, CardFigure, panels, png
from hubtools.reporting.figures.structure_trace import draw_bonds

if TYPE_CHECKING:
    from hubtools.evaluation.predictions import Predictions

# Points, as of one structure alone: here there are two in a third of the width.
_WIDTHS = (2.6, 0.8)


def predicted_structures_figure(predictions: Predictions, split: str) -> CardFigure | None:
    """The α carbons that are scored, of up to three proteins by lDDT; None where no protein has enough of them.

    Args:
        predictions: of a split of a task of structures, a row a coordinate.
        split: its name.
    """
    assert predictions.positions is not None
    values = of_coordinates(lddt, predictions)
    # From the worst; a protein of too few residues is not shown.
    order = np.argsort(values, kind="stable")[: int(np.isfinite(values).sum())]
    if not len(order):
        return None
    chosen = dict.fromkeys([int(order[-1]), int(order[len(order) // 2]), int(order[0])])
    roles = {1: ("",), 2: ("best: ", "worst: "), 3: ("best: ", "middle: ", "worst: ")}[len(chosen)]
    rows = rows_of_each(predictions.ids)
    figure, axes = panels(1, len(chosen), (WIDTH, 3.0) if len(chosen) > 1 else (4.6, 4.6))
    said = []
    for place, role, drawn in zip(chosen, roles, axes, strict=True):
        shown = predictions.rows(rows[place])
        assert shown.positions is not None
        known, residues = shown.truth.reshape(-1, 3), shown.positions[::3] // 3
        predicted = shown.scores.astype(np.float64).reshape(-1, 3)
        n, name = len(known), str(shown.ids[0])
        joined = np.flatnonzero(np.diff(residues) == 1)
        both = np.concatenate([known, laid_onto(known, predicted)])
        draw_bonds(drawn, both, np.concatenate([joined, joined + n]), [PALE] * n + [BLUE] * n, _WIDTHS)
        # Axes of one size, so that titles are in one line.
        drawn.set_aspect("equal", adjustable="datalim")
        scores = f"lDDT {number(float(values[place]))}, TM-score {number(tm_score(known, predicted))}"
        title = name if len(name) <= 24 else f"{name[:23]}…"
        drawn.set_title(f"{role}{title}\n{scores}", fontsize=8.5, color=INK)
        said.append(f"{role}{name} ({n:,} residues; {scores})")
    names = (("known", PALE), ("predicted", BLUE))
    handles = [axes[0].plot([], [], color=tone, linewidth=4, label=name)[0] for name, tone in names]
    figure.legend(handles=handles, loc="outside lower center", ncols=2, frameon=False, fontsize=8)
    return CardFigure(
        "structures.png",
        png(figure),
        f"Predicted on known structures of {split}; {'; '.join(said)}.",
        f"α carbons that are scored, as predicted (blue) and as known (grey), of {len(chosen)} of the {len(values):,} proteins of {split} by lDDT; "
        "laid onto each other by least squares, and seen along the direction in which both together are thinnest.",
    )
