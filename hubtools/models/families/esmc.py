"""ESM C."""

from __future__ import annotations

from hubtools.models.families.family import Family
from hubtools.models.families.paper import Paper
from hubtools.models.families.published.published_kind import EVERYTHING, REAL_VOCABULARY, Pretraining, Published
from hubtools.models.families.spelling import PLAIN

ESMC = Family(
    "esmc",
    spellings=(PLAIN,),
    lora_targets=(
        *(f"self_attn.{part}_proj" for part in "qkvo"),
        *(f"mlp.{part}_proj" for part in ("gate", "up", "down")),
    ),
    ia3_targets=("self_attn.k_proj", "self_attn.v_proj"),
    ia3_inputs=("mlp.down_proj",),
    papers=(
        Paper(
            "ESM C",
            r"esm-?c[_-]",
            """\
@misc{esm2024cambrian,
  title = {{ESM Cambrian}: Revealing the mysteries of proteins with unsupervised learning},
  author = {{ESM Team}},
  year = {2024},
  url = {https://www.evolutionaryscale.ai/blog/esm-cambrian},
}""",
        ),
    ),
    published=(
        Published(
            "esmc",
            "ESM C",
            ("biohub/ESMC-300M", "biohub/ESMC-600M", "biohub/ESMC-6B"),
            "esmc",
            works=EVERYTHING,
            tried=REAL_VOCABULARY,
            tokens=33,
            licence="MIT",
            pretraining=Pretraining(
                "UniRef, MGnify and JGI, clustered at 70 % identity", source="card of biohub/ESMC-6B"
            ),
        ),
    ),
)
