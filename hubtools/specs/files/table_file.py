"""One file of rows, as a task file names it; the files of each source are in ``hubtools.specs.data_sources``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from hubtools.specs.base import Spec, SpecError
from hubtools.specs.names import AnyInnerPath

# What structures give as the column of labels; hubtools.data.structures.derived_labels has how.
Derives = Literal["contacts", "secondary-structure", "recorded-secondary-structure", "dssp", "accessibility"]


class TableFile(Spec):
    """One file of rows. Archives are read through ``member``; the format follows from the name unless given."""

    pinned_by: ClassVar[tuple[str, str] | None] = None
    """The key that pins it, where `bench data freeze` writes one, and the key of the file behind which it goes."""

    name: str = Field(default="", description="How splits refer to it; by default the file's stem.")
    format: Literal["csv", "tsv", "xlsx", "parquet", "jsonl", "fasta", "swissprot", "structure", "contacts"] | None = (
        None
    )
    member: AnyInnerPath | None = Field(default=None, description="Path inside a zip archive.")
    skip_rows: int = Field(default=0, ge=0, description="Lines above the first row or header of a CSV, TSV or XLSX.")
    separator: Annotated[str, Field(pattern=r"^[ -~\t]$")] | None = Field(
        default=None, description="CSV and TSV only: between fields, such as ';'; by default a comma, or a tab."
    )
    sheet: str | None = Field(default=None, description="XLSX only: which sheet; by default the first that holds rows.")
    decimal_comma: list[str] = Field(
        default=[], description="Columns of a CSV, TSV or XLSX whose numbers are written 0,5: read as 0.5."
    )
    adds: dict[str, str] = Field(
        default={},
        description="Column -> what it holds in each row of this file, such as `{label: nucleus}` where each class has a "
        "file of its own.",
    )
    header: list[str] | None = Field(
        default=None,
        description="Column names of a CSV, TSV or XLSX that has none; for FASTA, names of the parts of a header line.",
    )
    header_separator: str | None = Field(
        default=None, description="FASTA only: between the parts of a header line; by default white space."
    )
    lines: list[str] | None = Field(
        default=None, description="FASTA only: the column of each line under a header, where lines differ in meaning."
    )
    rename: dict[str, str] = Field(
        default={}, description="Column as the file calls it -> as the other files and `columns` call it."
    )
    lookup: bool = Field(
        default=False,
        description="The file holds no rows but sequences that rows name: proteins of pairs or contacts, or wild types.",
    )
    joins: str | None = Field(
        default=None,
        description="The file holds no rows but facts about them: a column, in this file and in the rows, by which the "
        "columns that the rows lack are joined to them (what is known of each assay, say).",
    )
    derives: Derives = Field(
        default="contacts",
        description="Structure files only: what the column `label` holds. `secondary-structure`: H, E or C by P-SEA; "
        "`recorded-secondary-structure`: H, E or C as the file's own records have them; `dssp`: its eight states, and C, where mkdssp is "
        "installed; `accessibility`: the chain's accessible surface as a share of the largest (Tien et al. 2013). Residues that are not in the "
        "file have no label.",
    )
    unmasked: bool = Field(
        default=False,
        description="The file has no mask and each of its residues counts, though other files of the task have one.",
    )
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
    def joined_as(self) -> str | None:
        """What a FASTA file without sequences brings to the rows of the others, by id; None for a file of rows."""
        if self.table_format != "fasta":
            return None
        brought = [self.body] if self.lines is None else self.lines
        return None if "sequence" in brought else ", ".join(brought)

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
        suffixes = {f".{name}": name for name in ("csv", "tsv", "xlsx", "parquet", "jsonl", "fasta")}
        suffixes |= {".ndjson": "jsonl", ".fa": "fasta", ".faa": "fasta", ".3line": "fasta", ".dat": "swissprot"}
        suffixes |= dict.fromkeys((".pdb", ".ent", ".cif", ".mmcif", ".bcif"), "structure") | {".npy": "contacts"}
        suffix = Path(self.path_for_format.removesuffix(".gz")).suffix.lower()
        if suffix == ".zip":
            raise ValueError(f"{self.path_for_format} is an archive. Name the file inside it under member")
        if suffix not in suffixes:
            raise ValueError(
                f"cannot tell the format of {self.path_for_format}. Write format: csv, tsv, xlsx, parquet, jsonl, fasta, swissprot, structure or contacts"
            )
        return suffixes[suffix]

    @model_validator(mode="after")
    def _named(self) -> TableFile:
        if not self.name:
            object.__setattr__(self, "name", Path(self.path_for_format).name.split(".")[0])
        if not self.name:
            raise SpecError("nothing says which it is. Add it", "name")
        _ = self.table_format
        if self.joins is not None and self.lookup:
            raise SpecError("a file of sequences that rows name is joined to nothing. Remove joins, or lookup", "joins")
        for key in ("lines", "header_separator"):
            if getattr(self, key) is not None and self.table_format != "fasta":
                raise SpecError("this is for FASTA files. Remove it", key)
        if self.derives != "contacts" and self.table_format != "structure":
            raise SpecError("this is for structure files. Remove it", "derives")
        if self.separator is not None and self.table_format not in {"csv", "tsv"}:
            raise SpecError("this is for CSV and TSV files. Remove it", "separator")
        if self.sheet is not None and self.table_format != "xlsx":
            raise SpecError("this is for XLSX files. Remove it", "sheet")
        if self.decimal_comma and self.table_format not in {"csv", "tsv", "xlsx"}:
            raise SpecError("this is for CSV, TSV and XLSX files. Remove it", "decimal_comma")
        if self.header_separator is not None and self.header is None:
            raise SpecError("it says where parts of a header end. Name the parts under header", "header_separator")
        return self
