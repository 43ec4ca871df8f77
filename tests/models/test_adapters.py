"""Adapters of every kind under every family: what is trained, what stays as it was, what is saved."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from optional_packages import four_bits, needs_bitsandbytes
from test_task_model import SEQUENCES, padded
from tiny_checkpoints import FAMILIES, break_config, write_checkpoint
from tiny_tasks import tiny_task
from torch import nn

from hubtools.common.errors import UserError
from hubtools.models import Checkpoint, ResidueTokeniser, adapters, build_model, resolve_checkpoint
from hubtools.models.adapters import base_parameters, is_adapter, merge_adapter, quantise
from hubtools.models.encoder import checkpoint_facts, load_encoder
from hubtools.models.four_bits import FourBitLinear
from hubtools.models.layers import encoder_layers
from hubtools.models.saved import save_adapter
from hubtools.models.task_model import bench_model
from hubtools.specs.lookup.spec_files import load_recipe
from hubtools.training.finetune import resume
from hubtools.training.finetune.parameters import parameter_groups
from hubtools.training.finetune.resume import Progress, checkpoint_folder, load_weights

KINDS = ("lora", "dora", "rslora", "ia3", four_bits("qlora"))
# Written out by hand from the architectures: the linear layers in one layer of each family's encoder.
BERT_LINEAR = {
    "attention.self.query",
    "attention.self.key",
    "attention.self.value",
    "attention.output.dense",
    "intermediate.dense",
    "output.dense",
}
BERT_IA3 = {"attention.self.key", "attention.self.value", "output.dense"}
T5_LINEAR = {
    *(f"layer.0.SelfAttention.{part}" for part in "qkvo"),
    "layer.1.DenseReluDense.wi",
    "layer.1.DenseReluDense.wo",
}
T5_IA3 = {"layer.0.SelfAttention.k", "layer.0.SelfAttention.v", "layer.1.DenseReluDense.wo"}
ESMC_LINEAR = {f"self_attn.{part}_proj" for part in "qkvo"} | {f"mlp.{part}_proj" for part in ("gate", "up", "down")}
PLACES = {
    "esm": (BERT_LINEAR, BERT_IA3),
    "esm1b": (BERT_LINEAR, BERT_IA3),
    "bert": (BERT_LINEAR, BERT_IA3),
    "t5": (T5_LINEAR, T5_IA3),
    "ankh": (T5_LINEAR, T5_IA3),
    "esmc": (ESMC_LINEAR, {"self_attn.k_proj", "self_attn.v_proj", "mlp.down_proj"}),
    "modernbert": ({"attn.Wqkv", "attn.Wo", "mlp.Wi", "mlp.Wo"}, {"attn.Wqkv", "mlp.Wo"}),
}


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Checkpoint]:
    folder = tmp_path_factory.mktemp("families")
    return {f: resolve_checkpoint(str(write_checkpoint(folder / f, f))) for f in FAMILIES}


def adapted(checkpoint: Checkpoint, kind: str, problem: str = "sequence-classification", **overrides: Any) -> Any:
    """A model as a run builds it, its tokeniser and recipe."""
    recipe = load_recipe(kind, {"head.dropout": 0, **overrides})
    tokeniser = ResidueTokeniser.from_checkpoint(checkpoint)
    return build_model(checkpoint, tiny_task(problem), recipe, tokeniser, 1), tokeniser, recipe


def train(model: Any, tokeniser: Any, recipe: Any, steps: int = 2) -> None:
    """A few steps, as a fit makes them: after the first, LoRA's A has a gradient too, since B was zero."""
    model.eval()  # Without dropout, so that a second run makes the same steps.
    optimiser = torch.optim.AdamW(parameter_groups(model, recipe), lr=1e-2)
    for group in optimiser.param_groups:
        group["lr"] = 1e-2
    for _ in range(steps):
        optimiser.zero_grad()
        out = model(*padded(tokeniser, SEQUENCES)).logits
        (out**2 + out).sum().backward()
        optimiser.step()


def adapted_layers(model: Any) -> dict[str, Any]:
    from peft.tuners.tuners_utils import BaseTunerLayer

    return {n: m for n, m in model.encoder.named_modules() if isinstance(m, BaseTunerLayer)}


@torch.no_grad()
def logits(model: Any, tokeniser: Any) -> torch.Tensor:
    return model.eval()(*padded(tokeniser, SEQUENCES)).logits


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("kind", KINDS)
def test_head_and_adapter_learn_and_the_checkpoint_stays(
    checkpoints: dict[str, Checkpoint], family: str, kind: str
) -> None:
    model, tokeniser, recipe = adapted(checkpoints[family], kind)
    plain = load_encoder(checkpoints[family])
    found = encoder_layers(plain)
    assert found is not None
    path, layers = found

    # In every layer, at exactly the places written out above, and nowhere else.
    expected = PLACES[family][kind == "ia3"]
    assert set(adapted_layers(model)) == {f"{path}.{i}.{place}" for i in range(len(layers)) for place in expected}
    assert base_parameters(model.encoder) == sum(p.numel() for p in plain.parameters())
    if kind == "qlora":
        inside = [m for m in encoder_layers(model.encoder)[1].modules() if isinstance(m, nn.Linear)]  # type: ignore[index]
        assert sum(isinstance(m, FourBitLinear) for m in inside) == len(expected) * len(layers)
    else:
        # A fresh adapter changes nothing.
        bench = bench_model(plain, tiny_task("sequence-classification"), recipe, tokeniser, 1)
        torch.testing.assert_close(logits(model, tokeniser), logits(bench, tokeniser), atol=1e-6, rtol=1e-5)

    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    assert trained == {n for n, _ in model.named_parameters() if is_adapter(n) or n.startswith("head.")}
    before = {name: value.detach().clone() for name, value in model.state_dict().items()}
    train(model, tokeniser, recipe)
    for name, value in model.state_dict().items():
        if name in trained:
            assert not torch.equal(value, before[name]), f"{name} did not learn"
        else:
            assert torch.equal(value, before[name]), f"{name} is the checkpoint's"


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("problem", ["sequence-classification", "residue-classification"])
def test_merged_equals_unmerged(checkpoints: dict[str, Checkpoint], family: str, kind: str, problem: str) -> None:
    model, tokeniser, recipe = adapted(checkpoints[family], kind, problem)
    untrained = logits(model, tokeniser)
    train(model, tokeniser, recipe)
    expected = logits(model, tokeniser)
    assert (expected - untrained).abs().max() > 1e-3
    merge_adapter(model)
    torch.testing.assert_close(logits(model, tokeniser), expected, atol=2e-5, rtol=1e-4)
    # No trace is left: the encoder is the architecture's own again.
    plain = load_encoder(checkpoints[family])
    assert model.encoder.state_dict().keys() == plain.state_dict().keys()
    assert type(model.encoder) is type(plain) and not hasattr(model.encoder, "peft_config")


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("kind", KINDS)
def test_peft_opens_what_was_saved(checkpoints: dict[str, Checkpoint], family: str, kind: str, tmp_path: Path) -> None:
    from peft import PeftModel

    checkpoint = checkpoints[family]
    model, tokeniser, recipe = adapted(checkpoint, kind)
    train(model, tokeniser, recipe)
    save_adapter(model, tokeniser, tmp_path / "adapter", checkpoint.identity)
    assert {p.name for p in tmp_path.glob("adapter/*")} >= {
        "adapter_config.json",
        "adapter_model.safetensors",
        "config.json",
        "modeling_protein_task.py",
        "tokenizer_config.json",
    }
    config = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    assert config["modules_to_save"] == ["head"]
    assert config["base_model_name_or_path"] == family and config["revision"] is None
    assert str(tmp_path) not in (tmp_path / "adapter" / "config.json").read_text() + json.dumps(config)

    base = bench_model(load_encoder(checkpoint), tiny_task("sequence-classification"), recipe, tokeniser, seed=2)
    if kind == "qlora":
        quantise(base.encoder)
    opened = PeftModel.from_pretrained(base, str(tmp_path / "adapter"))
    torch.testing.assert_close(logits(opened, tokeniser), logits(model, tokeniser), atol=1e-6, rtol=1e-5)


@needs_bitsandbytes
def test_a_merged_qlora_is_the_dequantised_weights_plus_the_update(checkpoints: dict[str, Checkpoint]) -> None:
    from bitsandbytes.functional import dequantize_4bit, quantize_4bit

    model, tokeniser, recipe = adapted(checkpoints["esm"], "qlora")
    train(model, tokeniser, recipe)
    pairs = {
        name: (layer.lora_A["default"].weight.detach().clone(), layer.lora_B["default"].weight.detach().clone())
        for name, layer in adapted_layers(model).items()
    }
    merge_adapter(model)
    original = load_encoder(checkpoints["esm"])
    for name, (a, b) in pairs.items():
        linear: Any = original.get_submodule(name)
        # The reference: bitsandbytes itself, on the checkpoint's weights.
        row = linear.weight.data.reshape(1, -1)
        whole = dequantize_4bit(*quantize_4bit(row, quant_type="nf4", compress_statistics=True)).view_as(linear.weight)
        merged: Any = model.encoder.get_submodule(name)
        torch.testing.assert_close(merged.weight, whole + 2 * (b @ a), atol=1e-6, rtol=1e-5)
        assert torch.equal(merged.bias, linear.bias)


@needs_bitsandbytes
@pytest.mark.parametrize("columns", [16, 48, 64, 100, 480])
def test_four_bits_round_to_the_nearest_of_sixteen_values(columns: int) -> None:
    torch.manual_seed(0)
    linear = nn.Linear(columns, 32)
    whole = FourBitLinear(linear).weight
    blocks, exact = whole.reshape(-1, 64), linear.weight.detach().reshape(-1, 64)
    largest = exact.abs().amax(1, keepdim=True)
    # NF4's widest gap is 0.304 of a block's largest value; the scale itself is rounded to eight bits.
    assert ((blocks - exact).abs() / largest).max() < 0.304 / 2 + 0.02
    assert all(len(set(block.tolist())) <= 16 for block in blocks)
    assert 0.05 < (whole - linear.weight).norm() / linear.weight.norm() < 0.12


@needs_bitsandbytes
def test_four_bits_compute_what_their_whole_weights_do() -> None:
    torch.manual_seed(0)
    packed = FourBitLinear(nn.Linear(96, 40))
    whole = packed.whole()
    x = torch.randn(3, 5, 96)
    ours, theirs = x.clone().requires_grad_(), x.clone().requires_grad_()
    torch.testing.assert_close(packed(ours), whole(theirs))
    (packed(ours) ** 2).sum().backward()
    (whole(theirs) ** 2).sum().backward()
    torch.testing.assert_close(ours.grad, theirs.grad)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        half = packed.eval()(x)
    assert half.dtype == torch.bfloat16 and torch.equal(packed.bias, whole.bias)
    # 4 bits a weight, 8 for the scale of 64, and what is the same for all.
    assert packed.packed.numel() == 96 * 40 // 2 and packed.state.absmax.dtype == torch.uint8
    torch.testing.assert_close(copy.deepcopy(packed)(x), packed(x))


@pytest.mark.parametrize("kind", KINDS)
def test_what_training_changes_is_all_that_a_fit_keeps(
    checkpoints: dict[str, Checkpoint], kind: str, tmp_path: Path
) -> None:
    model, tokeniser, recipe = adapted(checkpoints["t5"], kind)
    train(model, tokeniser, recipe)
    resume.write_checkpoint(tmp_path, Progress(step=1, best_step=1), model, {})
    fresh, _, _ = adapted(checkpoints["t5"], kind)
    assert not torch.equal(logits(fresh, tokeniser), logits(model, tokeniser))
    load_weights(fresh, checkpoint_folder(tmp_path, 1))
    assert torch.equal(logits(fresh, tokeniser), logits(model, tokeniser))
    with pytest.raises(KeyError):
        load_weights(load_encoder(checkpoints["t5"]), checkpoint_folder(tmp_path, 1))


def test_fresh_weights_depend_on_the_seed_alone(checkpoints: dict[str, Checkpoint]) -> None:
    first = adapted(checkpoints["esm"], "lora")[0].state_dict()
    torch.rand(7)
    second = adapted(checkpoints["esm"], "lora")[0].state_dict()
    assert first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("kind", KINDS)
def test_the_record_counts_the_checkpoints_own_weights(checkpoints: dict[str, Checkpoint], kind: str) -> None:
    plain = checkpoint_facts(checkpoints["esm"], load_encoder(checkpoints["esm"]), "pretrained")
    model, _, _ = adapted(checkpoints["esm"], kind)
    assert checkpoint_facts(checkpoints["esm"], model.encoder, "pretrained") == plain


def test_activations_may_be_recomputed(checkpoints: dict[str, Checkpoint]) -> None:
    # The embeddings are frozen: recomputation that asks for inputs with gradients would leave adapters untrained.
    gradients = []
    for recompute in (False, True):
        model, tokeniser, _ = adapted(checkpoints["esm"], "lora")
        torch.manual_seed(3)
        for module in model.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.0
        model.encoder.config.attention_probs_dropout_prob = 0.0
        if recompute:
            model.gradient_checkpointing_enable()
        model.train()
        model(*padded(tokeniser, SEQUENCES)).logits.square().sum().backward()
        gradients.append({n: p.grad for n, p in model.named_parameters() if p.requires_grad})
    assert all(g is not None for g in gradients[1].values()) and len(gradients[1]) > 20
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, msg=lambda m, n=name: f"{n}: {m}")


class TestTargets:
    def test_named_by_hand_they_are_matched_by_the_end_of_their_path(self, checkpoints: dict[str, Checkpoint]) -> None:
        model, _, _ = adapted(checkpoints["esm"], "lora", **{"adapter.targets": ["query", "value"]})
        assert {n.rsplit(".", 1)[1] for n in adapted_layers(model)} == {"query", "value"}
        model, _, _ = adapted(checkpoints["esm"], "lora", **{"adapter.targets": ["dense"]})
        assert len(adapted_layers(model)) == 2 * 3, "all of that name"
        model, _, _ = adapted(checkpoints["esm"], "lora", **{"adapter.targets": ["output.dense"]})
        assert len(adapted_layers(model)) == 2, "a whole path means that one"

    def test_of_ia3_the_feed_forward_part_is_scaled_at_its_input(self, checkpoints: dict[str, Checkpoint]) -> None:
        model, _, _ = adapted(checkpoints["esm"], "ia3", **{"adapter.targets": ["key", "output.dense"]})
        inputs = {name.split("layer.")[1][2:]: m.is_feedforward for name, m in adapted_layers(model).items()}
        assert inputs == {"attention.self.key": False, "output.dense": True}
        model, _, _ = adapted(checkpoints["esm"], "ia3", **{"adapter.targets": ["key"]})
        assert not any(m.is_feedforward for m in adapted_layers(model).values())

    def test_a_name_that_matches_nothing(self, checkpoints: dict[str, Checkpoint]) -> None:
        with pytest.raises(UserError, match="no linear layer is named 'q_proj'") as error:
            adapted(checkpoints["bert"], "lora", **{"adapter.targets": ["q_proj"]})
        assert "attention.self.query" in str(error.value) and "\n" not in str(error.value)

    def test_an_architecture_that_is_not_listed(self, tmp_path: Path) -> None:
        from transformers import MPNetConfig, MPNetModel

        checkpoint = other_architecture(tmp_path, MPNetModel, MPNetConfig)
        with pytest.raises(UserError, match="in the architecture 'mpnet'") as error:
            adapted(checkpoint, "lora")
        assert "adapter.targets" in str(error.value) and "attention.attn.q" in str(error.value)
        model, tokeniser, recipe = adapted(checkpoint, "lora", **{"adapter.targets": ["q"]})
        assert len(adapted_layers(model)) == 2
        train(model, tokeniser, recipe)


def other_architecture(folder: Path, model_class: Any, config_class: Any) -> Checkpoint:
    """A checkpoint that the family table does not know, with ProtBERT's tokenizer."""
    write_checkpoint(folder / "bert", "bert")
    config = config_class(
        vocab_size=30, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32
    )
    model_class(config).save_pretrained(folder / "bert")
    break_config(folder / "bert", tokenizer_class="BertTokenizer")
    return resolve_checkpoint(str(folder / "bert"))


def test_without_bitsandbytes_the_fix_is_named(
    checkpoints: dict[str, Checkpoint], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapters, "load_bitsandbytes", lambda: False)
    with pytest.raises(UserError, match=r"qlora needs bitsandbytes. Get it: pip install"):
        adapted(checkpoints["esm"], "qlora")


@needs_bitsandbytes
def test_a_device_without_four_bits_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: Any, **kwargs: Any) -> None:
        raise NotImplementedError("no such kernel")

    monkeypatch.setattr("bitsandbytes.functional.quantize_4bit", broken)
    with pytest.raises(UserError, match=r"in four bits on cpu \(no such kernel\)"):
        adapters.require_four_bits(torch.device("cpu"))


@needs_bitsandbytes
@pytest.mark.slow
def test_no_code_comes_from_the_network(tmp_path: Path) -> None:
    # bitsandbytes asks the package kernels for code from the Hub while it is imported: stand in for that package.
    (tmp_path / "kernels.py").write_text("def get_kernel(*a, **k):\n    print('FETCHED')\n    raise RuntimeError\n")
    code = (
        "import torch\nfrom hubtools.models.adapters import require_four_bits\n"
        "require_four_bits(torch.device('cpu'))\nimport sys, kernels\nprint(kernels.__file__)"
    )
    paths = os.pathsep.join([str(tmp_path), str(Path(adapters.__file__).parents[2])])
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": paths}, capture_output=True, text=True
    )
    assert done.returncode == 0 and not done.stderr, done.stderr
    assert done.stdout.strip() == str(tmp_path / "kernels.py")
