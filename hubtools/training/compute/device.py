"""Where and how a run computes: what changes speed and memory, never which batches are learnt from."""

from __future__ import annotations

import platform
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from hubtools.common.errors import UserError
from hubtools.training.compute import distributed
from hubtools.training.compute.machine import cores
from hubtools.training.compute.measured import measured
from hubtools.training.compute.memory import peak_resident
from hubtools.training.compute.threads import settle

# Tokens of a batch. Small batches stay in a CPU's cache; a GPU wants many tokens at once.
USUAL_ON_CPU, USUAL_ON_GPU = 2048, 16384


@dataclass(frozen=True)
class Execution:
    """Settings that are recorded but not part of a run's identity.

    Attributes:
        device: where the model is.
        token_budget: tokens of one batch: real ones where it is packed, else padding included.
        gradient_checkpointing: recompute activations instead of keeping them.
        packing: compute no padding, where the model passes the test of :mod:`hubtools.training.compute.engine`.
        compile: compile the encoder's layers (torch.compile).
        shard: divide weights, gradients and optimiser state among the processes of a run.
        auto_budget: find the token budget that suits device and model before each run.
    """

    device: torch.device
    token_budget: int
    gradient_checkpointing: bool = False
    packing: bool = True
    compile: bool = False
    shard: bool = False
    auto_budget: bool = False

    @classmethod
    def choose(
        cls,
        device: str = "auto",
        token_budget: int | str | None = None,
        gradient_checkpointing: bool = False,
        packing: bool = True,
        compile: bool = False,
        shard: bool = False,
        threads: int | None = None,
    ) -> Execution:
        """The device asked for, or the best there is, with a budget that suits it; under torchrun one GPU a process.

        The number of threads is set for this process, as :mod:`hubtools.training.compute.threads` says.

        Raises:
            UserError: the device is not there, or not for several processes.
        """
        settle(threads)
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
        if distributed.started():
            chosen = _of_this_process(chosen)
        elif shard:
            raise UserError(
                "--shard divides a model among several processes, and there is one",
                fix='torchrun --nproc-per-node 2 "$(which bench)" run …',
            )
        usual = USUAL_ON_CPU if chosen.type == "cpu" else USUAL_ON_GPU
        return cls(
            chosen,
            token_budget if isinstance(token_budget, int) else usual,
            gradient_checkpointing,
            # Divided weights are gathered by all processes at once, whatever their pieces look like: padded ones do.
            packing and not shard,
            compile,
            shard,
            auto_budget=token_budget == "auto",
        )

    def bf16(self, precision: str) -> bool:
        """Whether a recipe's precision means bfloat16 autocast here.

        For ``fastest`` that is measured once for a device and a version of torch, and kept.

        Raises:
            UserError: bf16 is demanded on a GPU that lacks it.
        """
        # Not what torch emulates on a V100 or T4, which have no units for it.
        has = self.device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
        if precision == "bf16" and self.device.type == "cuda" and not has:
            raise UserError("this GPU has no bfloat16", fix="--set precision=float32")
        if precision == "fastest" and (has or self.device.type == "cpu"):
            # For the cores that there are, and not for the threads of this moment: a run's name holds the answer, and must
            # not depend on how busy a machine is.
            return (
                measured(self.device_name, f"precision, {cores()} cores", self._products, ("float32", "bfloat16"))
                == "bfloat16"
            )
        return precision == "bf16" or (precision == "auto" and has)

    def _products(self) -> dict[str, Callable[[], object]]:
        """A layer's matrix product, forth and back, under either precision."""
        layer = torch.nn.Linear(640, 2560, device=self.device)
        tokens = torch.ones(2048, 640, device=self.device)

        def product(bf16: bool) -> Callable[[], object]:
            def run() -> None:
                with torch.enable_grad(), torch.autocast(self.device.type, torch.bfloat16, enabled=bf16):
                    out = layer(tokens)
                torch.autograd.grad(out, list(layer.parameters()), torch.ones_like(out))
                if self.device.type == "cuda":
                    torch.cuda.synchronize(self.device)

            return run

        return {"float32": product(False), "bfloat16": product(True)}

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
        return peak_resident()


def _of_this_process(device: torch.device) -> torch.device:
    """The device of one of several processes."""
    if device.type == "mps":
        raise UserError("several processes need GPUs of NVIDIA, or the CPU", fix="--device cpu")
    if device.type != "cuda":
        return device
    if distributed.local_rank() >= torch.cuda.device_count():
        raise UserError(
            f"there are more processes than GPUs ({torch.cuda.device_count()})",
            fix=f"torchrun --nproc-per-node {torch.cuda.device_count()} …",
        )
    return torch.device("cuda", distributed.local_rank())
