"""The one form in which a checkpoint reads proteins: for its tokenizer, in the record, and as the Python that a card shows."""

from __future__ import annotations

import string
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from hubtools.common.escaping import python_comment, python_literal
from hubtools.models.families.known_families import spelling_named
from hubtools.models.families.spelling import PLAIN, ProtocolTokens, Spelling

if TYPE_CHECKING:
    from hubtools.specs.record import AlignmentFacts, TokenFacts

# The twenty, which every vocabulary that is read by residues must have.
STANDARD = "ACDEFGHIKLMNPQRSTVWY"
EVERY_LETTER = string.ascii_uppercase


@dataclass(frozen=True)
class CanonicalForm:
    """How a protein is written for a tokenizer: upper case, X for some letters, spelt, after the tokens of a protocol.

    Attributes:
        spelling: how residues are written.
        protocol: tokens that stand before every protein, because the checkpoint's authors put them there.
        ending: those that they put behind it.
        letters: those that are read as themselves; the others are read as X, because the vocabulary lacks them or the
            authors put X in their place in pre-training.
    """

    spelling: Spelling
    protocol: tuple[str, ...] = ()
    letters: str = EVERY_LETTER
    ending: tuple[str, ...] = ()

    @classmethod
    def recorded(
        cls, alignment: AlignmentFacts | None, tokens: TokenFacts | None, usual: CanonicalForm
    ) -> CanonicalForm:
        """That of a run's record; ``usual`` in what an old one does not say.

        Raises:
            UserError: it names a spelling that no family has that is known here.
        """
        if alignment is None:
            # Subwords: the tokenizer reads the sequence as it is, or in lines.
            if tokens is None:
                return usual
            spelling, protocol = spelling_named(tokens.rendering or PLAIN.name, tuple(tokens.protocol))
            return cls(spelling, protocol, ending=tuple(tokens.protocol_after))
        letters = alignment.letters or usual.letters
        if not alignment.rendering:
            return replace(usual, letters=letters)
        spelling, protocol = spelling_named(alignment.rendering, tuple(tokens.protocol) if tokens else ())
        return cls(spelling, protocol, letters, tuple(tokens.protocol_after) if tokens else ())

    @property
    def as_x(self) -> str:
        """Letters that are read as X (or as what else stands for a residue that is not known), in order."""
        unknown = self.spelling.unknown
        return "".join(letter for letter in EVERY_LETTER if letter not in self.letters and letter != unknown)

    @property
    def title(self) -> str:
        """How residues are written, in words."""
        after, before = (
            f" {word} {' '.join(it)}" if it else "" for word, it in (("after", self.protocol), ("before", self.ending))
        )
        return f"{self.spelling.title}{after}{' and' if after and before else ''}{before}"

    @property
    def around(self) -> ProtocolTokens:
        """The tokens of the protocol, before and behind."""
        return ProtocolTokens(self.protocol, self.ending)

    @property
    def _tokens(self) -> tuple[tuple[str, ...], ...]:
        """Of the protocol as a spelling takes them; one that somebody derived may know of those before alone."""
        return (self.protocol, self.ending) if self.ending else (self.protocol,)

    def residues(self, sequence: str) -> str:
        """The letters that are read: upper case, those of :attr:`as_x` replaced."""
        return sequence.upper().translate(dict.fromkeys(map(ord, self.as_x), self.spelling.unknown))

    def write(self, sequence: str) -> str | list[str]:
        """What the tokenizer is given."""
        return self.spelling.write(self.residues(sequence), *self._tokens)

    def lines(self, sequences: Sequence[str], chains: Sequence[str] = ()) -> list[str]:
        """Lines of Python that bring one example, or several together, into these letters, or stop where a task would.

        Args:
            sequences: one, the two of a pair, or the chains of a protein.
            chains: what those are called.
        """
        as_x = f're.sub("[{self.as_x}]", {python_literal(self.spelling.unknown)}, sequence)'
        why = "  # letters that the vocabulary lacks, or that were never trained"
        letters = "sequence.isascii() and sequence.isalpha()"
        if len(sequences) > 1:
            given = f"({', '.join(map(python_literal, sequences))})"
            name, order = ("chains", ", ".join(chains)) if chains else ("pair", "in any order")
            return [
                f'{name} = [sequence.upper().rstrip("*") for sequence in {given}]  # {python_comment(order)}',
                f"assert all({letters} for sequence in {name})  # residues alone: neither spaces nor gaps",
                *([f"read = [{as_x} for sequence in {name}]{why}"] if self.as_x else []),
            ]
        return [
            f'sequence = {python_literal(sequences[0])}.upper().rstrip("*")',
            f"assert {letters}  # residues alone: neither spaces nor gaps",
            *([f"read = {as_x}{why}"] if self.as_x else []),
        ]

    def arguments(self, proteins: int = 1, chains: int = 1) -> str:
        """The first arguments of the tokenizer's call after :meth:`lines`, as Python.

        Args:
            proteins: 1, or 2 of a pair.
            chains: of a protein.
        """
        name = "read" if self.as_x else "pair" if proteins > 1 else "chains" if chains > 1 else "sequence"
        options = ["is_split_into_words=True"] if self.spelling.as_words else []
        if proteins == chains == 1:
            return ", ".join([self.spelling.expression(name, *self._tokens), *options])
        each = self.spelling.expression("sequence", *self._tokens)
        batch = name if each == "sequence" else f"[{each} for sequence in {name}]"
        return ", ".join([batch, *options, "padding=True"])

    def with_structure(self, sequence: str, structure: str) -> str:
        """What the tokenizer is given of residues and their 3Di letters, where the spelling is of both."""
        before = str(self.spelling.write("", self.protocol))
        return before + "".join(a + b for a, b in zip(self.residues(sequence), structure, strict=True))
