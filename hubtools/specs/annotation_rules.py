"""How labels are read from the annotation of UniProt entries: comments by their words, features by their positions."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from hubtools.specs.base import Spec, SpecError


class CommentRule(Spec):
    """One label of a protein: the text of the field holds one of ``contains`` and none of ``without``."""

    contains: list[str] = Field(min_length=1, description="One of these occurs in the text (case counts).")
    without: list[str] = Field(default=[], description="None of these does.")


class FeatureRule(Spec):
    """Residues that get a label: the positions of a kind of feature, for example ``ft_mod_res``."""

    label: str = Field(description="One of the task's labels (the value, left of the colon).")
    field: str = Field(pattern=r"^ft_[a-z_]+$", description="UniProt's name of the feature, such as ft_helix.")
    note: str | None = Field(
        default=None, description="Only features whose note starts with this text, for example Phosphoserine."
    )


class Annotation(Spec):
    """How labels follow from UniProt annotation. Give ``comment`` for proteins, ``features`` for residues.

    Positions count from 1 and include both ends. Features with an uncertain end (``<1``, ``>200``, ``?``) are not used
    and are counted. Where several rules meet on one residue, the later one in the list holds (multi-label: all do).
    Disulfide bonds and cross-links mark the two residues they join. A residue whose only annotation is left out by
    ``evidence`` or ``only_certain`` is not scored: it is no example of a residue without the feature.
    """

    field: str | None = Field(default=None, description="The comment that is read, such as cc_subcellular_location.")
    comment: dict[str, CommentRule] = Field(default={}, description="Label -> rule, for the text of `field`.")
    several: Literal["drop", "keep"] = Field(
        default="drop", description="Proteins to which several labels apply: left out and counted, or all kept."
    )
    features: list[FeatureRule] = []
    otherwise: str | None = Field(
        default=None, description="The label of residues without a feature (residue-classification)."
    )
    longest_gap: int | None = Field(
        default=None,
        ge=0,
        description="`otherwise` holds between two features at most this many residues apart. Longer gaps and the ends "
        "of the chain are not scored: nobody may have looked, as where a structure covers a part of the protein.",
    )
    without_notes: bool = Field(
        default=False,
        description="Leave out the free text after Note= of a comment: it also says where a protein is not.",
    )
    require: Literal["any", "none"] = Field(
        default="any", description="any: proteins without one of the features are left out, for nobody may have looked."
    )
    evidence: list[str] = Field(
        default=[],
        description="Only annotation with one of these evidence codes, for example ECO:0000269 (experimental).",
    )
    only_certain: bool = Field(
        default=False,
        description="Leave out comments and features marked Probable, Potential or By similarity, in words or by "
        "their evidence codes ECO:0000305, ECO:0000255 and ECO:0000250 alone.",
    )

    @model_validator(mode="after")
    def _one_of_two(self) -> Annotation:
        if bool(self.comment) == bool(self.features):
            raise ValueError("give either comment (labels of proteins) or features (labels of residues)")
        if self.longest_gap is not None and self.otherwise is None:
            raise SpecError(
                "it is about residues that get the label otherwise. Add otherwise, or remove it", "longest_gap"
            )
        if bool(self.comment) != bool(self.field):
            raise SpecError("field and comment belong together. Give both or neither", "field")
        return self

    @property
    def fields(self) -> list[str]:
        """The UniProt fields that the rules read."""
        return list(dict.fromkeys([self.field] if self.field else [rule.field for rule in self.features]))

    @property
    def labels(self) -> list[str]:
        """The labels that the rules give."""
        found = [*self.comment, *(rule.label for rule in self.features)]
        return list(dict.fromkeys([*found, *([self.otherwise] if self.otherwise is not None else [])]))
