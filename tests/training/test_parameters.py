"""What is trained, and how fast: against expectations written out by hand for a tiny checkpoint of each family."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_checkpoints import FAMILIES, write_checkpoint
from tiny_tasks import tiny_task
from torch import nn

from hubtools.common.errors import UserError
from hubtools.models import Checkpoint, ResidueTokeniser, build_model, resolve_checkpoint
from hubtools.specs.lookup.spec_files import load_recipe
from hubtools.training.finetune.parameters import freeze_layers, parameter_groups

# Of each family's two layers: what lies before them, and after them. (T5's first layer holds the positions of all.)
EMBEDDINGS = {
    "esm": ["embeddings.word_embeddings.weight"],
    "esm1b": [
        "embeddings.word_embeddings.weight",
        "embeddings.position_embeddings.weight",
        "embeddings.layer_norm.weight",
        "embeddings.layer_norm.bias",
    ],
    "esmc": ["embed_tokens.weight"],
    "bert": [
        "embeddings.word_embeddings.weight",
        "embeddings.position_embeddings.weight",
        "embeddings.token_type_embeddings.weight",
        "embeddings.LayerNorm.weight",
        "embeddings.LayerNorm.bias",
    ],
    "t5": ["shared.weight"],
    "ankh": ["shared.weight"],
    "modernbert": ["embeddings.tok_embeddings.weight", "embeddings.norm.weight"],
}
ESM_AFTER = [
    "encoder.emb_layer_norm_after.weight",
    "encoder.emb_layer_norm_after.bias",
    "contact_head.regression.weight",
    "contact_head.regression.bias",
]
AFTER = {
    "esm": ESM_AFTER,
    "esm1b": ESM_AFTER,
    "esmc": ["norm.weight"],
    "bert": [],
    "t5": ["encoder.final_layer_norm.weight"],
    "ankh": ["encoder.final_layer_norm.weight"],
    "modernbert": ["final_norm.weight"],
}
LAYER = dict.fromkeys(("esm", "esm1b", "bert"), r"encoder\.layer\.(\d)\.")
LAYER |= dict.fromkeys(("t5", "ankh"), r"encoder\.block\.(\d)\.")
LAYER |= dict.fromkeys(("esmc", "modernbert"), r"layers\.(\d)\.")


def depth(family: str, name: str) -> int:
    """0 for embeddings, 1 and 2 for the layers, 3 for what follows."""
    if name in EMBEDDINGS[family]:
        return 0
    if name in AFTER[family]:
        return 3
    found = re.match(LAYER[family], name)
    assert found, f"{name} is not accounted for"
    return int(found[1]) + 1


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Checkpoint]:
    folder = tmp_path_factory.mktemp("families")
    return {f: resolve_checkpoint(str(write_checkpoint(folder / f, f))) for f in FAMILIES}


def model_of(checkpoint: Checkpoint, **overrides: Any) -> tuple[Any, Any]:
    recipe = load_recipe("full", {"learning_rate": 1e-3, "head_learning_rate": 5e-3, "weight_decay": 0.1, **overrides})
    tokeniser = ResidueTokeniser.from_checkpoint(checkpoint)
    return build_model(checkpoint, tiny_task("sequence-classification"), recipe, tokeniser, 1), recipe


def settings(model: Any, recipe: Any) -> dict[str, tuple[float, float]]:
    """Rate and weight decay of each parameter, by name; each is in one group."""
    names = {id(p): name for name, p in model.named_parameters()}
    found: dict[str, tuple[float, float]] = {}
    for group in parameter_groups(model, recipe):
        for parameter in group["params"]:
            assert names[id(parameter)] not in found
            found[names[id(parameter)]] = group["lr"], group["weight_decay"]
    return found


@pytest.mark.parametrize("family", FAMILIES)
def test_each_layer_learns_at_its_own_rate(checkpoints: dict[str, Checkpoint], family: str) -> None:
    model, recipe = model_of(checkpoints[family], layer_decay=0.5)
    found = settings(model, recipe)
    assert found.keys() == {name for name, _ in model.named_parameters()}
    for name, parameter in model.named_parameters():
        rate, decay = found[name]
        if name.startswith("head."):
            assert rate == 5e-3
        else:
            expected = {0: 0.25e-3, 1: 0.5e-3, 2: 1e-3, 3: 1e-3}[depth(family, name.removeprefix("encoder."))]
            assert rate == pytest.approx(expected, rel=1e-12), name
        assert decay == (0.1 if parameter.ndim > 1 else 0.0), name
    assert parameter_groups(model, recipe)[0]["lr"] == 1e-3, "the log shows the first group's rate"


def test_without_them_there_are_four_groups(checkpoints: dict[str, Checkpoint]) -> None:
    model, recipe = model_of(checkpoints["esm"])
    groups = [(group["lr"], group["weight_decay"]) for group in parameter_groups(model, recipe)]
    assert groups == [(1e-3, 0.1), (1e-3, 0.0), (5e-3, 0.1), (5e-3, 0.0)]
    assert parameter_groups(model, recipe)[0]["params"][0] is next(model.encoder.parameters())


@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize("family", FAMILIES)
def test_frozen_layers_are_neither_trained_nor_changed(
    checkpoints: dict[str, Checkpoint], family: str, number: int
) -> None:
    model, recipe = model_of(checkpoints[family], freeze_layers=number)
    freeze_layers(model, number)
    frozen = {
        name
        for name, _ in model.named_parameters()
        if name.startswith("encoder.") and depth(family, name.removeprefix("encoder.")) <= number
    }
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    assert settings(model, recipe).keys() == before.keys() - frozen
    optimiser = torch.optim.AdamW(parameter_groups(model, recipe))
    ids = torch.randint(5, 20, (2, 9), generator=torch.Generator().manual_seed(0))
    model(ids).logits.square().sum().backward()
    optimiser.step()
    changed = {name for name, p in model.named_parameters() if not torch.equal(p, before[name])}
    assert not changed & frozen and any(name.startswith("head.") for name in changed)
    assert all(p.grad is None for name, p in model.named_parameters() if name in frozen)
    if number == 1:
        assert any(depth(family, name.removeprefix("encoder.")) == 2 for name in changed if name[0] == "e")


def test_nothing_is_frozen_unless_asked(checkpoints: dict[str, Checkpoint]) -> None:
    model, _ = model_of(checkpoints["esm"])
    freeze_layers(model, 0)
    assert all(p.requires_grad for p in model.parameters())


def test_more_layers_than_there_are(checkpoints: dict[str, Checkpoint]) -> None:
    model, _ = model_of(checkpoints["bert"])
    with pytest.raises(UserError, match=r"freeze_layers: 3 layers are more than the checkpoint has \(2\)"):
        freeze_layers(model, 3)


class Unlayered(nn.Module):
    """An encoder whose layers are not in a list."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.config, self.one, self.two = config, nn.Linear(4, 4), nn.Linear(4, 4)


def test_layers_that_cannot_be_found(checkpoints: dict[str, Checkpoint], tmp_path: Path) -> None:
    model, recipe = model_of(checkpoints["bert"], layer_decay=0.9)
    model.encoder = Unlayered(model.encoder.config)
    with pytest.raises(UserError, match="freeze_layers: the layers of Unlayered cannot be found"):
        freeze_layers(model, 1)
    with pytest.raises(UserError, match="layer_decay: the layers of Unlayered cannot be found"):
        parameter_groups(model, recipe)


def test_the_scales_of_ia3_do_not_decay(checkpoints: dict[str, Checkpoint]) -> None:
    for kind, decays in (("ia3", {0.0}), ("lora", {0.1}), ("dora", {0.1, 0.0})):
        recipe = load_recipe(kind, {"weight_decay": 0.1})
        tokeniser = ResidueTokeniser.from_checkpoint(checkpoints["esm"])
        model = build_model(checkpoints["esm"], tiny_task("sequence-classification"), recipe, tokeniser, 1)
        found = settings(model, recipe)
        assert {decay for name, (_, decay) in found.items() if name.startswith("encoder.")} == decays
        assert {name for name in found if name.startswith("head.")} == {"head.1.weight", "head.1.bias"}
