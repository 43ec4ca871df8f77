"""A tiny checkpoint of each kind that people use (``Published.key``): the real class with random weights, laid out as its authors publish it.

A new family writes its facts in its own file (``published=``) and a tiny checkpoint of it here; the test of
docs/checkpoints.md then holds the one against the other.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from tiny_checkpoints import only_sentencepiece, write_checkpoint
from tiny_decoders import DECODERS, write_decoder, write_protgpt2
from tiny_own_code import write_like

from hubtools.specs.lookup.content import shipped_root

LETTERS = "ACDEFGHIKLMNPQRSTVWYX"
SIZES: dict[str, Any] = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
# Real weights where a machine has them: the folder that a variable names.
REAL_WEIGHTS: dict[str, Path | None] = {
    "esm2": Path(folder) if (folder := os.environ.get("BENCH_REAL_ESM2")) else None,
    "esm-mini": shipped_root() / "benchmarks" / "checkpoints" / "esm-mini",
}


def write_kind(folder: Path, key: str) -> Path:
    """The tiny checkpoint of a kind."""
    torch.manual_seed(0)
    folder.mkdir(parents=True)
    return KINDS[key](folder)


def _as(family: str) -> Callable[[Path], Path]:
    return lambda folder: write_checkpoint(folder, family)


def _saved(folder: Path, model: Any, tokenizer: Any) -> Path:
    model.eval().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def of_letters(spaced: bool = False, around: bool = True) -> Any:
    """A tokenizer of one token a residue, as ``tokenizer.json`` holds it."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *LETTERS]
    tokenizer = Tokenizer(models.WordLevel({piece: i for i, piece in enumerate(pieces)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit() if spaced else pre_tokenizers.Split("", "isolated")
    if around:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
        )
    names = {f"{name}_token": f"[{name.upper()}]" for name in ("pad", "unk", "cls", "sep", "mask")}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names)


def _ankh3(folder: Path) -> Path:
    """Ankh's bare letters, and the tokens of two modes that its tokenizer does not add."""
    from transformers import AutoTokenizer

    write_checkpoint(folder, "ankh")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_special_tokens({"extra_special_tokens": ["[NLU]", "[S2S]"]})
    tokenizer.save_pretrained(folder)
    return folder


def _encoder(config: str, model: str, *, spaced: bool = False, around: bool = True, **settings: Any) -> Any:
    """A kind whose class of transformers reads :func:`of_letters`."""

    def write(folder: Path) -> Path:
        import transformers

        tokenizer = of_letters(spaced, around)
        made = getattr(transformers, config)(vocab_size=len(tokenizer), pad_token_id=0, **{**SIZES, **settings})
        return _saved(folder, getattr(transformers, model)(made), tokenizer)

    return write


def _of_own_code(model_type: str, *, tokenizer: bool = True, auto: str = "AutoModel") -> Callable[[Path], Path]:
    """What is read of a checkpoint before any of its code would run: its files, and what config.json names."""

    def write(folder: Path) -> Path:
        from safetensors.torch import save_file

        auto_map = {"AutoConfig": "modeling_own.OwnConfig", auto: "modeling_own.OwnModel"}
        config = {"model_type": model_type, "hidden_size": 16, "vocab_size": 26, "auto_map": auto_map}
        (folder / "config.json").write_text(json.dumps(config))
        save_file({"w": torch.zeros(1)}, folder / "model.safetensors", metadata={"format": "pt"})
        if tokenizer:
            of_letters().save_pretrained(folder)
        return folder

    return write


def _like(kind: str) -> Callable[[Path], Path]:
    return lambda folder: write_like(folder, kind)


KINDS: dict[str, Callable[[Path], Path]] = {
    **dict.fromkeys(("esm2", "dplm", "ism", "esm-mini"), _as("esm")),
    **dict.fromkeys(("esm1b", "esm1v"), _as("esm1b")),
    "saprot": _as("saprot"),
    "esmc": _as("esmc"),
    **dict.fromkeys(("protbert", "protbert-bfd", "igbert"), _as("bert")),
    **dict.fromkeys(("prott5", "prott5-bfd"), lambda folder: only_sentencepiece(write_checkpoint(folder, "t5"))),
    "igt5": _as("t5"),
    "prostt5": _as("prostt5"),
    "ankh": _as("ankh"),
    "ankh3": _ankh3,
    "modernbert": _as("modernbert"),
    "electra": _encoder("ElectraConfig", "ElectraForMaskedLM", spaced=True, embedding_size=16),
    "albert": _encoder("AlbertConfig", "AlbertForMaskedLM", spaced=True, embedding_size=16),
    "xlnet": _encoder("XLNetConfig", "XLNetLMHeadModel", spaced=True, d_model=16, n_layer=2, n_head=2, d_inner=32),
    "antiberta2": _encoder(
        "RoFormerConfig", "RoFormerForMaskedLM", spaced=True, embedding_size=16, max_position_embeddings=256
    ),
    "roberta": _encoder("RobertaConfig", "RobertaForMaskedLM", max_position_embeddings=258),
    "deberta": _encoder("DebertaV2Config", "DebertaV2ForMaskedLM"),
    "protgpt2": write_protgpt2,
    **{key: partial(write_decoder, kind=key) for key in DECODERS},
    **{
        key: _like(kind)
        for key, kind in {
            "amplify": "amplify",
            "glm2": "glm2",
            "e1": "e1",
            "proteinglm": "proteinglm",
            "esmplusplus": "esmpp",
            "prosst": "prosst",
            "progen2": "progen",
            "rita": "rita",
        }.items()
    },
    "nv_esm": _of_own_code("nv_esm"),
}
