"""What a user's table seems to hold: which column is what, and which kind of problem it makes.

Guesses, for a person to look at; nothing here decides what a task means.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hubtools.common.errors import UserError, near
from hubtools.data.rows.labels import listed
from hubtools.data.sources.source_rows import cell_text
from hubtools.data.sources.streams import only_member, text_lines
from hubtools.data.sources.table_files import read_table
from hubtools.specs.data_sources import LocalFile
from hubtools.specs.level import PAIR, PROTEIN, RESIDUE, Kind
from hubtools.specs.problem import Problem, problem_of

_LETTERS = re.compile(r"[A-Za-z*.\- ]+")
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
_DECIMAL_COMMA = re.compile(r"[-+]?\d+,\d+")
_NUCLEOTIDES = set("ACGTUN")
_SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("valid", "validation", "val", "dev"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}
_NAMES = {
    "sequence": ("sequence", "seq", "protein_sequence", "aa_sequence", "aa_seq", "protein", "peptide", "primary"),
    "label": ("label", "labels", "target", "class", "y", "value", "score", "fitness"),
    "id": ("id", "accession", "entry", "uniprot", "uniprot_id", "protein_id", "name"),
}
SEPARATORS = (";", "|")
# Texts that are one class each: more than this are free text.
_MOST_CLASSES = 50


@dataclass(frozen=True)
class UserTable:
    """A user's table, read as bench will read it.

    Attributes:
        path: the file.
        options: keys that its entry under ``data.files`` needs beside the path.
        columns: cells by column, as :func:`hubtools.data.sources.table_files.read_table` gives them.
        notes: what was found about the file that its name does not say.
    """

    path: Path
    options: dict[str, Any]
    columns: dict[str, list[Any]]
    notes: tuple[str, ...] = ()

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


def read_sheet(path: Path, header: list[str] | None = None) -> UserTable:
    """Read a user's file.

    Args:
        path: CSV, TSV, Parquet or FASTA; also gzipped, or alone in a zip archive.
        header: names of the columns where the file has none.

    Raises:
        UserError: it cannot be read; the message says what it seems to be instead.
    """
    if not path.is_file():
        raise UserError(f"there is no file {path}", fix="Give a CSV, TSV, Parquet or FASTA file.")
    if path.suffix.lower() in {".xlsx", ".xls", ".ods"}:
        raise UserError("a spreadsheet cannot be read", where=str(path), fix="Save it as CSV (UTF-8).")
    options: dict[str, Any] = {"member": only_member(path)} if path.suffix.lower() == ".zip" else {}
    options |= {"header": header} if header else {}
    notes: list[str] = []
    try:
        file = LocalFile(path=path, **options)
        kind = file.table_format
    except ValueError:
        raise UserError(
            "cannot tell its format by its name", where=str(path), fix="Call it .csv, .tsv, .parquet or .fasta."
        ) from None
    if kind in {"csv", "tsv"}:
        first = next(text_lines(file, path, bar=False), "")
        counts = {separator: first.count(separator) for separator in ",\t;"}
        given = "," if kind == "csv" else "\t"
        likely = max(counts, key=lambda separator: counts[separator])
        if counts[likely] and not counts[given]:
            if likely == ";":
                raise UserError(
                    "its fields are separated by semicolons", where=str(path), fix="Save it with commas or tabs."
                )
            options["format"] = "tsv" if likely == "\t" else "csv"
            notes.append(
                f"its fields are separated by {'tabs' if likely == chr(9) else 'commas'}, whatever its name says"
            )
    table = read_table(LocalFile(path=path, **options), path)
    sheet = UserTable(path, options, {str(name): table[name].tolist() for name in table.columns}, tuple(notes))
    if (
        header is None
        and kind in {"csv", "tsv"}
        and any(_protein([name]) or _NUMBER.fullmatch(name) for name in sheet.columns)
    ):
        raise UserError(
            "its first line is data, not the names of columns",
            where=str(path),
            fix="Write names there, or name the columns: --header id,sequence,label.",
        )
    return sheet


def _protein(cells: list[Any]) -> bool:
    """Whether cells look like sequences: long runs of many kinds of letters, all of one case."""
    texts = [cell.strip() for cell in cells if isinstance(cell, str) and cell.strip()]
    if not texts:
        return False
    fitting = [text for text in texts if _LETTERS.fullmatch(text) and text in {text.upper(), text.lower()}]
    spaced = sum(" " in text.strip() for text in fitting) > len(fitting) / 2
    lengths = sorted(map(len, fitting))
    kinds = set("".join(fitting[:200]).upper()) - set("*.- ")
    # Structure strings (H, E, C and the like) are letters too, of few kinds.
    return len(fitting) >= 0.9 * len(texts) and lengths[len(lengths) // 2] >= 6 and len(kinds) > 9 and not spaced


def sequence_columns(sheet: UserTable) -> list[str]:
    """The columns that look like protein sequences, the likeliest first.

    Raises:
        UserError: what is there are nucleotides.
    """
    found = [name for name, cells in sheet.columns.items() if _protein(cells)]
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


def split_rules(sheet: UserTable, column: str) -> dict[str, str]:
    """Which value of a column is which split; further values are further test splits where both usual ones are there."""
    values = list(dict.fromkeys(text for text in sheet.texts(column) if text))
    rules = {_SPLITS[value.lower()]: value for value in reversed(values) if value.lower() in _SPLITS}
    order = [name for name in ("train", "validation", "test") if name in rules]
    more = {re.sub(r"[^a-z0-9]+", "_", v.lower()).strip("_"): v for v in values if v.lower() not in _SPLITS}
    return {name: rules[name] for name in order} | {n: v for n, v in more.items() if re.fullmatch(r"test_?\w*", n)}


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
        values = {text.lower() for text in sheet.texts(name)} - {""}
        if name not in taken and len(values) <= 8 and {"train", "test"} <= {_SPLITS.get(value) for value in values}:
            return name
    return None


def label_columns(sheet: UserTable, taken: set[str]) -> list[str]:
    """The columns that may be the label: those called so, else all that are left."""
    left = [name for name in sheet.columns if name not in taken]
    named = sorted((name for name in left if name.lower() in _NAMES["label"]), key=lambda name: _rank(name, "label"))
    return named[:1] or left


def refuse_label(sheet: UserTable, sequence: str, label: str) -> None:
    """Raise for a label column that cannot be one: sequences, one value only, empty cells, decimal commas."""
    where, texts = str(sheet.path), sheet.texts(label)
    if _protein(sheet.columns[label]) and not _protein(sheet.columns[sequence]):
        raise UserError(
            f"the column {sequence!r} holds no sequences, {label!r} does",
            where=where,
            fix=f"Swap them: --sequence {label} --label {sequence}.",
        )
    filled = [text for text in texts if text]
    if filled and sum(bool(_DECIMAL_COMMA.fullmatch(text)) for text in filled) > 0.5 * len(filled):
        example = next(text for text in filled if _DECIMAL_COMMA.fullmatch(text))
        raise UserError(
            f"the column {label!r} holds numbers with decimal commas ({example})",
            where=where,
            fix=f"Write a point: {example.replace(',', '.')}.",
        )
    if len(set(filled)) == 1:
        raise UserError(
            f"the column {label!r} has one value, {filled[0]!r}: there is nothing to learn",
            where=where,
            fix="Name another column: --label.",
        )


def refuse_empty(sheet: UserTable, column: str, what: str) -> None:
    """Raise where cells of a column are empty."""
    if empty := [number for number, text in enumerate(sheet.texts(column), 1) if not text]:
        raise UserError(
            f"row {empty[0]:,} has no {what} ({column!r} is empty in {len(empty):,} rows)",
            where=str(sheet.path),
            fix="Complete or remove these rows.",
        )


def guess_problem(sheet: UserTable, sequence: str, label: str, partner: str | None) -> Problem | None:
    """The kind of problem that a label column makes; None where the data do not say."""
    cells = sheet.columns[label]
    pairs = [(cell, text) for cell, text in zip(cells, sheet.texts(sequence), strict=True) if cell_text(cell)]
    if not pairs:
        return None
    level, kind = PROTEIN if partner is None else PAIR, None
    if partner is None and (kind := _residue_kind(pairs)) is not None:
        level = RESIDUE
    kind = kind or _kind([cell_text(cell) for cell, _ in pairs])
    return None if kind is None else problem_of(level, kind)


def _kind(texts: list[str]) -> Kind | None:
    """What one label a row is, by all of them; None where they do not say."""
    if label_separator(texts):
        return "multilabel"
    distinct = set(texts)
    if all(_NUMBER.fullmatch(text) for text in distinct):
        whole = all(float(text).is_integer() for text in distinct)
        if len(distinct) <= 2 or (whole and len(distinct) <= 10 and len(texts) >= 5 * len(distinct)):
            return "classification"
        # Whole numbers that come back may be counts, or names of classes.
        return None if whole and len(distinct) <= len(texts) / 2 else "regression"
    if len(distinct) <= _MOST_CLASSES and len(distinct) <= max(2, len(texts) / 2):
        return "classification"
    return None


def _residue_kind(pairs: list[tuple[Any, str]]) -> Kind | None:
    """The kind of labels that are about as long as the sequences: off by one is a mistake, told when loading."""
    lists = [listed(cell) for cell, _ in pairs]
    if all(values is not None for values in lists):
        if not _about_as_long([(len(values or ()), len(s)) for values, (_, s) in zip(lists, pairs, strict=True)]):
            return None
        values = [value for cell in lists for value in cell or ()]
        if isinstance(values[0], (list, tuple)):
            return "multilabel"
        if all(isinstance(value, (int, str, bool)) for value in values) and len(set(values)) <= _MOST_CLASSES:
            return "classification"
        return "regression"
    numbers = [_numbers(cell) for cell, _ in pairs]
    if all(parts is not None for parts in numbers) and _about_as_long(
        [(len(parts or ()), len(s)) for parts, (_, s) in zip(numbers, pairs, strict=True)]
    ):
        return "regression"
    texts = ["".join(cell_text(cell).split()) for cell, _ in pairs]
    if _about_as_long([(len(text), len(s)) for text, (_, s) in zip(texts, pairs, strict=True)]):
        kinds = Counter("".join(texts))
        if len(kinds) <= 24 and max(map(len, texts)) > 5 and not any(separator in kinds for separator in ",;|"):
            return "classification"
    return None


def _numbers(cell: Any) -> list[float] | None:
    """The numbers of a cell, from a list or from text with commas, semicolons or spaces between them."""
    values = listed(cell)
    if values is None:
        values = [part for part in re.split(r"[\s,;]+", cell_text(cell)) if part]
    return [float(value) for value in values] if all(_NUMBER.fullmatch(str(value)) for value in values) else None


def outlying_value(sheet: UserTable, label: str) -> float | None:
    """A value per residue that comes back and is far from all others: perhaps it stands for no label."""
    counts = Counter(value for cell in sheet.columns[label] for value in _numbers(cell) or ())
    extreme = sorted(counts, key=abs)[-2:]
    if len(extreme) < 2 or counts[extreme[1]] < 10 or abs(extreme[1]) < 5 * abs(extreme[0]):
        return None
    return extreme[1]


def _about_as_long(lengths: list[tuple[int, int]]) -> bool:
    return sum(abs(got - length) <= 1 for got, length in lengths) >= 0.9 * len(lengths)


def label_separator(texts: list[str]) -> str | None:
    """What separates the labels of one protein, where parts come back in other rows."""
    for separator in SEPARATORS:
        if any(separator in text for text in texts):
            parts = Counter(part.strip() for text in texts for part in text.split(separator))
            if len(parts) <= _MOST_CLASSES and len(parts) < len(texts):
                return separator
    return None


def label_values(sheet: UserTable, label: str, problem: Problem) -> dict[str, int]:
    """The labels and how often each occurs: numbers by size, other texts by the alphabet, `no` before `yes`."""
    if problem.kind == "regression":
        return {}
    counts: Counter[str] = Counter()
    separator = label_separator(sheet.texts(label))
    for cell in sheet.columns[label]:
        values = listed(cell)
        if values is not None:
            for value in values:
                # One of 0 and 1 for each label: the labels have no names but their places.
                places = enumerate(value, 1) if isinstance(value, (list, tuple)) else None
                counts.update({str(at): int(has == 1) for at, has in places} if places else [_written(value)])
        elif problem.level.by_residue:
            counts.update("".join(cell_text(cell).split()))
        elif problem.kind == "multilabel" and separator:
            counts.update(part.strip() for part in cell_text(cell).split(separator) if part.strip())
        elif _written(cell):
            counts[_written(cell)] += 1

    def place(value: str) -> tuple[int, float, str]:
        negative = value.lower() in {"no", "non", "none", "false", "negative", "other"}
        number = float(value) if _NUMBER.fullmatch(value) else 0.0
        return (0 if _NUMBER.fullmatch(value) or negative else 1, number, value)

    return {value: counts[value] for value in sorted(counts, key=place)}


def _written(value: Any) -> str:
    return str(int(value)) if isinstance(value, float) and value.is_integer() else cell_text(value)


def variants_of_one(sheet: UserTable, sequence: str) -> bool:
    """Whether the sequences are variants of one protein, so that clusters would hold them all."""
    texts = [text for text in sheet.texts(sequence) if text][:500]
    if len(texts) < 3 or len({len(text) for text in texts}) > 1:
        return False
    same = [sum(a == b for a, b in zip(texts[0], text, strict=True)) / len(text) for text in texts[1:]]
    return sum(share >= 0.7 for share in same) >= 0.9 * len(same)
