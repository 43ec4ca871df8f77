#!/usr/bin/env python3
"""A suite by several workers, against one process: seconds of whole commands, in fresh folders, the data already fetched.

usage: python benchmarks/speed/workers.py [--suite quickstart] [--workers 2] [--rounds 3] [--out FILE]

One process computes with as many threads as it likes; workers have one each. Each turn begins with an empty folder of runs and no
embeddings; the first turn of all, which fetches data and measures what is measured once, is not counted. On a machine that does something
else the figures say nothing: both are slower, and not alike.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from pathlib import Path

import measuring


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    measuring.options(parser)
    parser.set_defaults(rounds=3)
    parser.add_argument("--suite", default="quickstart", help="name or file (default quickstart)")
    parser.add_argument("--checkpoint", nargs="+", default=[], help="checkpoints (default: the suite's)")
    parser.add_argument("--workers", nargs="+", type=int, default=[2], help="numbers of workers (default 2)")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        variants = {"one process": lambda: once(given, Path(folder), 1)}
        for number in given.workers:
            variants[f"{number} workers"] = lambda number=number: once(given, Path(folder), number)
        once(given, Path(folder), 1)
        timings = measuring.interleaved(variants, given.rounds, "one process")
    rows = [
        (
            name,
            f"{timing.median:.1f}",
            f"{1 / timing.ratio:.2f}",
            f"{1 / timing.ratio_high:.2f} – {1 / timing.ratio_low:.2f}",
        )
        for name, timing in timings.items()
    ]
    measuring.report(f"The suite {given.suite}", ("by", "s", "share of the time", "range"), rows, given, timings)


def once(given: argparse.Namespace, folder: Path, workers: int) -> None:
    """The command as a user types it, all runs anew."""
    cache = folder / "cache"
    shutil.rmtree(cache / "embeddings", ignore_errors=True)
    command = [sys.executable, "-m", "hubtools.cli.main", "run", "--suite", given.suite, "--workers", str(workers)]
    for checkpoint in given.checkpoint:
        command += ["--checkpoint", checkpoint]
    with tempfile.TemporaryDirectory(dir=folder) as runs:
        environment = {
            "BENCH_CACHE": str(cache),
            "BENCH_ENERGY": "estimate",
            "OMP_NUM_THREADS": "",
            "MKL_NUM_THREADS": "",
        }
        if os.environ.get("BENCH_DATA_MIRROR"):
            environment["BENCH_DATA_MIRROR"] = os.environ["BENCH_DATA_MIRROR"]
        measuring.process([*command, "--runs", runs], environment)


if __name__ == "__main__":
    main()
