"""Token i is residue i, for every family, and a checkpoint for which it is not is refused."""

import numpy as np
import pytest
from tiny_checkpoints import FAMILIES, write_checkpoint

from hubtools.models import ResidueTokeniser, resolve_checkpoint
from hubtools.specs.errors import UserError

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


def test_byte_pair_tokenizer_is_refused_for_residues_but_readable_for_proteins():
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE(unk_token="<unk>"))
    bpe.pre_tokenizer = pre_tokenizers.Whitespace()
    trainer = trainers.BpeTrainer(vocab_size=80, special_tokens=["<unk>", "<pad>"])
    bpe.train_from_iterator(["MKTAYIAKQRMKTAY", "ACDEFGHIKLMNPQRSTVWY"] * 20, trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=bpe, unk_token="<unk>", pad_token="<pad>")
    tokeniser = ResidueTokeniser.probe(fast, ("plain",))
    assert not tokeniser.aligned
    with pytest.raises(UserError, match="not one token per residue"):
        tokeniser.prove(["MKTAY"])
    assert 0 < len(tokeniser.encode("MKTAYIAKQR")) < 10
    assert [list(tokens) for tokens in tokeniser.encode_all(["MKTAYIAKQR", "MKV"])] == [
        list(tokeniser.encode("MKTAYIAKQR")),
        list(tokeniser.encode("MKV")),
    ]
