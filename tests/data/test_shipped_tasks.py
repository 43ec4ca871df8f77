"""The tasks that bench ships, on the real files: skipped where neither a mirror nor the package has them."""

from __future__ import annotations

import importlib.util
import os
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hubtools.data import DataCache, TaskData, load_task_data
from hubtools.specs import load_task
from hubtools.specs.content import shipped_root

MIRROR = Path(os.environ.get("BENCH_DATA_MIRROR") or shipped_root().parent / "shared" / "mirror")
needs_mirror = pytest.mark.skipif(
    not MIRROR.is_dir(), reason="the source files are not here: set BENCH_DATA_MIRROR to a folder that has them"
)
needs_modlamp = pytest.mark.skipif(importlib.util.find_spec("modlamp") is None, reason="modlamp is not installed")


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> DataCache:
    return DataCache(tmp_path_factory.mktemp("cache"), [MIRROR] if MIRROR.is_dir() else [])


def loaded(name: str, cache: DataCache) -> TaskData:
    return load_task_data(load_task(str(shipped_root() / "tasks" / f"{name}.yaml")), cache)


def proteins(data: TaskData) -> dict[str, int]:
    return {name: split.proteins for name, split in data.facts.splits.items()}


def test_every_shipped_task_is_tested_here_and_says_what_a_card_needs() -> None:
    tasks = {path.stem: load_task(str(path)) for path in (shipped_root() / "tasks").glob("*.yaml")}
    assert set(tasks) == {
        "antimicrobial-peptide",
        "gb1-fitness",
        "localisation",
        "phosphotyrosine",
        "protein-interaction-ecoli",
        "secondary-structure",
    }
    for task in tasks.values():
        assert task.homepage and task.notes and task.citation.lstrip().startswith("@")
        assert task.licence != "unknown"


@pytest.mark.slow
@needs_mirror
def test_localisation(cache: DataCache) -> None:
    data = loaded("localisation", cache)
    assert proteins(data) == {"train": 5963 + 5451 + 5731, "validation": 5696, "test": 5462, "hpa": 1717}
    totals: Counter[str] = Counter()
    for name in ("train", "validation", "test"):
        totals.update(data.facts.splits[name].label_counts)
    assert totals["Cytoplasm"] == 9870 and totals["Peroxisome"] == 304
    several = sum(sum(label) > 1 for name in ("train", "validation", "test") for label in data.splits[name]["label"])
    assert several == 6684
    assert data.facts.splits["hpa"].label_counts["Nucleus"] == 893
    assert data.facts.removed == {} == data.facts.changed
    # The bootstrap needs clusters within a test split, not the one partition that it is.
    assert data.facts.splits["test"].clusters is not None and data.facts.splits["test"].clusters > 4000


@needs_mirror
def test_secondary_structure(cache: DataCache) -> None:
    data = loaded("secondary-structure", cache)
    assert proteins(data) == {"train": 9712, "validation": 1080, "test": 364}
    assert sum(split.labelled for split in data.facts.splits.values()) == 2_658_218
    row = next(row for row in data.splits["train"] if row["id"] == "1es5-A")
    assert row["sequence"].startswith("VTKPTIAAVGG")
    # The file says CCCCCCCCCEEEE, and 0011 for resolved.
    assert row["label"][:13] == [-100, -100, 2, 2, 2, 2, 2, 2, 2, 1, 1, 1, 1]
    assert data.facts.removed == {}


def sites(path: Path) -> dict[str, list[tuple[str, bool]]]:
    """Each protein's residues and whether a # follows, letter by letter."""
    found: dict[str, list[tuple[str, bool]]] = {}
    residues: list[tuple[str, bool]] = []
    for line in path.read_text().splitlines():
        if line.startswith(">"):
            residues = found.setdefault(line[1:].split()[0], [])
            continue
        for letter in line:
            if letter == "#":
                residues[-1] = (residues[-1][0], True)
            else:
                residues.append((letter, False))
    return found


@needs_mirror
def test_phosphotyrosine(cache: DataCache) -> None:
    data = loaded("phosphotyrosine", cache)
    train, test = (
        sites(cache.fetch(file))
        for file in data.task.data.files  # type: ignore[arg-type]
    )
    count = Counter(letter for residues in train.values() for letter, _ in residues)
    assert (len(train), sum(marked for residues in train.values() for _, marked in residues)) == (5334, 9427)
    assert count["Y"] == 102_718
    held_out = {"".join(letter for letter, _ in residues) for residues in test.values()}
    leaked = [residues for residues in train.values() if "".join(letter for letter, _ in residues) in held_out]
    assert len({"".join(letter for letter, _ in residues) for residues in leaked}) == 9
    assert data.facts.removed == {"train: sequence is in test": len(leaked)}
    facts = data.facts.splits
    assert proteins(data)["train"] + proteins(data)["validation"] == 5334 - len(leaked)
    assert (facts["test"].labelled, facts["test"].label_counts["phosphorylated"]) == (6039, 499)
    learnt = facts["train"].label_counts["phosphorylated"] + facts["validation"].label_counts["phosphorylated"]
    assert learnt == 9427 - sum(marked for residues in leaked for _, marked in residues)
    assert not set(data.splits["train"]["cluster"]) & set(data.splits["validation"]["cluster"])
    expected = {
        name: [int(marked) if letter == "Y" else -100 for letter, marked in residues] for name, residues in test.items()
    }
    assert {row["id"]: row["label"] for row in data.splits["test"]} == expected


@needs_mirror
def test_gb1_fitness(cache: DataCache) -> None:
    data = loaded("gb1-fitness", cache)
    assert proteins(data) == {"train": 2691, "validation": 299, "test": 5743}
    every = [sequence for split in data.splits.values() for sequence in split["sequence"]]
    letters = np.array([list(sequence) for sequence in every])
    assert letters.shape[1] == 265
    assert (letters != letters[0]).any(axis=0).sum() == 4
    assert data.splits["train"]["label"][0] == 1.0


@needs_modlamp
def test_antimicrobial_peptide(cache: DataCache) -> None:
    data = loaded("antimicrobial-peptide", cache)
    assert data.facts.removed == {
        "sequence occurs with different labels": 47,
        "same sequence and label as an earlier row": 533,
    }
    kept = sum(proteins(data).values())
    assert kept == 5200 - 47 - 533
    for name, share in (("train", 0.7), ("validation", 0.15), ("test", 0.15)):
        assert abs(proteins(data)[name] / kept - share) < 0.001
    clusters: list[set[Any]] = [set(split["cluster"]) for split in data.splits.values()]
    assert sum(map(len, clusters)) == len(set().union(*clusters))
    assert sum(sequence[0] == "M" for split in data.splits.values() for sequence in split["sequence"]) > 1000
