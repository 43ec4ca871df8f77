"""A structure as a still picture: its α carbons joined, seen along the direction in which it is thinnest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hubtools.data.structures.contacts import bonded
from hubtools.reporting.figures.plots import INK, panels
from hubtools.reporting.structures.colours import CONFIDENCE, NOTHING, SCALE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

    from hubtools.reporting.structures.residue_predictions import ResiduePredictions
    from hubtools.reporting.structures.structure_page import ShownStructure

# Points: the nearest and the farthest bond.
_WIDTHS = (4.2, 1.4)


def structure_trace(one: ShownStructure, predictions: ResiduePredictions | None = None) -> Canvas:
    """Draw a structure in the colours of what is predicted, else of confidence, else of the place in the chain.

    Args:
        one: the structure.
        predictions: what its values are of.
    """
    chains = one.structure.chains
    colours, legend, scale, title = _painted(one, predictions)
    starts = np.cumsum([0, *map(len, chains)])
    joined = [np.flatnonzero(bonded(chain)) + start for chain, start in zip(chains, starts.tolist(), strict=False)]
    figure, (axes,) = panels(1, 1, (4.6, 4.6))
    draw_bonds(axes, np.concatenate([chain.alpha for chain in chains]), np.concatenate(joined), colours)
    axes.set_title(f"{one.structure.name}: {title}", fontsize=9.5, color=INK)
    if scale is not None:
        _bar(figure, axes, *scale)
    else:
        handles = [axes.plot([], [], color=tone, linewidth=4, label=name)[0] for tone, name in legend]
        axes.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.5, 0.02), ncols=2, frameon=False, fontsize=8)
    return figure


def draw_bonds(
    axes: Axes, places: np.ndarray, joined: np.ndarray, colours: Sequence[str], widths: tuple[float, float] = _WIDTHS
) -> None:
    """Draw bonds as they are seen along the direction in which all is thinnest, what is near over what is far.

    Args:
        axes: empty; they lose their frame.
        places: (residues, 3) α carbons in Å.
        joined: residues, from 0, that are bonded to the next.
        colours: of each residue; half of a bond has the colour of each end.
        widths: of the nearest and the farthest bond, in points.
    """
    from matplotlib.collections import LineCollection

    seen = _seen(places)
    middles = (seen[joined] + seen[joined + 1]) / 2
    halves = np.concatenate([np.stack([seen[joined], middles], 1), np.stack([middles, seen[joined + 1]], 1)])[:, :, :2]
    tones = [colours[place] for place in [*joined.tolist(), *(joined + 1).tolist()]]
    order = np.argsort(np.tile(middles[:, 2], 2), kind="stable")
    near = np.linspace(widths[1], widths[0], max(len(order), 1))
    # Drawn in this order: a dark line below each tells what passes in front.
    axes.add_collection(
        LineCollection(
            list(halves[np.repeat(order, 2)]),
            linewidths=np.stack([near + 1.2, near], 1).ravel().tolist(),
            colors=[tone for place in order.tolist() for tone in (INK, tones[place])],
            capstyle="round",
        )
    )
    axes.autoscale_view()
    axes.set_aspect("equal")
    axes.axis("off")


def _seen(places: np.ndarray) -> np.ndarray:
    """Coordinates turned so that the first two axes are those of the largest spread, (residues, 3); NaN stays."""
    known = places[np.isfinite(places).all(axis=1)]
    axes = np.linalg.svd(known - known.mean(axis=0), full_matrices=False)[2]
    # Of each axis the sign is chance: its largest part is positive, and the third makes it no mirror image.
    axes[:2] *= np.sign(axes[:2][np.arange(2), np.abs(axes[:2]).argmax(axis=1)])[:, None]
    axes[2] = np.cross(axes[0], axes[1])
    turned: np.ndarray = (places - known.mean(axis=0)) @ axes.T
    return turned


def _painted(
    one: ShownStructure, predictions: ResiduePredictions | None
) -> tuple[list[str], list[tuple[str, str]], tuple[float, float] | None, str]:
    """The colour of each residue, the legend or the ends of the scale, and what is shown."""
    chains, confidence = one.structure.chains, one.confidence
    if predictions is not None and one.values:
        values = np.concatenate([one.values.get(i, np.full(len(chain), np.nan)) for i, chain in enumerate(chains)])
        if predictions.names:
            tones = predictions.colours
            colours = [NOTHING if np.isnan(value) else tones[int(value)] for value in values.tolist()]
            return colours, list(zip(tones, predictions.names, strict=True)), None, predictions.title
        low, high = predictions.bounds
        return _on_scale((values - low) / (high - low or 1.0)), [], (low, high), predictions.title
    if confidence is not None:
        every = np.concatenate(confidence).tolist()
        colours = [next((tone for low, tone, _ in CONFIDENCE if value >= low), NOTHING) for value in every]
        return colours, [(tone, name) for _, tone, name in CONFIDENCE], None, "confidence (pLDDT)"
    places = np.concatenate([np.linspace(0, 1, len(chain)) for chain in chains])
    return _on_scale(places), [], (0.0, 1.0), "from the first residue to the last"


def _on_scale(shares: np.ndarray) -> list[str]:
    from matplotlib.colors import LinearSegmentedColormap, to_hex

    colours = LinearSegmentedColormap.from_list("values", SCALE)
    return [NOTHING if np.isnan(share) else to_hex(colours(share)) for share in shares.tolist()]


def _bar(figure: Canvas, axes: Any, low: float, high: float) -> None:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import LinearSegmentedColormap, Normalize

    drawn = ScalarMappable(Normalize(low, high), LinearSegmentedColormap.from_list("values", SCALE))
    bar = figure.colorbar(drawn, ax=axes, orientation="horizontal", shrink=0.5, aspect=30, pad=0.02)
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=8, length=2)
