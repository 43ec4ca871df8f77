"""The map of one protein: what is predicted above the diagonal, what is true below it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hubtools.data.structures.contacts import NEAREST, pairs_of
from hubtools.evaluation.metrics.contact_precision import by_protein
from hubtools.evaluation.statistics.resampling import encode
from hubtools.findings.wording import metric_title, number
from hubtools.reporting.figures.plots import BLUE, GREY, INK, PALE, VERMILION, CardFigure, panels, png

if TYPE_CHECKING:
    from hubtools.evaluation.predictions import Predictions


def contact_map_figure(predictions: Predictions, metric: str, split: str) -> CardFigure:
    """The map of the protein in the middle by the metric: of a protein of L residues the L likeliest pairs, and all true ones.

    Args:
        predictions: of a split.
        metric: by which proteins are ordered.
        split: its name.
    """
    values = by_protein(metric, predictions)
    # A protein in which it is not defined is behind all others, so that it is shown only where it is so in most.
    middle = int(np.argsort(np.nan_to_num(values, nan=-1.0), kind="stable")[len(values) // 2])
    codes, _ = encode(predictions.ids)
    shown = predictions.rows(np.flatnonzero(codes == middle))
    assert shown.positions is not None and shown.residues is not None
    length, name = int(shown.residues[0]), str(shown.ids[0])
    first, second = (residue + 1 for residue in pairs_of(shown.positions.astype(np.int64) - 1))
    true, likeliest = shown.truth == 1, np.argsort(-shown.scores, kind="stable")[:length]
    right = true[likeliest]
    figure, (axes,) = panels(1, 1, (4.9, 4.7))
    size = max(2.5, (300 / length) ** 2)
    common: dict[str, Any] = {"marker": "s", "linewidths": 0, "s": size}
    axes.scatter(first[true], second[true], color=INK, label="true", **common)
    axes.scatter(second[likeliest][right], first[likeliest][right], color=BLUE, label="predicted, true", **common)
    axes.scatter(second[likeliest][~right], first[likeliest][~right], color=VERMILION, label="predicted, not", **common)
    axes.plot([1, length], [1, length], color=GREY, linewidth=0.8)
    axes.set(xlim=(0, length + 1), ylim=(length + 1, 0), xlabel="residue", ylabel="residue")
    axes.set_aspect("equal")
    axes.grid(color=PALE, linewidth=0.5)
    axes.set_axisbelow(True)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, 1.1), ncols=3, frameon=False, fontsize=8, markerscale=2)
    score = number(float(values[middle])) if not np.isnan(values[middle]) else "not defined"
    return CardFigure(
        "contact-map.png",
        png(figure),
        f"Contact map of {name} ({length:,} residues) of {split}: {int(right.sum()):,} of the {len(likeliest):,} likeliest pairs "
        f"are among the {int(true.sum()):,} true contacts.",
        f"Contacts of {name}, the protein in the middle of {split} by {metric_title(metric)} ({score}). Above the diagonal the "
        f"{len(likeliest):,} likeliest pairs of residues, below it all true contacts; from a separation of {NEAREST} on, where both "
        "residues are resolved.",
    )
