"""Linear layers of a frozen encoder held in bfloat16 give what autocast gives with float32 weights, bit for bit, and no float32 copy stays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_checkpoints import FAMILIES, write_checkpoint
from tiny_runs import made
from tiny_tasks import tiny_task
from torch import nn
from torch.nn import functional

import hubtools
from hubtools.common.errors import UserError
from hubtools.models import Checkpoint, ResidueTokeniser, build_model, resolve_checkpoint
from hubtools.models.assembling import put_together
from hubtools.models.encoder import load_encoder
from hubtools.models.encoder_note import note_of, weights_sha256
from hubtools.models.execution.held import held_layers, widened
from hubtools.models.saved import load_model, save_model
from hubtools.runs.store import open_run
from hubtools.specs.lookup.spec_files import load_recipe
from hubtools.training.compute.device import Execution
from hubtools.training.compute.engine import engine

HELD = {"precision": "bf16", "frozen_weights": "bf16"}
ROWS = ("MKTAYIAKQRQISFVKSHFSRQ", "ACDEFG", "MW")


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Checkpoint]:
    """T5's as many are published: stored in half precision."""
    folder = tmp_path_factory.mktemp("families")
    return {f: resolve_checkpoint(str(write_checkpoint(folder / f, f, half=f == "t5"))) for f in FAMILIES}


def batch(checkpoint: Checkpoint) -> dict[str, torch.Tensor]:
    tokeniser = ResidueTokeniser.from_checkpoint(checkpoint)
    rows = [torch.from_numpy(tokeniser.with_special(tokeniser.encode(row))) for row in ROWS]
    ids = nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=tokeniser.pad_id)
    mask = torch.arange(ids.shape[1]) < torch.tensor([[len(row)] for row in rows])
    return {"input_ids": ids, "attention_mask": mask.long()}


@torch.no_grad()
def states(encoder: Any, inputs: dict[str, torch.Tensor], bf16: bool) -> torch.Tensor:
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        return encoder(**inputs).last_hidden_state


@pytest.mark.parametrize("family", FAMILIES)
def test_it_is_what_autocast_computes(checkpoints: dict[str, Checkpoint], family: str) -> None:
    checkpoint, inputs = checkpoints[family], batch(checkpoints[family])
    plain, held = load_encoder(checkpoint).eval(), load_encoder(checkpoint, held=True).eval()
    assert torch.equal(states(held, inputs, True), states(plain, inputs, True))
    with widened(held) as uses:
        assert torch.equal(states(held, inputs, True), states(plain, inputs, True))
    assert not uses.other
    # What is not a linear layer's is as it was; rounded like them, float32 weights have the same sum.
    linear = {
        f"{name}.{part}" for name, one in held.named_modules() if type(one) is nn.Linear for part in ("weight", "bias")
    }
    kept = dict(plain.named_parameters())
    for name, value in held.named_parameters():
        assert value.dtype == (torch.bfloat16 if name in linear else torch.float32)
        assert torch.equal(value, kept[name].to(value.dtype))
    assert weights_sha256(held) == weights_sha256(plain, held=True) != weights_sha256(plain)
    # In float32 they are multiplied by as they are rounded.
    with torch.no_grad():
        for name in linear & kept.keys():
            kept[name].copy_(kept[name].to(torch.bfloat16))
    torch.testing.assert_close(states(held, inputs, False), states(plain, inputs, False), atol=1e-6, rtol=1e-5)


def test_random_weights_are_drawn_as_in_float32(checkpoints: dict[str, Checkpoint]) -> None:
    plain, held = (load_encoder(checkpoints["esm"], weights="random", seed=3, held=held) for held in (False, True))
    assert weights_sha256(held) == weights_sha256(plain, held=True)


def proven(encoder: Any, checkpoint: Checkpoint) -> Any:
    tokeniser = ResidueTokeniser.from_checkpoint(checkpoint)
    body = nn.Module()
    body.encoder = encoder
    rows = [tokeniser.encode("MKTAYIAKQRQISFVKSHFSRQ"[:n]) for n in (8, 22)]
    return engine(body, tokeniser, Execution(torch.device("cpu"), 512), bf16=True, trains=False, proteins=rows)


def test_the_proof_says_how_far_it_is(checkpoints: dict[str, Checkpoint]) -> None:
    checkpoint = checkpoints["esm"]
    encoder = load_encoder(checkpoint, held=True)
    with proven(encoder, checkpoint) as made_of:
        assert made_of.held == 0 and made_of.together.held == 0
        assert made_of.rounding(True) == f"bf16, packed {made_of.attention}, weights held"
    with proven(load_encoder(checkpoint), checkpoint) as made_of:
        assert made_of.held is None


def test_code_that_does_more_with_weights_than_autocast_rounds_is_refused(checkpoints: dict[str, Checkpoint]) -> None:
    checkpoint = checkpoints["esm"]
    encoder = load_encoder(checkpoint, held=True)
    layer = held_layers(encoder)[3]

    def normed(x: torch.Tensor) -> torch.Tensor:
        return functional.linear(x, functional.normalize(layer.weight.to(x.dtype)), layer.bias.to(x.dtype))

    layer.forward = normed  # type: ignore[method-assign]
    with pytest.raises(UserError, match="cannot be held in bfloat16: its code does more with weights"):
        proven(encoder, checkpoint).__enter__()


@pytest.mark.parametrize(
    ("recipe", "settings", "why"),
    [
        ("full", HELD, "frozen_weights is for adaptation: probe"),
        ("lora", HELD, "frozen_weights is for adaptation: probe"),
        ("probe", {"frozen_weights": "bf16"}, "Add precision: bf16"),
        ("probe", {"frozen_weights": "bf16", "precision": "fastest"}, "Add precision: bf16"),
    ],
)
def test_what_is_trained_or_reads_float32_is_not_held(recipe: str, settings: dict[str, Any], why: str) -> None:
    with pytest.raises(UserError, match=why):
        load_recipe(recipe, settings)


def test_a_recipe_that_does_not_say_so_is_the_one_it_was() -> None:
    assert load_recipe("probe", {"frozen_weights": "float32"}).hash == load_recipe("probe").hash
    assert load_recipe("probe", HELD).hash != load_recipe("probe", {"precision": "bf16"}).hash


@pytest.mark.parametrize("problem", ["residue-classification", "sequence-multilabel"])
def test_the_model_that_is_put_together_is_that_of_autocast(
    checkpoints: dict[str, Checkpoint], tmp_path: Path, problem: str
) -> None:
    checkpoint, task, recipe = checkpoints["esm"], tiny_task(problem), load_recipe("probe", HELD)
    tokeniser = ResidueTokeniser.from_checkpoint(checkpoint)
    model: Any = build_model(checkpoint, task, recipe, tokeniser, 7)
    save_model(model, tokeniser, task, tmp_path / "model", note_of(checkpoint.identity, recipe, 7, model.encoder))
    whole, _ = put_together(tmp_path / "model", task, recipe, checkpoint, tmp_path / "none")
    assert weights_sha256(whole.encoder) == weights_sha256(load_encoder(checkpoint))
    inputs = batch(checkpoint)
    inputs["residue_mask"] = inputs["attention_mask"].bool()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(whole(**inputs).logits, model.eval()(**inputs).logits)


def test_weights_that_are_kept_whole_are_kept_in_float32(checkpoints: dict[str, Checkpoint], tmp_path: Path) -> None:
    """As of code that comes with a checkpoint, whose encoder a run keeps."""
    task, recipe = tiny_task("sequence-multilabel"), load_recipe("probe", HELD)
    tokeniser = ResidueTokeniser.from_checkpoint(checkpoints["bert"])
    model: Any = build_model(checkpoints["bert"], task, recipe, tokeniser, 7)
    save_model(model, tokeniser, task, tmp_path / "model")
    read: Any = load_model(tmp_path / "model", task, shipped_code=False)[0]
    assert {value.dtype for value in read.encoder.parameters()} == {torch.float32}
    assert weights_sha256(read.encoder, held=True) == weights_sha256(model.encoder)


@pytest.mark.slow
def test_a_run_predicts_the_same_and_says_how_it_was_held(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("plain", "held")]
    plain, held = (
        open_run(made(folder, "sequence-classification", recipe="probe", **settings))
        for folder, settings in zip(folders, ({"precision": "bf16"}, HELD), strict=True)
    )
    assert plain.record.run_id != held.record.run_id
    for split, predictions in plain.predictions.items():
        assert np.array_equal(predictions.scores, held.predictions[split].scores)
    assert plain.record.together.held is None and held.record.together.held == 0
    assert held.record.precision == "bf16" and held.record.recipe_spec.frozen_weights == "bf16"
    assert "weights held in bfloat16" in str(held.record.together)


def test_embeddings_in_bfloat16_are_near_those_in_float32_and_kept_apart(
    checkpoints: dict[str, Checkpoint], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path))
    computing = hubtools.ExecutionOptions(device="cpu", embedding_cache=True)
    proteins = {f"P{i}": row for i, row in enumerate(ROWS)}
    exact, rounded, again = (
        hubtools.embed(proteins, str(checkpoints["esm"].path), precision=precision, execution=computing)
        for precision in ("float32", "bf16", "bf16")
    )
    assert rounded.run.computed == len(ROWS) and again.run.read == len(ROWS)
    assert rounded.about["precision"].startswith("bf16") and exact.about["precision"] == "float32"
    apart = np.abs(exact.numpy() - rounded.numpy()).max() / np.abs(exact.numpy()).max()
    assert 0 < apart < 0.05
    assert np.array_equal(rounded.numpy(), again.numpy())
