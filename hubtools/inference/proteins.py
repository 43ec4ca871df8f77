"""Proteins that people have: FASTA files and tables, read one at a time and brought into canonical form."""

from __future__ import annotations

import contextlib
import csv
import gzip
import io
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from hubtools.data.sequences import canonical_sequences
from hubtools.inference.predictor import Protein
from hubtools.specs.errors import UserError

STDIN = "-"
# What a column of a table may be called, by what it holds.
_COLUMNS = {
    "id": ("id", "name", "accession", "entry", "protein"),
    "sequence": ("sequence", "seq", "aa_seq", "protein_sequence"),
    "partner": ("partner", "sequence_2", "sequence2", "partner_sequence"),
}


@dataclass(frozen=True)
class Unreadable:
    """A record that holds no protein: what is wrong with it, and where."""

    error: UserError


def read_proteins(source: str, *, pairs: bool = False) -> Iterator[Protein | Unreadable]:
    """Proteins of a file, one at a time.

    Args:
        source: a FASTA file, or a CSV or TSV table with a column ``sequence`` and, where known, ``id``; also gzipped;
            ``-`` reads FASTA from standard input.
        pairs: whether a task about pairs asks: a table's column ``partner`` is then the second sequence, and in FASTA
            two records that follow each other are a pair.

    Raises:
        UserError: the file cannot be read, or is neither.
    """
    name = "standard input" if source == STDIN else source
    with _lines(source) as lines:
        suffix = Path(source.removesuffix(".gz")).suffix.lower()
        table = {".csv": ",", ".tsv": "\t"}.get(suffix)
        if table is not None:
            yield from _of_table(lines, table, name, pairs)
        else:
            found = parse_fasta(lines, name)
            yield from _paired(found, name) if pairs else found


def parse_fasta(lines: Iterable[str], name: str) -> Iterator[Protein | Unreadable]:
    """Proteins of the lines of a FASTA file.

    Args:
        lines: with or without what ends them.
        name: what messages call the file.

    Raises:
        UserError: text stands before the first header, or there is nothing.
    """
    header: str | None = None
    body: list[str] = []
    number = 0
    for place, line in enumerate(lines, start=1):
        text = line.strip()
        if text.startswith(">"):
            if header is not None:
                yield _protein(header, "".join(body), number, name)
            header, body, number = text[1:].strip(), [], number + 1
        elif header is not None:
            body.append(text)
        elif text and not text.startswith(";"):
            raise UserError(
                f"line {place} is neither a header nor below one ({text[:20]!r})",
                where=name,
                fix="FASTA begins each protein with a line such as >my protein.",
            )
    if header is None:
        raise UserError("there is no protein in it", where=name, fix="Begin each with a line such as >my protein.")
    yield _protein(header, "".join(body), number, name)


def pasted(text: str) -> Iterator[Protein | Unreadable]:
    """Proteins of what somebody pasted: FASTA, or one bare sequence, perhaps over several lines or with spaces."""
    if ">" in text:
        yield from parse_fasta(text[text.index(">") :].splitlines(), "what was pasted")
        return
    letters = "".join(text.split())
    if not letters:
        raise UserError("there is no sequence yet", fix="Paste one, for example MKTAYIAKQR….")
    yield _protein("sequence", letters, 1, "what was pasted")


def nucleotides(sequence: str) -> bool:
    """Whether a sequence looks like DNA or RNA: at least thirty letters of which nearly all are A, C, G, T, U and N."""
    return len(sequence) >= 30 and sum(map(sequence.count, "ACGTUN")) >= 0.98 * len(sequence)


def _protein(header: str, text: str, number: int, name: str) -> Protein | Unreadable:
    # An id of UniProt, sp|P12345|NAME_HUMAN, stays whole: it is what other tools call the protein.
    identifier = header.split()[0] if header.split() else f"protein_{number}"
    try:
        return Protein(identifier, _canonical(text, f"{name}, {identifier} (record {number:,})"))
    except UserError as error:
        return Unreadable(error)


def _canonical(text: str, where: str) -> str:
    """The sequence in its one form.

    Raises:
        UserError: it holds what is no residue.
    """
    try:
        return canonical_sequences(["".join(text.split())], [where], "")[0][0]
    except UserError as error:
        fix = "Only letters stand for residues." if "Correct the data" in (error.fix or "") else error.fix
        raise UserError(error.what, where=where, fix=fix) from None


def _paired(found: Iterator[Protein | Unreadable], name: str) -> Iterator[Protein | Unreadable]:
    for first in found:
        second = next(found, None)
        if second is None:
            raise UserError(
                "the last protein has no partner", where=name, fix="Of pairs, two records follow each other in FASTA."
            )
        unreadable = next((one for one in (first, second) if isinstance(one, Unreadable)), None)
        if unreadable is not None:
            yield unreadable
        elif isinstance(first, Protein) and isinstance(second, Protein):
            yield Protein(f"{first.id}|{second.id}", first.sequence, second.sequence)


def _of_table(lines: Iterator[str], separator: str, name: str, pairs: bool) -> Iterator[Protein | Unreadable]:
    rows = csv.DictReader(lines, delimiter=separator)
    known = {column.strip().lower(): column for column in rows.fieldnames or [] if column}
    columns = {role: next((known[n] for n in names if n in known), None) for role, names in _COLUMNS.items()}
    for role in ("sequence", *(["partner"] if pairs else [])):
        if columns[role] is None:
            raise UserError(
                f"it has no column {role}",
                where=name,
                fix=f"Its columns are {', '.join(known) or 'none'}; call the one with sequences {role}.",
            )
    empty = True
    for number, row in enumerate(rows, start=1):
        empty = False
        identifier = (row.get(columns["id"]) if columns["id"] else None) or f"row_{number}"
        where = f"{name}, {identifier} (row {number:,})"
        try:
            sequence = _canonical(row.get(str(columns["sequence"])) or "", where)
            partner = _canonical(row.get(str(columns["partner"])) or "", where) if pairs else None
            yield Protein(identifier, sequence, partner)
        except UserError as error:
            yield Unreadable(error)
    if empty:
        raise UserError("the table has no rows", where=name)


@contextlib.contextmanager
def _lines(source: str) -> Iterator[Iterator[str]]:
    """The lines of a text file or of standard input.

    Raises:
        UserError: it cannot be read, or is not text.
    """
    name = "standard input" if source == STDIN else source
    try:
        if source == STDIN:
            yield iter(sys.stdin)
            return
        with Path(source).open("rb") as stored:
            content: IO[bytes] = stored
            if source.endswith(".gz"):
                content = gzip.GzipFile(fileobj=stored)  # type: ignore[assignment]
            yield io.TextIOWrapper(content, encoding="utf-8-sig", newline=None)
    except FileNotFoundError:
        raise UserError("there is no such file", where=name) from None
    except UnicodeDecodeError:
        raise UserError("it is not text", where=name, fix="Give a FASTA file, or a table in CSV or TSV.") from None
    except (gzip.BadGzipFile, EOFError) as error:
        raise UserError(f"not a complete gzip file ({error})", where=name) from None
    except OSError as error:
        raise UserError(f"cannot read it ({error.strerror})", where=name) from None
