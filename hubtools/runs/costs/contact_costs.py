"""What contacts cost beside the model: passes of a Jacobian, and what it or a regression holds in memory."""

from __future__ import annotations

from typing import Any

from hubtools.runs.preparation import Questions
from hubtools.specs.recipe import Recipe
from hubtools.training.compute.operations import FLOAT32
from hubtools.training.contacts.attention_regression import BYTES_A_FEATURE, drawn, options_of
from hubtools.training.contacts.contact_scores import SUBSTITUTIONS, scored_places
from hubtools.training.encoding import Encoded


def jacobian_passes(questions: Questions) -> int:
    """How often the language model reads a protein, or a window of one; 0 where no Jacobian is asked for."""
    return SUBSTITUTIONS * len(questions.units) if questions.contacts == "categorical-jacobian" else 0


def jacobian_bytes(questions: Questions) -> int:
    """Of the Jacobian of the longest protein or window, which is in the memory of the machine, not of a GPU."""
    if not jacobian_passes(questions):
        return 0
    return FLOAT32 * (SUBSTITUTIONS * max(len(sequence) for sequence in questions.positions)) ** 2


def regression_bytes(config: Any, train: Encoded, recipe: Recipe, seed: int) -> int:
    """Of the features that a regression on attention maps is fitted on, with the copies of its solver."""
    heads = int(getattr(config, "num_hidden_layers", 0)) * int(getattr(config, "num_attention_heads", 0))
    chosen = drawn(train, int(options_of(recipe)["structures"]), seed)
    return BYTES_A_FEATURE * heads * sum(len(scored_places(train.labels[protein])) for protein in chosen)
