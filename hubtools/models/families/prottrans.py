"""ProtTrans: what its checkpoints of all architectures have in common, and those whose layers are like no other's.

ProtBERT, ProtT5, ProtElectra, ProtAlbert and ProtXLNet, and what was trained on from them: ProstT5, IgBert, IgT5. Their vocabularies
have tokens for B, O, U and Z that were never trained: the authors put X in place of these letters in pre-training, as they
do in their examples (github.com/agemagician/ProtTrans/issues/41).

They are told by being spaced: a residue is a word of the vocabulary, and residues that follow each other without a space are an
unknown word. That is measured on the tokenizer, while names change when a checkpoint is trained on, and config.json does not
tell. Ankh is a T5 too, and is not spaced; its authors show it every letter. Where somebody's own spaced vocabulary did learn
these letters, a family of its own says so (docs/extending.md).
"""

from __future__ import annotations

from hubtools.models.families.family import Family
from hubtools.models.families.paper import Paper
from hubtools.models.families.published.published_kind import (
    FULL,
    INTERFACE,
    PER_RESIDUE,
    PROBE,
    WITHOUT_ADAPTERS,
    Published,
)
from hubtools.models.families.spelling import SPACED

LETTERS = {SPACED.name: "ACDEFGHIKLMNPQRSTVWYX"}

PROTTRANS = Paper(
    "ProtTrans",
    r"prot_(t5|bert|albert|electra|xlnet)|prott5",
    """\
@article{elnaggar2022prottrans,
  title = {{ProtTrans}: Toward understanding the language of life through self-supervised learning},
  author = {Elnaggar, Ahmed and Heinzinger, Michael and Dallago, Christian and Rehawi, Ghalia and Wang, Yu and others},
  journal = {IEEE Transactions on Pattern Analysis and Machine Intelligence},
  volume = {44},
  number = {10},
  pages = {7112--7127},
  year = {2022},
  doi = {10.1109/TPAMI.2021.3095381},
}""",
)

ALBERT = Family(
    "albert",
    letters=LETTERS,
    published=(
        Published(
            "albert",
            "ProtAlbert",
            ("Rostlab/prot_albert",),
            "albert",
            works=WITHOUT_ADAPTERS,
            tried=INTERFACE,
        ),
    ),
)
XLNET = Family(
    "xlnet",
    letters=LETTERS,
    published=(
        Published(
            "xlnet",
            "ProtXLNet",
            ("Rostlab/prot_xlnet",),
            "xlnet",
            works=(PER_RESIDUE, PROBE, FULL),
            tried=INTERFACE,
        ),
    ),
)
