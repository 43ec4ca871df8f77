#!/usr/bin/env python3
"""Growth: how CPU time and memory rise with the number of proteins, and with their length.

usage: python benchmarks/speed/growth.py [--proteins 250] [--doublings 3] [--lengths 128 256 512 1022 2044 4088] [--out FILE]

Every part runs once with n, 2 n, 4 n, … proteins of usual lengths, and then with few proteins of one length each, beyond
the window too. Printed are CPU seconds and the exponent that a line through the logarithms has: 1 is proportional.
Memory is the peak of a process of its own for each size. The encoder is small (--checkpoint), because it is the parts
around it whose growth is in question; its own attention grows with the square of a window's length, and no further.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from measuring import LETTERS, lengths, options, process, report


def task() -> Any:
    """Two classes of residues."""
    from hubtools.specs.task import Task

    values = {"name": "growth", "version": 1, "title": "Growth", "problem": "residue-classification", "summary": "s"}
    values |= {"labels": ["no", "yes"], "metrics": {"primary": "accuracy"}, "licence": "CC0-1.0", "citation": "none"}
    split = {"fractions": {"train": 0.8, "test": 0.2}}
    values["data"] = {"source": "file", "files": [{"path": "x.csv"}], "split": split}
    return Task.model_validate(values)


def parts(sizes: np.ndarray, checkpoint: str, folder: Path) -> dict[str, float]:
    """CPU seconds of each part for residue-labelled proteins of these lengths."""
    import torch
    from datasets import Dataset

    from hubtools.evaluation import score_split
    from hubtools.models import ResidueTokeniser, resolve_checkpoint
    from hubtools.models.encoder import load_encoder
    from hubtools.models.task_model import bench_model
    from hubtools.specs.lookup.spec_files import load_recipe
    from hubtools.specs.recipe import Window
    from hubtools.training.batches import BucketedBatches, micro_batches
    from hubtools.training.compute.device import Execution
    from hubtools.training.compute.engine import engine
    from hubtools.training.encoding import encode
    from hubtools.training.frozen.embedding import FrozenEncoder, embed
    from hubtools.training.loss import loss_for
    from hubtools.training.prediction import predict

    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    sequences = [rng.choice(LETTERS, size).tobytes().decode() for size in sizes]
    columns = {"id": [f"p{i}" for i in range(len(sizes))], "sequence": sequences}
    columns |= {"label": [rng.integers(0, 2, size).tolist() for size in sizes], "cluster": columns["id"]}
    dataset, wanted, recipe = Dataset.from_dict(columns), task(), load_recipe("probe")
    opened = resolve_checkpoint(checkpoint)
    tokeniser, execution = ResidueTokeniser.from_checkpoint(opened), Execution.choose("cpu")
    model = bench_model(load_encoder(opened), wanted, recipe, tokeniser, 0)
    seconds: dict[str, float] = {}

    def timed(name: str, run: Callable[[], Any]) -> Any:
        started = time.process_time()
        found = run()
        seconds[name] = time.process_time() - started
        return found

    split = timed("encode", lambda: encode(dataset, wanted, tokeniser, Window()))
    timed("proof of alignment", lambda: tokeniser.prove(sequences))
    loss = loss_for(split, 2, "none")
    with engine(model, tokeniser, execution, bf16=False, trains=False) as made:
        split = replace(split, packed=made.packed)
        order = BucketedBatches(split.row_lengths, recipe.batch_size, recipe.bucket, 0)
        timed("batches of an epoch", lambda: [list(micro_batches(split, rows, 2048)) for rows in order])
        layer = [model.encoder.config.num_hidden_layers]
        encoder = FrozenEncoder(model, execution, False, layer)
        timed("embedding", lambda: embed(encoder, split, folder / "t.npy", "growth"))
        made_of = timed("prediction", lambda: predict(model, split, loss, token_budget=2048, device=execution.device))
    timed("score and interval", lambda: score_split(wanted, made_of, None, replicates=200))
    return seconds


def exponent(sizes: list[int], values: list[float]) -> float:
    """Slope of the line through the logarithms."""
    return float(np.polyfit(np.log(sizes), np.log(np.maximum(values, 1e-4)), 1)[0])


def of_size(kind: str, size: int, given: argparse.Namespace) -> tuple[dict[str, float], float]:
    """Seconds of the parts, and the peak of their process in megabytes."""
    command = [sys.executable, __file__, "--one", kind, str(size), "--checkpoint", given.checkpoint]
    command += ["--residues", str(given.residues)]
    with tempfile.TemporaryDirectory() as folder:
        done = process(command, {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.environ.get("PYTHONPATH", "")}, Path(folder))
    line = next(line for line in done.output.splitlines() if line.startswith("parts "))
    return {name: float(value) for name, value in (pair.split("=") for pair in line[6:].split(";"))}, done.megabytes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options(parser)
    parser.add_argument("--proteins", type=int, default=250, help="the smallest number (default 250)")
    parser.add_argument("--doublings", type=int, default=3, help="of the number (default 3)")
    parser.add_argument("--lengths", type=int, nargs="+", default=[128, 256, 512, 1022, 2044, 4088])
    parser.add_argument("--residues", type=int, default=65_408, help="in all, at each length (default 65,408)")
    parser.add_argument("--checkpoint", default="embedded")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        kind, size = given.one[0], int(given.one[1])
        sizes = lengths(size) if kind == "number" else np.full(max(1, given.residues // size), size)
        found = parts(sizes, given.checkpoint, Path.cwd())
        print("parts " + ";".join(f"{name}={value:.6f}" for name, value in found.items()))
        return
    numbers = [given.proteins * 2**i for i in range(given.doublings + 1)]
    questions = {
        "number": (numbers, "Growth with the number of proteins: CPU seconds"),
        "length": (given.lengths, f"Growth with length, {given.residues:,} residues in all each time: CPU seconds"),
    }
    figures: dict[str, Any] = {}
    for kind, (sizes, title) in questions.items():
        measured = [of_size(kind, size, given) for size in sizes]
        names = list(measured[0][0])
        rows = []
        for name in names:
            values = [seconds[name] for seconds, _ in measured]
            rows.append([name, *(f"{value:.2f}" for value in values), f"{exponent(sizes, values):.2f}"])
        peaks = [peak for _, peak in measured]
        rows.append(["peak memory, MB", *(f"{peak:,.0f}" for peak in peaks), f"{exponent(sizes, peaks):.2f}"])
        figures[kind] = {"sizes": sizes, "parts": [seconds for seconds, _ in measured], "megabytes": peaks}
        report(title, ["part", *(f"{size:,}" for size in sizes), "exponent"], rows, given, figures)


if __name__ == "__main__":
    main()
