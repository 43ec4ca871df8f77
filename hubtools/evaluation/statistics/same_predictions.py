"""Whether two runs predicted the same: on the same rows, and how far apart at most."""

from __future__ import annotations

import numpy as np

from hubtools.evaluation.predictions import Predictions

# Largest difference of two predictions that are called the same: rounding of other cores, not another model.
SAME = 1e-4


def other_rows(first: Predictions, second: Predictions) -> str | None:
    """How the rows of two runs differ, in one line; None where both have the same in the same order."""
    if len(first) != len(second):
        return f"prediction ids: {len(first):,} and {len(second):,} rows"
    for noun in ("ids", "positions", "proteins", "truth"):
        one, other = getattr(first, noun), getattr(second, noun)
        if one is None and other is None:
            continue
        if one is None or other is None or one.shape != other.shape:
            return f"prediction {noun}: only one of them has them"
        apart = one != other
        differing = np.flatnonzero(apart.reshape(len(one), -1).any(axis=1))
        if len(differing):
            row = int(differing[0])
            shown = " and ".join(str(values[row]) for values in (one, other))
            return f"prediction {noun}: row {row + 1:,} is {shown}" + (
                f", {len(differing):,} rows differ" if len(differing) > 1 else ""
            )
    return None


def largest_difference(first: Predictions, second: Predictions) -> float:
    """How far apart two outputs for the same row are at most.

    In units of probability; of values in standard deviations of the first run's, or of the truth where a run says the
    same for every row.

    Args:
        first, second: predictions of the same rows.
    """
    if not len(first):
        return 0.0
    apart = float(np.abs(first.scores.astype(np.float64) - second.scores.astype(np.float64)).max())
    if apart == 0 or first.problem.kind != "regression":
        return apart
    spread = float(first.scores.std()) or float(first.truth.std())
    return apart / spread if spread else apart
