"""What a user's table seems to hold: which column is what, and which kind of problem it makes.

Guesses, for a person to look at; nothing here decides what a task means.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from hubtools.common.errors import UserError, near
from hubtools.common.files import is_file
from hubtools.common.readers import reads
from hubtools.data.sources.fasta import labels_below
from hubtools.data.sources.recognised import recognised
from hubtools.data.sources.source_rows import cell_text
from hubtools.data.sources.streams import text_lines
from hubtools.data.sources.table_files import DECIMAL_COMMA, read_table
from hubtools.specs.data_sources import LocalFile

_LETTERS = re.compile(r"[A-Za-z*.\- ]+")
NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
# What stands for no value, where all else are numbers.
NO_NUMBER = {"na", "none", "-", "?", ".", "n.d.", "nd", "missing"}
# Lines at the top of a FASTA file that say how its headers are written.
_HEADERS = 3000
_NUCLEOTIDES = set("ACGTUN")
# Formats whose cells are text, as a person wrote them.
_TEXT_CELLS = {"csv", "tsv", "xlsx"}
# What splits are called, without capitals and what stands between words; "set" may follow each.
_SPLITS = {
    **dict.fromkeys(("train", "training", "trn"), "train"),
    **dict.fromkeys(("valid", "validation", "validate", "val", "dev", "development"), "validation"),
    **dict.fromkeys(("test", "testing", "tst"), "test"),
}
_NAMES = {
    "sequence": ("sequence", "seq", "protein_sequence", "aa_sequence", "aa_seq", "protein", "peptide", "primary"),
    "label": ("label", "labels", "target", "class", "y", "value", "score", "fitness"),
    "id": ("id", "accession", "entry", "uniprot", "uniprot_id", "protein_id", "name"),
}


@dataclass(frozen=True)
class UserTable:
    """A user's table, read as bench will read it.

    Attributes:
        path: the file.
        options: keys that its entry under ``data.files`` needs beside the path.
        columns: cells by column, as :func:`hubtools.data.sources.table_files.read_table` gives them.
        notes: what was found about the file that its name does not say.
        files: where there are several, each with its options; rows of the first stand first.
    """

    path: Path
    options: dict[str, Any]
    columns: dict[str, list[Any]]
    notes: tuple[str, ...] = ()
    files: tuple[tuple[Path, dict[str, Any]], ...] = ()

    @property
    def all_files(self) -> tuple[tuple[Path, dict[str, Any]], ...]:
        """Each file with its options."""
        return self.files or ((self.path, self.options),)

    def texts(self, column: str) -> list[str]:
        """The cells of a column as text."""
        return [cell_text(cell) for cell in self.columns[column]]

    def require(self, column: str, flag: str) -> str:
        """The column, which must be there.

        Raises:
            UserError: it is not; names the nearest.
        """
        if column not in self.columns:
            raise UserError(
                f"{flag}: there is no column {column!r}", where=str(self.path), fix=near(column, self.columns)
            )
        return column


@reads("table of a new task")
def read_sheet(path: Path, header: list[str] | None = None) -> UserTable:
    """Read a user's file.

    Args:
        path: XLSX, CSV, TSV, Parquet, JSON lines or FASTA; also gzipped, or alone in a zip archive.
        header: names of the columns where the file has none.

    Raises:
        UserError: it cannot be read; the message says what it seems to be instead.
    """
    if not is_file(path):
        raise UserError(f"there is no file {path}", fix="Give an XLSX, CSV, TSV, Parquet, JSON lines or FASTA file.")
    options, notes = recognised(path, {"header": header} if header else {})
    kind = LocalFile(path=path, **options).table_format
    if kind == "fasta":
        notes += _fasta_options(path, options)
    table = read_table(LocalFile(path=path, **options), path)
    if commas := [str(name) for name in table.columns if kind in _TEXT_CELLS and _has_decimal_commas(table[name])]:
        options["decimal_comma"] = commas
        notes.append(f"numbers with decimal commas are read with a point: {', '.join(commas)}")
        table = read_table(LocalFile(path=path, **options), path)
    sheet = UserTable(path, options, {str(name): table[name].tolist() for name in table.columns}, tuple(notes))
    if (
        header is None
        and kind in _TEXT_CELLS
        and any(looks_like_proteins([name]) or NUMBER.fullmatch(name) for name in sheet.columns)
    ):
        raise UserError(
            "its first line is data, not the names of columns",
            where=str(path),
            fix="Write names there, or name the columns: --header id,sequence,label.",
        )
    return sheet


@reads("tables of a new task")
def read_sheets(paths: Sequence[Path], header: list[str] | None = None) -> UserTable:
    """Read the files of one task: one table, or several, each of one class or of one split.

    Of several, what their names are is what their rows are: a split each where all are names of splits (``train.fasta``,
    ``test.fasta``), else a class each (``nucleus.fasta``, ``membrane.fasta``).

    Raises:
        UserError: one cannot be read, two have one name, or they have different columns.
    """
    if len(paths) == 1:
        return read_sheet(paths[0], header)
    names = [path.name.removesuffix(".gz").split(".")[0] for path in paths]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise UserError(f"two files are called {twice!r}", fix="Call each as its class, or its split.")
    sheets = [read_sheet(path, header) for path in paths]
    splits = all(split_of(name) for name in names)
    role = "set" if splits else "label"
    while any(role in sheet.columns for sheet in sheets):
        role += "_of_file"
    for path, sheet in zip(paths, sheets, strict=True):
        if other := set(sheet.columns) ^ set(sheets[0].columns):
            raise UserError(
                f"it has other columns than {paths[0]} ({', '.join(sorted(other))})",
                where=str(path),
                fix="Give files of the same columns.",
            )
    columns = {name: [cell for sheet in sheets for cell in sheet.columns[name]] for name in sheets[0].columns}
    columns[role] = [
        name for name, sheet in zip(names, sheets, strict=True) for _ in next(iter(sheet.columns.values()))
    ]
    files = tuple(
        (path, {**sheet.options, "adds": {role: name}}) for path, name, sheet in zip(paths, names, sheets, strict=True)
    )
    notes = [*dict.fromkeys(note for sheet in sheets for note in sheet.notes)]
    notes.append(f"{len(paths)} files: the name of each is the {'split' if splits else 'class'} of its rows ({role})")
    return UserTable(paths[0], files[0][1], columns, tuple(notes), files)


def _has_decimal_commas(cells: Iterable[Any]) -> bool:
    """Whether cells are numbers, most of them with one comma in the place of a point (``1,2;3`` are several, and ``1,2`` among 1 and 2 may be)."""
    filled = [text for text in map(cell_text, cells) if text and text.lower() not in NO_NUMBER]
    commas = [text for text in filled if DECIMAL_COMMA.fullmatch(text)]
    others = all(NUMBER.fullmatch(text) for text in filled if "," not in text)
    return others and len(commas) > len(filled) / 2 and sum("," in text for text in filled) == len(commas)


def _fasta_options(path: Path, options: dict[str, Any]) -> list[str]:
    """How the entries of a FASTA file are read, added to the options, and what is to be said of that."""
    file = LocalFile(path=path, **options)
    lines = list(islice(text_lines(file, path, bar=False), _HEADERS))
    headers = [line for line in lines if line.startswith(">")]
    names = options.get("header")
    if names and len(names) > 1 and headers and all(header.count("|") + 1 == len(names) for header in headers):
        options["header_separator"] = "|"
    said = _header_parts(headers, options) if not names else []
    if not labels_below(text_lines(file, path, bar=False), file.path_for_format):
        return said
    for key in ("header", "header_separator") if said else ():
        options.pop(key, None)
    column = "label" if not any("label=" in header for header in headers) else "residue_label"
    options["lines"] = ["sequence", column]
    return [f"below each sequence is a line of labels, one for each residue: read as the column {column!r}"]


def _header_parts(headers: list[str], options: dict[str, Any]) -> list[str]:
    """What the parts of headers such as ``>P1|nucleus|train`` or ``>P1 nucleus`` are, added to the options, and said.

    The first part names each protein; of the others one says train and test, at most, and one is the label. Headers of UniProt
    (``>sp|P12345|NAME``), and those with KEY=VALUE, are read otherwise.
    """
    if not headers or any("=" in header or header.startswith((">sp|", ">tr|")) for header in headers):
        return []
    for mark in ("|", None):
        parts = [[part.strip() for part in header[1:].strip().split(mark)] for header in headers]
        count = len(parts[0])
        if count not in (2, 3) or any(len(found) != count or not all(found) for found in parts):
            continue
        columns = list(zip(*parts, strict=True))
        if len(set(columns[0])) < len(columns[0]):
            continue
        splits = [place for place in range(1, count) if all(split_of(value) for value in columns[place])]
        labels = [place for place in range(1, count) if place not in splits]
        if len(splits) != count - 2 or len(set(columns[labels[0]])) > max(2, len(headers) / 2):
            continue
        names = ["id" if not place else "set" if place in splits else "label" for place in range(count)]
        options["header"] = names
        if mark:
            options["header_separator"] = mark
        return [
            f"its headers are read as {(mark or ' ').join(names)}, such as {headers[0][:60]} (--header says otherwise)"
        ]
    return []


def looks_like_proteins(cells: list[Any]) -> bool:
    """Whether cells look like sequences: long runs of many kinds of letters, all of one case.

    Words look so, too (nucleus, membrane): of them more letters are O, U or J, and few, short and in small letters, come back.
    """
    texts = [cell.strip() for cell in cells if isinstance(cell, str) and cell.strip()]
    if not texts:
        return False
    fitting = [text for text in texts if _LETTERS.fullmatch(text) and text in {text.upper(), text.lower()}]
    spaced = sum(" " in text.strip() for text in fitting) > len(fitting) / 2
    lengths = sorted(map(len, fitting))
    letters = "".join(fitting[:200]).upper()
    kinds = set(letters) - set("*.- ")
    if sum(map(letters.count, "OUJ")) > 0.02 * len(letters):
        return False
    distinct = set(fitting) if len(fitting) > 2 else set()
    if (
        distinct
        and len(distinct) <= max(2, len(fitting) / 5)
        and all(text.islower() and len(text) < 30 for text in distinct)
    ):
        return False
    # Structure strings (H, E, C and the like) are letters too, of few kinds.
    return len(fitting) >= 0.9 * len(texts) and lengths[len(lengths) // 2] >= 6 and len(kinds) > 9 and not spaced


def sequence_columns(sheet: UserTable) -> list[str]:
    """The columns that look like protein sequences, the likeliest first.

    Raises:
        UserError: what is there are nucleotides.
    """
    found = [name for name, cells in sheet.columns.items() if looks_like_proteins(cells)]
    for name in sheet.columns:
        if not found and name.lower() in _NAMES["sequence"]:
            refuse_nucleotides(sheet, name)
    return sorted(found, key=lambda name: _rank(name, "sequence"))


def refuse_nucleotides(sheet: UserTable, column: str) -> None:
    """Raise where most sequences are made of A, C, G, T, U and N alone."""
    texts = [text.upper() for text in sheet.texts(column) if text]
    suspicious = sum(len(text) >= 6 and set(text) <= _NUCLEOTIDES for text in texts)
    if texts and suspicious > len(texts) / 2:
        raise UserError(
            f"the column {column!r} holds nucleotides, not proteins ({suspicious:,} of {len(texts):,} rows are A, C, G, T, U)",
            where=str(sheet.path),
            fix="Translate them first.",
        )


def _rank(name: str, role: str) -> int:
    names = _NAMES[role]
    return names.index(name.lower()) if name.lower() in names else len(names)


def id_column(sheet: UserTable, taken: set[str]) -> str | None:
    """The column with a name that ids have and a different text in each row."""
    named = sorted(
        (n for n in sheet.columns if n.lower() in _NAMES["id"] and n not in taken), key=lambda n: _rank(n, "id")
    )
    for name in named:
        texts = sheet.texts(name)
        if "" not in texts and len(set(texts)) == len(texts):
            return name
    return None


def split_of(value: str) -> str | None:
    """The split that a text is a name of, in any spelling: ``train`` for ``Training_set``; None for other texts.

    Further test splits keep their own name: ``test_hard`` for ``Test-hard``.
    """
    name = re.sub(r"[^a-z0-9]+", "_", value.lower()).strip("_")
    known = _SPLITS.get(re.sub(r"_?(set|split|data)$", "", name))
    return known or (name if re.fullmatch(r"test_?\w*", name) else None)


def split_rules(sheet: UserTable, column: str) -> dict[str, list[str]]:
    """Which values of a column are which split; further values are further test splits where both usual ones are there."""
    rules: dict[str, list[str]] = {}
    for value in dict.fromkeys(sheet.texts(column)):
        if (name := split_of(value)) is not None:
            rules.setdefault(name, []).append(value)
    order = [name for name in ("train", "validation", "test") if name in rules]
    return {name: rules[name] for name in [*order, *(name for name in rules if name not in order)]}


def of_no_split(sheet: UserTable, column: str) -> dict[str, int]:
    """The values of a column that are the name of no split, and how many rows have each."""
    return {value: n for value, n in Counter(sheet.texts(column)).items() if split_of(value) is None}


def validation_flag(sheet: UserTable, taken: set[str]) -> tuple[str, list[str], list[str]] | None:
    """A column that marks some training rows as validation: its name, its values that do and those that do not."""
    for name in sheet.columns:
        values = list(dict.fromkeys(sheet.texts(name)))
        marking = [value for value in values if value.lower() in {"true", "1", "1.0", "yes"}]
        rest = [value for value in values if value not in marking]
        unmarked = all(value.lower() in {"", "false", "0", "0.0", "no"} for value in rest)
        if (
            name.lower() in {"validation", "valid", "is_validation"}
            and name not in taken
            and marking
            and rest
            and unmarked
        ):
            return name, marking, rest
    return None


def split_column(sheet: UserTable, taken: set[str]) -> str | None:
    """The column that says train and test."""
    for name in sheet.columns:
        values = {split_of(text) or text.lower() for text in set(sheet.texts(name)) - {""}}
        if name not in taken and len(values) <= 8 and {"train", "test"} <= values:
            return name
    return None


def label_columns(sheet: UserTable, taken: set[str]) -> list[str]:
    """The columns that may be the label: those called so, else all that are left and could be learnt."""
    left = [name for name in sheet.columns if name not in taken]
    named = sorted((name for name in left if name.lower() in _NAMES["label"]), key=lambda name: _rank(name, "label"))
    return named[:1] or [name for name in left if _learnable(sheet.texts(name))] or left


def _learnable(texts: Sequence[str]) -> bool:
    """Whether cells could be labels: not all of them alike, nor words of which each stands once, as names do."""
    different = set(texts)
    names = len(different) == len(texts) and not all(NUMBER.fullmatch(text) for text in different)
    return len(different) > 1 and not names


def refuse_empty(sheet: UserTable, column: str, what: str) -> None:
    """Raise where cells of a column are empty."""
    if empty := [number for number, text in enumerate(sheet.texts(column), 1) if not text]:
        raise UserError(
            f"row {empty[0]:,} has no {what} ({column!r} is empty in {len(empty):,} rows)",
            where=str(sheet.path),
            fix="Complete or remove these rows.",
        )


def variants_of_one(sheet: UserTable, sequence: str) -> bool:
    """Whether the sequences are variants of one protein, so that clusters would hold them all."""
    texts = [text for text in sheet.texts(sequence) if text][:500]
    if len(texts) < 3 or len({len(text) for text in texts}) > 1:
        return False
    same = [sum(a == b for a, b in zip(texts[0], text, strict=True)) / len(text) for text in texts[1:]]
    return sum(share >= 0.7 for share in same) >= 0.9 * len(same)
