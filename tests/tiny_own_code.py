"""Tiny random checkpoints whose architecture is code beside them, each with the interface of a family that people use.

The code is written here: what ``forward`` is called with and gives back is a family's, what it computes is one small transformer.
"""

from __future__ import annotations

import importlib.util
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

FILE = "modeling_like"
CODE = '''"""One small transformer, asked in many ways."""

import torch
from torch import nn
from transformers import PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput, CausalLMOutput, MaskedLMOutput


class Layer(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.q, self.k, self.v, self.wo = (nn.Linear(width, width) for _ in range(4))
        self.up, self.down = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def forward(self, x, added):
        scores = self.q(x) @ self.k(x).transpose(1, 2) / x.shape[-1] ** 0.5 + added
        x = x + self.wo(scores.softmax(-1) @ self.v(x))
        return x + self.down(torch.tanh(self.up(x)))


class Layers(nn.Module):
    """States after the embedding and after each layer; added: (rows or 1, queries or 1, keys)."""

    def __init__(self, vocabulary, width, depth, positions=64):
        super().__init__()
        self.embed, self.place = nn.Embedding(vocabulary, width), nn.Embedding(positions, width)
        self.layers = nn.ModuleList([Layer(width) for _ in range(depth)])

    def forward(self, ids, added, places=None):
        places = torch.arange(ids.shape[1], device=ids.device).expand_as(ids) if places is None else places
        states = [self.embed(ids) + self.place(places.clamp(min=0))]
        for layer in self.layers:
            states.append(layer(states[-1], added))
        return states


def hidden(ids, mask):
    """0 for tokens, a very small number for padding."""
    mask = torch.ones_like(ids) if mask is None else mask
    return torch.zeros(mask.shape).masked_fill(mask == 0, -1e9)[:, None]


def causal(ids):
    tokens = ids.shape[1]
    return torch.full((1, tokens, tokens), -1e9).triu(1)


class LikeModel(PreTrainedModel):
    base_model_prefix = ""

    def _init_weights(self, module):
        if isinstance(module, (nn.Linear, nn.Embedding)):
            nn.init.normal_(module.weight, std=0.3)


class AmplifyConfig(PretrainedConfig):
    model_type = "AMPLIFY"

    def __init__(self, hidden_size=16, num_hidden_layers=2, vocab_size=27, max_length=64, **kwargs):
        super().__init__(**kwargs)
        self.hidden_size, self.num_hidden_layers, self.vocab_size = hidden_size, num_hidden_layers, vocab_size
        self.max_length = max_length


class Amplify(LikeModel):
    config_class = AmplifyConfig

    def __init__(self, config):
        super().__init__(config)
        self.body = Layers(config.vocab_size, config.hidden_size, config.num_hidden_layers)
        self.decoder = nn.Linear(config.hidden_size, config.vocab_size)
        self.post_init()

    def forward(self, src, pad_mask=None, output_hidden_states=False, output_attentions=False):
        assert pad_mask is None or pad_mask.is_floating_point()
        states = self.body(src, 0 if pad_mask is None else pad_mask[:, None])
        shown = states[1:] if output_hidden_states else []
        return MaskedLMOutput(logits=self.decoder(states[-1]), hidden_states=shown)


class Glm2Config(PretrainedConfig):
    model_type = "gLM2"

    def __init__(self, dim=16, depth=2, vocab_size=33, **kwargs):
        super().__init__(**kwargs)
        self.dim, self.depth, self.vocab_size = dim, depth, vocab_size


class Glm2(LikeModel):
    config_class, base_model_prefix = Glm2Config, "glm2"

    def __init__(self, config):
        super().__init__(config)
        self.encoder = Layers(config.vocab_size, config.dim, config.depth)
        self.post_init()

    def forward(self, input_ids, attention_mask=None, output_hidden_states=None, return_dict=None):
        states = self.encoder(input_ids, hidden(input_ids, attention_mask))
        return BaseModelOutput(last_hidden_state=states[-1], hidden_states=states if output_hidden_states else None)


class Glm2ForMaskedLM(LikeModel):
    config_class, base_model_prefix = Glm2Config, "glm2"

    def __init__(self, config):
        super().__init__(config)
        self.glm2, self.lm_head = Glm2(config), nn.Linear(config.dim, config.vocab_size)
        self.post_init()

    def forward(self, input_ids, attention_mask=None, output_hidden_states=None, return_dict=None):
        out = self.glm2(input_ids, attention_mask, output_hidden_states)
        return MaskedLMOutput(logits=self.lm_head(out.last_hidden_state), hidden_states=out.hidden_states)


class E1Config(PretrainedConfig):
    model_type = "E1"

    def __init__(self, hidden_size=16, num_hidden_layers=2, vocab_size=34, **kwargs):
        super().__init__(**kwargs)
        self.hidden_size, self.num_hidden_layers, self.vocab_size = hidden_size, num_hidden_layers, vocab_size


class E1(LikeModel):
    config_class = E1Config

    def __init__(self, config):
        super().__init__(config)
        self.body = Layers(config.vocab_size, config.hidden_size, config.num_hidden_layers)
        self.post_init()

    def forward(
        self, input_ids, within_seq_position_ids, global_position_ids, sequence_ids, past_key_values=None,
        use_cache=False, output_attentions=False, output_hidden_states=False,
    ):
        same = sequence_ids[:, :, None] == sequence_ids[:, None]
        added = torch.zeros(same.shape).masked_fill(~same, -1e9)
        states = self.body(input_ids, added, within_seq_position_ids + global_position_ids // 8)
        return BaseModelOutput(last_hidden_state=states[-1], hidden_states=states if output_hidden_states else None)


class ProteinGLMConfig(PretrainedConfig):
    model_type = "ProteinGLM"

    def __init__(self, hidden_size=16, num_layers=2, padded_vocab_size=128, **kwargs):
        super().__init__(**kwargs)
        self.hidden_size, self.num_layers, self.padded_vocab_size = hidden_size, num_layers, padded_vocab_size


class ProteinGLM(LikeModel):
    config_class, base_model_prefix = ProteinGLMConfig, "transformer"

    def __init__(self, config):
        super().__init__(config)
        self.body = Layers(config.padded_vocab_size, config.hidden_size, config.num_layers)
        self.post_init()

    def forward(
        self, input_ids, position_ids=None, attention_mask=None, output_hidden_states=None, return_dict=None
    ):
        states = self.body(input_ids, hidden(input_ids, attention_mask), position_ids)
        states = tuple(state.transpose(0, 1).contiguous() for state in states)
        return BaseModelOutput(last_hidden_state=states[-1], hidden_states=states if output_hidden_states else None)


class ProteinGLMForMaskedLM(LikeModel):
    config_class, base_model_prefix = ProteinGLMConfig, "transformer"

    def __init__(self, config):
        super().__init__(config)
        self.transformer, self.head = ProteinGLM(config), nn.Linear(config.hidden_size, config.padded_vocab_size)
        self.post_init()

    def forward(
        self, input_ids, position_ids=None, attention_mask=None, output_hidden_states=None, return_dict=None
    ):
        out = self.transformer(input_ids, position_ids, attention_mask, output_hidden_states)
        logits = self.head(out.last_hidden_state).transpose(0, 1)
        return MaskedLMOutput(logits=logits, hidden_states=out.hidden_states)


class PlainConfig(PretrainedConfig):
    model_type = "ESMplusplus"

    def __init__(self, hidden_size=16, num_hidden_layers=2, vocab_size=64, **kwargs):
        super().__init__(**kwargs)
        self.hidden_size, self.num_hidden_layers, self.vocab_size = hidden_size, num_hidden_layers, vocab_size


class Plain(LikeModel):
    config_class = PlainConfig

    def __init__(self, config):
        super().__init__(config)
        self.body = Layers(config.vocab_size, config.hidden_size, config.num_hidden_layers)
        self.post_init()

    def forward(self, input_ids=None, attention_mask=None, output_hidden_states=None, **kwargs):
        states = self.body(input_ids, hidden(input_ids, attention_mask))
        return BaseModelOutput(last_hidden_state=states[-1], hidden_states=states if output_hidden_states else None)


class ProSSTConfig(PlainConfig):
    model_type = "ProSST"

    def __init__(self, ss_vocab_size=8, **kwargs):
        super().__init__(**kwargs)
        self.ss_vocab_size = ss_vocab_size


class ProSST(LikeModel):
    config_class = ProSSTConfig

    def __init__(self, config):
        super().__init__(config)
        self.body = Layers(config.vocab_size, config.hidden_size, config.num_hidden_layers)
        self.structure = nn.Embedding(max(config.ss_vocab_size, 1), config.hidden_size)
        self.post_init()

    def forward(self, input_ids=None, ss_input_ids=None, attention_mask=None, output_hidden_states=None):
        states = self.body(input_ids, hidden(input_ids, attention_mask))
        if self.config.ss_vocab_size > 0:
            states[-1] = states[-1] + self.structure(ss_input_ids)
        return BaseModelOutput(last_hidden_state=states[-1], hidden_states=states if output_hidden_states else None)


class ProGenConfig(PretrainedConfig):
    model_type = "progen"
    attribute_map = {"hidden_size": "embed_dim", "num_hidden_layers": "n_layer"}

    def __init__(self, embed_dim=16, n_layer=2, vocab_size=32, **kwargs):
        super().__init__(**kwargs)
        self.embed_dim, self.n_layer, self.vocab_size = embed_dim, n_layer, vocab_size


class RitaConfig(PretrainedConfig):
    model_type = "rita"

    def __init__(self, d_model=16, num_layers=2, vocab_size=26, **kwargs):
        super().__init__(**kwargs)
        self.d_model, self.num_layers, self.vocab_size = d_model, num_layers, vocab_size


class ProGen(LikeModel):
    config_class, base_model_prefix = ProGenConfig, "transformer"

    def __init__(self, config):
        super().__init__(config)
        width = config.embed_dim if config.model_type == "progen" else config.d_model
        self.body = Layers(config.vocab_size, width, config.n_layer if config.model_type == "progen" else config.num_layers)
        self.post_init()

    def forward(self, input_ids=None, past_key_values=None, attention_mask=None, output_hidden_states=None, return_dict=None):
        states = self.body(input_ids, causal(input_ids))
        return BaseModelOutput(last_hidden_state=states[-1], hidden_states=states if output_hidden_states else None)


class ProGenForCausalLM(LikeModel):
    config_class, base_model_prefix = ProGenConfig, "transformer"

    def __init__(self, config):
        super().__init__(config)
        self.transformer = self.body_class(config)
        self.lm_head = nn.Linear(self.transformer.body.embed.embedding_dim, config.vocab_size)
        self.post_init()

    body_class = ProGen

    def forward(self, input_ids=None, past_key_values=None, attention_mask=None, output_hidden_states=None, return_dict=None):
        out = self.transformer(input_ids, output_hidden_states=output_hidden_states)
        return CausalLMOutput(logits=self.lm_head(out.last_hidden_state), hidden_states=out.hidden_states)


class Rita(ProGen):
    config_class = RitaConfig


class RitaForCausalLM(ProGenForCausalLM):
    config_class, body_class = RitaConfig, Rita


class OddConfig(PretrainedConfig):
    model_type = "odd"

    def __init__(self, hidden_size=16, num_hidden_layers=2, vocab_size=64, **kwargs):
        super().__init__(**kwargs)
        self.hidden_size, self.num_hidden_layers, self.vocab_size = hidden_size, num_hidden_layers, vocab_size


class OddWideConfig(PretrainedConfig):
    model_type = "odd"

    def __init__(self, breadth=16, vocab_size=64, **kwargs):
        super().__init__(**kwargs)
        self.breadth, self.vocab_size = breadth, vocab_size


class Odd(Plain):
    """The tokens have another name, as in nothing that bench knows."""

    config_class = OddConfig

    def forward(self, src, pad_mask=None):
        return super().forward(src, pad_mask)


class OddBesides(Plain):
    config_class = OddConfig

    def forward(self, input_ids, chain_ids, attention_mask=None):
        return super().forward(input_ids, attention_mask)


class OddLogits(Plain):
    config_class = OddConfig

    def forward(self, input_ids, attention_mask=None):
        return MaskedLMOutput(logits=super().forward(input_ids, attention_mask).last_hidden_state)


class OddShape(Plain):
    config_class = OddConfig

    def forward(self, input_ids, attention_mask=None):
        return BaseModelOutput(last_hidden_state=super().forward(input_ids, attention_mask).last_hidden_state.mean(1))


class OddFails(Plain):
    config_class = OddConfig

    def forward(self, input_ids, attention_mask=None):
        return input_ids.nothing


class OddBlind(Plain):
    """Takes no mask, and gives a tuple."""

    config_class = OddConfig

    def forward(self, input_ids):
        return (super().forward(input_ids).last_hidden_state,)


class OddWide(Plain):
    """Calls its width and its depth as nobody else."""

    config_class = OddWideConfig

    def __init__(self, config):
        PreTrainedModel.__init__(self, config)
        self.body = Layers(config.vocab_size, config.breadth, 2)
        self.post_init()
'''

LETTERS = "LAGVSERTIDPKQNFYMHWC"


@dataclass(frozen=True)
class Like:
    """A checkpoint: its classes by the name in ``auto_map``, its vocabulary, what its tokenizer adds by itself."""

    classes: dict[str, str]
    vocabulary: list[str] | None
    special: tuple[str, ...] = ()
    template: str | None = None
    settings: dict[str, Any] = field(default_factory=dict)


_AMPLIFY = ["<pad>", "<unk>", "<mask>", "<bos>", "<eos>", "|", *LETTERS, "X"]
_GLM2 = ["<cls>", "<pad>", "<eos>", "<unk>", *LETTERS, *"atcg", "<+>", "<->", "<mask>"]
_E1 = ["<pad>", "<bos>", "<eos>", "1", "2", "?", *LETTERS, "X"]
_PROGEN = ["<|pad|>", "<|bos|>", "<|eos|>", "1", "2", *LETTERS, "X"]
_PLAIN = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *LETTERS, "X"]
_AROUND = "[CLS] $A [SEP]"

LIKE = {
    "amplify": Like(
        {"Config": "AmplifyConfig", "Model": "Amplify", "ModelForMaskedLM": "Amplify"},
        _AMPLIFY,
        ("<pad>", "<unk>", "<mask>", "<bos>", "<eos>"),
        "<bos> $A <eos>",
    ),
    "glm2": Like(
        {"Config": "Glm2Config", "Model": "Glm2", "ModelForMaskedLM": "Glm2ForMaskedLM"},
        _GLM2,
        ("<cls>", "<pad>", "<eos>", "<unk>", "<+>", "<->", "<mask>"),
    ),
    "e1": Like({"Config": "E1Config", "Model": "E1"}, _E1, ("<pad>", "<bos>", "<eos>")),
    "e1-adds": Like({"Config": "E1Config", "Model": "E1"}, _E1, ("<pad>", "<bos>", "<eos>"), "<bos> $A <eos>"),
    "proteinglm": Like(
        {"Config": "ProteinGLMConfig", "Model": "ProteinGLM", "ModelForMaskedLM": "ProteinGLMForMaskedLM"},
        ["<pad>", "<unk>", "<mask>", "<eos>", *LETTERS, "X"],
        ("<pad>", "<unk>", "<mask>", "<eos>"),
        "$A <eos>",
    ),
    "esmpp": Like({"Config": "PlainConfig", "Model": "Plain"}, None),
    "prosst": Like({"Config": "ProSSTConfig", "Model": "ProSST"}, _PLAIN, tuple(_PLAIN[:5]), _AROUND),
    "prosst-alone": Like(
        {"Config": "ProSSTConfig", "Model": "ProSST"}, _PLAIN, tuple(_PLAIN[:5]), _AROUND, {"ss_vocab_size": 0}
    ),
    "progen": Like(
        {"Config": "ProGenConfig", "ModelForCausalLM": "ProGenForCausalLM"}, _PROGEN, ("<|pad|>", "<|bos|>", "<|eos|>")
    ),
    "rita": Like(
        {"Config": "RitaConfig", "ModelForCausalLM": "RitaForCausalLM"},
        ["<unk>", "<PAD>", "<EOS>", *LETTERS, "X"],
        ("<unk>", "<PAD>", "<EOS>"),
        "$A <EOS>",
    ),
    **{
        name: Like({"Config": "OddConfig", "Model": kind}, _PLAIN, tuple(_PLAIN[:5]), _AROUND)
        for name, kind in {
            "odd": "Odd",
            "odd-besides": "OddBesides",
            "odd-logits": "OddLogits",
            "odd-shape": "OddShape",
            "odd-fails": "OddFails",
            "odd-blind": "OddBlind",
        }.items()
    },
    "odd-wide": Like({"Config": "OddWideConfig", "Model": "OddWide"}, _PLAIN, tuple(_PLAIN[:5]), _AROUND),
}


def write_like(folder: Path, kind: str) -> Path:
    """A checkpoint folder with code of its own: config.json, weights, code, and its tokenizer where it has one."""
    from safetensors.torch import save_file

    like = LIKE[kind]
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{FILE}.py"
    path.write_text(CODE)
    module = module_of(path)
    torch.manual_seed(0)
    made = getattr(
        module, like.classes.get("ModelForMaskedLM") or like.classes.get("ModelForCausalLM") or like.classes["Model"]
    )
    model = made(made.config_class(**like.settings))
    save_file(model.state_dict(), folder / "model.safetensors", metadata={"format": "pt"})
    config = {**model.config.to_dict(), "auto_map": {f"Auto{k}": f"{FILE}.{v}" for k, v in like.classes.items()}}
    config.pop("dtype", None)
    (folder / "config.json").write_text(json.dumps(config))
    if like.vocabulary is not None:
        letters_tokenizer(like.vocabulary, like.special, like.template).save_pretrained(folder)
    return folder


def module_of(path: Path) -> Any:
    """The code beside a checkpoint, for plain calls."""
    spec = importlib.util.spec_from_file_location(f"plain_{FILE}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def letters_tokenizer(vocabulary: list[str], special: tuple[str, ...], template: str | None) -> Any:
    """One letter a token; special tokens are whole."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    unknown = next((token for token in special if "unk" in token.lower()), None)
    table = {token: place for place, token in enumerate(vocabulary)}
    word_level = models.WordLevel(table, unk_token=unknown) if unknown else models.WordLevel(table)
    tokenizer = Tokenizer(word_level)
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    if template is not None:
        named = [(token, table[token]) for token in template.split() if token != "$A"]
        tokenizer.post_processor = processors.TemplateProcessing(single=template, special_tokens=named)
    roles = {"pad_token": "pad", "unk_token": "unk", "mask_token": "mask"}
    given = {role: token for role, word in roles.items() for token in special if token.lower().strip("<>|[]") == word}
    further = [token for token in special if token not in given.values()]
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, extra_special_tokens=further, **given)
