"""Sequences in their one canonical form: upper-case letters A to Z, nothing else."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from hubtools.common.bounds import LONGEST_PROTEIN
from hubtools.common.errors import UserError
from hubtools.common.readers import reads

_OTHER = re.compile(r"[^A-Z]")
_SPACE = re.compile(r"\s+")
_GAP = re.compile("[-.]")
_IN_ALIGNMENT = "Remove the gaps: a column of an alignment is not a residue."
_REMEDIES = {
    "-": _IN_ALIGNMENT,
    ".": _IN_ALIGNMENT,
    "*": "Cut the protein at the stop codon, or leave it out.",
    ":": "Chains are read where a task says that its proteins have several: columns.sequence: [heavy, light], or chains: 2.",
}


@reads("sequence cell")
def canonical_sequences(
    cells: Sequence[Any], ids: Sequence[str], task: str, marker: str | None = None, gaps: bool = False
) -> tuple[list[str], list[npt.NDArray[np.bool_]] | None, Counter[str]]:
    """Sequences without white space and without the stop at the end, upper-cased.

    Args:
        cells: as the files have them.
        ids: what the proteins are called in messages.
        task: name of the task, for messages.
        marker: character that follows a marked residue and is no residue itself.
        gaps: whether those of an alignment, ``-`` and ``.``, are removed. Where labels or numbers are of residues they could be of
            columns: there a gap is refused.

    Returns:
        The sequences; with a marker, for each a boolean per residue; how many sequences were changed, by reason.

    Raises:
        UserError: an empty sequence, or something in it that is not a residue, with its position from 1.
    """
    changed: Counter[str] = Counter()
    sequences: list[str] = []
    marked: list[npt.NDArray[np.bool_]] | None = [] if marker else None
    for cell, name in zip(cells, ids, strict=True):
        where = f"task {task}, {name}"
        if not isinstance(cell, str):
            raise UserError(
                f"the sequence is not text (it is {cell!r:.40})", where=where, fix="Correct data.columns.sequence."
            )
        text = cell.strip()
        if len(text) > LONGEST_PROTEIN:
            raise UserError(
                f"the sequence has more than {LONGEST_PROTEIN:,} residues, as no protein does",
                where=where,
                fix="Remove it.",
            )
        if marker is None or not marker.isspace():
            joined = _SPACE.sub("", text)
            if joined != text:
                text = joined
                changed["white space removed"] += 1
        if gaps and (joined := without_gaps(text)) != text:
            text = joined
            changed["gaps of an alignment removed"] += 1
        if text.endswith("*"):
            text = text.rstrip("*")
            changed["stop at the end removed"] += 1
        if marker is not None and marked is not None:
            text, marks = _unmarked(text, marker, where)
            marked.append(marks)
        if not text.isupper() and text.upper() != text:
            text = text.upper()
            changed["upper-cased"] += 1
        if not text:
            raise UserError("the sequence is empty", where=where, fix="Remove the row.")
        if bad := _OTHER.search(text):
            raise UserError(
                f"the sequence holds {bad[0]!r} at position {bad.start() + 1}, which is no residue",
                where=where,
                fix=remedy(bad[0]),
            )
        sequences.append(text)
    return sequences, marked, changed


def without_gaps(text: str) -> str:
    """A row of an alignment as the protein that it is of."""
    return _GAP.sub("", text)


def remedy(character: str) -> str:
    """What to do about a character in a sequence that is no residue."""
    return _REMEDIES.get(character, "Only letters stand for residues. Correct the data.")


def _unmarked(text: str, marker: str, where: str) -> tuple[str, npt.NDArray[np.bool_]]:
    """The sequence without the markers, and which residues they followed."""
    pieces = text.split(marker)
    if not all(pieces[:-1]):
        raise UserError(
            f"a site marker {marker!r} follows no residue", where=where, fix="One marker follows the residue it marks."
        )
    marks = np.zeros(len(text) - len(pieces) + 1, dtype=bool)
    marks[np.cumsum([len(piece) for piece in pieces[:-1]], dtype=np.int64) - 1] = True
    return "".join(pieces), marks


def letters_outside(sequences: Sequence[str]) -> dict[str, int]:
    """How often each letter that is not one of the twenty amino acids occurs."""
    counts = Counter[str]()
    for letter in "BJOUXZ":
        if found := sum(sequence.count(letter) for sequence in sequences):
            counts[letter] = found
    return dict(counts)
