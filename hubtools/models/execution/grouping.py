"""Groups of equal length: how an encoder is read whose answer for a protein depends on the padding beside it.

There is then no padding, and no mask to misread. Slower than packing or padding, and right.
"""

from __future__ import annotations

import inspect
from typing import Any

from torch import nn

from hubtools.models.modeling_protein_task import in_groups


class Grouping:
    """An encoder that reads the rows of a padded batch in groups of equal length, from :meth:`attach` to :meth:`detach`.

    Args:
        encoder: of any architecture.
    """

    def __init__(self, encoder: nn.Module) -> None:
        self.encoder: Any = encoder

    def attach(self) -> None:
        """From here on the encoder reads in groups."""
        whole = self.encoder.forward

        names = list(inspect.signature(whole).parameters)

        def forward(*args: Any, **kwargs: Any) -> Any:
            # A language model may give its encoder what it has in the order in which that takes it.
            given = {**dict(zip(names, args, strict=False)), **kwargs}
            return in_groups(whole, given.pop("input_ids"), given.pop("attention_mask", None), **given)

        self.encoder.forward = forward

    def detach(self) -> None:
        """The encoder as it was."""
        self.encoder.__dict__.pop("forward", None)
