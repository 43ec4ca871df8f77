"""What training costs, against torch's own counter of operations and against what autograd really keeps."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tiny_checkpoints import write_checkpoint
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from hubtools.models import resolve_checkpoint
from hubtools.models.adapters import attach_adapter
from hubtools.models.encoder import load_encoder
from hubtools.specs.recipe import Adapter
from hubtools.training.compute.operations import (
    Activations,
    Flops,
    Memory,
    activations_of,
    blocks,
    count_flops,
    saved_bytes,
)

WIDTH, LENGTH, ROWS = 64, 48, 3
FAMILIES = ["esm", "esm1b", "esmc", "bert", "t5", "ankh", "modernbert"]


@pytest.fixture(params=FAMILIES)
def encoder(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    write_checkpoint(tmp_path / "checkpoint", request.param, width=WIDTH)
    found: Any = load_encoder(resolve_checkpoint(str(tmp_path / "checkpoint")))
    # The counter knows the products of plain attention, not those of every fused kernel.
    found.set_attn_implementation("eager")
    return found.train()


def with_head(encoder: Any) -> Any:
    """The least that the arithmetic looks at, as a model of a per-protein task has it."""
    model: Any = nn.Module()
    model.encoder, model.config = encoder, SimpleNamespace(per_residue=False)
    return model


def counted(encoder: Any, *, backward: bool) -> int:
    ids = torch.randint(5, 20, (ROWS, LENGTH))
    with FlopCounterMode(display=False) as counter:
        out = encoder(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state
        if backward:
            out.sum().backward()
    return counter.get_total_flops()


def expected(flops: Flops) -> tuple[float, float]:
    tokens, squared = ROWS * LENGTH, ROWS * LENGTH**2
    return flops.reading(tokens, squared), flops.training(tokens, squared)


def test_operations_agree_with_torchs_counter(encoder: Any) -> None:
    reading, training = expected(count_flops(with_head(encoder)))
    # Rotary embeddings multiply a few angles, which the formula leaves out.
    assert counted(encoder, backward=False) == pytest.approx(reading, rel=0.01)
    assert counted(encoder, backward=True) == pytest.approx(training, rel=0.01)
    assert training == pytest.approx(3 * reading)


def test_what_is_frozen_costs_no_gradient(encoder: Any) -> None:
    _, second = blocks(encoder)
    for parameter in encoder.parameters():
        parameter.requires_grad_(False)
    for parameter in second.parameters():
        parameter.requires_grad_(True)
    reading, training = expected(count_flops(with_head(encoder)))
    # Of the second layer the query, key and value need no gradient of their input: the formula counts some of these.
    assert counted(encoder, backward=True) == pytest.approx(training, rel=0.08)
    assert training < 2.1 * reading


def test_an_adapter_costs_its_products_and_the_way_to_them(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "checkpoint", "esm", width=WIDTH)
    found: Any = load_encoder(resolve_checkpoint(str(tmp_path / "checkpoint")))
    found.set_attn_implementation("eager")
    model = with_head(found.train())
    plain = expected(count_flops(model))
    attach_adapter(model, Adapter(kind="lora", rank=8), "tiny", seed=1)
    reading, training = expected(count_flops(model))
    assert counted(found, backward=False) == pytest.approx(reading, rel=0.01)
    # In the first layer query, key and value need no gradient of their input: the formula counts some of these.
    assert counted(found, backward=True) == pytest.approx(training, rel=0.08)
    assert plain[0] < reading and training < plain[1], "no gradients of the frozen weights"


def test_where_no_layers_are_found_all_of_it_is_one() -> None:
    encoder: Any = nn.Sequential(nn.Linear(8, 16), nn.Linear(16, 8))
    encoder.config = SimpleNamespace(num_hidden_layers=7, hidden_size=8)
    assert count_flops(with_head(encoder)).linear == 2 * 2 * 8 * 16


def test_bytes_of_activations_are_what_autograd_keeps(encoder: Any) -> None:
    found = activations_of(with_head(encoder), trains=True, length=32)
    for rows, length in ((1, 32), (5, 70), (2, 200)):
        ids = torch.full((rows, length), 5)
        kept = saved_bytes(encoder, lambda ids=ids: encoder(input_ids=ids).last_hidden_state)
        predicted = found.bytes(rows * length, length) - rows * length * found.working
        # T5's position bias and ModernBERT's mask of squared length, once for all rows, are the difference.
        assert predicted == pytest.approx(kept, rel=0.07)
    assert found.per_square > 0  # Plain attention keeps its scores.


def test_a_short_table_of_positions_is_not_read_past_its_end() -> None:
    from transformers import BertConfig, BertModel

    sizes = {"hidden_size": WIDTH, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 2 * WIDTH}
    found, short = (
        activations_of(with_head(BertModel(BertConfig(**sizes, max_position_embeddings=n))), trains=True)
        for n in (512, 64)
    )
    assert short.per_token == pytest.approx(found.per_token, rel=0.05)


def test_fused_attention_keeps_nothing_of_squared_length(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "checkpoint", "esm", width=WIDTH)
    encoder: Any = load_encoder(resolve_checkpoint(str(tmp_path / "checkpoint"))).eval()
    # With dropout the CPU falls back to plain attention, hence eval.
    assert encoder.config._attn_implementation == "sdpa"
    assert activations_of(with_head(encoder), trains=True).per_square == 0


def test_no_weights_are_needed(tmp_path: Path) -> None:
    from hubtools.models.modeling_protein_task import build_encoder

    write_checkpoint(tmp_path / "checkpoint", "esm", width=WIDTH)
    encoder: Any = load_encoder(resolve_checkpoint(str(tmp_path / "checkpoint"))).train()
    with torch.device("meta"):
        shapes: Any = build_encoder(encoder.config).train()
    assert activations_of(with_head(shapes), trains=True) == activations_of(with_head(encoder), trains=True)
    assert count_flops(with_head(shapes)) == count_flops(with_head(encoder))


def test_a_saved_tensor_counts_once_and_weights_do_not() -> None:
    layer = nn.Linear(8, 8, bias=False)
    x = torch.randn(4, 8, requires_grad=True)
    # x·W keeps x (the weight is the model's); the two squares keep their input, twice the same memory.
    assert saved_bytes(layer, lambda: layer(x)) == 4 * 8 * 4
    assert saved_bytes(layer, lambda: x * x + x * x) == 4 * 8 * 4


def test_recomputed_activations_are_the_layers_inputs_and_one_layer(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "checkpoint", "esm", width=WIDTH)
    encoder: Any = load_encoder(resolve_checkpoint(str(tmp_path / "checkpoint"))).train()
    whole = activations_of(with_head(encoder), trains=True)
    less = activations_of(with_head(encoder), trains=True, checkpointing=True)
    assert less.per_token == pytest.approx(2 * WIDTH * 4 + whole.per_token / 2)


def test_memory_is_weights_gradients_and_two_moments() -> None:
    model = nn.Sequential(nn.Linear(10, 10), nn.Linear(10, 2).half())
    for parameter in model[0].parameters():
        parameter.requires_grad_(False)
    memory = Memory.of(model, 1000, trains=True, process=7)
    assert memory.weights == 110 * 4 + 22 * 2
    assert memory.gradients == 22 * 2
    assert memory.optimiser == 2 * 22 * 2
    assert memory.total == memory.weights + 3 * 44 + 1007
    assert Memory.of(model, 0, trains=False).gradients == 0


def test_bytes_of_a_batch() -> None:
    assert Activations(100, 3, 10, 0.5, 2).bytes(tokens=20, length=4) == 100 + 12 + 20 * (10 + 2 + 2)
