"""What a checkpoint's own tokenizer makes of texts, whatever kind it is, and what of that cannot be right."""

from __future__ import annotations

import logging
from typing import Any

from hubtools.common.errors import UserError, in_brackets
from hubtools.models.families import PLAIN, CanonicalForm, Family, ProtocolTokens
from hubtools.models.families.canonical_form import EVERY_LETTER, STANDARD

log = logging.getLogger(__name__)

# Pieces of the vocabulary that are tried, the shortest first.
_TRIED = 1000

# What a recipe says where no tokens of a protocol are to be put around proteins.
NO_PROTOCOL = "none"


class CannotRead(Exception):
    """The tokenizer has no unknown token, and the text something that its vocabulary lacks."""


def read_tokens(tokenizer: Any, text: str | list[str], **options: Any) -> list[int]:
    """Tokens of a text.

    Raises:
        CannotRead: the tokenizer stops at what its vocabulary lacks, or has no number for it.
    """
    try:
        ids = list(tokenizer(text, **options)["input_ids"])
    except Exception as error:
        raise CannotRead(" ".join(str(error).split())[:200]) from None
    if None in ids:
        raise CannotRead("no unknown token")
    return ids


def form_tokens(tokenizer: Any, form: CanonicalForm, sequence: str, structure: str | None = None) -> list[int]:
    """Tokens of a protein in a canonical form, special ones included.

    Args:
        tokenizer, form: the checkpoint's.
        sequence, structure: its residues and, where they are read too, their 3Di letters.

    Raises:
        CannotRead: as :func:`read_tokens`.
    """
    text = form.write(sequence) if structure is None else form.with_structure(sequence, structure)
    return read_tokens(tokenizer, text, is_split_into_words=form.spelling.as_words)


def pad_with_a_token_of_the_model(tokenizer: Any, rows: int | None, pad: Any) -> None:
    """Let rows be filled with a token that the model has: attention never reads it, but the embedding looks it up.

    Args:
        tokenizer: is changed, and saved so with a trained model, where it has no padding token or one that was added without
            an embedding.
        rows: of the embedding matrix.
        pad: the padding token of config.json.

    Raises:
        UserError: the model has no special token.
    """
    own = tokenizer.pad_token_id
    if own is not None and (rows is None or own < rows):
        return
    special = [
        pad,
        *(getattr(tokenizer, f"{name}_token_id", None) for name in ("eos", "sep", "bos", "cls", "unk", "mask")),
    ]
    usable = [token for token in special if isinstance(token, int) and 0 <= token < (rows or len(tokenizer))]
    for token in usable:
        written = tokenizer.convert_ids_to_tokens(token)
        # What proteins are made of must not become special.
        if written and not set(_bare(written).upper()) <= set(EVERY_LETTER):
            if own is not None:
                log.warning(
                    "the tokenizer's padding token %s (%d) is none of the %d that its weights have embeddings of: %s is used",
                    *(tokenizer.pad_token, own, rows, written),
                )
            tokenizer.pad_token = written
            return
    if own is not None:
        raise UserError(
            f"its padding token {tokenizer.pad_token!r} ({own}) is none of the {rows} that its weights have embeddings of",
            fix="Name another as pad_token in tokenizer_config.json.",
        )


def refuse_lower_casing(tokenizer: Any) -> None:
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


def piece_of_several(tokenizer: Any) -> str | None:
    """A piece of several residues that the tokenizer makes of a protein; None where its vocabulary has none."""
    special, letters, vocabulary = set(tokenizer.all_special_tokens), set(STANDARD), tokenizer.get_vocab()
    written = {token: _bare(token).upper() for token in vocabulary if token not in special}
    pieces = {token: piece for token, piece in written.items() if len(piece) > 1 and letters.issuperset(piece)}
    tried = sorted(pieces.items(), key=lambda item: (len(item[1]), item))[:_TRIED]
    # A piece that stands within words only (##LL) is made where something stands before it.
    texts = [text for _, piece in tried for text in (piece, "M" + piece)]
    made = _each(tokenizer, texts)
    for index, (token, piece) in enumerate(tried):
        if vocabulary[token] in {*made[2 * index], *made[2 * index + 1]}:
            return piece
    return None


def _each(tokenizer: Any, texts: list[str]) -> list[list[int]]:
    """Tokens of texts without special ones; none of those that the tokenizer cannot read."""
    if not texts:
        return []
    try:
        return list(tokenizer(texts, add_special_tokens=False)["input_ids"])
    # One by one where one of them stops it.
    except Exception:
        found: list[list[int]] = []
        for text in texts:
            try:
                found.append(read_tokens(tokenizer, text, add_special_tokens=False))
            except CannotRead:
                found.append([])
        return found


def not_added(tokenizer: Any, protocol: ProtocolTokens) -> ProtocolTokens:
    """Of the tokens of a protocol, those that the tokenizer does not add by itself."""
    try:
        own = around(tokenizer, CanonicalForm(PLAIN))
    except UserError:
        # What it cannot be asked of letters it is asked in the family's spelling.
        return protocol
    written = [set(tokenizer.convert_ids_to_tokens(list(ids))) for ids in own]
    before, after = (
        tuple(token for token in tokens if token not in there)
        for tokens, there in zip((protocol.before, protocol.after), written, strict=True)
    )
    return ProtocolTokens(before, after)


def around(tokenizer: Any, form: CanonicalForm) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Special tokens before and after a text, those of a protocol too: what is there with them and is not without."""
    try:
        bare = read_tokens(tokenizer, form.spelling.write(STANDARD), add_special_tokens=False)
        whole = form_tokens(tokenizer, form, STANDARD)
    except CannotRead as error:
        raise UserError(
            f"its tokenizer cannot read {STANDARD}, and has no unknown token{in_brackets(error)}",
            fix="Use a checkpoint of proteins.",
        ) from None
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


def chosen_protocol(tokenizer: Any, family: Family, asked: str | None) -> ProtocolTokens:
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
