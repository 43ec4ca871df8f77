"""What a paper that uses runs cites: the checkpoint, the data, the methods of the recipe, and bench, each entry once."""

from __future__ import annotations

import re
from collections.abc import Iterable

from hubtools.reporting.card.citation import of_bench, paper_of, plain_reference
from hubtools.specs.record import RunRecord

# Methods that a recipe may use, by a key of this table.
_METHODS = {
    "lora": r"""@inproceedings{hu2022lora,
  title = {{LoRA}: Low-Rank Adaptation of Large Language Models},
  author = {Hu, Edward J. and Shen, Yelong and Wallis, Phillip and Allen-Zhu, Zeyuan and Li, Yuanzhi and Wang, Shean and Wang, Lu and Chen, Weizhu},
  booktitle = {International Conference on Learning Representations},
  year = {2022},
  url = {https://arxiv.org/abs/2106.09685},
}""",
    "dora": r"""@inproceedings{liu2024dora,
  title = {{DoRA}: Weight-Decomposed Low-Rank Adaptation},
  author = {Liu, Shih-Yang and Wang, Chien-Yi and Yin, Hongxu and Molchanov, Pavlo and Wang, Yu-Chiang Frank and Cheng, Kwang-Ting and Chen, Min-Hung},
  booktitle = {International Conference on Machine Learning},
  year = {2024},
  url = {https://arxiv.org/abs/2402.09353},
}""",
    "rslora": r"""@misc{kalajdzievski2023rslora,
  title = {A Rank Stabilization Scaling Factor for Fine-Tuning with {LoRA}},
  author = {Kalajdzievski, Damjan},
  year = {2023},
  url = {https://arxiv.org/abs/2312.03732},
}""",
    "ia3": r"""@inproceedings{liu2022ia3,
  title = {Few-Shot Parameter-Efficient Fine-Tuning is Better and Cheaper than In-Context Learning},
  author = {Liu, Haokun and Tam, Derek and Muqeeth, Mohammed and Mohta, Jay and Huang, Tenghao and Bansal, Mohit and Raffel, Colin},
  booktitle = {Advances in Neural Information Processing Systems},
  year = {2022},
  url = {https://arxiv.org/abs/2205.05638},
}""",
    "qlora": r"""@inproceedings{dettmers2023qlora,
  title = {{QLoRA}: Efficient Finetuning of Quantized {LLMs}},
  author = {Dettmers, Tim and Pagnoni, Artidoro and Holtzman, Ari and Zettlemoyer, Luke},
  booktitle = {Advances in Neural Information Processing Systems},
  year = {2023},
  url = {https://arxiv.org/abs/2305.14314},
}""",
    "marginals": r"""@inproceedings{meier2021language,
  title = {Language models enable zero-shot prediction of the effects of mutations on protein function},
  author = {Meier, Joshua and Rao, Roshan and Verkuil, Robert and Liu, Jason and Sercu, Tom and Rives, Alexander},
  booktitle = {Advances in Neural Information Processing Systems},
  year = {2021},
  doi = {10.1101/2021.07.09.450648},
}""",
    "jacobian": r"""@article{zhang2024jacobian,
  title = {Protein language models learn evolutionary statistics of interacting sequence motifs},
  author = {Zhang, Zhidian and Wayment-Steele, Hannah K. and Brixi, Garyk and Wang, Haobo and Kern, Dorothee and Ovchinnikov, Sergey},
  journal = {Proceedings of the National Academy of Sciences},
  year = {2024},
  doi = {10.1073/pnas.2406285121},
}""",
    "attention": r"""@article{staerk2021light,
  title = {Light attention predicts protein location from the language of life},
  author = {St{\"a}rk, Hannes and Dallago, Christian and Heinzinger, Michael and Rost, Burkhard},
  journal = {Bioinformatics Advances},
  year = {2021},
  doi = {10.1093/bioadv/vbab035},
}""",
    "temperature": r"""@inproceedings{guo2017calibration,
  title = {On Calibration of Modern Neural Networks},
  author = {Guo, Chuan and Pleiss, Geoff and Sun, Yu and Weinberger, Kilian Q.},
  booktitle = {International Conference on Machine Learning},
  year = {2017},
  url = {https://arxiv.org/abs/1706.04599},
}""",
    "blosum": r"""@article{henikoff1992blosum,
  title = {Amino acid substitution matrices from protein blocks},
  author = {Henikoff, Steven and Henikoff, Jorja G.},
  journal = {Proceedings of the National Academy of Sciences},
  volume = {89},
  pages = {10915--10919},
  year = {1992},
}""",
}  # fmt: skip


def of_methods(record: RunRecord) -> list[str]:
    """The entries of what a run's recipe uses."""
    recipe = record.recipe_spec
    used: list[str] = [recipe.adapter.kind] if recipe.adapter is not None else []
    used += ["marginals"] if recipe.scoring in {"masked-marginals", "wildtype-marginals"} else []
    used += ["jacobian"] if recipe.scoring == "categorical-jacobian" else []
    used += ["attention"] if recipe.adaptation != "baseline" and recipe.head.pooling == "attention" else []
    used += ["temperature"] if recipe.calibration == "temperature" else []
    used += ["blosum"] if recipe.baseline == "substitution-matrix" else []
    return [_METHODS[name] for name in used]


def of_data(record: RunRecord) -> str:
    """The entry, or entries, of a task's data; what is a plain reference stands in the note of one."""
    task = record.task_spec
    given = (task.citation or "").strip()
    return given if given.startswith("@") else plain_reference(f"data-{task.name}", task.title or task.name, given)


def of_checkpoint(record: RunRecord) -> str:
    """The entry of the checkpoint's family; of one whose family is not known one that names it. Empty of a baseline."""
    checkpoint = record.identity.checkpoint
    if checkpoint is None:
        return ""
    paper = paper_of(record)
    if paper is not None and paper.bibtex:
        return paper.bibtex
    return plain_reference(f"checkpoint-{checkpoint.name}", checkpoint.name, _pinned(record))


def _pinned(record: RunRecord) -> str:
    checkpoint = record.identity.checkpoint
    assert checkpoint is not None
    if checkpoint.commit:
        return f"https://huggingface.co/{checkpoint.name}, commit {checkpoint.commit}"
    return f"a folder, sha256 of its content {checkpoint.sha256}"


def keys_of(entries: str) -> list[str]:
    """The keys of BibTeX entries, in their order."""
    return re.findall(r"(?m)^\s*@\w+\{\s*([^,\s]+)\s*,", entries)


def bibtex_of(records: Iterable[RunRecord]) -> str:
    """All that runs cite, each entry once, in the order of checkpoint, data, methods and bench."""
    kinds: list[list[str]] = [[], [], [], []]
    for record in records:
        kinds[0].append(of_checkpoint(record))
        kinds[1].append(of_data(record))
        kinds[2] += of_methods(record)
        kinds[3].append(of_bench(record))
    # One citation of a task may be several entries, of which another task names some.
    each = [one.strip() for kind in kinds for text in kind for one in re.split(r"(?m)^(?=@)", text) if one.strip()]
    found: dict[str, str] = {}
    for entry in each:
        for key in keys_of(entry):
            found.setdefault(key, entry)
    return "\n\n".join(found.values()) + "\n"
