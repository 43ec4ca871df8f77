"""What is predicted, and at which level."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal


class Problem(StrEnum):
    """What is predicted, and at which level."""

    SEQUENCE_CLASSIFICATION = "sequence-classification"
    SEQUENCE_MULTILABEL = "sequence-multilabel"
    SEQUENCE_REGRESSION = "sequence-regression"
    RESIDUE_CLASSIFICATION = "residue-classification"
    RESIDUE_MULTILABEL = "residue-multilabel"
    RESIDUE_REGRESSION = "residue-regression"
    PAIR_CLASSIFICATION = "pair-classification"
    VARIANT_EFFECT = "variant-effect"

    @property
    def per_residue(self) -> bool:
        """Whether each residue has a label, rather than each protein, pair or variant."""
        return self.value.startswith("residue-")

    @property
    def is_pair(self) -> bool:
        """Whether two proteins together have a label."""
        return self is Problem.PAIR_CLASSIFICATION

    @property
    def zero_shot(self) -> bool:
        """Whether nothing is trained: the checkpoint's own language-model head is asked."""
        return self is Problem.VARIANT_EFFECT

    @property
    def level(self) -> Literal["protein", "residue", "pair", "variant"]:
        """What has one label."""
        if self.is_pair:
            return "pair"
        if self.zero_shot:
            return "variant"
        return "residue" if self.per_residue else "protein"

    @property
    def kind(self) -> Literal["classification", "multilabel", "regression"]:
        """What one label is."""
        return "regression" if self.zero_shot else self.value.split("-")[1]  # type: ignore[return-value]
