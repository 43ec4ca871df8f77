"""Small tasks with a rule that can be learnt, and their data, without any file."""

from __future__ import annotations

from typing import Any

import numpy as np
from datasets import Dataset, DatasetDict

from hubtools.specs.problem import Problem
from hubtools.specs.task import Task

LETTERS = "ACDEFGHIKLMNPQRSTVWY"
METRIC = {"classification": "accuracy", "multilabel": "macro_f1", "regression": "pearson"}
PROBLEMS = [
    "sequence-classification",
    "sequence-multilabel",
    "sequence-regression",
    "residue-classification",
    "residue-multilabel",
    "residue-regression",
    "pair-classification",
    "pair-multilabel",
    "pair-regression",
]


def tiny_task(problem: str = "residue-classification", **changes: Any) -> Task:
    """A task of a problem type whose data lie nowhere: for code below the data room."""
    kind = Problem(problem).kind
    values: dict[str, Any] = {
        "name": f"tiny-{problem}",
        "version": 1,
        "title": "Tiny",
        "problem": problem,
        "summary": "Made up.",
        "data": {"source": "file", "files": [{"path": "x.csv"}], "split": {"fractions": {"train": 0.8, "test": 0.2}}},
        "labels": []
        if kind == "regression"
        else ["other", "aromatic"]
        if kind == "classification"
        else ["acid", "aromatic"],
        "metrics": {"primary": METRIC[kind]},
        "licence": "CC0-1.0",
        "citation": "none",
    }
    if problem.startswith("pair-"):
        values["data"]["columns"] = {"partner": "partner"}
    if problem == "variant-effect":
        values["data"] = {
            "source": "file",
            "files": [{"path": "x.csv"}, {"path": "wt.fasta", "lookup": True}],
            "columns": {"mutant": "mutant"},
            "splits": {"test": {"files": ["x"]}},
        }
    if problem == "contact-prediction":
        values["data"] = {"source": "file", "files": [{"path": "x.pdb"}], "splits": {"test": {}}}
        values["metrics"] = {"primary": "precision_l_long"}
    if problem == "structure-prediction":
        values["data"] = {"source": "file", "files": [{"path": "x.pdb"}], "splits": {"test": {}}}
        values["metrics"] = {"primary": "lddt"}
    return Task.model_validate({**values, **changes})


def label(sequence: str, problem: str) -> Any:
    """The rule: aromatic residues, acidic residues, or how many of them there are."""
    aromatic = np.isin(list(sequence), list("FWY"))
    acid = np.isin(list(sequence), list("DE"))
    if problem == "residue-classification":
        return aromatic.astype(int).tolist()
    if problem == "residue-multilabel":
        return np.stack([acid, aromatic], 1).astype(int).tolist()
    if problem == "residue-regression":
        return (aromatic * 3.0 + acid * -2.0 + 10).tolist()
    if problem == "sequence-classification":
        return int(aromatic.mean() > 0.15)
    if problem == "sequence-multilabel":
        return [int(acid.mean() > 0.1), int(aromatic.mean() > 0.15)]
    return float(50 * aromatic.mean() + 200)


def tiny_split(problem: str, n: int, seed: int = 0, longest: int = 40, shortest: int = 5) -> Dataset:
    """Canonical rows of random proteins with rule-made labels."""
    rng = np.random.default_rng(seed)
    if problem.startswith("pair-"):
        return tiny_pairs(problem, n, rng, seed, longest, shortest)
    sequences = ["".join(rng.choice(list(LETTERS), rng.integers(shortest, longest + 1))) for _ in range(n)]
    return Dataset.from_dict(
        {
            "id": [f"p{seed}_{i}" for i in range(n)],
            "sequence": sequences,
            "label": [label(sequence, problem) for sequence in sequences],
        }
    )


def tiny_pairs(problem: str, n: int, rng: np.random.Generator, seed: int, longest: int, shortest: int) -> Dataset:
    """Canonical rows of pairs, each protein in several of them. The rule: how aromatic, and acidic, the two together are."""
    names = [f"p{seed}_{i}" for i in range(n)]
    sequence = {name: "".join(rng.choice(list(LETTERS), rng.integers(shortest, longest + 1))) for name in names}
    pairs = [tuple(rng.choice(names, 2, replace=False)) for _ in range(n)]
    share, acid = (
        {name: float(np.isin(list(sequence[name]), list(letters)).mean()) for name in names}
        for letters in ("FWY", "DE")
    )

    def rule(a: str, b: str) -> Any:
        if problem == "pair-regression":
            return 50 * (share[a] + share[b]) + 200
        if problem == "pair-multilabel":
            return [int(acid[a] + acid[b] > 0.2), int(share[a] + share[b] > 0.3)]
        return int(share[a] + share[b] > 0.3)

    return Dataset.from_dict(
        {
            "id": [f"{a}|{b}#{i}" for i, (a, b) in enumerate(pairs)],
            "sequence": [sequence[a] for a, _ in pairs],
            "partner": [sequence[b] for _, b in pairs],
            "protein": [a for a, _ in pairs],
            "partner_protein": [b for _, b in pairs],
            "label": [rule(a, b) for a, b in pairs],
        }
    )


def tiny_data(problem: str, n: int = 64, **options: Any) -> DatasetDict:
    """Train, validation and test."""
    return DatasetDict(
        {name: tiny_split(problem, n, seed, **options) for seed, name in enumerate(("train", "validation", "test"))}
    )
