"""How long the proteins of a split are, how its labels are spread, and how near its relatives are: plain counts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

from hubtools.data.rows.chain_breaks import residues_in
from hubtools.data.rows.labels import label_counts
from hubtools.specs.task import Task

# Residues that common models read at once: 512, 1,024 and 2,048 tokens less the first and the last.
WINDOWS = (510, 1022, 2046)
# Doubling twice an octave: proteins of 30 and of 3,000 residues are told apart equally well.
LENGTH_EDGES = [0, 16, 23, 32, 45, 64, 91, 128, 181, 256, 362, 512, 724, 1024, 1448, 2048, 2896, 4096]
IDENTITY_STEP = 0.05
_QUANTILES = {"min": 0.0, "q25": 0.25, "median": 0.5, "q75": 0.75, "max": 1.0}


class _AuditPart(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Lengths(_AuditPart):
    """Lengths of the proteins of a split."""

    quantiles: dict[str, float] = Field(description="min, q25, median, q75, max; residues.")
    counts: list[int] = Field(description="Proteins between one edge and the next; the last: all that are longer.")
    longer_than: dict[int, int] = Field(description="Window -> proteins that are longer.")


class LabelSpread(_AuditPart):
    """Labels of a split: counts of classes, or quantiles of values."""

    counts: dict[str, int] = {}
    quantiles: dict[str, float] = {}


class NearestRelatives(_AuditPart):
    """How near the nearest relative of each protein is, in steps of five hundredths."""

    first: str
    second: str
    lowest: float = Field(description="Below this identity nothing was looked for.")
    none: int = Field(description="Proteins of the second without a relative of that identity in the first.")
    counts: dict[str, int] = Field(
        description="Lower edge of a step of identity -> proteins of the second; 1: no difference over what was aligned."
    )


def lengths(sequences: Sequence[str]) -> Lengths:
    """Count the lengths of proteins."""
    sizes = np.array([residues_in(sequence) for sequence in sequences], dtype=np.int64)
    counts = np.histogram(sizes, bins=[*LENGTH_EDGES, np.iinfo(np.int64).max])[0]
    return Lengths(
        quantiles=_quantiles(sizes.astype(np.float64)),
        counts=counts.tolist(),
        longer_than={window: int((sizes > window).sum()) for window in WINDOWS},
    )


def label_spread(task: Task, labels: Sequence[Any]) -> LabelSpread:
    """Count classes, or take the quantiles of what values are scored."""
    if task.problem.kind != "regression":
        return LabelSpread(counts=label_counts(task, [np.asarray(label) for label in labels]))
    values = np.concatenate([np.atleast_1d(np.asarray(label, dtype=np.float64)) for label in labels])
    return LabelSpread(quantiles=_quantiles(values[~np.isnan(values)]))


def nearest_relatives(first: str, second: str, best: npt.NDArray[np.float64], lowest: float) -> NearestRelatives:
    """Count the identities of nearest relatives; ``best`` is 0 where there is none, shape (proteins,)."""
    # In hundredths, so that 0.6 is not just below itself; no difference at all is a step of its own.
    step, start = round(100 * IDENTITY_STEP), int(100 * lowest + 1e-9)
    edges = [start, *(edge for edge in range(0, 100, step) if edge > start), 100]
    found = np.floor(100 * best[best > 0] + 1e-9).astype(np.int64)
    place = np.searchsorted(edges, found, side="right") - 1
    counted = np.bincount(place[place >= 0], minlength=len(edges))
    return NearestRelatives(
        first=first,
        second=second,
        lowest=lowest,
        none=int(len(best) - counted.sum()),
        counts={f"{edge / 100:g}": int(count) for edge, count in zip(edges, counted, strict=True)},
    )


def _quantiles(values: npt.NDArray[np.float64]) -> dict[str, float]:
    if not len(values):
        return {}
    return {name: float(f"{np.quantile(values, share):.6g}") for name, share in _QUANTILES.items()}
