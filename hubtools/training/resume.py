"""What an interrupted fit goes on from: one folder an epoch, whole or not there."""

from __future__ import annotations

import json
import random
import re
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from hubtools.models.four_bits import FourBitLinear

WEIGHTS = "weights.safetensors"
OPTIMISER = "optimiser.pt"
RANDOM = "random.pt"
STATE = "state.json"


@dataclass
class Progress:
    """How far a fit has come.

    Attributes:
        epoch, step, tokens, seconds: done so far.
        best_score, best_step: of the epoch that is best on validation so far.
        waited: epochs since.
        token_budget: what fitted in memory where the one asked for did not.
    """

    epoch: int = 0
    step: int = 0
    tokens: int = 0
    seconds: float = 0.0
    best_score: float | None = None
    best_step: int | None = None
    waited: int = 0
    token_budget: int | None = None


def checkpoint_folder(work: Path, step: int) -> Path:
    """The folder of the state after an optimiser step."""
    return work / f"checkpoint-{step}"


def last_whole_checkpoint(work: Path) -> Path | None:
    """The newest checkpoint that was completely written."""
    if not work.is_dir():
        return None
    steps = [int(match[1]) for path in work.iterdir() if (match := re.fullmatch(r"checkpoint-(\d+)", path.name))]
    for step in sorted(steps, reverse=True):
        folder = checkpoint_folder(work, step)
        try:
            read_progress(folder)
            return folder
        except (OSError, ValueError, TypeError):
            continue
    return None


def read_progress(folder: Path) -> Progress:
    """How far the fit was; its file is the last that is written."""
    return Progress(**json.loads((folder / STATE).read_text()))


def write_checkpoint(work: Path, progress: Progress, model: nn.Module, optimiser: Any, randomness: list[Any]) -> None:
    """Write one, and remove those that nothing needs any more: all but this one and the best."""
    folder, unfinished = checkpoint_folder(work, progress.step), work / ".unfinished"
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    save_file({name: tensor.detach().contiguous() for name, tensor in learnt(model).items()}, unfinished / WEIGHTS)
    torch.save(optimiser, unfinished / OPTIMISER)
    torch.save(randomness, unfinished / RANDOM)
    (unfinished / STATE).write_text(json.dumps(asdict(progress)))
    shutil.rmtree(folder, ignore_errors=True)
    unfinished.replace(folder)
    needed = {progress.step, progress.best_step}
    for other in work.glob("checkpoint-*"):
        if other not in {checkpoint_folder(work, step) for step in needed if step is not None}:
            shutil.rmtree(other, ignore_errors=True)


def learnt(model: nn.Module) -> dict[str, torch.Tensor]:
    """What training changes: the weights that are trained, each once, and what the model counts itself."""
    trained = {name: value for name, value in model.named_parameters() if value.requires_grad}
    # Frozen, though not parameters: most of a large model, and the same in each checkpoint.
    frozen = {path for path, module in model.named_modules() if isinstance(module, FourBitLinear)}
    counted = {name: value for name, value in model.named_buffers() if name.rpartition(".")[0] not in frozen}
    return {**trained, **counted}


@torch.no_grad()
def load_weights(model: nn.Module, folder: Path) -> None:
    """Give a model what it had learnt at a checkpoint."""
    here = learnt(model)
    for name, tensor in load_file(folder / WEIGHTS).items():
        here[name].copy_(tensor)


def random_state(device: torch.device) -> dict[str, Any]:
    """Where all random numbers that training may draw stand."""
    state = {"python": random.getstate(), "numpy": np.random.get_state(), "torch": torch.get_rng_state()}
    return {**state, **device_randomness(device)}


def restore_random(state: dict[str, Any], device: torch.device) -> None:
    """Go on from there."""
    random.setstate(state["python"])
    np.random.set_state(state["numpy"])
    torch.set_rng_state(state["torch"])
    restore_device_randomness(state, device)


def device_randomness(device: torch.device) -> dict[str, Any]:
    """The state of the generator that dropout draws from on a GPU; it lives on the host, so that nothing waits."""
    if device.type == "cuda":
        return {"device": torch.cuda.get_rng_state(device)}
    return {"device": torch.mps.get_rng_state()} if device.type == "mps" else {}


def restore_device_randomness(state: dict[str, Any], device: torch.device) -> None:
    """Go on from there."""
    if "device" in state and device.type == "cuda":
        torch.cuda.set_rng_state(state["device"], device)
    elif "device" in state and device.type == "mps":
        torch.mps.set_rng_state(state["device"])
