"""Kinds of damaged and odd content, by format: each makes the content of a bad file from that of a good one.

A kind is a function of a content and a generator of random numbers; the same numbers give the same bad file. What a value may
be replaced by (:data:`ODD`) is the same for YAML and for JSON.
"""

from __future__ import annotations

import copy
import gzip
import io
import json
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

Make = Callable[[bytes, Random], bytes]
LONG = "n" * 300
# Values in the place of any other.
ODD: list[Any] = [
    None, True, -1, 0, 2**70, 10**400, float("nan"), float("inf"), 1e-320, "", " ", LONG, "../../x", "a\nb", "\x00", "\u202e",
    "😀", "nan", "1e999", [], {}, [[]], [None], {"": ""}, {"x": {"y": []}}, ["a", "a"], [1, "1"], "None", "\ud800",
]  # fmt: skip


def changed(values: Any, random: Random) -> Any:
    """Values of which one, somewhere, is odd, gone, of another name or wrapped."""
    values = copy.deepcopy(values)
    places = list(_places(values))
    owner, key = random.choice(places)
    how = random.choice(["odd", "odd", "odd", "odd", "gone", "renamed", "wrapped"])
    if how == "gone":
        del owner[key]
    elif how == "renamed" and isinstance(owner, dict):
        owner[random.choice(["", LONG, "x-" + str(key), str(key).upper()])] = owner.pop(key)
    elif how == "wrapped":
        owner[key] = [owner[key]] if random.random() < 0.5 else {"value": owner[key]}
    else:
        owner[key] = random.choice(ODD)
    return values


def _places(values: Any) -> Iterator[tuple[Any, Any]]:
    keys = values if isinstance(values, dict) else range(len(values)) if isinstance(values, list) else ()
    for key in keys:
        yield values, key
        yield from _places(values[key])


def _insert(content: bytes, random: Random, piece: bytes) -> bytes:
    at = random.randrange(len(content) + 1)
    return content[:at] + piece + content[at:]


def _flipped(content: bytes, random: Random) -> bytes:
    flipped = bytearray(content)
    for _ in range(min(8, len(flipped))):
        flipped[random.randrange(len(flipped))] ^= 1 << random.randrange(8)
    return bytes(flipped)


def _at_line(content: bytes, random: Random, line: bytes) -> bytes:
    lines = content.splitlines(keepends=True)
    lines.insert(random.randrange(len(lines) + 1), line)
    return b"".join(lines)


HTML = b"<!DOCTYPE html>\n<html><head><title>404</title></head><body>Not Found</body></html>\n"
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"a" * 64 + b"\nsize 12345\n"
ANY: dict[str, Make] = {
    "empty": lambda content, random: b"",
    "cut": lambda content, random: content[: random.randrange(1, max(2, len(content)))],
    "noise": lambda content, random: random.randbytes(max(64, len(content))),
    "bits": _flipped,
    "zeros": lambda content, random: bytes(max(64, len(content))),
    "more behind": lambda content, random: content + random.randbytes(50),
    "a page of HTML": lambda content, random: HTML,
    "a pointer of Git LFS": lambda content, random: POINTER,
}
TEXT: dict[str, Make] = {
    "byte order mark": lambda content, random: b"\xef\xbb\xbf" + content,
    "carriage returns": lambda content, random: content.replace(b"\n", b"\r\n"),
    "UTF-16": lambda content, random: content.decode().encode("utf-16"),
    "UTF-32": lambda content, random: content.decode().encode("utf-32"),
    "Latin-1": lambda content, random: _insert(content, random, b"\xe9"),
    "a zero byte": lambda content, random: _insert(content, random, b"\x00"),
    "a control character": lambda content, random: _insert(content, random, b"\x1b[2J"),
    "an unclosed quote": lambda content, random: _insert(content, random, b'"'),
    "blank lines": lambda content, random: b"\n \n\n",
}


def _yaml_of(change: Callable[[Any, Random], Any]) -> Make:
    def make(content: bytes, random: Random) -> bytes:
        values = change(yaml.safe_load(content), random)
        return yaml.safe_dump(values, sort_keys=False, allow_unicode=random.random() < 0.5).encode(
            "utf-8", "surrogatepass"
        )

    return make


def _line_doubled(content: bytes, random: Random) -> bytes:
    lines = [line for line in content.splitlines(keepends=True) if line[:1].isalpha()]
    return content + random.choice(lines)


def _value(text: str) -> Make:
    """The first value of a random line of the top level is written so."""

    def make(content: bytes, random: Random) -> bytes:
        lines = content.decode().splitlines(keepends=True)
        at = random.choice([i for i, line in enumerate(lines) if line[:1].isalpha() and ": " in line])
        lines[at] = f"{lines[at].split(':')[0]}: {text}\n"
        return "".join(lines).encode()

    return make


YAML: dict[str, Make] = {
    **{f"a value changed, {number}": _yaml_of(changed) for number in range(1, 9)},
    "a tab": lambda content, random: _insert(content, random, b"\n\tx: 1\n"),
    "a key twice": _line_doubled,
    "an unclosed bracket": lambda content, random: _at_line(content, random, b"x: [1, 2\n"),
    "an unclosed brace": lambda content, random: _at_line(content, random, b"x: {a: 1\n"),
    "two documents": lambda content, random: content + b"---\n" + content,
    "a list": lambda content, random: b"- " + content.replace(b"\n", b"\n  "),
    "a scalar": lambda content, random: b"only a text\n",
    "a comment only": lambda content, random: b"# nothing\n",
    "a cycle": lambda content, random: content + b"x: &x [*x]\n",
    "aliases of aliases": lambda content, random: (
        b"a: &a [x,x,x,x,x,x,x,x,x]\n"
        + b"".join(b"%c: &%c [%s]\n" % (98 + i, 98 + i, b",".join([b"*%c" % (97 + i)] * 9)) for i in range(9))
        + content
    ),
    "an alias of nothing": _value("*nowhere"),
    "a merge of a text": lambda content, random: content + b"<<: text\n",
    "a tag of Python": _value("!!python/object/apply:os.system [id]"),
    "a tag of bytes": _value("!!binary aGVsbG8="),
    "a tag of a set": _value("!!set {a, b}"),
    "a wrong tag": _value("!!int nine"),
    "a timestamp": _value("2001-01-01 25:61:61"),
    "a date": _value("2024-02-30"),
    "a number to base sixty": _value("1:30"),
    "not a number": _value(".nan"),
    "infinity": _value("-.inf"),
    "a number of 5,000 digits": _value("9" * 5000),
    "an octal number": _value("0777"),
    "the word no": _value("no"),
    "a name of 300": _value(LONG),
    "a key that is a list": lambda content, random: content + b"? [a, b]\n: 1\n",
    "a key that is a mapping": lambda content, random: content + b"? {a: b}\n: 1\n",
    "a key that is a number": lambda content, random: content + b"1: 1\n",
    "a key that is nothing": lambda content, random: content + b"null: 1\n",
    "a key that is not a number": lambda content, random: content + b".nan: 1\n",
    "a key of 300": lambda content, random: content + f"{LONG}: 1\n".encode(),
    "deep": lambda content, random: content + b"x: " + b"[" * 5000 + b"]" * 5000,
    "a bad escape": _value(r'"\q"'),
    "a lone surrogate": _value(r'"\ud800"'),
    "a block that is cut": lambda content, random: content + b"x: |2\n a\n",
    "a percent": lambda content, random: b"%YAML 9.9\n---\n" + content,
}


def _json_of(change: Callable[[Any, Random], Any]) -> Make:
    return lambda content, random: json.dumps(change(json.loads(content), random)).encode()


def _first_value(text: str) -> Make:
    """A value somewhere is written so."""

    def make(content: bytes, random: Random) -> bytes:
        values = json.loads(content)
        owner, key = random.choice(list(_places(values)))
        owner[key] = "@@@"
        return json.dumps(values).replace('"@@@"', text).encode()

    return make


JSON: dict[str, Make] = {
    **{f"a value changed, {number}": _json_of(changed) for number in range(1, 13)},
    "a comma too many": lambda content, random: content.rstrip()[:-1] + b",}",
    "NaN": _first_value("NaN"),
    "infinity": _first_value("-Infinity"),
    "1e999": _first_value("1e999"),
    "a number of 5,000 digits": _first_value("9" * 5000),
    "a lone surrogate": _first_value(r'"\ud800"'),
    "deep": _first_value("[" * 5000 + "]" * 5000),
    "deeper": lambda content, random: b"[" * 100_000,
    "null": lambda content, random: b"null",
    "a list": lambda content, random: b"[" + content + b"]",
    "a text": lambda content, random: b'"text"',
    "a number": lambda content, random: b"12",
    "no values": lambda content, random: b"{}",
    "a key twice": lambda content, random: content.rstrip()[:-1] + b"," + content.lstrip()[1:],
    "a key of nothing": lambda content, random: content.rstrip()[:-1] + b',"":{}}',
    "two texts": lambda content, random: content + content,
    "single quotes": lambda content, random: content.replace(b'"', b"'"),
}


def _parquet(change: Callable[[pa.Table, Random], pa.Table]) -> Make:
    def make(content: bytes, random: Random) -> bytes:
        before = pq.read_table(pa.BufferReader(content))
        held = io.BytesIO()
        after = change(before, random)
        pq.write_table(after, held)
        return held.getvalue()

    return make


def _column(make: Callable[[pa.ChunkedArray], Any]) -> Make:
    """A random column is another."""

    def change(table: pa.Table, random: Random) -> pa.Table:
        at = random.randrange(table.num_columns)
        array = make(table.column(at))
        # What pandas said of the old columns may be wrong of the new ones, as in a file that a program made badly.
        return table.set_column(at, table.column_names[at], array)

    return _parquet(change)


def _without(table: pa.Table, random: Random) -> pa.Table:
    return table.remove_column(random.randrange(table.num_columns))


def _doubled(table: pa.Table, random: Random) -> pa.Table:
    at = random.randrange(table.num_columns)
    return table.append_column(table.column_names[at], table.column(at))


def _footer(length: int) -> Make:
    return lambda content, random: content[:-8] + struct.pack("<I", length) + content[-4:]


PARQUET: dict[str, Make] = {
    "only its mark": lambda content, random: b"PAR1",
    "its mark twice": lambda content, random: b"PAR1PAR1",
    "a footer too long": _footer(2**31 - 1),
    "a footer of nothing": _footer(0),
    "an encrypted footer": lambda content, random: content[:-4] + b"PARE",
    "bits of the footer": lambda content, random: content[:-120] + _flipped(content[-120:-8], random) + content[-8:],
    "bits of the pages": lambda content, random: content[:4] + _flipped(content[4:400], random) + content[400:],
    "no rows": _parquet(lambda table, random: table.slice(0, 0)),
    "no columns": _parquet(lambda table, random: table.select([])),
    "a column less": _parquet(_without),
    "a column twice": _parquet(_doubled),
    "a row less": _parquet(lambda table, random: table.slice(1)),
    "rows twice": _parquet(lambda table, random: pa.concat_tables([table, table])),
    "rows turned round": _parquet(lambda table, random: table.take(list(reversed(range(table.num_rows))))),
    "a column of nothing": _column(lambda array: pa.nulls(len(array))),
    "a column of texts": _column(lambda array: pa.array([str(value) for value in array.to_pylist()])),
    "a column of bytes": _column(lambda array: pa.array([b"\xff\xfe"] * len(array))),
    "a column of numbers": _column(lambda array: pa.array([2**63 - 1] * len(array))),
    "a column of NaN": _column(lambda array: pa.array([float("nan")] * len(array))),
    "a column of infinity": _column(lambda array: pa.array([float("inf")] * len(array))),
    "a column of lists": _column(lambda array: pa.array([[value] for value in array.to_pylist()])),
    "a column of mappings": _column(lambda array: pa.array([{"x": value} for value in array.to_pylist()])),
    "a column of days": _column(lambda array: pa.array([0] * len(array), pa.date32())),
    "a column of truths": _column(lambda array: pa.array([True] * len(array))),
    "a column of decimals": _column(lambda array: pa.array([1] * len(array), pa.decimal128(5, 2))),
    "a column of a dictionary": _column(lambda array: pa.array([str(v) for v in array.to_pylist()]).dictionary_encode()),
    "a column that misses one": _column(lambda array: pa.array([None, *array.to_pylist()[1:]], array.type)),
    "columns of other names": _parquet(lambda table, random: table.rename_columns([LONG + n for n in table.column_names])),
    "texts that are none": _column(lambda array: pa.array([b"\xff"] * len(array)).cast(pa.string(), safe=False)
        if False else pa.Array.from_buffers(pa.string(), len(array), [None, pa.py_buffer(
            struct.pack(f"<{len(array) + 1}i", *range(len(array) + 1))), pa.py_buffer(b"\xff" * len(array))])),
}  # fmt: skip


def _zip(
    change: Callable[[zipfile.ZipFile, str, bytes], None] | None = None, patch: Callable[[bytes], bytes] | None = None
) -> Make:
    def make(content: bytes, random: Random) -> bytes:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            name = archive.namelist()[0]
            inner = archive.read(name)
        held = io.BytesIO()
        with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
            (change or (lambda archive, name, inner: archive.writestr(name, inner)))(archive, name, inner)
        return (patch or (lambda packed: packed))(held.getvalue())

    return make


def _patched(local: int, central: int, value: bytes) -> Callable[[bytes], bytes]:
    """The same field of a member's local header and of its entry in the directory."""

    def patch(packed: bytes) -> bytes:
        out, at = bytearray(packed), packed.index(b"PK\x01\x02")
        out[local : local + len(value)] = value
        out[at + central : at + central + len(value)] = value
        return bytes(out)

    return patch


def _two(archive: zipfile.ZipFile, name: str, inner: bytes) -> None:
    archive.writestr(name, inner)
    archive.writestr(f"other/{name}", inner)


ZIP: dict[str, Make] = {
    "no member": _zip(lambda archive, name, inner: None),
    "a folder only": _zip(lambda archive, name, inner: archive.writestr(f"{name}/", b"")),
    "two members": _zip(_two),
    "another member": _zip(lambda archive, name, inner: archive.writestr("x.txt", inner)),
    "a member that is empty": _zip(lambda archive, name, inner: archive.writestr(name, b"")),
    "a member of 300": _zip(lambda archive, name, inner: archive.writestr(LONG + name, inner)),
    "encrypted": _zip(patch=_patched(6, 8, b"\x01\x00")),
    "packed by an unknown method": _zip(patch=_patched(8, 10, b"\x63\x00")),
    "packed by LZMA, said of deflate": _zip(patch=_patched(8, 10, b"\x0e\x00")),
    "packed by bzip2, said of deflate": _zip(patch=_patched(8, 10, b"\x0c\x00")),
    "a wrong checksum": _zip(patch=_patched(14, 16, b"\x01\x02\x03\x04")),
    "a wrong size": _zip(patch=_patched(22, 24, b"\x01\x00\x00\x00")),
    "a size of 4 GB": _zip(patch=_patched(22, 24, b"\xff\xff\xff\xff")),
    "a version of the future": _zip(patch=_patched(4, 6, b"\xff\x00")),
    "deflate that is damaged": _zip(patch=lambda packed: packed[:60] + bytes(byte ^ 0x55 for byte in packed[60:90]) + packed[90:]),
    "the directory elsewhere": _zip(patch=lambda packed: packed[:-6] + b"\xff\xff\xff\x7f" + packed[-2:]),
    "an offset elsewhere": _zip(patch=lambda packed: (at := packed.index(b"PK\x01\x02")) and packed[: at + 42] + b"\xff\xff\xff\x7f" + packed[at + 46 :]),
}  # fmt: skip

GZIP: dict[str, Make] = {
    "only its mark": lambda content, random: b"\x1f\x8b",
    "an unknown method": lambda content, random: content[:2] + b"\x63" + content[3:],
    "all flags": lambda content, random: content[:3] + b"\xff" + content[4:],
    "a wrong checksum": lambda content, random: content[:-8] + b"\x01\x02\x03\x04" + content[-4:],
    "a wrong size": lambda content, random: content[:-4] + b"\x01\x00\x00\x00",
    "deflate that is damaged": lambda content, random: content[:30] + b"\xff" * 20 + content[50:],
    "its end is missing": lambda content, random: content[:-6],
    "nothing packed": lambda content, random: gzip.compress(b"", mtime=0),
    "packed twice": lambda content, random: gzip.compress(content, mtime=0),
    "not packed": lambda content, random: gzip.decompress(content),
    "zlib": lambda content, random: zlib.compress(gzip.decompress(content)),
    "cut between two members": lambda content, random: content + content[: len(content) // 2],
}


def _tensors(change: Callable[[dict[str, Any], Random], Any]) -> Make:
    """The header of a safetensors file is changed; the numbers stay."""

    def make(content: bytes, random: Random) -> bytes:
        (length,) = struct.unpack("<Q", content[:8])
        header = json.loads(content[8 : 8 + length])
        said = change(header, random)
        text = said if isinstance(said, bytes) else json.dumps(header).encode()
        return struct.pack("<Q", len(text)) + text + content[8 + length :]

    return make


def _tensor(key: str, value: Any) -> Make:
    def change(header: dict[str, Any], random: Random) -> None:
        name = random.choice([name for name in sorted(header) if name != "__metadata__"])
        header[name][key] = value

    return _tensors(change)


def _numbers(value: bytes) -> Make:
    def make(content: bytes, random: Random) -> bytes:
        (length,) = struct.unpack("<Q", content[:8])
        count = (len(content) - 8 - length) // len(value)
        return content[: 8 + length] + value * count + content[8 + length + count * len(value) :]

    return make


def _tensor_gone(header: dict[str, Any], random: Random) -> None:
    header.pop(random.choice([name for name in sorted(header) if name != "__metadata__"]))


def _tensor_renamed(header: dict[str, Any], random: Random) -> None:
    header[LONG] = header.pop(random.choice([name for name in sorted(header) if name != "__metadata__"]))


SAFETENSORS: dict[str, Make] = {
    "a header of 9 exabytes": lambda content, random: b"\xff" * 7 + b"\x7f" + content[8:],
    "a header of nothing": lambda content, random: bytes(8) + content[8:],
    "a header longer than the file": lambda content, random: struct.pack("<Q", len(content) + 1) + content[8:],
    "a header that is no JSON": _tensors(lambda header, random: b"{not json}"),
    "a header that is a list": _tensors(lambda header, random: b"[]"),
    "a header of no tensors": _tensors(lambda header, random: b"{}"),
    "an unknown type": _tensor("dtype", "X99"),
    "another type": _tensor("dtype", "I32"),
    "another shape": _tensor("shape", [3, 5, 7]),
    "a shape that is negative": _tensor("shape", [-1]),
    "a shape that is huge": _tensor("shape", [2**40, 2**40]),
    "offsets turned round": _tensor("data_offsets", [100, 0]),
    "offsets beyond": _tensor("data_offsets", [0, 2**50]),
    "offsets that are texts": _tensor("data_offsets", ["0", "4"]),
    "an offset less": _tensor("data_offsets", [0]),
    "a tensor that is a text": _tensors(lambda header, random: header.update({sorted(header)[-1]: "text"})),
    "a tensor less": _tensors(_tensor_gone),
    "a tensor of another name": _tensors(_tensor_renamed),
    "numbers that are NaN": _numbers(struct.pack("<f", float("nan"))),
    "numbers that are infinite": _numbers(struct.pack("<f", float("inf"))),
    "metadata that are numbers": _tensors(lambda header, random: header.update({"__metadata__": {"format": 1}})),
    "metadata of another library": _tensors(lambda header, random: header.update({"__metadata__": {"format": "tf"}})),
}


def _cell(value: str, column: int | None = None) -> Make:
    """A cell of a random row is another."""

    def make(content: bytes, random: Random) -> bytes:
        lines = content.decode().splitlines()
        at = random.randrange(1, len(lines))
        cells = lines[at].split(",")
        cells[random.randrange(len(cells)) if column is None else column] = value
        lines[at] = ",".join(cells)
        return "\n".join([*lines, ""]).encode("utf-8", "surrogateescape")

    return make


def _header(change: Callable[[list[str]], list[str]]) -> Make:
    def make(content: bytes, random: Random) -> bytes:
        head, _, rest = content.decode().partition("\n")
        return ("\n".join([",".join(change(head.strip().split(","))), rest])).encode()

    return make


CSV: dict[str, Make] = {
    "a header only": lambda content, random: content.split(b"\n")[0] + b"\n",
    "no header": lambda content, random: content.split(b"\n", 1)[1],
    "a field too many": lambda content, random: _at_line(content, random, b"a,MKV,0,train,more\n"),
    "a field too few": lambda content, random: _at_line(content, random, b"a,MKV\n"),
    "semicolons": lambda content, random: content.replace(b",", b";"),
    "tabs": lambda content, random: content.replace(b",", b"\t"),
    "a column twice": _header(lambda names: [*names[:-1], names[0]]),
    "a column without a name": _header(lambda names: ["", *names[1:]]),
    "a column of 300": _header(lambda names: [LONG, *names[1:]]),
    "columns in capitals": _header(lambda names: [name.upper() for name in names]),
    "spaces in the header": _header(lambda names: [f" {name} " for name in names]),
    "a sequence of digits": _cell("12345", 1),
    "a sequence of nothing": _cell("", 1),
    "a sequence with spaces": _cell("MKV MKV", 1),
    "a sequence with a star inside": _cell("MK*V", 1),
    "a sequence with gaps": _cell("MK--V", 1),
    "a sequence with an emoji": _cell("MK😀V", 1),
    "a sequence that is too long": _cell("M" * 1_000_001, 1),
    "a sequence of DNA": _cell("ACGT" * 20, 1),
    "a label that is unknown": _cell("other than all", 2),
    "a label of nothing": _cell("", 2),
    "a label that is nan": _cell("nan", 2),
    "a label of 300": _cell(LONG, 2),
    "a label of digits": _cell("9" * 5000, 2),
    "a split that is unknown": _cell("Testing", 3),
    "an id of nothing": _cell("", 0),
    "an id of 300": _cell(LONG, 0),
    "an id that is another's": _cell("p0_0", 0),
    "a formula": _cell("=1+1", 0),
    "bytes that are no text": _cell("\udcff\udcfe", 0),
}


def _jsonl(line: bytes) -> Make:
    return lambda content, random: _at_line(content, random, line + b"\n")


JSON_LINES: dict[str, Make] = {
    "a list": _jsonl(b"[1, 2]"),
    "a number": _jsonl(b"1"),
    "half a line": _jsonl(b'{"id": "a", "seq'),
    "NaN": _jsonl(b'{"id": "a", "sequence": "MKV", "label": NaN, "set": "train"}'),
    "1e999": _jsonl(b'{"id": "a", "sequence": "MKV", "label": 1e999, "set": "train"}'),
    "a lone surrogate": _jsonl(rb'{"id": "\ud800", "sequence": "MKV", "label": "0", "set": "train"}'),
    "a number for a sequence": _jsonl(b'{"id": "a", "sequence": 5, "label": "0", "set": "train"}'),
    "nothing for a sequence": _jsonl(b'{"id": "a", "sequence": null, "label": "0", "set": "train"}'),
    "a list for a sequence": _jsonl(b'{"id": "a", "sequence": ["M", "K"], "label": "0", "set": "train"}'),
    "a mapping for a label": _jsonl(b'{"id": "a", "sequence": "MKV", "label": {"x": 1}, "set": "train"}'),
    "a list for an id": _jsonl(b'{"id": ["a"], "sequence": "MKV", "label": "0", "set": "train"}'),
    "a list for a split": _jsonl(b'{"id": "a", "sequence": "MKV", "label": "0", "set": ["train"]}'),
    "a number for a split": _jsonl(b'{"id": "a", "sequence": "MKV", "label": "0", "set": 1.5}'),
    "a number of 5,000 digits": _jsonl(
        b'{"id": "a", "sequence": "MKV", "label": ' + b"9" * 5000 + b', "set": "train"}'
    ),
    "deep": _jsonl(b"[" * 100_000),
    "a key of 300": _jsonl(f'{{"{LONG}": 1}}'.encode()),
    "a key that is nothing": _jsonl(b'{"": 1}'),
    "no values": _jsonl(b"{}"),
    "one JSON list": lambda content, random: b"[" + b",".join(content.splitlines()) + b"]",
}

FASTA: dict[str, Make] = {
    "no header": lambda content, random: b"MKTAYIAKQR\n",
    "headers only": lambda content, random: b">a\n>b\n",
    "a mark only": lambda content, random: b">\n",
    "an empty record": lambda content, random: b">e\n" + content,
    "text before": lambda content, random: b"Some words, and\nmore\n" + content,
    "digits": lambda content, random: content + b">d\n12345\n",
    "numbered lines": lambda content, random: content + b">d\n1 MKTAY 5\n6 IAKQR 10\n",
    "an id twice": lambda content, random: content + content,
    "an id of 300": lambda content, random: content + f">{LONG}\nMKV\n".encode(),
    "a star inside": lambda content, random: content + b">s\nMK*V\n",
    "gaps": lambda content, random: content + b">g\nMK--V\n",
    "an emoji": lambda content, random: content + ">e\nMK😀V\n".encode(),
    "other alphabets": lambda content, random: content + ">g\nΜΚТАУ\n".encode(),
    "an alignment": lambda content, random: (
        b"CLUSTAL W (1.82) multiple sequence alignment\n\na  MKTAYIAKQR\nb  MKTAYIAKQR\n"
    ),
    "FASTQ": lambda content, random: b"@r1\nACGTACGTAC\n+\nIIIIIIIIII\n",
    "GenBank": lambda content, random: b"LOCUS  X 10 aa\nORIGIN\n  1 mktayiakqr\n//\n",
    "PDB": lambda content, random: b"HEADER    X\nATOM      1  N   MET A   1      38.198  19.582  25.998\nEND\n",
    "JSON": lambda content, random: b'{"a": "MKTAYIAKQR"}\n',
    "a protein too long": lambda content, random: content + b">l\n" + b"M" * 1_000_001 + b"\n",
    "DNA": lambda content, random: content + b">d\n" + b"ACGT" * 20 + b"\n",
    "a line too long": lambda content, random: content + b">" + b"x" * 200_000 + b"\nMKV\n",
}
