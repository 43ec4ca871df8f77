"""Protein models of ModernBERT's architecture, in which one projection makes queries, keys and values."""

from __future__ import annotations

from hubtools.models.families.family import Family
from hubtools.models.families.published.published_kind import EVERYTHING, INTERFACE, Published

MODERNBERT = Family(
    "modernbert",
    lora_targets=("attn.Wqkv", "attn.Wo", "mlp.Wi", "mlp.Wo"),
    ia3_targets=("attn.Wqkv",),
    ia3_inputs=("mlp.Wo",),
    published=(Published("modernbert", "ModernBERT type", (), "modernbert", works=EVERYTHING, tried=INTERFACE),),
)
