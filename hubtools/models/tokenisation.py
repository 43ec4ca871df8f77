"""One token per residue, proven: the mapping residue -> token of any checkpoint, as a table lookup."""

from __future__ import annotations

import itertools
import string
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from hubtools.common.errors import UserError
from hubtools.models.families import PLAIN, Family, Spelling, family_of, spelling_named
from hubtools.specs.record import AlignmentFacts, TokenFacts

if TYPE_CHECKING:
    from hubtools.models.checkpoint import Checkpoint

STANDARD = "ACDEFGHIKLMNPQRSTVWY"
# The proof on the data itself runs the checkpoint's own tokenizer on about this many residues.
SAMPLE_RESIDUES = 200_000
# Largest share of tokens that may be unknown to the vocabulary. Letters beyond the twenty and X are a per cent of the
# residues of a usual data set at most; what reads more of it as unknown was not made for proteins.
UNKNOWN_LIMIT = 0.03
# Pieces of the vocabulary that are tried, the shortest first.
_TRIED = 1000


class NotAligned(Exception):
    """The tokenizer is not one token per residue; the message says how that showed."""


@dataclass(frozen=True)
class ResidueTokeniser:
    """A checkpoint's tokenizer as bench uses it.

    Attributes:
        tokenizer: the checkpoint's own tokenizer, saved with the model.
        spelling: how residues are written for that tokenizer.
        prefix, suffix: special tokens around every sequence, those of the protocol among them.
        table: (256,) token of each ASCII letter, or None where the tokenizer is not one token per residue.
        unknown: letters the vocabulary lacks, or its family's protocol leaves out; they are read as X.
        why_not: why there is no table. A protein is then read as the tokenizer reads it, in whatever pieces.
        name: of the checkpoint, for messages.
        protocol: tokens that are written before every protein, because its authors do.
    """

    tokenizer: Any
    spelling: Spelling
    prefix: tuple[int, ...]
    suffix: tuple[int, ...]
    table: np.ndarray | None
    unknown: frozenset[str]
    why_not: str = ""
    name: str | None = None
    protocol: tuple[str, ...] = ()

    @classmethod
    def from_checkpoint(cls, checkpoint: Checkpoint) -> ResidueTokeniser:
        """Probe the checkpoint's tokenizer.

        Raises:
            UserError: the checkpoint has no tokenizer that transformers can load.
        """
        from transformers import AutoTokenizer

        folder = checkpoint.files()
        try:
            tokenizer = AutoTokenizer.from_pretrained(
                folder, trust_remote_code=checkpoint.identity.trust_remote_code, clean_up_tokenization_spaces=False
            )
        except BaseException as error:
            # What the tokenizers' own language raises where it gives up is no Exception.
            if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
                raise
            reason = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
            raise UserError(
                f"transformers cannot load its tokenizer ({reason})",
                where=checkpoint.name,
                fix="A checkpoint needs its tokenizer files (vocab.txt, tokenizer.json or spiece.model) beside the weights.",
            ) from None
        try:
            found = cls.probe(tokenizer, family_of(checkpoint.config))
        except UserError as error:
            raise UserError(error.what, where=checkpoint.name, fix=error.fix) from None
        return replace(found, name=checkpoint.name)

    @classmethod
    def probe(cls, tokenizer: Any, family: Family) -> ResidueTokeniser:
        """Find the family's spelling under which each residue is one token of its own, and tabulate it.

        Raises:
            UserError: the tokenizer cannot read what its vocabulary holds.
        """
        _refuse_lower_casing(tokenizer)
        protocol = family.protocol if set(family.protocol) <= set(tokenizer.get_vocab()) else ()
        if (piece := _piece_of_several(tokenizer)) is not None:
            # Cut into letters it would pass for aligned, and read what no pre-training showed it.
            why = f"its vocabulary has pieces of several residues, such as {piece!r}"
            return cls._of_pieces(tokenizer, protocol, why)
        reasons = []
        for spelling in family.spellings:
            try:
                return cls._tabulate(tokenizer, spelling, protocol, family.letters)
            except NotAligned as error:
                reasons.append(f"residues written {_title(spelling, protocol)}: {error}")
        return cls._of_pieces(tokenizer, protocol, "; ".join(reasons))

    @classmethod
    def _of_pieces(cls, tokenizer: Any, protocol: tuple[str, ...], why_not: str) -> ResidueTokeniser:
        """Per-protein tasks can still read the tokens, whatever they stand for."""
        prefix, suffix = _around(tokenizer, protocol)
        return cls(tokenizer, PLAIN, prefix, suffix, None, frozenset(), why_not, protocol=protocol)

    @classmethod
    def _tabulate(
        cls, tokenizer: Any, spelling: Spelling, protocol: tuple[str, ...], letters: str | None
    ) -> ResidueTokeniser:
        first, second = (_tokens(tokenizer, spelling, letter, protocol) for letter in "AC")
        differing = [i for i, (a, b) in enumerate(zip(first, second, strict=False)) if a != b]
        if len(first) != len(second) or len(differing) != 1:
            raise NotAligned("A and C are not told apart by one token")
        prefix, suffix = tuple(first[: differing[0]]), tuple(first[differing[0] + 1 :])
        n_special = len(prefix) + len(suffix)
        found: dict[str, int] = {}
        for letter in string.ascii_uppercase if letters is None else letters:
            ids = _tokens(tokenizer, spelling, letter, protocol)
            if len(ids) == n_special + 1 and ids[len(prefix)] != tokenizer.unk_token_id:
                found[letter] = ids[len(prefix)]
        if missing := [letter for letter in STANDARD if letter not in found]:
            raise NotAligned(f"no token of its own for {', '.join(missing)}")
        if len({found[letter] for letter in STANDARD}) < len(STANDARD):
            raise NotAligned("two standard residues share a token")
        stand_in = found.get("X", tokenizer.unk_token_id)
        if stand_in is None:
            raise NotAligned("no token for an unknown residue")
        table = np.full(256, -1, dtype=np.int64)
        for letter in string.ascii_uppercase:
            table[ord(letter)] = found.get(letter, stand_in)
        unknown = frozenset(string.ascii_uppercase) - set(found)
        tokeniser = cls(tokenizer, spelling, prefix, suffix, table, unknown, protocol=protocol)
        tokeniser._prove_on_alphabet(found)
        return tokeniser

    def _prove_on_alphabet(self, letters: dict[str, int]) -> None:
        """The table equals the tokenizer on the whole alphabet in context: all pairs of neighbours occur."""
        pairs = "".join(a + b for a in letters for b in letters)
        for sequence in ("M", "MK", "".join(letters), pairs, pairs[::-1]):
            if self.own_tokens(sequence) != self.with_special(self.encode(sequence)).tolist():
                raise NotAligned(f"the tokenizer reads {sequence[:12]!r}… differently from residue by residue")

    @property
    def rendering(self) -> str:
        """What records call the spelling."""
        return self.spelling.name

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
        special = {*self.tokenizer.all_special_ids, *self.prefix, *self.suffix, self.pad_id}
        return sorted(int(i) for i in special - residues)

    def encode(self, sequence: str) -> np.ndarray:
        """Tokens of the residues without special tokens: (residues,) int64.

        Raises:
            UserError: a character that is not a letter A to Z.
        """
        if self.table is None:
            return np.array(self.tokenizer(sequence, add_special_tokens=False)["input_ids"], dtype=np.int64)
        ids = self.table[np.frombuffer(sequence.encode("latin-1", "replace"), dtype=np.uint8)]
        if len(ids) and ids.min() < 0:
            position = int(np.argmax(ids < 0))
            raise UserError(
                f"{sequence[position]!r} at residue {position + 1} is not an amino acid letter", fix="Use A to Z."
            )
        return ids

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
        """What the checkpoint's own tokenizer makes of a sequence, special tokens included."""
        readable = "".join("X" if letter in self.unknown else letter for letter in sequence)
        if "X" in self.unknown:
            # No X in the vocabulary: the table uses the unknown token, which a tokenizer may merge over a run.
            readable = sequence
        return _tokens(self.tokenizer, self.spelling, readable, self.protocol)

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
        for sequence in sequences:
            ids = self.encode(sequence)
            if len(ids) != len(sequence):
                raise UserError(f"{len(ids)} tokens for {len(sequence)} residues", fix="Use letters A to Z only.")
            residues += len(ids)
            for letter in self.unknown:
                if count := sequence.count(letter):
                    replaced[letter] += count
        sample = self._sample(sequences)
        for sequence in sample:
            if "X" in self.unknown and any(letter in self.unknown for letter in sequence):
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
            letters="".join(sorted(set(string.ascii_uppercase) - self.unknown)),
            special=[len(self.prefix), len(self.suffix)],
            method=f"table lookup, residues written {_title(self.spelling, self.protocol)}, {len(self.prefix)} special tokens "
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
        if dropped := [] if self.table is not None else [letter for letter in STANDARD if not len(self.encode(letter))]:
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
        return TokenFacts(total=total, unknown=unknown, protocol=list(self.protocol))

    def require_recorded(self, alignment: AlignmentFacts | None, tokens: TokenFacts | None) -> None:
        """Refuse to read proteins for a trained model in another way than it learnt to.

        Raises:
            UserError: spelling, letters or tokens of the protocol are not those of its record.
        """
        spelling, protocol = self.spelling, tuple(tokens.protocol if tokens else ())
        if alignment is not None and alignment.rendering:
            spelling, protocol = spelling_named(alignment.rendering, protocol)
        elif tokens is None:
            # An old record, which does not say.
            return
        letters = "".join(sorted(set(string.ascii_uppercase) - self.unknown))
        known = alignment.letters if alignment is not None and alignment.letters else letters
        if (spelling, protocol, known) != (self.spelling, self.protocol, letters):
            raise UserError(
                f"it learnt {known} written {_title(spelling, protocol)}, and would be asked in {letters} "
                f"written {_title(self.spelling, self.protocol)}",
                where=self.name,
                fix="Make the checkpoint's family known that it was trained under (docs/extending.md).",
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


def _tokens(tokenizer: Any, spelling: Spelling, sequence: str, protocol: tuple[str, ...]) -> list[int]:
    return list(tokenizer(spelling.write(sequence, protocol), is_split_into_words=spelling.as_words)["input_ids"])


def _title(spelling: Spelling, protocol: Sequence[str]) -> str:
    """How residues are written, in words."""
    return " after ".join([spelling.title, *([" ".join(protocol)] if protocol else [])])


def _refuse_lower_casing(tokenizer: Any) -> None:
    """Refuse a tokenizer that makes small letters of residues, which its vocabulary has as capitals alone."""
    pieces = {_bare(token) for token in tokenizer.get_vocab()}
    if not set(STANDARD) <= pieces or set(STANDARD.lower()) <= pieces:
        return
    normalizer = getattr(getattr(tokenizer, "backend_tokenizer", None), "normalizer", None)
    lowers = bool(getattr(tokenizer, "do_lower_case", False))
    if normalizer is not None:
        lowers = STANDARD.lower() in normalizer.normalize_str(STANDARD)
    if lowers:
        raise UserError(
            "its tokenizer lower-cases, the vocabulary has upper case",
            fix="Set do_lower_case to false in tokenizer_config.json, or take the lower-casing out of tokenizer.json.",
        )


def _piece_of_several(tokenizer: Any) -> str | None:
    """A piece of several residues that the tokenizer makes of a protein; None where its vocabulary has none."""
    special, letters, vocabulary = set(tokenizer.all_special_tokens), set(STANDARD), tokenizer.get_vocab()
    written = {token: _bare(token).upper() for token in vocabulary if token not in special}
    pieces = {token: piece for token, piece in written.items() if len(piece) > 1 and letters.issuperset(piece)}
    tried = sorted(pieces.items(), key=lambda item: (len(item[1]), item))[:_TRIED]
    # A piece that stands within words only (##LL) is made where something stands before it.
    texts = [text for _, piece in tried for text in (piece, "M" + piece)]
    made = tokenizer(texts, add_special_tokens=False)["input_ids"] if texts else []
    for index, (token, piece) in enumerate(tried):
        if vocabulary[token] in {*made[2 * index], *made[2 * index + 1]}:
            return piece
    return None


def _around(tokenizer: Any, protocol: tuple[str, ...]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Special tokens before and after a text, those of a protocol too: what is there with them and is not without."""
    bare = list(tokenizer(STANDARD, add_special_tokens=False)["input_ids"])
    whole = list(tokenizer(PLAIN.write(STANDARD, protocol))["input_ids"])
    for start in range(len(whole) - len(bare) + 1):
        end = start + len(bare)
        if whole[start:end] == bare:
            return tuple(whole[:start]), tuple(whole[end:])
    raise UserError(
        "its tokenizer puts special tokens among those of a sequence", fix="Use a checkpoint whose tokenizer does not."
    )


def _bare(token: str) -> str:
    """A piece of a vocabulary without the marks of where it stands in a word."""
    return token.removeprefix("▁").removeprefix("Ġ").removeprefix("##").removesuffix("</w>")
