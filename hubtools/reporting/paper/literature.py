"""What a paper that uses runs cites: the checkpoint, the data, the methods of the recipe, and bench, each entry once."""

from __future__ import annotations

import re
from collections.abc import Iterable

from hubtools.reporting.card.citation import of_bench, paper_of, plain_reference
from hubtools.reporting.templates import asset
from hubtools.specs.record import RunRecord

# Methods that a recipe may use -> the key of their entry in reports/methods.bib.
_METHODS = {
    "lora": "hu2022lora",
    "dora": "liu2024dora",
    "rslora": "kalajdzievski2023rslora",
    "ia3": "liu2022ia3",
    "qlora": "dettmers2023qlora",
    "marginals": "meier2021language",
    "jacobian": "zhang2024jacobian",
    "attention": "staerk2021light",
    "temperature": "guo2017calibration",
    "blosum": "henikoff1992blosum",
    "attention-maps": "rao2021transformer",
}


def of_methods(record: RunRecord) -> list[str]:
    """The entries of what a run's recipe uses."""
    recipe = record.recipe_spec
    used: list[str] = [recipe.adapter.kind] if recipe.adapter is not None else []
    used += ["marginals"] if recipe.scoring in {"masked-marginals", "wildtype-marginals"} else []
    used += ["jacobian"] if recipe.scoring == "categorical-jacobian" else []
    used += ["attention"] if recipe.adaptation != "baseline" and recipe.head.pooling == "attention" else []
    used += ["temperature"] if recipe.calibration == "temperature" else []
    used += ["blosum"] if recipe.baseline == "substitution-matrix" else []
    used += ["attention-maps"] if recipe.head.kind == "attention-regression" or recipe.scoring == "contact-head" else []
    entries = {keys_of(entry)[0]: entry for entry in asset("methods.bib").strip().split("\n\n")}
    return [entries[_METHODS[name]] for name in used]


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
