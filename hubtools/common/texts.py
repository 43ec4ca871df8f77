"""Texts that may be shown anywhere: one line, and nothing that a terminal, a page or a program would act on.

Every text of a spec or a record reaches a card, a page, a table or a shell sooner or later. A line break in a label puts
a line of its own into the code of a card, an escape rewrites the terminal, and a direction mark shows code in another
order than it runs in (CVE-2021-42574). So none of them gets in.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic import BaseModel

# Of control characters (Cc) those beyond ASCII's first, line and paragraph separators, and the marks that change the
# direction of writing.
_HIDDEN = r"\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069"
# Half a character, as JSON and YAML can write it, and a file name that is no text: no stream and no file takes it.
_HALF = r"\ud800-\udfff"
_CONTROL = re.compile(rf"[\x00-\x1f{_HIDDEN}{_HALF}]")
_CONTROL_BUT_LINES = re.compile(rf"[\x00-\x08\x0b-\x1f{_HIDDEN}{_HALF}]")
# The same for the types of a model, which take no halves of themselves.
ONE_LINE = rf"^[^\x00-\x1f{_HIDDEN}]*$"
# BibTeX has lines.
WITH_LINES = frozenset({"citation"})
# Sentences and queries, which a file may break anywhere: their lines are joined.
PROSE = frozenset({"summary", "notes", "reason", "note", "query"})
# What stands between two things may be a tab.
SEPARATORS = frozenset({"header_separator", "label_separator", "site_marker"})


def control_character(text: str, lines: bool = False) -> str | None:
    """The first character of a text that may not be shown, as people write it (such as ``\\n``); None where all may.

    Args:
        text: any text.
        lines: whether it may have several lines, and tabs.
    """
    found = (_CONTROL_BUT_LINES if lines else _CONTROL).search(text)
    return None if found is None else found[0].encode("unicode_escape").decode()


def visible(text: str, lines: bool = False) -> str:
    """A text with each character that may not be shown written as its escape (such as ``\\u001b``).

    JSON stays the same JSON by it: there, too, these are escapes of the characters.

    Args:
        text: any text.
        lines: whether it may have several lines, and tabs.
    """
    return (_CONTROL_BUT_LINES if lines else _CONTROL).sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def joined(value: Any) -> Any:
    """Prose with its lines joined by spaces; a list of it likewise."""
    if isinstance(value, str):
        return " ".join(value.split()) if "\n" in value else value
    return [joined(one) for one in value] if isinstance(value, list) else value


def hidden_in(model: BaseModel, typed: bool = True) -> tuple[tuple[str, ...], str] | None:
    """Where a model holds a character that may not be shown, and the character; None where it holds none.

    Models inside it are not looked at: each has looked at itself.

    Args:
        model: any.
        typed: whether to look at its texts, too, and not only at values of any kind.
    """
    for name in text_fields(type(model), typed):
        value = getattr(model, name)
        if _suspect(value):
            for found in _hidden(value, (name,)):
                return found
    return None


def endless_in(model: BaseModel) -> tuple[str | int, ...] | None:
    """Where the values of any kind in a model hold a number that is not finite; None where they hold none.

    Numbers that have a type of their own are the model's to refuse (``allow_inf_nan``).
    """
    for name in text_fields(type(model), typed=False):
        value = getattr(model, name)
        # Thousands of records are looked through, and nearly all hold neither word.
        if value is not None and ("nan" in (shown := repr(value)) or "inf" in shown):
            for found in _endless(value, (name,)):
                return found
    return None


def _endless(value: Any, path: tuple[str | int, ...]) -> Iterator[tuple[str | int, ...]]:
    if isinstance(value, float) and not math.isfinite(value):
        yield path
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _endless(inner, (*path, str(key)))
    elif isinstance(value, (list, tuple)):
        for place, inner in enumerate(value):
            yield from _endless(inner, (*path, place))


def _suspect(value: Any) -> bool:
    """Whether there can be such a character: Python shows it by a backslash. Thousands of records are looked through."""
    return value is not None and "\\" in repr(value)


def _hidden(value: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
    if isinstance(value, str):
        lines = any(part in WITH_LINES or part in PROSE for part in path)
        # A separator is the character itself.
        if path[-1] in SEPARATORS:
            value = value.replace("\t", "")
        if (character := control_character(value, lines)) is not None:
            yield path, character
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            if isinstance(key, str) and (character := control_character(key)) is not None:
                yield path, character
            if _suspect(inner):
                yield from _hidden(inner, (*path, str(key)))
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from _hidden(inner, path)


@functools.cache
def text_fields(model: type[BaseModel], typed: bool = True) -> tuple[str, ...]:
    """The fields that can hold texts, by their type or because they hold anything: a confusion matrix of a thousand classes is not searched for them."""
    kinds = {str, Any} if typed else {Any}
    return tuple(name for name, field in model.model_fields.items() if _is_one_of(field.annotation, kinds))


def _is_one_of(annotation: Any, kinds: set[Any]) -> bool:
    parts = [part for part in getattr(annotation, "__args__", ()) if not isinstance(part, str)]
    return annotation in kinds or any(_is_one_of(part, kinds) for part in parts)
