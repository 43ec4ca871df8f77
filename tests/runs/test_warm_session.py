"""Many runs in one process: a checkpoint is loaded once, given back clean, and each result is what it is alone."""

from __future__ import annotations

import gc
import json
import weakref
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from test_execute import plan, project, session
from tiny_checkpoints import write_checkpoint

from hubtools.models import resolve_checkpoint
from hubtools.models.adapters import attach_adapter
from hubtools.models.encoder import load_encoder
from hubtools.runs import preparation, steps
from hubtools.runs.execute import Outcome
from hubtools.runs.many.turns import in_turn
from hubtools.runs.plan import PlannedRun
from hubtools.runs.session import Session
from hubtools.runs.warm import kept_models
from hubtools.runs.warm.as_loaded import AsLoaded
from hubtools.runs.warm.kept_models import KeptModels, ModelKey
from hubtools.runs.warm.recent import Recent
from hubtools.specs.recipe import Adapter

assert plan and project  # fixtures
Plan = Callable[..., PlannedRun]
CPU = torch.device("cpu")


class Silent:
    """Watches, and says nothing."""

    def __init__(self) -> None:
        self.begun: list[int] = []

    def begins(self, number: int) -> None:
        self.begun.append(number)

    def elsewhere(self, number: int, folder: Path, waiting: bool) -> None:
        raise AssertionError("nobody else is here")


def through(planned: list[PlannedRun], shared: Session) -> list[Outcome]:
    """The outcomes of a plan, in its order."""
    shared.planned = tuple(planned)
    found = dict(in_turn(planned, shared, Silent()))
    for outcome in found.values():
        assert isinstance(outcome, Outcome) and outcome.record.status == "complete", outcome
    return [found[number] for number in range(len(planned))]


def measured(outcome: Outcome) -> dict[str, Any]:
    """What a record says that is not about time, and each prediction."""
    record = outcome.record.model_dump(mode="json")
    for key in ("started", "finished", "cost", "command", "outputs"):
        record.pop(key)
    # How many were found is another matter than what they are.
    record["training"].pop("embeddings")
    record["training"].pop("tokens")
    frame = pd.read_parquet(outcome.folder / "predictions.parquet")
    return {"record": json.dumps(record, sort_keys=True), "predictions": frame.to_json(double_precision=15)}


@pytest.mark.slow
def test_a_run_of_many_gives_what_it_gives_alone(plan: Plan, tmp_path: Path) -> None:
    """Bit for bit, on one thread, whatever was done with the encoder before."""
    planned = [
        plan("residue-classification", "probe", epochs=3),
        plan("sequence-classification", "full", seed=2, epochs=1),
        plan("residue-classification", "lora", epochs=1),
        plan("sequence-classification", "probe", epochs=3),
        plan("residue-classification", "probe", epochs=3, weights="random"),
        plan("residue-classification", "probe", seed=2, epochs=3, weights="random"),
        plan("residue-classification", "full", seed=2, epochs=1),
        plan("sequence-classification", "probe-attention", epochs=2),
    ]
    shared = session(tmp_path / "together")
    together = through(planned, shared)
    for number, run in enumerate(planned):
        (alone,) = through([run], session(tmp_path / f"alone-{number}"))
        assert measured(together[number]) == measured(alone), run.title
    # The pretrained encoder once, and each of those with random weights.
    assert shared.models.loads == 3


@pytest.mark.slow
def test_a_checkpoint_is_loaded_once_and_in_its_turn(
    plan: Plan, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[str] = []
    original = preparation.load_encoder

    def counting(checkpoint: Any, **options: Any) -> Any:
        loaded.append(checkpoint.name)
        return original(checkpoint, **options)

    monkeypatch.setattr(preparation, "load_encoder", counting)
    proofs: list[Any] = []
    attach = preparation.engine
    monkeypatch.setattr(preparation, "engine", lambda *a, **k: proofs.append(a) or attach(*a, **k))
    other = str(write_checkpoint(tmp_path / "other", "bert"))
    tasks = ("residue-classification", "sequence-regression")
    # As a user asks for them: task by task.
    planned = [
        replace(plan(task, recipe, seed, epochs=2), checkpoint=checkpoint)
        for task in tasks
        for checkpoint in (str(project / "esm"), other)
        for recipe in ("probe", "probe-mlp")
        for seed in (1, 2)
    ]
    through(planned, session(tmp_path))
    assert loaded == ["esm", "other"]
    assert len(proofs) == 2, "both tasks hold the same proteins"


@pytest.mark.slow
def test_each_protein_is_read_once_for_all_frozen_recipes(plan: Plan, tmp_path: Path) -> None:
    """Whatever the head, its layers and its learning rates, and for another task on the same proteins."""
    planned = [
        plan("residue-classification", "probe", epochs=1),
        plan("residue-classification", "probe-mlp", epochs=1),
        plan("residue-classification", "probe-layers", epochs=1),
        plan("residue-regression", "probe", epochs=1),
    ]
    facts = [outcome.record.training for outcome in through(planned, session(tmp_path))]
    computed = [found.embeddings.computed for found in facts if found and found.embeddings]
    assert len(computed) == 4 and computed[2] > 0
    assert computed[0] == computed[1] == computed[3] == 0


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_runs(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models: list[weakref.ref[Any]] = []
    original = steps.build

    def watched(*arguments: Any) -> Any:
        made = original(*arguments)
        models.append(weakref.ref(made))
        return made

    monkeypatch.setattr(steps, "build", watched)
    alive: list[int] = []

    class Counting(Silent):
        def begins(self, number: int) -> None:
            gc.collect()
            alive.append(sum(made() is not None for made in models))

    planned = [
        plan("residue-classification", recipe, seed, epochs=2) for recipe in ("probe", "full") for seed in (1, 2, 3)
    ]
    shared = session(tmp_path)
    shared.planned = tuple(planned)
    for _, outcome in in_turn(planned, shared, Counting()):
        assert isinstance(outcome, Outcome) and outcome.record.status == "complete"
    # The last may still be held by what has just been returned.
    assert len(models) == 6 and max(alive) <= 1
    assert len(shared.models._kept) == 1
    shared.models.release()
    assert not shared.models._kept


# A model given back


def outputs(encoder: Any) -> torch.Tensor:
    ids = torch.randint(4, 24, (3, 40), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        return encoder(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state


@pytest.mark.parametrize("family", ["esm", "bert", "t5"])
def test_a_model_is_given_back_as_it_was_loaded(tmp_path: Path, family: str) -> None:
    checkpoint = resolve_checkpoint(str(write_checkpoint(tmp_path / family, family)))
    encoder: Any = load_encoder(checkpoint)
    before, names = outputs(encoder), [name for name, _ in encoder.named_parameters()]
    kept = AsLoaded(encoder)
    part: Any = next(module for module in encoder.modules() if isinstance(module, torch.nn.Linear))
    encoder.register_forward_hook(lambda *_: None)
    part.forward = lambda x: x * 0
    encoder.train()
    encoder.requires_grad_(False)
    encoder.config._attn_implementation = "another"
    part.table = torch.zeros(3)
    assert kept.restore()
    assert not encoder._forward_hooks and not encoder.training and not hasattr(part, "table")
    assert encoder.config._attn_implementation != "another"
    assert all(p.requires_grad for p in encoder.parameters())
    assert torch.equal(outputs(encoder), before)
    with torch.autocast("cpu", torch.bfloat16):
        outputs(encoder)
    assert kept.restore() and torch.equal(outputs(encoder), before)
    model: Any = torch.nn.Module()
    model.encoder, model.head = encoder, torch.nn.Linear(16, 2)
    if family == "esm":
        attach_adapter(model, Adapter(), "esm", 1)
        assert kept.restore()
    assert [name for name, _ in encoder.named_parameters()] == names
    assert torch.equal(outputs(encoder), before)


def test_a_weight_that_was_changed_is_noticed(tmp_path: Path) -> None:
    models, key = KeptModels(), ModelKey("a", "pretrained")
    encoder = models.frozen(key, lambda: torch.nn.Linear(2, 2), CPU)
    assert models.frozen(key, lambda: torch.nn.Linear(2, 2), CPU) is encoder and models.loads == 1
    with torch.no_grad():
        encoder.weight.mul_(2)
    assert models.frozen(key, lambda: torch.nn.Linear(2, 2), CPU) is not encoder and models.loads == 2


def test_what_is_trained_is_a_copy_of_what_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    models, key = KeptModels(), ModelKey("a", "pretrained")
    frozen = models.frozen(key, lambda: torch.nn.Linear(2, 2), CPU)
    own = models.own(key, lambda: torch.nn.Linear(2, 2), again=True)
    assert own is not frozen and torch.equal(own.weight, frozen.weight) and models.loads == 1
    assert own.weight.data_ptr() != frozen.weight.data_ptr()
    # A large one is not there twice: the run that changes it gets the very one, and it is loaded again.
    monkeypatch.setattr(kept_models, "SMALL", 1)
    assert models.own(key, lambda: torch.nn.Linear(2, 2), again=True) is frozen
    assert models.frozen(key, lambda: torch.nn.Linear(2, 2), CPU) is not frozen and models.loads == 2


def test_what_was_kept_for_copies_goes_to_the_device() -> None:
    models, key = KeptModels(), ModelKey("a", "pretrained")
    models.own(key, lambda: torch.nn.Linear(2, 2), again=True)
    elsewhere = torch.device("meta")
    lent = models.frozen(key, lambda: torch.nn.Linear(2, 2), elsewhere)
    assert lent.weight.device == elsewhere and models.loads == 1
    assert models.frozen(key, lambda: torch.nn.Linear(2, 2), elsewhere) is lent


def test_another_checkpoint_takes_the_place() -> None:
    models = KeptModels()
    first = weakref.ref(models.frozen(ModelKey("a", "pretrained"), lambda: torch.nn.Linear(2, 2), CPU))
    models.frozen(ModelKey("a", "random 1"), lambda: torch.nn.Linear(2, 2), CPU)
    models.frozen(ModelKey("a", "random 2"), lambda: torch.nn.Linear(2, 2), CPU)
    assert len(models._kept) == 2
    models.frozen(ModelKey("b", "pretrained"), lambda: torch.nn.Linear(2, 2), CPU)
    gc.collect()
    assert first() is None and len(models._kept) == 1


def test_a_large_model_is_gone_before_the_next_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_models, "SMALL", 1)
    models = KeptModels()
    first = weakref.ref(models.frozen(ModelKey("a", "random 1"), lambda: torch.nn.Linear(2, 2), CPU))
    there = []

    def load() -> torch.nn.Module:
        there.append(first())
        return torch.nn.Linear(2, 2)

    models.frozen(ModelKey("a", "pretrained"), load, CPU)
    assert there == [None]


def test_the_latest_that_fit_are_kept() -> None:
    made: list[int] = []
    recent: Recent[int] = Recent(10, float)

    def value(size: int) -> int:
        return recent.get(size, lambda: made.append(size) or size)

    assert [value(4), value(5), value(4)] == [4, 5, 4] and made == [4, 5]
    value(6)
    assert len(recent) == 2 and value(4) == 4 and made == [4, 5, 6]
    value(50)
    assert len(recent) == 1, "the last always is"
