"""The models of the checkpoint whose turn it is: loaded once, lent to frozen recipes as they are, and copied for what trains them."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Hashable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from hubtools.models.modeling_protein_task import ProteinTaskModel
from hubtools.runs.warm.as_loaded import AsLoaded
from hubtools.training.compute.engine import Engine
from hubtools.training.compute.memory import release

# Bytes of models that are kept beside another, the pretrained one beside one with random weights, say. A larger one is alone, is
# given to the run that changes it, and loaded again.
SMALL = 512 * 2**20


@dataclass(frozen=True)
class ModelKey:
    """Which model: what determines its weights.

    Attributes:
        checkpoint: content and whether its code may run.
        weights: ``pretrained``, or ``random`` with the seed.
        kind: ``encoder``, or ``language model``.
    """

    checkpoint: Hashable
    weights: str
    kind: str = "encoder"


@dataclass
class _Attached:
    """An engine that stays attached from run to run."""

    key: Hashable
    encoder: Any
    made: Engine
    stack: contextlib.ExitStack


class KeptModels:
    """Models of one checkpoint; those of the one before are let go of when the next one's turn comes.

    Attributes:
        loads: how often a model was read from its checkpoint, or made with random weights.
    """

    def __init__(self) -> None:
        self._kept: dict[ModelKey, AsLoaded] = {}
        self._attached: _Attached | None = None
        self.loads = 0

    def frozen(self, key: ModelKey, load: Callable[[], nn.Module], device: torch.device) -> Any:
        """A model that is used as it is, on the device: the same one for every run that asks for it.

        Raises:
            UserError: it cannot be loaded.
        """
        self._turn(key)
        kept = self._clean(key)
        if kept is None:
            kept = self._keep(key, self._loaded(load), device)
        elif kept.device.type != device.type:
            # It was kept for copies, which begin on the CPU.
            kept = self._keep(key, kept.model, device)
        return kept.model

    def own(self, key: ModelKey, load: Callable[[], nn.Module], *, again: bool) -> Any:
        """A model that the run may change, on the CPU: a copy of the one that is kept, or, if that is large, that one.

        Args:
            key, load: of the model.
            again: whether other runs need it, too.

        Raises:
            UserError: it cannot be loaded.
        """
        self._turn(key)
        self.detach()
        kept = self._clean(key)
        if kept is None:
            model = self._loaded(load)
            if not again or _bytes(model) > SMALL:
                self._kept.clear()
                return model
            kept = self._keep(key, model, torch.device("cpu"))
        if kept.bytes > SMALL:
            self._kept.clear()
            return kept.model.to("cpu")
        return copy.deepcopy(kept.model).to("cpu")

    @contextlib.contextmanager
    def engine(
        self, model: Any, key: Hashable, attach: Callable[[], AbstractContextManager[Engine]]
    ) -> Iterator[Engine]:
        """The engine of a model whose encoder is kept: attached, and proven, by the first run that asks with this key.

        Args:
            model: whose encoder it is.
            key: of everything that the engine depends on.
            attach: makes it.

        Raises:
            UserError: as :func:`hubtools.training.compute.engine.engine`.
        """
        there = self._attached
        if there is None or there.key != key or there.encoder is not model.encoder:
            self.detach()
            stack = contextlib.ExitStack()
            made = stack.enter_context(attach())
            there = self._attached = _Attached(key, model.encoder, made, stack)
        elif there.made.layout == "grouped" and isinstance(model, ProteinTaskModel):
            # As the engine says in the configuration of the model that it is made for.
            model.config.equal_lengths = True
        try:
            yield replace(there.made, reasons=list(there.made.reasons))
        except BaseException:
            # Nobody knows in which state it is.
            self.detach()
            raise

    def lends(self, encoder: Any) -> bool:
        """Whether an encoder is one of those that are kept."""
        return any(kept.model is encoder for kept in self._kept.values())

    def detach(self) -> None:
        """Take the engine away that is attached, and give its encoder back as it was."""
        if self._attached is None:
            return
        there, self._attached = self._attached, None
        try:
            there.stack.close()
        finally:
            for key in [key for key, kept in self._kept.items() if kept.model is there.encoder]:
                self._clean(key)

    def release(self) -> None:
        """Keep nothing any longer."""
        self.detach()
        self._kept.clear()

    def _turn(self, key: ModelKey) -> None:
        """Let go of another checkpoint's models."""
        if any(other.checkpoint != key.checkpoint for other in self._kept):
            self.release()

    def _clean(self, key: ModelKey) -> AsLoaded | None:
        """What is kept, as it was loaded; nothing where somebody has changed its weights."""
        kept = self._kept.get(key)
        if kept is None or (self._attached is not None and self._attached.encoder is kept.model):
            return kept
        if not kept.restore():
            del self._kept[key]
            return None
        return kept

    def _loaded(self, load: Callable[[], nn.Module]) -> Any:
        # What would not be kept beside the new one goes first: else both are in memory for as long as it takes.
        if sum(kept.bytes for kept in self._kept.values()) > SMALL:
            self.release()
            release(torch.device("cpu"))
        self.loads += 1
        return load()

    def _keep(self, key: ModelKey, model: Any, device: torch.device) -> AsLoaded:
        kept = AsLoaded(model.to(device))
        self._kept[key] = kept
        large = sum(other.bytes for other in self._kept.values()) > SMALL
        # Those with random weights come and go, one a seed.
        stays = [] if large else [other for other in self._kept if other != key and other.weights == "pretrained"][:1]
        for old in [other for other in self._kept if other not in {key, *stays}]:
            if self._attached is not None and self._attached.encoder is self._kept[old].model:
                self.detach()
            self._kept.pop(old, None)
        return kept


def _bytes(model: nn.Module) -> int:
    return sum(weight.nbytes for weight in (*model.parameters(), *model.buffers()))
