#!/usr/bin/env python3
"""What it takes to start: short commands as whole processes, in processor time and in modules imported.

usage: python benchmarks/speed/starting.py [--rounds 5]

Each command has next to nothing to compute: a probe of twenty peptides, a prediction of one protein, a board of ten
records. What it takes is Python, the libraries that it imports, and its end. The floors are what the libraries alone take:
torch, and a model class of transformers, imported by a line of Python that does nothing else.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from measuring import LETTERS, Process, options, process, report

ROOT = Path(__file__).resolve().parents[2]
# Of those that take long, what a command has imported when it ends.
LARGE = (
    "torch",
    "transformers",
    "datasets",
    "pandas",
    "pyarrow",
    "scipy",
    "sklearn",
    "matplotlib",
    "peft",
    "codecarbon",
)
# With what a process has imported as its last line.
_FLOOR = f"""
import atexit, sys
atexit.register(lambda: print(len(sys.modules), *(name for name in {LARGE} if name in sys.modules)))
"""
_COMMAND = f"""{_FLOOR}
sys.argv[0] = "bench"
from hubtools.cli.main import main
main()
"""
PEPTIDES, RECORDS = 20, 10


def prepared(folder: Path) -> dict[str, list[str]]:
    """A project with a task of twenty peptides, ten records and one protein, and the commands that are measured."""
    sys.path[:0] = [str(ROOT / "tests"), str(ROOT)]
    import sample_records as sample

    rng = np.random.default_rng(0)
    rows = ["id,sequence,label,split"]
    for number in range(PEPTIDES):
        split = ("train", "train", "train", "validation", "test")[number // 2 % 5]
        sequence = rng.choice(LETTERS, int(rng.integers(15, 40))).tobytes().decode()
        rows.append(f"p{number},{sequence},{('other', 'active')[number % 2]},{split}")
    (folder / "peptides.csv").write_text("\n".join(rows) + "\n")
    (folder / "one.fasta").write_text(">one\nMKTAYIAKQRQISFVKSHFSRQ\n")
    sample.write_runs(folder / "records", sample.sample_runs()[:RECORDS])
    new = ["tasks", "new", "peptides.csv", "--name", "peptides", "--positive", "active"]
    measured(folder, new)
    run = ["run", "--checkpoint", "embedded", "--task", "peptides", "--recipe", "probe", "--device", "cpu"]
    # Baselines of the same seeds would be named by the same selectors.
    measured(folder, [*run, "--seeds", "1,2", "--runs", "runs", "--no-baselines"])
    return {
        "bench --help": ["--help"],
        f"bench board, {RECORDS} records": ["board", "records"],
        "bench compare, two runs": ["compare", "runs:seed=1", "runs:seed=2"],
        f"bench tasks check, {PEPTIDES} peptides": ["tasks", "check", "peptides"],
        "bench predict, one protein": ["predict", "runs:seed=1", "one.fasta"],
        f"bench run, a probe of {PEPTIDES} peptides": [*run, "--seed", "1", "--runs", "again", "--force"],
    }


def measured(folder: Path, command: list[str], code: str = _COMMAND) -> Process:
    """A command of bench in a process of its own, or another line of Python."""
    around = {"PYTHONPATH": str(ROOT), "BENCH_CACHE": str(folder / "cache")}
    return process([sys.executable, "-c", code, *command], around, folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options(parser)
    given = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(given.threads)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        floors = {
            "import torch": f"{_FLOOR}import torch",
            "import torch, and PreTrainedModel": f"{_FLOOR}import torch\nfrom transformers import PreTrainedModel",
        }
        commands = prepared(folder)
        seen: dict[str, list[Process]] = {name: [] for name in (*floors, *commands)}
        for _ in range(given.rounds):
            for name, code in floors.items():
                seen[name].append(measured(folder, [], code))
            for name, command in commands.items():
                seen[name].append(measured(folder, command))
    rows, figures = [], dict[str, Any]()
    for name, found in seen.items():
        cpu, seconds = [done.cpu_seconds for done in found], median(done.seconds for done in found)
        modules, *large = found[0].output.splitlines()[-1].split()
        memory, span = median(done.megabytes for done in found), f"{min(cpu):.2f} – {max(cpu):.2f}"
        measures = (f"{median(cpu):.2f}", span, f"{seconds:.2f}", f"{int(modules):,}", f"{memory:.0f}")
        rows.append([name, *measures, " ".join(large)])
        figures[name] = {"cpu_seconds": cpu, "seconds": seconds, "modules": int(modules), "large": large}
    columns = ["process", "CPU seconds", "range", "seconds", "modules", "peak MB", "of the large ones imported"]
    report("Starting", columns, rows, given, figures)


if __name__ == "__main__":
    main()
