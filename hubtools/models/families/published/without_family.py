"""Kinds of checkpoints that need no family, because all is measured on them; and those that bench does not read yet."""

from __future__ import annotations

from hubtools.models.families.published.published_kind import (
    FULL,
    INTERFACE,
    PER_RESIDUE,
    PROBE,
    WITHOUT_ADAPTERS,
    Pretraining,
    Published,
)

_CODE = "its architecture is code in its own repository"
_NO_TOKENIZER = "there are no tokenizer files"

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
        "protgpt2",
        "ProtGPT2",
        ("nferruz/ProtGPT2",),
        "gpt2",
        works=(PROBE, FULL),
        tried=INTERFACE,
        notes="a token is several residues: tasks of whole proteins only",
    ),
    Published(
        "llama",
        "Llama type with letters",
        (),
        "llama",
        works=(PER_RESIDUE, PROBE, FULL),
        tried=INTERFACE,
        notes="a residue does not see what follows it",
    ),
)

# A kind leaves this list when it has a family: its row then stands in the family's own file.
NOT_SERVED = (
    Published(
        "amplify",
        "AMPLIFY",
        ("chandar-lab/AMPLIFY_*",),
        "AMPLIFY",
        refused=_CODE,
        licence="MIT",
        pretraining=Pretraining("UR100P: UniRef100, OAS and SCOP", source="card of AMPLIFY in MultiMolecule"),
    ),
    Published(
        "glm2",
        "gLM2",
        ("tattabio/gLM2_150M", "tattabio/gLM2_650M"),
        "gLM2",
        refused=_CODE,
        licence="Apache-2.0",
    ),
    Published(
        "proteinglm",
        "ProteinGLM",
        ("biomap-research/proteinglm-*-mlm",),
        "ProteinGLM",
        refused=_NO_TOKENIZER,
        licence="own terms",
    ),
    Published("prosst", "ProSST", ("AI4Protein/ProSST-*",), "ProSST", refused=_CODE, licence="none stated"),
    Published(
        "esmplusplus",
        "ESM++",
        ("Synthyra/ESMplusplus_small", "Synthyra/ESMplusplus_large"),
        "ESMplusplus",
        refused=_NO_TOKENIZER,
        licence="MIT",
    ),
    Published(
        "e1",
        "E1",
        ("Profluent-Bio/E1-150m", "Profluent-Bio/E1-300m", "Profluent-Bio/E1-600m"),
        "E1",
        refused=_NO_TOKENIZER,
        licence="own terms, with attribution",
    ),
    Published("progen2", "ProGen2", ("hugohrban/progen2-*",), "progen", refused=_CODE, licence="BSD-3-Clause"),
    Published("rita", "RITA", ("lightonai/RITA_*",), "rita_model", refused=_CODE),
    Published(
        "nv_esm",
        "ESM-2 for TransformerEngine",
        ("nvidia/esm2_*",),
        "nv_esm",
        refused=_CODE,
        licence="MIT",
    ),
)

WITHOUT_FAMILY = (*MEASURED, *NOT_SERVED)
