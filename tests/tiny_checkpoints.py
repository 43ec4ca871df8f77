"""Tiny random checkpoints of every family, written as their authors publish them."""

from __future__ import annotations

import json
from pathlib import Path

import torch

ESM_VOCABULARY = ["<cls>", "<pad>", "<eos>", "<unk>", *"LAGVSERTIDPKQNFYMHWCXBUZO", ".", "-", "<null_1>", "<mask>"]
FAMILIES = ("esm", "esm1b", "esmc", "bert", "t5", "ankh", "modernbert")


def write_checkpoint(folder: Path, family: str, *, half: bool = False, seed: int = 0, width: int = 16) -> Path:
    """A checkpoint folder of a family: config.json, model.safetensors, tokenizer files."""
    torch.manual_seed(seed)
    folder.mkdir(parents=True, exist_ok=True)
    model, tokenizer = _MAKERS[family](folder, width)
    model.eval()
    (model.half() if half else model).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _esm(folder: Path, width: int, position: str = "rotary"):
    from transformers import EsmConfig, EsmForMaskedLM, EsmTokenizer

    (folder / "vocab.txt").write_text("\n".join(ESM_VOCABULARY) + "\n")
    config = EsmConfig(
        vocab_size=33,
        mask_token_id=32,
        pad_token_id=1,
        hidden_size=width,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=2 * width,
        max_position_embeddings=1026,
        position_embedding_type=position,
        token_dropout=True,
        emb_layer_norm_before=position == "absolute",
    )
    return EsmForMaskedLM(config), EsmTokenizer(str(folder / "vocab.txt"))


def _esmc(folder: Path, width: int):
    from transformers import EsmcConfig, EsmcForMaskedLM, EsmcTokenizer

    config = EsmcConfig(
        hidden_size=width, intermediate_size=2 * width, num_hidden_layers=2, num_attention_heads=2, vocab_size=64
    )
    return EsmcForMaskedLM(config), EsmcTokenizer()


def _bert(folder: Path, width: int):
    from transformers import BertConfig, BertForMaskedLM, BertTokenizer

    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"LAGVESIKRDTPNQFYMHCWXUBZO"]
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n")
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=width,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=2 * width,
        max_position_embeddings=2048,
    )
    return BertForMaskedLM(config), BertTokenizer(str(folder / "vocab.txt"), do_lower_case=False)


def _t5(folder: Path, width: int, mark: str = "▁"):
    """ProtT5: pieces with a leading word mark (residues separated by spaces). Ankh: bare letters."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast, T5Config, T5EncoderModel

    letters = "ALGVSREDTIPKFQNYMHWCXBOUZ"
    pieces = ["<pad>", "</s>", "<unk>", *(mark + letter for letter in letters)]
    tokenizer = Tokenizer(models.WordLevel({piece: i for i, piece in enumerate(pieces)}, unk_token="<unk>"))
    if mark:
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
        tokenizer.decoder = decoders.Metaspace()
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>")
    config = T5Config(
        vocab_size=32,
        d_model=width,
        d_kv=width // 2,
        d_ff=2 * width,
        num_layers=2,
        num_heads=2,
        is_encoder_decoder=False,
    )
    return T5EncoderModel(config), fast


def _modernbert(folder: Path, width: int):
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import ModernBertConfig, ModernBertForMaskedLM, PreTrainedTokenizerFast

    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"ACDEFGHIKLMNPQRSTVWYX"]
    tokenizer = Tokenizer(models.WordLevel({piece: i for i, piece in enumerate(pieces)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
    )
    config = ModernBertConfig(
        vocab_size=len(pieces),
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=2,
        num_attention_heads=2,
        pad_token_id=0,
        bos_token_id=2,
        eos_token_id=3,
        cls_token_id=2,
        sep_token_id=3,
        max_position_embeddings=2048,
    )
    return ModernBertForMaskedLM(config), fast


_MAKERS = {
    "esm": _esm,
    "esm1b": lambda folder, width: _esm(folder, width, "absolute"),
    "esmc": _esmc,
    "bert": _bert,
    "t5": _t5,
    "ankh": lambda folder, width: _t5(folder, width, ""),
    "modernbert": _modernbert,
}


def break_config(folder: Path, **changes: object) -> None:
    """Change entries of config.json."""
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
