"""The trials of a sweep as a figure: validation score against each field."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np

from hubtools.findings.wording import metric_title
from hubtools.reporting.figures.plots import BLUE, PALE, VERMILION, WIDTH, panels, png
from hubtools.runs.sweeps.search_space import Dimension
from hubtools.runs.sweeps.trials import Trial


def sweep_figure(trials: Sequence[Trial], space: Sequence[Dimension], best: Trial, metric: str) -> bytes:
    """A PNG with one panel a field, one point a complete trial; the best is ringed."""
    from matplotlib.ticker import NullFormatter

    complete = [trial for trial in trials if trial.score is not None]
    across = min(3, len(space))
    down = -(-len(space) // across)
    figure, grid = panels(down, across, (WIDTH if across > 1 else 4.6, 2.7 * down))
    for axes, dimension in zip(grid, space, strict=False):
        values = [trial.values[dimension.field] for trial in complete]
        if dimension.choices:
            # Side by side where many have one value; by number, so that the same sweep gives the same picture.
            shift = [((trial.number * 0.618) % 1 - 0.5) * 0.3 for trial in complete]
            places = [dimension.choices.index(v) + s for v, s in zip(values, shift, strict=True)]
            axes.set_xticks(range(len(dimension.choices)), [json.dumps(c).strip('"') for c in dimension.choices])
            axes.set_xlim(-0.5, len(dimension.choices) - 0.5)
        else:
            places = [float(value) for value in values]
            # The whole range, so that one sees where nothing was tried.
            low, high = dimension.low, dimension.high
            if dimension.log:
                axes.set_xscale("log")
                axes.xaxis.set_minor_formatter(NullFormatter())
                axes.set_xlim(low / (high / low) ** 0.04, high * (high / low) ** 0.04)
            else:
                axes.set_xlim(low - (high - low) * 0.04, high + (high - low) * 0.04)
        scores = np.array([trial.score for trial in complete], dtype=float)
        axes.scatter(places, scores, s=24, color=BLUE, alpha=0.6, linewidths=0)
        chosen = next(i for i, trial in enumerate(complete) if trial.number == best.number)
        axes.scatter(
            [places[chosen]], [scores[chosen]], s=90, facecolors="none", edgecolors=VERMILION, linewidths=1.8, zorder=3
        )
        axes.set_xlabel(dimension.field)
        axes.grid(axis="y", color=PALE, linewidth=0.6)
    for axes in grid[::across]:
        axes.set_ylabel(f"{metric_title(metric)}\non validation")
    for axes in grid[len(space) :]:
        axes.set_visible(False)
    return png(figure)
