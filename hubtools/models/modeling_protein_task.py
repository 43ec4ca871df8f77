"""A protein encoder with one small head: the same file trains in bench and ships with the published model.

Self-contained on purpose (torch and transformers only): a stranger loads a published model with

    AutoModel.from_pretrained(repo, trust_remote_code=True)

and gets exactly what was measured. (Or, where the adapter alone is published, ``load_encoder`` and peft: see its card.) Per residue: the head on each residue's representation.
Per protein: the mean over residues (never padding, never special tokens) or light attention over them, then the head.
Per pair of proteins: their two means, combined so that neither comes first, then the head.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
import transformers
from torch import nn
from transformers import AutoConfig, AutoModel, PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import (
    BaseModelOutputWithPooling,
    SequenceClassifierOutput,
    TokenClassifierOutput,
)


class ProteinTaskConfig(PretrainedConfig):
    """The encoder's own configuration, and what the head predicts.

    Args:
        encoder: the encoder's configuration as a dictionary with ``model_type``.
        encoder_class: class of transformers that the encoder is, where ``AutoModel`` gives more than the encoder.
        encoder_pooler: False where the encoder's class is told to leave its pooling layer out.
        per_residue: a prediction for each residue rather than for the protein.
        per_pair: a prediction for two proteins together.
        chains: rows that each protein is, a chain in each, where nobody says which rows are of which protein.
        head_hidden: width of a hidden layer between mean and output, or None.
        head_dropout: dropout before each linear layer of the head, in training.
        head_pooling: per protein, ``mean`` over the residues, or light ``attention``.
        head_kind: name of a head that is none of these, in HEADS; None for these.
        head_options: what that head is told besides.
        special_token_ids: tokens that are not residues.
        pool_positions: per protein, the residues (from 0, those below zero from the end) whose mean the head reads; by default all.
        layer: encoder layer whose representation the head reads, 0 being the embedding; by default the last.
        equal_lengths: the encoder reads rows of equal length together and never padding, which it does not leave out.
        num_labels, id2label, problem_type: as everywhere in transformers.
    """

    model_type = "protein-task"

    def __init__(
        self,
        encoder: dict | None = None,
        encoder_class: str | None = None,
        encoder_pooler: bool | None = None,
        per_residue: bool = False,
        per_pair: bool = False,
        chains: int = 1,
        head_hidden: int | None = None,
        head_dropout: float = 0.0,
        head_pooling: str = "mean",
        head_kind: str | None = None,
        head_options: dict | None = None,
        special_token_ids: list[int] | None = None,
        pool_positions: list[int] | None = None,
        layer: int | None = None,
        equal_lengths: bool = False,
        **kwargs,
    ):
        self.encoder = encoder or {}
        self.encoder_class = encoder_class
        self.encoder_pooler = encoder_pooler
        self.per_residue = per_residue
        self.per_pair = per_pair
        self.chains = chains
        self.head_hidden = head_hidden
        self.head_dropout = head_dropout
        self.head_pooling = head_pooling
        self.head_kind = head_kind
        self.head_options = head_options
        self.special_token_ids = special_token_ids or []
        self.pool_positions = pool_positions
        self.layer = layer
        self.equal_lengths = equal_lengths
        super().__init__(**kwargs)


# Class and pooler of models that were saved before their configuration said them.
_BEFORE = {"t5": ("T5EncoderModel", None), "bert": (None, False), "esm": (None, False)}


def build_encoder(config: Any, encoder_class: str | None = None, pooler: bool | None = None) -> nn.Module:
    """The encoder of a configuration with fresh weights; of an encoder-decoder, the encoder alone.

    Args:
        config: of the encoder.
        encoder_class, pooler: as :class:`ProteinTaskConfig` has them.
    """
    before = _BEFORE.get(config.model_type, (None, None))
    name = encoder_class or before[0]
    if name is not None:
        kind = getattr(transformers, name, None)
        # The name comes with the model, from whoever made it: nothing but a model is called.
        if not (isinstance(kind, type) and issubclass(kind, PreTrainedModel)):
            raise ValueError(f"transformers has no encoder {name}")
        return kind(config)
    # A pooler reads the first token and comes untrained with masked language models: it is never used here.
    without = (before[1] if pooler is None else pooler) is False
    return AutoModel.from_config(config, **({"add_pooling_layer": False} if without else {}))


def per_protein(
    sums: torch.Tensor, counts: torch.Tensor, protein: torch.Tensor, n_proteins: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Add up the rows of each protein: (rows, width), (rows,), (rows,) -> (proteins, width), (proteins,)."""
    return (
        sums.new_zeros(n_proteins, sums.shape[1]).index_add(0, protein, sums),
        counts.new_zeros(n_proteins).index_add(0, protein, counts),
    )


def combine(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Two proteins as one vector: (pairs, width), (pairs, width) -> (pairs, 3 × width), bit for bit the same swapped.

    ``|u - v|``, ``u · v`` and ``u + v``. The product says what the two have in common and the distance what sets them
    apart; D-SCRIPT (Sledzieski et al., Cell Systems 2021) reads pairs by these two. The sum is there for the product:
    the entries of a language model's mean are far from zero, and ``(u - m)(v - m) = u v - m (u + v) + m²``, so with
    the sum beside it a linear layer sees the product about whatever centre it needs.
    """
    return torch.cat([(first - second).abs(), first * second, first + second], dim=-1)


def unpadded(encode: Any, input_ids: torch.Tensor, **options: Any) -> Any:
    """What an encoder gives for rows without padding: without a mask, which it might misread, where it needs none."""
    try:
        return encode(input_ids=input_ids, **options)
    except (TypeError, AttributeError):
        return encode(input_ids=input_ids, attention_mask=torch.ones_like(input_ids), **options)


def in_groups(
    encode: Any, input_ids: torch.Tensor, attention_mask: torch.Tensor | None = None, **options: Any
) -> BaseModelOutputWithPooling:
    """What an encoder gives for a padded batch, read in groups of equal length without padding and without a mask.

    Args:
        encode: the encoder, or its ``forward``.
        input_ids, attention_mask: (rows, tokens); padding comes last.
        options: that the encoder takes besides.
    """
    width = input_ids.shape[1]
    if attention_mask is None:
        attention_mask = torch.ones_like(input_ids)
    lengths = attention_mask.sum(1)
    places, found = [], []
    for length in lengths.unique().tolist():
        place = (lengths == length).nonzero().flatten()
        places.append(place)
        found.append(unpadded(encode, input_ids[place, :length], **options))
    back = torch.cat(places).argsort()

    def whole(parts: list[torch.Tensor]) -> torch.Tensor:
        """(group, length, size) of each group -> (rows, tokens, size), zero where there is padding."""
        fill = (nn.functional.pad(part, (0, 0, 0, width - part.shape[1])) for part in parts)
        return torch.cat(list(fill))[back]

    states = [getattr(out, "hidden_states", None) for out in found]
    pooled: list[Any] = [getattr(out, "pooler_output", None) for out in found]
    read = BaseModelOutputWithPooling(
        last_hidden_state=whole([out.last_hidden_state for out in found]),
        pooler_output=None if pooled[0] is None else torch.cat(pooled)[back],
        hidden_states=None if states[0] is None else tuple(whole(list(each)) for each in zip(*states, strict=True)),
    )
    logits: list[Any] = [getattr(out, "logits", None) for out in found]
    if logits[0] is not None:
        # Of a language model that is asked as a whole.
        read["logits"] = whole(logits)
    return read


def layers(encoder: Any, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Representation after each layer of an encoder: the embedding first, last what the encoder gives out."""
    out = encoder(input_ids=input_ids, attention_mask=attention_mask, output_hidden_states=True)
    return (*out.hidden_states[:-1], out.last_hidden_state)


class LightAttention(nn.Module):
    """A protein from its residues, a convolution saying how much each counts (Stärk et al., Bioinformatics Advances 2021).

    Two convolutions over the residues make values and attention; the attention's softmax over the protein's residues
    weighs the values, channel by channel. Their weighted sum and their maximum are the protein: 2 × width.

    Proteins of any length are one after the other in one row, kept apart by what lies beyond their ends, so that no
    padding is computed and each gets what it gets alone.

    Args:
        width: of a residue's representation.
        dropout: of the values, in training.
    """

    KERNEL = 9

    ends: torch.Tensor

    def __init__(self, width: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.value = nn.Conv1d(width, width, self.KERNEL)
        self.attention = nn.Conv1d(width, width, self.KERNEL)
        self.dropout = nn.Dropout(dropout)
        # The representation beyond both ends: zero, or what means zero after a standardisation was folded in.
        self.register_buffer("ends", torch.zeros(width))

    def forward(self, residues: torch.Tensor, owners: torch.Tensor, n_proteins: int) -> torch.Tensor:
        """Pool each protein's residues.

        Args:
            residues: (residues, width), those of a protein in order.
            owners: (residues,) the protein of each, ascending.
            n_proteins: each has at least one residue.

        Returns:
            (proteins, 2 × width).
        """
        side = self.KERNEL // 2
        place = torch.arange(len(residues), device=residues.device) + side * (2 * owners + 1)
        row = self.ends.to(residues.dtype).repeat(len(residues) + 2 * side * n_proteins, 1)
        row = row.index_copy(0, place, residues).T.unsqueeze(0)
        # Beyond the ends there are no outputs: of the row's convolution only those centred on residues are read.
        values, attention = (layer(row)[0].T[place - side].float() for layer in (self.value, self.attention))
        values = self.dropout(values)
        with torch.autocast(residues.device.type, enabled=False):
            index = owners.unsqueeze(-1).expand_as(values)
            low = values.new_full((n_proteins, values.shape[1]), -torch.inf)
            weights = (attention - low.scatter_reduce(0, index, attention.detach(), "amax")[owners]).exp()
            total = torch.zeros_like(low).index_add(0, owners, weights)
            summed = torch.zeros_like(low).index_add(0, owners, weights * values) / total
            return torch.cat([summed, low.scatter_reduce(0, index, values, "amax")], dim=-1)

    @torch.no_grad()
    def absorb(self, mean: torch.Tensor, std: torch.Tensor) -> None:
        """Read plain representations from now on as standardised ones until now."""
        for convolution in (self.value, self.attention):
            convolution.weight.div_(std[:, None])
            assert convolution.bias is not None
            convolution.bias.sub_(convolution.weight.sum(-1) @ mean)
        # Beyond the ends was zero, the mean.
        self.ends.copy_(mean)


class PooledHead(nn.Sequential):
    """A head whose first layer makes one vector of a protein's residues."""

    reads_residues = True

    def forward(  # type: ignore[override]
        self, residues: torch.Tensor, owners: torch.Tensor, n_proteins: int
    ) -> torch.Tensor:
        """Logits (proteins, labels); arguments as of :class:`LightAttention`."""
        pool, *rest = self
        x = pool(residues, owners, n_proteins)
        for layer in rest:
            x = layer(x)
        return x

    def each_residue(self) -> list[nn.Module]:
        """Modules that read every residue."""
        return list(self[0].modules())


# Heads of files of their own, by name: (width, outputs, hidden, dropout, **options) -> module. A model that has one ships
# with that file at the end of this one.
HEADS: dict[str, Any] = {}


class OwnHead(nn.Module):
    """A head of HEADS. What it reads is standardised here where it was trained so: in a probe.

    Args:
        head: the module.
        width: of what it reads.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, head: nn.Module, width: int) -> None:
        super().__init__()
        self.module = head
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("std", torch.ones(width))

    @property
    def reads_residues(self) -> bool:
        """Whether it is called with all residues of some proteins, their proteins, and how many those are."""
        return bool(getattr(self.module, "reads_residues", False))

    def forward(self, x: torch.Tensor, *proteins: Any) -> torch.Tensor:
        """Logits, from (…, width), or as :meth:`PooledHead.forward`."""
        return self.module((x - self.mean) / self.std, *proteins)

    def each_residue(self) -> list[nn.Module]:
        """Modules that read every residue: all, unless it says which."""
        said = getattr(self.module, "each_residue", None)
        return list(self.module.modules()) if said is None else said()

    @torch.no_grad()
    def absorb(self, mean: torch.Tensor, std: torch.Tensor) -> None:
        """As :meth:`LightAttention.absorb`."""
        self.mean.copy_(mean)
        self.std.copy_(std)


def make_head(config: ProteinTaskConfig, width: int) -> nn.Module:
    """What is between representation and outputs.

    Args:
        config: says which.
        width: of the encoder's representation.
    """
    layers: list[nn.Module] = []
    outputs = int(config.num_labels or 1)
    if config.per_pair:
        width *= 3
    if config.head_kind is not None:
        made = HEADS[config.head_kind](
            width, outputs, config.head_hidden, config.head_dropout, **(config.head_options or {})
        )
        return OwnHead(made, width)
    if config.head_pooling == "attention":
        layers.append(LightAttention(width, config.head_dropout))
        width *= 2
    if config.head_hidden:
        layers += [nn.Dropout(config.head_dropout), nn.Linear(width, config.head_hidden), nn.GELU()]
        width = config.head_hidden
    kind = PooledHead if config.head_pooling == "attention" else nn.Sequential
    return kind(*layers, nn.Dropout(config.head_dropout), nn.Linear(width, outputs))


class ProteinTaskModel(PreTrainedModel):
    """Encoder and head."""

    config_class = ProteinTaskConfig
    base_model_prefix = "encoder"
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _supports_flash_attn = True
    _no_split_modules: list[str] = []

    def __init__(self, config: ProteinTaskConfig, encoder: Any = None):
        super().__init__(config)
        if encoder is None:
            settings = dict(config.encoder)
            inside = AutoConfig.for_model(settings.pop("model_type"), **settings)
            encoder = build_encoder(inside, config.encoder_class, config.encoder_pooler)
        self.encoder = encoder
        self.head = make_head(config, encoder.config.hidden_size)
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        # Only the head is ours to initialise; the encoder initialises, or loads, itself.
        if isinstance(module, nn.Linear) and any(module is layer for layer in self.head.children()):
            module.weight.data.normal_(mean=0.0, std=0.02)
            module.bias.data.zero_()

    def load_encoder(self, name: str, revision: str | None = None) -> ProteinTaskModel:
        """Take the encoder's weights from the base checkpoint: what an adapter is then put on.

        Args:
            name: of the checkpoint: a Hub id, or a folder.
            revision: commit of it.
        """
        kind: Any = type(self.encoder)
        base = kind.from_pretrained(name, revision=revision, dtype=torch.float32)
        missing = self.encoder.load_state_dict(base.state_dict(), strict=False).missing_keys
        if missing:
            raise ValueError(f"{name} lacks weights of this encoder, such as {missing[0]}")
        return self

    def residue_representations(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """Hidden states of the layer that the head reads: (rows, tokens) -> (rows, tokens, width)."""
        encode: Any = partial(in_groups, self.encoder) if self.config.equal_lengths else self.encoder
        if self.config.layer is None:
            return encode(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        return layers(encode, input_ids, attention_mask)[self.config.layer]

    @property
    def reads_residues(self) -> bool:
        """Whether the head reads all residues of a protein rather than their mean."""
        return bool(getattr(self.head, "reads_residues", False))

    def residue_mask(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """True where a token is a residue that the mean runs over: (rows, tokens)."""
        special = torch.tensor(self.config.special_token_ids, device=input_ids.device, dtype=input_ids.dtype)
        mask = attention_mask.bool() & ~torch.isin(input_ids, special)
        if self.config.pool_positions is None:
            return mask
        pooled = torch.tensor(self.config.pool_positions, device=input_ids.device)
        place = mask.cumsum(1) - 1
        mask &= torch.isin(place, pooled) | torch.isin(place - mask.sum(1, keepdim=True), pooled)
        if (mask.sum(1) < len(pooled)).any():
            raise ValueError("a sequence is shorter than those whose mutations the model was trained on")
        return mask

    def row_sums(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, residue_mask: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """What each row adds to its protein's mean: sums over residues (rows, width) and their numbers (rows,)."""
        hidden = self.residue_representations(input_ids, attention_mask).float()
        mask = residue_mask.to(hidden.dtype)
        # A sum over a thousand residues is no place for bfloat16, also where the encoder runs in it.
        with torch.autocast(hidden.device.type, enabled=False):
            return torch.einsum("rtw,rt->rw", hidden, mask), mask.sum(1)

    def row_residues(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, residue_mask: torch.Tensor
    ) -> torch.Tensor:
        """The residues that count, row by row: (residues, width)."""
        return self.residue_representations(input_ids, attention_mask)[residue_mask]

    def from_residues(self, residues: torch.Tensor, owners: torch.Tensor, n_proteins: int) -> torch.Tensor:
        """Logits from all residues of each protein, in order: (residues, width), (residues,) -> (proteins, labels)."""
        order = torch.argsort(owners, stable=True)
        with torch.autocast(residues.device.type, enabled=False):
            return self.head(self._whole(residues)[order], owners[order], n_proteins)

    def from_sums(self, sums: torch.Tensor, counts: torch.Tensor, pairs: torch.Tensor | None = None) -> torch.Tensor:
        """Logits from summed rows: (proteins, width), (proteins,) -> (proteins, labels), or (pairs, labels)."""
        means = sums / counts.clamp_min(1).unsqueeze(-1)
        if not self.config.per_pair:
            return self.head_logits(means)
        if pairs is None:
            pairs = torch.arange(len(means), device=means.device).reshape(-1, 2)
        return self.from_means(means, pairs)

    def from_means(self, means: torch.Tensor, pairs: torch.Tensor) -> torch.Tensor:
        """Logits of pairs of proteins: (proteins, width), (pairs, 2) indices of proteins -> (pairs, labels)."""
        return self.head_logits(combine(means[pairs[:, 0]], means[pairs[:, 1]]))

    def head_logits(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (…, labels) from what the head reads (…, width), never in less than the precision of its weights.

        What a head reads, and the values that it predicts, vary a little around means that are large: bfloat16 has
        three digits, and the mean takes them all. (A value of 200 would be told from 201, and not from 200.4.)
        """
        with torch.autocast(x.device.type, enabled=False):
            return self.head(self._whole(x))

    def _whole(self, x: torch.Tensor) -> torch.Tensor:
        """In the precision of the head's weights."""
        return x.to(next(self.head.parameters()).dtype)

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        residue_mask: torch.Tensor | None = None,
        protein: torch.Tensor | None = None,
        n_proteins: int | None = None,
        pairs: torch.Tensor | None = None,
        **kwargs,
    ) -> SequenceClassifierOutput | TokenClassifierOutput:
        """Logits.

        Args:
            input_ids: (rows, tokens).
            attention_mask: (rows, tokens), 1 for tokens that are not padding; by default all.
            residue_mask: (rows, tokens), True for the residues that count; by default all that are not special.
            protein: (rows,) index of the protein that each row is a window of; by default each row is a protein, or a chain
                of one, whose chains follow each other.
            n_proteins: number of proteins.
            pairs: (pairs, 2) indices of the two proteins of each pair; by default the first and second protein are a
                pair, the third and fourth, and so on.

        Returns:
            ``logits`` of shape (rows, tokens, labels) per residue, (proteins, labels) per protein, or (pairs, labels).
        """
        if attention_mask is None:
            attention_mask = torch.ones_like(input_ids)
        if self.config.per_residue:
            hidden = self.residue_representations(input_ids, attention_mask)
            return TokenClassifierOutput(logits=self.head_logits(hidden))
        if residue_mask is None:
            residue_mask = self.residue_mask(input_ids, attention_mask)
        chains = self.config.chains
        if protein is None and chains > 1:
            if len(input_ids) % chains:
                raise ValueError(f"each protein is {chains} chains: give a row of tokens for each, one after another")
            protein = torch.arange(len(input_ids), device=input_ids.device) // chains
        if self.reads_residues:
            if protein is None:
                protein = torch.arange(len(input_ids), device=input_ids.device)
            residues = self.row_residues(input_ids, attention_mask, residue_mask)
            owners = protein.repeat_interleave(residue_mask.sum(1))
            logits = self.from_residues(residues, owners, int(n_proteins or protein.max() + 1))
            return SequenceClassifierOutput(logits=logits)
        sums, counts = self.row_sums(input_ids, attention_mask, residue_mask)
        if protein is not None:
            sums, counts = per_protein(sums, counts, protein, int(n_proteins or protein.max() + 1))
        return SequenceClassifierOutput(logits=self.from_sums(sums, counts, pairs))
