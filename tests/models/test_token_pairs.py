"""SaProt's tokens of residue and structure: equal to its own tokenizer, with structure and without."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tiny_checkpoints import SAPROT_VOCABULARY, write_checkpoint

from hubtools.common.errors import UserError
from hubtools.models import ResidueTokeniser, resolve_checkpoint
from hubtools.models.masked_lm import hidden_tokens, require_mask, residue_tokens

LETTERS = "acdefghiklmnpqrstvwy#"
TWENTY = "ACDEFGHIKLMNPQRSTVWY"


def probed(folder: Path, family: str = "saprot") -> ResidueTokeniser:
    return ResidueTokeniser.from_checkpoint(resolve_checkpoint(str(write_checkpoint(folder / family, family))))


@pytest.fixture(scope="module")
def tokeniser(tmp_path_factory: pytest.TempPathFactory) -> ResidueTokeniser:
    return probed(tmp_path_factory.mktemp("saprot"))


def written(tokens: np.ndarray) -> list[str]:
    return [SAPROT_VOCABULARY[token] for token in tokens.tolist()]


def test_a_residue_and_its_letter_are_one_token(tokeniser: ResidueTokeniser) -> None:
    assert (tokeniser.rendering, tokeniser.reads_structure) == ("saprot", True)
    assert written(tokeniser.encode("MKV", "dv#")) == ["Md", "Kv", "V#"]
    assert written(tokeniser.encode("MKV")) == ["M#", "K#", "V#"]


def test_the_table_is_the_tokenizer_on_every_pair(tokeniser: ResidueTokeniser) -> None:
    rng = np.random.default_rng(0)
    sequence = "".join(np.repeat(list(TWENTY), len(LETTERS)))
    structure = LETTERS * len(TWENTY)
    for order in (np.arange(len(sequence)), rng.permutation(len(sequence))):
        residues, letters = ("".join(text[i] for i in order) for text in (sequence, structure))
        own = tokeniser.own_tokens(residues, letters)
        assert own == tokeniser.with_special(tokeniser.encode(residues, letters)).tolist()
        assert len(set(own)) == 20 * 21 + 2


def test_letters_that_the_vocabulary_lacks_are_residues_that_are_not_known(tokeniser: ResidueTokeniser) -> None:
    assert written(tokeniser.encode("MXJJU", "dv#py")) == ["Md", "#v", "##", "#p", "#y"]
    assert written(tokeniser.encode("MXJJU")) == ["M#", "##", "##", "##", "##"]
    assert tokeniser.own_tokens("MXJJU", "dv#py")[1:-1] == tokeniser.encode("MXJJU", "dv#py").tolist()
    facts = tokeniser.prove(["MXJJU"], ["dv#py"])
    assert facts.replaced == {"J": 2, "U": 1, "X": 1} and facts.aligned == 5


def test_many_are_read_as_each_alone(tokeniser: ResidueTokeniser) -> None:
    sequences, structures = ["MKTAY", "ACD"], ["dvpl#", "###"]
    both = tokeniser.encode_all(sequences, structures)
    assert [ids.tolist() for ids in both] == [
        tokeniser.encode(*pair).tolist() for pair in zip(sequences, structures, strict=True)
    ]
    assert both[1].tolist() == tokeniser.encode("ACD").tolist(), "# for all is what is read without structure"


def test_the_proof_says_how_residues_are_written(tokeniser: ResidueTokeniser) -> None:
    with_structure = tokeniser.prove(["MKTAY", "ACD"], ["dvpl#", "#vv"])
    assert (with_structure.aligned, with_structure.residues) == (8, 8)
    assert "followed by its 3Di letter" in with_structure.method
    assert "(no structure)" in tokeniser.prove(["MKTAY"]).method
    assert tokeniser.count_unknown(tokeniser.encode_all(["MKTAY"], ["dvpl#"])).unknown == 0


def test_checkpoints_of_residues_read_the_same_with_structure_beside(tmp_path: Path) -> None:
    plain = probed(tmp_path, "esm")
    assert not plain.reads_structure
    assert plain.encode("MKV", "dv#").tolist() == plain.encode("MKV").tolist()
    assert [ids.tolist() for ids in plain.encode_all(["MKV"], ["dv#"])] == [plain.encode("MKV").tolist()]
    assert plain.prove(["MKV"], ["dv#"]).method == plain.prove(["MKV"]).method


def test_a_vocabulary_that_lacks_pairs_reads_without_structure_alone(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "m", "saprot")
    lacking = "\n".join("<null>" if token == "Wy" else token for token in SAPROT_VOCABULARY)
    (folder / "vocab.txt").write_text(lacking + "\n")
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"):
        (folder / name).unlink(missing_ok=True)
    found = ResidueTokeniser.from_checkpoint(resolve_checkpoint(str(folder)))
    assert found.rendering == "saprot" and not found.reads_structure
    with pytest.raises(UserError, match="its vocabulary lacks some of them with 3Di letters"):
        require_mask(found, "m")


def test_what_hides_a_residue_keeps_its_structure(tokeniser: ResidueTokeniser, tmp_path: Path) -> None:
    require_mask(tokeniser, "m")
    assert written(hidden_tokens(tokeniser, "dv#")) == ["#d", "#v", "##"]
    plain = probed(tmp_path, "esm")
    assert hidden_tokens(plain, "###").tolist() == [32] * 3


def test_the_tokens_of_a_residue(tokeniser: ResidueTokeniser, tmp_path: Path) -> None:
    found = residue_tokens(tokeniser, "AW")
    assert [sorted(written(row)) for row in found] == [sorted(a + s for s in LETTERS) for a in "AW"]
    assert residue_tokens(probed(tmp_path, "esm"), "AW").shape == (2, 1)
