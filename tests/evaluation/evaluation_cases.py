"""Predictions and tasks for the tests of this folder: small, with ties, and with labels that are absent."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from hubtools.evaluation import Predictions
from hubtools.specs.problem import Problem
from hubtools.specs.task import Task


def a_task(problem: Problem, n_labels: int = 0, *, primary: str, also=(), positive=None) -> Task:
    labels = [f"label {i}" for i in range(n_labels)]
    columns = {"partner": "partner"} if problem.level.proteins > 1 else {}
    return Task.model_validate(
        {
            "name": "made-up",
            "version": 1,
            "title": "Made up",
            "problem": problem,
            "summary": "Is it?",
            "data": {
                "source": "file",
                "files": [{"path": "a.csv"}],
                "columns": columns,
                "splits": {"train": {}, "test": {}},
            },
            "labels": labels,
            "metrics": {
                "primary": primary,
                "also": list(also),
                "positive": None if positive is None else labels[positive],
            },
            "licence": "CC0-1.0",
            "citation": "none",
        }
    )


def tied(rng: np.random.Generator, shape) -> np.ndarray:
    """Probabilities of which many are equal."""
    return (rng.integers(0, 12, size=shape) / 12).astype(np.float32)


def proteins(n: int, n_proteins: int, rng: np.random.Generator) -> np.ndarray:
    return np.array([f"P{i}" for i in np.sort(rng.integers(0, n_proteins, size=n))])


def classification(n=120, n_classes=3, n_proteins=25, seed=0, truth=None, clusters=None) -> Predictions:
    rng = np.random.default_rng(seed)
    ids = proteins(n, n_proteins, rng)
    scores = tied(rng, (n, n_classes)) + 0.01
    scores = scores / scores.sum(axis=1, keepdims=True)
    truth = rng.integers(0, n_classes, size=n) if truth is None else truth
    return Predictions(Problem("residue-classification"), ids, np.arange(n) + 1, clusters, truth, scores)


def multilabel(n=120, n_labels=4, n_proteins=25, seed=0, truth=None) -> Predictions:
    rng = np.random.default_rng(seed)
    truth = (rng.random((n, n_labels)) < 0.3).astype(np.int8) if truth is None else truth
    ids = proteins(n, n_proteins, rng)
    return Predictions(Problem("residue-multilabel"), ids, np.arange(n) + 1, None, truth, tied(rng, (n, n_labels)))


def regression(n=120, n_proteins=25, seed=0) -> Predictions:
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 15, size=n) / 3 + 40
    scores = (truth + rng.integers(-4, 5, size=n)).astype(np.float32)
    return Predictions(
        Problem("residue-regression"), proteins(n, n_proteins, rng), np.arange(n) + 1, None, truth, scores
    )


def pairs(n=150, n_proteins=40, n_clusters=25, seed=0, kind="classification") -> Predictions:
    """Pairs of proteins that recur, a few of a protein with itself; protein i is in cluster i modulo n_clusters."""
    rng = np.random.default_rng(seed)
    both = rng.integers(0, n_proteins, size=(n, 2))
    both[:5, 1] = both[:5, 0]
    if kind == "classification":
        sure = tied(rng, n) * 0.9 + 0.05
        truth, scores = rng.integers(0, 2, size=n), np.stack([1 - sure, sure], axis=1)
    elif kind == "multilabel":
        truth, scores = (rng.random((n, 3)) < 0.3).astype(np.int8), tied(rng, (n, 3))
    else:
        truth = rng.integers(0, 15, size=n) / 3 + 40
        scores = (truth + rng.integers(-4, 5, size=n)).astype(np.float32)
    return Predictions(
        Problem(f"pair-{kind}"),
        np.array([f"{a}|{b}#{i}" for i, (a, b) in enumerate(both)]),
        None,
        np.array([[f"c{a % n_clusters}", f"c{b % n_clusters}"] for a, b in both]),
        truth,
        scores,
        proteins=np.array([[f"P{a}", f"P{b}"] for a, b in both]),
    )


def another(predictions: Predictions, seed: int, noise: float = 0.3) -> Predictions:
    """A second model: the first one's output and something else."""
    scores = predictions.scores + noise * np.random.default_rng(seed).random(predictions.scores.shape)
    if predictions.problem.kind == "classification":
        scores = scores / scores.sum(axis=1, keepdims=True)
    return replace(predictions, scores=scores.astype(np.float32))
