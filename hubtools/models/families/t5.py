"""ProtT5, ProstT5 and Ankh: the encoder of a T5. Its positions are relative, so the window is the recipe's."""

from __future__ import annotations

from hubtools.models.families.family import Family
from hubtools.models.families.paper import Paper
from hubtools.models.families.prottrans import LETTERS, PROTTRANS
from hubtools.models.families.published.published_kind import (
    FULL,
    IA3,
    INTERFACE,
    LORA,
    PER_RESIDUE,
    PROBE,
    REAL_VOCABULARY,
    Pretraining,
    Published,
)
from hubtools.models.families.spelling import PIECES, PLAIN, SPACED, ProtocolTokens

# What ProstT5 is told that a protein's residues follow, and not its structure.
AA2FOLD = ("<AA2fold>",)
# Ankh3 was trained in two modes, each told by its token; its authors report them apart (github.com/agemagician/Ankh).
NLU, S2S = ProtocolTokens(("[NLU]",)), ProtocolTokens(("[S2S]",))

PROSTT5 = Paper(
    "ProstT5",
    r"prostt5",
    """\
@article{heinzinger2024bilingual,
  title = {Bilingual language model for protein sequence and structure},
  author = {Heinzinger, Michael and Weissenow, Konstantin and Gomez Sanchez, Joaquin and Henkel, Adrian and Mirdita, Milot and Steinegger, Martin and Rost, Burkhard},
  journal = {NAR Genomics and Bioinformatics},
  volume = {6},
  number = {4},
  pages = {lqae150},
  year = {2024},
  doi = {10.1093/nargab/lqae150},
}""",
)
ANKH = Paper(
    "Ankh",
    r"ankh",
    """\
@misc{elnaggar2023ankh,
  title = {Ankh: Optimized protein language model unlocks general-purpose modelling},
  author = {Elnaggar, Ahmed and Essam, Hazem and Salah-Eldin, Wafaa and Moustafa, Walid and Elkerdawy, Mohamed and Rochereau, Charlotte and Rost, Burkhard},
  year = {2023},
  doi = {10.48550/arXiv.2301.06568},
}""",
)

# No head of an encoder tells the likelihood of a residue.
_OF_AN_ENCODER = (PER_RESIDUE, PROBE, FULL, LORA, IA3)

T5 = Family(
    "t5",
    encoder_class="T5EncoderModel",
    unused_weights=("decoder.", "lm_head."),
    spellings=(SPACED, PLAIN, PIECES),
    protocol=(ProtocolTokens(AA2FOLD), NLU, S2S),
    # Ankh, whose residues are bare letters, is shown every letter as it is.
    letters=LETTERS,
    absolute_positions=False,
    lora_targets=(
        *(f"layer.0.SelfAttention.{part}" for part in "qkvo"),
        *(f"layer.1.DenseReluDense.{part}" for part in ("wi", "wi_0", "wi_1", "wo")),
    ),
    ia3_targets=("layer.0.SelfAttention.k", "layer.0.SelfAttention.v"),
    ia3_inputs=("layer.1.DenseReluDense.wo",),
    masked_lm=False,
    papers=(PROSTT5, PROTTRANS, ANKH),
    around=(0, 1),
    earlier={"prostt5": (SPACED, AA2FOLD)},
    published=(
        Published(
            "prostt5",
            "ProstT5",
            ("Rostlab/ProstT5", "Rostlab/ProstT5_fp16"),
            "t5",
            works=_OF_AN_ENCODER,
            tried=INTERFACE,
            protocol=AA2FOLD,
            licence="MIT",
            notes="ProtT5 trained on with structures as 3Di letters",
        ),
        Published(
            "prott5-bfd",
            "ProtT5-XL-BFD",
            ("Rostlab/prot_t5_xl_bfd",),
            "t5",
            works=_OF_AN_ENCODER,
            tried=REAL_VOCABULARY,
            tokens=28,
            licence="none stated",
            pretraining=Pretraining("BFD", source="card of Rostlab/prot_t5_xl_bfd"),
        ),
        Published(
            "prott5",
            "ProtT5",
            ("Rostlab/prot_t5_xl_half_uniref50-enc", "Rostlab/prot_t5_xl_uniref50", "Rostlab/prot_t5_xxl_uniref50"),
            "t5",
            works=_OF_AN_ENCODER,
            tried=REAL_VOCABULARY,
            tokens=28,
            licence="none stated",
            pretraining=Pretraining("BFD, then UniRef50", source="Elnaggar et al., 2022"),
        ),
        Published("igt5", "IgT5", ("Exscientia/IgT5",), "t5", works=_OF_AN_ENCODER, tried=INTERFACE, licence="MIT"),
        Published(
            "ankh3",
            "Ankh 3",
            ("ElnaggarLab/ankh3-large", "ElnaggarLab/ankh3-xl"),
            "t5",
            works=_OF_AN_ENCODER,
            tried=INTERFACE,
            licence="CC-BY-NC-SA-4.0",
            protocol=("[NLU]",),
            notes="or after [S2S], by `protocol: S2S` of a recipe",
        ),
        Published(
            "ankh",
            "Ankh, Ankh 2",
            ("ElnaggarLab/ankh-base", "ElnaggarLab/ankh-large", "ElnaggarLab/ankh2-*"),
            "t5",
            works=_OF_AN_ENCODER,
            tried=INTERFACE,
            licence="CC-BY-NC-SA-4.0",
            pretraining=Pretraining("UniRef50", source="Elnaggar et al., 2023"),
        ),
    ),
)
