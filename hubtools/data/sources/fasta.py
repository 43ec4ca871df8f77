"""Entries of FASTA, one at a time, and whether the lines below a header are a sequence or a sequence and its labels."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import chain, groupby
from typing import NamedTuple

from hubtools.common.bounds import LONGEST_LINE
from hubtools.common.errors import UserError
from hubtools.common.readers import reads

# A second line is taken for labels of one entry alone, if it is long, of few kinds of letters and in long stretches;
_LONG, _FEW, _STRETCH, _MANY = 30, 6, 3, 10
# of several entries, whose lines are of different lengths and so were not broken at one place, if all together have few
# kinds of letters, each of them often, and the first lines many more.
_KINDS, _OFTEN, _MORE = 12, 6, 6
# Entries that are looked at, where all have two lines of one length, before the first is given.
_LOOKED_AT = 100


_GENOME = "Is it a genome? Proteins are read, each below its own header."


class FastaEntry(NamedTuple):
    """Number of the header's line, header (without ``>``), and the lines below it."""

    line: int
    header: str
    body: str


@reads("lines of FASTA")
def fasta_entries(lines: Iterable[str], where: str) -> Iterator[FastaEntry]:
    """The entries of a FASTA file. Blank lines and comments (``;``) may stand above the first.

    Args:
        lines: with or without what ends them.
        where: what messages call the file.

    Raises:
        UserError: something else stands before the first header.
    """
    start, header, body, held = 0, None, list[str](), 0
    for number, raw in enumerate(lines, 1):
        line = raw.rstrip("\r\n")
        if ">" in line and line.lstrip().startswith(">"):
            if header is not None:
                yield FastaEntry(start, header, "\n".join(body))
            start, header, body, held = number, line.lstrip()[1:], [], 0
        elif header is not None:
            body.append(line)
            held += len(line)
            if held > LONGEST_LINE:
                raise UserError(
                    f"more than {LONGEST_LINE:,} characters are below the header", where=f"{where}:{start}", fix=_GENOME
                )
        elif line.strip() and not line.startswith(";"):
            raise UserError(
                f"a FASTA file starts with '>', not with {line.strip()[:20]!r}",
                where=f"{where}:{number}",
                fix="Begin each entry with a line such as >my protein; if it is a table, say so by its name or format.",
            )
    if header is not None:
        yield FastaEntry(start, header, "\n".join(body))


@reads("lines of FASTA")
def sequence_entries(
    lines: Iterable[str], where: str, on_labels: Callable[[str], None] | None = None
) -> Iterator[FastaEntry]:
    """The entries of a FASTA file that holds sequences, over any number of lines.

    A file in which a line of labels is below each sequence (SignalP 6, DeepTMHMM) is told by its first entries, before one
    of them is given.

    Args:
        lines: with or without what ends them.
        where: what messages call the file.
        on_labels: takes a line that says that labels are not read, and each entry is then its sequence alone; without it
            such a file is refused.

    Raises:
        UserError: as :func:`fasta_entries`; below a header stand a sequence and a line of labels, where that is refused
            or other entries are not so; or it cannot be told whether they do.
    """
    labels, entries = _Labels(), fasta_entries(lines, where)
    held, labelled = _looked_at(entries, where, labels)
    if labelled and on_labels is None:
        raise _labels_below(held[-1], where)
    if labelled and on_labels is not None:
        on_labels(
            f"{where}: below each sequence is a line of labels ({_rows(held[0])[1][:12]}…): only the sequences are read"
        )
        for entry in chain(held, entries):
            rows = _rows(entry)
            if len(rows) != 2 or len(rows[0]) != len(rows[1]):
                raise UserError(
                    "a sequence and as many labels are below the headers before this one, and not below it",
                    where=f"{where}:{entry.line}",
                    fix="Write each sequence on one line and its labels on the next.",
                )
            yield entry._replace(body=rows[0])
        return
    yield from held
    for entry in entries:
        if labels.in_lines(_rows(entry)):
            raise _labels_below(entry, where)
        yield entry


@reads("lines of FASTA")
def labels_below(lines: Iterable[str], where: str) -> bool:
    """Whether each sequence of a FASTA file has a line of labels below it.

    Raises:
        UserError: as :func:`fasta_entries`, or it cannot be told.
    """
    return _looked_at(fasta_entries(lines, where), where, _Labels())[1]


def _looked_at(entries: Iterator[FastaEntry], where: str, labels: _Labels) -> tuple[list[FastaEntry], bool]:
    """The first entries, as far as they have to be looked at, and whether each has a line of labels."""
    held: list[FastaEntry] = []
    for entry in entries:
        held.append(entry)
        rows = _rows(entry)
        if labels.in_lines(rows):
            return held, True
        if len(held) == _LOOKED_AT or not labels.possible(rows):
            return held, False
    if held and labels.unclear():
        first = _rows(held[0])
        raise UserError(
            f"two lines of {len(first[0])} letters are below the header, and below all others: a sequence and its labels, or "
            "one sequence? These are too few to tell",
            where=f"{where}:{held[0].line}",
            fix="Write each sequence on one line; in a task name the lines where the second is labels: lines: [sequence, label].",
        )
    return held, False


def _labels_below(entry: FastaEntry, where: str) -> UserError:
    rows = _rows(entry)
    return UserError(
        f"two lines of {len(rows[0]):,} letters are below the header, and the second looks like labels "
        f"({rows[1][:12]}…), not like residues",
        where=f"{where}:{entry.line}",
        fix="Leave the sequence alone below it, or in a task name the lines: lines: [sequence, label].",
    )


def _rows(entry: FastaEntry) -> list[str]:
    """The first lines of an entry; the third stands for all that follow."""
    return [row.strip() for row in entry.body.strip().split("\n", 2)]


class _Labels:
    """Tells a line of labels under each sequence from a sequence over two lines, entry by entry.

    A file that breaks its lines breaks all at one place: there, a second line that is as long as the first is a protein
    of twice that length. Elsewhere it hardly is.
    """

    def __init__(self) -> None:
        self._broken_at: set[int] = set()
        self._lengths: set[int] = set()
        self._first: set[str] = set()
        self._second: set[str] = set()
        self._letters = 0

    def in_lines(self, rows: list[str]) -> bool:
        """Whether the second of these lines is labels."""
        if len(rows) < 2:
            return False
        first, second = rows[:2]
        if len(rows) > 2 or len(first) != len(second):
            self._broken_at.add(len(first))
            return False
        if len(first) in self._broken_at:
            return False
        self._lengths.add(len(first))
        self._first.update(first.upper())
        self._second.update(second.upper())
        self._letters += len(second)
        return self._digits(first, second) or self._alone(first, second) or self._together()

    def possible(self, rows: list[str]) -> bool:
        """Whether entries such as this one may have labels: two lines, of one length, not where the file breaks lines."""
        return len(rows) == 2 and len(rows[0]) == len(rows[1]) > 0 and len(rows[0]) not in self._broken_at

    def unclear(self) -> bool:
        """Whether the second lines, of entries that are broken at different places, have too few kinds of letters."""
        return len(self._lengths) > 1 and not self._broken_at and len(self._second) <= len(self._first) / 2

    def _digits(self, first: str, second: str) -> bool:
        """Digits are no residues."""
        return any(map(str.isdigit, second)) and not any(map(str.isdigit, first))

    def _alone(self, first: str, second: str) -> bool:
        stretches = sum(1 for _ in groupby(second))
        few = len(second) >= _LONG and len(set(second)) <= _FEW and len(set(first)) >= _MANY
        return few and len(second) >= _STRETCH * stretches

    def _together(self) -> bool:
        kinds = len(self._second)
        few = kinds <= _KINDS and self._letters >= max(_LONG, _OFTEN * kinds) and len(self._first) >= kinds + _MORE
        return few and len(self._lengths) > 1
