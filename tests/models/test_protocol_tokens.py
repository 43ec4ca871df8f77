"""Tokens that a checkpoint's authors put around proteins and its tokenizer does not: the usual ones, and those that a recipe names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from tiny_checkpoints import WITH_PROTOCOL, WITH_PROTOCOLS, write_checkpoint
from tiny_own_code import letters_tokenizer

from hubtools.common.errors import UserError
from hubtools.models import Checkpoint, ResidueTokeniser, resolve_checkpoint
from hubtools.models.families import PIECES, PLAIN, SPACED, CanonicalForm, Family, ProtocolTokens, Spelling
from hubtools.models.families.own_code import E1, PROGEN2
from hubtools.models.families.t5 import T5
from hubtools.specs.lookup.spec_files import load_recipe
from hubtools.specs.recipe import Recipe

SEQUENCES = ["MKTAYIAKQR", "W", "ACDEFGHIKLMNPQRSTVWY"]


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Checkpoint]:
    root = tmp_path_factory.mktemp("protocols")
    return {
        name: resolve_checkpoint(str(write_checkpoint(root / name, name)))
        for name in (WITH_PROTOCOL, WITH_PROTOCOLS, "ankh", "esm")
    }


@pytest.mark.parametrize(
    ("name", "asked", "before"),
    [
        ("ankh3", None, ["[NLU]"]),
        ("ankh3", "NLU", ["[NLU]"]),
        ("ankh3", "S2S", ["[S2S]"]),
        ("ankh3", "none", []),
        ("prostt5", None, ["<AA2fold>"]),
        ("prostt5", "AA2fold", ["<AA2fold>"]),
        ("prostt5", "none", []),
        ("ankh", None, []),
        ("esm", "none", []),
    ],
)
def test_the_usual_one_or_the_one_asked_for(
    checkpoints: dict[str, Checkpoint], name: str, asked: str | None, before: list[str]
) -> None:
    tokeniser = ResidueTokeniser.from_checkpoint(checkpoints[name], asked)
    facts = tokeniser.count_unknown(tokeniser.encode_all(SEQUENCES))
    assert (facts.protocol, facts.protocol_after) == (before, [])
    tokens = tokeniser.tokenizer.convert_ids_to_tokens(tokeniser.with_special(tokeniser.encode("MA")).tolist())
    own = tokeniser.tokenizer.convert_ids_to_tokens(tokeniser.tokenizer("")["input_ids"])
    assert tokens[: len(before)] == before and [*before, *own] == [t for t in tokens if t.strip("▁") not in "MA"]
    # A model trained so is asked so, whatever is usual.
    again = ResidueTokeniser.from_checkpoint(checkpoints[name]).as_recorded(tokeniser.prove(SEQUENCES), facts)
    assert (again.form, again.prefix, again.suffix) == (tokeniser.form, tokeniser.prefix, tokeniser.suffix)


@pytest.mark.parametrize(
    ("name", "asked", "fix"),
    [
        ("ankh3", "AA2fold", "It has: NLU, S2S, none."),
        ("prostt5", "[AA2fold]", "It has: AA2fold, none."),
        ("ankh", "NLU", "Leave the field out."),
    ],
)
def test_one_that_its_vocabulary_lacks_is_refused(
    checkpoints: dict[str, Checkpoint], name: str, asked: str, fix: str
) -> None:
    with pytest.raises(UserError, match="it has no protocol") as refusal:
        ResidueTokeniser.from_checkpoint(checkpoints[name], asked)
    assert refusal.value.where == name and fix in str(refusal.value.fix)


def test_a_recipe_names_it_and_is_another_recipe() -> None:
    usual, chosen = load_recipe("probe"), load_recipe("probe", {"protocol": "S2S"})
    assert usual.protocol is None and chosen.protocol == "S2S" and usual.hash != chosen.hash
    # As it was before there was the field.
    assert "protocol" not in usual.model_dump(exclude_defaults=True)
    with pytest.raises(ValidationError, match="a baseline has none"):
        Recipe(name="x", adaptation="baseline", baseline="majority", protocol="NLU")


VOCABULARY = ["<pad>", "<bos>", "<eos>", "1", "2", *"ACDEFGHIKLMNPQRSTVWYX"]
SPECIAL = ("<pad>", "<bos>", "<eos>")


@pytest.mark.parametrize(
    ("family", "template", "written", "prefix", "suffix"),
    [
        (PROGEN2, None, ("1", "2"), ["1"], ["2"]),
        (E1, None, ("<bos>1", "2<eos>"), ["<bos>", "1"], ["2", "<eos>"]),
        (E1, "<bos> $A <eos>", ("1", "2"), ["<bos>", "1"], ["2", "<eos>"]),
        (PROGEN2, "<bos> $A", ("1", "2"), ["<bos>", "1"], ["2"]),
    ],
)
def test_tokens_behind_a_protein_and_none_twice(
    family: Family, template: str | None, written: tuple[str, str], prefix: list[str], suffix: list[str]
) -> None:
    tokenizer = letters_tokenizer(VOCABULARY, SPECIAL, template)
    tokeniser = ResidueTokeniser.probe(tokenizer, family)
    assert tokeniser.aligned
    assert tokeniser.form.write("MK") == f"{written[0]}MK{written[1]}"
    assert tokenizer.convert_ids_to_tokens(list(tokeniser.prefix)) == prefix
    assert tokenizer.convert_ids_to_tokens(list(tokeniser.suffix)) == suffix
    assert str(tokeniser.prove(SEQUENCES)) == "31 of 31 residues aligned"
    assert "and before 2" in tokeniser.form.title
    # As a card shows it.
    for text in ("MK", "W"):
        scope: dict[str, Any] = {"tokenizer": tokenizer, "read": text}
        ids = eval(f"tokenizer({tokeniser.form.arguments()})", scope)["input_ids"]
        assert ids == tokeniser.own_tokens(text) == tokeniser.with_special(tokeniser.encode(text)).tolist()


@pytest.mark.parametrize("spelling", [PLAIN, SPACED, PIECES, Spelling("after", "each", after="#")])
@pytest.mark.parametrize("protocol", [((), ()), (("1",), ("2",)), (("<bos>", "1"), ()), ((), ("2", "<eos>"))])
def test_the_python_of_a_card_writes_what_is_read(
    spelling: Spelling, protocol: tuple[tuple[str, ...], tuple[str, ...]]
) -> None:
    form = CanonicalForm(spelling, protocol[0], ending=protocol[1])
    for sequence in ("MKT", "W"):
        assert eval(spelling.expression("x", *protocol), {"x": sequence}) == form.write(sequence)


def test_a_family_says_one_protocol_as_tokens_or_several() -> None:
    assert Family("x", protocol=("<a>", "<b>")).protocols == (ProtocolTokens(("<a>", "<b>")),)
    assert Family("x").protocols == ()
    assert [one.name for one in T5.protocols] == ["AA2fold", "NLU", "S2S"]
    with pytest.raises(UserError, match="protocol is tokens or several ProtocolTokens"):
        Family("x", protocol=("<a>", ProtocolTokens(("<b>",))))  # type: ignore[arg-type]
    digests = {
        Family("x", protocol=p).digest
        for p in ((), ("<a>",), (ProtocolTokens(("<a>",)),), (ProtocolTokens((), ("<a>",)),))
    }
    assert len(digests) == 4


def test_where_the_tokenizer_is_of_subwords_they_are_put_around_its_tokens(tmp_path: Path) -> None:
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    pieces = {piece: n for n, piece in enumerate(["<pad>", "1", "2", *"ACDEFGHIKLMNPQRSTVWY", "MK"])}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.BPE(pieces, [("M", "K")])), pad_token="<pad>")
    tokeniser = ResidueTokeniser.probe(tokenizer, PROGEN2)
    assert not tokeniser.aligned and "pieces of several residues" in tokeniser.why_not
    assert tokenizer.convert_ids_to_tokens(tokeniser.with_special(tokeniser.encode("MKA")).tolist()) == [
        "1",
        "MK",
        "A",
        "2",
    ]
    facts = tokeniser.count_unknown(tokeniser.encode_all(["MKA"]))
    assert (facts.protocol, facts.protocol_after) == (["1"], ["2"])
    assert tokeniser.as_recorded(None, facts).form == tokeniser.form
