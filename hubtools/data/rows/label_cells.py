"""What a cell of a label column holds, before anything is made of it: the one parser of ``bench tasks new`` and of a run.

A cell is a value, text, or a list. A list may be text: as JSON writes it, as Python writes lists, tuples and sets (what
pandas puts into a CSV file), or as numpy writes an array (``['H' 'E']``, ``[0. 1. nan]``). White space at the ends is no
part of a label, and a run of it inside is one space; case counts.
"""

from __future__ import annotations

import ast
import itertools
import re
from collections.abc import Iterator
from typing import Any

from hubtools.common.bounds import DEEPEST, json_values
from hubtools.common.readers import reads
from hubtools.data.sources.source_rows import cell_text

# A list of labels, of lists of them; numpy's names around each.
_DEEPEST = 6
_CLOSING = {"[": "]", "(": ")", "{": "}"}
# Text in quotes, what numpy writes around its scalars, a bracket, a word.
_TOKEN = re.compile(
    r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|(?:np\.|numpy\.)?[a-z_]\w*\(|[\[\](){},]|[^\s\[\](){},'"]+"""
)
_WORDS = {"None": None, "null": None, "nan": None, "NaN": None, "<NA>": None, "True": True, "False": False}
_WORDS |= {"true": True, "false": False}
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
# Between numbers, and between what a separator without a character of its own keeps apart.
_BETWEEN_NUMBERS = re.compile(r"\s*[,;]\s*|\s+")


def label_text(value: Any) -> str:
    """A value as a label: 1 for 1.0, since a column may have been read as numbers; empty for null, NaN and nothing."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return " ".join(cell_text(value).split())


@reads("label cell", refuses=())
def listed(cell: Any) -> list[Any] | None:
    """A list cell, or text that is one; None for other text."""
    if isinstance(cell, (list, tuple)):
        return list(cell)
    text = cell.strip() if isinstance(cell, str) else ""
    if not text or _CLOSING.get(text[0]) != text[-1] or _depth(text) > DEEPEST:
        return None
    if text[0] == "[":
        try:
            return list(json_values(text))
        except ValueError:
            pass
    if not re.search(r"""['"]\s*['"]""", text):  # Python would join 'a' 'b', which are two labels to numpy.
        try:
            found = ast.literal_eval(text)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            found = None
        # (2) and (R) are texts, as is {"a": 1}.
        if isinstance(found, (list, tuple, set)):
            return sorted(found, key=str) if isinstance(found, set) else list(found)
    return _tokens_listed(text) if text[0] == "[" else None


def _depth(text: str) -> int:
    """How many brackets are open at once, at most."""
    return max(itertools.accumulate((c in _CLOSING) - (c in _CLOSING.values()) for c in text), default=0)


def _tokens_listed(text: str) -> list[Any] | None:
    """A list whose entries have commas or only white space between them; None where a word in it is no value."""
    stack: list[list[Any]] = [[]]
    called: list[bool] = []  # Whether an open bracket is that of numpy.float64( or array(: one value, not a list.
    for token in _TOKEN.findall(text):
        if token == ",":
            continue
        if token[-1] in "[({" and token[0] not in "'\"":
            if len(stack) > _DEEPEST:
                return None
            called.append(len(token) > 1)
            stack.append([])
        elif token in _CLOSING.values():
            if not called:
                return None
            entries = stack.pop()
            inner = called.pop()
            # What follows in array([...], dtype=object) is about the array.
            stack[-1].append(entries[0] if inner and entries else entries)
        elif token[0] in "'\"":
            stack[-1].append(_quoted(token))
        elif token in _WORDS:
            stack[-1].append(_WORDS[token])
        elif _NUMBER.fullmatch(token):
            number = float(token)
            stack[-1].append(int(number) if number.is_integer() and "e" not in token.lower() else number)
        elif not (called and called[-1] and token.startswith("dtype=")):
            return None
    return stack[0][0] if not called and len(stack[0]) == 1 and isinstance(stack[0][0], list) else None


def _quoted(token: str) -> str:
    """The text in quotes, as Python and numpy write it."""
    try:
        return str(ast.literal_eval(token))
    except (ValueError, SyntaxError):
        return re.sub(r"\\(.)", r"\1", token[1:-1])


def one_value(cell: Any) -> Any:
    """The one label of a row: that of a list of one, too."""
    values = listed(cell)
    return values[0] if values is not None and len(values) == 1 else cell


@reads("label cell", refuses=())
def several_labels(cell: Any, separator: str | None) -> list[str]:
    """The labels of one row, none of them empty: entries of a list, or what stands between separators."""
    values = listed(cell)
    if values is None:
        text = cell_text(cell)
        values = text.split(separator) if separator else [text]
    return [text for value in values if (text := label_text(value))]


@reads("label cell", refuses=())
def residue_entries(cell: Any, separator: str | None, length: int | None = None) -> list[Any] | None:
    """One entry a residue: of a list, or what stands between separators; None for text of one character a residue.

    Two separators that follow each other have an empty entry between them. One at the end ends the last entry, or begins
    an empty one where that makes as many as there are residues.

    Args:
        cell: of the label column.
        separator: between entries, where they are more than a character each.
        length: residues, where that is known.
    """
    values = listed(cell)
    if values is not None or not separator:
        return values
    text = cell_text(cell)
    return _ended([part.strip() for part in text.split(separator)], length) if separator.strip() else text.split()


@reads("label cell", refuses=())
def number_entries(cell: Any, length: int | None = None) -> list[Any]:
    """The same where entries are numbers: of a list, or with commas, semicolons or white space between."""
    values = listed(cell)
    return _ended(_BETWEEN_NUMBERS.split(cell_text(cell)), length) if values is None else values


def _ended(parts: list[str], length: int | None) -> list[str]:
    return parts[:-1] if not parts[-1] and len(parts) != length else parts


def residue_characters(cell: Any) -> str:
    """Text of one character a residue, without white space."""
    return "".join(cell_text(cell).split())


def flat(values: list[Any]) -> Iterator[Any]:
    """The values of a list and of the lists in it."""
    for value in values:
        if isinstance(value, (list, tuple)):
            yield from value
        else:
            yield value
