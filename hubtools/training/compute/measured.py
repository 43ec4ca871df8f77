"""Choices that were measured on this machine once, and are kept, so that they are the same from run to run."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock

from hubtools.common.files import write_atomic

# Also where hubtools.data keeps files.
ROOT_VARIABLE = "BENCH_CACHE"
FILE = "measured-{device}.json"
# What is not this much faster than the safe choice is not chosen: noise must not decide.
MARGIN = 1.15
_known: dict[tuple[str, str], str] = {}


def measured(device: str, question: str, candidates: Callable[[], Mapping[str, Callable[[], Any]]]) -> str:
    """The fastest of several ways to compute the same, as first found on this device with this torch.

    Args:
        device: name of the hardware.
        question: what is chosen; with the version of torch, the key of the answer.
        candidates: makes name -> computation, the safe choice first. Called only when there is no answer yet. A
            computation that fails is left out.

    Returns:
        A name. Where the folder cannot be written, the answer holds for this process.
    """
    import torch

    key = f"torch {torch.__version__}, {question}"
    if (device, key) in _known:
        return _known[device, key]
    folder = Path(os.environ.get(ROOT_VARIABLE) or "~/.cache/plm-hubtools").expanduser()
    file = folder / FILE.format(device="".join(c if c.isalnum() else "-" for c in device.lower()))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{file}.lock"):
            answers = _read(file)
            if key not in answers:
                answers[key] = fastest(candidates())
                write_atomic(file, json.dumps(answers, indent=2, sort_keys=True) + "\n")
            answer = answers[key]
    except OSError:
        answer = fastest(candidates())
    return _known.setdefault((device, key), answer)


def _read(file: Path) -> dict[str, str]:
    try:
        answers = json.loads(file.read_text())
    except (OSError, ValueError):
        return {}
    return answers if isinstance(answers, dict) else {}


def fastest(candidates: Mapping[str, Callable[[], Any]], rounds: int = 4) -> str:
    """The name of the fastest, or the first unless another beats it by :data:`MARGIN`.

    They take turns and the shortest time of each counts; the first turn warms up.
    """
    seconds: dict[str, float] = {}
    running = dict(candidates)
    for turn in range(rounds):
        for name in list(running):
            started = time.perf_counter()
            try:
                running[name]()
            except (RuntimeError, NotImplementedError, ValueError):
                seconds.pop(name, None)
                del running[name]
                continue
            if turn:
                seconds[name] = min(seconds.get(name, float("inf")), time.perf_counter() - started)
    first = next(iter(candidates))
    if not seconds:
        return first
    best = min(seconds, key=lambda name: seconds[name])
    return first if first in seconds and seconds[best] * MARGIN > seconds[first] else best
