"""ProtGPT2: GPT-2 with pieces of about four residues, shown proteins as FASTA files have them, each after ``<|endoftext|>``.

Told by the size of GPT-2's own vocabulary, which what is trained on from it keeps; an English GPT-2 is recognised, too. A GPT-2 whose
tokens are letters has a vocabulary of its own, and the cautious defaults.
"""

from __future__ import annotations

from hubtools.models.families.family import Family
from hubtools.models.families.paper import Paper
from hubtools.models.families.published.published_kind import FULL, INTERFACE, PROBE, Published
from hubtools.models.families.spelling import FASTA

PROTGPT2 = Family(
    "protgpt2",
    model_types=("gpt2",),
    settings={"vocab_size": 50257},
    spellings=(FASTA,),
    protocol=("<|endoftext|>",),
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
            works=(PROBE, FULL),
            tried=INTERFACE,
            protocol=("<|endoftext|>",),
            notes="a decoder, read in lines as FASTA files have them; a token is several residues: tasks of whole proteins only",
        ),
    ),
)
