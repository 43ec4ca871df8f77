"""Proteins longer than the model's window: overlapping pieces, every residue scored exactly once."""

from __future__ import annotations

import itertools
from typing import NamedTuple


class Piece(NamedTuple):
    """One window of a protein, in residues, ends exclusive.

    ``start:stop`` is what the model reads; ``core_start:core_stop`` is what it is asked about.
    """

    start: int
    stop: int
    core_start: int
    core_stop: int


def pieces(length: int, window: int, overlap: int) -> list[Piece]:
    """Cut a protein into evenly spaced windows.

    The cores tile the protein: each residue belongs to the window in which it lies farthest from an end, so
    neighbouring cores meet in the middle of their overlap.

    Args:
        length: residues of the protein.
        window: most residues the model reads at once.
        overlap: fewest residues that neighbours share, less than ``window``.
    """
    if length <= window:
        return [Piece(0, length, 0, length)]
    count = -(-(length - overlap) // (window - overlap))
    starts = [round(i * (length - window) / (count - 1)) for i in range(count)]
    edges = [0, *((left + window + right) // 2 for left, right in itertools.pairwise(starts)), length]
    return [Piece(s, s + window, a, b) for s, a, b in zip(starts, edges, edges[1:], strict=False)]
