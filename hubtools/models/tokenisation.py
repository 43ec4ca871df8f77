"""One token per residue, proven: the mapping residue -> token of any checkpoint, as a table lookup."""

from __future__ import annotations

import contextlib
import itertools
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from hubtools.common.errors import UserError, in_brackets
from hubtools.common.readers import reads
from hubtools.common.telling import bar
from hubtools.models.families import PLAIN, CanonicalForm, Family, ProtocolTokens, Spelling, family_of
from hubtools.models.families.canonical_form import EVERY_LETTER
from hubtools.models.families.canonical_form import STANDARD as STANDARD
from hubtools.models.families.family import entry
from hubtools.models.own_tokenizer import (
    CannotRead,
    around,
    form_tokens,
    not_added,
    pad_with_a_token_of_the_model,
    piece_of_several,
    read_tokens,
    refuse_lower_casing,
)
from hubtools.specs.record import AlignmentFacts, TokenFacts

if TYPE_CHECKING:
    from hubtools.models.checkpoint import Checkpoint

# The proof on the data itself runs the checkpoint's own tokenizer on about this many residues.
SAMPLE_RESIDUES = 200_000
# Largest share of tokens that may be unknown to the vocabulary. Letters beyond the twenty and X are a per cent of the
# residues of a usual data set at most; what reads more of it as unknown was not made for proteins.
UNKNOWN_LIMIT = 0.03
# What a recipe says where no tokens of a protocol are to be put around proteins.
NO_PROTOCOL = "none"


def _in_pieces(family: Family) -> Spelling:
    """How a protein is written for a vocabulary whose tokens are not residues."""
    return next((spelling for spelling in family.spellings if spelling.line), PLAIN)


class NotAligned(Exception):
    """The tokenizer is not one token per residue; the message says how that showed."""


@dataclass(frozen=True)
class ResidueTokeniser:
    """A checkpoint's tokenizer as bench uses it.

    Attributes:
        tokenizer: the checkpoint's own tokenizer, saved with the model.
        form: how proteins are written for that tokenizer: spelling, tokens of the protocol, letters read as X.
        prefix, suffix: special tokens around every sequence, those of the protocol among them.
        table: (256,) token of each ASCII letter, below zero where nothing stands for it; None where the tokenizer is not
            one token per residue.
        why_not: why there is no table. A protein is then read as the tokenizer reads it, in whatever pieces.
        name: of the checkpoint, for messages.
        rows: of its embedding matrix, where its configuration says.
    """

    tokenizer: Any
    form: CanonicalForm
    prefix: tuple[int, ...]
    suffix: tuple[int, ...]
    table: np.ndarray | None
    why_not: str = ""
    name: str | None = None
    rows: int | None = None

    @classmethod
    @reads("tokenizer of a checkpoint")
    def from_checkpoint(cls, checkpoint: Checkpoint, protocol: str | None = None) -> ResidueTokeniser:
        """Probe the checkpoint's tokenizer.

        Args:
            checkpoint: resolved.
            protocol: name of one that its family has, ``none`` for no tokens; by default the usual one.

        Raises:
            UserError: the checkpoint has no tokenizer that transformers can load, or its family no such protocol.
        """
        from transformers import AutoTokenizer

        folder, family = checkpoint.files(), family_of(checkpoint.config)
        make = None if family.dialect is None else family.dialect.tokenizer
        try:
            if (
                make is not None
                and not checkpoint.has_tokenizer
                and "AutoTokenizer" not in str(checkpoint.config.get("auto_map"))
            ):
                tokenizer = make()
            else:
                tokenizer = AutoTokenizer.from_pretrained(
                    folder, trust_remote_code=checkpoint.identity.trust_remote_code, clean_up_tokenization_spaces=False
                )
        except BaseException as error:
            # What the tokenizers' own language raises where it gives up is no Exception.
            if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
                raise
            raise UserError(
                f"transformers cannot load its tokenizer{in_brackets(error)}",
                where=checkpoint.name,
                fix="A checkpoint needs its tokenizer files (vocab.txt, tokenizer.json or spiece.model) beside the weights.",
            ) from None
        try:
            found = cls.probe(tokenizer, family, checkpoint.config, protocol)
        except UserError as error:
            raise UserError(error.what, where=checkpoint.name, fix=error.fix) from None
        return replace(found, name=checkpoint.name)

    @classmethod
    def probe(cls, tokenizer: Any, family: Family, config: Any = None, protocol: str | None = None) -> ResidueTokeniser:
        """Find the family's spelling under which each residue is one token of its own, and tabulate it.

        Args:
            tokenizer: the checkpoint's own; its padding token is set where that is none of the model's.
            family: of the checkpoint.
            config: of the checkpoint (config.json, or transformers' object of it), which says how many tokens it knows.
            protocol: as of :meth:`from_checkpoint`.

        Raises:
            UserError: the tokenizer cannot read what its vocabulary holds, or uses tokens that the model does not have.
        """
        refuse_lower_casing(tokenizer)
        rows = entry(config, "vocab_size") if config is not None else None
        rows = rows if isinstance(rows, int) and rows > 0 else None
        pad_with_a_token_of_the_model(tokenizer, rows, entry(config, "pad_token_id") if config is not None else None)
        found = cls._found(tokenizer, family, _protocol(tokenizer, family, protocol), rows)
        if outside := [token for token in (*found.prefix, *found.suffix) if rows is not None and token >= rows]:
            written = tokenizer.convert_ids_to_tokens(outside[0])
            raise UserError(
                f"its tokenizer puts {written!r} (token {outside[0]}) around every protein, and its weights have "
                f"embeddings of {rows} tokens",
                fix="Resize its embeddings to its tokenizer and train them, or take the token out of the tokenizer's files.",
            )
        return found

    @classmethod
    def _found(cls, tokenizer: Any, family: Family, protocol: ProtocolTokens, rows: int | None) -> ResidueTokeniser:
        if (piece := piece_of_several(tokenizer)) is not None:
            # Cut into letters it would pass for aligned, and read what no pre-training showed it.
            why = f"its vocabulary has pieces of several residues, such as {piece!r}"
            return cls._of_pieces(tokenizer, protocol, why, rows, _in_pieces(family))
        reasons = []
        for spelling in family.spellings:
            try:
                return cls._tabulate(tokenizer, spelling, protocol, family.letters_of(spelling), rows)
            except NotAligned as error:
                form = CanonicalForm(spelling, protocol.before, ending=protocol.after)
                reasons.append(f"residues written {form.title}: {error}")
        return cls._of_pieces(tokenizer, protocol, "; ".join(reasons), rows, _in_pieces(family))

    @classmethod
    def _of_pieces(
        cls, tokenizer: Any, protocol: ProtocolTokens, why_not: str, rows: int | None, spelling: Spelling
    ) -> ResidueTokeniser:
        """Per-protein tasks can still read the tokens, whatever they stand for."""
        form = CanonicalForm(spelling, protocol.before, ending=protocol.after)
        prefix, suffix = around(tokenizer, form)
        return cls(tokenizer, form, prefix, suffix, None, why_not, rows=rows)

    @classmethod
    def _tabulate(
        cls, tokenizer: Any, spelling: Spelling, protocol: ProtocolTokens, letters: str | None, rows: int | None
    ) -> ResidueTokeniser:
        form = CanonicalForm(spelling, protocol.before, ending=protocol.after)
        try:
            first, second = (form_tokens(tokenizer, form, letter) for letter in "AC")
        except CannotRead:
            raise NotAligned("no token of its own for A or C") from None
        differing = [i for i, (a, b) in enumerate(zip(first, second, strict=False)) if a != b]
        if len(first) != len(second) or len(differing) != 1:
            raise NotAligned("A and C are not told apart by one token")
        prefix, suffix = tuple(first[: differing[0]]), tuple(first[differing[0] + 1 :])

        def has(token: int | None) -> bool:
            return token is not None and token != tokenizer.unk_token_id and (rows is None or token < rows)

        found: dict[str, int] = {}
        for letter in EVERY_LETTER:
            with contextlib.suppress(CannotRead):
                ids = form_tokens(tokenizer, form, letter)
                if len(ids) == len(prefix) + len(suffix) + 1 and has(ids[len(prefix)]):
                    found[letter] = ids[len(prefix)]
        if letters is not None and "X" in found:
            found = {letter: token for letter, token in found.items() if letter in letters}
        if missing := [letter for letter in STANDARD if letter not in found]:
            raise NotAligned(f"no token of its own for {', '.join(missing)}")
        if len({found[letter] for letter in STANDARD}) < len(STANDARD):
            raise NotAligned("two standard residues share a token")
        unk = tokenizer.unk_token_id
        nothing = -1 if unk is None or (rows is not None and unk >= rows) else unk
        table = np.full(256, -1, dtype=np.int64)
        for letter in EVERY_LETTER:
            table[ord(letter)] = found.get(letter, found.get("X", nothing))
        tokeniser = cls(tokenizer, replace(form, letters="".join(found)), prefix, suffix, table, rows=rows)
        tokeniser._prove_on_alphabet(found)
        return tokeniser

    def _prove_on_alphabet(self, letters: dict[str, int]) -> None:
        """The table equals the tokenizer on the whole alphabet in context: all pairs of neighbours occur."""
        pairs = "".join(a + b for a in letters for b in letters)
        for sequence in ("M", "MK", "".join(letters), pairs, pairs[::-1]):
            try:
                own = self.own_tokens(sequence)
            except CannotRead:
                own = []
            if own != self.with_special(self.encode(sequence)).tolist():
                raise NotAligned(f"the tokenizer reads {sequence[:12]!r}… differently from residue by residue")

    @property
    def rendering(self) -> str:
        """What records call the spelling."""
        return self.form.spelling.name

    @property
    def unknown(self) -> frozenset[str]:
        """Letters that are read as X, or as the unknown token where the vocabulary lacks that, too."""
        return frozenset(EVERY_LETTER) - set(self.form.letters)

    @property
    def aligned(self) -> bool:
        """Whether token i is residue i."""
        return self.table is not None

    @property
    def n_special(self) -> int:
        """Special tokens added to every sequence."""
        return len(self.prefix) + len(self.suffix)

    @property
    def pad_id(self) -> int:
        """Token that fills rows; attention never reads it."""
        return self.tokenizer.pad_token_id if self.tokenizer.pad_token_id is not None else 0

    @property
    def special_ids(self) -> list[int]:
        """Tokens that are never residues."""
        residues = set() if self.table is None else {int(i) for i in self.table if i >= 0}
        special = {*self.tokenizer.all_special_ids, *self.prefix, *self.suffix}
        if self.table is None:
            # What no subword stands for is still a part of the protein.
            special -= {self.tokenizer.unk_token_id} - {*self.prefix, *self.suffix}
        if self.tokenizer.pad_token_id is not None:
            special.add(self.pad_id)
        return sorted(int(i) for i in special - residues)

    def encode(self, sequence: str) -> np.ndarray:
        """Tokens of the residues without special tokens: (residues,) int64.

        Args:
            sequence: in canonical form: upper-case letters.

        Raises:
            UserError: a character that is not a letter A to Z, or that neither the vocabulary nor the model has a token for.
        """
        if self.table is None:
            return self._pieces(sequence)
        ids = self.table[np.frombuffer(sequence.encode("latin-1", "replace"), dtype=np.uint8)]
        if len(ids) and ids.min() < 0:
            position = int(np.argmax(ids < 0))
            letter, where = sequence[position], f"at residue {position + 1}"
            if letter in EVERY_LETTER:
                raise UserError(
                    f"{letter!r} {where} is not in its vocabulary, which has neither X nor an unknown token",
                    where=self.name,
                    fix="Leave out proteins with other letters than its own, or choose another checkpoint.",
                )
            raise UserError(f"{letter!r} {where} is not an amino acid letter", fix="Use A to Z.")
        return ids

    def _pieces(self, sequence: str) -> np.ndarray:
        """The tokenizer's own tokens, whatever they stand for."""
        try:
            written = self.form.spelling.write(sequence)
            ids = np.array(read_tokens(self.tokenizer, written, add_special_tokens=False), dtype=np.int64)
        except CannotRead:
            lacking = [letter for letter in sorted(set(sequence)) if not self._readable(letter)]
            raise UserError(
                f"its vocabulary lacks {', '.join(lacking) or f'what {sequence[:20]}… is made of'}, and it has no unknown token",
                where=self.name,
                fix="Leave out proteins with other letters than its own, or choose another checkpoint.",
            ) from None
        if self.rows is not None and len(ids) and ids.max() >= self.rows:
            token = int(ids.max())
            raise UserError(
                f"its tokenizer reads {self.tokenizer.convert_ids_to_tokens(token)!r} as token {token}, and its weights have "
                f"embeddings of {self.rows} tokens",
                where=self.name,
                fix="Use the tokenizer that the weights were trained with.",
            )
        return ids

    def _readable(self, text: str) -> bool:
        try:
            read_tokens(self.tokenizer, text, add_special_tokens=False)
            return True
        except CannotRead:
            return False

    def encode_all(self, sequences: Sequence[str]) -> list[np.ndarray]:
        """:meth:`encode` of many sequences by one lookup; what comes back are views of one array."""
        if self.table is None:
            return [self.encode(sequence) for sequence in sequences]
        flat = self.table[np.frombuffer("".join(sequences).encode("latin-1", "replace"), dtype=np.uint8)]
        if len(flat) and flat.min() < 0:
            # One of them raises, and says where.
            return [self.encode(sequence) for sequence in sequences]
        ends = list(itertools.accumulate(map(len, sequences)))
        return [flat[start:end] for start, end in zip([0, *ends], ends, strict=False)]

    def with_special(self, ids: np.ndarray) -> np.ndarray:
        """Special tokens around a piece of a sequence."""
        return np.concatenate([np.array(self.prefix, np.int64), ids, np.array(self.suffix, np.int64)])

    def own_tokens(self, sequence: str) -> list[int]:
        """What the checkpoint's own tokenizer makes of a sequence in its canonical form, special tokens included."""
        return form_tokens(self.tokenizer, self.form, sequence)

    def prove(self, sequences: Sequence[str]) -> AlignmentFacts:
        """Check that token i is residue i, for every sequence by table and for a sample by the own tokenizer.

        Raises:
            UserError: the tokenizer is not one token per residue, or differs from the table on these data.
        """
        if self.table is None:
            raise UserError(
                f"its tokenizer is not one token per residue ({self.why_not})",
                where=self.name,
                fix="Per-residue tasks need one token per residue; choose another checkpoint or a per-protein task.",
            )
        residues, replaced = 0, Counter[str]()
        with contextlib.closing(bar("proving alignment", len(sequences), unit=" proteins")) as shown:
            for sequence in sequences:
                ids = self.encode(sequence)
                if len(ids) != len(sequence):
                    raise UserError(f"{len(ids)} tokens for {len(sequence)} residues", fix="Use letters A to Z only.")
                residues += len(ids)
                for letter in self.unknown:
                    if count := sequence.count(letter):
                        replaced[letter] += count
                shown.update()
        sample = self._sample(sequences)
        for sequence in sample:
            if "X" in self.unknown and any(letter in self.unknown for letter in sequence):
                # The table has the unknown token there, which a tokenizer may merge over a run of such letters.
                continue
            if self.own_tokens(sequence) != self.with_special(self.encode(sequence)).tolist():
                raise UserError(
                    f"the tokenizer reads {sequence[:20]}… differently from one token per residue",
                    where=self.name,
                    fix="Please report this checkpoint; it cannot be used for per-residue tasks.",
                )
        return AlignmentFacts(
            proteins=len(sequences),
            residues=residues,
            aligned=residues,
            replaced=dict(sorted(replaced.items())),
            rendering=self.rendering,
            letters=self.form.letters,
            special=[len(self.prefix), len(self.suffix)],
            method=f"table lookup, residues written {self.form.title}, {len(self.prefix)} special tokens "
            f"before and {len(self.suffix)} after; equal to the tokenizer on all pairs of letters and on "
            f"{len(sample):,} of these proteins",
        )

    def count_unknown(self, tokens: Iterable[np.ndarray]) -> TokenFacts:
        """Count the tokens of proteins, as :meth:`encode_all` gives them, and those that the vocabulary does not know.

        Raises:
            UserError: too many of them are unknown for the checkpoint to be one of proteins, or letters give no token.
        """
        unk, total, unknown = self.tokenizer.unk_token_id, 0, 0
        for ids in tokens:
            total += len(ids)
            unknown += 0 if unk is None else int((ids == unk).sum())
        share = unknown / max(total, 1)
        alone = {letter: self.encode(letter) for letter in STANDARD if self.table is None and self._readable(letter)}
        if dropped := [letter for letter, ids in alone.items() if not len(ids)]:
            raise UserError(
                f"its tokenizer leaves out residues without a word: {', '.join(dropped)}",
                where=self.name,
                fix="Use a checkpoint of proteins.",
            )
        if share > UNKNOWN_LIMIT:
            lacking = ", ".join(self._lacking())
            why = (
                f"it lacks {lacking}" if lacking else "it has the letters, but not the words that proteins are read as"
            )
            raise UserError(
                f"{100 * share:.0f} % of the tokens of these proteins are unknown to its vocabulary: {why}",
                where=self.name,
                fix="Use a checkpoint of proteins, or correct its tokenizer files.",
            )
        return TokenFacts(
            total=total,
            unknown=unknown,
            protocol=list(self.form.protocol),
            protocol_after=list(self.form.ending),
            rendering=self.rendering if self.table is None and self.form.spelling != PLAIN else "",
        )

    def as_recorded(self, alignment: AlignmentFacts | None, tokens: TokenFacts | None) -> ResidueTokeniser:
        """The same tokenizer, reading proteins for a trained model in the very form that it learnt, whatever is usual now.

        Args:
            alignment, tokens: of its record.

        Raises:
            UserError: this tokenizer cannot read them so.
        """
        # What records of before letters were in them are of read every letter that the vocabulary has.
        form = CanonicalForm.recorded(alignment, tokens, replace(self.form, letters=EVERY_LETTER))
        if alignment is None and not self.aligned and form == self.form:
            return self
        if alignment is None and tokens is not None:
            found = self._of_pieces(self.tokenizer, form.around, "its record says so", self.rows, form.spelling)
            return replace(found, name=self.name)
        known = "" if alignment is None else alignment.letters
        try:
            found = self._tabulate(self.tokenizer, form.spelling, form.around, form.letters, self.rows)
        except NotAligned as error:
            why = str(error) if self.aligned else self.why_not
        else:
            if not known or found.form.letters == known:
                return replace(found, name=self.name)
            why = f"it has {found.form.letters}"
        raise UserError(
            f"it learnt residues as single tokens, {form.letters} written {form.title}, which its tokenizer does not make of "
            f"a protein ({why})",
            where=self.name,
            fix="Get its tokenizer files as they were when it was trained, or train a model again.",
        )

    def _lacking(self) -> list[str]:
        """Letters that read as the unknown token."""
        if self.table is not None:
            return sorted(self.unknown)
        return [letter for letter in STANDARD if self.tokenizer.unk_token_id in self.encode(letter)]

    @staticmethod
    def _sample(sequences: Sequence[str]) -> list[str]:
        """Evenly spaced over lengths, shortest to longest, until the budget is spent."""
        ordered = sorted(set(sequences), key=lambda s: (len(s), s))
        total = sum(map(len, ordered))
        if total <= SAMPLE_RESIDUES:
            return ordered
        step = -(-total // SAMPLE_RESIDUES)
        return ordered[::step]


def _protocol(tokenizer: Any, family: Family, asked: str | None) -> ProtocolTokens:
    """The tokens that are put around every protein: the first of the family's that the vocabulary has, or those asked for.

    Raises:
        UserError: the family has no protocol of that name whose tokens the vocabulary has.
    """
    vocabulary = set(tokenizer.get_vocab())
    there = [one for one in family.protocols if vocabulary.issuperset((*one.before, *one.after))]
    named = {one.name: one for one in there}
    if asked not in (None, NO_PROTOCOL) and asked not in named:
        known = f"It has: {', '.join([*named, NO_PROTOCOL])}." if named else "Leave the field out."
        raise UserError(
            f"it has no protocol {asked!r} whose tokens its vocabulary holds", fix=f"recipe: protocol. {known}"
        )
    chosen = ProtocolTokens() if asked == NO_PROTOCOL or not there else there[0] if asked is None else named[asked]
    return chosen if chosen == ProtocolTokens() else not_added(tokenizer, chosen)
