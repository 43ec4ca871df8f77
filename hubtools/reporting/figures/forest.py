"""A forest plot: one row a comparison (or class), its difference, interval and margin, and the verdict in words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hubtools.evaluation.statistics.verdicts import Verdict
from hubtools.findings.side_by_side import Pair, SideBySide
from hubtools.findings.wording import interval, metric_title, number, signed
from hubtools.reporting.figures.plots import BLUE, GREY, INK, PALE, VERMILION, CardFigure, panels, png
from hubtools.specs.metric_names import METRICS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

GREEN = "#009E73"
# Colour and shape of each verdict, so that neither is needed to tell them apart.
_MARKS = {
    Verdict.BETTER: (BLUE, "o", True),
    Verdict.WORSE: (VERMILION, "s", True),
    Verdict.WITHIN: (GREEN, "s", True),
    Verdict.NO_LOSS: (GREEN, "D", True),
    Verdict.CANNOT_TELL: (GREY, "X", False),
}
# In inches. Beside the plot stand what is compared, and at the right numbers and verdict.
_LEFT, _PLOT, _NUMBERS, _VERDICTS = 3.05, 3.9, 1.95, 1.6
_WIDTH = _LEFT + _PLOT + _NUMBERS + _VERDICTS
_ROW, _HEAD, _FOOT, _TITLE, _BOTTOM = 0.42, 0.32, 0.62, 0.62, 0.3
_EDGE = 0.14
_LARGE, _LABEL, _BELOW, _NAME = 42, 48, 58, 110
_MOST_CLASSES = 40
_BOUNDED = "bounded"


@dataclass(frozen=True)
class ForestRow:
    """One line of the plot.

    Attributes:
        label, below: what is compared, and in smaller letters its scores.
        metric: the name of what differs.
        value, low, high: of the difference; None where there is none.
        margin: the difference that counts; None where there is none.
        verdict: of B.
        of_class: whether it is a part of the row above.
    """

    label: str
    below: str
    metric: str
    value: float | None
    low: float | None
    high: float | None
    margin: float | None
    verdict: Verdict
    of_class: bool = False


def forest_figure(comparison: SideBySide, *, per_class: bool = False) -> CardFigure:
    """Draw a comparison: rows whose differences have one scale share a panel.

    Args:
        comparison: what came of it.
        per_class: also one row a class, label or assay, below its task.
    """
    scales: dict[str, list[ForestRow]] = {}
    for pair in comparison.pairs:
        rows = scales.setdefault(_scale(pair), [])
        rows.append(_row(pair))
        if per_class:
            rows += _class_rows(pair)
    heights = [len(rows) * _ROW for rows in scales.values()]
    height = _TITLE + sum(heights) + len(heights) * (_HEAD + _FOOT) + _BOTTOM
    figure, grid = panels(len(scales), 1, (_WIDTH, height))
    # All is placed by hand: words beside a plot are not what a layout engine knows to leave room for.
    figure.set_layout_engine("none")
    top = height - _TITLE
    for axes, (scale, rows), tall in zip(grid, scales.items(), heights, strict=True):
        top -= _HEAD + tall
        axes.set_position((_LEFT / _WIDTH, top / height, _PLOT / _WIDTH, tall / height))
        _panel(axes, rows, scale)
        top -= _FOOT
    at = _EDGE / _WIDTH
    for line, letter in enumerate("BA"):
        name = _short(_names(comparison, letter.lower()), _NAME)
        y = 1 - (0.24 + 0.23 * line) / height
        figure.text(at, y, letter, fontsize=11, weight="bold", color=INK, va="center")
        figure.text(
            at + 0.2 / _WIDTH, y, name if line == 0 else f"compared with: {name}", fontsize=10.5, color=INK, va="center"
        )
    margins = any(row.margin is not None for rows in scales.values() for row in rows)
    band = " Shaded: the task's margin, below which a difference does not count." if margins else ""
    figure.text(
        at,
        0.13 / height,
        f"Points: difference of B from A on {comparison.split}; lines: 95 % intervals.{band}",
        fontsize=8.5,
        color=GREY,
        va="center",
    )
    return CardFigure("comparison.png", png(figure), alt_text(comparison), comparison.headline)


def alt_text(comparison: SideBySide) -> str:
    """What the plot shows, for those who do not see it."""
    rows = "; ".join(
        f"{pair.label}: {metric_title(pair.found.metric)} {signed(pair.found.difference.value)}"
        + (f" ({spread})" if (spread := interval(pair.found.difference.low, pair.found.difference.high)) else "")
        + f", {pair.found.verdict}"
        for pair in comparison.pairs
    )
    return f"Forest plot of B against A on {comparison.split}, difference with 95 % interval. {rows}."


def _scale(pair: Pair) -> str:
    """What differences can stand on one axis: those of bounded scores; else those of one metric."""
    info = METRICS[pair.found.metric]
    return (
        "score"
        if math.isfinite(info.low) and math.isfinite(info.high)
        else f"{pair.found.metric} {pair.found.task.unit or ''}"
    )


def _row(pair: Pair) -> ForestRow:
    found = pair.found.difference
    scores = f"{metric_title(found.metric, arrow=True)}  {number(found.baseline)} → {number(found.candidate)}"
    one, other = found.seeds
    seeds = "" if one == other == 1 else f"  ({one} seeds each)" if one == other else f"  ({one} and {other} seeds)"
    return ForestRow(
        pair.label,
        scores + seeds,
        found.metric,
        _finite(found.value),
        found.low,
        found.high,
        pair.found.margin,
        pair.found.verdict,
    )


def _class_rows(pair: Pair) -> list[ForestRow]:
    """Classes of a task, by how much they differ where there are too many to draw."""
    classes = list(pair.classes)
    if len(classes) > _MOST_CLASSES:
        chosen = sorted(classes, key=lambda row: -abs(row.value or 0))[:_MOST_CLASSES]
        classes = [row for row in classes if row in chosen]
    rows = []
    for one in classes:
        told = one.adjusted_p is not None and one.adjusted_p <= 0.05
        verdict = (Verdict.BETTER if (one.value or 0) > 0 else Verdict.WORSE) if told else Verdict.CANNOT_TELL
        below = f"{metric_title(one.metric)}  {number(one.baseline)} → {number(one.candidate)}  ({one.support:,} rows)"
        verdict = Verdict.NO_LOSS if one.low == one.high == 0 else verdict
        rows.append(ForestRow(one.name, below, one.metric, one.value, one.low, one.high, None, verdict, of_class=True))
    return rows


def _panel(axes: Axes, rows: Sequence[ForestRow], scale: str) -> None:
    from matplotlib.patches import Rectangle
    from matplotlib.ticker import MaxNLocator

    places = range(len(rows))
    reach = _reach(rows)
    for place, row in zip(places, rows, strict=True):
        if row.margin is not None:
            # As far as the axis goes: a margin may be wider than all that was found.
            band = min(row.margin, reach)
            axes.add_patch(Rectangle((-band, place - 0.5), 2 * band, 1, color=PALE, alpha=0.55, linewidth=0, zorder=0))
        _mark(axes, place, row)
        _words(axes, place, row)
    axes.axvline(0, color=INK, linewidth=1.0, zorder=1)
    axes.set_xlim(-reach, reach)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="x", labelsize=9)
    axes.xaxis.set_major_formatter(lambda value, _: _tick(value))
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 5, 10], symmetric=True))
    axes.grid(axis="x", color=PALE, linewidth=0.6)
    axes.set_axisbelow(True)
    metrics = {row.metric for row in rows}
    what = metric_title(metrics.pop()) if len(metrics) == 1 else "score"
    _, _, unit = scale.partition(" ")
    what += f", {unit}" if unit else ""
    below = -0.36 / (len(rows) * _ROW)
    for x, align, text in (
        (0, "left", "← A better"),
        (0.5, "center", f"difference in {what}"),
        (1, "right", "B better →"),
    ):
        axes.text(x, below, text, transform=axes.transAxes, fontsize=9, ha=align, va="top", color=INK)
    for x, text in ((_LEFT + _PLOT, "difference, 95 % interval"), (_LEFT + _PLOT + _NUMBERS, "verdict on B")):
        _beside(axes, x + _EDGE, -0.5 - 0.16 / _ROW, text, 8.5, GREY)


def _mark(axes: Axes, place: int, row: ForestRow) -> None:
    """Point and interval."""
    colour, shape, filled = _MARKS[row.verdict]
    size = 6 if row.of_class else 8
    if row.low is not None and row.high is not None:
        axes.plot([row.low, row.high], [place, place], color=colour, linewidth=1.6 if row.of_class else 2.4, zorder=2)
        for end in (row.low, row.high):
            axes.plot([end, end], [place - 0.12, place + 0.12], color=colour, linewidth=1.4, zorder=2)
    if row.value is not None:
        axes.plot(
            [row.value],
            [place],
            marker=shape,
            markersize=size,
            markerfacecolor=colour if filled else "white",
            markeredgecolor=colour,
            markeredgewidth=1.6,
            linestyle="none",
            zorder=3,
            clip_on=False,
        )


def _words(axes: Axes, place: int, row: ForestRow) -> None:
    """What is compared at the left; numbers and verdict at the right."""
    left = _EDGE + (0.16 if row.of_class else 0)
    size = 9 if row.of_class else 10 if len(row.label) <= _LARGE else 8
    _beside(axes, left, place - 0.17, _short(row.label, _LABEL), size, INK)
    _beside(axes, left, place + 0.21, _short(row.below, _BELOW), 7.5, GREY)
    right = _LEFT + _PLOT + _EDGE
    _beside(axes, right, place, signed(row.value), 9, INK)
    _beside(axes, right + 0.6, place, interval(row.low, row.high) or "no interval", 9, INK)
    told = row.verdict in {Verdict.BETTER, Verdict.WORSE}
    colour = INK if row.verdict is Verdict.CANNOT_TELL else _MARKS[row.verdict][0]
    _beside(axes, right + _NUMBERS, place, str(row.verdict), 9, colour, bold=told)


def _beside(axes: Axes, inches: float, y: float, text: str, size: float, colour: str, *, bold: bool = False) -> None:
    """Words beside a plot: at so many inches from the left edge of the figure, at a row."""
    from matplotlib.transforms import blended_transform_factory

    figure = axes.get_figure(root=True)
    assert figure is not None

    axes.text(
        inches / _WIDTH,
        y,
        text,
        transform=blended_transform_factory(figure.transFigure, axes.transData),
        fontsize=size,
        color=colour,
        weight="bold" if bold else "normal",
        va="center",
        clip_on=False,
    )


def _reach(rows: Sequence[ForestRow]) -> float:
    """Half the width of the axis: zero in the middle, all intervals inside, margins where they do not dwarf them."""
    ends = [abs(end) for row in rows for end in (row.value, row.low, row.high) if end is not None]
    largest = max(ends, default=0.0)
    margins = [row.margin for row in rows if row.margin is not None]
    largest = max(largest, min(max(margins, default=0.0), 3 * largest) if largest else max(margins, default=0.0))
    return 1.12 * largest or 0.01


def _tick(value: float) -> str:
    """A difference at the axis, with no more digits than it needs."""
    if abs(value) < 1e-12:
        return "0"
    return f"{value:+.10g}".replace("-", "−")


def _names(comparison: SideBySide, letter: str) -> str:
    """What a side is: the name that all its arms share, else what the user wrote."""
    sides = [pair.found.baseline if letter == "a" else pair.found.candidate for pair in comparison.pairs]
    names = {arm.name for arm in sides}
    written = getattr(comparison, letter)
    return f"{names.pop()}  ({written})" if len(names) == 1 else written


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
