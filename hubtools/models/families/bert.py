"""ProtBERT, and BERT's paths of linear layers, which ESM has too.

Both call three layers "dense": the output of attention and both of the feed-forward part. Each is named by its path.
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
