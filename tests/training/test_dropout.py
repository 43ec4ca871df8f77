"""What is dropped depends on seed, step, protein and residue alone: not on memory, packing, processes or an interruption.

With the shipped recipes as they are, weights differ by less than 1e-6 of the largest; or by the order of what they do without
dropout, where sums in another order are all there is (Adam turns rounding into whole steps of a weight that has no gradient, such
as a bias under a softmax). Masks that differed would put them 1e-3 apart.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from test_fit import Setting
from test_memory import Full
from tiny_checkpoints import FAMILIES, write_checkpoint
from tiny_tasks import PROBLEMS

from hubtools.models import resolve_checkpoint
from hubtools.training.batches import collate
from hubtools.training.compute.device import Execution
from hubtools.training.compute.engine import engine
from hubtools.training.finetune import fit as fit_module
from hubtools.training.finetune.dropout import CountedDropout, Counters, Dropouts, keep, mixed
from hubtools.training.finetune.fit import FairTrainer

SAME = 1e-6
# Enough steps for a difference to grow: 64 proteins, eight to a step, three epochs.
STEPS = {"epochs": 3, "learning_rate": 1e-4, "head_learning_rate": 1e-3}
DROPS = {
    "full": {},
    "lora": {"adapter.dropout": 0.2},
    "dora": {"adapter.dropout": 0.2},
    "attention": {"head.pooling": "attention", "head.hidden": 8},
    "native": {"head.kind": "native"},
}


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    root = tmp_path_factory.mktemp("checkpoints")
    return {family: resolve_checkpoint(str(write_checkpoint(root / family, family))) for family in FAMILIES}


def setting(checkpoint: Any, problem: str, folder: Path, recipe: str = "full", budget: int = 4096) -> Setting:
    name = recipe if recipe in {"lora", "dora"} else "full"
    made = Setting(checkpoint, problem, folder, token_budget=budget, recipe=name, **STEPS, **DROPS[recipe])
    assert made.recipe.head.dropout == 0.1, "as it ships"
    return made


def without(made: Setting) -> Setting:
    """The same, nothing dropped."""
    for module in made.model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    return made


def distance(one: Setting, other: Setting) -> float:
    a, b = one.weights(), other.weights()
    return float((a - b).abs().max() / b.abs().max())


def packed(made: Setting) -> None:
    """Fit as a run does that packs."""
    execution = Execution(torch.device("cpu"), made.job.execution.token_budget)
    with engine(made.model, made.tokeniser, execution, bf16=False, trains=True) as result:
        assert result.packed
        made.splits = {name: replace(split, packed=True) for name, split in made.splits.items()}
        made.fit()


# Each problem with two families, and each family with problems of every level.
PAIRED = [(FAMILIES[(i + step) % len(FAMILIES)], problem) for i, problem in enumerate(PROBLEMS) for step in (0, 3)]


@pytest.mark.slow
@pytest.mark.parametrize(("family", "problem"), PAIRED)
def test_memory_changes_no_weight(checkpoints, family: str, problem: str, tmp_path: Path) -> None:
    """Batches as large as can be, and others that did not fit and were done again in smaller pieces."""
    large, tight = (setting(checkpoints[family], problem, tmp_path / name) for name in ("large", "tight"))
    allocator = Full(tight.model, room=150)
    fitted, cut = large.fit(), tight.fit()
    assert fitted.steps == cut.steps >= 20 and allocator.refused > 0 and cut.token_budget < fitted.token_budget
    assert distance(tight, large) < SAME


@pytest.mark.slow
@pytest.mark.parametrize(
    "recipe, problem",
    [
        ("lora", "residue-classification"),
        ("lora", "pair-classification"),
        ("dora", "sequence-classification"),
        ("attention", "sequence-multilabel"),
        ("native", "residue-classification"),
        ("native", "sequence-classification"),
    ],
)
def test_nor_with_adapters_and_other_heads(checkpoints, recipe: str, problem: str, tmp_path: Path) -> None:
    def distances(change: Any, folder: Path) -> list[float]:
        large, small, together = (
            change(setting(checkpoints["esm"], problem, folder / name, recipe, budget))
            for name, budget in (("large", 4096), ("small", 64), ("packed", 512))
        )
        large.fit()
        small.fit()
        packed(together)
        return [distance(small, large), distance(together, large)]

    for name in ("drops", "drops-nothing"):
        (tmp_path / name).mkdir()
    found = distances(lambda made: made, tmp_path / "drops")
    if max(found) >= SAME:
        assert max(found) < 10 * max(distances(without, tmp_path / "drops-nothing"))


@pytest.mark.slow
@pytest.mark.parametrize("family", [family for family in FAMILIES if family not in {"t5", "ankh"}])
@pytest.mark.parametrize("problem", ["residue-classification", "sequence-regression", "pair-classification"])
def test_packing_changes_no_weight(checkpoints, family: str, problem: str, tmp_path: Path) -> None:
    padded, together = (setting(checkpoints[family], problem, tmp_path / name) for name in ("padded", "packed"))
    padded.fit()
    packed(together)
    assert distance(together, padded) < SAME


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["full", "lora", "attention"])
def test_an_interruption_changes_no_weight(checkpoints, recipe: str, tmp_path: Path, monkeypatch) -> None:
    class Killed(BaseException):
        """Stands for the end of the process."""

    def dying(self: FairTrainer, *arguments: Any) -> Any:
        if self.progress.step == 2 * 8 + 3:
            raise Killed
        return original(self, *arguments)

    unbroken, broken, again = (
        setting(checkpoints["esm"], "sequence-classification", tmp_path / name, recipe)
        for name in ("unbroken", "broken", "broken")
    )
    unbroken.fit()
    original = FairTrainer.training_step
    monkeypatch.setattr(fit_module.FairTrainer, "training_step", dying)
    with pytest.raises(Killed):
        broken.fit()
    monkeypatch.setattr(fit_module.FairTrainer, "training_step", original)
    torch.manual_seed(123)
    assert again.fit().steps == 24
    assert torch.equal(again.weights(), unbroken.weights())


def test_a_share_is_dropped_everywhere_and_differently() -> None:
    counters = mixed(torch.arange(2000, dtype=torch.int32))
    masks = {place: keep(counters, 64, 0.3, place) for place in (1, 2)}
    for mask in masks.values():
        # 128,000 draws: a standard error of 0.0013; of each row and column 0.06 and 0.01.
        assert float(mask.float().mean()) == pytest.approx(0.7, abs=0.006)
        assert np.ptp(mask.float().mean(0).numpy()) < 0.08 and np.ptp(mask.float().mean(1).numpy()) < 0.55
    # Two independent masks agree where both keep or both drop.
    expected = 0.7**2 + 0.3**2
    for one, other in ((masks[1], masks[2]), (masks[1][1:], masks[1][:-1]), (masks[1][:, 1:], masks[1][:, :-1])):
        assert float((one == other).float().mean()) == pytest.approx(expected, abs=0.01)


def test_counters_are_those_of_proteins_and_residues_wherever_they_lie(checkpoints, tmp_path: Path) -> None:
    split = setting(checkpoints["esm"], "residue-classification", tmp_path).splits["train"]
    rows = [(protein, piece) for protein in (3, 5, 9) for piece in split.windows[protein]]
    prefix = len(split.tokeniser.prefix)
    together = Counters.of(collate(split, rows), prefix, seed=1)
    for number, row in enumerate(rows):
        (alone,) = Counters.of(collate(split, [row]), prefix, seed=1).tokens
        assert torch.equal(together.tokens[number, : len(alone)], alone)
    assert together.tokens.unique().numel() == len({*together.tokens.flatten().tolist()})
    other_seed = Counters.of(collate(split, rows), prefix, seed=2)
    assert not torch.equal(other_seed.tokens, together.tokens)
    steps = [together.at(step, torch.device("cpu")).tokens for step in (0, 1)]
    assert (steps[0] == steps[1]).float().mean() < 0.01


def test_of_the_encoder_nothing_is_dropped_unless_a_recipe_says_so(checkpoints, tmp_path: Path) -> None:
    for family in ("bert", "t5", "esm"):
        made = setting(checkpoints[family], "residue-classification", tmp_path)
        ids = torch.tensor([[5, 6, 7, 8, 9, 10]])
        for let, same in ((False, True), (True, False)):
            dropouts = Dropouts(made.model, 1, 1, encoder=let)
            dropouts.train()
            out = [made.model.encoder(input_ids=ids).last_hidden_state for _ in range(2)]
            assert torch.equal(*out) == same, family


def test_the_model_is_as_it_was_when_all_is_trained(checkpoints, tmp_path: Path) -> None:
    made = setting(checkpoints["esm"], "sequence-classification", tmp_path, "lora")
    before = [type(module) for module in made.model.modules()]
    trainer = FairTrainer(made.model, made.splits["train"], made.splits["validation"], made.job)
    # One in the head, and one beside each linear layer of the two layers.
    assert sum(isinstance(module, CountedDropout) for module in made.model.modules()) == 1 + 2 * 6
    trainer.dropouts.close()
    assert [type(module) for module in made.model.modules()] == before


def test_where_a_model_lays_tokens_out_in_no_known_way_it_says_so(checkpoints, tmp_path: Path) -> None:
    split = setting(checkpoints["esm"], "residue-classification", tmp_path).splits["train"]
    counters = Counters.of(collate(split, [(0, split.windows[0][0])]), 1, 1)
    with pytest.raises(RuntimeError, match="not one for each of the tokens"):
        counters.of_tokens(torch.Size([3]))


@pytest.mark.slow
def test_dropout_deep_inside_a_head_is_of_its_proteins_too(checkpoints, tmp_path: Path) -> None:
    """A package's head has its layers where it likes."""

    def nested(name: str, budget: int) -> Setting:
        made = setting(checkpoints["esm"], "sequence-classification", tmp_path / name, budget=budget)
        made.model.head = torch.nn.Sequential(torch.nn.Sequential(*made.model.head))
        return made

    large, small = nested("large", 4096), nested("small", 64)
    large.fit()
    small.fit()
    assert distance(small, large) < SAME
