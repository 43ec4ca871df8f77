"""--token-budget auto, with a clock and a memory that are made up."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from damage import WAYS
from tiny_checkpoints import write_checkpoint
from torch import nn

from hubtools.models import resolve_checkpoint
from hubtools.models.encoder import load_encoder
from hubtools.specs.recipe import Recipe
from hubtools.training.compute.device import Execution
from hubtools.training.compute.speed import LARGEST_ON_CPU, SMALLEST, best_budget, settle_budget

# Seconds a token, by budget.
FASTER_UNTIL_4096 = {512: 1.0, 1024: 0.8, 2048: 0.6, 4096: 0.5, 8192: 0.49, 16384: 0.2}


def test_budgets_are_doubled_until_speed_stops_improving() -> None:
    # 8,192 adds two per cent only, so what lies beyond is not tried.
    assert best_budget(FASTER_UNTIL_4096.__getitem__, lambda budget: 0, None, 131_072) == 4096


def test_memory_ends_the_search_at_85_per_cent() -> None:
    def needed(budget: int) -> int:
        return budget

    assert best_budget(FASTER_UNTIL_4096.__getitem__, needed, round(2048 / 0.85) + 1, 131_072) == 2048
    assert best_budget(FASTER_UNTIL_4096.__getitem__, needed, round(2048 / 0.85) - 2, 131_072) == 1024


def test_a_slower_budget_is_not_taken() -> None:
    assert best_budget({512: 1.0, 1024: 1.1}.__getitem__, lambda budget: 0, None, 131_072) == 512
    assert best_budget(FASTER_UNTIL_4096.__getitem__, lambda budget: 0, None, 1024) == 1024


def test_the_budget_is_measured_once_and_changes_nothing(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "checkpoint", "esm")
    model = nn.Module()
    model.encoder = load_encoder(resolve_checkpoint(str(tmp_path / "checkpoint")))
    recipe, execution = Recipe(name="r", adaptation="full"), Execution(torch.device("cpu"), 2048, auto_budget=True)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    ticks = iter(range(10_000))
    found = settle_budget(model, recipe, execution, tmp_path / "cache", clock=lambda: float(next(ticks)))
    assert torch.equal(torch.rand(4), expected)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    # Each pass takes one second by this clock, so that more tokens are always faster.
    assert found.token_budget == LARGEST_ON_CPU
    (file,) = (tmp_path / "cache" / "budgets").glob("*.json")
    assert json.loads(file.read_text())["token_budget"] == LARGEST_ON_CPU
    file.write_text(json.dumps({"token_budget": 777}))

    def never() -> float:
        pytest.fail("measured again")

    assert settle_budget(model, recipe, execution, tmp_path / "cache", clock=never).token_budget == 777


def test_a_damaged_note_is_measured_again(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "checkpoint", "esm")
    model = nn.Module()
    model.encoder = load_encoder(resolve_checkpoint(str(tmp_path / "checkpoint")))
    recipe, execution = Recipe(name="r", adaptation="probe"), Execution(torch.device("cpu"), 2048, auto_budget=True)
    first = settle_budget(model, recipe, execution, tmp_path, clock=lambda: 0.0)
    (file,) = (tmp_path / "budgets").glob("*.json")
    kept = file.read_bytes()
    for damage in (*(WAYS[way] for way in WAYS if way != "not to be read"), _another):
        damage(file)
        assert settle_budget(model, recipe, execution, tmp_path, clock=lambda: 0.0) == first
        assert file.read_bytes() == kept, "and kept again"
    assert first.token_budget >= SMALLEST


def _another(file: Path) -> None:
    """A number that cannot have been measured."""
    file.write_text('{"token_budget": 1}')
