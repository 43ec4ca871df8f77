"""Tiny random checkpoints of every family, written as their authors publish them."""

from __future__ import annotations

import json
from pathlib import Path

import torch

ESM_VOCABULARY = ["<cls>", "<pad>", "<eos>", "<unk>", *"LAGVSERTIDPKQNFYMHWCXBUZO", ".", "-", "<null_1>", "<mask>"]
# SaProt's: its residues, then its 3Di letters, in the order of its vocab.txt; # stands for what is not known.
SAPROT_RESIDUES, SAPROT_STRUCTURE = "ACDEFGHIKLMNPQRSTVWY#", "pynwrqhgdlvtmfsaeikc#"
SAPROT_VOCABULARY = [
    "<cls>",
    "<pad>",
    "<eos>",
    "<unk>",
    "<mask>",
    *(residue + structure for residue in SAPROT_RESIDUES for structure in SAPROT_STRUCTURE),
]
FAMILIES = ("esm", "esm1b", "esmc", "bert", "t5", "ankh", "modernbert")
# Of a family above, with a token that its authors put before every protein and its tokenizer does not.
WITH_PROTOCOL = "prostt5"
# And one with two, of which its authors report each.
WITH_PROTOCOLS = "ankh3"


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


def _saprot(folder: Path, width: int):
    from transformers import EsmConfig, EsmForMaskedLM, EsmTokenizer

    (folder / "vocab.txt").write_text("\n".join(SAPROT_VOCABULARY) + "\n")
    config = EsmConfig(
        vocab_size=len(SAPROT_VOCABULARY),
        mask_token_id=4,
        pad_token_id=1,
        hidden_size=width,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=2 * width,
        max_position_embeddings=1026,
        position_embedding_type="rotary",
        token_dropout=True,
    )
    model = EsmForMaskedLM(config)
    # Else what is added in the layers hides which of some hundreds of tokens was read.
    model.esm.embeddings.word_embeddings.weight.data.mul_(20)
    return model, EsmTokenizer(str(folder / "vocab.txt"))


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


def _prostt5(folder: Path, width: int):
    model, tokenizer = _t5(folder, width)
    tokenizer.add_special_tokens({"extra_special_tokens": ["<fold2AA>", "<AA2fold>"]})
    return model, tokenizer


def _ankh3(folder: Path, width: int):
    """Bare letters, and the tokens of the two modes that it was trained in."""
    model, tokenizer = _t5(folder, width, "")
    tokenizer.add_special_tokens({"extra_special_tokens": ["[NLU]", "[S2S]"]})
    return model, tokenizer


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
    "saprot": _saprot,
    "esmc": _esmc,
    "bert": _bert,
    "t5": _t5,
    "prostt5": _prostt5,
    "ankh": lambda folder, width: _t5(folder, width, ""),
    "ankh3": _ankh3,
    "modernbert": _modernbert,
}


def break_config(folder: Path, **changes: object) -> None:
    """Change entries of config.json."""
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def rounded_frequencies(folder: Path) -> Path:
    """Put the rotary frequencies into an ESM-2 as its authors publish them: once a layer, rounded to half precision."""
    from safetensors.torch import load_file, save_file

    weights = {k: v for k, v in load_file(folder / "model.safetensors").items() if "inv_freq" not in k}
    settings = json.loads((folder / "config.json").read_text())
    width = settings["hidden_size"] // settings["num_attention_heads"]
    frequencies = (1 / 10000 ** (torch.arange(0, width, 2) / width)).half().float()
    for layer in range(settings["num_hidden_layers"]):
        name = f"esm.encoder.layer.{layer}.attention.self.rotary_embeddings.inv_freq"
        weights[name] = frequencies.clone()
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def only_sentencepiece(folder: Path) -> Path:
    """Put the vocabulary of ProtT5's kind into a folder as its authors publish it: spiece.model, and no tokenizer.json."""
    from sentencepiece import sentencepiece_model_pb2 as sentencepiece

    model = sentencepiece.ModelProto()
    kinds = sentencepiece.ModelProto.SentencePiece
    for piece, kind in (("<pad>", kinds.CONTROL), ("</s>", kinds.CONTROL), ("<unk>", kinds.UNKNOWN)):
        model.pieces.add(piece=piece, score=0.0, type=kind)
    for letter in "ALGVSREDTIPKFQNYMHWCXBOUZ":
        model.pieces.add(piece=f"▁{letter}", score=-3.0)
    spec = model.trainer_spec
    spec.model_type = sentencepiece.TrainerSpec.UNIGRAM
    spec.vocab_size, spec.pad_id, spec.eos_id, spec.unk_id, spec.bos_id = len(model.pieces), 0, 1, 2, -1
    model.normalizer_spec.name = "identity"
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
        (folder / name).unlink(missing_ok=True)
    (folder / "spiece.model").write_bytes(model.SerializeToString())
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "T5Tokenizer", "extra_ids": 0}))
    return folder


_OWN_CODE = '''"""An architecture that transformers does not know: each token is read beside the mean of its row."""

from types import SimpleNamespace

import torch
from torch import nn
from transformers import PretrainedConfig, PreTrainedModel


class OwnConfig(PretrainedConfig):
    model_type = "own_mean"

    def __init__(self, hidden_size=16, vocab_size=26, **kwargs):
        super().__init__(**kwargs)
        self.hidden_size, self.vocab_size, self.num_hidden_layers = hidden_size, vocab_size, 1


class OwnModel(PreTrainedModel):
    config_class, base_model_prefix = OwnConfig, "body"

    def __init__(self, config):
        super().__init__(config)
        self.embed = nn.Embedding(config.vocab_size, config.hidden_size)
        self.mix = nn.Linear(2 * config.hidden_size, config.hidden_size)
        self.post_init()

    def forward(self, input_ids=None, attention_mask=None, output_hidden_states=False, **kwargs):
        x = self.embed(input_ids)
        weight = (attention_mask if {reads_mask} else input_ids.new_ones(input_ids.shape)).to(x.dtype)[..., None]
        mean = (x * weight).sum(1, keepdim=True) / weight.sum(1, keepdim=True)
        out = self.mix(torch.cat([x, mean.expand_as(x)], -1))
        return SimpleNamespace(last_hidden_state=out, hidden_states=(x, out))


class OwnForMaskedLM(PreTrainedModel):
    config_class, base_model_prefix = OwnConfig, "body"

    def __init__(self, config):
        super().__init__(config)
        self.body = OwnModel(config)
        self.head = nn.Linear(config.hidden_size, config.vocab_size)
        self.post_init()

    def forward(self, input_ids=None, attention_mask=None, **kwargs):
        return SimpleNamespace(logits=self.head(self.body(input_ids, attention_mask).last_hidden_state))
'''


def write_own_code(folder: Path, *, reads_mask: bool) -> Path:
    """A checkpoint whose architecture is code beside it, and which leaves padding out, or does not."""
    import importlib.util

    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "modeling_own.py"
    path.write_text(_OWN_CODE.replace("{reads_mask}", str(reads_mask)))
    spec = importlib.util.spec_from_file_location("modeling_own", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    torch.manual_seed(0)
    model = module.OwnForMaskedLM(module.OwnConfig())
    torch.nn.init.normal_(model.body.embed.weight)
    save_file(model.state_dict(), folder / "model.safetensors", metadata={"format": "pt"})
    classes = {"Config": "OwnConfig", "Model": "OwnModel", "ModelForMaskedLM": "OwnForMaskedLM"}
    config = {
        "model_type": "own_mean",
        "hidden_size": 16,
        "vocab_size": 26,
        "auto_map": {f"Auto{auto}": f"modeling_own.{name}" for auto, name in classes.items()},
    }
    (folder / "config.json").write_text(json.dumps(config))
    _modernbert(folder, 16)[1].save_pretrained(folder)
    return folder
