#!/usr/bin/env python3
"""Reading large source files: MB/s, and the peak memory of a process that does nothing else.

usage: python benchmarks/speed/loading.py [--flat-mb 300] [--fasta-mb 500]

A Swiss-Prot flat file (features of a third of the entries make a label) and a FASTA file of random proteins are written
into a temporary folder; each is read in a process of its own. The floor is the memory of that process before reading.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np
from measuring import LETTERS, options, process, report

ROOT = Path(__file__).resolve().parents[2]


def sequences(rng: np.random.Generator) -> list[str]:
    """A thousand proteins, lengths log-normal around 345 residues."""
    lengths = np.clip(rng.lognormal(np.log(345), 0.7, 1000).astype(int), 30, 5000)
    return [rng.choice(LETTERS, n).tobytes().decode() for n in lengths]


def write_flat(path: Path, size: int) -> None:
    rng, number = np.random.default_rng(0), 0
    references = "".join(f"RA   Author {i:03} A., Another B., Third C., Fourth D., Fifth E.;\n" for i in range(60))
    with path.open("w") as stream:
        while stream.tell() < size:
            for sequence in sequences(rng):
                number += 1
                stream.write(f"ID   P{number:07}_TEST            Reviewed;      {len(sequence):>6} AA.\n")
                stream.write(f"AC   P{number:07};\nOX   NCBI_TaxID=9606;\n{references}")
                stream.write("CC   -!- SUBCELLULAR LOCATION: Cytoplasm {ECO:0000269|PubMed:1}.\n")
                if number % 3 == 0:
                    for start in range(1, len(sequence) - 12, 40):
                        stream.write(
                            f'FT   HELIX           {start}..{start + 9}\nFT                   /evidence="ECO:0007829"\n'
                        )
                stream.write(f"SQ   SEQUENCE   {len(sequence)} AA;  1 MW;  0 CRC64;\n")
                stream.write("".join(f"     {sequence[at : at + 60]}\n" for at in range(0, len(sequence), 60)) + "//\n")


def write_fasta(path: Path, size: int) -> None:
    rng, number = np.random.default_rng(0), 0
    with path.open("w") as stream:
        while stream.tell() < size:
            for sequence in sequences(rng):
                number += 1
                stream.write(f">P{number:07} SET=train LABEL={number % 5}\n")
                stream.write("".join(f"{sequence[at : at + 60]}\n" for at in range(0, len(sequence), 60)))


def read(kind: str, path: Path) -> None:
    """In a process of its own: rows, seconds and kilobytes as JSON."""
    from hubtools.data.rows.annotation import Annotator
    from hubtools.data.sources.annotated_rows import labelled_entries
    from hubtools.data.sources.table_files import read_table
    from hubtools.specs.data_sources import LocalFile
    from hubtools.specs.task import Task

    file = LocalFile(path=path)
    task = {"name": "t", "version": 1, "title": "T", "problem": "residue-classification", "summary": "s"}
    task |= {"labels": ["other", "helix"], "metrics": {"primary": "accuracy"}, "licence": "CC0-1.0", "citation": "none"}
    annotation = {"features": [{"label": "helix", "field": "ft_helix"}], "otherwise": "other"}
    split = {"fractions": {"train": 0.8, "test": 0.2}}
    files = [{"path": "x.dat"}]
    task["data"] = {"source": "file", "files": files, "annotation": annotation, "split": split}
    annotator = Annotator(Task.model_validate(task))
    import pandas  # noqa: F401

    floor = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.perf_counter()
    table = labelled_entries(file, path, annotator) if kind == "flat" else read_table(file, path)
    seconds = time.perf_counter() - started
    kept = int(table["sequence"].str.len().sum())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({"rows": len(table), "residues": kept, "seconds": seconds, "floor": floor, "peak": peak}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--flat-mb", type=int, default=300)
    parser.add_argument("--fasta-mb", type=int, default=500)
    parser.add_argument("--read", nargs=2, help=argparse.SUPPRESS)
    options(parser)
    parser.set_defaults(rounds=1)
    given = parser.parse_args()
    if given.read:
        read(given.read[0], Path(given.read[1]))
        return
    rows, figures = [], {}
    with tempfile.TemporaryDirectory() as folder:
        for kind, name, size, write in (
            ("flat", "x.dat", given.flat_mb, write_flat),
            ("fasta", "x.fasta", given.fasta_mb, write_fasta),
        ):
            path = Path(folder) / name
            write(path, size * 1_000_000)
            megabytes = path.stat().st_size / 1e6
            command = [sys.executable, __file__, "--read", kind, str(path)]
            turns = [json.loads(process(command, {"PYTHONPATH": str(ROOT)}).output) for _ in range(given.rounds)]
            seconds, found = median(turn["seconds"] for turn in turns), turns[0]
            peak, floor = (median(turn[key] for turn in turns) / 1e3 for key in ("peak", "floor"))
            rows.append(
                [
                    kind,
                    f"{megabytes:.0f}",
                    f"{megabytes / seconds:.1f}",
                    f"{found['rows']:,}",
                    f"{found['residues'] / 1e6:.0f}",
                    f"{peak:.0f}",
                    f"{floor:.0f}",
                    f"{(peak - floor) / megabytes:.2f}",
                ]
            )
            figures[kind] = {"megabytes": megabytes, "turns": turns}
            path.unlink()
    columns = ["file", "MB", "MB/s", "rows kept", "M residues", "peak MB", "before reading", "rest ÷ size"]
    report("Reading source files", columns, rows, given, figures)


if __name__ == "__main__":
    main()
