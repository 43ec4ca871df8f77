"""Write the invented proteins of the golden suite: the same ones each time.

    python benchmarks/golden/proteins.py

Labels follow simple rules, so that a few steps of training learn something, and what is scored depends on what was learnt.
"""

from __future__ import annotations

import csv
import random
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent / "tasks"
SPLITS = {"train": 24, "validation": 8, "test": 12}
STATES = {"H": "AELMQKR", "E": "VIYFWTC"}
# Helical, stranded, acidic or of everything: what a protein is made of tells of its labels.
KINDS = ["AELMQKR", "VIYFWTC", "DEGSNPA", "ACDEFGHIKLMNPQRSTVWY"]


def protein(rng: random.Random) -> str:
    """Between 20 and 50 residues, two thirds of them of one kind. Some are longer than the window of the recipes."""
    kind = rng.choice(KINDS)
    return "".join(rng.choice(kind if rng.random() < 0.67 else KINDS[-1]) for _ in range(rng.randint(20, 50)))


def share(sequence: str, letters: str) -> float:
    return sum(letter in letters for letter in sequence) / len(sequence)


def row(name: str, sequence: str, split: str) -> dict[str, Any]:
    labels = {"acid": share(sequence, "DE") > 0.12, "aromatic": share(sequence, "FWY") > 0.15}
    states = ["H" if letter in STATES["H"] else "E" if letter in STATES["E"] else "C" for letter in sequence]
    return {
        "id": name,
        "sequence": sequence,
        "class": "stranded" if share(sequence, STATES["E"]) > share(sequence, STATES["H"]) else "helical",
        "value": round(4 * share(sequence, STATES["E"]) - 2 * share(sequence, "DE"), 3),
        "labels": ";".join(label for label, has in labels.items() if has),
        "states": "".join(states),
        "set": split,
    }


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def main() -> None:
    rng = random.Random(0)
    proteins, pairs = [], []
    for split, n in SPLITS.items():
        sequences = [protein(rng) for _ in range(n)]
        # Letters that a vocabulary may lack, or that stand for any residue.
        sequences[0] = f"{sequences[0][:5]}U{sequences[0][6:]}"
        sequences[1] = f"{sequences[1][:5]}XX{sequences[1][7:]}"
        rows = [row(f"{split}{index + 1}", sequence, split) for index, sequence in enumerate(sequences)]
        proteins += rows
        for _ in range(n):
            first, second = rng.sample(rows, 2)
            label = "alike" if first["class"] == second["class"] else "unlike"
            pairs.append({"first": first["id"], "second": second["id"], "label": label, "set": split})
    write(FOLDER / "proteins.csv", proteins)
    write(FOLDER / "pairs.csv", pairs)


if __name__ == "__main__":
    main()
