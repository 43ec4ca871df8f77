"""The task: what to predict from a protein, on which data and splits, scored how."""

from __future__ import annotations

import difflib
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from hubtools.specs.base import Spec, SpecError
from hubtools.specs.hashing import digest
from hubtools.specs.metric_names import METRICS

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
SplitName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Problem(StrEnum):
    """What is predicted, and at which level."""

    SEQUENCE_CLASSIFICATION = "sequence-classification"
    SEQUENCE_MULTILABEL = "sequence-multilabel"
    SEQUENCE_REGRESSION = "sequence-regression"
    RESIDUE_CLASSIFICATION = "residue-classification"
    RESIDUE_MULTILABEL = "residue-multilabel"
    RESIDUE_REGRESSION = "residue-regression"

    @property
    def per_residue(self) -> bool:
        """Whether each residue has a label, rather than each protein."""
        return self.value.startswith("residue-")

    @property
    def kind(self) -> Literal["classification", "multilabel", "regression"]:
        """What one label is."""
        return self.value.split("-")[1]  # type: ignore[return-value]


class TableFile(Spec):
    """One file of rows. Archives are read through ``member``; the format follows from the name unless given."""

    name: str = Field(default="", description="How splits refer to it; by default the file's stem.")
    format: Literal["csv", "tsv", "parquet", "fasta"] | None = None
    member: str | None = Field(default=None, description="Path inside a zip archive.")
    skip_rows: int = Field(default=0, ge=0, description="Lines above the first row or header of a CSV or TSV.")
    header: list[str] | None = Field(default=None, description="Column names of a CSV or TSV that has none.")
    body: str = Field(
        default="sequence",
        description="FASTA only: the column that holds the lines under a header. A file whose body is not the "
        "sequence (labels, mask) is joined to the others by id.",
    )

    @property
    def location(self) -> str:
        """Where the file is, as shown to people."""
        raise NotImplementedError

    @property
    def path_for_format(self) -> str:
        """The name whose suffix tells the format."""
        return self.member or self.location

    @property
    def table_format(self) -> str:
        """The format, stated or told by the suffix.

        Raises:
            ValueError: the suffix says nothing.
        """
        if self.format:
            return self.format
        suffixes = {
            ".csv": "csv",
            ".tsv": "tsv",
            ".parquet": "parquet",
            ".fasta": "fasta",
            ".fa": "fasta",
            ".faa": "fasta",
        }
        suffix = Path(self.path_for_format.removesuffix(".gz")).suffix.lower()
        if suffix == ".zip":
            raise ValueError(f"{self.path_for_format} is an archive. Name the file inside it under member")
        if suffix not in suffixes:
            raise ValueError(
                f"cannot tell the format of {self.path_for_format}. Write format: csv, tsv, parquet or fasta"
            )
        return suffixes[suffix]

    @model_validator(mode="after")
    def _named(self) -> TableFile:
        if not self.name:
            object.__setattr__(self, "name", Path(self.path_for_format).name.split(".")[0])
        _ = self.table_format
        return self


class UrlFile(TableFile):
    """A file at a public address, pinned by the sha256 of its content."""

    url: Annotated[str, Field(pattern=r"^https?://")]
    sha256: Sha256

    @property
    def location(self) -> str:
        """The address."""
        return self.url


class LocalFile(TableFile):
    """A file of the user's; a relative path starts at the task file's folder."""

    path: Path
    sha256: Sha256 | None = None

    @property
    def location(self) -> str:
        """The path."""
        return str(self.path)


class PackageFile(TableFile):
    """A file that ships inside a package of the Python package index."""

    path: str = Field(description="Path inside the installed package's folder.")
    sha256: Sha256

    @property
    def location(self) -> str:
        """The path inside the package."""
        return self.path


class HubFile(TableFile):
    """One split of a data set on the Hub."""

    split: str

    @property
    def location(self) -> str:
        """The split's name in the data set."""
        return self.split

    @property
    def table_format(self) -> str:
        """Always rows."""
        return "hub"


class Columns(Spec):
    """Which column holds what."""

    sequence: str = "sequence"
    label: str = "label"
    id: str | None = Field(default=None, description="By default the FASTA identifier, or file name and row number.")
    cluster: str | None = Field(default=None, description="Homology group, for splitting and for the bootstrap.")
    mask: str | None = Field(default=None, description="Per-residue string, 1 where the label counts.")


class SplitRule(Spec):
    """The rows of one split: from these files (all when empty), where these columns have one of these values."""

    files: list[str] = []
    where: dict[str, list[str]] = {}

    @field_validator("where", mode="before")
    @classmethod
    def _listed(cls, where: Any) -> Any:
        if not isinstance(where, dict):
            return where
        return {key: [str(v) for v in (value if isinstance(value, list) else [value])] for key, value in where.items()}


class SimilarityClusters(Spec):
    """Single-linkage clusters of sequences that share many k-mers: a quick stand-in for homology groups.

    Two sequences are linked when the k-mers they share make up at least ``min_shared`` of the shorter one's.
    """

    k: int = Field(default=4, ge=2, le=8)
    min_shared: float = Field(default=0.5, gt=0, le=1)


class SeededSplit(Spec):
    """Splits drawn by a seeded rule; whole clusters (and equal sequences) stay on one side."""

    fractions: dict[SplitName, Annotated[float, Field(gt=0, lt=1)]]
    seed: int = 0

    @field_validator("fractions")
    @classmethod
    def _complete(cls, fractions: dict[str, float]) -> dict[str, float]:
        if abs(sum(fractions.values()) - 1) > 1e-6:
            raise ValueError(f"the fractions sum to {sum(fractions.values()):g}. They must sum to 1")
        return fractions


class _Data(Spec):
    columns: Columns = Columns()
    splits: dict[SplitName, SplitRule] | None = Field(default=None, description="Splits declared by the data.")
    split: SeededSplit | None = Field(default=None, description="Splits drawn by a seeded rule.")
    clusters: SimilarityClusters | None = Field(
        default=None, description="Cluster by sequence similarity when the data have no cluster column."
    )
    validation_fraction: float = Field(
        default=0.1, gt=0, lt=0.5, description="Share of train carved off where no validation split is declared."
    )
    validation_seed: int = 0
    label_separator: str | None = Field(default=None, description="Between the labels of one protein (multi-label).")
    site_marker: str | None = Field(
        default=None,
        min_length=1,
        max_length=1,
        description="Character that follows a labelled residue in the sequence.",
    )
    candidates: str | None = Field(
        default=None, pattern=r"^[A-Z]+$", description="Only these residues are scored, for example Y."
    )
    masked_value: float | None = Field(
        default=None, allow_inf_nan=False, description="Per-residue value that means: no label."
    )

    @model_validator(mode="after")
    def _one_kind_of_split(self) -> _Data:
        if (self.splits is None) == (self.split is None):
            raise ValueError("give either splits (declared by the data) or split (seeded). Exactly one of them")
        names = set(self.splits or self.split.fractions)  # type: ignore[union-attr]
        if missing := {"train", "test"} - names:
            raise SpecError(
                f"no {' and no '.join(sorted(missing))} split. A task needs train and test",
                "splits" if self.splits else "split",
            )
        if self.columns.cluster and self.clusters:
            raise SpecError("columns.cluster is given too. Give one of them", "clusters")
        return self

    @property
    def test_splits(self) -> list[str]:
        """Names of the test splits: everything but train and validation, ``test`` first."""
        names = [n for n in (self.splits or self.split.fractions) if n not in {"train", "validation"}]  # type: ignore[union-attr]
        return sorted(names, key=lambda name: name != "test")


class UrlData(_Data):
    """Files at public addresses."""

    source: Literal["url"]
    files: list[UrlFile] = Field(min_length=1)


class LocalData(_Data):
    """Files of the user's."""

    source: Literal["file"]
    files: list[LocalFile] = Field(min_length=1)


class PackageData(_Data):
    """Files inside a package of the Python package index."""

    source: Literal["package"]
    package: str
    version: str
    files: list[PackageFile] = Field(min_length=1)


class HubData(_Data):
    """A data set on the Hugging Face Hub at a commit."""

    source: Literal["hub"]
    dataset: str
    config: str | None = None
    revision: Annotated[str, Field(pattern=r"^[0-9a-f]{40}$", description="Commit of the data set repository.")]
    files: list[HubFile] = Field(min_length=1)


Data = Annotated[UrlData | LocalData | PackageData | HubData, Field(discriminator="source")]


class MetricChoice(Spec):
    """What is reported, and by which one number runs are selected and ranked."""

    primary: str
    also: list[str] = []
    positive: str | None = Field(
        default=None,
        description="The class to be detected, for two-class tasks: its decision threshold is then chosen on "
        "validation (largest F1), and F1, AUROC and AUPRC are about it.",
    )

    @property
    def names(self) -> list[str]:
        """Primary metric first."""
        return [self.primary, *[name for name in self.also if name != self.primary]]


class Task(Spec):
    """One task file."""

    name: Name
    version: int = Field(ge=1, description="Bump when data, labels or metric change.")
    supersedes: str | None = None
    title: str
    problem: Problem
    summary: str
    data: Data
    labels: dict[str, str] = Field(
        default={}, description="Value in the data -> name of the label, in the order of the model's outputs."
    )
    unit: str | None = Field(default=None, description="Unit of a regression target.")
    metrics: MetricChoice
    margin: float = Field(default=0.01, gt=0, description="Loss in the primary metric that counts as worse.")
    licence: str = Field(description="Licence of the data: an SPDX identifier, or 'unknown'.")
    homepage: str | None = None
    citation: str = Field(description="BibTeX, or a plain reference.")
    notes: list[str] = Field(default=[], description="What a reader of the result should know about the data.")

    @field_validator("labels", mode="before")
    @classmethod
    def _label_mapping(cls, labels: Any) -> Any:
        """Accept a list of names too, where the values in the data are the names."""
        if isinstance(labels, (list, dict)) and any(isinstance(label, bool) or label is None for label in labels):
            raise ValueError("YAML reads yes, no, on, off, true, false and null as no text. Put the label in quotes")
        if isinstance(labels, list):
            if len({str(label) for label in labels}) != len(labels):
                raise ValueError("a label is listed twice")
            return {str(label): str(label) for label in labels}
        return {str(k): str(v) for k, v in labels.items()} if isinstance(labels, dict) else labels

    @model_validator(mode="after")
    def _consistent(self) -> Task:
        self._labels_fit()
        self._data_fit()
        self._metrics_fit()
        return self

    def _labels_fit(self) -> None:
        kind = self.problem.kind
        if kind == "regression":
            if self.labels:
                raise SpecError(f"labels are given, but {self.problem.value} has none. Remove labels", "labels")
        elif len(self.labels) < (1 if kind == "multilabel" else 2):
            raise SpecError(f"{self.problem.value} needs labels. List them under labels", "labels")
        if len(set(self.labels.values())) != len(self.labels):
            raise SpecError("two labels have the same name. Rename one", "labels")

    def _data_fit(self) -> None:
        data = self.data
        for key in ("site_marker", "candidates", "masked_value"):
            if getattr(data, key) is not None and not self.problem.per_residue:
                raise SpecError(f"this is for residue tasks, not for {self.problem.value}. Remove it", "data", key)
        if data.site_marker and self.problem is not Problem.RESIDUE_CLASSIFICATION:
            raise SpecError(f"this is for residue-classification, not for {self.problem.value}", "data", "site_marker")
        if data.site_marker and list(self.labels) != ["0", "1"]:
            raise SpecError('a site_marker needs two labels. Write labels: {"0": not marked, "1": marked}', "labels")
        if data.label_separator and self.problem is not Problem.SEQUENCE_MULTILABEL:
            raise SpecError(
                f"this is for sequence-multilabel, not for {self.problem.value}. Remove it", "data", "label_separator"
            )
        names = [file.name for file in data.files]
        if repeated := [name for name in names if names.count(name) > 1]:
            raise SpecError(f"two files are called {repeated[0]!r}. Give each its own name", "data", "files")
        for split, rule in (data.splits or {}).items():
            if unknown := [name for name in rule.files if name not in names]:
                raise SpecError(
                    f"there is no file {unknown[0]!r}. The files are: {', '.join(names)}", "data", "splits", split
                )

    def _metrics_fit(self) -> None:
        kind, positive = self.problem.kind, self.metrics.positive
        if positive is not None:
            if kind != "classification" or len(self.labels) != 2:
                raise SpecError("positive is for tasks with two classes. Remove it", "metrics", "positive")
            if positive not in self.labels.values():
                known = ", ".join(self.labels.values())
                raise SpecError(f"{positive!r} is not a label. The labels are: {known}", "metrics", "positive")
        for name in self.metrics.names:
            key = ("metrics", "primary" if name == self.metrics.primary else "also")
            fitting = ", ".join(sorted(known for known, metric in METRICS.items() if kind in metric.kinds))
            if name not in METRICS:
                close = difflib.get_close_matches(name, METRICS, n=1)
                hint = f"Did you mean {close[0]}?" if close else f"Use one of: {fitting}"
                raise SpecError(f"there is no metric {name!r}. {hint}", *key)
            if kind not in METRICS[name].kinds:
                raise SpecError(f"metric {name!r} is not for {kind}. Use one of: {fitting}", *key)
            if METRICS[name].needs_positive and kind == "classification" and positive is None:
                raise SpecError(f"metric {name!r} is about one class of two. Name it under metrics.positive", *key)

    @property
    def label_names(self) -> list[str]:
        """Names of the model's outputs, in order; empty for regression."""
        return list(self.labels.values())

    @property
    def n_outputs(self) -> int:
        """Width of the head: one per label, or one value."""
        return len(self.labels) or 1

    @property
    def positive_index(self) -> int | None:
        """Index of the class to be detected, where there is one."""
        return None if self.metrics.positive is None else self.label_names.index(self.metrics.positive)

    @property
    def hash(self) -> str:
        """sha256 of everything in the file that can change a number: not titles, notes or citations."""
        prose = {"title", "summary", "notes", "citation", "homepage", "licence", "margin", "supersedes"}
        content = self.model_dump(mode="json", exclude=prose)
        # The order of labels is that of the outputs; JSON with sorted keys would lose it.
        content["labels"] = list(self.labels.items())
        if isinstance(self.data, LocalData):
            # Wherever the folder lies, the question is the same; the files' content is part of a run's identity.
            for file in content["data"]["files"]:
                file["path"] = Path(file["path"]).name
        return digest(content)

    def located_at(self, folder: Path) -> Task:
        """A copy whose relative local paths start at that folder."""
        if not isinstance(self.data, LocalData):
            return self
        files = [file.model_copy(update={"path": (folder / file.path)}) for file in self.data.files]
        return self.model_copy(update={"data": self.data.model_copy(update={"files": files})})
