"""Where and how a run computes: what changes speed and memory, never which batches are learnt from."""

from __future__ import annotations

import os
import platform
import resource
import sys
from dataclasses import dataclass
from pathlib import Path

import torch

from hubtools.specs.errors import UserError


@dataclass(frozen=True)
class Execution:
    """Settings that are recorded but not part of a run's identity.

    Attributes:
        device: where the model is.
        token_budget: tokens of one padded batch.
        gradient_checkpointing: recompute activations instead of keeping them.
        auto_budget: find the token budget that suits device and model before each run.
    """

    device: torch.device
    token_budget: int
    gradient_checkpointing: bool = False
    auto_budget: bool = False

    @classmethod
    def choose(
        cls, device: str = "auto", token_budget: int | str | None = None, gradient_checkpointing: bool = False
    ) -> Execution:
        """The device asked for, or the best there is, with a budget that suits it.

        Raises:
            UserError: the device is not there.
        """
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
        try:
            chosen = torch.device(device)
            torch.zeros(1, device=chosen)
        except (RuntimeError, AssertionError) as error:
            raise UserError(
                f"device {device!r} cannot be used ({str(error).splitlines()[0]})", fix="Try --device cpu."
            ) from None
        if chosen.type == "cuda" and chosen.index:
            raise UserError(
                f"one of several GPUs is chosen by the environment, not by --device {device}",
                fix=f"CUDA_VISIBLE_DEVICES={chosen.index} bench run … --device cuda",
            )
        # Small batches stay in a CPU's cache; a GPU wants many tokens at once.
        usual = 2048 if chosen.type == "cpu" else 16384
        budget = token_budget if isinstance(token_budget, int) else usual
        return cls(chosen, budget, gradient_checkpointing, auto_budget=token_budget == "auto")

    def bf16(self, precision: str) -> bool:
        """Whether a recipe's precision means bfloat16 autocast here.

        Raises:
            UserError: bf16 is demanded on a GPU that lacks it.
        """
        has = self.device.type == "cuda" and torch.cuda.is_bf16_supported()
        if precision == "bf16" and self.device.type == "cuda" and not has:
            raise UserError("this GPU has no bfloat16", fix="--set precision=float32")
        return precision == "bf16" or (precision == "auto" and has)

    @property
    def device_name(self) -> str:
        """The hardware's own name."""
        if self.device.type == "cuda":
            return torch.cuda.get_device_name(self.device)
        cpuinfo = Path("/proc/cpuinfo")
        if self.device.type == "cpu" and cpuinfo.is_file():
            for line in cpuinfo.read_text().splitlines():
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
        return platform.processor() or platform.machine()

    def peak_memory(self) -> int:
        """Peak bytes of the device (GPU), or of this process so far (CPU)."""
        if self.device.type == "cuda":
            return int(torch.cuda.max_memory_allocated(self.device))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024


def cpu_count() -> int:
    """Processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
