"""What is trained, whole on each process or divided among them (FSDP), behind the same calls."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from hubtools.models.layers import encoder_layers
from hubtools.training.compute import distributed
from hubtools.training.finetune.resume import learnt


class Unsharded:
    """A model and what of it is trained: itself, or a copy whose weights are divided among the processes.

    Whole, the gradients of an effective batch are added up once, after its last piece. torch's DDP would begin with that
    during the last piece; for the little that it saves, a process could no longer start its pieces anew where memory did
    not suffice, because the others would be waiting in the middle of theirs.

    Divided (``fully_shard``; Zhao et al., PyTorch FSDP, 2023), each process keeps its part of weights, gradients and
    optimiser state, and gathers a layer's weights when it computes with it. The model as it came waits in main memory,
    and gets the weights back, for as long as it takes, to predict and to be saved.
    """

    def __init__(self, model: nn.Module, device: torch.device, shard: bool) -> None:
        self.model, self.device = model, device
        self.sharded = shard and distributed.size() > 1
        self.working: Any = divided(copy.deepcopy(model), device) if self.sharded else model
        self.aside()

    def aside(self) -> None:
        """Let the model wait in main memory while its divided copy is trained."""
        if self.sharded:
            self.model.to("cpu")

    def exchange(self, last: bool) -> None:
        """Whether the gradients of the piece that comes are the last of a step, after which they are exchanged."""
        if self.sharded:
            self.working.set_requires_gradient_sync(last)

    def add_up(self, parameters: Sequence[nn.Parameter]) -> None:
        """The gradients of all processes, summed, in each."""
        if self.sharded or distributed.size() == 1:
            return
        for parameter in parameters:
            if parameter.grad is None:
                # Of a process that had nothing to compute in this step.
                parameter.grad = torch.zeros_like(parameter)
        distributed.add_up([parameter.grad for parameter in parameters if parameter.grad is not None])

    @torch.no_grad()
    def collect(self) -> None:
        """Give the model the weights as they are now."""
        if self.sharded:
            target = learnt(self.model)
            for name, tensor in learnt(self.working).items():
                target[name].copy_(full(tensor))
            self.model.to(self.device)

    def close(self) -> None:
        """The model is whole again, the copy gone."""
        if self.sharded:
            self.working = None
            self.model.to(self.device)


def divided(model: Any, device: torch.device) -> nn.Module:
    """Divide the weights of a model, layer by layer, so that one layer at a time is gathered."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import FSDPModule, fully_shard

    mesh = init_device_mesh(device.type, (distributed.size(),))
    found = encoder_layers(model.encoder)
    for layer in found[1] if found else []:
        fully_shard(layer, mesh=mesh)
    fully_shard(model, mesh=mesh)
    for module in model.modules():
        if isinstance(module, FSDPModule):
            # The loss has the denominator of the whole effective batch: gradients are added up, not averaged. As a plain
            # sum, which gloo has, too.
            module.set_gradient_divide_factor(1.0)
            module.set_force_sum_reduction_for_comms(True)
    return model


def full(tensor: torch.Tensor) -> torch.Tensor:
    """A tensor in one piece."""
    gather: Callable[[], torch.Tensor] | None = getattr(tensor, "full_tensor", None)
    return tensor if gather is None else gather()


def optimiser_state(optimiser: torch.optim.Optimizer) -> dict[str, Any]:
    """The state of an optimiser in one piece, on the CPU where it was divided."""
    state = optimiser.state_dict()
    if not any(hasattr(value, "full_tensor") for entry in state["state"].values() for value in entry.values()):
        return state
    whole = {
        place: {key: full(value).cpu() if torch.is_tensor(value) else value for key, value in entry.items()}
        for place, entry in state["state"].items()
    }
    return {**state, "state": whole}


def restore_optimiser(optimiser: torch.optim.Optimizer, state: dict[int, dict[str, torch.Tensor]]) -> None:
    """Give an optimiser what it kept of each parameter, divided as its parameters are; rates and the like stay its own."""
    parameters = [parameter for group in optimiser.param_groups for parameter in group["params"]]
    for place, entry in state.items():
        parameter = parameters[place]
        if not hasattr(parameter, "full_tensor"):
            continue
        from torch.distributed.tensor import distribute_tensor

        for key, value in entry.items():
            if value.ndim:
                entry[key] = distribute_tensor(value.to(parameter.device), parameter.device_mesh, parameter.placements)
    optimiser.load_state_dict({**optimiser.state_dict(), "state": state})
