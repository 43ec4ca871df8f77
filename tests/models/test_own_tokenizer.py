"""Tokenizers of every kind: what they make of proteins is read as they make it, and what they cannot read is named."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from tiny_checkpoints import write_checkpoint
from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from hubtools.common.errors import UserError
from hubtools.models import ResidueTokeniser, resolve_checkpoint
from hubtools.models.families import Family

PROTEINS = ["MKTAYIAKQRLLLLVGGE", "ACDEFGHIKLMNPQRSTVWY", "MALWLLPLLALLALWGPDPAAA"]
STANDARD = "ACDEFGHIKLMNPQRSTVWY"
ANY = Family("any")


def pairs(special: Sequence[str], before: Any, around: Any = None, **names: str) -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.BPE(unk_token=names.get("unk_token")))
    tokenizer.pre_tokenizer = before
    tokenizer.train_from_iterator(PROTEINS * 20, trainers.BpeTrainer(vocab_size=70, special_tokens=list(special)))
    if around is not None:
        tokenizer.post_processor = around
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names)


def sentence_pieces(folder: Path) -> Any:
    """A T5Tokenizer of nothing but spiece.model, as T5 models are published."""
    import sentencepiece

    (folder / "texts.txt").write_text("\n".join(PROTEINS * 20))
    sentencepiece.SentencePieceTrainer.train(
        input=str(folder / "texts.txt"),
        model_prefix=str(folder / "spiece"),
        vocab_size=40,
        pad_id=0,
        eos_id=1,
        unk_id=2,
        bos_id=-1,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "T5Tokenizer", "extra_ids": 0}))
    return AutoTokenizer.from_pretrained(folder)


def word_pieces(*, around: bool) -> PreTrainedTokenizerFast:
    letters = [*STANDARD, "X"]
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *letters, *(f"##{letter}" for letter in letters), "##LL"]
    tokenizer = Tokenizer(models.WordPiece({piece: i for i, piece in enumerate(pieces)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    if around:
        tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="[UNK]", pad_token="[PAD]")


def unigram() -> PreTrainedTokenizerFast:
    pieces = [*((letter, -3.0) for letter in STANDARD), ("MK", -2.0)]
    return PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.Unigram(pieces)))


KINDS: dict[str, Callable[[Path], Any]] = {
    "byte pairs, nothing special": lambda _: pairs([], pre_tokenizers.ByteLevel(add_prefix_space=False)),
    "byte pairs, as GPT-2": lambda _: pairs(
        ["<|end|>"], pre_tokenizers.ByteLevel(add_prefix_space=False), bos_token="<|end|>", eos_token="<|end|>"
    ),
    "byte pairs, as Llama": lambda _: pairs(
        ["<unk>", "<s>", "</s>"],
        pre_tokenizers.Metaspace(),
        processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)]),
        unk_token="<unk>",
        bos_token="<s>",
        eos_token="</s>",
    ),
    "word pieces, nothing around": lambda _: word_pieces(around=False),
    "word pieces, as BERT": lambda _: word_pieces(around=True),
    "unigram, nothing special": lambda _: unigram(),
    "unigram, as T5": sentence_pieces,
}


@pytest.mark.parametrize("kind", KINDS)
def test_subwords_are_the_tokenizers_own(kind: str, tmp_path: Path) -> None:
    tokenizer = KINDS[kind](tmp_path)
    tokeniser = ResidueTokeniser.probe(tokenizer, ANY)
    assert not tokeniser.aligned and "pieces of several residues" in tokeniser.why_not
    for sequence in PROTEINS:
        ids = tokeniser.encode(sequence)
        assert tokeniser.with_special(ids).tolist() == tokenizer(sequence)["input_ids"]
        assert not set(ids.tolist()) & set(tokeniser.special_ids)


# No unknown token


def letters(known: str, **names: str) -> PreTrainedTokenizerFast:
    pieces = [*names.values(), *known]
    tokenizer = Tokenizer(models.WordLevel({piece: i for i, piece in enumerate(pieces)}))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names)


def test_without_an_unknown_token_x_stands_for_what_the_vocabulary_lacks() -> None:
    tokeniser = ResidueTokeniser.probe(letters(f"{STANDARD}X"), ANY)
    assert tokeniser.prove([*PROTEINS, "MUUBK"]).replaced == {"B": 1, "U": 2}
    assert tokeniser.encode("MUK").tolist() == tokeniser.encode("MXK").tolist()


def test_without_x_either_the_letter_is_named() -> None:
    tokeniser = ResidueTokeniser.probe(letters(STANDARD), ANY)
    assert tokeniser.prove(PROTEINS).aligned == sum(map(len, PROTEINS))
    assert tokeniser.count_unknown(tokeniser.encode_all(PROTEINS)).unknown == 0
    with pytest.raises(
        UserError, match="'U' at residue 2 is not in its vocabulary, which has neither X nor an unknown"
    ):
        tokeniser.prove([*PROTEINS, "MUK"])
    with pytest.raises(UserError, match="'-' at residue 2 is not an amino acid letter"):
        tokeniser.encode("M-K")


def test_subwords_without_an_unknown_token_name_the_letters() -> None:
    tokeniser = ResidueTokeniser.probe(unigram(), ANY)
    assert tokeniser.count_unknown(tokeniser.encode_all(PROTEINS)).unknown == 0
    with pytest.raises(UserError, match="its vocabulary lacks B, U, and it has no unknown token"):
        tokeniser.encode("MKUUB")


def test_words_that_are_no_proteins_are_named() -> None:
    tokenizer = Tokenizer(models.WordLevel({"MKT": 0, "AYI": 1}))
    with pytest.raises(UserError, match="its tokenizer cannot read ACDEFGHIKLMNPQRSTVWY, and has no unknown token"):
        ResidueTokeniser.probe(PreTrainedTokenizerFast(tokenizer_object=tokenizer), ANY)


# Tokens without embedding


@pytest.fixture
def esm(tmp_path: Path) -> Path:
    """A checkpoint of 33 embeddings."""
    return write_checkpoint(tmp_path / "esm", "esm")


def added(folder: Path, **tokens: Any) -> ResidueTokeniser:
    """The checkpoint after somebody added tokens to its tokenizer alone."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_special_tokens(tokens)
    tokenizer.save_pretrained(folder)
    return ResidueTokeniser.from_checkpoint(resolve_checkpoint(str(folder)))


def test_rows_are_padded_with_a_token_that_the_model_has(esm: Path, tmp_path: Path) -> None:
    tokeniser = added(esm, pad_token="[PAD]")
    assert AutoTokenizer.from_pretrained(esm).pad_token_id == 33 == tokeniser.rows
    assert (tokeniser.pad_id, tokeniser.tokenizer.pad_token) == (1, "<pad>")
    # What is saved with a model pads so, too: a card's lines about two proteins do.
    tokeniser.tokenizer.save_pretrained(tmp_path / "saved")
    both = AutoTokenizer.from_pretrained(tmp_path / "saved")(["MKTAY", "MK"], padding=True)["input_ids"]
    assert max(map(max, both)) < 33 and both[1][-3:] == [1, 1, 1]


def test_a_tokenizer_without_a_padding_token_gets_none_that_proteins_are_made_of() -> None:
    plain = ResidueTokeniser.probe(letters(STANDARD), ANY)
    assert plain.tokenizer.pad_token is None and plain.special_ids == []
    ended = ResidueTokeniser.probe(letters(STANDARD, eos_token="</s>"), ANY)
    assert ended.tokenizer.pad_token == "</s>" and ended.special_ids == [0]


def test_a_token_around_proteins_that_the_model_does_not_have_is_named(esm: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(esm)
    tokenizer.add_special_tokens({"cls_token": "[CLS]"})
    tokenizer.save_pretrained(esm)
    checkpoint = resolve_checkpoint(str(esm))
    with pytest.raises(
        UserError, match=r"esm: its tokenizer puts '\[CLS\]' \(token 33\) around every protein, and its weights"
    ):
        ResidueTokeniser.from_checkpoint(checkpoint)


def test_letters_and_subwords_that_the_model_does_not_have(tmp_path: Path) -> None:
    known = letters(f"X{STANDARD}BU")
    tokeniser = ResidueTokeniser.probe(known, ANY, {"vocab_size": 22})
    assert (tokeniser.form.as_x, tokeniser.rows) == ("JOUZ", 22), "U is the 23rd"
    subwords = ResidueTokeniser.probe(word_pieces(around=True), ANY, {"vocab_size": 30})
    with pytest.raises(
        UserError, match=r"its tokenizer reads '##\w+' as token \d+, and its weights have embeddings of 30"
    ):
        subwords.encode("MKTAYIAKQR")


# Weights


@pytest.mark.parametrize(("value", "called"), [(float("nan"), "NaN"), (float("inf"), "infinity")])
@pytest.mark.parametrize(
    ("end", "loaders"),
    [
        ("layer.1.output.dense.weight", {"encoder", "masked_lm", "native"}),
        # The token of one rare letter, which no short batch may hold.
        ("embeddings.word_embeddings.weight", {"encoder", "masked_lm", "native"}),
        ("lm_head.dense.weight", {"masked_lm"}),
    ],
)
def test_weights_that_are_no_numbers_are_named_wherever_they_are(
    value: float, called: str, end: str, loaders: set[str], esm: Path
) -> None:
    from safetensors.torch import load_file, save_file
    from transformers import AutoModelForTokenClassification

    from hubtools.models.encoder import load_encoder, load_native
    from hubtools.models.masked_lm import load_masked_lm

    state = load_file(esm / "model.safetensors")
    [name] = [key for key in state if key.endswith(end)]
    state[name][-1, -1] = value
    save_file(state, esm / "model.safetensors", metadata={"format": "pt"})
    checkpoint = resolve_checkpoint(str(esm))
    load: dict[str, Callable[[], Any]] = {
        "encoder": lambda: load_encoder(checkpoint),
        "masked_lm": lambda: load_masked_lm(checkpoint),
        "native": lambda: load_native(checkpoint, AutoModelForTokenClassification, {"num_labels": 2}, 1),
    }
    for loader, call in load.items():
        if loader in loaders:
            with pytest.raises(UserError, match=rf"esm: its weights hold {called} \(first: .*{end}"):
                call()
        else:
            call()
    load_encoder(checkpoint, weights="random")
