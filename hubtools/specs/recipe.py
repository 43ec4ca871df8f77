"""The recipe: how a checkpoint is adapted and trained."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from hubtools.specs.base import Spec
from hubtools.specs.hashing import digest
from hubtools.specs.task import Problem

# The levels of prediction at which each baseline is defined.
BASELINES = {
    "majority": ("protein", "residue"),
    "composition": ("protein",),
    "onehot-window": ("residue",),
    "nearest-neighbour": ("protein",),
}


def baselines_for(problem: Problem) -> list[str]:
    """The baselines that are defined for a problem."""
    level = "residue" if problem.per_residue else "protein"
    return [name for name, levels in BASELINES.items() if level in levels]


class Head(Spec):
    """What sits on the encoder.

    ``bench`` is the same for every checkpoint: a linear layer on each residue's representation, or on the mean
    over residues (never padding, never special tokens), after a hidden layer where ``hidden`` says so.
    ``native`` is the checkpoint's own transformers head, whatever that is.
    """

    kind: Literal["bench", "native"] = "bench"
    hidden: int | None = Field(default=None, ge=1, description="Width of one hidden layer (per-protein tasks).")
    dropout: float = Field(default=0.1, ge=0, lt=1)


class Window(Spec):
    """How a protein longer than the model's window is cut: overlapping pieces, nothing lost."""

    residues: int = Field(default=1022, ge=16, description="Longest piece, in residues.")
    overlap: int = Field(default=256, ge=0, description="Residues that neighbouring pieces share.")
    train_windows: int = Field(
        default=8,
        ge=1,
        description="Per-protein tasks: windows of one protein in a training step, drawn anew each epoch.",
    )

    @model_validator(mode="after")
    def _advances(self) -> Window:
        if self.overlap > self.residues // 2:
            raise ValueError(f"an overlap of {self.overlap} is more than half of {self.residues}. Make it smaller")
        return self


class Recipe(Spec):
    """One recipe file. Every field is part of a run's identity."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
    title: str = ""
    summary: str = ""
    adaptation: Literal["full", "probe", "baseline"] = Field(
        description="full: every weight is trained. probe: the encoder is frozen, its embeddings are computed once "
        "and a head is trained on them. baseline: no checkpoint at all."
    )
    weights: Literal["pretrained", "random"] = Field(
        default="pretrained", description="random: the same architecture without what it learned."
    )
    baseline: Literal["majority", "composition", "onehot-window", "nearest-neighbour"] | None = None
    head: Head = Head()
    window: Window = Window()
    epochs: int = Field(default=10, ge=1)
    batch_size: int = Field(
        default=32, ge=1, description="Proteins per optimiser step, whatever fits in memory at once."
    )
    bucket: int = Field(
        default=8, ge=1, description="Batches are formed by length inside a shuffled stretch of this many batches."
    )
    learning_rate: float = Field(default=1e-4, gt=0)
    head_learning_rate: float | None = Field(default=None, gt=0, description="By default the learning rate.")
    weight_decay: float = Field(default=0.01, ge=0)
    warmup: float = Field(default=0.1, ge=0, lt=1, description="Share of the steps over which the rate rises.")
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    max_grad_norm: float = Field(default=1.0, gt=0)
    patience: int | None = Field(
        default=3, ge=1, description="Epochs without a better validation score before stopping."
    )
    class_weights: Literal["none", "balanced"] = Field(
        default="none",
        description="balanced: each class (or label) weighs in the loss by the inverse of its frequency.",
    )
    precision: Literal["auto", "float32", "bf16"] = Field(
        default="auto", description="Autocast; weights are float32. auto: bf16 on a GPU that has it, else float32."
    )

    @model_validator(mode="after")
    def _consistent(self) -> Recipe:
        if (self.adaptation == "baseline") != (self.baseline is not None):
            raise ValueError("adaptation: baseline and the key baseline belong together. Give both or neither")
        if self.head.kind == "native" and self.adaptation != "full":
            raise ValueError(
                "head.kind: native needs adaptation: full. The native head is not separable from its model"
            )
        return self

    @property
    def needs_checkpoint(self) -> bool:
        """Whether the recipe adapts a checkpoint (a baseline does not)."""
        return self.adaptation != "baseline"

    @property
    def hash(self) -> str:
        """sha256 of the fields that determine a result (not title and summary)."""
        return digest(self.model_dump(mode="json", exclude={"title", "summary"}))
