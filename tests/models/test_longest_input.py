"""The window is what a checkpoint's code reads, found out by reading, whatever its configuration calls it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_checkpoints import write_checkpoint

from hubtools.models import ResidueTokeniser, resolve_checkpoint
from hubtools.models.families import family_of
from hubtools.models.longest_input import longest_input
from hubtools.specs.recipe import Window
from hubtools.training.encoding import effective_window

SMALL = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}


def _roberta(vocabulary: int) -> Any:
    from transformers import RobertaConfig, RobertaForMaskedLM

    return RobertaForMaskedLM(RobertaConfig(vocab_size=vocabulary, max_position_embeddings=66, pad_token_id=1, **SMALL))


def _xlm_roberta(vocabulary: int) -> Any:
    from transformers import XLMRobertaConfig, XLMRobertaForMaskedLM

    config = XLMRobertaConfig(vocab_size=vocabulary, max_position_embeddings=66, pad_token_id=1, **SMALL)
    return XLMRobertaForMaskedLM(config)


def _mpnet(vocabulary: int) -> Any:
    from transformers import MPNetConfig, MPNetForMaskedLM

    return MPNetForMaskedLM(MPNetConfig(vocab_size=vocabulary, max_position_embeddings=66, pad_token_id=1, **SMALL))


def _longformer(vocabulary: int) -> Any:
    from transformers import LongformerConfig, LongformerForMaskedLM

    config = LongformerConfig(
        vocab_size=vocabulary, max_position_embeddings=66, pad_token_id=1, attention_window=8, **SMALL
    )
    return LongformerForMaskedLM(config)


def _gpt2(vocabulary: int) -> Any:
    from transformers import GPT2Config, GPT2LMHeadModel

    return GPT2LMHeadModel(GPT2Config(vocab_size=vocabulary, n_positions=64, n_embd=16, n_layer=2, n_head=2))


def _xlnet(vocabulary: int) -> Any:
    from transformers import XLNetConfig, XLNetLMHeadModel

    return XLNetLMHeadModel(XLNetConfig(vocab_size=vocabulary, d_model=16, n_layer=2, n_head=2, d_inner=32))


def _bert(vocabulary: int) -> Any:
    from transformers import BertConfig, BertForMaskedLM

    return BertForMaskedLM(BertConfig(vocab_size=vocabulary, max_position_embeddings=64, **SMALL))


# Tokens that each reads at once; None where any number.
READS = {
    _bert: 64,
    _roberta: 64,
    _xlm_roberta: 64,
    _mpnet: 64,
    _longformer: 64,
    _gpt2: 64,
    _xlnet: None,
}


def written(folder: Path, make: Any) -> Any:
    from transformers import BertTokenizer

    folder.mkdir()
    vocabulary = ["[UNK]", "[PAD]", "[CLS]", "[SEP]", "[MASK]", *"LAGVESIKRDTPNQFYMHCWXUBZO"]
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n")
    torch.manual_seed(0)
    make(len(vocabulary)).save_pretrained(folder)
    BertTokenizer(str(folder / "vocab.txt"), do_lower_case=False).save_pretrained(folder)
    return resolve_checkpoint(str(folder))


@pytest.mark.parametrize("make", READS, ids=lambda make: make.__name__.removeprefix("_"))
def test_the_window_is_what_the_whole_model_reads(make: Any, tmp_path: Path) -> None:
    from transformers import AutoModel

    checkpoint = written(tmp_path / "checkpoint", make)
    tokeniser = ResidueTokeniser.from_checkpoint(checkpoint)
    limit = READS[make]
    window = effective_window(Window(residues=200, overlap=50), checkpoint, tokeniser)
    assert window.residues == (200 if limit is None else limit - 2)
    # An independent look: transformers itself reads so much and no more.
    model: Any = AutoModel.from_pretrained(checkpoint.files()).eval()
    at_most = torch.full((1, window.residues + 2), int(tokeniser.encode("A")[0]))
    with torch.no_grad():
        model(input_ids=at_most)
        if limit is not None:
            with pytest.raises((IndexError, RuntimeError)):
                model(input_ids=torch.nn.functional.pad(at_most, (0, 1), value=int(at_most[0, 0])))


def test_what_is_stated_holds_where_the_code_would_read_more(tmp_path: Path) -> None:
    """Rotary positions have no end; the pre-training had."""
    checkpoint = resolve_checkpoint(str(write_checkpoint(tmp_path / "esm", "esm")))
    tokeniser = ResidueTokeniser.from_checkpoint(checkpoint)
    assert longest_input(checkpoint, tokeniser, 3000) == 3000
    assert effective_window(Window(residues=3000), checkpoint, tokeniser).residues == 1022


def test_an_entry_is_found_under_the_name_of_its_architecture() -> None:
    from transformers import CONFIG_MAPPING

    for model_type, limit in (("gpt2", 77), ("bert", 88)):
        config = CONFIG_MAPPING[model_type](max_position_embeddings=limit)
        family = family_of(config.to_dict())
        assert family.max_tokens(config.to_dict()) == family.max_tokens(config) == limit
    assert family_of({"model_type": "a new one"}).max_tokens({"model_type": "a new one"}) is None
    # Decoders of code of their own; of what transformers has, the name is asked of it.
    for model_type, name in (("progen", "n_positions"), ("progen", "n_ctx"), ("rita", "max_seq_len")):
        config = {"model_type": model_type, name: 1024}
        assert family_of(config).max_tokens(config) == 1024
    assert family_of({"model_type": "t5"}).max_tokens({"model_type": "t5", "n_positions": 512}) is None


def test_measuring_draws_no_random_number(tmp_path: Path) -> None:
    checkpoint = written(tmp_path / "checkpoint", _roberta)
    tokeniser = ResidueTokeniser.from_checkpoint(checkpoint)
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    longest_input(checkpoint, tokeniser, 100)
    assert torch.equal(torch.rand(3), expected)
