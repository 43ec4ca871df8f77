"""Kinds of damaged and odd rows: of CSV, JSON lines and FASTA; see :mod:`damaged_content`."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from damaged_content import LONG, Make, at_line


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
    "a field too many": lambda content, random: at_line(content, random, b"a,MKV,0,train,more\n"),
    "a field too few": lambda content, random: at_line(content, random, b"a,MKV\n"),
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
    return lambda content, random: at_line(content, random, line + b"\n")


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
