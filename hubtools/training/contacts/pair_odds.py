"""The baseline of amino-acid pairs: how often two amino acids touch in the structures of training, by their separation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from hubtools.common.errors import UserError
from hubtools.data.structures.contacts import pairs_of
from hubtools.evaluation.predictions import Predictions
from hubtools.specs.metric_names import RANGES
from hubtools.training.contacts.contact_scores import pair_predictions, scored_places
from hubtools.training.encoding import Encoded

# 0 to 19 the standard residues, 20 any other letter, as in read_plain.
LETTERS = 21
# Pairs that are made up for each two amino acids and range, touching as often as any pair in the range.
PSEUDO = 100.0
# Smallest separation of each range; a pair belongs to the last that it reaches.
STARTS = [least for least, _ in RANGES.values()]


def log_odds(splits: Encoded) -> np.ndarray:
    """Log-odds of a contact of two amino acids, in nats, by range of separation.

    With ``c`` of ``n`` scored pairs of the amino acids a and b in a range touching, and ``C`` of ``N`` of all amino acids there,
    ``p = (c + k · C / N) / (n + k)`` with ``k`` pseudo-counts, and the entry is ``log p / (1 − p)``. Both orders of a pair count
    as one, so that the table is symmetric. Miyazawa and Jernigan (Macromolecules 18, 534–552, 1985) counted contacts of residue
    types in known structures in this way, against what a mixture without preferences would have; here that reference is the share of
    all pairs of the range, so that nearness in the sequence counts too.

    Args:
        splits: with letter codes as tokens, and labels of pairs.

    Returns:
        (ranges, 21, 21) float64; the last letter is any that is not standard.
    """
    touching, all_ = np.zeros((2, len(STARTS), LETTERS, LETTERS))
    for tokens, label in zip(splits.tokens, splits.labels, strict=True):
        at = _cells(tokens, places := scored_places(label))
        np.add.at(all_, at, 1.0)
        np.add.at(touching, at, label[places] == 1)
    # In a range without a contact half a pair keeps the odds finite.
    share = (touching.sum(axis=(1, 2), keepdims=True) + 0.5) / (all_.sum(axis=(1, 2), keepdims=True) + 1)
    # Both orders of two amino acids together, the same twice once.
    alone = np.eye(LETTERS, dtype=bool)
    touching, all_ = (np.where(alone, table, table + table.transpose(0, 2, 1)) for table in (touching, all_))
    found: np.ndarray = (touching + PSEUDO * share) / (all_ + PSEUDO)
    return np.log(found) - np.log1p(-found)


def fit_pair_odds(train: Encoded) -> tuple[Callable[[Encoded], Predictions], dict[str, Any]]:
    """Count on training; returns how to predict a split, and what was counted.

    Raises:
        UserError: no pair of training is scored.
    """
    counts = [label[scored_places(label)] for label in train.labels]
    if not sum(map(len, counts)):
        raise UserError("no pair of residues of train is scored", fix="Its structures need residues six apart.")
    table = log_odds(train)

    def predict(split: Encoded) -> Predictions:
        scores = [
            table[_cells(tokens, scored_places(label))]
            for tokens, label in zip(split.tokens, split.labels, strict=True)
        ]
        return of_split(split, np.concatenate(scores))

    told = {"pairs_counted": sum(map(len, counts)), "contacts_counted": int(sum(int(each.sum()) for each in counts))}
    return predict, told


def of_split(split: Encoded, scores: np.ndarray) -> Predictions:
    """Predictions of a split of proteins with labels of pairs; arguments as of :func:`pair_predictions`."""
    lengths: Sequence[int] = split.lengths.tolist()
    # As in predictions of a checkpoint that is asked as it is: clusters of some proteins alone are none.
    clusters = None if split.clusters is None or "None" in split.clusters else split.clusters
    return pair_predictions(split.ids, clusters, lengths, split.labels, scores)


def _cells(codes: np.ndarray, places: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Range and amino acids of pairs: indices into a table."""
    first, second = pairs_of(places)
    return np.searchsorted(STARTS, second - first, side="right") - 1, codes[first], codes[second]
