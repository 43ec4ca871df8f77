"""What the speed scripts share: interleaved rounds, medians, ratios, a table and a JSON file.

A shared machine slows down and speeds up. So all variants take turns in each round, the median of the rounds is
reported, and what is compared are ratios within one run, never seconds of two.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

LETTERS = np.frombuffer(b"ACDEFGHIKLMNPQRSTVWY", dtype=np.uint8)
# (layers, width, feed-forward width, heads) of ESM-2, Lin et al. 2023.
SHAPES = {
    "8M": (6, 320, 1280, 20),
    "35M": (12, 480, 1920, 20),
    "150M": (30, 640, 2560, 20),
    "650M": (33, 1280, 5120, 20),
    "3B": (36, 2560, 10240, 40),
}


@dataclass(frozen=True)
class Timing:
    """Seconds of one variant over the rounds.

    Attributes:
        median, low, high: of the rounds.
        ratio: median of the reference ÷ that of this variant, round by round: how many times as fast.
        ratio_low, ratio_high: smallest and largest ratio of a round.
    """

    median: float
    low: float
    high: float
    ratio: float
    ratio_low: float
    ratio_high: float


def interleaved(variants: Mapping[str, Callable[[], Any]], rounds: int, reference: str) -> dict[str, Timing]:
    """Run all variants in turn, ``rounds`` times, and compare each with the reference within its round.

    Of a variant that returns a :class:`Process` the seconds of that one count, else those of the whole turn.
    """
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    for _ in range(rounds):
        for name, run in variants.items():
            started = time.perf_counter()
            found = run()
            took = time.perf_counter() - started
            seconds[name].append(found.seconds if isinstance(found, Process) else took)
    timings = {}
    for name, values in seconds.items():
        ratios = [a / b for a, b in zip(seconds[reference], values, strict=True)]
        timings[name] = Timing(
            statistics.median(values), min(values), max(values), statistics.median(ratios), min(ratios), max(ratios)
        )
    return timings


def lengths(n: int, seed: int = 0, median: int = 345, longest: int = 1022) -> np.ndarray:
    """Protein lengths as they are found: log-normal, cut where ESM-2's window ends."""
    rng = np.random.default_rng(seed)
    return np.clip(rng.lognormal(np.log(median), 0.7, n).astype(int), 30, longest)


def proteins(n: int, seed: int = 0) -> list[str]:
    """Random proteins of such lengths."""
    rng = np.random.default_rng([seed, 1])
    return [rng.choice(LETTERS, length).tobytes().decode() for length in lengths(n, seed)]


@dataclass(frozen=True)
class Process:
    """A finished process.

    Attributes:
        seconds: from its start to its end.
        cpu_seconds: that it and its children computed, which other users of the machine stretch less.
        megabytes: its peak memory, as the system counts it.
        output: what it printed.
    """

    seconds: float
    cpu_seconds: float
    megabytes: float
    output: str


# A new process is charged with the memory of the one that starts it, so a small one is put between.
_WATCH = """
import json, os, sys, time
started = time.perf_counter()
child = os.posix_spawnp(sys.argv[2], sys.argv[2:], os.environ)
_, status, used = os.wait4(child, 0)
seconds = time.perf_counter() - started
found = [os.waitstatus_to_exitcode(status), seconds, used.ru_utime + used.ru_stime, used.ru_maxrss]
with open(sys.argv[1], "w") as stream:
    json.dump(found, stream)
"""


def process(command: Sequence[str], variables: Mapping[str, str], folder: Path | None = None) -> Process:
    """Run a process to its end, in a folder, with environment variables set (an empty value takes one away).

    Raises:
        SystemExit: it failed; what it printed last is shown.
    """
    around = {key: value for key, value in {**os.environ, **variables}.items() if value or key not in variables}
    with tempfile.TemporaryDirectory() as scratch:
        answer, log = Path(scratch) / "answer.json", Path(scratch) / "log"
        with log.open("w") as stream:
            watched = [sys.executable, "-I", "-S", "-c", _WATCH, str(answer), *command]
            subprocess.run(watched, cwd=folder, env=around, stdout=stream, stderr=subprocess.STDOUT, check=True)
        output = log.read_text(errors="replace")
        code, seconds, cpu_seconds, most = json.loads(answer.read_text())
    if code:
        raise SystemExit(f"{' '.join(command)} failed with {code}:\n{output[-3000:]}")
    return Process(seconds, cpu_seconds, most / (1e6 if sys.platform == "darwin" else 1e3), output)


def esm2(shape: str) -> Any:
    """The configuration of ESM-2 in a shape of :data:`SHAPES`."""
    from transformers import EsmConfig

    layers, width, inner, heads = SHAPES[shape]
    return EsmConfig(
        vocab_size=33,
        mask_token_id=32,
        pad_token_id=1,
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=inner,
        max_position_embeddings=1026,
        position_embedding_type="rotary",
        token_dropout=True,
        emb_layer_norm_before=False,
        # As published; the class's own default of 0.1 would keep the fast attention kernel out of training.
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )


def write_esm2(folder: Path, shape: str, *, seed: int = 0, shard: str = "50GB") -> None:
    """An ESM-2 of random weights with its tokenizer, as the Hub would serve it, in files of at most ``shard``."""
    import torch
    from transformers import EsmForMaskedLM, EsmTokenizer

    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = ["<cls>", "<pad>", "<eos>", "<unk>", *"LAGVSERTIDPKQNFYMHWCXBUZO.-", "<null_1>", "<mask>"]
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n")
    torch.manual_seed(seed)
    EsmForMaskedLM(esm2(shape)).save_pretrained(folder, max_shard_size=shard)
    EsmTokenizer(str(folder / "vocab.txt")).save_pretrained(folder)


def options(parser: argparse.ArgumentParser) -> None:
    """The options that every script has."""
    parser.add_argument("--rounds", type=int, default=5, help="turns of each variant (default 5)")
    parser.add_argument("--threads", type=int, default=1, help="threads of torch (default 1)")
    parser.add_argument("--out", type=Path, metavar="FILE", help="also write the figures as JSON")


def report(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], given: argparse.Namespace, figures: Any
) -> None:
    """Print a Markdown table under a title, and write the figures where ``--out`` says."""
    cells = [[str(cell) for cell in row] for row in [columns, *rows]]
    widths = [max(len(row[i]) for row in cells) for i in range(len(columns))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in cells
    ]
    print(f"\n{title}\n\n{lines[0]}\n|{'|'.join('-' * (width + 2) for width in widths)}|")
    print("\n".join(lines[1:]))
    if given.out is not None:
        settings = {key: str(value) for key, value in vars(given).items() if key != "out"}
        content = {"title": title, "settings": settings, "machine": machine(), "figures": figures}
        given.out.write_text(json.dumps(content, indent=2, default=_plain) + "\n")


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    packages = {name: version(name) for name in ("torch", "transformers", "numpy")}
    return {"processor": platform.machine(), "cores": os.cpu_count(), "python": platform.python_version(), **packages}


def _plain(value: Any) -> Any:
    return asdict(value) if isinstance(value, Timing) else str(value)
