"""What happens to inputs: bytes that flip, texts that are cut, values of another type, words of a schema in a wrong place."""

from __future__ import annotations

import copy
import gzip
import io
import json
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy
from pydantic import BaseModel

# What programs take for something else: controls, directions, digits that are none, halves of a character.
SIGNS = [
    *("\0", "\x1b[31m", "\x1b]0;x\x07", "\r", "\n", "\r\n", "\t", "\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\ufeff"),
    *("\u202e", "\u200b", "\ud800", "\udcff", "²", "٣", "Ⅷ", "ﬁ", "ß", "İ", "é", "e\u0301", "🧬", "／", "\uffff", " "),
    *(
        '"',
        "'",
        "`",
        "\\",
        "{",
        "}",
        "[",
        "]",
        "(",
        ")",
        "<",
        ">",
        ",",
        ":",
        ";",
        "=",
        "|",
        "*",
        "&a ",
        "*a",
        "!!set ",
        "%",
    ),
    *(
        "{{",
        "{%",
        "---\n",
        "...\n",
        "- ",
        "? ",
        "<<: ",
        "#",
        "@",
        "~",
        "/",
        "../",
        "hub://",
        "http://u:p@h/",
        "x" * 5000,
    ),
]
# Numbers that few expect.
NUMBERS = [
    *(
        "0",
        "-1",
        "-0",
        "1e999",
        "-1e999",
        "1e-999",
        "NaN",
        "Infinity",
        "-Infinity",
        ".inf",
        ".nan",
        "0x10",
        "0o7",
        "1_000",
    ),
    *(
        "9" * 19,
        "9" * 400,
        "9" * 5000,
        "1." + "0" * 400,
        "2147483648",
        "01",
        "1.5",
        "+1",
        "12:30:00",
        "2024-13-45",
        "1e",
        "٣",
    ),
]
WORDS = ["null", "true", "no", "None", "nan", "", "name", "id", "__proto__", "../x", "con", "a b", "x" * 300]
SCALARS = [
    *(
        None,
        True,
        False,
        0,
        1,
        -1,
        2,
        3.7,
        1e308,
        -1e308,
        5e-324,
        2**31,
        2**63,
        -(2**63) - 1,
        10**400,
        "",
        " ",
        "x",
        "0",
        "1.5",
    ),
    *("../../x", "a\nb", "a\x1b[0mb", "\u202ex", "\ud800", "a" * 300, "hub://a/b", "null", "2024-13-45", "𝟛", "é"),
]
NOT_FINITE = [float("nan"), float("inf"), float("-inf")]


def nested(depth: int) -> Any:
    """A list in a list, so deep."""
    value: Any = []
    for _ in range(depth):
        value = [value]
    return value


COLLECTIONS = [[], {}, [[]], [None], [1, "x"], {"": None}, {"x": {"y": []}}, [{}], {"a": 1}, [["a"], ["b"]], nested(50)]


def _changes(most: int) -> SearchStrategy[int]:
    """How many: now and then none, so that what is valid is among what is tried."""
    return st.sampled_from([1, 1, 1, 0, 1, *range(2, most + 1)])


@st.composite
def mutated_texts(draw: DrawFn, examples: Sequence[str], most: int = 3) -> str:
    """A valid text after some accidents; often of its lines and numbers, which is where a parser looks."""
    text = draw(st.sampled_from(list(examples)))
    for _ in range(draw(_changes(most))):
        text = _TEXT_CHANGES[draw(st.integers(0, len(_TEXT_CHANGES) - 1))](draw, text)
    return text


def _place(draw: DrawFn, text: Sequence[Any]) -> int:
    return draw(st.integers(0, len(text)))


def _span(draw: DrawFn, text: Sequence[Any]) -> tuple[int, int]:
    at = _place(draw, text)
    return at, min(len(text), at + draw(st.sampled_from([1, 1, 2, 5, 40, 1000])))


def _insert(draw: DrawFn, text: str) -> str:
    at = _place(draw, text)
    return text[:at] + draw(st.sampled_from([*SIGNS, *NUMBERS, *WORDS])) + text[at:]


def _replace(draw: DrawFn, text: str) -> str:
    first, last = _span(draw, text)
    return text[:first] + draw(st.sampled_from([*SIGNS, *WORDS])) + text[last:]


def _delete(draw: DrawFn, text: str) -> str:
    first, last = _span(draw, text)
    return text[:first] + text[last:]


def _repeat(draw: DrawFn, text: str) -> str:
    first, last = _span(draw, text)
    return text[:last] + text[first:last] * draw(st.sampled_from([1, 2, 300])) + text[last:]


def _cut(draw: DrawFn, text: str) -> str:
    return text[: _place(draw, text)]


def _number(draw: DrawFn, text: str) -> str:
    """One of its numbers becomes another."""
    runs, at = [], 0
    while at < len(text):
        end = at
        while end < len(text) and text[end] in "0123456789.":
            end += 1
        if end > at and text[at].isdigit():
            runs.append((at, end))
        at = max(end, at + 1)
    if not runs:
        return _insert(draw, text)
    first, last = draw(st.sampled_from(runs))
    return text[:first] + draw(st.sampled_from(NUMBERS)) + text[last:]


def _lines(draw: DrawFn, text: str) -> str:
    """One of its lines is gone, doubled, elsewhere, or another one."""
    lines = text.split("\n")
    first, second = (draw(st.integers(0, len(lines) - 1)) for _ in range(2))
    match draw(st.integers(0, 4)):
        case 0:
            del lines[first]
        case 1:
            lines.insert(second, lines[first])
        case 2:
            lines[first], lines[second] = lines[second], lines[first]
        case 3:
            lines[first] = draw(st.sampled_from(["", " ", *SIGNS, *WORDS, *NUMBERS]))
        case _:
            lines[first] = "  " + lines[first]
    return "\n".join(lines)


def _ends(draw: DrawFn, text: str) -> str:
    return text.replace("\n", draw(st.sampled_from(["\r\n", "\r", "\n\n", " \n", "\x0b", "\u2028"])))


def _any(draw: DrawFn, text: str) -> str:
    return draw(st.text(max_size=30))


_TEXT_CHANGES: list[Callable[[DrawFn, str], str]] = [
    *(_insert, _insert, _replace, _replace, _delete, _repeat, _cut, _number, _number, _lines, _lines, _ends, _any)
]


def encoded(text: str, encoding: str = "utf-8") -> bytes:
    """The bytes of a text; halves of a character are written as they are, which no reader takes."""
    return text.encode(encoding, "surrogatepass")


@st.composite
def mutated_bytes(draw: DrawFn, examples: Sequence[bytes], most: int = 3) -> bytes:
    """Valid content after some accidents of disks and hands."""
    content = bytearray(draw(st.sampled_from(list(examples))))
    for _ in range(draw(_changes(most))):
        first, last = _span(draw, content)
        match draw(st.integers(0, 6)):
            case 0:
                del content[first:]
            case 1 if first < len(content):
                content[first] ^= 1 << draw(st.integers(0, 7))
            case 2:
                content[first:last] = bytes(last - first)
            case 3:
                content[first:last] = draw(st.binary(max_size=8))
            case 4:
                content[first:first] = content[first:last] * draw(st.sampled_from([1, 3]))
            case 5:
                # Lengths and offsets of binary formats stand at both ends.
                at = draw(st.integers(0, 40)) if draw(st.booleans()) else -1 - draw(st.integers(0, 40))
                if -len(content) <= at < len(content):
                    content[at] = draw(st.sampled_from([0, 1, 0x7F, 0x80, 0xFF]))
            case _:
                content[first:first] = draw(st.sampled_from([b"\xff", b"\0", b"\xef\xbb\xbf", b"\xed\xa0\x80", b"\n"]))
    return bytes(content)


def texts_as_bytes(examples: Sequence[str]) -> SearchStrategy[bytes]:
    """Texts after accidents, in some encoding, perhaps packed; and bytes after accidents."""
    texts = mutated_texts(examples)
    return st.one_of(
        texts.map(encoded),
        texts.map(encoded),
        mutated_bytes([encoded(text) for text in examples]),
        texts.map(lambda text: b"\xef\xbb\xbf" + encoded(text)),
        texts.map(lambda text: encoded(text, "utf-16")),
        texts.map(lambda text: text.encode("latin-1", "replace")),
        mutated_bytes([gzip.compress(encoded(text), mtime=0) for text in examples]),
    )


def tarred(members: dict[str, bytes], mode: Literal["w", "w:gz"]) -> bytes:
    """An archive of the other kind."""
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode=mode) as archive:
        for name, content in members.items():
            about = tarfile.TarInfo(name)
            about.size = len(content)
            archive.addfile(about, io.BytesIO(content))
    return held.getvalue()


def zipped(members: dict[str, bytes]) -> bytes:
    """An archive."""
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return held.getvalue()


def _keys(values: Any) -> Iterator[tuple[Any, Any]]:
    """Every place in values: what holds it, and under what."""
    inner = values.items() if isinstance(values, dict) else enumerate(values) if isinstance(values, list) else ()
    for key, value in list(inner):
        yield values, key
        yield from _keys(value)


class Schema:
    """What a model takes, as far as its JSON schema says: the names of its fields, and values that fit one of them.

    Args:
        model: any, or none.
    """

    def __init__(self, model: type[BaseModel] | None = None) -> None:
        whole = {} if model is None else model.model_json_schema()
        self._definitions = whole.get("$defs", {})
        self.fields: dict[str, Any] = {}
        for part in (whole, *self._definitions.values()):
            self.fields.update(part.get("properties", {}))

    def value(self, draw: DrawFn, schema: Any, depth: int = 0) -> Any:
        """A value that nearly fits."""
        if not isinstance(schema, dict) or depth > 4:
            return draw(st.sampled_from(SCALARS))
        if "$ref" in schema:
            return self.value(draw, self._definitions.get(schema["$ref"].rpartition("/")[2]), depth + 1)
        if choices := schema.get("anyOf") or schema.get("oneOf") or schema.get("allOf"):
            return self.value(draw, draw(st.sampled_from(choices)), depth + 1)
        if "enum" in schema or "const" in schema:
            return draw(st.sampled_from(schema.get("enum") or [schema["const"]]))
        match schema.get("type"):
            case "integer" | "number":
                bounds = [schema.get(key) for key in ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")]
                near = [bound + step for bound in bounds if bound is not None for step in (-1, 0, 1)]
                return draw(st.sampled_from([*near, 0, 1, 2, 10, 0.5, -1, 10**400, 1e308, *NOT_FINITE]))
            case "boolean":
                return draw(st.booleans())
            case "array":
                return [self.value(draw, schema.get("items"), depth + 1) for _ in range(draw(st.integers(0, 3)))]
            case "object":
                known = schema.get("properties", {})
                if not known:
                    inner = schema.get("additionalProperties")
                    return {draw(st.sampled_from([*WORDS, "test"])): self.value(draw, inner, depth + 1)}
                names = draw(st.lists(st.sampled_from(sorted(known)), max_size=4, unique=True))
                names += [name for name in schema.get("required", []) if name not in names]
                return {name: self.value(draw, known[name], depth + 1) for name in names}
            case "string":
                return draw(st.sampled_from(["x", "test", "a-b", "mcc", "0" * 64, "a/b", *WORDS, "\ud800", "a\nb"]))
        return draw(st.sampled_from([*SCALARS, *COLLECTIONS]))


@st.composite
def mutated_values(draw: DrawFn, examples: Sequence[Any], schema: Schema, most: int = 3, finite: bool = True) -> Any:
    """Values as YAML or JSON has them, some of them changed: gone, doubled, of another type, of another place.

    Args:
        draw: by Hypothesis.
        examples: valid ones.
        schema: of their model.
        most: changes.
        finite: whether only what JSON can write comes.
    """
    held = [copy.deepcopy(draw(st.sampled_from(list(examples))))]
    for _ in range(draw(_changes(most))):
        places = list(_keys(held))
        holder, key = places[draw(st.integers(0, len(places) - 1))]
        change = draw(st.integers(0, 8))
        named = schema.fields.get(key) if isinstance(key, str) else None
        if change <= 2:
            holder[key] = copy.deepcopy(
                draw(st.sampled_from([*SCALARS, *COLLECTIONS, *([] if finite else NOT_FINITE)]))
            )
        elif change == 3 and holder is not held:
            del holder[key]
        elif change == 4:
            other, of = places[draw(st.integers(0, len(places) - 1))]
            holder[key] = copy.deepcopy(other[of])
        elif change == 5 and isinstance(holder, dict):
            name = draw(st.sampled_from([*sorted(schema.fields), *WORDS]))
            holder[name] = holder.pop(key)
        elif change == 6 and isinstance(holder, dict) and schema.fields:
            name = draw(st.sampled_from(sorted(schema.fields)))
            holder[name] = schema.value(draw, schema.fields[name])
        elif change == 7 and isinstance(holder, list) and holder is not held:
            holder.insert(key, copy.deepcopy(holder[key]))
        elif isinstance(holder[key], str):
            holder[key] = draw(mutated_texts([holder[key]], 1))
        else:
            holder[key] = schema.value(draw, named)
    return held[0]


def as_json(values: Any) -> str:
    """As a program writes it that does not look: a number may be endless, a text half a character."""
    return json.dumps(values)
