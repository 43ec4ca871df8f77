#!/usr/bin/env python3
"""Residue tokenisation by table lookup against the checkpoint's own tokenizer.

usage: python benchmarks/speed/tokenisation.py [CHECKPOINT] [--proteins 500] [--rounds 7]

Both turns read the same proteins (lengths log-normal around 345 residues, cut at 1,022), one after the other in each
round; the ratio of the medians is printed, and both must give the same tokens.
"""

from __future__ import annotations

import argparse
import statistics
import time

import numpy as np

from hubtools.models import ResidueTokeniser, resolve_checkpoint


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", nargs="?", default="embedded")
    parser.add_argument("--proteins", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    tokeniser = ResidueTokeniser.from_checkpoint(resolve_checkpoint(options.checkpoint))
    rng = np.random.default_rng(0)
    lengths = np.clip(rng.lognormal(np.log(345), 0.7, options.proteins).astype(int), 30, 1022)
    proteins = ["".join(rng.choice(list("ACDEFGHIKLMNPQRSTVWY"), n)) for n in lengths]
    table = [tokeniser.with_special(tokeniser.encode(sequence)).tolist() for sequence in proteins]
    if table != [tokeniser.own_tokens(sequence) for sequence in proteins]:
        raise SystemExit("the two do not give the same tokens")
    seconds: dict[str, list[float]] = {"table": [], "own": []}
    for _ in range(options.rounds):
        for name, read in (("table", tokeniser.encode), ("own", tokeniser.own_tokens)):
            started = time.perf_counter()
            for sequence in proteins:
                read(sequence)
            seconds[name].append(time.perf_counter() - started)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    for name, title in (("table", "table lookup"), ("own", "own tokenizer")):
        low, high = min(seconds[name]), max(seconds[name])
        rate = lengths.sum() / medians[name] / 1e6
        print(f"{title:14} {rate:8.2f} M residues/s  (rounds of {low:.4f} to {high:.4f} s)")
    print(f"ratio of medians {medians['own'] / medians['table']:.0f}")


if __name__ == "__main__":
    main()
