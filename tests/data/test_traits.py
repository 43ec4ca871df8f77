"""What test rows are like: identity to the nearest training protein, and length."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from task_files import csv, load

LETTERS = "ACDEFGHIKLMNPQRSTVWY"


def protein(seed: int, length: int = 60) -> str:
    return "".join(np.random.default_rng(seed).choice(list(LETTERS), length))


def changed(sequence: str, every: int) -> str:
    """Each ``every``-th residue is another one."""
    return "".join(
        LETTERS[(LETTERS.index(letter) + 7) % 20] if place % every == every - 1 else letter
        for place, letter in enumerate(sequence)
    )


def test_identity_is_to_the_nearest_training_protein(tmp_path: Path) -> None:
    known = [protein(number) for number in range(4)]
    rows = [(sequence, "ab"[number % 2], "train") for number, sequence in enumerate(known)]
    rows += [(protein(9), "a", "validation"), (changed(known[2], 10), "a", "test"), (protein(8, 90), "b", "test")]
    # Of validation nothing was learnt: a relative of it is as far as any other.
    rows += [(changed(protein(9), 10), "a", "test")]
    data = load(tmp_path, {"x.csv": csv(rows)})
    traits = data.traits["test"]
    assert traits.ids.tolist() == list(data.splits["test"]["id"])
    assert traits.identity is not None
    assert 0.85 <= traits.identity[0] <= 0.95 and traits.identity[1:].max() == 0
    assert traits.residues.tolist()[:2] == [60, 90]
    # The numbers of the audit, which counts them, are these.
    (audit,) = [one for one in data.facts.audit if one.first == "train"]
    assert audit.similar["0.5"] == int((traits.identity >= 0.5).sum()) == 1


def test_a_pair_is_as_familiar_as_its_less_familiar_protein(tmp_path: Path) -> None:
    a, b, c = (protein(number) for number in range(3))
    rows = [(a, b, "a", "train"), (b, a, "b", "train"), (protein(5), protein(6), "a", "validation")]
    rows += [(changed(a, 10), protein(7, 80), "a", "test"), (changed(a, 10), changed(b, 10), "b", "test")]
    columns = {"sequence": "p", "partner": "q"}
    data = load(tmp_path, {"x.csv": csv(rows, "p,q,label,set")}, problem="pair-classification", columns=columns)
    traits = data.traits["test"]
    assert traits.identity is not None and traits.identity[0] == 0 and traits.identity[1] > 0.85
    assert traits.residues.tolist() == [80, 60], "of the longer of two"
    assert c not in data.sequences("train")
