#!/usr/bin/env python3
"""Memory of a checkpoint: the peak of a process that loads it, embeds with it, or trains a probe beside its random twin.

usage: python benchmarks/speed/weights.py [--shape 150M] [--kinds "one file" shards] [--works load embed] [--code FOLDER] [--out FILE]
       python benchmarks/speed/weights.py --shape 3B --kinds shards --works embed "embed held"

Random weights of an ESM-2 shape, written as checkpoints come: one file in float32, shards, half precision, pickled. Each is
read in a process of its own that has done the same with a small checkpoint before, so that libraries are not counted; the
figure is the peak above that, as the system counts it, divided by the bytes of the weights in float32. "Mapped" is what of it
are pages of the file, which the system takes back where memory is short. ``held``: the linear layers of the frozen encoder in
bfloat16. Of the checkpoint as it is written first, every work is measured, of the other kinds loading. ``embed`` reads ten proteins
of 30 to 75 residues. ``--code`` measures another checkout of bench.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from measuring import SHAPES, options, process, report

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "benchmarks" / "golden"
KINDS = ("one file", "shards", "half precision", "pickled")
WORKS = ("load", "load held", "embed", "embed held", "probe", "probe held", "probe and twin")
PROTEINS = {
    f"P{i}": "MKTAYIAKQRQISFVKSHFSRQLEERLGLI" + "ACDEFGHIKLMNPQRSTVWY"[: 2 * i] * 2 + "GAVLK" * (i // 2)
    for i in range(10)
}


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
    """In a process of its own: bytes of the peak, of what is mapped, and of the weights, and seconds, as JSON."""
    import torch
    from transformers import AutoConfig, AutoModel

    import hubtools
    from hubtools.models import resolve_checkpoint
    from hubtools.models.encoder import load_encoder
    from hubtools.training.compute.memory import forget_peak

    torch.set_num_threads(1)
    held = " held" in work
    computing = hubtools.ExecutionOptions(device="cpu", threads=1, embedding_cache=False)

    def once(name: str) -> object:
        if work.startswith("load"):
            return load_encoder(resolve_checkpoint(name), **({"held": True} if held else {}))
        if work.startswith("embed"):
            how: Any = {"precision": "bf16"} if held else {}
            return hubtools.embed(PROTEINS, name, execution=computing, **how)
        with tempfile.TemporaryDirectory() as runs:
            task, recipe = GOLDEN / "tasks" / "golden-class.yaml", GOLDEN / "recipes" / "golden-probe.yaml"
            if held:
                text = recipe.read_text().replace("precision: float32", "precision: bf16\nfrozen_weights: bf16")
                recipe = Path(runs) / "golden-probe.yaml"
                recipe.write_text(text)
            twin = work == "probe and twin"
            return hubtools.run(name, str(task), str(recipe), subset=10, baselines=twin, runs=Path(runs) / "runs")

    once("embedded")
    floor, mapped = resident("VmRSS"), resident("RssFile")
    forget_peak()
    started = time.perf_counter()
    kept = once(checkpoint)
    seconds = time.perf_counter() - started
    peak, mapped = resident("VmHWM") - floor, resident("RssFile") - mapped
    del kept
    with torch.device("meta"):
        encoder = AutoModel.from_config(AutoConfig.from_pretrained(checkpoint), add_pooling_layer=False)
    weights = sum(4 * parameter.numel() for parameter in encoder.parameters())
    print(json.dumps({"peak": peak, "mapped": mapped, "weights": weights, "seconds": seconds}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=list(SHAPES), default="150M", help="of ESM-2 (default 150M)")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS), help="how it is stored (default all)")
    usual = ["load", "load held", "probe", "probe held", "probe and twin"]
    parser.add_argument("--works", nargs="+", choices=WORKS, default=usual, help="what is done (default all but embed)")
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
        # A large one is written as it is read: shard by shard, and in a process whose memory goes with it.
        first, shard = ("shards", "1GB") if given.kinds == ["shards"] else (KINDS[0], "50GB")
        write = f"from measuring import write_esm2; from pathlib import Path; write_esm2(Path({str(folder / first)!r}), {given.shape!r}, shard={shard!r})"
        process([sys.executable, "-c", write], {"PYTHONPATH": str(Path(__file__).parent)})
        for kind in given.kinds:
            if kind != first:
                write_as(kind, folder / first, folder / kind)
            for work in given.works if kind in (first, given.kinds[0]) else ("load",):
                command = [sys.executable, __file__, "--one", work, str(folder / kind)]
                turns = [
                    json.loads(process(command, {"PYTHONPATH": str(given.code)}).output.splitlines()[-1])
                    for _ in range(given.rounds)
                ]
                ratio, mapped = (median(turn[key] / turn["weights"] for turn in turns) for key in ("peak", "mapped"))
                name = work if kind == KINDS[0] else f"{work}, {kind}"
                seconds = median(turn["seconds"] for turn in turns)
                sizes = [f"{size / 1e6:.0f}" for size in (turns[0]["weights"], median(turn["peak"] for turn in turns))]
                rows.append([name, *sizes, f"{ratio:.2f}", f"{mapped:.2f}", f"{seconds:.0f}"])
                figures[name] = turns
            if kind != first:
                shutil.rmtree(folder / kind)
    columns = ["what", "weights MB", "peak MB", "peak ÷ weights", "mapped ÷ weights", "seconds"]
    report(f"Memory of a checkpoint, ESM-2 {given.shape} shape", columns, rows, given, figures)


if __name__ == "__main__":
    main()
