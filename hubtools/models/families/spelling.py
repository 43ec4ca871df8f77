"""How residues are written for a tokenizer: once for the tokenizer itself, and once as the Python that a card shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hubtools.common.escaping import python_literal


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

    def write(self, sequence: str, protocol: Sequence[str] = ()) -> str | list[str]:
        """A sequence as the tokenizer takes it, after the tokens of a protocol."""
        if self.as_words:
            return [*protocol, *sequence]
        if self.line:
            starts = range(0, len(sequence), self.line)
            return self._before(protocol) + "".join("\n" + sequence[start : start + self.line] for start in starts)
        return self._before(protocol) + self.between.join(residue + self.after for residue in sequence)

    def expression(self, name: str, protocol: Sequence[str] = ()) -> str:
        """Python that computes :meth:`write` of the variable of this name; what comes of it may be a variable alone."""
        if self.as_words:
            return f"[{', '.join(map(python_literal, protocol))}, *{name}]" if protocol else f"list({name})"
        if self.line:
            each = f"{name}[start : start + {self.line}] for start in range(0, len({name}), {self.line})"
            text = f'"".join("\\n" + {each})'
            return f"{python_literal(self._before(protocol))} + {text}" if protocol else text
        each = f"residue + {python_literal(self.after)} for residue in {name}" if self.after else name
        text = f"{python_literal(self.between)}.join({each})" if self.between or self.after else name
        return f"{python_literal(self._before(protocol))} + {text}" if protocol else text

    def _before(self, protocol: Sequence[str]) -> str:
        return "".join(token + self.between for token in protocol)


PLAIN = Spelling("plain", "as they are")
SPACED = Spelling("spaced", "separated by spaces", between=" ")
# As in a FASTA file: the vocabulary may have pieces of several residues, and a line break is a token of its own.
FASTA = Spelling("fasta", "in lines of 60", line=60, of_residues=False)
PIECES = Spelling("pieces", "one by one", as_words=True)
