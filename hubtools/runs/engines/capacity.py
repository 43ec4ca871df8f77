"""How many workers a machine takes: one a GPU, or one a core, and no more than there is memory for. No torch."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
from collections.abc import Callable
from dataclasses import dataclass

from hubtools.runs.jobs import Sizes
from hubtools.runs.plan import PlannedRun
from hubtools.training.compute import machine

# Bytes of a process that has imported what a run needs, with its data.
PROCESS = 0.8e9
# Of memory that is free, what workers may take together.
SHARE = 0.8
# Bytes of a weight that is read, and of one that is trained: itself, its gradient, two moments, a copy of the best.
READ, TRAINED = 8, 24
# Bytes of activations for each token, by the number of parameters: 70 bytes a unit of each layer, and units times layers grow as
# this power of the parameters in the ESM-2 family (1,920 at 8M, 92,160 at 3B).
ACTIVATIONS, POWER = 2.0, 0.7
# Tokens of a batch where nothing is said, as of training.compute.device.
TOKENS = 2048


@dataclass(frozen=True)
class Capacity:
    """Workers that a machine takes.

    Attributes:
        seats: what each one's environment has of its own.
        threads: of each; None where that is left to it.
        why: in words, for the user.
    """

    seats: tuple[dict[str, str], ...]
    threads: int | None
    why: str


def gpus() -> list[str]:
    """GPUs of NVIDIA that this process may use, as ``CUDA_VISIBLE_DEVICES`` names them; none where torch has no CUDA."""
    try:
        if "+cpu" in importlib.metadata.version("torch"):
            return []
    except importlib.metadata.PackageNotFoundError:
        return []
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        found = [name.strip() for name in visible.split(",")]
        # As CUDA does: what comes after a number that is none is not seen.
        return found[: found.index("-1")] if "-1" in found else [name for name in found if name]
    try:
        listed = subprocess.run(
            ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"], capture_output=True, text=True, timeout=30
        )
    except (OSError, subprocess.SubprocessError):
        return []
    return [line.strip() for line in listed.stdout.splitlines() if line.strip().isdecimal()]


def needed(run: PlannedRun, sizes: Sizes, tokens: int = TOKENS) -> float:
    """Bytes of main memory that a process takes for a run, roughly: to tell how many fit, not what one will take."""
    if run.checkpoint is None:
        return PROCESS
    parameters, adaptation = sizes.parameters(run.checkpoint), run.recipe.adaptation
    batch: float = ACTIVATIONS * parameters**POWER * tokens
    if adaptation == "full":
        return PROCESS + TRAINED * parameters + batch
    if adaptation == "adapter":
        return PROCESS + READ * parameters + batch
    # Nothing is kept for gradients: of each layer its output alone, and that for a moment.
    return PROCESS + READ * parameters + batch / 8


def capacity(
    needs: Callable[[], float],
    most: int,
    *,
    asked: int | None = None,
    device: str = "auto",
    threads: int | None = None,
    all_cores: bool = False,
) -> Capacity:
    """How many workers there are to be.

    Args:
        needs: bytes of main memory of the one that takes most, on a processor; asked for there alone.
        most: jobs that there are to be done at a time at most.
        asked: number that the user wants; None for what suits the machine.
        device, threads: as the user said them; None where nothing was said.
        all_cores: whether fewer workers than cores have several threads each, where nothing was said of threads.
    """
    cores = machine.cores()
    boards = gpus() if device in {"auto", "cuda"} else []
    if boards:
        number = max(1, min(asked or len(boards), most))
        # More than there are GPUs share them.
        seats = [{"CUDA_VISIBLE_DEVICES": boards[place % len(boards)]} for place in range(number)]
        return Capacity(tuple(seats), threads or max(1, cores // number), f"{len(boards)} GPU{'s'[: len(boards) > 1]}")
    if device == "mps" or (device == "auto" and platform.system() == "Darwin" and platform.machine() == "arm64"):
        number = max(1, min(asked or 1, most))
        return Capacity(({},) * number, threads, "one GPU")
    said = threads or _threads_by_environment()
    each = said or 1
    fit, why = max(1, cores // each), f"{cores} core{'s'[: cores > 1]}"
    free = machine.free_memory()
    if free is not None:
        room = max(1, int(SHARE * free / needs()))
        if room < fit:
            fit, why = room, f"{cores} cores, and memory for {room}"
    number = max(1, min(asked or fit, most))
    if all_cores and not said:
        each = max(1, cores // number)
    return Capacity(({"OMP_NUM_THREADS": str(each)},) * number, each, why)


def _threads_by_environment() -> int | None:
    said = os.environ.get("OMP_NUM_THREADS", "")
    return int(said) if said.isdecimal() and int(said) > 0 else None
