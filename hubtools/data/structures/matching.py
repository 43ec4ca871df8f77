"""Which residue of a chain is which of a sequence: missing ones, numbering, tags and mutations considered."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from hubtools.common.bounds import MOST_ALIGNED
from hubtools.common.errors import UserError
from hubtools.data.structures.structure_letters import UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hubtools.data.structures.chains import Chain

# What an alignment costs that opens a gap, and each further residue of it; gaps at the ends are free.
_GAP = (-10, -1)
# Of the shorter of the two, the share that must be aligned: a few residues alike say nothing.
_LEAST_ALIGNED = 0.5
# Of the aligned residues the share that must be the sequence's own, where nobody says another: as task files have it.
IDENTITY = 0.9
_ALPHABET = "ACDEFGHIKLMNPQRSTVWY"


@dataclass(frozen=True)
class Match:
    """A chain laid onto a sequence.

    Attributes:
        chain: which.
        places: (residues of the sequence,) the residue of the chain, -1 where it has none.
        identity: share of the aligned residues that are the same.
        aligned: how many are aligned.
    """

    chain: Chain
    places: np.ndarray
    identity: float
    aligned: int

    def letters(self, plddt: float | None = None) -> str:
        """A 3Di letter for each residue of the sequence; # for those that the chain lacks, or is not sure of."""
        found = []
        for place in self.places.tolist():
            # Written so that a confidence that is not a number is none.
            sure = place >= 0 and (plddt is None or self.chain.confidence[place] >= plddt)
            found.append(self.chain.letters[place] if sure else UNKNOWN)
        return "".join(found)


def best_match(sequence: str, chains: Sequence[Chain], identity: float, where: str) -> Match:
    """The chain that fits a sequence best.

    Args:
        sequence: of the row, in canonical form.
        chains: of the file.
        identity: share of the aligned residues that must be the same.
        where: protein and file, for messages.

    Raises:
        UserError: none fits; the two are too long to be aligned.
    """
    matches = [_match(sequence, chain, where) for chain in _distinct(chains)]
    best = max(matches, key=lambda match: match.identity * match.aligned)
    shorter = min(len(sequence), len(best.chain))
    if best.aligned < _LEAST_ALIGNED * shorter or best.identity < identity:
        raise UserError(
            f"the structure is not the protein's: of its chain {best.chain.name} {best.aligned:,} of {len(best.chain):,} "
            f"residues align, {100 * best.identity:.0f} % of them the same (needed: {100 * identity:.0f} %)",
            where=where,
            fix="Name its own file or chain, or lower data.structures.identity.",
        )
    return best


def _distinct(chains: Sequence[Chain]) -> list[Chain]:
    """The chains, of those with the same residues the first: copies of a protein align alike."""
    return list({(chain.residues, tuple(chain.numbers.tolist())): chain for chain in reversed(chains)}.values())[::-1]


def _match(sequence: str, chain: Chain, where: str) -> Match:
    places = _by_number(sequence, chain)
    if places is None:
        places = _aligned(sequence, chain, where)
    at = np.flatnonzero(places >= 0)
    # What a letter does not tell, X in either, is no evidence against it.
    same = np.array(
        [a == b or "X" in (a, b) for a, b in ((sequence[i], chain.residues[places[i]]) for i in at.tolist())],
        dtype=bool,
    )
    start, stop = _core(same)
    places[at[:start]] = places[at[stop:]] = -1
    return Match(chain, places, float(same[start:stop].mean()) if stop > start else 0.0, stop - start)


def _core(same: np.ndarray) -> tuple[int, int]:
    """The stretch of aligned residues in which those that are the same outnumber the others most.

    Ends are free, but an alignment lays a tag onto what the file lacks of the sequence, where both have residues.
    """
    rises = np.r_[0, np.cumsum(np.where(same, 1, -1))]
    lowest = np.minimum.accumulate(rises)
    stop = int(np.argmax(rises - lowest))
    return int(np.argmin(rises[: stop + 1])), stop


def _by_number(sequence: str, chain: Chain) -> np.ndarray | None:
    """Places by the file's own numbers, where with one shift every residue is that of the sequence.

    An alignment cannot tell which of several equal residues beside a gap is missing; numbers can.
    """
    numbers = chain.numbers.astype(np.int64)
    if len(np.unique(numbers)) < len(numbers):
        return None
    text = np.frombuffer(sequence.encode(), dtype=np.uint8)
    own = np.frombuffer(chain.residues.encode(), dtype=np.uint8)
    at = numbers - numbers[0]
    fitting = [
        start
        for start in np.flatnonzero(text == own[0]).tolist()
        if start + at.min() >= 0 and start + at.max() < len(text) and np.array_equal(text[start + at], own)
    ]
    if len(fitting) != 1:
        return None
    places = np.full(len(text), -1, dtype=np.int64)
    places[fitting[0] + at] = np.arange(len(own))
    return places


def _aligned(sequence: str, chain: Chain, where: str) -> np.ndarray:
    """Places by the best alignment with free ends."""
    from biotite.sequence.align import align_optimal

    if len(sequence) * len(chain) > MOST_ALIGNED:
        raise UserError(
            f"a sequence of {len(sequence):,} residues and a chain of {len(chain):,} are too long to be aligned",
            where=where,
            fix="Give a column of 3Di letters.",
        )
    best = align_optimal(
        _coded(sequence), _coded(chain.residues), _matrix(), gap_penalty=_GAP, terminal_penalty=False, max_number=1
    )[0]
    trace = best.trace[(best.trace >= 0).all(axis=1)]
    places = np.full(len(sequence), -1, dtype=np.int64)
    places[trace[:, 0]] = trace[:, 1]
    return places


def _coded(residues: str) -> Any:
    from biotite.sequence import ProteinSequence

    return ProteinSequence("".join(letter if letter in _ALPHABET else "X" for letter in residues))


@cache
def _matrix() -> Any:
    from biotite.sequence.align import SubstitutionMatrix

    return SubstitutionMatrix.std_protein_matrix()
