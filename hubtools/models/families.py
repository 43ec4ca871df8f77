"""The one table of what differs between checkpoint families.

What can be measured on a checkpoint (spacing, special tokens, alphabet) is measured, by
:class:`hubtools.models.tokenisation.ResidueTokeniser`; the table holds what cannot, and the order in which
renderings are tried. An architecture that is not listed works when ``AutoModel`` loads it and the alignment
proof passes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Family:
    """What bench has to know of a family beforehand.

    Attributes:
        name: as shown in records.
        renderings: how a sequence is written for the tokenizer, most likely first.
        unused_weights: parts of the encoder that no prediction here reads, so that they may be missing.
        position_offset: positions that the position table reserves before the first token.
        absolute_positions: whether ``max_position_embeddings`` is a hard limit.
        lora_targets: linear layers that low-rank updates attach to, by their path within a transformer layer: all of
            them, those of attention and those of the feed-forward part, so that "adapted with LoRA" means the same for
            every architecture. (Where only some are, it is the choice of the layers that decides how close LoRA comes
            to full fine-tuning: Dettmers et al., 2023, section 4.) Absent ones are passed over: T5 has ``wi``, or
            ``wi_0`` and ``wi_1``.
        ia3_targets: those whose output IA3 scales: keys and values. A fused projection is scaled as a whole.
        ia3_inputs: those whose input IA3 scales: the last of the feed-forward part.
    """

    name: str
    renderings: tuple[str, ...] = ("plain", "spaced", "pieces")
    unused_weights: tuple[str, ...] = ("pooler.",)
    position_offset: int = 0
    absolute_positions: bool = True
    lora_targets: tuple[str, ...] = ()
    ia3_targets: tuple[str, ...] = ()
    ia3_inputs: tuple[str, ...] = ()


# ESM and BERT call three layers "dense": the output of attention and both of the feed-forward part. Each is named by
# its path. Outside the layers there are more (pooler, language-model head), which nothing attaches to.
_BERT_LINEAR = (
    "attention.self.query",
    "attention.self.key",
    "attention.self.value",
    "attention.output.dense",
    "intermediate.dense",
    "output.dense",
)
_BERT_SCALED = ("attention.self.key", "attention.self.value")

FAMILIES = {
    # ESM-1b and ESM-2; SaProt has the same model type and a vocabulary of residue-structure pairs.
    "esm": Family(
        "esm",
        renderings=("plain", "saprot"),
        unused_weights=("pooler.", "contact_head.", "embeddings.position_embeddings", "position_ids", "inv_freq"),
        position_offset=2,
        lora_targets=_BERT_LINEAR,
        ia3_targets=_BERT_SCALED,
        ia3_inputs=("output.dense",),
    ),
    "esmc": Family(
        "esmc",
        renderings=("plain",),
        lora_targets=(
            *(f"self_attn.{part}_proj" for part in "qkvo"),
            *(f"mlp.{part}_proj" for part in ("gate", "up", "down")),
        ),
        ia3_targets=("self_attn.k_proj", "self_attn.v_proj"),
        ia3_inputs=("mlp.down_proj",),
    ),
    # ProtBERT
    "bert": Family(
        "bert",
        renderings=("spaced", "plain"),
        lora_targets=_BERT_LINEAR,
        ia3_targets=_BERT_SCALED,
        ia3_inputs=("output.dense",),
    ),
    # ProtT5, ProstT5 (prefix) and Ankh; relative positions, so the window is the recipe's.
    "t5": Family(
        "t5",
        renderings=("prostt5", "spaced", "plain", "pieces"),
        unused_weights=("decoder.", "lm_head."),
        absolute_positions=False,
        lora_targets=(
            *(f"layer.0.SelfAttention.{part}" for part in "qkvo"),
            *(f"layer.1.DenseReluDense.{part}" for part in ("wi", "wi_0", "wi_1", "wo")),
        ),
        ia3_targets=("layer.0.SelfAttention.k", "layer.0.SelfAttention.v"),
        ia3_inputs=("layer.1.DenseReluDense.wo",),
    ),
    # One projection makes queries, keys and values.
    "modernbert": Family(
        "modernbert",
        lora_targets=("attn.Wqkv", "attn.Wo", "mlp.Wi", "mlp.Wo"),
        ia3_targets=("attn.Wqkv",),
        ia3_inputs=("mlp.Wo",),
    ),
}

RENDERINGS = {
    "plain": lambda sequence: sequence,
    "spaced": lambda sequence: " ".join(sequence),
    "pieces": lambda sequence: list(sequence),
    "prostt5": lambda sequence: "<AA2fold> " + " ".join(sequence),
    "saprot": lambda sequence: "".join(residue + "#" for residue in sequence),
}
RENDERING_TITLES = {
    "plain": "as they are",
    "spaced": "separated by spaces",
    "pieces": "one by one",
    "prostt5": "separated by spaces after <AA2fold>",
    "saprot": "each followed by # (no structure)",
}


def family_of(model_type: str) -> Family:
    """The family of a model type; unknown ones get the cautious defaults."""
    return FAMILIES.get(model_type, Family(f"other ({model_type})"))


def max_tokens(config: dict[str, Any]) -> int | None:
    """Longest input in tokens, special tokens included, that the position table allows; None where nothing limits it."""
    family = family_of(config.get("model_type", ""))
    limit = config.get("max_position_embeddings")
    if not family.absolute_positions or not isinstance(limit, int) or limit <= 0:
        return None
    return limit - family.position_offset
