"""The reliability diagram: how often what a model gives a probability to is so."""

from __future__ import annotations

import math

import numpy as np

from hubtools.findings.wording import interval, number
from hubtools.reporting.figures.plots import BLUE, GREY, PALE, CardFigure, panels, png
from hubtools.specs.record import Calibration


def reliability_figure(found: Calibration, split: str) -> CardFigure:
    """Observed frequency against mean probability of each bin, and below how many probabilities are in it.

    Args:
        found: calibration on a split, as recorded.
        split: its name.
    """
    from matplotlib.ticker import MaxNLocator

    edges = np.linspace(0, 1, len(found.counts) + 1)
    confidence, observed, low, high = (
        np.array([math.nan if value is None else value for value in values])
        for values in (found.confidence, found.observed, found.observed_low, found.observed_high)
    )
    figure, (axes, below) = panels(2, 1, (4.6, 5.2))
    grid = axes.get_gridspec()
    assert grid is not None
    grid.set_height_ratios([3.4, 1])
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle=(0, (2, 2)))
    axes.vlines(confidence, low, high, color=BLUE, linewidth=3, alpha=0.35)
    measured = ~np.isnan(low)
    axes.plot(confidence[measured], observed[measured], marker="o", color=BLUE, markersize=5, linewidth=1)
    # Hollow: too few, or all alike, to say how far off they might be.
    axes.plot(confidence[~measured], observed[~measured], "o", color=BLUE, markersize=4.5, markerfacecolor="white")
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.02, 1.02), xticks=np.linspace(0, 1, 6), yticks=np.linspace(0, 1, 6))
    axes.tick_params(labelbottom=False)
    axes.set_ylabel("how often it is so")
    axes.grid(color=PALE, linewidth=0.6)
    axes.set_axisbelow(True)
    below.bar(edges[:-1], found.counts, width=np.diff(edges), align="edge", color=BLUE, alpha=0.35, edgecolor="white")
    below.set(xlim=(-0.01, 1.01), xticks=np.linspace(0, 1, 6))
    below.set_xlabel(f"probability of {_short(found.of)}")
    below.set_ylabel("count")
    below.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    below.yaxis.set_major_locator(MaxNLocator(3, integer=True))
    said = "; ".join(
        f"{p:.2f} said, {f:.2f} so" for p, f in zip(confidence, observed, strict=True) if not math.isnan(p)
    )
    return CardFigure(
        "reliability.png",
        png(figure),
        f"Reliability of the probability of {found.of} on {split}. {said}.",
        f"Reliability on {split}: how often what is given a probability is so, with 95 % intervals; on the dotted line "
        f"probabilities mean what they say. Hollow points are of bins too small for an interval. {error_in_words(found)}.",
    )


def error_in_words(found: Calibration) -> str:
    """The calibration error with its interval, and what noise alone would make."""
    bounds = interval(found.low, found.high)
    noise = "" if found.noise is None else f"; a perfectly calibrated model would show up to {number(found.noise)} here"
    return f"Expected calibration error {number(found.ece)}{f' ({bounds})' if bounds else ''}{noise}"


def verdict(found: Calibration, split: str) -> str:
    """Whether probabilities mean what they say on a split, in a sentence."""
    said = sum(n * (value or 0.0) for n, value in zip(found.counts, found.confidence, strict=True)) / sum(found.counts)
    so = sum(n * (value or 0.0) for n, value in zip(found.counts, found.observed, strict=True)) / sum(found.counts)
    means = f"over all of {split} it says {said:.0%} where {so:.0%} are so"
    if found.noise is None:
        return f"In the mean {means}; how much of the error is noise was not measured."
    if found.ece <= found.noise:
        return f"That is no more than chance makes of perfectly calibrated probabilities: {means}."
    return f"That is more than chance makes of perfectly calibrated probabilities: {means}."


def _short(name: str, width: int = 32) -> str:
    return name if len(name) <= width else f"{name[: width - 1]}…"
