"""How residues are written for a tokenizer: once for the tokenizer itself, and once as the Python that a card shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hubtools.common.escaping import python_literal
from hubtools.data.structures.structure_letters import UNKNOWN


@dataclass(frozen=True)
class Spelling:
    """A way to write a protein for a tokenizer.

    Attributes:
        name: as records show it.
        title: of residues written so: they are written "as they are", "separated by spaces".
        between: stands between two residues, and between a token of the protocol and what follows it.
        after: stands after each residue.
        as_words: the tokenizer is given a list, one residue an item, instead of a text.
        of_residues: whether a token stands for a residue alone, so that its likelihood is that of the residue.
    """

    name: str
    title: str
    between: str = ""
    after: str = ""
    as_words: bool = False
    of_residues: bool = True

    @property
    def structured(self) -> bool:
        """Whether tokens are of a residue and a 3Di letter each; ``after`` is then what stands for one that is not known."""
        return not self.of_residues and self.after == UNKNOWN

    @property
    def unknown(self) -> str:
        """The letter of a residue that is not known: X, or what stands for that beside structure."""
        return self.after if self.structured else "X"

    def write(self, sequence: str, protocol: Sequence[str] = ()) -> str | list[str]:
        """A sequence as the tokenizer takes it, after the tokens of a protocol."""
        if self.as_words:
            return [*protocol, *sequence]
        return self._before(protocol) + self.between.join(residue + self.after for residue in sequence)

    def expression(self, name: str, protocol: Sequence[str] = ()) -> str:
        """Python that computes :meth:`write` of the variable of this name; what comes of it may be a variable alone."""
        if self.as_words:
            return f"[{', '.join(map(python_literal, protocol))}, *{name}]" if protocol else f"list({name})"
        each = f"residue + {python_literal(self.after)} for residue in {name}" if self.after else name
        text = f"{python_literal(self.between)}.join({each})" if self.between or self.after else name
        return f"{python_literal(self._before(protocol))} + {text}" if protocol else text

    def _before(self, protocol: Sequence[str]) -> str:
        return "".join(token + self.between for token in protocol)


PLAIN = Spelling("plain", "as they are")
SPACED = Spelling("spaced", "separated by spaces", between=" ")
PIECES = Spelling("pieces", "one by one", as_words=True)
