"""Decoders of transformers' own classes: GPT-2, Llama and Mamba types whose tokens are letters, and ProtGPT2.

ProtGPT2 is GPT-2 with pieces of about four residues, shown proteins as FASTA files have them, each after ``<|endoftext|>``. It is told by the size of GPT-2's own vocabulary, which what is trained on from it keeps; an English GPT-2 is recognised, too. A GPT-2 whose
tokens are letters has a vocabulary of its own.
"""

from __future__ import annotations

from hubtools.models.families.family import Family
from hubtools.models.families.paper import Paper
from hubtools.models.families.published.published_kind import (
    EVERYTHING,
    FULL,
    IA3,
    INTERFACE,
    LORA,
    PROBE,
    Published,
)
from hubtools.models.families.spelling import FASTA

_OF_LETTERS = "a decoder: a residue does not see what follows it; zero-shot by log-likelihood"
# Queries, keys and values are one layer.
GPT2_LINEAR = ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")
GPT2_SCALED, GPT2_SCALED_INPUTS = ("attn.c_attn",), ("mlp.c_proj",)

PROTGPT2 = Family(
    "protgpt2",
    model_types=("gpt2",),
    settings={"vocab_size": 50257},
    spellings=(FASTA,),
    protocol=("<|endoftext|>",),
    lora_targets=GPT2_LINEAR,
    ia3_targets=GPT2_SCALED,
    ia3_inputs=GPT2_SCALED_INPUTS,
    papers=(
        Paper(
            "ProtGPT2",
            r"protgpt2",
            """\
@article{ferruz2022protgpt2,
  title = {{ProtGPT2} is a deep unsupervised language model for protein design},
  author = {Ferruz, Noelia and Schmidt, Steffen and H{\\"o}cker, Birte},
  journal = {Nature Communications},
  volume = {13},
  pages = {4348},
  year = {2022},
  doi = {10.1038/s41467-022-32007-7},
}""",
        ),
    ),
    published=(
        Published(
            "protgpt2",
            "ProtGPT2",
            ("nferruz/ProtGPT2",),
            "gpt2",
            works=(PROBE, FULL, LORA, IA3),
            tried=INTERFACE,
            protocol=("<|endoftext|>",),
            notes="a decoder, read in lines as FASTA files have them; a token is several residues: tasks of whole proteins only",
        ),
    ),
)

GPT2 = Family(
    "gpt2",
    lora_targets=GPT2_LINEAR,
    ia3_targets=GPT2_SCALED,
    ia3_inputs=GPT2_SCALED_INPUTS,
    published=(
        Published("gpt2", "GPT-2 type with letters", (), "gpt2", works=EVERYTHING, tried=INTERFACE, notes=_OF_LETTERS),
    ),
)

LLAMA = Family(
    "llama",
    lora_targets=(
        *(f"self_attn.{part}_proj" for part in "qkvo"),
        *(f"mlp.{part}_proj" for part in ("gate", "up", "down")),
    ),
    ia3_targets=("self_attn.k_proj", "self_attn.v_proj"),
    ia3_inputs=("mlp.down_proj",),
    published=(
        Published(
            "llama", "Llama type with letters", (), "llama", works=EVERYTHING, tried=INTERFACE, notes=_OF_LETTERS
        ),
    ),
)

MAMBA = Family(
    "mamba",
    # Of its other linear layers its fast kernels read the weights by themselves, past an adapter.
    lora_targets=("mixer.in_proj", "mixer.x_proj"),
    ia3_targets=("mixer.x_proj",),
    published=(
        Published(
            "mamba", "Mamba type with letters", (), "mamba", works=EVERYTHING, tried=INTERFACE, notes=_OF_LETTERS
        ),
    ),
)
