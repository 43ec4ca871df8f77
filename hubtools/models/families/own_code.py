"""Families whose architecture is code in the repositories of their checkpoints: how each is spoken to.

Facts are from that code and its authors' examples. Where a checkpoint of the type speaks plainly (its ``forward`` takes
``input_ids``), it is asked plainly, whatever stands here.
"""

from __future__ import annotations

from typing import Any

from hubtools.models.families.dialect import Dialect
from hubtools.models.families.family import Family, entry
from hubtools.models.families.paper import Paper
from hubtools.models.families.published.published_kind import (
    EVERYTHING,
    FULL,
    INTERFACE,
    PER_RESIDUE,
    PROBE,
    WITHOUT_ADAPTERS,
    Pretraining,
    Published,
)
from hubtools.models.families.spelling import PLAIN, ProtocolTokens


def _esm_tokenizer() -> Any:
    """The vocabulary that ESM-2 and ESM C share, but for one token that no protein has."""
    from transformers import EsmcTokenizer

    return EsmcTokenizer()


def _positions(ids: Any, mask: Any) -> dict[str, Any]:
    """One protein a row: its tokens counted from 0, in itself and in the row alike; -1 where there is padding."""
    import torch

    real = mask.bool()
    places = torch.arange(ids.shape[1], device=ids.device).expand_as(ids).masked_fill(~real, -1)
    one = torch.zeros_like(ids).masked_fill(~real, -1)
    return {"within_seq_position_ids": places, "global_position_ids": places, "sequence_ids": one}


def _structure(config: Any) -> str | None:
    """Where its vocabulary of structures is not empty, its code looks them up whatever it is given."""
    return "a structure token for each residue (ss_input_ids)" if entry(config, "ss_vocab_size") else None


AMPLIFY = Family(
    "AMPLIFY",
    spellings=(PLAIN,),
    dialect=Dialect(ids="src", mask="pad_mask", additive=True, states="hidden_states", tokens_first=False),
    lora_targets=("q", "k", "v", "wo", "ffn.w12", "ffn.w3"),
    ia3_targets=("k", "v"),
    ia3_inputs=("ffn.w3",),
    papers=(
        Paper(
            "AMPLIFY",
            r"amplify",
            """\
@misc{fournier2024protein,
  title = {Protein Language Models: Is Scaling Necessary?},
  author = {Fournier, Quentin and Vernon, Robert M. and van der Sloot, Almer and Schulz, Benjamin and Chandar, Sarath and Langmead, Christopher James},
  year = {2024},
  doi = {10.1101/2024.09.23.614603},
}""",
        ),
    ),
    published=(
        Published(
            "amplify",
            "AMPLIFY",
            ("chandar-lab/AMPLIFY_*",),
            "AMPLIFY",
            works=EVERYTHING,
            tried=INTERFACE,
            remote_code=True,
            licence="MIT",
            pretraining=Pretraining("UR100P: UniRef100, OAS and SCOP", source="card of AMPLIFY in MultiMolecule"),
        ),
    ),
)
# The strand stands before each element; residues are upper case, nucleotides lower case.
GLM2 = Family(
    "gLM2",
    spellings=(PLAIN,),
    protocol=("<+>",),
    dialect=Dialect(layers="depth"),
    lora_targets=("attn.wqkv", "attn.wo", "feed_forward.w1", "feed_forward.w2", "feed_forward.w3"),
    ia3_targets=("attn.wqkv",),
    ia3_inputs=("feed_forward.w2",),
    published=(
        Published(
            "glm2",
            "gLM2",
            ("tattabio/gLM2_150M", "tattabio/gLM2_650M"),
            "gLM2",
            works=WITHOUT_ADAPTERS,
            tried=INTERFACE,
            remote_code=True,
            protocol=("<+>",),
            notes="where LoRA and IA3 go is known of its code, and was not tried",
            licence="Apache-2.0",
        ),
    ),
)
# Its authors write <bos> 1 … 2 <eos>: where the tokenizer adds the outer two itself, the inner two are written.
E1 = Family(
    "E1",
    spellings=(PLAIN,),
    protocol=(ProtocolTokens(("<bos>", "1"), ("2", "<eos>")),),
    dialect=Dialect(mask=None, inputs=_positions),
    published=(
        Published(
            "e1",
            "E1",
            ("Profluent-Bio/E1-150m", "Profluent-Bio/E1-300m", "Profluent-Bio/E1-600m"),
            "E1",
            works=(PER_RESIDUE, PROBE, FULL),
            tried=INTERFACE,
            remote_code=True,
            protocol=("<bos>", "1"),
            ending=("2", "<eos>"),
            licence="own terms, with attribution",
        ),
    ),
)
PROTEINGLM = Family(
    "ProteinGLM",
    dialect=Dialect(layers="num_layers"),
    published=(
        Published(
            "proteinglm",
            "ProteinGLM",
            ("biomap-research/proteinglm-*-mlm",),
            "ProteinGLM",
            works=WITHOUT_ADAPTERS,
            tried=INTERFACE,
            remote_code=True,
            licence="own terms",
        ),
    ),
)
# ESM++ and FastESM: ports of ESM C and ESM-2 whose repositories may hold no tokenizer.
FASTPLMS = Family(
    "FastPLMs",
    model_types=("ESMplusplus", "fast_esm"),
    spellings=(PLAIN,),
    dialect=Dialect(tokenizer=_esm_tokenizer),
    published=(
        Published(
            "esmplusplus",
            "ESM++",
            ("Synthyra/ESMplusplus_small", "Synthyra/ESMplusplus_large"),
            "ESMplusplus",
            works=(PER_RESIDUE, PROBE, FULL),
            tried=INTERFACE,
            remote_code=True,
            licence="MIT",
        ),
    ),
)
# Its inputs are given by ``Dialect.inputs`` where structures are read.
PROSST = Family(
    "ProSST",
    spellings=(PLAIN,),
    dialect=Dialect(needs=_structure),
    published=(
        Published(
            "prosst",
            "ProSST",
            ("AI4Protein/ProSST-*",),
            "ProSST",
            refused="its code reads a structure token for each residue (ss_input_ids) beside the residues, and bench has the sequence alone",
            remote_code=True,
            licence="none stated",
        ),
    ),
)
# A protein is read from its first residue to its last, 1 … 2, and from its last to its first, 2 … 1.
PROGEN2 = Family(
    "progen",
    spellings=(PLAIN,),
    protocol=(ProtocolTokens(("1",), ("2",)),),
    masked_lm=False,
    backwards="all",
    published=(
        Published(
            "progen2",
            "ProGen2",
            ("hugohrban/progen2-*",),
            "progen",
            works=WITHOUT_ADAPTERS,
            tried=INTERFACE,
            remote_code=True,
            protocol=("1",),
            ending=("2",),
            licence="BSD-3-Clause",
            notes="a decoder: a residue does not see what follows it; zero-shot by log-likelihood, in both directions",
        ),
    ),
)
RITA = Family(
    "rita",
    spellings=(PLAIN,),
    masked_lm=False,
    backwards="residues",
    published=(
        Published(
            "rita",
            "RITA",
            ("lightonai/RITA_*",),
            "rita",
            works=WITHOUT_ADAPTERS,
            tried=INTERFACE,
            remote_code=True,
            notes="a decoder: a residue does not see what follows it; zero-shot by log-likelihood, in both directions",
        ),
    ),
)

OWN_CODE = (AMPLIFY, GLM2, E1, PROTEINGLM, FASTPLMS, PROSST, PROGEN2, RITA)
