#!/usr/bin/env python3
"""Memory of a checkpoint: the peak of a process that loads it, and of one that trains a probe beside its random twin.

usage: python benchmarks/speed/weights.py [--shape 150M] [--code FOLDER] [--out FILE]

Random weights of an ESM-2 shape, written as checkpoints come: one file in float32, shards, half precision, pickled. Each is
read in a process of its own that has done the same with a small checkpoint before, so that libraries are not counted; the
figure is the peak above that, as the system counts it, divided by the bytes of the weights in float32. "Mapped" is what of it
are pages of the file, which the system takes back where memory is short. ``--code`` measures another checkout of bench.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from pathlib import Path
from statistics import median

from measuring import SHAPES, options, process, report, write_esm2

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "benchmarks" / "golden"
KINDS = ("one file", "shards", "half precision", "pickled")


def write_as(kind: str, whole: Path, folder: Path) -> None:
    """The same checkpoint otherwise."""
    import torch
    from safetensors.torch import load_file, save_file
    from transformers import EsmForMaskedLM

    folder.mkdir()
    for file in whole.iterdir():
        if file.suffix != ".safetensors":
            shutil.copy(file, folder)
    if kind == "shards":
        EsmForMaskedLM.from_pretrained(whole).save_pretrained(folder, max_shard_size="100MB")
    elif kind == "half precision":
        weights = {name: value.half() for name, value in load_file(whole / "model.safetensors").items()}
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    elif kind == "pickled":
        torch.save(load_file(whole / "model.safetensors"), folder / "pytorch_model.bin")


def resident(key: str) -> int:
    """Bytes of this process by a key of ``/proc/self/status`` (Linux)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(f"{key}:"))


def measure(work: str, checkpoint: str) -> None:
    """In a process of its own: bytes of the peak, of what is mapped, and of the weights, as JSON."""
    import torch

    import hubtools
    from hubtools.models import resolve_checkpoint
    from hubtools.models.encoder import load_encoder
    from hubtools.training.compute.memory import forget_peak

    torch.set_num_threads(1)

    def once(name: str) -> object:
        if work == "load":
            return load_encoder(resolve_checkpoint(name))
        with tempfile.TemporaryDirectory() as runs:
            task, recipe = GOLDEN / "tasks" / "golden-class.yaml", GOLDEN / "recipes" / "golden-probe.yaml"
            twin = work == "probe and twin"
            return hubtools.run(name, str(task), str(recipe), subset=10, baselines=twin, runs=runs)

    once("embedded")
    floor, mapped = resident("VmRSS"), resident("RssFile")
    forget_peak()
    kept = once(checkpoint)
    peak, mapped = resident("VmHWM") - floor, resident("RssFile") - mapped
    encoder = kept if isinstance(kept, torch.nn.Module) else load_encoder(resolve_checkpoint(checkpoint))
    weights = sum(4 * parameter.numel() for parameter in encoder.parameters())
    print(json.dumps({"peak": peak, "mapped": mapped, "weights": weights}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=list(SHAPES), default="150M", help="of ESM-2 (default 150M)")
    parser.add_argument("--code", type=Path, default=ROOT, help="folder of the checkout to measure (default this one)")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    options(parser)
    parser.set_defaults(rounds=1)
    given = parser.parse_args()
    if given.one:
        measure(*given.one)
        return
    rows, figures = [], {}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        write_esm2(folder / KINDS[0], given.shape)
        for kind in KINDS:
            if kind != KINDS[0]:
                write_as(kind, folder / KINDS[0], folder / kind)
            for work in ("load", "probe", "probe and twin") if kind == KINDS[0] else ("load",):
                command = [sys.executable, __file__, "--one", work, str(folder / kind)]
                turns = [
                    json.loads(process(command, {"PYTHONPATH": str(given.code)}).output.splitlines()[-1])
                    for _ in range(given.rounds)
                ]
                ratio, mapped = (median(turn[key] / turn["weights"] for turn in turns) for key in ("peak", "mapped"))
                name = work if kind == KINDS[0] else f"{work}, {kind}"
                rows.append([name, f"{turns[0]['weights'] / 1e6:.0f}", f"{ratio:.2f}", f"{mapped:.2f}"])
                figures[name] = turns
            if kind != KINDS[0]:
                shutil.rmtree(folder / kind)
    columns = ["what", "weights MB", "peak ÷ weights", "mapped ÷ weights"]
    report(f"Memory of a checkpoint, ESM-2 {given.shape} shape", columns, rows, given, figures)


if __name__ == "__main__":
    main()
