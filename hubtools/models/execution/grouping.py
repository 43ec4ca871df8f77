"""Groups of equal length: how an encoder is read whose answer for a protein depends on the padding beside it.

There is then no padding, and no mask to misread. Slower than packing or padding, and right.
"""

from __future__ import annotations

from typing import Any

import torch
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

        def forward(input_ids: torch.Tensor, attention_mask: torch.Tensor | None = None, **options: Any) -> Any:
            return in_groups(whole, input_ids, attention_mask, **options)

        self.encoder.forward = forward

    def detach(self) -> None:
        """The encoder as it was."""
        self.encoder.__dict__.pop("forward", None)
