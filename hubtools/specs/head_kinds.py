"""Every kind of head: what a recipe may say of it, and where its module is. One object each; docs/extending.md adds one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from hubtools.common.registry import Registry

Setting = int | float | str | bool


@dataclass(frozen=True)
class HeadKind:
    """One kind of head.

    Attributes:
        name: in recipes, ``head.kind``.
        words: what it is, for cards.
        module: ``module:Class`` of a head in a file of its own, which ships with the models that have it; empty for those
            that are in bench's modelling file or the architecture's.
        levels: what it predicts of: protein, residue, pair.
        adaptations: of recipes that can train it. In a probe, its parameters must be all that it learns.
        options: what ``head.options`` may set, and what is so without.
        pools: whether ``head.pooling`` and ``head.solver`` are for it; another pools, or does not, in its own way.
        why: why no other adaptation trains it.
    """

    name: str
    words: str
    module: str = ""
    levels: tuple[str, ...] = ("protein",)
    adaptations: tuple[str, ...] = ("full", "adapter", "probe")
    options: Mapping[str, Setting] = field(default_factory=dict)
    pools: bool = False
    why: str = ""

    @property
    def file(self) -> str:
        """Dotted name of the module that ships; empty where none does."""
        return self.module.partition(":")[0]


HEADS = Registry(
    "head",
    HeadKind,
    "bench.heads",
    [
        HeadKind(
            "bench",
            "bench's own: linear, on each residue or on what the residues are pooled to",
            levels=("protein", "residue", "pair", "residue pair"),
            pools=True,
        ),
        HeadKind(
            "attention-regression",
            "a logistic regression on the encoder's attention maps",
            levels=("residue pair",),
            adaptations=("probe",),
            options={"structures": 20, "inverse_regularisation": 0.15},
            why="It reads attention maps of an encoder that stays as it is",
        ),
        HeadKind(
            "native",
            "the architecture's own",
            levels=("protein", "residue"),
            adaptations=("full",),
            why="The native head is not separable from its model",
        ),
    ],
)
