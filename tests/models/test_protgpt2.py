"""ProtGPT2's kind: pieces of several residues, proteins in lines as FASTA files have them, each after ``<|endoftext|>``."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tiny_decoders import write_decoder, write_protgpt2
from transformers import AutoTokenizer

from hubtools.common.errors import UserError
from hubtools.models import ResidueTokeniser, resolve_checkpoint
from hubtools.models.families import CanonicalForm, family_of
from hubtools.specs.record import TokenFacts

LONG = "MKALEEACDEFGHIKLMNPQRSTVWY" * 5


@pytest.fixture
def tokeniser(tmp_path: Path) -> ResidueTokeniser:
    return ResidueTokeniser.from_checkpoint(resolve_checkpoint(str(write_protgpt2(tmp_path / "m"))))


def test_a_protein_is_read_as_in_pre_training(tokeniser: ResidueTokeniser, tmp_path: Path) -> None:
    own = AutoTokenizer.from_pretrained(tmp_path / "m")
    lines = [LONG[start : start + 60] for start in (0, 60, 120)]
    text = "<|endoftext|>\n" + "\n".join(lines)
    expected = own(text)["input_ids"]
    assert tokeniser.own_tokens(LONG) == expected
    assert tokeniser.with_special(tokeniser.encode(LONG)).tolist() == expected
    assert own.convert_ids_to_tokens(expected)[:4] == ["<|endoftext|>", "Ċ", "MK", "ALEE"]
    assert len(tokeniser.encode(LONG)) < len(LONG), "pieces, not letters"
    assert tokeniser.prefix == (50256,) and tokeniser.suffix == ()


def test_per_residue_tasks_are_refused_in_one_line(tokeniser: ResidueTokeniser) -> None:
    with pytest.raises(UserError, match=r"not one token per residue.*pieces of several residues") as error:
        tokeniser.prove([LONG])
    assert "\n" not in error.value.what


def test_the_record_says_how_proteins_were_written(tokeniser: ResidueTokeniser) -> None:
    facts = tokeniser.count_unknown([tokeniser.encode(LONG)])
    assert (facts.protocol, facts.rendering) == (["<|endoftext|>"], "fasta")
    read = TokenFacts.model_validate_json(facts.model_dump_json())
    form = CanonicalForm.recorded(None, read, CanonicalForm(tokeniser.form.spelling))
    assert form.write(LONG) == tokeniser.form.write(LONG)
    assert tokeniser.as_recorded(None, read).own_tokens(LONG) == tokeniser.own_tokens(LONG)
    before = TokenFacts(total=1, unknown=0)
    assert tokeniser.as_recorded(None, before).form.write(LONG) == LONG, "as earlier runs read it"


def test_the_python_of_a_card_reads_it_so(tokeniser: ResidueTokeniser) -> None:
    expression = tokeniser.form.arguments()
    assert eval(expression, {"sequence": LONG}) == tokeniser.form.write(LONG)
    assert re.search(r"range\(0, len\(sequence\), 60\)", expression)


def test_a_gpt2_of_letters_is_none_of_it(tmp_path: Path) -> None:
    checkpoint = resolve_checkpoint(str(write_decoder(tmp_path / "m")))
    assert family_of(checkpoint.config).name == "gpt2"
    tokeniser = ResidueTokeniser.from_checkpoint(checkpoint)
    assert tokeniser.aligned and tokeniser.form.protocol == ()
    assert family_of(resolve_checkpoint(str(write_protgpt2(tmp_path / "p"))).config).name == "protgpt2"
