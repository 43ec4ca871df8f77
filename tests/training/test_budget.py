"""--token-budget auto, with a clock and a memory that are made up."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from damage import WAYS
from tiny_checkpoints import write_checkpoint
from torch import nn

from hubtools.models import resolve_checkpoint
from hubtools.models.encoder import load_encoder
from hubtools.specs.recipe import Recipe
from hubtools.training.compute import measured as measured_module
from hubtools.training.compute.device import Execution
from hubtools.training.compute.speed import LARGEST_ON_CPU, SMALLEST, best_budget, settle_budget

# Seconds a token, by budget.
FASTER_UNTIL_4096 = {512: 1.0, 1024: 0.8, 2048: 0.6, 4096: 0.5, 8192: 0.49, 16384: 0.2}


@pytest.fixture(autouse=True)
def nothing_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(measured_module, "_known", {})


def best(times: Mapping[int, float], free: int | None, largest: int, needed: Any = lambda budget: 0) -> int:
    found = best_budget(lambda budget: (times[budget], times[budget]), needed, free, largest)
    assert found.steady
    return int(found.name)


def test_budgets_are_doubled_until_speed_stops_improving() -> None:
    # 8,192 adds two per cent only, so what lies beyond is not tried.
    assert best(FASTER_UNTIL_4096, None, 131_072) == 4096


def test_memory_ends_the_search_at_85_per_cent() -> None:
    def needed(budget: int) -> int:
        return budget

    assert best(FASTER_UNTIL_4096, round(2048 / 0.85) + 1, 131_072, needed) == 2048
    assert best(FASTER_UNTIL_4096, round(2048 / 0.85) - 2, 131_072, needed) == 1024


def test_a_slower_budget_is_not_taken() -> None:
    assert best({512: 1.0, 1024: 1.1}, None, 131_072) == 512
    assert best(FASTER_UNTIL_4096, None, 1024) == 1024


def test_where_a_busy_machine_cannot_tell_the_smaller_is_taken_and_not_kept() -> None:
    times = {512: (1.0, 1.0), 1024: (0.8, 1.3), 2048: (0.1, 0.1)}
    found = best_budget(times.__getitem__, lambda budget: 0, None, 2048)
    assert (found.name, found.steady, found.seconds["1024"]) == ("512", False, (0.8, 1.3))


def model_of(folder: Path) -> Any:
    write_checkpoint(folder / "checkpoint", "esm")
    model = nn.Module()
    model.encoder = load_encoder(resolve_checkpoint(str(folder / "checkpoint")))
    return model


def test_the_budget_is_measured_once_and_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of(tmp_path)
    recipe, execution = Recipe(name="r", adaptation="full"), Execution(torch.device("cpu"), 2048, auto_budget=True)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    ticks = iter(range(10_000))
    found = settle_budget(model, recipe, execution, clock=lambda: float(next(ticks)))
    assert torch.equal(torch.rand(4), expected)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    # Each pass takes one second by this clock, so that more tokens are always faster.
    assert found.token_budget == LARGEST_ON_CPU
    [file] = (tmp_path / "cache").glob("measured-*.json")
    [(question, answer)] = json.loads(file.read_text()).items()
    assert answer["name"] == str(LARGEST_ON_CPU) and len(answer["seconds"]) == 4
    assert f"torch {torch.__version__}" in question and f"{torch.get_num_threads()} threads" in question

    def never() -> float:
        pytest.fail("measured again")

    # Another process.
    monkeypatch.setattr(measured_module, "_known", {})
    assert settle_budget(model, recipe, execution, clock=never).token_budget == LARGEST_ON_CPU
    threads = torch.get_num_threads()
    torch.set_num_threads(threads + 1)
    try:
        with pytest.raises(pytest.fail.Exception, match="measured again"):
            settle_budget(model, recipe, execution, clock=never)
    finally:
        torch.set_num_threads(threads)


def test_a_damaged_note_is_measured_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of(tmp_path)
    recipe, execution = Recipe(name="r", adaptation="probe"), Execution(torch.device("cpu"), 2048, auto_budget=True)
    first = settle_budget(model, recipe, execution, clock=lambda: 0.0)
    [file] = (tmp_path / "cache").glob("measured-*.json")
    kept = file.read_bytes()
    for damage in (*(WAYS[way] for way in WAYS if way != "not to be read"), _another):
        damage(file)
        monkeypatch.setattr(measured_module, "_known", {})
        assert settle_budget(model, recipe, execution, clock=lambda: 0.0) == first
        assert file.read_bytes() == kept, "and kept again"
    assert first.token_budget >= SMALLEST


def _another(file: Path) -> None:
    """A number that cannot have been measured."""
    answers = json.loads(file.read_text())
    file.write_text(json.dumps({key: {**answer, "name": "1"} for key, answer in answers.items()}))
