"""Whom to cite for a published model: BibTeX of the model, of its checkpoint's family, and of the measurement."""

from __future__ import annotations

import re
from dataclasses import dataclass

from hubtools.specs.record import RunRecord


@dataclass(frozen=True)
class Paper:
    """The paper of a family of checkpoints.

    Attributes:
        family: its name.
        pattern: regular expression that the name of a checkpoint on the Hub contains, whatever its case.
        bibtex: the entry.
    """

    family: str
    pattern: str
    bibtex: str


def _entry(kind: str, key: str, **fields: str) -> str:
    """A BibTeX entry, one field a line."""
    lines = [f"  {name} = {{{value}}}," for name, value in fields.items() if value]
    return "\n".join([f"@{kind}{{{key},", *lines, "}"])


_SCIENCE = "Science"
# In this order: ProstT5 before the ProtT5 that it was made of. Names of organisations are no proof of anything; a checkpoint
# that builds on one of these carries its name.
PAPERS = (
    Paper(
        "ESM-2",
        r"esm-?2[_-]",
        _entry(
            "article",
            "lin2023evolutionary",
            title="Evolutionary-scale prediction of atomic-level protein structure with a language model",
            author="Lin, Zeming and Akin, Halil and Rao, Roshan and Hie, Brian and Zhu, Zhongkai and others",
            journal=_SCIENCE,
            volume="379",
            number="6637",
            pages="1123--1130",
            year="2023",
            doi="10.1126/science.ade2574",
        ),
    ),
    Paper(
        "ESM-1b",
        r"esm-?1b[_-]",
        _entry(
            "article",
            "rives2021biological",
            title="Biological structure and function emerge from scaling unsupervised learning to 250 million protein "
            "sequences",
            author="Rives, Alexander and Meier, Joshua and Sercu, Tom and Goyal, Siddharth and Lin, Zeming and others",
            journal="Proceedings of the National Academy of Sciences",
            volume="118",
            number="15",
            pages="e2016239118",
            year="2021",
            doi="10.1073/pnas.2016239118",
        ),
    ),
    Paper(
        "ESM-1v",
        r"esm-?1v[_-]",
        _entry(
            "inproceedings",
            "meier2021language",
            title="Language models enable zero-shot prediction of the effects of mutations on protein function",
            author="Meier, Joshua and Rao, Roshan and Verkuil, Robert and Liu, Jason and Sercu, Tom and Rives, Alexander",
            booktitle="Advances in Neural Information Processing Systems",
            volume="34",
            year="2021",
            doi="10.1101/2021.07.09.450648",
        ),
    ),
    Paper(
        "ESM C",
        r"esm-?c[_-]",
        _entry(
            "misc",
            "esm2024cambrian",
            title="{ESM Cambrian}: Revealing the mysteries of proteins with unsupervised learning",
            author="{ESM Team}",
            year="2024",
            url="https://www.evolutionaryscale.ai/blog/esm-cambrian",
        ),
    ),
    Paper(
        "ProstT5",
        r"prostt5",
        _entry(
            "article",
            "heinzinger2024bilingual",
            title="Bilingual language model for protein sequence and structure",
            author="Heinzinger, Michael and Weissenow, Konstantin and Gomez Sanchez, Joaquin and Henkel, Adrian and "
            "Mirdita, Milot and Steinegger, Martin and Rost, Burkhard",
            journal="NAR Genomics and Bioinformatics",
            volume="6",
            number="4",
            pages="lqae150",
            year="2024",
            doi="10.1093/nargab/lqae150",
        ),
    ),
    Paper(
        "ProtTrans",
        r"prot_(t5|bert|albert|electra|xlnet)|prott5",
        _entry(
            "article",
            "elnaggar2022prottrans",
            title="{ProtTrans}: Toward understanding the language of life through self-supervised learning",
            author="Elnaggar, Ahmed and Heinzinger, Michael and Dallago, Christian and Rehawi, Ghalia and Wang, Yu and others",
            journal="IEEE Transactions on Pattern Analysis and Machine Intelligence",
            volume="44",
            number="10",
            pages="7112--7127",
            year="2022",
            doi="10.1109/TPAMI.2021.3095381",
        ),
    ),
    Paper(
        "Ankh",
        r"ankh",
        _entry(
            "misc",
            "elnaggar2023ankh",
            title="Ankh: Optimized protein language model unlocks general-purpose modelling",
            author="Elnaggar, Ahmed and Essam, Hazem and Salah-Eldin, Wafaa and Moustafa, Walid and Elkerdawy, Mohamed "
            "and Rochereau, Charlotte and Rost, Burkhard",
            year="2023",
            doi="10.48550/arXiv.2301.06568",
        ),
    ),
    Paper(
        "SaProt",
        r"saprot",
        _entry(
            "inproceedings",
            "su2024saprot",
            title="{SaProt}: Protein language modeling with structure-aware vocabulary",
            author="Su, Jin and Han, Chenchen and Zhou, Yuyang and Shan, Junjie and Zhou, Xibin and Yuan, Fajie",
            booktitle="International Conference on Learning Representations",
            year="2024",
            doi="10.1101/2023.10.01.560349",
        ),
    ),
)


def paper_of(record: RunRecord) -> Paper | None:
    """The paper of the family that a run's checkpoint is of; None where it cannot be told.

    Only names on the Hub tell: a folder is called what its owner likes.
    """
    checkpoint = record.identity.checkpoint
    if checkpoint is None or checkpoint.source != "hub":
        return None
    name = checkpoint.name.split("/")[-1]
    return next((paper for paper in PAPERS if re.search(paper.pattern, name, re.IGNORECASE)), None)


def of_model(record: RunRecord, title: str, repo_id: str | None, author: str | None) -> str:
    """The entry of a model that a run made.

    Args:
        record: of the run.
        title: of the card.
        repo_id: where the model is published; None where it is not.
        author: as they wish to be cited; by default the owner of the repository, and nobody where there is none.
    """
    owner = author or (repo_id.split("/")[0] if repo_id else "")
    return _entry(
        "misc",
        f"{_key(owner.split(',')[0]) or 'model'}-{_key(record.identity.task.name)}-{record.run_id[:6]}",
        title=f"{{{_text(title)}}}",
        author=_text(author) if author else f"{{{_text(owner)}}}" if owner else "",
        year=str((record.finished or record.started).year),
        url=f"https://huggingface.co/{repo_id}" if repo_id else "",
        note=f"Run {record.run_id}, seed {record.identity.seed}, of the task {_text(record.identity.task.name)} "
        f"version {record.identity.task.version}; measured by its authors",
    )


def of_bench(record: RunRecord) -> str:
    """The entry of what measured it."""
    environment = record.environment
    commit = f", commit {environment.git_commit[:12]}" if environment.git_commit else ""
    return _entry(
        "misc",
        "plm-hubtools",
        title="{bench (plm-hubtools)}",
        year=str((record.finished or record.started).year),
        note=f"Software, version {_text(environment.bench)}{commit}",
    )


def _key(text: str) -> str:
    """Letters, digits and hyphens: what every reader of BibTeX takes as a key."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def _text(text: str) -> str:
    """Text that can break neither an entry nor LaTeX."""
    plain = " ".join(re.sub(r"[{}\\]", "", text).split())
    return re.sub(r"([&%$#_])", r"\\\1", plain)
