"""What task files say of where data come from; what bench does with each source is in ``hubtools.data.sources.kinds``."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self, get_args
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SerializeAsAny, WrapValidator, field_validator, model_validator
from pydantic_core import PydanticKnownError

from hubtools.common.secrets import holds_secret
from hubtools.specs.annotation_rules import Annotation
from hubtools.specs.base import Spec, SpecError
from hubtools.specs.files.table_file import Derives, TableFile
from hubtools.specs.lookup.source_packages import brought_source, brought_sources
from hubtools.specs.names import HUB_ID, AnyInnerPath, Commit, Sha256, SplitName
from hubtools.specs.split_rules import (
    MOST_CHAINS,
    Columns,
    Folds,
    SeededSplit,
    SimilarityClusters,
    SplitRule,
    StructureFiles,
)


class NamedTable(TableFile):
    """A table of a source that has no files: its name finds it, and the source gives its rows."""

    @property
    def location(self) -> str:
        """The name."""
        return self.name

    @property
    def table_format(self) -> str:
        """Rows, in no format."""
        return "rows"


def _whole_address(address: str) -> str:
    """The address.

    Raises:
        ValueError: it names no server, or not as addresses do.
    """
    try:
        parts = urlsplit(address)
        named = bool((parts.hostname or "").encode("idna")) and (parts.port is None or parts.port > 0)
    # Of brackets that are not closed, a port that is none, a part of the name that is empty or too long.
    except ValueError:
        named = False
    # A password in it is refused in words of its own.
    if not holds_secret(address) and (not named or not re.fullmatch(r"[!-~]+", address)):
        raise ValueError(f"{address[:200]!r} is no address. Write it as https://SERVER/FILE, spaces as %20")
    return address


class UrlFile(TableFile):
    """A file at a public address, pinned by the sha256 of its content."""

    pinned_by = ("sha256", "url")

    url: Annotated[str, Field(pattern=r"^https?://"), AfterValidator(_whole_address)]
    sha256: Sha256 | None = Field(
        default=None,
        description="Left out only until `bench data freeze` writes it; every record then says what was fetched.",
    )

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

    path: AnyInnerPath = Field(description="Path inside the installed package's folder.")
    sha256: Sha256

    @property
    def location(self) -> str:
        """The path inside the package."""
        return self.path


class HubFile(NamedTable):
    """One split of a data set on the Hub."""

    split: str

    @property
    def location(self) -> str:
        """The split's name in the data set."""
        return self.split


class UniProtFile(NamedTable):
    """The answer of UniProt to a task's query."""

    @property
    def location(self) -> str:
        """The query, in UniProt's words."""
        return "uniprotkb"

    @property
    def table_format(self) -> str:
        """Rows of a frozen answer."""
        return "uniprot"


class SourceData(Spec):
    """What the task files of any source say of their data; each source adds ``source``, its name, and ``files``.

    A value of type ``Path`` is a file of the user's: a relative one starts at the task file's folder, the folders in it
    are no part of the question, and a task on the Hub may name files of its own repository only.
    """

    pinned_by: ClassVar[tuple[str, str] | None] = None
    """The key that pins it, where `bench data freeze` writes one, and the key of the file behind which it goes."""

    if TYPE_CHECKING:

        @property
        def source(self) -> str:
            """Its name."""

        @property
        def files(self) -> Sequence[TableFile]:
            """The files, or whatever else has rows."""

    columns: Columns = Columns()
    splits: dict[SplitName, SplitRule] | None = Field(default=None, description="Splits declared by the data.")
    split: SeededSplit | None = Field(default=None, description="Splits drawn by a seeded rule.")
    folds: Folds | None = Field(
        default=None,
        description="Cross-validation: one model a fold; `test` is all rows, each as predicted out of its fold.",
    )
    clusters: SimilarityClusters | None = Field(
        default=None, description="Cluster by sequence similarity when the data have no cluster column."
    )
    validation_fraction: float = Field(
        default=0.1, gt=0, lt=0.5, description="Share of train carved off where no validation split is declared."
    )
    validation_seed: int = 0
    stratified: bool = Field(
        default=False,
        description="What bench draws (`split`, or validation off train) has each label in each split in its share, as far as "
        "groups of relatives allow; of values, each of up to ten ranges of equal size. Not for pairs: there proteins are "
        "drawn.",
    )
    label_separator: str | None = Field(
        default=None,
        min_length=1,
        description="Between the labels in a cell: of one protein (multi-label), or of its residues where they are more "
        "than a character each. One at the end means nothing.",
    )
    chains: int | None = Field(
        default=None,
        ge=2,
        le=MOST_CHAINS,
        description="Per-protein tasks: how many chains each protein is, where one column, or FASTA, has them with : between. "
        "Each chain is read alone, and the mean is over the residues of all.",
    )
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
    masked_labels: list[str] = Field(
        default=[],
        description="Labels that mean: not known; an empty text stands for null, NaN and an empty cell. A residue with one "
        "is not scored, a protein or a pair with one is left out and counted.",
    )
    label_sets: dict[str, list[str]] | None = Field(
        default=None,
        description="residue-multilabel: what one character (or value) of the label column stands for, as labels.",
    )
    label_shift: int = Field(
        default=0,
        ge=-1,
        le=1,
        description="Give each residue the label of the residue this many places further on. Only to reproduce results "
        "that were published with labels off by one; every record and card says so.",
    )
    annotation: Annotation | None = Field(
        default=None, description="UniProt and Swiss-Prot files: how labels are read from the annotation."
    )
    structures: StructureFiles | None = Field(default=None, description="Files of the proteins' structures.")
    first_residue: int = Field(
        default=1, description="Variants: the number that the wild type's first residue has in the names of mutants."
    )

    @field_validator("masked_labels", mode="before")
    @classmethod
    def _as_text(cls, labels: Any) -> Any:
        """-100 and null as YAML reads them."""
        if not isinstance(labels, list):
            return labels
        return ["" if label is None else str(label) if type(label) in (int, float) else label for label in labels]

    @model_validator(mode="after")
    def _one_kind_of_split(self) -> SourceData:
        if [self.splits, self.split, self.folds].count(None) != 2 or self.splits == {}:
            given = "splits (declared by the data), split (seeded) or folds (cross-validation)"
            raise ValueError(f"give either {given}. Exactly one of them")
        if self.chains is not None and self.columns.chains:
            raise SpecError("columns.sequence names a column of each chain. Say one of both", "chains")
        if self.columns.cluster and self.clusters:
            raise SpecError("columns.cluster is given too. Give one of them", "clusters")
        if self.split is not None:
            self._clusters_of_split(self.split)
        return self

    def _clusters_of_split(self, split: SeededSplit) -> None:
        if split.identity is not None and (self.clusters or self.columns.cluster):
            raise SpecError("clusters are given too. Say once how they are found", "split", "identity")
        if split.by == "clusters" and not (split.identity or self.clusters or self.columns.cluster):
            raise SpecError("nothing says what a cluster is. Add identity: 0.3, say", "split", "by")

    @property
    def chain_names(self) -> list[str]:
        """What the chains of each protein are called; empty where a protein is one."""
        return self.columns.chains or [f"chain {number}" for number in range(1, (self.chains or 0) + 1)]

    @property
    def split_names(self) -> list[str]:
        """Names of the splits that the file declares or draws; of folds what each fit has."""
        if self.folds is not None:
            return ["train", "validation", "test"]
        return list(self.splits or self.split.fractions)  # type: ignore[union-attr]

    @property
    def cluster_rule(self) -> SimilarityClusters | None:
        """How clusters are found, wherever the file says so; None where a column names them, or nothing does."""
        if self.split is not None and self.split.identity is not None:
            return SimilarityClusters(identity=self.split.identity, coverage=self.split.coverage)
        return self.clusters

    @property
    def test_splits(self) -> list[str]:
        """Names of the test splits: everything but train and validation, ``test`` first."""
        names = [name for name in self.split_names if name not in {"train", "validation"}]
        return sorted(names, key=lambda name: name != "test")

    @property
    def local_files(self) -> list[Path]:
        """The files of the user's that it names."""
        found: list[Path] = []

        def noted(path: Path) -> Path:
            found.append(path)
            return path

        self.with_paths(noted)
        return found

    def with_paths(self, change: Callable[[Path], Path]) -> Self:
        """A copy that names the user's files otherwise."""
        changed: Self = _with_paths(self, change)
        return changed

    def without_folders(self) -> Self:
        """A copy that names the user's files by their names alone."""
        return self.with_paths(lambda path: Path(path.name))

    def question(self) -> dict[str, Any]:
        """What of it says which task this is: wherever a folder lies, the question is the same."""
        return self.without_folders().model_dump(mode="json", exclude_defaults=True)


def _with_paths(value: Any, change: Callable[[Path], Path]) -> Any:
    """The value with every path in it changed; the same object where there is none."""
    if isinstance(value, Path):
        return change(value)
    if isinstance(value, list):
        entries = [_with_paths(entry, change) for entry in value]
        return value if all(new is old for new, old in zip(entries, value, strict=True)) else entries
    if isinstance(value, Spec):
        held = {name: getattr(value, name) for name in type(value).model_fields}
        changed = {name: new for name, old in held.items() if (new := _with_paths(old, change)) is not old}
        return value.model_copy(update=changed) if changed else value
    return value


class UrlData(SourceData):
    """Files at public addresses."""

    source: Literal["url"]
    files: list[UrlFile] = Field(min_length=1)


class LocalData(SourceData):
    """Files of the user's."""

    source: Literal["file"]
    files: list[LocalFile] = Field(min_length=1)


class PackageData(SourceData):
    """Files inside a package of the Python package index."""

    source: Literal["package"]
    package: str = Field(pattern=r"^[A-Za-z0-9]([A-Za-z0-9_-]*[A-Za-z0-9])?$", max_length=100)
    version: str
    files: list[PackageFile] = Field(min_length=1)


class HubData(SourceData):
    """A data set on the Hugging Face Hub at a commit."""

    pinned_by = ("revision", "dataset")

    source: Literal["hub"]
    dataset: str = Field(pattern=rf"^{HUB_ID}$", max_length=140)
    config: str | None = None
    revision: Commit | None = Field(
        default=None,
        description="Commit of the data set repository. Left out only until `bench data freeze` writes it; the latest "
        "commit is then resolved for each run and is on the record.",
    )
    files: list[HubFile] = Field(min_length=1)


class Frozen(Spec):
    """Which answer of UniProt a task uses; `bench data freeze` writes it."""

    release: str = Field(description="UniProt release, such as 2026_01.")
    rows: int = Field(ge=1)
    sha256: Sha256 = Field(description="Of the rows: canonical text, whatever wrote the Parquet file.")
    file_sha256: Sha256 | None = Field(
        default=None, description="Of the Parquet file, under which caches and mirrors keep it."
    )
    url: str | None = Field(
        default=None, pattern=r"^https?://", description="Where a copy of that file is, if anywhere."
    )


class UniProtData(SourceData):
    """The answer of UniProt's REST service to a query.

    UniProt is a moving target: until the task is frozen, its data are those of the first fetch on a machine.
    """

    pinned_by = ("frozen", "source")

    source: Literal["uniprot"]
    query: str = Field(description="In UniProt's language, such as (organism_id:9606) AND (reviewed:true).")
    fields: list[str] = Field(
        default=["accession", "sequence"], description="Further fields; those that annotation reads are added."
    )
    frozen: Frozen | None = None

    @property
    def files(self) -> list[UniProtFile]:
        """One table."""
        return [UniProtFile(name="uniprot")]

    @property
    def all_fields(self) -> list[str]:
        """What is asked for: accession and sequence first, then what is named, dates, and what annotation reads."""
        asked = [*self.fields, *self.columns.date, *(self.annotation.fields if self.annotation else [])]
        return list(dict.fromkeys(["accession", "sequence", *asked]))

    def question(self) -> dict[str, Any]:
        """The query: what a frozen answer is belongs to the data, which have their own digest."""
        return {key: value for key, value in super().question().items() if key != "frozen"}


# Of archives that are read: zip, and tar, gzipped or not.
ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz")


class FolderOfStructures(TableFile):
    """A folder, or a zip or tar archive, of structure files: a row for each distinct chain of each."""

    derives: Derives = Field(description="What the column `label` holds, as of single structure files.")

    path: Path | None = Field(
        default=None,
        description="The folder, in which folders are not looked at, or the archive (.zip, .tar, .tar.gz, .tgz), of which all folders "
        "are; a relative one starts at the task file's folder.",
    )
    url: Annotated[str, Field(pattern=r"^https?://"), AfterValidator(_whole_address)] | None = Field(
        default=None, description="In place of path: the address of an archive."
    )
    sha256: Sha256 | None = Field(default=None, description="Of an archive; one at an address needs it.")

    @property
    def location(self) -> str:
        """The path, or the address."""
        return self.url or str(self.path)

    @property
    def packed(self) -> bool:
        """Whether it is an archive."""
        return self.location.lower().endswith(ARCHIVES)

    @model_validator(mode="after")
    def _one_place(self) -> FolderOfStructures:
        if (self.path is None) == (self.url is None):
            raise ValueError("give either path or url")
        if self.url is not None and not self.packed:
            raise SpecError(f"it is no archive ({', '.join(ARCHIVES)}). Single files are for source: url", "url")
        if self.url is not None and self.sha256 is None:
            raise SpecError("an archive at an address needs it. Add it: sha256sum FILE says it", "sha256")
        if self.sha256 is not None and not self.packed:
            raise SpecError("a folder has none. Remove it", "sha256")
        return self

    @property
    def table_format(self) -> str:
        """Of each file in it."""
        return "structure"


class StructuresData(SourceData):
    """Folders and archives of structure files, of which labels are derived (``derives``).

    Rows have the columns ``sequence``, ``label``, ``file``, ``chain`` and ``3di`` (a 3Di letter for each residue, for
    ``columns.structure``). A residue that is missing between two others is X, as many as the file's numbers say, and has no label.
    """

    source: Literal["structures"]
    files: list[FolderOfStructures] = Field(min_length=1)
    masked_labels: list[str] = Field(
        default=[""], description="As of any source: residues that are missing have an empty label."
    )


_Own = UrlData | LocalData | HubData | PackageData | UniProtData | StructuresData
OWN_SOURCES: dict[str, type[SourceData]] = {
    get_args(model.model_fields["source"].annotation)[0]: model for model in get_args(_Own)
}
# Whose files lie where a user has them: a record that others see names them without their folders.
OF_THIS_MACHINE = frozenset({"file", "structures"})


def source_names() -> list[str]:
    """What may stand under ``source``: bench's own, then those of installed packages."""
    return [*OWN_SOURCES, *(name for name in brought_sources() if name not in OWN_SOURCES)]


def _of_its_source(value: Any, _: Any) -> SourceData:
    """Data as the model of their source has them."""
    if isinstance(value, SourceData):
        return value
    if not isinstance(value, dict):
        raise PydanticKnownError("dict_type")
    if "source" not in value:
        raise PydanticKnownError("union_tag_not_found", {"discriminator": "source"})
    name = str(value["source"])
    model = OWN_SOURCES.get(name) or getattr(brought_source(name), "spec", None)
    if model is None:
        expected = ", ".join(source_names())
        raise PydanticKnownError(
            "union_tag_invalid", {"discriminator": "source", "tag": name, "expected_tags": expected}
        )
    return model.model_validate(value)


Data = Annotated[SerializeAsAny[_Own], WrapValidator(_of_its_source)]
