"""Ridge regression in closed form, for a whole grid of penalties at once and tables of any length."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hubtools.training.encoding import counted

if TYPE_CHECKING:
    from hubtools.training.frozen.examples import Examples

# Penalties per row: on standardised features, 1 shrinks a direction of mean variance to a half.
GRID = tuple(float(value) for value in 10.0 ** np.arange(-5, 2.5, 0.5))


@dataclass(frozen=True)
class Ridge:
    """Solutions of one least-squares problem.

    Attributes:
        penalties: (p,) as scikit-learn's ``alpha``.
        weights: (p, width) float64.
        intercepts: (p,) float64.
    """

    penalties: np.ndarray
    weights: np.ndarray
    intercepts: np.ndarray


def solve(train: Examples, layer: int, rows: int = 8192) -> Ridge:
    """Minimise ``|y - X w - b|² + penalty · |w|²`` for every penalty of the grid; the intercept is not penalised.

    Sums of products are accumulated in float64, block by block, so that the table need not be in memory. One
    eigendecomposition of the centred ``X'X`` then serves all penalties.

    Args:
        train: features and labels of each row; rows without a label do not count.
        layer: whose features.
        rows: of a block.
    """
    width = train.tables[layer].shape[1]
    products, moments, total, values, n = np.zeros((width, width)), np.zeros(width), np.zeros(width), 0.0, 0
    for start in range(0, train.rows, rows):
        y = train.labels[start : start + rows].astype(np.float64)
        keep = counted(y)
        x = train.read(layer, slice(start, start + rows)).cpu().numpy().astype(np.float64)[keep]
        y = y[keep]
        products += x.T @ x
        moments += x.T @ y
        total, values, n = total + x.sum(0), values + y.sum(), n + len(y)
    mean, middle = total / n, values / n
    spectrum, vectors = np.linalg.eigh(products - n * np.outer(mean, mean))
    penalties = n * np.array(GRID)
    along = vectors.T @ (moments - n * mean * middle)
    weights = (along / (np.maximum(spectrum, 0) + penalties[:, None])) @ vectors.T
    return Ridge(penalties, weights, middle - weights @ mean)
