"""How residues are written for a tokenizer: once for the tokenizer itself, and once as the Python that a card shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hubtools.common.escaping import python_literal
from hubtools.data.structures.structure_letters import UNKNOWN


@dataclass(frozen=True)
class ProtocolTokens:
    """Tokens that the authors of checkpoints put around every protein, and their tokenizer does not.

    Attributes:
        before, after: what stands before the protein and behind it.
    """

    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """As recipes call it: the tokens without their brackets.

        >>> ProtocolTokens(("[NLU]",)).name, ProtocolTokens(("1",), ("2",)).name
        ('NLU', '1 2')
        """
        return " ".join(token.strip("[]<>") for token in (*self.before, *self.after))


@dataclass(frozen=True)
class Spelling:
    """A way to write a protein for a tokenizer.

    Attributes:
        name: as records show it.
        title: of residues written so: they are written "as they are", "separated by spaces".
        between: stands between two residues, and between a token of the protocol and what follows it.
        after: stands after each residue.
        as_words: the tokenizer is given a list, one residue an item, instead of a text.
        line: residues of a line, where a line break stands before each; 0 where there are no lines.
        of_residues: whether a token stands for a residue alone, so that its likelihood is that of the residue.
    """

    name: str
    title: str
    between: str = ""
    after: str = ""
    as_words: bool = False
    line: int = 0
    of_residues: bool = True

    @property
    def structured(self) -> bool:
        """Whether tokens are of a residue and a 3Di letter each; ``after`` is then what stands for one that is not known."""
        return not self.of_residues and self.after == UNKNOWN

    @property
    def unknown(self) -> str:
        """The letter of a residue that is not known: X, or what stands for that beside structure."""
        return self.after if self.structured else "X"

    def write(self, sequence: str, protocol: Sequence[str] = (), ending: Sequence[str] = ()) -> str | list[str]:
        """A sequence as the tokenizer takes it, after the tokens of a protocol and before those that end it."""
        if self.as_words:
            return [*protocol, *sequence, *ending]
        before, after = self._around(protocol, ending)
        if self.line:
            starts = range(0, len(sequence), self.line)
            return before + "".join("\n" + sequence[start : start + self.line] for start in starts) + after
        return before + self.between.join(residue + self.after for residue in sequence) + after

    def expression(self, name: str, protocol: Sequence[str] = (), ending: Sequence[str] = ()) -> str:
        """Python that computes :meth:`write` of the variable of this name; what comes of it may be a variable alone."""
        if self.as_words:
            around = [*map(python_literal, protocol), f"*{name}", *map(python_literal, ending)]
            return f"[{', '.join(around)}]" if protocol or ending else f"list({name})"
        each = f"residue + {python_literal(self.after)} for residue in {name}" if self.after else name
        text = f"{python_literal(self.between)}.join({each})" if self.between or self.after else name
        if self.line:
            lines = f"{name}[start : start + {self.line}] for start in range(0, len({name}), {self.line})"
            text = f'"".join("\\n" + {lines})'
        before, after = (python_literal(part) if part else "" for part in self._around(protocol, ending))
        return " + ".join(filter(None, (before, text, after)))

    def _around(self, protocol: Sequence[str], ending: Sequence[str]) -> tuple[str, str]:
        before = "".join(token + self.between for token in protocol)
        return before, "".join(self.between + token for token in ending)


PLAIN = Spelling("plain", "as they are")
SPACED = Spelling("spaced", "separated by spaces", between=" ")
# As in a FASTA file: the vocabulary may have pieces of several residues, and a line break is a token of its own.
FASTA = Spelling("fasta", "in lines of 60", line=60, of_residues=False)
PIECES = Spelling("pieces", "one by one", as_words=True)
