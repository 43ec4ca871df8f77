"""The figures of a model card: PNG at the width of a card, readable without colour vision, each with its own words."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hubtools.common.errors import UserError
from hubtools.evaluation.metrics.ranking import precision_recall
from hubtools.findings.board.board_rows import Table
from hubtools.findings.wording import metric_title, number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

    from hubtools.evaluation.predictions import Predictions

# Blue and vermilion of Okabe and Ito's palette, told apart by people with any kind of colour vision.
BLUE, VERMILION, GREY, PALE, INK = "#0072B2", "#D55E00", "#7A8490", "#D6DBE1", "#1B2530"
WIDTH, DPI = 7.2, 160
# Inches around axes, so that on a dark page no letter touches the edge of its white ground.
AIR = 0.09
# The text column of a card on the Hub, in pixels.
SHOWN = 700
SHOWN_IN_NOTEBOOK = 1_000
MAX_PANELS = 12
# More points than this make a cloud without structure: hexagons count them instead.
MAX_POINTS = 3_000
MAX_CURVE = 1_500


@dataclass(frozen=True)
class CardFigure:
    """A figure as a card shows it.

    Attributes:
        name: file name without folder.
        png: its content.
        alt: what it shows, for those who do not see it.
        caption: what to read from it.
    """

    name: str
    png: bytes
    alt: str
    caption: str

    @property
    def width(self) -> int:
        """How wide a card shows it, in pixels: letters are of one size in all figures, whatever their own width."""
        return min(SHOWN, self._even)

    @property
    def _even(self) -> int:
        """How wide it is where its letters are of the size that those of all figures have, in pixels."""
        drawn = int.from_bytes(self.png[16:20], "big")  # as the header of a PNG says
        return round(drawn * SHOWN / (WIDTH * DPI))

    def __repr__(self) -> str:
        return f"{self.name}: {self.alt}"

    def _repr_png_(self) -> tuple[bytes, dict[str, int]]:
        """What a notebook shows: there is more room than on a card."""
        return self.png, {"width": min(SHOWN_IN_NOTEBOOK, self._even)}


def confusion_figure(confusion: Sequence[Sequence[int]], labels: Sequence[str], split: str) -> CardFigure:
    """A confusion matrix, coloured by the share of the true class.

    Args:
        confusion: (classes, classes) counts; rows true, columns predicted.
        labels: names of the classes.
        split: where it was counted.
    """
    counts = np.asarray(confusion, dtype=float)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    n = len(labels)
    side = min(WIDTH, 2.6 + 0.62 * n)
    figure, axes = _canvas(side, side * 0.86)
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    # Slanted letters of many classes would lie over each other.
    turned, anchor = (0, "center") if n <= 3 else (35, "right") if n <= 12 else (90, "center")
    axes.set_xticks(range(n), [_short(label) for label in labels], rotation=turned, ha=anchor)
    axes.set_yticks(range(n), [_short(label) for label in labels])
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    if n <= 15:
        for row, column in np.ndindex(n, n):
            dark = shares[row, column] > 0.55
            text = f"{shares[row, column]:.0%}" + (f"\n{int(counts[row, column]):,}" if n <= 6 else "")
            axes.text(
                column,
                row,
                text,
                ha="center",
                va="center",
                fontsize=9 if n <= 6 else 7.5,
                color="white" if dark else INK,
            )
    bar = figure.colorbar(image, ax=axes, fraction=0.046, pad=0.03, format=lambda value, _: f"{value:.0%}")
    bar.set_label("share of the true class")
    bar.outline.set_visible(False)
    said = "; ".join(f"{label}: {shares[i, i]:.0%} right" for i, label in enumerate(labels[:MAX_PANELS]))
    return CardFigure(
        "confusion-matrix.png",
        png(figure),
        f"Confusion matrix on {split}. {said}.",
        f"Confusion matrix on {split}: rows are the truth, columns the prediction, colours the share of the true class.",
    )


def precision_recall_figure(
    predictions: Predictions, labels: Sequence[str], outputs: Sequence[int], split: str
) -> CardFigure:
    """Precision against recall for single outputs, one panel each, with the share of positives as the floor.

    Args:
        predictions: of a split.
        labels: names of all outputs.
        outputs: the outputs to be shown; beyond ``MAX_PANELS`` those with most positives.
        split: where it was counted.
    """
    positives = {
        o: (predictions.truth[:, o] == 1 if predictions.truth.ndim == 2 else predictions.truth == o) for o in outputs
    }
    shown = [o for o in outputs if 0 < positives[o].sum() < len(positives[o])]
    left_out = len(shown) - MAX_PANELS
    shown = sorted(sorted(shown, key=lambda o: -positives[o].sum())[:MAX_PANELS], key=list(outputs).index)
    across = min(4, max(1, len(shown)))
    down = -(-len(shown) // across)
    single = len(shown) <= 1
    figure, grid = panels(down, across, (4.6, 3.6) if single else (WIDTH, 1.95 * down + 0.3))
    said = []
    for axes, output in zip(grid, shown, strict=False):
        has, scores = positives[output], predictions.scores[:, output]
        precision, recall = precision_recall(has, scores)
        keep = np.unique(np.linspace(0, len(recall) - 1, MAX_CURVE).astype(int))
        average, floor = -np.sum(np.diff(recall) * precision[:-1]), has.mean()
        axes.axhline(floor, color=GREY, linewidth=1, linestyle=(0, (2, 2)))
        axes.step(recall[keep], precision[keep], where="post", color=BLUE, linewidth=1.6)
        axes.fill_between(recall[keep], precision[keep], step="post", color=BLUE, alpha=0.12, linewidth=0)
        axes.set_title(
            f"{_short(labels[output], 24)}\naverage precision {average:.2f}", fontsize=10 if single else 8.5, loc="left"
        )
        axes.set(xlim=(0, 1), ylim=(0, 1.02), xticks=[0, 0.5, 1], yticks=[0, 0.5, 1])
        axes.set_xlabel("recall")
        axes.set_ylabel("precision")
        axes.label_outer()
        said.append(f"{labels[output]} {average:.2f} ({floor:.0%} positive)")
    for axes in grid[len(shown) :]:
        axes.set_visible(False)
    for axes in grid[max(len(shown) - across, 0) : len(shown)]:
        axes.tick_params(labelbottom=True)
        axes.set_xlabel("recall")
    more = f" The {left_out} labels with fewest positives are not drawn." if left_out > 0 else ""
    return CardFigure(
        "precision-recall.png",
        png(figure),
        f"Precision against recall on {split}. Average precision: {'; '.join(said)}.",
        f"Precision against recall on {split}. The dotted line is the share of positives: what guessing would reach.{more}",
    )


def regression_figure(predictions: Predictions, unit: str | None, split: str) -> CardFigure:
    """Predicted against true values."""
    truth, predicted = predictions.truth, predictions.scores
    low, high = float(min(truth.min(), predicted.min())), float(max(truth.max(), predicted.max()))
    air = (high - low) * 0.04 or 1.0
    figure, axes = _canvas(4.9, 4.3)
    if len(truth) > MAX_POINTS:
        hexagons = axes.hexbin(truth, predicted, gridsize=55, bins="log", cmap="Blues", mincnt=1, linewidths=0.1)
        figure.colorbar(hexagons, ax=axes, fraction=0.046, pad=0.03).set_label("count")
    else:
        axes.scatter(truth, predicted, s=11, color=BLUE, alpha=0.45, linewidths=0)
    axes.plot([low - air, high + air], [low - air, high + air], color=GREY, linewidth=1, linestyle=(0, (2, 2)))
    suffix = f" ({unit})" if unit else ""
    axes.set(
        xlabel=f"true{suffix}", ylabel=f"predicted{suffix}", xlim=(low - air, high + air), ylim=(low - air, high + air)
    )
    axes.set_aspect("equal")
    axes.set_xticks(axes.get_yticks()[1:-1])
    return CardFigure(
        "predicted-against-true.png",
        png(figure),
        f"Predicted against true values of {len(truth):,} test cases on {split}, from {number(low)} to {number(high)}.",
        f"Predicted against true values on {split}. On the dotted line they are equal.",
    )


def variants_figure(predictions: Predictions, unit: str | None, split: str) -> CardFigure:
    """Scores against measured values; of several assays, ranks within each, for their values share no scale."""
    truth, scores = predictions.truth, predictions.scores.astype(float)
    assays = predictions.assays
    several = assays is not None and len(set(assays.group)) > 1
    if several:
        assert assays is not None
        truth, scores = (_ranks_within(values, assays.group) for values in (truth, scores))
    figure, axes = _canvas(4.9, 4.3)
    if len(truth) > MAX_POINTS:
        hexagons = axes.hexbin(truth, scores, gridsize=55, bins="log", cmap="Blues", mincnt=1, linewidths=0.1)
        figure.colorbar(hexagons, ax=axes, fraction=0.046, pad=0.03).set_label("count")
    else:
        axes.scatter(truth, scores, s=11, color=BLUE, alpha=0.45, linewidths=0)
    suffix = " (rank within its assay)" if several else f" ({unit})" if unit else ""
    axes.set(xlabel=f"measured{suffix}", ylabel=f"score{' (rank within its assay)' if several else ''}")
    how = "ranks within each assay" if several else "the values have different units, so there is no line of equality"
    return CardFigure(
        "score-against-measured.png",
        png(figure),
        f"Score against measured effect of {len(truth):,} variants on {split}.",
        f"Score against measured effect of every variant on {split} ({how}).",
    )


def _ranks_within(values: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Ranks from 0 to 1 within each group."""
    ranks = np.zeros(len(values))
    for group in np.unique(groups):
        here = np.flatnonzero(groups == group)
        ranks[here[np.argsort(values[here], kind="stable")]] = np.linspace(0, 1, len(here))
    return ranks


def training_figure(epochs: Sequence[dict[str, Any]], metric: str, best_epoch: int | None) -> CardFigure | None:
    """Training loss and validation score by epoch, or None where the log holds fewer than two epochs of either.

    Args:
        epochs: lines of ``training.jsonl``.
        metric: the metric on validation by which the epoch was chosen.
        best_epoch: the chosen epoch.
    """
    from matplotlib.ticker import MaxNLocator

    losses = _series((line["epoch"], line.get("train_loss")) for line in epochs)
    scores = _series((line["epoch"], (line.get("validation") or {}).get(metric)) for line in epochs)
    curves = [
        (points, title, colour)
        for points, title, colour in (
            (losses, "training loss", GREY),
            (scores, f"{metric_title(metric)} on validation", BLUE),
        )
        if len(points) > 1
    ]
    if not curves:
        return None
    figure, grid = panels(1, len(curves), (WIDTH if len(curves) > 1 else 4.6, 2.6))
    for axes, (points, title, colour) in zip(grid, curves, strict=True):
        axes.plot(
            *zip(*points, strict=True),
            color=colour,
            linewidth=1.8,
            marker="o" if len(points) <= 30 else None,
            markersize=3.5,
        )
        axes.set_title(title, fontsize=9.5, loc="left")
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(axis="y", color=PALE, linewidth=0.6)
        axes.margins(y=0.12)
        chosen = None if best_epoch is None else dict(points).get(best_epoch)
        if colour == BLUE and best_epoch is not None and chosen is not None:
            values = [value for _, value in points]
            below = chosen > (min(values) + max(values)) / 2
            axes.scatter(
                [best_epoch], [chosen], s=70, facecolors="none", edgecolors=VERMILION, linewidths=1.8, zorder=3
            )
            axes.annotate(
                "chosen",
                (best_epoch, chosen),
                xytext=(0, -17 if below else 17),
                textcoords="offset points",
                ha="center",
                va="center",
                color=VERMILION,
                fontsize=8.5,
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.0},
            )
    best = f" Epoch {best_epoch} was chosen." if best_epoch is not None else ""
    return CardFigure(
        "training.png",
        png(figure),
        f"Curves of {' and '.join(title for _, title, _ in curves)} over {len(epochs)} epochs.{best}",
        f"Training by epoch.{best}",
    )


def comparison_figure(table: Table, run_id: str) -> CardFigure:
    """The rows of a board's table with their intervals; the row of one run stands out."""
    rows = [row for row in table.rows if row.scores[table.primary].value is not None]
    figure, axes = _canvas(WIDTH, 0.9 + 0.33 * len(rows))
    names = []
    for place, row in enumerate(reversed(rows)):
        estimate = row.scores[table.primary]
        assert estimate.value is not None
        own = any(record.run_id == run_id for _, record in row.runs)
        colour = VERMILION if own else GREY if row.is_baseline else BLUE
        if estimate.low is not None and estimate.high is not None:
            axes.plot(
                [estimate.low, estimate.high],
                [place, place],
                color=colour,
                linewidth=4,
                alpha=0.35,
                solid_capstyle="round",
            )
        marker = "D" if own else "s" if row.is_baseline else "o"
        axes.plot([estimate.value], [place], marker=marker, color=colour, markersize=6)
        names.append(_short(f"{row.name}, {row.recipe}", 56) + (" (this model)" if own else ""))
    axes.set_yticks(range(len(rows)), names)
    for tick, name in zip(axes.get_yticklabels(), names, strict=True):
        tick.set_fontweight("bold" if name.endswith("(this model)") else "normal")
    axes.set_ylim(-0.7, len(rows) - 0.3)
    axes.set_xlabel(f"{metric_title(table.metrics[0], arrow=True)} on {table.split}")
    axes.grid(axis="x", color=PALE, linewidth=0.6)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    said = "; ".join(f"{row.name} {row.recipe} {number(row.scores[table.primary].value)}" for row in rows)
    return CardFigure(
        "comparison.png",
        png(figure),
        f"{metric_title(table.metrics[0])} on {table.split} of this model and others. {said}.",
        f"{metric_title(table.metrics[0])} on {table.split} with 95 % intervals: this model (diamond), other models (circles), baselines (squares).",
    )


def _series(points: Iterable[tuple[int, float | None]]) -> list[tuple[int, float]]:
    return [(epoch, value) for epoch, value in points if value is not None]


def _canvas(width: float, height: float) -> tuple[Canvas, Axes]:
    figure, grid = panels(1, 1, (width, height))
    return figure, grid[0]


def panels(down: int, across: int, size: tuple[float, float]) -> tuple[Canvas, list[Axes]]:
    """Empty axes in the style of all figures. No pyplot: nothing global is touched, and no display is needed."""
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    style: dict[Any, Any] = {
        "font.size": 9,
        "axes.edgecolor": GREY,
        "axes.labelcolor": INK,
        "text.color": INK,
        "xtick.color": INK,
        "ytick.color": INK,
        "axes.spines.top": False,
        "axes.spines.right": False,
    }
    with mpl.rc_context(style):
        figure = Figure(figsize=size, dpi=DPI, layout=ConstrainedLayoutEngine(w_pad=AIR, h_pad=AIR), facecolor="white")
        FigureCanvasAgg(figure)
        grid = figure.subplots(max(down, 1), max(across, 1), squeeze=False)
    return figure, list(grid.ravel())


def png(figure: Canvas) -> bytes:
    """The figure as a file of at most 256 colours, a third of the size of one with all: cards hold several."""
    from PIL import Image

    _literal(figure)
    # Drawn once; to save a figure, matplotlib lays it out in a drawing of its own.
    canvas: Any = figure.canvas
    canvas.draw()
    image = Image.fromarray(np.asarray(canvas.buffer_rgba()))
    stream = io.BytesIO()
    # Nothing of matplotlib's version is in it: the same run gives the same file.
    image.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(stream, format="png", optimize=True)
    return stream.getvalue()


def _literal(figure: Canvas) -> None:
    """Let names with dollar signs be names: matplotlib would read mathematics between two, and stop where there is none."""
    from matplotlib.text import Text

    for text in figure.findobj(Text):
        text.set_parse_math(False)


# Formats of figures for papers, and dots per inch of the one that has dots.
PAPER_FORMATS, PAPER_DPI = (".png", ".pdf", ".svg"), 300


def paper_format(path: str) -> str:
    """The format of a figure for a paper, by the name of its file.

    Raises:
        UserError: the name ends in none.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in PAPER_FORMATS:
        raise UserError(
            f"{suffix or 'no suffix'} is no format of figures", where=path, fix=f"End it in {', '.join(PAPER_FORMATS)}."
        )
    return suffix


def paper_file(figure: Canvas, suffix: str) -> bytes:
    """A figure in a format of :data:`PAPER_FORMATS`; the same figure gives the same file, with letters as letters in PDF."""
    import matplotlib as mpl

    _literal(figure)
    stream = io.BytesIO()
    undated: dict[str, dict[str, Any]] = {
        ".png": {"Software": None},
        ".pdf": {"CreationDate": None, "ModDate": None},
        ".svg": {"Date": None},
    }
    with mpl.rc_context({"pdf.fonttype": 42, "svg.hashsalt": "bench"}):
        figure.savefig(stream, format=suffix.removeprefix("."), metadata=undated[suffix], dpi=PAPER_DPI)
    return stream.getvalue()


def _short(label: str, most: int = 22) -> str:
    return label if len(label) <= most else label[: most - 1] + "…"
