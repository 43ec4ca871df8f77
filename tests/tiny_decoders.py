"""Tiny random decoders: GPT-2, Llama and Mamba with letters, and GPT-2 with pieces of several residues, as ProtGPT2 is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

LETTERS = "ACDEFGHIKLMNPQRSTVWYX"
PIECES = ("MK", "AL", "LA", "EE", "AC", "ALEE", "MKAL")
DECODERS = ("gpt2", "llama", "mamba")


def write_decoder(folder: Path, kind: str = "gpt2", *, around: bool = True, seed: int = 0, **settings: Any) -> Path:
    """A checkpoint folder of a decoder whose tokens are letters.

    Args:
        folder: of the checkpoint.
        kind: gpt2, llama or mamba.
        around: whether its tokenizer puts ``1`` before a protein and ``2`` after it.
        seed: of the weights.
        settings: of the configuration.
    """
    from transformers import AutoModelForCausalLM, GPT2Config, LlamaConfig, MambaConfig

    size: dict[str, Any] = {"vocab_size": 4 + len(LETTERS), "bos_token_id": 2, "eos_token_id": 3, "pad_token_id": 0}
    config = {
        "gpt2": lambda: GPT2Config(n_embd=16, n_layer=2, n_head=2, n_positions=128, **(size | settings)),
        "llama": lambda: LlamaConfig(
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            max_position_embeddings=128,
            **(size | settings),
        ),
        "mamba": lambda: MambaConfig(hidden_size=16, num_hidden_layers=2, state_size=4, **(size | settings)),
    }[kind]()
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(config).eval()
    for parameter in model.parameters():
        if parameter.ndim > 1:
            # Else a fresh model says nearly the same of everything.
            torch.nn.init.normal_(parameter, std=0.3)
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    _letters(around).save_pretrained(folder)
    return folder


def _letters(around: bool) -> Any:
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    pieces = ["<pad>", "<unk>", "1", "2", *LETTERS]
    tokenizer = Tokenizer(models.WordLevel({piece: i for i, piece in enumerate(pieces)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    if around:
        tokenizer.post_processor = processors.TemplateProcessing(single="1 $A 2", special_tokens=[("1", 2), ("2", 3)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", unk_token="<unk>", bos_token="1", eos_token="2"
    )


def write_protgpt2(folder: Path, seed: int = 0) -> Path:
    """A GPT-2 of the real vocabulary size, whose tokenizer makes pieces of several residues, and has no padding token."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

    letters = [chr(c) for c in range(ord("A"), ord("Z") + 1)]
    vocabulary = {piece: i for i, piece in enumerate([*letters, "Ċ", "Ġ", *PIECES])} | {"<|endoftext|>": 50256}
    merges = [("M", "K"), ("A", "L"), ("L", "A"), ("E", "E"), ("A", "C"), ("AL", "EE"), ("MK", "AL")]
    tokenizer = Tokenizer(models.BPE(vocabulary, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    end = "<|endoftext|>"
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=end, eos_token=end, unk_token=end)
    torch.manual_seed(seed)
    config = GPT2Config(vocab_size=50257, n_embd=8, n_layer=2, n_head=2, n_positions=64)
    folder.mkdir(parents=True, exist_ok=True)
    GPT2LMHeadModel(config).eval().save_pretrained(folder)
    fast.save_pretrained(folder)
    return folder
