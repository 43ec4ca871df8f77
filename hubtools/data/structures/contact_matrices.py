"""Contacts as a matrix in NumPy's format (.npy), as the Protein Benchmarking Collection (PBC) has them: 1, 0, or -1 where it is not known."""

from __future__ import annotations

import io
from typing import Any

import numpy as np

from hubtools.common.errors import UserError
from hubtools.common.readers import reads
from hubtools.data.structures.contacts import NEAREST, refuse_long


@reads("contact matrix")
def matrix_row(content: bytes, name: str, where: str) -> dict[str, Any]:
    """The row of one protein: id, and label as :func:`hubtools.data.structures.contacts.listed` reads it.

    Args:
        content: of the file.
        name: of the protein.
        where: the file, for messages.

    Raises:
        UserError: it is no square matrix of 1, 0 and -1 that is the same across its diagonal; or of two residues whose places are
            known it does not say whether they touch.
    """
    square = square_array(content, where)
    square = square.astype(np.int8) if square.dtype.kind == "b" else square
    if not np.isin(square, (-1, 0, 1)).all() or not np.array_equal(square, square.T):
        raise UserError(
            "it is no contact matrix: its values are to be 1, 0 and -1, the same on both sides of the diagonal",
            where=where,
            fix="Give True or 1 where two residues touch, -1 where that is not known.",
        )
    length = len(square)
    apart = ~np.eye(length, dtype=bool)
    unknown = ((square == -1) | ~apart).all(axis=1) if length > 1 else np.zeros(length, dtype=bool)
    known = ~unknown
    if (square[np.ix_(known, known)] == -1)[apart[np.ix_(known, known)]].any():
        raise UserError(
            "it does not know of some pairs of residues, of which it knows others",
            where=where,
            fix="A residue is known or not: let all of its row and column be -1.",
        )
    first, second = (ends + 1 for ends in np.nonzero(np.triu(square == 1, NEAREST)))
    pairs = [f"{i}-{j}" for i, j in zip(first.tolist(), second.tolist(), strict=True)]
    alone = [str(place) for place in (np.flatnonzero(unknown) + 1).tolist()]
    return {"id": name, "label": ";".join([*pairs, *alone]), "residues": length}


@reads("NumPy array")
def square_array(content: bytes, where: str) -> np.ndarray:
    """The square of numbers that a file in NumPy's format holds. Its size is known before it is read, and nothing in it is run.

    Raises:
        UserError: its header does not say such a square that is not too large, and is there.
    """
    stream, form = io.BytesIO(content), np.lib.format
    try:
        version = form.read_magic(stream)
        header = {(1, 0): form.read_array_header_1_0, (2, 0): form.read_array_header_2_0}[version]
        shape, _, dtype = header(stream)
    # What a damaged header is found by is of many kinds, and always the same finding.
    except (MemoryError, Exception):
        raise UserError("it is no array in NumPy's format", where=where, fix="Get the file again.") from None
    if len(shape) != 2 or shape[0] != shape[1] or dtype.kind not in "biuf" or not shape[0]:
        raise UserError(f"it is no square matrix of numbers, but {shape} {dtype}"[:200], where=where)
    refuse_long(shape[0], where)
    if len(content) - stream.tell() < shape[0] * shape[1] * dtype.itemsize:
        raise UserError("the file ends early", where=where, fix="Get it again.")
    found: np.ndarray = np.load(io.BytesIO(content), allow_pickle=False)
    return found
