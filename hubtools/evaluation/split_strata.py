"""A result looked at more closely: which rows of the predictions have which traits of the data."""

from __future__ import annotations

import numpy as np

from hubtools.data.splits.traits import Traits
from hubtools.evaluation.metrics.strata import by_identity, by_length
from hubtools.evaluation.predictions import Predictions
from hubtools.specs.record import Stratum
from hubtools.specs.task import Task


def strata_of(
    task: Task, predictions: Predictions, thresholds: list[float] | None, traits: Traits
) -> dict[str, list[Stratum]]:
    """Strata by identity to the training set, where that was searched, and by length.

    Args:
        task: the task.
        predictions: of a test split; a row is a protein, a pair or a residue.
        thresholds: chosen on validation.
        traits: of the split's rows, from the data.
    """
    place = {name: index for index, name in enumerate(traits.ids.tolist())}
    rows = np.array([place[name] for name in predictions.ids.tolist()], dtype=np.int64)
    found = (
        {}
        if traits.identity is None
        else {"identity": by_identity(task, predictions, thresholds, traits.identity[rows])}
    )
    return found | {"length": by_length(task, predictions, thresholds, traits.residues[rows])}
