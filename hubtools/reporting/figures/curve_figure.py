"""Learning curves as a figure: one panel a task, pretrained beside random weights, baselines as dashed lines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from hubtools.findings.board.learning_curve import Curve, Point, Series, score_text
from hubtools.findings.wording import metric_title, share
from hubtools.reporting.figures.plots import BLUE, GREY, INK, PALE, VERMILION, CardFigure, panels, png

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Of Okabe and Ito's palette; where there is one series, random weights have the second colour to themselves.
COLOURS = (BLUE, VERMILION, "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
# Least distance of two labels at the right edge, as a share of the panel's height.
_LINE = 0.062


def curve_figure(curves: Sequence[Curve]) -> bytes:
    """A PNG with one panel a curve, all of one size."""
    across = 1 if len(curves) == 1 else 2
    down = -(-len(curves) // across)
    figure, grid = panels(down, across, (7.2 if across == 1 else 13.0, 4.4 * down))
    for axes, curve in zip(grid, curves, strict=False):
        _panel(axes, curve)
    for axes in grid[len(curves) :]:
        axes.set_visible(False)
    seeds = any(len(p.seeds) > 1 for c in curves for s in c.series for p in (*s.pretrained, *s.random))
    points = (
        "Points: means over seeds (dots), with 95 % intervals." if seeds else "Points: one seed, with 95 % intervals."
    )
    lines = [points]
    if any(curve.baselines for curve in curves):
        lines[0] += " Dashed: baselines that learnt from all data."
    if any(series.pretrained and series.random for curve in curves for series in curve.series):
        # Two intervals that overlap say nothing of a difference, which is paired: as bench compare has it.
        lines.append(
            "Whether two points differ is told by their paired difference (gain in the table, bench compare), not by overlap."
        )
    figure.supxlabel("\n".join(lines), fontsize=9, color=GREY, x=0.02, ha="left")
    return png(figure)


def curves_shown(curves: Sequence[Curve]) -> CardFigure:
    """The same as a figure with its words: of each line its first and last point."""
    said = [
        f"{curve.title}, {series.name}, {weights}: {metric_title(curve.metric)} "
        + " and ".join(
            f"{score_text(point)} from {share(point.fraction)}" for point in dict.fromkeys((points[0], points[-1]))
        )
        for curve in curves
        for series in curve.series
        for weights, points in (("pretrained", series.pretrained), ("random weights", series.random))
        if points
    ]
    alt = f"Learning curves over training {curves[0].noun}. {'; '.join(said)}." if curves else "No learning curve."
    return CardFigure("learning-curve", curve_figure(curves), alt, "Score against what was learnt from.")


def _panel(axes: Axes, curve: Curve) -> None:
    axes.set_xscale("log")
    several = len(curve.series) > 1
    for place, series in enumerate(curve.series):
        own = COLOURS[place % len(COLOURS)]
        name = f"{_short(series)}, " if several else ""
        _line(axes, series.random, own if several else VERMILION, f"{name}random weights", solid=False)
        _line(axes, series.pretrained, own, f"{name}pretrained", solid=True)
    _ticks(axes, curve)
    axes.set_ylabel(f"{metric_title(curve.metric, arrow=True)} on {curve.split}", fontsize=11)
    axes.tick_params(axis="y", labelsize=10)
    axes.grid(axis="y", color=PALE, linewidth=0.6)
    axes.set_axisbelow(True)
    title = curve.title if several else f"{curve.title}\n{curve.series[0].name}"
    axes.set_title(title, fontsize=11, loc="left")
    _baselines(axes, curve)
    handles, labels = axes.get_legend_handles_labels()
    # Drawn first, named last: pretrained lie above.
    axes.legend(handles[::-1], labels[::-1], frameon=False, fontsize=10, loc="best")


def _line(axes: Axes, points: Sequence[Point], colour: str, label: str, *, solid: bool) -> None:
    """Means over seeds with 95 % intervals, and each seed as a faint dot."""
    defined = [point for point in points if point.estimate.value is not None]
    if not defined:
        return
    # A little apart, so that the two intervals of one share can be told from each other.
    shift = 1.018 if solid else 1 / 1.018
    places = [point.n * shift for point in defined]
    values = [float(point.estimate.value or 0) for point in defined]
    with_interval = [
        (place, value, p.estimate.low, p.estimate.high)
        for place, value, p in zip(places, values, defined, strict=True)
        if p.estimate.low is not None and p.estimate.high is not None
    ]
    for place, _, low, high in with_interval:
        axes.plot([place, place], [low, high], color=colour, linewidth=4, alpha=0.3, solid_capstyle="butt", zorder=2)
    axes.plot(
        places,
        values,
        color=colour,
        linewidth=2,
        linestyle="-" if solid else (0, (1, 1.2)),
        marker="o" if solid else "s",
        markersize=7,
        markerfacecolor=colour if solid else "white",
        markeredgecolor=colour,
        markeredgewidth=1.6,
        label=label,
        zorder=3,
    )
    seeds = [
        (place, value)
        for place, point in zip(places, defined, strict=True)
        if len(point.seeds) > 1
        for _, value in point.estimate.by_seed
    ]
    if seeds:
        across, up = zip(*seeds, strict=True)
        axes.scatter(across, up, s=13, color=colour, alpha=0.75, linewidths=0, zorder=4)


def _ticks(axes: Axes, curve: Curve) -> None:
    """The numbers that were learnt from, and what share they are."""
    from matplotlib.ticker import NullFormatter, NullLocator

    n_of = {p.fraction: p.n for s in curve.series for p in (*s.pretrained, *s.random)}
    ordered = sorted(n_of.items())
    axes.set_xticks([n for _, n in ordered], [f"{n:,.0f}\n{share(fraction)}" for fraction, n in ordered], fontsize=10)
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel(f"training {curve.noun} (share of all)", fontsize=11)
    low, high = ordered[0][1], ordered[-1][1]
    air = (high / low) ** 0.04
    axes.set_xlim(low / air, high * air)


def _baselines(axes: Axes, curve: Curve) -> None:
    """Dashed lines from all training data, named at the right edge where names cannot cover each other."""
    lines = [(name, float(estimate.value)) for name, estimate in curve.baselines if estimate.value is not None]
    for _, value in lines:
        axes.axhline(value, color=GREY, linewidth=1.2, linestyle=(0, (5, 3)), zorder=1)
    if not lines:
        return
    axes.relim()
    axes.autoscale_view(scalex=False)
    bottom, top = axes.get_ylim()
    places = apart([(value - bottom) / (top - bottom) for _, value in lines])
    for (name, value), place in zip(lines, places, strict=True):
        axes.annotate(
            name,
            xy=(1.0, (value - bottom) / (top - bottom)),
            xytext=(1.03, place),
            xycoords="axes fraction",
            textcoords="axes fraction",
            va="center",
            fontsize=9.5,
            color=INK,
            arrowprops={"arrowstyle": "-", "color": GREY, "linewidth": 0.7, "shrinkA": 1, "shrinkB": 0},
            annotation_clip=False,
        )


def apart(places: Sequence[float], least: float = _LINE) -> list[float]:
    """Places moved as little as needed for neighbours to be ``least`` apart, in the order given."""
    order = sorted(range(len(places)), key=lambda index: places[index])
    groups: list[list[int]] = []

    def centre(group: list[int]) -> float:
        return sum(places[index] for index in group) / len(group)

    for index in order:
        groups.append([index])
        # Groups that touch become one, around the middle of what is in it.
        while (
            len(groups) > 1
            and centre(groups[-1]) - centre(groups[-2]) < least * (len(groups[-1]) + len(groups[-2])) / 2
        ):
            last = groups.pop()
            groups[-1] += last
    moved = [0.0] * len(places)
    for group in groups:
        start = centre(group) - least * (len(group) - 1) / 2
        for rank, index in enumerate(group):
            moved[index] = start + rank * least
    return moved


def _short(series: Series) -> str:
    return series.name.split("/")[-1]
