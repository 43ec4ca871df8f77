"""Which columns of a task's data hold what, and which rows are in which split."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from hubtools.specs.base import Spec, SpecError
from hubtools.specs.names import Sha256, SplitName

# Of one protein. An antibody has two; who writes more has a complex in mind.
MOST_CHAINS = 26


def _as_written(day: Any) -> Any:
    """A day as text: YAML reads 2021-11-17 as a date, 2021 as a number."""
    return day.isoformat() if isinstance(day, date) else str(day) if type(day) is int else day


Day = Annotated[
    str, BeforeValidator(_as_written), Field(pattern=r"^\d{4}(-(0[1-9]|1[0-2])(-(0[1-9]|[12]\d|3[01]))?)?$")
]
"""A day, a month or a year: 2021-11-17, 2021-11, 2021."""


class Columns(Spec):
    """Which column holds what."""

    sequence: str | list[str] = Field(
        default="sequence",
        description="The residues. Variants: the mutated sequence, not needed, but checked where it is there. Per-protein "
        "tasks: a list where a protein is several chains, a column of each: [heavy, light].",
    )
    label: str = "label"
    id: str | None = Field(default=None, description="By default the FASTA identifier, or file name and row number.")
    cluster: str | None = Field(default=None, description="Homology group, for splitting and for the bootstrap.")
    mask: str | None = Field(default=None, description="Per-residue string, 1 where the label counts.")
    structure: str | None = Field(
        default=None,
        description="The protein's structure (of variants the wild type's): a 3Di letter for each residue, # where it is not "
        "known; with `structures`, the name of its file, with or without ending. An empty cell means that there is none.",
    )
    partner: str | None = Field(
        default=None,
        description="Pairs: the second protein. Its sequence, or where a file is `lookup`, its id there (then "
        "`sequence` holds the first one's id).",
    )
    mutant: str | None = Field(
        default=None, description="Variants: the substitutions, such as A42G or A42G:D50N (several at once)."
    )
    reference: str | None = Field(
        default=None,
        description="Variants: id of the wild type in the `lookup` file (not needed where that holds one sequence); "
        "without such a file, the wild type's sequence itself.",
    )
    group: str | None = Field(
        default=None, description="Variants: the assay. Metrics are computed within it; by default the wild type."
    )
    protein: str | None = Field(
        default=None, description="Variants: the protein that several assays share. By default the assay."
    )
    category: str | None = Field(
        default=None, description="Variants: the class of function measured, over which proteins are averaged."
    )
    active: str | None = Field(
        default=None, description="Variants: 1 where the variant counts as functional, for AUROC."
    )
    date: list[str] = Field(
        default=[],
        description="When a protein became public: 2021-11-17, 17-NOV-2021, 2021-11 or 2021. Of several columns, and of "
        "equal sequences, the earliest counts. A card then says how many scored proteins are newer than what the "
        "checkpoint was pre-trained on.",
    )

    @field_validator("sequence")
    @classmethod
    def _several_chains(cls, columns: str | list[str]) -> str | list[str]:
        if isinstance(columns, list) and (len(columns) < 2 or len(columns) > MOST_CHAINS or "" in columns):
            raise ValueError(
                f"a list names the columns of 2 to {MOST_CHAINS} chains. Of one column write the name alone"
            )
        if isinstance(columns, list) and len(set(columns)) < len(columns):
            raise ValueError("a column is named twice. Name each chain's own")
        return columns

    @property
    def chains(self) -> list[str]:
        """The columns of the chains, where each has its own; else empty."""
        return list(self.sequence) if isinstance(self.sequence, list) else []

    @property
    def residues(self) -> str:
        """The one column of residues."""
        return self.sequence if isinstance(self.sequence, str) else self.sequence[0]

    @field_validator("date", mode="before")
    @classmethod
    def _one_or_several(cls, date: Any) -> Any:
        return [date] if isinstance(date, str) else date


class StructureFiles(Spec):
    """A folder with a file for each protein, of which checkpoints that read structure are shown the 3Di letters.

    PDB, mmCIF or BinaryCIF, also gzipped. A file is named in ``columns.structure``; without that column by the id of the row.
    What is in it is matched to the row's sequence: residues that the file lacks are read as not known, and a file that is
    not of the protein is refused.
    """

    folder: Path = Field(description="The folder. A relative one starts at the task file's folder.")
    chain: str | None = Field(
        default=None,
        description="Column that names the chain; without it, or in an empty cell, the chain that fits the sequence best.",
    )
    identity: float = Field(
        default=0.9,
        gt=0,
        le=1,
        description="Share of the aligned residues that must be those of the sequence; below it the file is refused.",
    )
    plddt: float | None = Field(
        default=None,
        gt=0,
        le=100,
        description="For predicted structures: residues whose B factor, the pLDDT, is below this are read as not known "
        "(SaProt's authors take 70).",
    )


class SplitRule(Spec):
    """The rows of one split: from these files (all when empty), where these columns have one of these values.

    By date: of the proteins that became public before a day, or since. One of which no day is known is in neither.
    """

    files: list[str] = []
    where: dict[str, list[str]] = {}
    before: Day | None = Field(
        default=None, description="Public before this day (the first of a month or year); needs columns.date."
    )
    since: Day | None = Field(default=None, description="Public on this day or later; needs columns.date.")

    @property
    def by_date(self) -> bool:
        """Whether it says when its proteins became public."""
        return bool(self.before or self.since)

    @field_validator("where", mode="before")
    @classmethod
    def _listed(cls, where: Any) -> Any:
        if not isinstance(where, dict):
            return where
        return {key: [str(v) for v in (value if isinstance(value, list) else [value])] for key, value in where.items()}


class SimilarityClusters(Spec):
    """Groups of similar sequences: a stand-in for homology where the data name none.

    With ``identity``: sequences of at least that identity over at least ``coverage`` of both are linked (MMseqs2 where
    it is installed; without it only high identities, by a bundled method). Else, needing nothing: two sequences are
    linked when the k-mers they share make up at least ``min_shared`` of the smaller one's. Linked ones are one cluster.
    """

    k: int = Field(default=4, ge=2, le=8)
    min_shared: float = Field(default=0.5, gt=0, le=1)
    identity: float | None = Field(default=None, ge=0.2, le=1, description="Share of identical aligned residues.")
    coverage: float = Field(default=0.8, gt=0, le=1, description="Share of both sequences that is aligned.")


class SeededSplit(Spec):
    """Splits drawn by a seeded rule; whole clusters (and equal sequences) stay on one side.

    In a pair task proteins are drawn instead of rows, and a pair whose proteins fall into different splits is left
    out and counted: no test protein is ever in a training pair.
    """

    fractions: dict[SplitName, Annotated[float, Field(gt=0, lt=1)]]
    by: Literal["sequences", "clusters"] | None = Field(
        default=None,
        description="What stays on one side: equal sequences only, or clusters. By default clusters where there are "
        "any. `clusters` with `identity` also says how they are found.",
    )
    identity: float | None = Field(default=None, ge=0.2, le=1, description="As in `clusters`, here in short.")
    coverage: float = Field(default=0.8, gt=0, le=1, description="As in `clusters`.")
    seed: int = 0
    sha256: Sha256 | None = Field(
        default=None,
        description="Checksum of who is in which split. A draw that comes out otherwise (another version of the "
        "clustering program, say) is refused.",
    )

    @field_validator("fractions")
    @classmethod
    def _complete(cls, fractions: dict[str, float]) -> dict[str, float]:
        if abs(sum(fractions.values()) - 1) > 1e-6:
            raise ValueError(f"the fractions sum to {sum(fractions.values()):g}. They must sum to 1")
        return fractions

    @model_validator(mode="after")
    def _identity_of_clusters(self) -> SeededSplit:
        if self.identity is not None and self.by != "clusters":
            raise SpecError("identity is for by: clusters. Write by: clusters, or remove identity", "identity")
        return self


class Folds(Spec):
    """Folds of a cross-validation: every row is predicted by a model that never saw its fold.

    A column names the fold of each row, or a scheme draws it. ``modulo`` and ``contiguous`` are for single substitutions:
    their distinct positions are sorted, and go to the folds in turn (0, 1, …, 0, 1, …), or in stretches of as many positions,
    the first stretches having one more where the number does not divide. ``random`` draws each sequence by itself, with equal
    chances; whole clusters, where there are any. So ProteinGym's authors define fold_modulo_5, fold_contiguous_5 and
    fold_random_5; their very draw of the last stands in their files alone, and is read as a column.
    """

    column: str | None = Field(default=None, description="Names the fold of each row.")
    scheme: Literal["random", "modulo", "contiguous"] | None = Field(
        default=None, description="How folds are drawn where no column names them."
    )
    number: int | None = Field(
        default=None, ge=2, le=100, description="Of folds: by default 5, or as many as the column names."
    )
    mutant: str | None = Field(
        default=None, description="modulo and contiguous: the column of the substitution, such as A42G."
    )
    seed: int = Field(default=0, description="Of the random scheme.")
    sha256: Sha256 | None = Field(
        default=None, description="Checksum of who is in which fold. Folds that come out otherwise are refused."
    )

    @property
    def k(self) -> int:
        """How many folds a scheme draws."""
        return self.number or 5

    @model_validator(mode="after")
    def _one_way(self) -> Folds:
        if (self.column is None) == (self.scheme is None):
            raise ValueError("give either column or scheme. Exactly one of them")
        by_position = self.scheme in {"modulo", "contiguous"}
        if by_position and self.mutant is None:
            raise SpecError("nothing says which residue a row changes. Name its column", "mutant")
        if self.mutant is not None and not by_position:
            raise SpecError("this is for the schemes modulo and contiguous. Remove it", "mutant")
        return self
