"""Structures as one page: turning, in the colours of confidence or of what is predicted, the aligned error beside them.

All is inside the page, the program that draws too, and its security policy lets it ask nobody for anything.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hubtools.common.errors import UserError
from hubtools.common.version import __version__
from hubtools.findings.wording import plural
from hubtools.reporting.answer_style import CSS
from hubtools.reporting.structures.colours import CONFIDENCE, NOTHING, SCALE
from hubtools.reporting.structures.viewer_program import MOL_3D
from hubtools.reporting.templates import asset, inline_json, render

if TYPE_CHECKING:
    from hubtools.data.structures.chains import WholeStructure
    from hubtools.reporting.structures.residue_predictions import ResiduePredictions

# What is packed into one page, as text; browsers take some hundred MB.
LARGEST_PAGE = 64 << 20  # characters
# Å, the largest error that AlphaFold writes; a cell is a byte.
_MOST_ERROR = 31.75
# Cells of a side of the map; of longer proteins each is a mean.
_CELLS = 512


@dataclass(frozen=True)
class ShownStructure:
    """A structure, and what is said of it.

    Attributes:
        structure: the file.
        values: chain, from 0 -> (residues,) what is predicted of each residue, as :class:`ResiduePredictions` has it.
        aligned_error: (L, L) in Å, rows the residue that the structure is laid onto; None where it is not known.
        facts: further things to know of it, such as its pTM.
    """

    structure: WholeStructure
    values: Mapping[int, np.ndarray] = field(default_factory=dict)
    aligned_error: np.ndarray | None = None
    facts: Mapping[str, str] = field(default_factory=dict)

    @property
    def confidence(self) -> list[np.ndarray] | None:
        """The pLDDT of each chain's residues, 0 to 100; None of a structure whose file names how it was measured, or has larger values.

        Their B factors are something else. Values of a file that are all at most 1 are shares.
        """
        every = [chain.confidence for chain in self.structure.chains]
        most = max((float(np.nanmax(one)) for one in every if np.isfinite(one).any()), default=0.0)
        if self.structure.method is not None or most > 100:
            return None
        return [one * (100 if most <= 1 else 1) for one in every]


def structure_page(
    shown: Sequence[ShownStructure],
    program: Path,
    title: str,
    predictions: ResiduePredictions | None = None,
    about: Sequence[str] = (),
) -> str:
    """The page as text. The same structures give the same page, byte for byte.

    Args:
        shown: in their order.
        program: the file of :data:`MOL_3D`.
        title: heading.
        predictions: what the values of ``shown`` are of.
        about: lines on where it is from.

    Raises:
        UserError: it would be too large.
    """
    data = {
        "paintings": _paintings(shown, predictions),
        "nothing": NOTHING,
        "scale": SCALE,
        "error": _MOST_ERROR,
        "structures": [_structure(one, predictions) for one in shown],
    }
    text = inline_json(data)
    if len(text) > LARGEST_PAGE:
        raise UserError(
            f"{plural(len(shown), 'structure')} make a page of {len(text) >> 20:,} MB (at most {LARGEST_PAGE >> 20})",
            fix="Show fewer: name a folder with some of them.",
        )
    style = asset("space/static/page.css") + CSS + asset("structures/structures.css")
    scripts = [program.read_text(encoding="utf-8"), asset("structures/structures.js")]
    return render(
        "structures/index.html.j2",
        title=title,
        about=list(about),
        several=len(shown) > 1,
        json=text,
        style=style,
        scripts=scripts,
        style_sum=_sum(style),
        script_sums=[_sum(script) for script in scripts],
        program=f"3Dmol.js {MOL_3D.version} ({MOL_3D.licence})",
        bench=__version__,
    )


def _sum(text: str) -> str:
    """By which the page's policy knows what may stand in it."""
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _paintings(shown: Sequence[ShownStructure], predictions: ResiduePredictions | None) -> list[dict[str, Any]]:
    """The ways of colouring, the first first."""
    found: list[dict[str, Any]] = []
    if predictions is not None:
        low, high = predictions.bounds
        said: dict[str, Any] = {"key": "predicted", "title": predictions.title}
        if predictions.names:
            said |= {"kind": "labels", "names": list(predictions.names), "colours": predictions.colours}
        else:
            said |= {"kind": "values", "low": low, "high": high, "ends": [f"{low:.3g}", f"{high:.3g}"]}
        found.append(said)
    if any(one.confidence is not None for one in shown):
        bands = {"bands": [band[0] for band in CONFIDENCE], "colours": [band[1] for band in CONFIDENCE]}
        found.append(
            {"key": "confidence", "title": "confidence (pLDDT)", "kind": "bands", "names": [b[2] for b in CONFIDENCE]}
            | bands
        )
    return [*found, {"key": "place", "title": "place in the chain", "kind": "values", "low": 0, "high": 1}]


def _structure(one: ShownStructure, predictions: ResiduePredictions | None) -> dict[str, Any]:
    whole, confidence = one.structure, one.confidence
    text, kind = whole.counted().text()
    chains = []
    for place, chain in enumerate(whole.chains):
        said: dict[str, Any] = {"place": _cells(np.linspace(0, 1, len(chain)))}
        if confidence is not None:
            said["confidence"] = _cells(confidence[place])
        if predictions is not None and place in one.values:
            said["predicted"] = _cells(one.values[place])
        rows, residues = whole.places[place]
        first = whole.atoms[rows[np.searchsorted(residues, np.arange(len(chain)))]]
        # As the file calls residues; the program that draws knows them by their place in the chain.
        numbers = [f"{number}{code}" for number, code in zip(first.res_id, first.ins_code, strict=True)]
        chains.append({"name": chain.name, "residues": chain.residues, "numbers": numbers, "values": said})
    facts = {"residues": f"{sum(map(len, whole.chains)):,}"}
    if confidence is not None and np.isfinite(together := np.concatenate(confidence)).any():
        facts["mean pLDDT"] = f"{np.nanmean(together):.1f}"
    elif whole.method is not None:
        facts["measured by"] = whole.method.lower()
    return {
        "name": whole.name,
        "facts": {**facts, **one.facts},
        "kind": kind,
        "text": _packed(text.encode()),
        "chains": chains,
        **({} if one.aligned_error is None else {"pae": _error_map(one.aligned_error)}),
    }


def _cells(values: np.ndarray) -> list[float | None]:
    return [float(f"{value:.4g}") if np.isfinite(value) else None for value in values.tolist()]


def _packed(content: bytes) -> str:
    return base64.b64encode(gzip.compress(content, mtime=0)).decode()


def _error_map(error: np.ndarray) -> dict[str, Any]:
    """Means over squares of residues, a byte each."""
    step = -(-len(error) // _CELLS)
    starts = np.arange(0, len(error), step)
    sums = np.add.reduceat(np.add.reduceat(error.astype(np.float64), starts, axis=0), starts, axis=1)
    sizes = np.diff(np.r_[starts, len(error)])
    means = np.clip(sums / np.outer(sizes, sizes) / _MOST_ERROR, 0, 1)
    return {"step": step, "size": len(starts), "cells": _packed(np.round(255 * means).astype(np.uint8).tobytes())}
