"""Token i is residue i, for every family, and a checkpoint for which it is not is refused."""

import json
import re
import tomllib
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
from tiny_checkpoints import FAMILIES, WITH_PROTOCOL, only_sentencepiece, write_checkpoint

from hubtools.common.errors import UserError
from hubtools.models import ResidueTokeniser, resolve_checkpoint
from hubtools.models.families import SPACED, Family

EXPECTED = {
    # family: (rendering, special tokens before, after)
    "esm": ("plain", 1, 1),
    "esm1b": ("plain", 1, 1),
    "esmc": ("plain", 1, 1),
    "bert": ("spaced", 1, 1),
    "t5": ("spaced", 0, 1),
    "ankh": ("plain", 0, 1),
    "modernbert": ("plain", 1, 1),
}


@pytest.fixture(scope="module")
def tokenisers(tmp_path_factory):
    folder = tmp_path_factory.mktemp("families")
    return {
        family: ResidueTokeniser.from_checkpoint(resolve_checkpoint(str(write_checkpoint(folder / family, family))))
        for family in FAMILIES
    }


@pytest.mark.parametrize("family", FAMILIES)
def test_special_tokens_and_spelling_are_measured(tokenisers, family):
    tokeniser = tokenisers[family]
    assert (tokeniser.rendering, len(tokeniser.prefix), len(tokeniser.suffix)) == EXPECTED[family]


@pytest.mark.parametrize("family", FAMILIES)
def test_table_equals_the_checkpoints_own_tokenizer(tokenisers, family):
    tokeniser, rng = tokenisers[family], np.random.default_rng(0)
    known = sorted(set("ACDEFGHIKLMNPQRSTVWYXBUZO") - tokeniser.unknown)
    for length in (1, 2, 50, 700):
        sequence = "".join(rng.choice(known, length))
        assert tokeniser.own_tokens(sequence) == tokeniser.with_special(tokeniser.encode(sequence)).tolist()


@pytest.mark.parametrize("family", FAMILIES)
def test_every_residue_is_one_token_and_letters_without_token_are_counted(tokenisers, family):
    facts = tokenisers[family].prove(["MKTAY", "ACDEFGHIKLMNPQRSTVWY", "MJJK"])
    assert facts.aligned == facts.residues == 29
    assert facts.replaced["J"] == 2
    assert str(facts) == "29 of 29 residues aligned"


def test_selenocysteine_becomes_unknown_where_the_vocabulary_lacks_it(tokenisers):
    modernbert, esm = tokenisers["modernbert"], tokenisers["esm"]
    assert modernbert.prove(["MUUK"]).replaced == {"U": 2}
    assert modernbert.encode("U")[0] == modernbert.encode("X")[0]
    assert esm.prove(["MUUK"]).replaced == {}
    assert esm.encode("U")[0] != esm.encode("X")[0]


def test_special_ids_hold_no_residue(tokenisers):
    for tokeniser in tokenisers.values():
        assert not set(tokeniser.special_ids) & set(tokeniser.encode("ACDEFGHIKLMNPQRSTVWYX").tolist())
        assert set(tokeniser.prefix + tokeniser.suffix) <= set(tokeniser.special_ids)


def test_a_gap_is_named_with_its_position(tokenisers):
    with pytest.raises(UserError, match="'-' at residue 3"):
        tokenisers["esm"].encode("MK-T")


@pytest.mark.parametrize("family", FAMILIES)
def test_many_sequences_at_once_are_each_as_the_tokenizer_reads_it(tokenisers, family):
    tokeniser = tokenisers[family]
    sequences = ["MKTAYIAKQR", "W", "ACDEFGHIKLMNPQRSTVWY"]
    together = tokeniser.encode_all(sequences)
    assert [tokeniser.with_special(tokens).tolist() for tokens in together] == list(
        map(tokeniser.own_tokens, sequences)
    )
    assert tokeniser.encode_all([]) == []


def test_a_gap_among_many_sequences_is_named_with_its_position(tokenisers):
    with pytest.raises(UserError, match="'-' at residue 3"):
        tokenisers["esm"].encode_all(["MKTAY", "MK-T", "MKT"])


def test_a_folder_with_nothing_but_spiece_model_is_read_as_sentencepiece_reads_it(tmp_path):
    """ProtT5 is published so."""
    import sentencepiece

    folder = only_sentencepiece(write_checkpoint(tmp_path / "t5", "t5"))
    assert not (folder / "tokenizer.json").exists()
    reference = sentencepiece.SentencePieceProcessor(model_file=str(folder / "spiece.model"))
    tokeniser = ResidueTokeniser.from_checkpoint(resolve_checkpoint(str(folder)))
    assert (tokeniser.rendering, tokeniser.prefix, len(tokeniser.suffix)) == ("spaced", (), 1)
    for sequence in ("MKTAYIAKQR", "ACDEFGHIKLMNPQRSTVWYXBOUZ", "W"):
        # Its authors' own lines: re.sub(r"[UZOB]", "X", sequence), spaced.
        expected = [*reference.encode(" ".join(re.sub(r"[UZOB]", "X", sequence))), reference.eos_id()]
        assert tokeniser.with_special(tokeniser.encode(sequence)).tolist() == expected
    assert str(tokeniser.prove(["MKTAY", "MXXU"])) == "9 of 9 residues aligned"


def test_prostt5_is_told_that_residues_follow(tmp_path):
    """Its authors do it by hand, before each protein: <AA2fold> M K T."""
    folder = write_checkpoint(tmp_path / WITH_PROTOCOL, WITH_PROTOCOL)
    tokeniser = ResidueTokeniser.from_checkpoint(resolve_checkpoint(str(folder)))
    by_hand = tokeniser.tokenizer("<AA2fold> " + " ".join("MKTAY"))["input_ids"]
    assert tokeniser.with_special(tokeniser.encode("MKTAY")).tolist() == by_hand
    assert tokeniser.tokenizer.convert_ids_to_tokens(by_hand)[0] == "<AA2fold>" and len(by_hand) == 7
    facts = tokeniser.prove(["MKTAY"])
    assert (facts.rendering, facts.special) == ("spaced", [1, 1])
    assert "residues written separated by spaces after <AA2fold>, 1 special tokens before and 1 after" in facts.method
    assert tokeniser.count_unknown(tokeniser.encode_all(["MKTAY"])).protocol == ["<AA2fold>"]
    assert tokeniser.prefix[0] in tokeniser.special_ids


def test_a_protocol_stands_before_subwords_too(tmp_path):
    tokenizer = byte_pairs(tmp_path)
    tokenizer.add_special_tokens({"extra_special_tokens": ["[NLU]"]})
    tokeniser = ResidueTokeniser.probe(tokenizer, Family("any", protocol=("[NLU]",)))
    assert not tokeniser.aligned and tokeniser.form.protocol == ("[NLU]",)
    for sequence in PROTEINS:
        assert tokeniser.with_special(tokeniser.encode(sequence)).tolist() == tokenizer("[NLU]" + sequence)["input_ids"]
    assert ResidueTokeniser.probe(byte_pairs(tmp_path), Family("any", protocol=("[NLU]",))).form.protocol == ()


def test_letters_that_a_protocol_leaves_out_are_read_as_x(tokenisers):
    """As ProtTrans' authors do with B, O, U and Z, which the vocabulary has."""
    few = Family("few", letters="ACDEFGHIKLMNPQRSTVWYX", spellings=(SPACED,))
    tokeniser = ResidueTokeniser.probe(tokenisers["bert"].tokenizer, few)
    assert tokeniser.encode("MBOUZ").tolist() == tokenisers["bert"].encode("MXXXX").tolist()
    facts = tokeniser.prove(["MBOUZUX"])
    assert (facts.replaced, facts.letters) == ({"B": 1, "O": 1, "U": 2, "Z": 1}, "ACDEFGHIKLMNPQRSTVWXY")


def test_what_reads_it_comes_with_a_plain_installation():
    root = Path(__file__).resolve().parents[2]
    required = tomllib.loads((root / "pyproject.toml").read_text())["project"]["dependencies"]
    pinned = (root / "constraints.txt").read_text()
    for name in ("sentencepiece", "protobuf"):
        assert any(requirement.startswith(f"{name}>=") for requirement in required)
        assert f"\n{name}==" in pinned and version(name)


# Checkpoints that are not of proteins, or not read as they were trained

PROTEINS = ["MKTAYIAKQRLLLLVGGE", "ACDEFGHIKLMNPQRSTVWY", "MALWLLPLLALLALWGPDPAAA"]
EVERY = Family("any")


def byte_pairs(folder):
    from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE(unk_token="<unk>"))
    bpe.pre_tokenizer = pre_tokenizers.Whitespace()
    special = ["<unk>", "<pad>", "<cls>", "<eos>"]
    bpe.train_from_iterator(PROTEINS * 20, trainers.BpeTrainer(vocab_size=60, special_tokens=special))
    bpe.post_processor = processors.TemplateProcessing(
        single="<cls> $A <eos>", special_tokens=[("<cls>", 2), ("<eos>", 3)]
    )
    return PreTrainedTokenizerFast(tokenizer_object=bpe, unk_token="<unk>", pad_token="<pad>")


def word_pieces(folder):
    """BERT's kind of subwords, which has other pieces within words than at their beginning."""
    from transformers import BertTokenizer

    letters = "ACDEFGHIKLMNPQRSTVWYX"
    (folder / "vocab.txt").write_text(
        "\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *(f"##{x}" for x in letters), "##LL"])
    )
    return BertTokenizer(str(folder / "vocab.txt"), do_lower_case=False)


def sentence_pieces(folder):
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    pieces = [("<unk>", 0.0), ("<pad>", 0.0), ("▁", -2.0), *((x, -3.0) for x in "ACDEFGHIKLMNPQRSTVWYX"), ("▁MK", -4.0)]
    unigram = Tokenizer(models.Unigram(pieces, unk_id=0))
    unigram.pre_tokenizer = pre_tokenizers.Metaspace()
    return PreTrainedTokenizerFast(tokenizer_object=unigram, unk_token="<unk>", pad_token="<pad>")


def nucleotides(folder):
    """As the Nucleotide Transformer's: words of three bases, and single ones."""
    from itertools import product

    from transformers import EsmTokenizer

    words = ["".join(word) for word in product("ACGT", repeat=3)]
    (folder / "vocab.txt").write_text("\n".join(["<unk>", "<pad>", "<mask>", "<cls>", "<eos>", *words, *"ACGTN"]))
    return EsmTokenizer(str(folder / "vocab.txt"))


SUBWORDS = {
    "byte pairs": byte_pairs,
    "word pieces": word_pieces,
    "sentence pieces": sentence_pieces,
    "bases": nucleotides,
}


@pytest.mark.parametrize(
    ("kind", "piece"), [("byte pairs", None), ("word pieces", "LL"), ("sentence pieces", "MK"), ("bases", None)]
)
def test_a_vocabulary_of_subwords_is_not_read_letter_by_letter(kind, piece, tmp_path):
    tokenizer = SUBWORDS[kind](tmp_path)
    tokeniser = ResidueTokeniser.probe(tokenizer, EVERY)
    assert not tokeniser.aligned
    with pytest.raises(
        UserError, match=r"not one token per residue \(its vocabulary has pieces of several residues"
    ) as e:
        tokeniser.prove(["MKTAY"])
    assert piece is None or f"such as '{piece}'" in str(e.value)


def test_proteins_are_read_as_the_subwords_that_they_were_in_pre_training(tmp_path):
    tokenizer = byte_pairs(tmp_path)
    tokeniser = ResidueTokeniser.probe(tokenizer, EVERY)
    for sequence, together in zip(PROTEINS, tokeniser.encode_all(PROTEINS), strict=True):
        own = tokenizer.tokenize(sequence)
        assert tokenizer.convert_ids_to_tokens(together.tolist()) == own and len(own) < len(sequence)
    facts = tokeniser.count_unknown(tokeniser.encode_all(PROTEINS))
    assert (facts.total, facts.unknown) == (sum(len(tokenizer.tokenize(s)) for s in PROTEINS), 0)


@pytest.mark.parametrize("kind", SUBWORDS)
def test_special_tokens_around_subwords_are_those_of_the_tokenizer(kind, tmp_path):
    """Windows are put between them piece by piece, which transformers 5 has no function for."""
    tokenizer = SUBWORDS[kind](tmp_path)
    tokeniser = ResidueTokeniser.probe(tokenizer, EVERY)
    for sequence in PROTEINS:
        assert tokeniser.with_special(tokeniser.encode(sequence)).tolist() == tokenizer(sequence)["input_ids"]
    assert tokeniser.n_special == tokenizer.num_special_tokens_to_add()


def test_a_checkpoint_of_nucleotides_is_refused_with_what_it_lacks(tmp_path):
    tokeniser = ResidueTokeniser.probe(nucleotides(tmp_path), EVERY)
    ids = tokeniser.tokenizer.convert_tokens_to_ids
    # By hand: M, K, Y and so on are no bases, and neighbours of them are one unknown token.
    tokens = tokeniser.encode("MKTAYIAC")
    assert tokens.tolist() == [ids(t) for t in ("<unk>", "T", "A", "<unk>", "A", "C")]
    says = r"33 % of the tokens of these proteins are unknown to its vocabulary: it lacks D, E, F, H, I, K, L, M, P,"
    with pytest.raises(UserError, match=says):
        tokeniser.count_unknown([tokens])


@pytest.mark.parametrize("family", FAMILIES)
def test_no_token_of_a_protein_is_unknown_to_a_checkpoint_of_proteins(tokenisers, family):
    tokeniser = tokenisers[family]
    facts = tokeniser.count_unknown(tokeniser.encode_all([*PROTEINS, "MXBUZOJJ"]))
    assert (facts.total, facts.unknown) == (sum(map(len, PROTEINS)) + 8, 0)


def letters_only(letters):
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    pieces = ["<pad>", "<unk>", *letters]
    tokenizer = Tokenizer(models.WordLevel({piece: i for i, piece in enumerate(pieces)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", unk_token="<unk>")


def test_letters_are_unknown_where_the_vocabulary_lacks_them_and_x():
    tokeniser = ResidueTokeniser.probe(letters_only("ACDEFGHIKLMNPQRSTVWY"), EVERY)
    assert tokeniser.aligned
    few = ["ACDEFGHIKLMNPQRSTVWY" * 5 + "UXB"]
    facts = tokeniser.count_unknown(tokeniser.encode_all(few))
    assert (facts.total, facts.unknown) == (103, 3)
    assert tokeniser.prove(few).letters == "ACDEFGHIKLMNPQRSTVWY"
    with pytest.raises(
        UserError, match=r"50 % of the tokens of these proteins are unknown .* it lacks B, J, O, U, X, Z"
    ):
        tokeniser.count_unknown(tokeniser.encode_all(["MKXX"]))


def test_a_tokenizer_that_drops_residues_without_a_word_is_refused():
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    bases = Tokenizer(models.BPE({"<pad>": 0, **{x: i for i, x in enumerate("ACGT", 1)}}, []))
    tokeniser = ResidueTokeniser.probe(PreTrainedTokenizerFast(tokenizer_object=bases, pad_token="<pad>"), EVERY)
    with pytest.raises(UserError, match="leaves out residues without a word: D, E, F"):
        tokeniser.count_unknown(tokeniser.encode_all(["MKTAY"]))


def test_the_letters_of_a_vocabulary_are_on_the_record(tokenisers):
    assert tokenisers["modernbert"].prove(["MK"]).letters == "ACDEFGHIKLMNPQRSTVWXY"
    assert tokenisers["esm"].prove(["MK"]).letters == "ABCDEFGHIKLMNOPQRSTUVWXYZ"


@pytest.mark.parametrize("saved", [False, True], ids=["vocab.txt", "tokenizer.json"])
def test_a_tokenizer_that_lower_cases_what_its_vocabulary_has_in_capitals_is_named(tmp_path, saved):
    from transformers import BertTokenizer

    folder = write_checkpoint(tmp_path / "bert", "bert")
    settings = folder / "tokenizer_config.json"
    if saved:
        BertTokenizer(str(folder / "vocab.txt")).save_pretrained(folder)
    else:
        (folder / "tokenizer.json").unlink()
        settings.write_text('{"tokenizer_class": "BertTokenizer"}')
    checkpoint = resolve_checkpoint(str(folder))
    with pytest.raises(UserError, match="bert: its tokenizer lower-cases, the vocabulary has upper case"):
        ResidueTokeniser.from_checkpoint(checkpoint)
    # What the line advises helps.
    settings.write_text(json.dumps(json.loads(settings.read_text()) | {"do_lower_case": False}))
    assert ResidueTokeniser.from_checkpoint(checkpoint).rendering == "spaced"


def test_a_tokenizer_that_lower_cases_for_a_vocabulary_in_small_letters_is_right(tmp_path):
    from transformers import BertTokenizer

    letters = "ACDEFGHIKLMNPQRSTVWYX".lower()
    (tmp_path / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters]))
    tokeniser = ResidueTokeniser.probe(BertTokenizer(str(tmp_path / "vocab.txt")), Family("bert", spellings=(SPACED,)))
    assert tokeniser.encode("ACD").tolist() == [5, 6, 7]
