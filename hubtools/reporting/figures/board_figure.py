"""A board as a figure of a paper: a panel a task, the same rows in each, every score with its interval."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hubtools.common.errors import UserError
from hubtools.findings.board.board_rows import Row, Table
from hubtools.findings.board.leaderboard import Board
from hubtools.findings.wording import metric_title
from hubtools.reporting.figures.plots import BLUE, GREY, INK, PALE, VERMILION, panels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

# Inches: a page's width, names at the left, between panels, and above, below and for each row.
_WIDTH, _LEFT, _BETWEEN, _HEAD, _FOOT, _ROW, _NOTE = 7.2, 2.15, 0.16, 0.4, 0.5, 0.21, 0.38
_ACROSS, _MOST_ROWS, _LONGEST = 3, 60, 34
_KINDS = {"checkpoint": (BLUE, "o"), "random": (VERMILION, "^"), "baseline": (GREY, "s")}
Name = tuple[str, str, str]


def board_figure(board: Board) -> Canvas:
    """Draw a board: rows in the order of the mean rank, or of the first task where there is none.

    Raises:
        UserError: no table has a score.
    """
    tables = [t for t in board.tables if any(row.scores[t.primary].value is not None for row in t.rows)]
    if not tables:
        raise UserError("no score is defined on this board", where="--figure", fix="Name other runs.")
    listed = [one.row for one in board.overall.rows] if board.overall else []
    names = list(dict.fromkeys(_name(row) for row in [*listed, *(row for table in tables for row in table.rows)]))
    if len(names) > _MOST_ROWS:
        raise UserError(
            f"{len(names):,} rows are more than a page holds",
            where="--figure",
            fix="Name some of them: bench board runs:recipe=probe --figure …",
        )
    across = min(_ACROSS, len(tables))
    down = -(-len(tables) // across)
    line = _HEAD + _ROW * len(names) + _FOOT
    height = down * line + _NOTE
    figure, grid = panels(down, across, (_WIDTH, height))
    figure.set_layout_engine("none")
    wide = (_WIDTH - _LEFT - 0.12 - _BETWEEN * (across - 1)) / across
    for place, axes in enumerate(grid):
        if place >= len(tables):
            axes.set_visible(False)
            continue
        row, column = divmod(place, across)
        bottom = height - row * line - _HEAD - _ROW * len(names)
        axes.set_position(
            (
                (_LEFT + column * (wide + _BETWEEN)) / _WIDTH,
                bottom / height,
                wide / _WIDTH,
                _ROW * len(names) / height,
            )
        )
        _panel(axes, tables[place], names, named=column == 0)
    filled = "; filled: in the best set, which holds the truly best row with 95 %" if len(names) > 1 else ""
    said = (
        f"Lines: 95 % intervals, dashed where they are of these very weights (one seed){filled}.",
        "Circles: checkpoints; triangles: random weights; squares: baselines.",
    )
    for place, text in enumerate(said):
        figure.text(0.012, (0.26 - 0.13 * place) / height, text, fontsize=6.5, color=GREY, va="center")
    return figure


def _panel(axes: Axes, table: Table, names: list[Name], *, named: bool) -> None:
    rows = {_name(row): row for row in table.rows}
    for place, name in enumerate(names):
        if (row := rows.get(name)) is None:
            continue
        score = row.scores[table.primary]
        if score.value is None:
            continue
        colour, marker = _KINDS[row.kind]
        if score.low is not None and score.high is not None:
            # Dashed where it is of these very weights, as tables mark with a dagger.
            dashes = (0, (2, 1)) if row.of_weights else "-"
            axes.plot([score.low, score.high], [place, place], color=colour, linewidth=1.3, linestyle=dashes, zorder=2)
        face = colour if row.best_set else "white"
        axes.plot([score.value], [place], marker=marker, markersize=4.6, color=colour, markerfacecolor=face, zorder=3)
    axes.set_ylim(len(names) - 0.5, -0.5)
    if named:
        axes.set_yticks(range(len(names)), [_short(name) for name in names], fontsize=7)
    else:
        axes.set_yticks(range(len(names)), [""] * len(names))
    axes.set_title(_cut(table.task.title or table.question.task, 30), fontsize=8, loc="left", color=INK)
    axes.set_xlabel(f"{metric_title(table.metrics[0], arrow=True)} on {table.split}", fontsize=7.5)
    axes.tick_params(axis="x", labelsize=7)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color=PALE, linewidth=0.6)
    axes.grid(axis="y", color=PALE, linewidth=0.3)
    axes.set_axisbelow(True)
    axes.spines["left"].set_visible(False)
    axes.margins(x=0.08)


def _name(row: Row) -> Name:
    return row.name, row.recipe, row.revision


def _short(name: Name) -> str:
    subject, recipe, _ = name
    return _cut(f"{subject.split('/')[-1]}, {recipe}", _LONGEST)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
