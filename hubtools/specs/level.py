"""What has one label: a protein, each of its residues, a pair of proteins, a variant of a wild type, a pair of residues, a structure.

A level is a table of facts, and the one place that tells them. What a room does with the rows of a level is an object of
that room: rows in ``hubtools.data.rows.row_kinds``, batches in ``hubtools.training.collation``, columns of predictions in
``hubtools.evaluation.scored_rows``, questions to a saved model in ``hubtools.inference.asking``. ``docs/extending.md`` says what a new one needs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["classification", "multilabel", "regression"]

# What one label is, by what follows the level in the name of a problem.
KINDS: Mapping[str, Kind] = {
    "classification": "classification",
    "multilabel": "multilabel",
    "regression": "regression",
}


@dataclass(frozen=True)
class Level:
    """One level of prediction.

    Attributes:
        name: of what has one label.
        prefix: with which the names of its problems begin.
        each: what has one label, for people.
        row: what one row of the data is.
        scored: what the labels of a split are called when they are counted.
        counted: what is counted beside proteins; None where that is the same number.
        drawn: what the bootstrap draws.
        within: what metrics are computed within, to be averaged; None where over all rows at once.
        kinds: what one label can be, by what follows the prefix.
        trained: whether a model learns from rows of it. Where not, the checkpoint's own language model is asked.
        may_train: whether a task may have a training split where none is needed; no model of it is saved.
        by_residue: whether each residue has its own label, and a row of predictions its position.
        proteins: how many proteins a row has.
        takes: keys of ``data.columns`` that are for its rows, or for those of few levels.
        needs: of each group of these one must be there; ``lookup`` stands for a lookup file.
        lacking: what is said where one is not, and the key that it is about.
        lookup: whether rows may name sequences that another file holds.
        no_clusters: why the task names no clusters, and the key that it is about; by the key ``cluster`` of a column, or
            ``clusters`` of a rule.
        auto_class: class of transformers that has a head for it, None where there is none.
        hub_task: what the Hub calls it.
    """

    name: str
    prefix: str
    each: str
    row: str
    scored: str
    counted: str | None
    drawn: str
    within: str | None = None
    kinds: Mapping[str, Kind] = field(default_factory=lambda: KINDS)
    trained: bool = True
    may_train: bool = False
    by_residue: bool = False
    proteins: int = 1
    takes: tuple[str, ...] = ()
    needs: tuple[tuple[str, ...], ...] = ()
    lacking: tuple[str, ...] = ()
    lookup: bool = False
    no_clusters: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    auto_class: str | None = "AutoModelForSequenceClassification"
    hub_task: str = "text-classification"

    @property
    def needed_splits(self) -> set[str]:
        """Splits that a task must have."""
        return {"train", "test"} if self.trained else {"test"}

    @property
    def names(self) -> str:
        """The labelled things, more than one of them."""
        return f"{self.name}s"

    @property
    def rows(self) -> str:
        """Rows of the data, more than one of them."""
        return f"{self.row}s"


_UNCLUSTERED = "variants are not clustered; the bootstrap draws proteins. Remove clusters"

PROTEIN = Level(
    name="protein",
    prefix="sequence",
    each="protein",
    row="protein",
    scored="labels",
    counted=None,
    drawn="homology clusters, or proteins",
    takes=("date", "structure"),
)
RESIDUE = Level(
    name="residue",
    prefix="residue",
    each="residue",
    row="protein",
    scored="residues scored",
    counted="labelled residue",
    drawn="homology clusters, or proteins; never residues",
    by_residue=True,
    takes=("date", "structure"),
    auto_class="AutoModelForTokenClassification",
    hub_task="token-classification",
)
PAIR = Level(
    name="pair",
    prefix="pair",
    each="pair of proteins",
    row="pair",
    scored="pairs",
    counted="pair",
    drawn="homology clusters, or proteins; a pair counts by the product of its two",
    proteins=2,
    takes=("partner",),
    needs=(("partner",),),
    lacking=("the second protein is not named. Add partner", "data", "columns"),
    lookup=True,
    no_clusters={"cluster": ("a row has two proteins. Give clusters instead", "data", "columns", "cluster")},
    auto_class=None,
)
VARIANT = Level(
    name="variant",
    prefix="variant",
    each="variant",
    row="variant",
    scored="variants",
    counted="variant",
    drawn="proteins, or variants within each assay",
    within="assay",
    kinds={"effect": "regression"},
    trained=False,
    takes=("mutant", "reference", "group", "protein", "category", "active", "structure"),
    needs=(("mutant",), ("lookup", "reference")),
    lacking=(
        "a variant-effect task needs columns.mutant and wild types: a file with lookup: true, or columns.reference, the "
        "column that holds their sequences. Add them",
        "data",
    ),
    lookup=True,
    no_clusters=dict.fromkeys(("cluster", "clusters"), (_UNCLUSTERED, "data")),
    auto_class=None,
    hub_task="fill-mask",
)

# Which pairs of residues of a protein touch; labels are 1, 0, or none where a residue is not resolved. A language model is asked as it is,
# or, where a task has structures to learn from, something small is fitted on what a frozen encoder says.
RESIDUE_PAIR = Level(
    name="residue pair",
    prefix="contact",
    each="pair of residues",
    row="protein",
    scored="pairs of residues scored",
    counted="scored residue pair",
    drawn="homology clusters, or proteins; never pairs of residues",
    within="protein",
    kinds={"prediction": "regression"},
    trained=False,
    may_train=True,
    lookup=True,
    auto_class=None,
    hub_task="fill-mask",
)

# Where the α carbons of a protein's residues are, as a model that folds says of the sequence; labels are their coordinates.
STRUCTURE = Level(
    name="structure",
    prefix="structure",
    each="structure",
    row="protein",
    scored="coordinates scored",
    counted="scored coordinate",
    drawn="homology clusters, or proteins; never coordinates",
    within="protein",
    kinds={"prediction": "regression"},
    trained=False,
    auto_class=None,
    hub_task="other",
)

# By name; a level that is added here has its problems at once.
LEVELS: dict[str, Level] = {level.name: level for level in (PROTEIN, RESIDUE, PAIR, VARIANT, RESIDUE_PAIR, STRUCTURE)}


def problems() -> list[str]:
    """The names of all problems, level by level."""
    return [f"{level.prefix}-{ending}" for level in LEVELS.values() for ending in level.kinds]


def trained_problems() -> list[str]:
    """The names of those that a model is trained for."""
    return [f"{level.prefix}-{ending}" for level in LEVELS.values() if level.trained for ending in level.kinds]
