"""One form in which a checkpoint reads proteins: upper case, X for letters that it never learnt, spelt as it learnt."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tiny_checkpoints import FAMILIES, WITH_PROTOCOL, write_checkpoint

from hubtools.common.errors import UserError
from hubtools.data.rows.sequences import canonical_sequences
from hubtools.models import ResidueTokeniser, resolve_checkpoint
from hubtools.models.families import PIECES, PLAIN, SPACED, CanonicalForm, Family, family_of
from hubtools.specs.record import AlignmentFacts, TokenFacts

EVERY = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
TWENTY_AND_X = "ACDEFGHIKLMNPQRSTVWXY"


@pytest.fixture(scope="module")
def tokenisers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ResidueTokeniser]:
    folder = tmp_path_factory.mktemp("families")
    return {
        family: ResidueTokeniser.from_checkpoint(resolve_checkpoint(str(write_checkpoint(folder / family, family))))
        for family in (*FAMILIES, WITH_PROTOCOL)
    }


@pytest.mark.parametrize(
    ("family", "as_x"),
    [
        # ProtTrans' authors: re.sub(r"[UZOB]", "X", sequence), in pre-training and in every example.
        *((family, "BJOUZ") for family in ("bert", "t5", WITH_PROTOCOL)),
        # Those of Ankh and of ESM show the letters that they have; nobody has J.
        *((family, "J") for family in ("esm", "esm1b", "ankh")),
        # A vocabulary of the twenty and X.
        ("modernbert", "BJOUZ"),
    ],
)
def test_letters_that_were_never_learnt_are_read_as_x(
    family: str, as_x: str, tokenisers: dict[str, ResidueTokeniser]
) -> None:
    tokeniser = tokenisers[family]
    assert tokeniser.form.as_x == as_x
    assert tokeniser.encode(EVERY).tolist() == tokeniser.encode(re.sub(f"[{as_x}]", "X", EVERY)).tolist()
    assert len(set(tokeniser.encode(EVERY).tolist())) == 26 - len(as_x)


@pytest.mark.parametrize(
    ("family", "by_hand"),
    [
        ("bert", lambda sequence: " ".join(re.sub(r"[UZOBJ]", "X", sequence))),
        ("t5", lambda sequence: " ".join(re.sub(r"[UZOBJ]", "X", sequence))),
        (WITH_PROTOCOL, lambda sequence: "<AA2fold> " + " ".join(re.sub(r"[UZOBJ]", "X", sequence))),
        ("esm", lambda sequence: sequence.replace("J", "X")),
        ("ankh", lambda sequence: sequence.replace("J", "X")),
    ],
)
def test_the_tokens_are_those_of_the_authors_own_lines(
    family: str, by_hand: Any, tokenisers: dict[str, ResidueTokeniser]
) -> None:
    tokeniser = tokenisers[family]
    for sequence in ("MKUUZOBJX", EVERY, "W"):
        own = tokeniser.tokenizer(by_hand(sequence))["input_ids"]
        assert tokeniser.with_special(tokeniser.encode(sequence)).tolist() == own == tokeniser.own_tokens(sequence)


def spaced(folder: Path, letters: str) -> Any:
    from transformers import BertTokenizer

    (folder / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters]))
    return BertTokenizer(str(folder / "vocab.txt"), do_lower_case=False)


@pytest.mark.parametrize("model_type", ["bert", "electra", "albert", "xlnet"])
def test_prottrans_of_every_architecture_is_told_by_being_spaced(model_type: str, tmp_path: Path) -> None:
    tokenizer = spaced(tmp_path, "LAGVESIKRDTPNQFYMHCWXUBZO")
    tokeniser = ResidueTokeniser.probe(tokenizer, family_of({"model_type": model_type}))
    assert (tokeniser.rendering, tokeniser.form.letters) == ("spaced", TWENTY_AND_X)


def test_what_is_not_known_is_read_by_its_own_tokens(tmp_path: Path) -> None:
    """Of an architecture that ProtTrans has no model of; and of a spaced vocabulary with nothing to stand in."""
    tokenizer = spaced(tmp_path, "LAGVESIKRDTPNQFYMHCWXUBZO")
    tokeniser = ResidueTokeniser.probe(tokenizer, family_of({"model_type": "roformer"}))
    assert (tokeniser.rendering, tokeniser.form.as_x) == ("spaced", "J")
    without_x = ResidueTokeniser.probe(spaced(tmp_path, "LAGVESIKRDTPNQFYMHCWU"), family_of({"model_type": "bert"}))
    assert "U" in without_x.form.letters
    assert without_x.encode("U")[0] != without_x.tokenizer.unk_token_id


@pytest.mark.parametrize("family", FAMILIES)
def test_the_record_says_the_form_whole(family: str, tokenisers: dict[str, ResidueTokeniser]) -> None:
    tokeniser = tokenisers[family]
    alignment = tokeniser.prove(["MKTAYUZOBJX"])
    tokens = tokeniser.count_unknown(tokeniser.encode_all(["MKTAY"]))
    assert CanonicalForm.recorded(alignment, tokens, CanonicalForm(PIECES)) == tokeniser.form


@pytest.mark.parametrize(
    ("form", "one", "two"),
    [
        (CanonicalForm(PLAIN, (), EVERY), "MKUJX", ["MKUJX", "UW"]),
        (CanonicalForm(SPACED, ("<AA2fold>",), TWENTY_AND_X), "<AA2fold> M K X X X", ["<AA2fold> M K X X X", "<AA2fold> X W"]),
        (CanonicalForm(PIECES, (), TWENTY_AND_X), list("MKXXX"), [list("MKXXX"), list("XW")]),
    ],
)  # fmt: skip
def test_the_python_of_a_card_computes_it(form: CanonicalForm, one: Any, two: Any) -> None:
    assert form.write("mkUjX") == one
    told: list[Any] = []
    call = {"tokenizer": lambda text, **options: told.append((text, options)), "re": re}
    exec("\n".join([*form.lines(["mkUjX"]), f"tokenizer({form.arguments()})"]), call)
    exec("\n".join([*form.lines(["mkUjX", "uW"]), f"tokenizer({form.arguments(2)})"]), call)
    words = {"is_split_into_words": True} if form.spelling.as_words else {}
    assert told == [(one, words), (two, {**words, "padding": True})]


@pytest.mark.parametrize("form", [CanonicalForm(PLAIN), CanonicalForm(SPACED, (), TWENTY_AND_X)])
@pytest.mark.parametrize("text", ["MKT*", "mkt", "M-KT", "MK.T", "M*KT", "MK1", "MKä", ""])
def test_the_python_of_a_card_takes_what_a_task_takes(form: CanonicalForm, text: str) -> None:
    def stops(call: Callable[[], Any], error: type[Exception]) -> bool:
        try:
            call()
        except error:
            return True
        return False

    refused = stops(lambda: canonical_sequences([text], ["p"], "t"), UserError)
    for example in ([text], ["MK", text]):
        found: dict[str, Any] = {"re": re}
        assert stops(lambda: exec("\n".join(form.lines(example)), found), AssertionError) == refused  # noqa: B023
        if not refused:
            [[sequence], _, _] = canonical_sequences([text], ["p"], "t")
            assert (found["pair"][1] if len(example) > 1 else found["sequence"]) == sequence


# What was trained before


def facts(letters: str, rendering: str = "spaced") -> AlignmentFacts:
    return AlignmentFacts(proteins=1, residues=1, aligned=1, method="table", rendering=rendering, letters=letters)


def test_a_model_is_asked_by_the_letters_of_its_record(tokenisers: dict[str, ResidueTokeniser]) -> None:
    """ProtBERT's own tokens for B, O, U and Z were read until protocol 5."""
    now = tokenisers["bert"]
    tokens, vocabulary = TokenFacts(total=1, unknown=0), now.tokenizer.get_vocab()
    for letters in ("ABCDEFGHIKLMNOPQRSTUVWXYZ", "ACDEFGHIKLMNPQRSTUVWXY", TWENTY_AND_X):
        then = now.as_recorded(facts(letters), tokens)
        assert then.form == CanonicalForm(SPACED, (), letters)
        for letter in EVERY:
            assert then.encode(letter)[0] == vocabulary[letter if letter in letters else "X"]
        assert then.own_tokens("MUBJ") == then.with_special(then.encode("MUBJ")).tolist()


@pytest.mark.parametrize("alignment", [facts(""), None], ids=["letters", "anything"])
def test_a_record_from_before_letters_were_in_it_read_all_that_the_vocabulary_has(
    alignment: AlignmentFacts | None, tokenisers: dict[str, ResidueTokeniser]
) -> None:
    then = tokenisers["bert"].as_recorded(alignment, None)
    assert (then.rendering, then.form.as_x) == ("spaced", "J")


def test_a_record_of_subwords_is_read_by_the_tokenizer_alone(tokenisers: dict[str, ResidueTokeniser]) -> None:
    then = tokenisers["esm"].as_recorded(None, TokenFacts(total=1, unknown=0))
    assert not then.aligned and then.form == CanonicalForm(PLAIN)
    assert then.encode("MKUU").tolist() == then.tokenizer("MKUU", add_special_tokens=False)["input_ids"]


def test_a_tokenizer_that_cannot_read_as_was_learnt_is_refused(tokenisers: dict[str, ResidueTokeniser]) -> None:
    tokens = TokenFacts(total=1, unknown=0)
    with pytest.raises(UserError, match=r"it learnt residues as single tokens, ABC.*it has ACD"):
        tokenisers["modernbert"].as_recorded(facts("ABCDEFGHIKLMNOPQRSTUVWXYZ", "plain"), tokens)
    with pytest.raises(UserError, match="written as they are, which its tokenizer does not make of a protein"):
        tokenisers["bert"].as_recorded(facts(TWENTY_AND_X, "plain"), tokens)


def test_letters_of_a_family_hold_for_a_spelling_or_for_all(tokenisers: dict[str, ResidueTokeniser]) -> None:
    few = "ACDEFGHIKLMNPQRSTVWYXU"
    for letters in (few, {"spaced": few}):
        family = Family("mine", letters=letters, spellings=(SPACED,))
        assert ResidueTokeniser.probe(tokenisers["bert"].tokenizer, family).form.as_x == "BJOZ"
    other = Family("mine", letters={"plain": few}, spellings=(SPACED,))
    assert ResidueTokeniser.probe(tokenisers["bert"].tokenizer, other).form.as_x == "J"
    assert len({Family("m", letters=letters).digest for letters in (few, {"spaced": few}, None)}) == 3
