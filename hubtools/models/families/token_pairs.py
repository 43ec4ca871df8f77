"""Tokens of a residue and a 3Di letter each, as SaProt reads them: a table of all pairs, and what stands for a hidden residue."""

from __future__ import annotations

import string
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from hubtools.data.structures.structure_letters import LETTERS, UNKNOWN


@dataclass(frozen=True)
class TokenPairs:
    """Tokens by residue and 3Di letter.

    Attributes:
        tokens: (256, 256) of each pair of ASCII letters, below zero where there is none.
        masked: (256,) of a residue that is hidden, by the 3Di letter that stays.
    """

    tokens: np.ndarray
    masked: np.ndarray

    @classmethod
    def tabulate(cls, read: Callable[[str], list[int]], letters: str, residues: np.ndarray) -> TokenPairs | None:
        """The table of a tokenizer, or None where it has no token of its own for some pair.

        Args:
            read: tokens of a text, without special ones.
            letters: residues that have tokens of their own.
            residues: (256,) tokens of residues whose structure is not known. Capitals beyond ``letters`` are read as residues
                that are hidden, in any structure.
        """
        tokens, masked = np.repeat(residues[:, None], 256, axis=1), np.full(256, -1, dtype=np.int64)
        for structure in (*LETTERS, UNKNOWN):
            # Of many pairs at once: that each is one token shows in their number, that it is its own below.
            ids = read("".join(residue + structure for residue in letters + UNKNOWN))
            if len(ids) != len(letters) + 1:
                return None
            tokens[[ord(letter) for letter in string.ascii_uppercase], ord(structure)] = ids[-1]
            tokens[[ord(letter) for letter in letters], ord(structure)] = ids[:-1]
            masked[ord(structure)] = ids[-1]
        known = tokens[[ord(letter) for letter in letters]][:, [ord(s) for s in LETTERS + UNKNOWN]]
        hidden = masked[[ord(structure) for structure in LETTERS + UNKNOWN]]
        if len({*known.flatten().tolist(), *hidden.tolist()}) < known.size + hidden.size:
            return None
        return cls(tokens, masked)

    def encode(self, sequence: str, structure: str) -> np.ndarray:
        """Tokens of residues with their 3Di letters: (residues,) int64, below zero where there is none."""
        return self.tokens[_bytes(sequence), _bytes(structure)]

    def hidden(self, structure: str) -> np.ndarray:
        """Tokens of hidden residues with these 3Di letters: (residues,) int64."""
        return self.masked[_bytes(structure)]

    def of_residues(self, letters: str) -> np.ndarray:
        """All tokens that have each of these residues: (letters, 21) int64."""
        return self.tokens[_bytes(letters)][:, _bytes(LETTERS + UNKNOWN)]


def _bytes(text: str) -> np.ndarray:
    return np.frombuffer(text.encode("latin-1", "replace"), dtype=np.uint8)
