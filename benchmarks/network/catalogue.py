"""What is tried: tasks, checkpoints, published numbers, and what the notebook saw."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hubtools.specs.lookup.content import shipped_root

COUNTS = "counts.csv"


@dataclass(frozen=True)
class Catalogue:
    """What is tried.

    Attributes:
        root: folder whose ``tasks`` are loaded, and whose published numbers are held to be right.
        checkpoints: Hub ids, as users have them; the first is published, too.
        probed: task of the small probes.
        cells: published numbers (``bench reproduce --list``), each with its seeds; none: those that it names.
        notebook: task -> what the notebook counted: of each label, or of all proteins.
    """

    root: Path
    checkpoints: tuple[str, ...]
    probed: str
    cells: Mapping[str, tuple[int, ...]]
    notebook: Mapping[str, Mapping[str, int]]

    def task(self, name: str) -> Path:
        """The file of a task."""
        return self.root / "tasks" / f"{name}.yaml"

    def counts(self) -> dict[str, dict[str, tuple[int, int]]]:
        """Task -> split -> proteins, and labels that count, as ``tasks/counts.csv`` has them."""
        found: dict[str, dict[str, tuple[int, int]]] = {}
        with (self.root / "tasks" / COUNTS).open(newline="", encoding="utf-8") as stream:
            for row in csv.DictReader(stream):
                found.setdefault(row["task"], {})[row["split"]] = (int(row["proteins"]), int(row["labelled"]))
        return found


REAL = Catalogue(
    shipped_root(),
    ("facebook/esm2_t6_8M_UR50D", "Rostlab/prot_bert", "Rostlab/prot_t5_xl_half_uniref50-enc"),
    "disorder",
    {
        # The quickest first.
        "proteingym/blat-stiffler/esm2-8m": (),
        "esm-1v/blat-stiffler/esm1v-1": (),
        # The file is the Protein Benchmarking Collection's.
        "schmirler-2024/disorder-frozen/esm2-8m": (),
        "schmirler-2024/gb1-frozen/esm2-8m": (),
        # Three seeds are the fewest that have a verdict; each trains on two million residues.
        "schmirler-2024/secondary-structure-frozen/esm2-8m": (1, 2, 3),
    },
    # As the notes of these task files have it.
    {
        "notebook-localisation": {"cytosolic": 2495, "membrane": 2579},
        "notebook-secondary-structure": {"proteins": 3911},
    },
)
