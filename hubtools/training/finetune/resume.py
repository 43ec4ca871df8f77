"""What an interrupted fit goes on from: one folder an epoch, whole or not there.

Others may be able to write in the folder of runs, and disks fail. So nothing here is pickled: tensors and numbers are read, and
what is not what this very fit wrote, by its shapes and its checksums, is passed over, with one line that says so.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter, ValidationError
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from hubtools.common import telling
from hubtools.common.files import clear, replacing_folder
from hubtools.common.hashing import file_sha256
from hubtools.common.readers import reads
from hubtools.models.four_bits import FourBitLinear

WEIGHTS = "weights.safetensors"
OPTIMISER = "optimiser.safetensors"
STATE = "state.json"
# What AdamW keeps of a parameter, and which of it has the parameter's shape.
_MOMENTS = {"step": False, "exp_avg": True, "exp_avg_sq": True}


@dataclass
class Progress:
    """How far a fit has come.

    Attributes:
        epoch, step, tokens, seconds: done so far.
        best_score, best_step: of the epoch that is best on validation so far.
        waited: epochs since.
        token_budget: what fitted in memory where the one asked for did not.
        sums: sha256 of each file of the checkpoint, by its name.
    """

    epoch: int = 0
    step: int = 0
    tokens: int = 0
    seconds: float = 0.0
    best_score: float | None = None
    best_step: int | None = None
    waited: int = 0
    token_budget: int | None = None
    sums: dict[str, str] = field(default_factory=dict, compare=False)


def checkpoint_folder(work: Path, step: int) -> Path:
    """The folder of the state after an optimiser step."""
    return work / f"checkpoint-{step}"


def last_whole_checkpoint(work: Path, check: Callable[[Path], Any] | None = None) -> Path | None:
    """The newest checkpoint that was completely written; one line for the user where newer ones are passed over.

    Args:
        work: the fit's folder.
        check: raises whatever it likes where a checkpoint cannot be gone on from; by default its progress is read.
    """
    if not work.is_dir():
        return None
    steps = [int(match[1]) for path in work.iterdir() if (match := re.fullmatch(r"checkpoint-(\d{1,18})", path.name))]
    found, passed = None, []
    for step in sorted(steps, reverse=True):
        folder = checkpoint_folder(work, step)
        try:
            (check or read_progress)(folder)
            found = folder
            break
        except Exception as error:
            # Whatever is wrong with it, the run does not need it: an epoch is trained again.
            passed.append((folder, " ".join(str(error).split())[:200] or type(error).__name__))
    if passed:
        (folder, why), more = passed[0], f", nor {len(passed) - 1} before it" if len(passed) > 1 else ""
        instead = f"going on from {found.name}" if found else "training starts anew"
        telling.warn(f"{folder}: cannot be gone on from ({why}){more}; {instead}")
    return found


def check_checkpoint(folder: Path, model: nn.Module, trained: Sequence[nn.Parameter], epoch_steps: int) -> None:
    """Hold all that is read of a checkpoint against the fit that would go on from it; nothing is changed.

    Args:
        folder: of the checkpoint.
        model: that has the fit's shapes.
        trained: its parameters in the optimiser's order.
        epoch_steps: steps of an epoch.

    Raises:
        Exception: of any kind: it is not whole, or not of this fit.
    """
    for name in (WEIGHTS, OPTIMISER, STATE):
        # A pipe would be waited for.
        if (folder / name).is_symlink() or not (folder / name).is_file():
            raise ValueError(f"there is no {name}")
    progress = read_progress(folder)
    if folder != checkpoint_folder(folder.parent, progress.step) or progress.step != progress.epoch * epoch_steps:
        raise ValueError(f"{STATE} is of another fit")
    expected = {name: tensor.shape for name, tensor in learnt(model).items()}
    # The best epoch is what the fit ends with.
    best = checkpoint_folder(folder.parent, progress.best_step or 0)
    for one in {folder, best}:
        if _shapes(one / WEIGHTS) != expected:
            raise ValueError(f"{WEIGHTS} are of another model")
    _check_sums(folder, progress, OPTIMISER)
    _check_sums(best, read_progress(best), WEIGHTS)
    for key, shape in _shapes(folder / OPTIMISER).items():
        place, _, moment = key.partition(".")
        if shape != (trained[int(place)].shape if _MOMENTS[moment] else ()):
            raise ValueError(f"{OPTIMISER} is of another model")


def _check_sums(folder: Path, progress: Progress, *names: str) -> None:
    """Read what a header does not tell: whether the numbers are those that were written."""
    for name in (WEIGHTS, *names):
        # An earlier version of bench wrote none.
        if progress.sums and file_sha256(folder / name) != progress.sums.get(name):
            raise ValueError(f"{folder.name}/{name} is not what was written")


def _shapes(path: Path) -> dict[str, tuple[int, ...]]:
    with safe_open(path, "pt") as file:
        return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118


@reads("progress of a fit", refuses=("OSError", "ValueError"))
def read_progress(folder: Path) -> Progress:
    """How far the fit was; its file is the last that is written.

    Raises:
        OSError, ValueError: it is not there, or not a progress that a fit can have.
    """
    try:
        found = TypeAdapter(Progress).validate_json((folder / STATE).read_bytes(), strict=True)
    except ValidationError:
        raise ValueError(f"{STATE} cannot be read") from None
    counts = (found.epoch, found.tokens, found.waited, (found.token_budget or 1) - 1)
    if not (min(counts) >= 0 and 0 < (found.best_step or 0) <= found.step and 0 <= found.seconds < math.inf):
        raise ValueError(f"{STATE} cannot be")
    return found


def write_checkpoint(work: Path, progress: Progress, model: nn.Module, optimiser: Any) -> None:
    """Write one, and remove those that nothing needs any more: all but this one and the best.

    Args:
        work: the fit's folder.
        progress, model: what was done, and what was learnt by it.
        optimiser: its state; rates and the like are the recipe's and are not kept.
    """
    folder = checkpoint_folder(work, progress.step)
    # What was passed over, and what a process that was killed left half written.
    for old in (folder, *work.glob(".checkpoint-*")):
        clear(old)
    moments = {f"{i}.{key}": value for i, entry in optimiser.get("state", {}).items() for key, value in entry.items()}
    with replacing_folder(folder, STATE) as staging:
        for name, tensors in ((WEIGHTS, learnt(model)), (OPTIMISER, moments)):
            save_file({key: tensor.detach().contiguous() for key, tensor in tensors.items()}, staging / name)
        sums = {name: file_sha256(staging / name) for name in (WEIGHTS, OPTIMISER)}
        (staging / STATE).write_text(json.dumps(asdict(progress) | {"sums": sums}))
    needed = {progress.step, progress.best_step}
    for other in work.glob("checkpoint-*"):
        if other not in {checkpoint_folder(work, step) for step in needed if step is not None}:
            clear(other)


def read_optimiser(folder: Path) -> dict[int, dict[str, torch.Tensor]]:
    """What the optimiser kept of each parameter, by its number."""
    return _numbered(folder / OPTIMISER)


def _numbered(path: Path) -> dict[int, dict[str, torch.Tensor]]:
    """The tensors of a file, whose keys are ``number.name``."""
    found: dict[int, dict[str, torch.Tensor]] = {}
    for key, tensor in load_file(path).items():
        place, _, name = key.partition(".")
        found.setdefault(int(place), {})[name] = tensor
    return found


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
