"""Which residues of a protein touch: from coordinates, or as listed.

Two residues touch where their β carbons, of glycine the α carbon, are less than 8 Å apart, as CASP and ESM count them.
Neighbours in the sequence nearly always are, so that pairs of a separation below six have no label.

The labels of a protein are (L × (L − 1) / 2,) int8: 1 where two residues touch, 0 where they do not, -100 where it is not
scored. The pair of the residues i < j, from 0, stands at j × (j − 1) / 2 + i, whatever the protein's length.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hubtools.common.bounds import LONGEST_CHAIN
from hubtools.common.errors import UserError
from hubtools.common.readers import reads

if TYPE_CHECKING:
    from hubtools.data.structures.chains import Chain

CUTOFF = 8.0  # Å
NEAREST = 6  # smallest separation that is scored
NOT_SCORED = -100
# The column of rows that are read from structure files, beside those that any table may have.
PLACES = "places"
_TOO_MANY = "have too many pairs"
# Two α carbons farther apart than this, in Å, are not of neighbours: one residue at least is missing between them.
_BONDED = 4.5


def pairs_of(places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The residues i < j, from 0, of places in the labels."""
    places = np.asarray(places, dtype=np.int64)
    second = ((1 + np.sqrt(1 + 8 * places.astype(np.float64))) // 2).astype(np.int64)
    # What a root of a large number is rounded by.
    second -= second * (second - 1) // 2 > places
    second += (second + 1) * second // 2 <= places
    return places - second * (second - 1) // 2, second


def places_of(length: int) -> tuple[np.ndarray, np.ndarray]:
    """The residues i < j of all labels of a protein, in their order."""
    second, first = np.tril_indices(length, -1)
    return first, second


def labels_of(touching: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Labels from a map.

    Args:
        touching: (L, L) bool, symmetric.
        known: (L,) bool, whether a residue's place is known.
    """
    first, second = places_of(len(known))
    scored = known[first] & known[second] & (second - first >= NEAREST)
    return np.where(scored, touching[first, second], NOT_SCORED).astype(np.int8)


def touching(places: np.ndarray) -> np.ndarray:
    """(L, L) bool: whether residues at (L, 3) coordinates in Å are less than 8 Å apart; False where one is NaN."""
    squares = np.zeros((len(places), len(places)))
    for axis in places.T:
        squares += (axis[:, None] - axis[None, :]) ** 2
    return squares < CUTOFF**2


@reads("listed contacts")
def listed(cell: object, length: int, where: str) -> np.ndarray:
    """Labels from text such as ``3-17;5-22;40``: pairs that touch, and alone a residue of which nothing is known.

    Args:
        cell: residues from 1.
        length: of the protein.
        where: protein, for messages.

    Raises:
        UserError: it is something else, or names a residue that the protein does not have.
    """
    refuse_long(length, where)
    square, known = np.zeros((length, length), dtype=bool), np.ones(length, dtype=bool)
    for part in filter(None, (part.strip() for part in str(cell).split(";"))):
        numbers = part.split("-")
        if len(numbers) > 2 or not all(number.isascii() and number.isdigit() for number in numbers):
            raise UserError(
                f"{part[:40]!r} is no pair of residues",
                where=where,
                fix="Write pairs that touch as 3-17;5-22, and alone a residue whose place is not known.",
            )
        at = [int(number) - 1 if len(number) < 10 else length for number in numbers]
        if min(at) < 0 or max(at) >= length:
            raise UserError(f"{part!r} names a residue that is not one of 1 to {length:,}", where=where)
        if len(at) == 1:
            known[at[0]] = False
        else:
            square[at[0], at[1]] = square[at[1], at[0]] = True
    return labels_of(square, known)


def chain_rows(chains: Sequence[Chain], name: str, where: str) -> list[dict[str, Any]]:
    """A row for each chain of a file whose residues no chain before it has: id, sequence, label, chain, places.

    Residues that the file lacks between two others are X in the sequence, as many as its numbers say, where the two are not
    bonded: the separation of the others is then that of the protein. The label is as :func:`listed` reads it; places
    are the (L, 3) α carbons in Å, NaN where one is not known.

    Args:
        chains: of the file.
        name: of the file; the id, with the chain's name behind where there are several.
        where: the file, for messages.

    Raises:
        UserError: a chain is longer than the largest whose contacts are counted.
    """
    rows = []
    for chain, at, row in protein_chains(chains, name, where, LONGEST_CHAIN, _TOO_MANY):
        length = len(row["sequence"])
        places = np.full((length, 3), np.nan)
        places[at] = chain.beta
        lacking = np.flatnonzero(np.isnan(places).any(axis=1)) + 1
        first, second = (ends + 1 for ends in np.nonzero(np.triu(touching(places), NEAREST)))
        cell = [f"{i}-{j}" for i, j in zip(first.tolist(), second.tolist(), strict=True)]
        label = ";".join([*cell, *map(str, lacking.tolist())])
        alphas = np.full((length, 3), np.nan)
        alphas[at] = chain.alpha
        rows.append(row | {"label": label, PLACES: alphas})
    return rows


def protein_chains(
    chains: Sequence[Chain], name: str, where: str, most: int, too_long: str
) -> Iterator[tuple[Chain, np.ndarray, dict[str, Any]]]:
    """Each chain whose residues no chain before it has, since copies of a protein are one; where its residues stand, as of
    :func:`in_sequence`; and id, sequence and chain of its row.

    Args:
        chains, name, where: as of :func:`chain_rows`.
        most: residues of a sequence, those that the file lacks among them.
        too_long: what is wrong with more of them.

    Raises:
        UserError: a chain has more, as damaged numbers of a file may say.
    """
    distinct = list({chain.residues: chain for chain in reversed(chains)}.values())[::-1]
    for chain in distinct:
        at = in_sequence(chain)
        length = int(at[-1]) + 1
        _refuse_more(length, most, too_long, f"{where}, chain {chain.name}")
        letters = np.full(length, "X")
        letters[at] = list(chain.residues)
        own = name if len(distinct) == 1 else f"{name}_{chain.name}"
        yield chain, at, {"id": own, "sequence": "".join(letters), "chain": chain.name}


def in_sequence(chain: Chain) -> np.ndarray:
    """Where each residue of a chain stands in its sequence, from 0; (residues,).

    The next one is its neighbour where the two are bonded, or numbers do not rise; else as many are missing as numbers say.
    """
    numbered = np.diff(chain.numbers.astype(np.int64))
    return np.r_[0, np.cumsum(np.where(bonded(chain) | (numbered < 1), 1, numbered))]


def bonded(chain: Chain) -> np.ndarray:
    """Whether each residue but the last is bonded to the next; (residues - 1,)."""
    apart = np.sqrt(((chain.alpha[1:] - chain.alpha[:-1]) ** 2).sum(axis=1))
    # Written so that a distance that is not known is none of neighbours.
    return apart < _BONDED


def refuse_long(length: int, where: str) -> None:
    """Raise where a protein has more residues than pairs are counted of."""
    _refuse_more(length, LONGEST_CHAIN, _TOO_MANY, where)


def _refuse_more(length: int, most: int, too_long: str, where: str) -> None:
    if length > most:
        raise UserError(
            f"{length:,} residues {too_long} (at most {most:,} residues)",
            where=where,
            fix="Leave it out, or cut it into domains.",
        )
