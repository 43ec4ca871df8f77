"""Several modules of one shape as one: their parameters in one table, their logits in as few operations as can be."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn
from torch.func import functional_call


@dataclass(frozen=True)
class Inputs:
    """What some modules read: each of ``g`` inputs is for as many modules in a row.

    Attributes:
        x: (g, n, …) features.
        lengths: rows of each input that are not padding.
        owners: (n,) the item of each row where all rows of an item are read together, ``g`` being 1; ascending.
        n_items: number of items in ``owners``.
    """

    x: torch.Tensor
    lengths: Sequence[int]
    owners: torch.Tensor | None = None
    n_items: int = 0


class Stack:
    """Modules of one shape. Their parameters are the rows of a table, in the order of the modules.

    A sequence of linear layers, dropout and GELU is computed for all at once; any other module is called once for
    each set of parameters, which costs nothing where a module is large.

    Args:
        template: one of them; its own parameters are not used.
    """

    def __init__(self, template: nn.Module) -> None:
        self.template = template
        self.shapes = {name: parameter.shape for name, parameter in self.template.named_parameters()}
        self.at_once = isinstance(template, nn.Sequential) and all(
            isinstance(layer, (nn.Linear, nn.Dropout, nn.GELU)) for layer in template
        )
        self.drops = any(isinstance(layer, nn.Dropout) and layer.p > 0 for layer in self.template.modules())

    @property
    def size(self) -> int:
        """Parameters of one module."""
        return sum(math.prod(shape) for shape in self.shapes.values())

    def table(self, modules: Sequence[nn.Module]) -> torch.Tensor:
        """Parameters of modules: (modules, size)."""
        return torch.stack([torch.cat([p.detach().flatten() for p in module.parameters()]) for module in modules])

    def views(self, table: torch.Tensor) -> dict[str, torch.Tensor]:
        """Each parameter of all modules: name -> (modules, …)."""
        sizes = [math.prod(shape) for shape in self.shapes.values()]
        parts = table.split(sizes, dim=1)
        return {name: part.unflatten(1, shape) for (name, shape), part in zip(self.shapes.items(), parts, strict=True)}

    def state(self, row: torch.Tensor) -> dict[str, torch.Tensor]:
        """The parameters of one module, by name, from its row of the table."""
        return {name: part[0].clone() for name, part in self.views(row[None]).items()}

    def logits(
        self, parameters: dict[str, torch.Tensor], inputs: Inputs, noise: Sequence[torch.Generator] | None = None
    ) -> torch.Tensor:
        """Logits of all modules: (modules, n, outputs).

        Args:
            parameters: as :meth:`views` gives them.
            inputs: the number of modules is a multiple of theirs.
            noise: one generator for each input, of dropout; without it nothing is dropped.
        """
        noise = noise if self.drops else None
        return (self._at_once if self.at_once else self._one_by_one)(parameters, inputs, noise)

    def _at_once(
        self, parameters: dict[str, torch.Tensor], inputs: Inputs, noise: Sequence[torch.Generator] | None
    ) -> torch.Tensor:
        x, groups = inputs.x, len(inputs.x)
        for name, layer in self.template.named_children():
            if isinstance(layer, nn.Linear):
                weight, bias = parameters[f"{name}.weight"], parameters[f"{name}.bias"]
                shared = len(weight) // len(x)
                wide, low = weight.reshape(len(x), -1, weight.shape[-1]), bias.reshape(len(x), 1, -1)
                if len(x) == 1:
                    # A product of matrices of long and narrow shape is faster by itself than as a batch of one.
                    out = nn.functional.linear(x[0], wide[0], low[0, 0]).unsqueeze(0)
                else:
                    out = torch.baddbmm(low, x, wide.mT)
                # Modules that share an input were one wide layer: (g, n, shared × outputs) -> (modules, n, outputs).
                x = out if shared == 1 else out.unflatten(-1, (shared, -1)).transpose(1, 2).flatten(0, 1)
            elif isinstance(layer, nn.Dropout):
                if noise is not None and layer.p > 0:
                    mask = _masks(noise, inputs.lengths, x.shape[1:], layer.p, x.device)
                    x = (x.unflatten(0, (groups, -1)) * mask.unsqueeze(1)).flatten(0, 1)
            else:
                x = layer(x)
        return x

    def _one_by_one(
        self, parameters: dict[str, torch.Tensor], inputs: Inputs, noise: Sequence[torch.Generator] | None
    ) -> torch.Tensor:
        self.template.train(noise is not None)
        number = len(next(iter(parameters.values())))
        shared, found = number // len(inputs.x), []
        for index in range(number):
            group, last = index // shared, index % shared == shared - 1
            own = {name: parameter[index] for name, parameter in parameters.items()}
            n = inputs.lengths[group]
            arguments = (
                (inputs.x[group, :n],) if inputs.owners is None else (inputs.x[0], inputs.owners, inputs.n_items)
            )
            if noise is None:
                out = functional_call(self.template, own, arguments)
            else:
                # Modules that share an input share its dropout, as each would have had it alone.
                out = _drawing_from(noise[group], last, lambda a=arguments, o=own: functional_call(self.template, o, a))
            found.append(out)
        if inputs.owners is None:
            longest = max(inputs.lengths)
            found = [nn.functional.pad(out, (0, 0, 0, longest - len(out))) for out in found]
        return torch.stack(found)


def _masks(
    noise: Sequence[torch.Generator], lengths: Sequence[int], shape: torch.Size, p: float, device: torch.device
) -> torch.Tensor:
    """Dropout of each input, drawn for its own rows alone: what is padded beside it draws nothing."""
    mask = torch.zeros((len(noise), *shape), device=device)
    for row, length, generator in zip(mask, lengths, noise, strict=True):
        row[:length] = torch.empty((length, *shape[1:]), device=device).bernoulli_(1 - p, generator=generator)
    return mask.div_(1 - p)


def _drawing_from(generator: torch.Generator, advance: bool, call: object) -> torch.Tensor:
    """Call a function whose random numbers come from a generator, which goes on from there only if told to."""
    assert callable(call)
    device = generator.device
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        if device.type == "cuda":
            torch.cuda.set_rng_state(generator.get_state(), device)
        else:
            torch.set_rng_state(generator.get_state())
        out = call()
        if advance:
            state = torch.cuda.get_rng_state(device) if device.type == "cuda" else torch.get_rng_state()
            generator.set_state(state)
    return out
