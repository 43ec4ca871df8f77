"""What the labels of a user's table seem to be: which problem they make, what separates them, what stands for none.

Guesses, for a person to look at. Cells are taken apart by ``hubtools.data.rows.label_cells``, as a run will take them apart.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from typing import Any

from hubtools.common.errors import UserError
from hubtools.data.rows.inspection import NO_NUMBER, NUMBER, UserTable, looks_like_proteins
from hubtools.data.rows.label_cells import (
    flat,
    label_text,
    listed,
    number_entries,
    one_value,
    residue_characters,
    residue_entries,
    several_labels,
)
from hubtools.data.rows.labels import UNKNOWN_ALWAYS
from hubtools.data.sources.source_rows import cell_text
from hubtools.specs.level import PAIR, PROTEIN, RESIDUE, Kind
from hubtools.specs.problem import Problem, problem_of

_DECIMAL_COMMA = re.compile(r"[-+]?\d+,\d+")
# Between the labels of a protein, the likeliest first; between those of residues, besides, white space.
SEPARATORS = (";", "|", ",")
# Texts that are one class each: more than this are free text.
_MOST_CLASSES = 50


def refuse_label(sheet: UserTable, sequence: str, label: str) -> None:
    """Raise for a label column that cannot be one: sequences, one value only, no value, decimal commas."""
    where, texts = str(sheet.path), sheet.texts(label)
    if looks_like_proteins(sheet.columns[label]) and not looks_like_proteins(sheet.columns[sequence]):
        raise UserError(
            f"the column {sequence!r} holds no sequences, {label!r} does",
            where=where,
            fix=f"Swap them: --sequence {label} --label {sequence}.",
        )
    filled = [text for text in texts if text not in UNKNOWN_ALWAYS]
    if filled and sum(bool(_DECIMAL_COMMA.fullmatch(text)) for text in filled) > 0.5 * len(filled):
        example = next(text for text in filled if _DECIMAL_COMMA.fullmatch(text))
        raise UserError(
            f"the column {label!r} holds numbers with decimal commas ({example})",
            where=where,
            fix=f"Write a point: {example.replace(',', '.')}.",
        )
    guessed = guess_problem(sheet, sequence, label, None) if len(set(filled)) == 1 else None
    if len(set(filled)) <= 1 and (guessed is None or not guessed.level.by_residue):
        what = f"has one value, {filled[0]!r}" if filled else "is empty"
        raise UserError(
            f"the column {label!r} {what}: there is nothing to learn", where=where, fix="Name another column: --label."
        )


def guess_problem(sheet: UserTable, sequence: str, label: str, partner: str | None) -> Problem | None:
    """The kind of problem that a label column makes; None where the data do not say."""
    cells = sheet.columns[label]
    pairs = [(cell, text) for cell, text in zip(cells, sheet.texts(sequence), strict=True) if has_label(cell)]
    if not pairs:
        return None
    level, kind = PROTEIN if partner is None else PAIR, None
    if partner is None and (kind := _residue_kind(pairs)) is not None:
        level = RESIDUE
    kind = kind or _kind([cell for cell, _ in pairs])
    return None if kind is None else problem_of(level, kind)


def _kind(cells: list[Any]) -> Kind | None:
    """What one label a row is, by all of them; None where they do not say."""
    lists = [values for cell in cells if (values := listed(cell)) is not None]
    if any(len(values) != 1 for values in lists):
        return "multilabel"
    texts = [label_text(one_value(cell)) for cell in cells]
    if usual_separator(texts):
        return "multilabel"
    if _all_numbers(texts):
        return _kind_of_numbers(texts)
    distinct = set(texts)
    if len(distinct) <= _MOST_CLASSES and len(distinct) <= max(2, len(texts) / 2):
        return "classification"
    return None


def _kind_of_numbers(texts: list[str]) -> Kind | None:
    distinct = {text for text in texts if NUMBER.fullmatch(text)}
    whole = all(float(text).is_integer() for text in distinct)
    if len(distinct) <= 2 or (whole and len(distinct) <= 10 and len(texts) >= 5 * len(distinct)):
        return "classification"
    # Whole numbers that come back may be counts, or names of classes.
    return None if whole and len(distinct) <= len(texts) / 2 else "regression"


def _all_numbers(texts: Iterable[str]) -> bool:
    """Whether texts are numbers, but for some that stand for none."""
    others = {text for text in texts if not NUMBER.fullmatch(text)}
    return all(text in UNKNOWN_ALWAYS or text.lower() in NO_NUMBER for text in others)


def has_label(cell: Any) -> bool:
    """Whether a cell holds a label at all."""
    return isinstance(cell, (list, tuple)) or label_text(cell) not in UNKNOWN_ALWAYS


def _residue_kind(pairs: list[tuple[Any, str]]) -> Kind | None:
    """The kind of labels that are about as long as the sequences: off by one is a mistake, told when loading."""
    cells, lengths = [cell for cell, _ in pairs], [len(text) for _, text in pairs]
    lists = [listed(cell) for cell in cells]
    if all(values is not None for values in lists):
        entries = [values or [] for values in lists]
    else:
        between = residue_separator(cells, lengths)
        if between is None:
            return _kind_of_characters(cells, lengths)
        entries = [residue_entries(cell, between) or [] for cell in cells]
    if not _about_as_long([len(values) for values in entries], lengths):
        return None
    values = [value for cell in entries for value in cell if label_text(value) not in UNKNOWN_ALWAYS]
    if any(isinstance(value, (list, tuple)) for value in values):
        return "multilabel"
    texts = list(map(label_text, values))
    if not _all_numbers(texts):
        return "classification" if len(set(texts)) <= _MOST_CLASSES else None
    whole = all(NUMBER.fullmatch(text) is None or float(text).is_integer() for text in set(texts))
    # Whole numbers in a column of floats are what is left of classes beside NaN.
    if all(isinstance(value, (int, str)) for value in values):
        return "classification" if whole and len(set(texts)) <= _MOST_CLASSES else "regression"
    return _kind_of_numbers(texts) or "regression"


def _kind_of_characters(cells: list[Any], lengths: list[int]) -> Kind | None:
    texts = [residue_characters(cell) for cell in cells]
    if not _about_as_long([len(text) for text in texts], lengths):
        return None
    kinds = Counter("".join(texts))
    usual = len(kinds) <= 24 and max(map(len, texts)) > 5 and not any(separator in kinds for separator in SEPARATORS)
    return "classification" if usual else None


def residue_separator(cells: Iterable[Any], lengths: Iterable[int]) -> str | None:
    """What stands between the labels of residues, where there are as many of them as residues; None for other texts."""
    pairs = [
        (cell, length)
        for cell, length in zip(cells, lengths, strict=True)
        if isinstance(cell, str) and not listed(cell)
    ]
    for separator in (*SEPARATORS, " "):
        found = [len(residue_entries(cell, separator) or ()) for cell, _ in pairs if separator.strip() or " " in cell]
        separated = pairs and len(found) == len(pairs) and max(found) > 1
        if separated and _about_as_long(found, [length for _, length in pairs]):
            return separator
    return None


def outlying_value(sheet: UserTable, label: str) -> float | None:
    """A value per residue that comes back and is far from all others: perhaps it stands for no label."""
    texts = (label_text(value) for cell in sheet.columns[label] for value in number_entries(cell))
    counts = Counter(float(text) for text in texts if NUMBER.fullmatch(text))
    extreme = sorted(counts, key=abs)[-2:]
    if len(extreme) < 2 or counts[extreme[1]] < 10 or abs(extreme[1]) < 5 * abs(extreme[0]):
        return None
    return extreme[1]


def _about_as_long(found: list[int], lengths: list[int]) -> bool:
    return sum(abs(got - length) <= 1 for got, length in zip(found, lengths, strict=True)) >= 0.9 * len(lengths)


def usual_separator(texts: list[str]) -> str | None:
    """What separates the labels of one protein, where parts come back in other rows.

    A comma does where a part is also the whole of a cell: else it may belong to the name of a class.
    """
    whole = set(texts)
    for separator in SEPARATORS:
        if any(separator in text for text in texts):
            parts = Counter(part for text in texts for part in several_labels(text, separator))
            together = {part for text in whole if separator in text for part in several_labels(text, separator)}
            usual = separator != "," or (not _all_numbers(parts) and not together.isdisjoint(whole))
            if usual and len(parts) <= _MOST_CLASSES and len(parts) < len(texts):
                return separator
    return None


def separators_in(sheet: UserTable, label: str) -> list[str]:
    """The usual separators that cells of a column hold, of those that are no lists."""
    texts = [cell_text(cell) for cell in sheet.columns[label] if listed(cell) is None]
    return [separator for separator in SEPARATORS if any(separator in text for text in texts)]


def entries_of(cell: Any, problem: Problem, separator: str | None) -> list[Any]:
    """The labels in a cell, each as it is written."""
    if problem.level.by_residue:
        if problem.kind == "regression":
            return number_entries(cell)
        values = residue_entries(cell, separator)
        return [*residue_characters(cell)] if values is None else list(flat(values))
    return list(several_labels(cell, separator)) if problem.kind == "multilabel" else [one_value(cell)]


def unknown_labels(sheet: UserTable, label: str, problem: Problem, separator: str | None) -> dict[str, int]:
    """What stands for no label, and how often: the empty text for null, NaN and an empty cell.

    A number that only people take for "none", such as 999, is not among them: it is asked about.

    Raises:
        UserError: of several labels of a protein some cells are empty and others null, so that it cannot be told which of
            them mean none of the labels.
    """
    found: Counter[str] = Counter()
    number = problem.kind == "regression"
    several = problem.kind == "multilabel" and not problem.level.by_residue

    def unknown(text: str) -> bool:
        if number:
            return text != "-100" and (text in UNKNOWN_ALWAYS or text.lower() in NO_NUMBER)
        return text in UNKNOWN_ALWAYS

    empty = 0
    for cell in sheet.columns[label]:
        whole = cell if problem.level.by_residue else one_value(cell)
        text = "" if isinstance(whole, (list, tuple)) else label_text(whole)
        if several and isinstance(cell, str) and not text:
            # An empty cell says of several labels that there is none of them; null says nothing.
            empty += 1
        elif not isinstance(whole, (list, tuple)) and unknown(text):
            found[text] += 1
        elif problem.level.by_residue:
            found.update(text for value in entries_of(cell, problem, separator) if unknown(text := label_text(value)))
    if empty and "" in found:
        raise UserError(
            f"the column {label!r} is empty in {empty:,} rows and null in {found['']:,}",
            where=str(sheet.path),
            fix="Write [] where a protein has none of the labels, and null where they are not known.",
        )
    return dict(found)


def label_values(
    sheet: UserTable, label: str, problem: Problem, separator: str | None, masked: Iterable[str]
) -> dict[str, int]:
    """The labels and how often each occurs: numbers by size, other texts by the alphabet, `no` before `yes`.

    Raises:
        UserError: the labels of a protein are 0 and 1, one for each label, without their names.
    """
    if problem.kind == "regression":
        return {}
    counts: Counter[str] = Counter()
    unknown = {"", *masked}
    for cell in sheet.columns[label]:
        values = listed(cell)
        if values is None and label_text(cell) in unknown:
            continue
        if problem.level.by_residue and values and any(isinstance(value, (list, tuple)) for value in values):
            # One of 0 and 1 for each label: the labels have no names but their places.
            for value in values:
                places = enumerate(value, 1) if isinstance(value, (list, tuple)) else ()
                counts.update({str(at): int(has == 1) for at, has in places})
        else:
            counts.update(map(label_text, entries_of(cell, problem, separator)))
    for text in unknown:
        counts.pop(text, None)
    if problem.kind == "multilabel" and not problem.level.by_residue and set(counts) == {"0", "1"}:
        raise UserError(
            f"the column {label!r} holds 0 and 1 for each label, without their names",
            where=str(sheet.path),
            fix="Write the names of the labels that a protein has: nucleus;membrane.",
        )

    def place(value: str) -> tuple[int, float, str]:
        negative = value.lower() in {"no", "non", "none", "false", "negative", "other"}
        number = float(value) if NUMBER.fullmatch(value) else 0.0
        return (0 if NUMBER.fullmatch(value) or negative else 1, number, value)

    return {value: counts[value] for value in sorted(counts, key=place)}


def spellings(values: Iterable[str]) -> dict[str, list[str]]:
    """Labels that differ by capitals alone, by their text without them."""
    found: dict[str, list[str]] = {}
    for value in values:
        found.setdefault(value.casefold(), []).append(value)
    return {key: same for key, same in found.items() if len(same) > 1}
