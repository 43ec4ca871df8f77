"""The tasks that bench ships, on the real files: skipped where neither a mirror nor the package has them."""

from __future__ import annotations

import csv
import importlib.util
import os
import re
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hubtools.data import DataCache, TaskData, load_task_data
from hubtools.data.splits.split_audit import audit_task
from hubtools.evaluation.metrics.cleavage import sites as cleavage_sites
from hubtools.evaluation.metrics.hierarchy import terms_of
from hubtools.specs.data_sources import HubData, UniProtData
from hubtools.specs.lookup.content import available, shipped_root
from hubtools.specs.lookup.spec_files import load_suite, load_task
from hubtools.specs.task import Task

MIRROR = Path(os.environ.get("BENCH_DATA_MIRROR") or shipped_root().parent / "shared" / "mirror")
needs_mirror = pytest.mark.skipif(
    not MIRROR.is_dir(), reason="the source files are not here: set BENCH_DATA_MIRROR to a folder that has them"
)
needs_modlamp = pytest.mark.skipif(importlib.util.find_spec("modlamp") is None, reason="modlamp is not installed")


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> DataCache:
    return DataCache(tmp_path_factory.mktemp("cache"), [MIRROR] if MIRROR.is_dir() else [])


def loaded(name: str, cache: DataCache) -> TaskData:
    """A shipped task, which holds what it is known to hold."""
    data = load_task_data(load_task(str(TASKS / f"{name}.yaml")), cache)
    assert {split: (facts.proteins, facts.labelled) for split, facts in data.facts.splits.items()} == COUNTS[name]
    return data


def proteins(data: TaskData) -> dict[str, int]:
    return {name: split.proteins for name, split in data.facts.splits.items()}


TASKS = shipped_root() / "tasks"
# Proteins of each split, after what bench leaves out, and labels that count. A task that is not there was never loaded: a template.
COUNTS: dict[str, dict[str, tuple[int, int]]] = {}
with (TASKS / "counts.csv").open(newline="") as stream:
    for row in csv.DictReader(stream):
        COUNTS.setdefault(row["task"], {})[row["split"]] = (int(row["proteins"]), int(row["labelled"]))
TESTED_BELOW = {
    "antimicrobial-peptide",
    "gb1-fitness",
    "localisation",
    "phosphotyrosine",
    "secondary-structure",
    "variant-effect-blat",
    "variant-effect-blat-full",
}
CATALOGUE = sorted(path.stem for path in TASKS.glob("*.yaml"))


def pinned(task: Task) -> bool:
    if isinstance(task.data, HubData):
        return task.data.revision is not None
    if isinstance(task.data, UniProtData):
        return task.data.frozen is not None
    return all(getattr(file, "sha256", None) for file in task.data.files)


def test_no_suite_that_ships_has_a_template() -> None:
    suites = [load_suite(name) for name in available("suite")]
    assert suites and {task for suite in suites for task in suite.tasks} & set(CATALOGUE) <= set(COUNTS)


def test_what_is_counted_ships() -> None:
    assert set(COUNTS) <= set(CATALOGUE)


@pytest.mark.parametrize("name", CATALOGUE)
def test_a_shipped_task_says_what_a_card_needs(name: str) -> None:
    task = load_task(str(shipped_root() / "tasks" / f"{name}.yaml"))
    assert task.name == name
    assert task.homepage and task.notes and task.citation.lstrip().startswith("@")
    assert task.trust is not None and task.margin > 0 and task.licence
    assert task.licence != "unknown" or any("licence" in note for note in task.notes)
    assert pinned(task) == (task.template is None) == (name in COUNTS)
    assert pinned(task) or any("bench data freeze" in note for note in task.notes)
    for entry in task.published:
        assert entry.source and np.isfinite(entry.value)


@pytest.mark.slow
@needs_mirror
@pytest.mark.parametrize("name", sorted(set(COUNTS) - TESTED_BELOW))
def test_counts_are_those_of_the_files(name: str, cache: DataCache) -> None:
    loaded(name, cache)


@pytest.mark.slow
@needs_mirror
def test_folds_of_beta_lactamase_are_those_of_a_plain_loop(cache: DataCache) -> None:
    for scheme in ("modulo", "contiguous"):
        data = loaded(f"blat-supervised-{scheme}", cache)
        positions = np.array([int(name[1:-1]) for name in data.splits["test"]["id"]])
        distinct = sorted(set(positions.tolist()))
        assert len(distinct) == 253
        # 253 = 5 × 50 + 3: three stretches of 51, two of 50.
        cuts = [0, 51, 102, 153, 203, 253]
        for number, fold in enumerate(data.folds.values()):
            own = distinct[number::5] if scheme == "modulo" else distinct[cuts[number] : cuts[number + 1]]
            assert sorted(set(positions[fold.test].tolist())) == own
            assert not set(positions[fold.train].tolist()) & set(own)


@pytest.mark.slow
@needs_mirror
def test_enzymes_have_numbers_that_training_lacks(cache: DataCache) -> None:
    """Counted in the files: 177 and 56 numbers, of which 80 and 26 are not in split10."""
    task = load_task(str(shipped_root() / "tasks" / "enzyme-commission-clean.yaml"))
    splits = loaded(task.name, cache).facts.splits
    learnt = {**splits["train"].label_counts, **splits["validation"].label_counts}
    assert task.n_outputs == 2806 and len(learnt) == 2702
    assert {
        name: (len(splits[name].label_counts), len(set(splits[name].label_counts) - set(learnt)))
        for name in ("test", "price")
    } == {
        "test": (177, 80),
        "price": (56, 26),
    }
    terms = terms_of(task)
    assert terms is not None and len(terms.names) == 3111


@needs_mirror
@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("phosphotyrosine", "22 training proteins removed: their sequence is in test (9 sequences)"),
        ("binding-residues", "1 training proteins removed: their sequence is in test (1 sequences)"),
    ],
)
def test_the_audit_finds_the_proteins_that_are_in_train_and_test(name: str, said: str, cache: DataCache) -> None:
    found = audit_task(loaded(name, cache), [0.9], cache, clusters=False)
    assert said in [finding.text for finding in found.findings if finding.about == "removed"]


def entries(text: str) -> dict[str, list[str]]:
    """FASTA by hand: first word of the header -> the lines, header first."""
    return {entry.split()[0]: entry.strip().split("\n") for entry in text.split(">")[1:]}


@needs_mirror
def test_binding_codes_are_bits_of_small_nucleic_metal(cache: DataCache) -> None:
    data = loaded("binding-residues", cache)
    with zipfile.ZipFile(cache.fetch(data.task.data.files[1])) as archive:
        raw = entries(archive.read("splits/from_publication.fasta").decode())
    for row in data.splits["test"]:
        codes = [int(code) for code in "".join(raw[row["id"]][1:])]
        assert row["label"] == [[code >> 2 & 1, code >> 1 & 1, code & 1] for code in codes]


@needs_mirror
def test_disorder_values_stand_at_their_residues(cache: DataCache) -> None:
    data = loaded("disorder", cache)
    raw = entries(cache.fetch(data.task.data.files[0]).read_text())
    for row in data.splits["test"]:
        given = raw[row["id"]][0].split("TARGET=")[1].split()[0].split(";")
        assert len(given) == len(row["sequence"])
        for value, label in zip(given, row["label"], strict=True):
            assert np.isnan(label) if value == "999.0" else label == float(value)


@needs_mirror
@pytest.mark.slow
def test_membrane_topology_letter_by_letter(cache: DataCache) -> None:
    data = loaded("membrane-topology", cache)
    assert data.task.label_names == ["membrane helix", "membrane strand", "signal peptide", "inside", "outside"]
    lines = cache.fetch(data.task.data.files[4]).read_text().split("\n")
    letters = {lines[i][1:].split("|")[0]: lines[i + 2] for i in range(0, len(lines) - 2, 3)}
    number = {"H": 0, "h": 0, "B": 1, "b": 1, "S": 2, "1": 3, "2": 4, "U": -100}
    for row in data.splits["test"]:
        assert row["label"] == [number[letter] for letter in letters[row["id"]]]


@pytest.mark.slow
@needs_mirror
def test_signal_peptides_letter_by_letter(cache: DataCache) -> None:
    """Types, regions and cleavage sites of SignalP 6, and that no label of the file is left out."""
    types, regions = loaded("signal-peptide-type", cache), loaded("signal-peptide-region", cache)
    lines = cache.fetch(types.task.data.files[0]).read_text().split("\n")  # type: ignore[arg-type]
    raw = {lines[i][1:].split("|")[0]: (*lines[i].split("|")[1:], lines[i + 2]) for i in range(0, len(lines) - 2, 3)}
    assert Counter(kind for _, kind, _, _ in raw.values()) == {
        "NO_SP": 15_625, "SP": 2582, "LIPO": 1615, "TAT": 365, "PILIN": 70, "TATLIPO": 33,
    }  # fmt: skip
    order = {name: number for number, name in enumerate(types.task.labels)}
    for split, partition in (("train", "1"), ("validation", "2"), ("test", "0")):
        for of_type, of_region in zip(types.splits[split], regions.splits[split], strict=True):
            _, kind, part, letters = raw[of_type["id"]]
            assert part == partition and of_type["label"] == order[kind] and of_type["id"] == of_region["id"]
            assert of_region["label"] == ["SLTPIMO".index(letter) for letter in letters]
    test = regions.splits["test"]
    positions = np.concatenate([np.arange(1, len(row["label"]) + 1) for row in test])
    owners = np.repeat(np.arange(len(test)), [len(row["label"]) for row in test])
    found = cleavage_sites(
        np.concatenate([row["label"] for row in test]), owners, positions, regions.task.cleaved_indices
    )
    for row, last in zip(test, found.last, strict=True):
        letters = raw[row["id"]][3]
        assert last == (len(re.match("[SLTP]+", letters)[0]) if letters[0] in "SLTP" else -1)  # type: ignore[index]
    assert (found.last > 0).sum() == 744 + 533 + 108 + 33 + 9


@needs_mirror
def test_solubility_as_a_value(cache: DataCache) -> None:
    data = loaded("solubility-esol", cache)
    for number, splits in enumerate((("train", "validation"), ("test",))):
        with cache.fetch(data.task.data.files[number]).open(newline="") as stream:  # type: ignore[arg-type]
            raw = Counter((row["sequence"], float(row["solubility"])) for row in csv.DictReader(stream))
        assert sum(raw.values()) == (2364, 783)[number]
        kept = Counter((row["sequence"], row["label"]) for name in splits for row in data.splits[name])
        assert not kept - raw and sum((raw - kept).values()) == (8, 0)[number]
    assert data.facts.removed == {"train: sequence is in test": 8}
    assert not set(data.splits["train"]["cluster"]) & set(data.splits["validation"]["cluster"])


@pytest.mark.slow
@needs_mirror
def test_casp_masks_and_labels_residue_by_residue(cache: DataCache) -> None:
    data = loaded("secondary-structure", cache)
    files = {file.name: file for file in data.task.data.files}
    for name in ("casp12", "casp13", "casp14"):
        with cache.fetch(files[name]).open(newline="") as stream:
            raw = list(csv.DictReader(stream))
        for given, row in zip(raw, data.splits[name], strict=True):
            assert row["sequence"] == given["input"]
            resolved = [float(number) for number in re.findall(r"[01]\.0", given["disorder"])]
            states = ["HEC".index(state) for state in given["dssp3"]]
            expected = [state if seen else -100 for state, seen in zip(states, resolved, strict=True)]
            assert row["label"] == expected


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


@pytest.mark.slow
@needs_mirror
def test_secondary_structure(cache: DataCache) -> None:
    data = loaded("secondary-structure", cache)
    casp = {"casp12": 20, "casp13": 12, "casp14": 18}
    assert proteins(data) == {"train": 9712, "validation": 1080, "test": 364} | casp
    assert sum(split.labelled for name, split in data.facts.splits.items() if name not in casp) == 2_658_218
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


@pytest.mark.slow
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


@pytest.mark.slow
@needs_mirror
def test_gb1_fitness(cache: DataCache) -> None:
    data = loaded("gb1-fitness", cache)
    assert proteins(data) == {"train": 2691, "validation": 299, "test": 5743}
    every = [sequence for split in data.splits.values() for sequence in split["sequence"]]
    letters = np.array([list(sequence) for sequence in every])
    assert letters.shape[1] == 265
    assert (letters != letters[0]).any(axis=0).sum() == 4
    assert data.splits["train"]["label"][0] == 1.0


@needs_mirror
def test_variant_effect_blat(cache: DataCache) -> None:
    """Loading proves that each of the 4,807 sequences is its mutant applied to the wild type, numbered from 24."""
    data = loaded("variant-effect-blat", cache)
    facts = data.facts.splits["test"]
    assert list(data.splits) == ["test"] and (facts.proteins, facts.labelled, facts.longest) == (1, 4807, 263)
    rows = data.splits["test"]
    assert "seq" in data.task.data.columns.model_dump().values(), "the column that is compared"
    assert all(mutations.count(":") == 0 and mutations for mutations in rows["mutations"])
    assert rows["wildtype"][0].startswith("HPETLVKVKDAED") and rows["sequence"][0].startswith("HPETLAKVKDAED")
    assert data.facts.findings == []


@needs_mirror
def test_variant_effect_blat_full_and_the_published_score_of_each_variant(cache: DataCache) -> None:
    """Scores of ESM-1v's authors are log-odds, from which probabilities follow; from these our own formula makes them again."""
    import pandas as pd
    from scipy.stats import spearmanr

    from hubtools.specs.published_results import read_source
    from hubtools.training.variant_scores import LETTER, marginals

    data = loaded("variant-effect-blat-full", cache)
    facts, rows = data.facts.splits["test"], data.splits["test"]
    assert (facts.proteins, facts.labelled, facts.longest) == (1, 4996, 263)
    few = loaded("variant-effect-blat", cache).splits["test"]["mutations"]
    assert len(few) == 4807 and set(few) < set(rows["mutations"])
    table = pd.read_csv(MIRROR / "66bfe429429e4fea57485e74e84dd2459e442c037f37b79764da8ef63ed25d10")
    wild = rows["wildtype"][0]
    source = read_source(shipped_root() / "benchmarks" / "published" / "esm-1v.yaml")
    for number, published in enumerate(source.experiments["blat-stiffler"].results.values(), start=1):
        assert published.checkpoint.endswith(f"UR90S_{number}")
        odds = np.zeros((len(wild), 20))
        for mutant, score in zip(table["mutant"], table[f"esm1v_t33_650M_UR90_{number}"], strict=True):
            assert wild[int(mutant[1:-1]) - 24] == mutant[0]
            odds[int(mutant[1:-1]) - 24, LETTER[mutant[-1]]] = score
        # The wild type's own odds are 0: a softmax over the twenty brings the probabilities back.
        probabilities = odds - np.log(np.exp(odds).sum(1, keepdims=True))
        likeliest = probabilities.argmax(1) == [LETTER[letter] for letter in wild]
        assert likeliest.mean() > 0.5, "had they the other sign, the wild type's residue would be the least likely"
        ours = marginals(rows, {wild: probabilities}).scores
        np.testing.assert_allclose(ours, table[f"esm1v_t33_650M_UR90_{number}"], atol=1e-5)
        assert spearmanr(ours, rows["label"]).statistic == pytest.approx(published.value, abs=1e-4)


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
