#!/usr/bin/env python3
"""Residue tokenisation by table lookup against the checkpoint's own tokenizer.

usage: python benchmarks/speed/tokenisation.py [CHECKPOINT] [--proteins 500]

All turns read the same proteins (lengths log-normal around 345 residues, cut at 1,022), one after the other in each
round. The lookup must give the tokens that the tokenizer gives, or nothing is timed.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

from measuring import interleaved, options, proteins, report

from hubtools.models import ResidueTokeniser, resolve_checkpoint


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", nargs="?", default="embedded")
    parser.add_argument("--proteins", type=int, default=500)
    options(parser)
    given = parser.parse_args()
    tokeniser = ResidueTokeniser.from_checkpoint(resolve_checkpoint(given.checkpoint))
    sequences = proteins(given.proteins)
    for sequence, tokens in zip(sequences, tokeniser.encode_all(sequences), strict=True):
        if tokeniser.with_special(tokens).tolist() != tokeniser.own_tokens(sequence):
            raise SystemExit(f"the two do not give the same tokens for {sequence}")
    residues = sum(map(len, sequences))

    turns: dict[str, Callable[[], object]] = {
        "own tokenizer": lambda: [tokeniser.own_tokens(sequence) for sequence in sequences],
        "table, one by one": lambda: [tokeniser.encode(sequence) for sequence in sequences],
        "table, all at once": lambda: tokeniser.encode_all(sequences),
    }
    timings = interleaved(turns, given.rounds, "own tokenizer")
    rows = [
        [name, f"{residues / t.median / 1e6:.2f}", f"{t.ratio:.0f} × [{t.ratio_low:.0f}–{t.ratio_high:.0f}]"]
        for name, t in timings.items()
    ]
    title = f"Tokenisation of {given.proteins:,} proteins, {residues:,} residues, of {given.checkpoint}"
    report(title, ["way", "M residues/s", "speed"], rows, given, {"residues": residues, "ways": timings})


if __name__ == "__main__":
    main()
