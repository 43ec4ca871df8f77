"""Entries of FASTA, one at a time, and whether the lines below a header are a sequence or a sequence and its labels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import NamedTuple

from hubtools.common.bounds import LONGEST_LINE
from hubtools.common.errors import UserError

# A second line is taken for labels of one entry alone, if it is long, of few kinds of letters and in long stretches;
_LONG, _FEW, _STRETCH, _MANY = 30, 6, 3, 10
# of several entries, whose lines are of different lengths and so were not broken at one place, if all together have few
# kinds of letters, each of them often, and the first lines many more.
_KINDS, _OFTEN, _MORE = 12, 6, 6


_GENOME = "Is it a genome? Proteins are read, each below its own header."


class FastaEntry(NamedTuple):
    """Number of the header's line, header (without ``>``), and the lines below it."""

    line: int
    header: str
    body: str


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


def sequence_entries(lines: Iterable[str], where: str) -> Iterator[FastaEntry]:
    """The entries of a FASTA file that holds sequences, over any number of lines, and nothing else.

    Raises:
        UserError: as :func:`fasta_entries`, or below a header stand a sequence and a line of labels.
    """
    labels = _Labels()
    for entry in fasta_entries(lines, where):
        rows = [row.strip() for row in entry.body.strip().split("\n", 2)]
        if labels.in_lines(rows):
            raise UserError(
                f"two lines of {len(rows[0]):,} letters are below the header, and the second looks like labels "
                f"({rows[1][:12]}…), not like residues",
                where=f"{where}:{entry.line}",
                fix="Leave the sequence alone below it, or in a task name the lines: lines: [sequence, label].",
            )
        yield entry


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
        return self._alone(first, second) or self._together()

    def _alone(self, first: str, second: str) -> bool:
        stretches = sum(1 for _ in groupby(second))
        few = len(second) >= _LONG and len(set(second)) <= _FEW and len(set(first)) >= _MANY
        return few and len(second) >= _STRETCH * stretches

    def _together(self) -> bool:
        kinds = len(self._second)
        few = kinds <= _KINDS and self._letters >= max(_LONG, _OFTEN * kinds) and len(self._first) >= kinds + _MORE
        return few and len(self._lengths) > 1
