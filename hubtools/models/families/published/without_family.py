"""Kinds of checkpoints that need no family, because all is measured on them; and those that bench does not read yet."""

from __future__ import annotations

from hubtools.models.families.published.published_kind import (
    INTERFACE,
    WITHOUT_ADAPTERS,
    Published,
)

_DECODER = "a decoder: a residue does not see what follows it; zero-shot by log-likelihood"
_CODE = "its architecture is code in its own repository"

MEASURED = (
    Published(
        "antiberta2",
        "AntiBERTa2",
        ("alchemab/antiberta2", "alchemab/antiberta2-cssp"),
        "roformer",
        works=WITHOUT_ADAPTERS,
        tried=INTERFACE,
    ),
    Published(
        "roberta",
        "RoBERTa type: AntiBERTa, BALM, Sapiens",
        (),
        "roberta",
        works=WITHOUT_ADAPTERS,
        tried=INTERFACE,
    ),
    Published("deberta", "DeBERTa type", (), "deberta-v2", works=WITHOUT_ADAPTERS, tried=INTERFACE),
    Published(
        "gpt2",
        "GPT-2 type with letters",
        (),
        "gpt2",
        works=WITHOUT_ADAPTERS,
        tried=INTERFACE,
        notes=_DECODER,
    ),
    Published(
        "llama",
        "Llama type with letters",
        (),
        "llama",
        works=WITHOUT_ADAPTERS,
        tried=INTERFACE,
        notes=_DECODER,
    ),
    Published(
        "mamba",
        "Mamba type with letters",
        (),
        "mamba",
        works=WITHOUT_ADAPTERS,
        tried=INTERFACE,
        notes=_DECODER,
    ),
)

# A kind leaves this list when it has a family: its row then stands in the family's own file.
NOT_SERVED = (
    Published("nv_esm", "ESM-2 for TransformerEngine", ("nvidia/esm2_*",), "nv_esm", refused=_CODE, licence="MIT"),
)

WITHOUT_FAMILY = (*MEASURED, *NOT_SERVED)
