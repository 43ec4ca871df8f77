"""Kinds of checkpoints that people use and bench does not read yet."""

from __future__ import annotations

from hubtools.models.families.published.published_kind import Published

_CODE = "its architecture is code in its own repository"

# A kind leaves this list when it has a family: its row then stands in the family's own file.
WITHOUT_FAMILY = (
    Published("nv_esm", "ESM-2 for TransformerEngine", ("nvidia/esm2_*",), "nv_esm", refused=_CODE, licence="MIT"),
)
