"""ProtBERT, and what has BERT's layers: ELECTRA, RoBERTa, RoFormer and, but for three names, DeBERTa; ESM has its paths of linear layers, too.

All call three layers "dense": the output of attention and both of the feed-forward part. Each is named by its path.
Outside the layers there are more (pooler, language-model head), which nothing attaches to.
"""

from __future__ import annotations

from hubtools.models.families.family import Family
from hubtools.models.families.prottrans import LETTERS, PROTTRANS
from hubtools.models.families.published.published_kind import (
    EVERYTHING,
    INTERFACE,
    REAL_VOCABULARY,
    Pretraining,
    Published,
)
from hubtools.models.families.spelling import PLAIN, SPACED

LINEAR = (
    "attention.self.query",
    "attention.self.key",
    "attention.self.value",
    "attention.output.dense",
    "intermediate.dense",
    "output.dense",
)
SCALED = ("attention.self.key", "attention.self.value")
SCALED_INPUTS = ("output.dense",)

BERT = Family(
    "bert",
    pooler=False,
    spellings=(SPACED, PLAIN),
    letters=LETTERS,
    lora_targets=LINEAR,
    ia3_targets=SCALED,
    ia3_inputs=SCALED_INPUTS,
    papers=(PROTTRANS,),
    published=(
        Published(
            "protbert-bfd",
            "ProtBERT-BFD",
            ("Rostlab/prot_bert_bfd",),
            "bert",
            works=EVERYTHING,
            tried=REAL_VOCABULARY,
            tokens=30,
            licence="none stated",
            pretraining=Pretraining("BFD", source="card of Rostlab/prot_bert_bfd"),
        ),
        Published(
            "protbert",
            "ProtBERT",
            ("Rostlab/prot_bert",),
            "bert",
            works=EVERYTHING,
            tried=REAL_VOCABULARY,
            tokens=30,
            licence="none stated",
            pretraining=Pretraining("UniRef100, 217 million sequences", source="card of Rostlab/prot_bert"),
        ),
        Published(
            "igbert",
            "IgBert",
            ("Exscientia/IgBert",),
            "bert",
            works=EVERYTHING,
            tried=INTERFACE,
            licence="MIT",
            notes="as ProtBERT, trained on with antibodies",
        ),
    ),
)

ELECTRA = Family(
    "electra",
    letters=LETTERS,
    lora_targets=LINEAR,
    ia3_targets=SCALED,
    ia3_inputs=SCALED_INPUTS,
    published=(
        Published(
            "electra",
            "ProtElectra",
            ("Rostlab/prot_electra_generator_bfd", "Rostlab/prot_electra_discriminator_bfd"),
            "electra",
            works=EVERYTHING,
            tried=INTERFACE,
            notes="zero-shot of the generator alone: the discriminator has no head that tells residues",
        ),
    ),
)

ROFORMER = Family(
    "roformer",
    lora_targets=LINEAR,
    ia3_targets=SCALED,
    ia3_inputs=SCALED_INPUTS,
    published=(
        Published(
            "antiberta2",
            "AntiBERTa2",
            ("alchemab/antiberta2", "alchemab/antiberta2-cssp"),
            "roformer",
            works=EVERYTHING,
            tried=INTERFACE,
        ),
    ),
)

ROBERTA = Family(
    "roberta",
    lora_targets=LINEAR,
    ia3_targets=SCALED,
    ia3_inputs=SCALED_INPUTS,
    published=(
        Published(
            "roberta",
            "RoBERTa type: AntiBERTa, BALM, Sapiens",
            (),
            "roberta",
            works=EVERYTHING,
            tried=INTERFACE,
        ),
    ),
)

_PROJ = {f"attention.self.{part}": f"attention.self.{part}_proj" for part in ("query", "key", "value")}

DEBERTA = Family(
    "deberta-v2",
    lora_targets=tuple(_PROJ.get(path, path) for path in LINEAR),
    ia3_targets=tuple(_PROJ[path] for path in SCALED),
    ia3_inputs=SCALED_INPUTS,
    published=(Published("deberta", "DeBERTa type", (), "deberta-v2", works=EVERYTHING, tried=INTERFACE),),
)
