"""Faster equivalents of what an architecture's code computes by hand; which there are, its family knows.

They replace the ``forward`` of single modules of one model, leave weights, names and what is saved alone, and are taken
away again by :meth:`Operators.detach`. That they compute the same is tested on the very model before they are used
(:mod:`hubtools.training.compute.engine`).
"""

from __future__ import annotations

from types import MethodType
from typing import Any

from hubtools.models.families import family_of


class Operators:
    """The replaced operators of one encoder, from :meth:`attach` to :meth:`detach`."""

    def __init__(self, encoder: Any) -> None:
        config = getattr(encoder, "config", None)
        faster = None if config is None else family_of(config).faster
        self.replacements = [] if faster is None else faster(encoder)

    def attach(self) -> None:
        """From here on the faster ones are used."""
        for module, forward in self.replacements:
            module.forward = MethodType(forward, module)

    def detach(self) -> None:
        """The model as it was."""
        for module, _ in self.replacements:
            module.__dict__.pop("forward", None)
