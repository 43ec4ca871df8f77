"""The map of a protein's substitutions: a column a residue, a row an amino acid, wrapped so that letters stay legible on a page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hubtools.reporting.figures.plots import GREY, INK, PALE, panels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

# Rows from the top, by property: aliphatic, aromatic, polar, special, positive, negative.
GROUPS = ("AVLIM", "FYW", "STNQ", "CGP", "HKR", "DE")
ORDER = "".join(GROUPS)
# Columns of a block where all fit into so many residues; else of longer proteins.
_COLUMNS = ((80, 80), (240, 80), (1_000, 100))
_LONG = 150
# Inches: a page's width, what stands beside and between blocks, and the height of a row.
_WIDTH, _LEFT, _RIGHT, _TOP, _HEAD, _FOOT, _BAR = 7.2, 0.34, 0.12, 0.34, 0.17, 0.30, 0.62
_ROW, _GAP = 0.072, 0.35
# Beyond this share of effects colours are at their end.
_SHARE = 98


def substitution_map(scores: np.ndarray, wild: str, letters: str, first: int, title: str, meaning: str) -> Canvas:
    """Draw the effects of all substitutions.

    Args:
        scores: (residues, 20), 0 or NaN for the wild type's own; NaN where there is none.
        wild: the residues of these columns.
        letters: the amino acid of each column of ``scores``.
        first: number of the first residue.
        title: what is shown.
        meaning: of a score, for the colour bar.
    """
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    columns = next((wide for most, wide in _COLUMNS if len(wild) <= most), _LONG)
    blocks = [range(start, min(start + columns, len(wild))) for start in range(0, len(wild), columns)]
    columns = max(map(len, blocks))
    tall = _ROW * (len(ORDER) + 1 + _GAP)
    height = _TOP + len(blocks) * (_HEAD + tall + _FOOT) + _BAR
    figure, grid = panels(len(blocks), 1, (_WIDTH, height))
    figure.set_layout_engine("none")
    table = scores[:, [letters.index(letter) for letter in ORDER]]
    told = np.abs(table[np.isfinite(table)])
    reach = float(np.percentile(told[told > 0], _SHARE)) if (told > 0).any() else 1.0
    colours: Any = {"cmap": "RdBu", "norm": Normalize(-reach, reach)}
    plot = _WIDTH - _LEFT - _RIGHT
    top = height - _TOP
    for axes, block in zip(grid, blocks, strict=True):
        top -= _HEAD + tall
        axes.set_position((_LEFT / _WIDTH, top / height, plot * len(block) / columns / _WIDTH, tall / height))
        here = slice(block.start, block.stop)
        _block(axes, table[here], wild[here], first + block.start, colours, columns)
        top -= _FOOT
    figure.text(_LEFT / _WIDTH, 1 - 0.17 / height, title, fontsize=9.5, color=INK, va="center")
    bar = figure.add_axes((_LEFT / _WIDTH, 0.36 / height, 2.3 / _WIDTH, 0.085 / height))
    beyond = bool((told > reach).any())
    drawn = figure.colorbar(
        ScalarMappable(**colours), cax=bar, orientation="horizontal", extend="both" if beyond else "neither"
    )
    drawn.outline.set_visible(False)
    bar.tick_params(labelsize=7, length=2)
    figure.text((_LEFT + 2.5) / _WIDTH, 0.40 / height, meaning, fontsize=8, color=INK, va="center")
    below = "● wild type   grey: no score   bottom row: mean over the 19 substitutions"
    figure.text((_LEFT + 2.5) / _WIDTH, 0.22 / height, below, fontsize=7, color=GREY, va="center")
    return figure


def _block(axes: Axes, table: np.ndarray, wild: str, first: int, colours: dict[str, Any], columns: int) -> None:
    """One row of the page: (residues, 20) effects, and their means below."""
    n = len(wild)
    own = np.array([[letter == mutant for mutant in ORDER] for letter in wild])
    others = np.where(own, np.nan, table)
    counted = np.isfinite(others).sum(1)
    means = np.where(counted > 0, np.nansum(others, axis=1) / np.maximum(counted, 1), np.nan)
    across = np.arange(first - 0.5, first + n)
    axes.set_facecolor(PALE)
    cells: Any = {**colours, "linewidth": 0, "antialiased": False, "edgecolors": "none"}
    axes.pcolormesh(across, np.arange(len(ORDER) + 1) - 0.5, np.ma.masked_invalid(table.T), **cells)
    low = len(ORDER) - 0.5 + _GAP
    axes.axhspan(len(ORDER) - 0.5, low, color="white", linewidth=0)
    axes.pcolormesh(across, [low, low + 1], np.ma.masked_invalid(means[None]), **cells)
    residues, places = np.nonzero(own)
    axes.scatter(residues + first, places, s=min(6.0, 240 / columns), color=INK, linewidths=0, zorder=3)
    for edge in np.cumsum([len(group) for group in GROUPS])[:-1]:
        axes.axhline(edge - 0.5, color="white", linewidth=0.9)
    axes.set(xlim=(first - 0.5, first + n - 0.5), ylim=(low + 1, -0.5))
    axes.set_yticks([*range(len(ORDER)), low + 0.5], [*ORDER, "mean"], fontsize=5)
    step = 5 if n <= 40 else 10
    axes.set_xticks([place for place in range(first, first + n) if place % step == 0 or (place == first and n < step)])
    axes.tick_params(axis="x", labelsize=7, length=2, pad=1)
    axes.tick_params(axis="y", length=0, pad=1.5)
    axes.spines[:].set_visible(False)
    if columns < _LONG:
        size = min(6.5, 520 / columns)
        for place, letter in enumerate(wild):
            axes.text(place + first, -0.9, letter, fontsize=size, ha="center", va="bottom", color=INK)
