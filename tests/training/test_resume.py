"""What is kept of a fit comes back as it was: for every family, whole or with an adapter."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from tiny_checkpoints import FAMILIES, write_checkpoint
from tiny_tasks import tiny_task

from hubtools.models import ResidueTokeniser, build_model, resolve_checkpoint
from hubtools.specs.lookup.spec_files import load_recipe
from hubtools.training.finetune import resume
from hubtools.training.finetune.resume import Progress, last_whole_checkpoint, learnt, load_weights, read_progress


@pytest.mark.parametrize("recipe", ["full", "lora", "dora", "ia3", "qlora"])
@pytest.mark.parametrize("family", FAMILIES)
def test_weights_come_back(family: str, recipe: str, tmp_path: Path) -> None:
    if recipe == "qlora":
        pytest.importorskip("bitsandbytes")
    checkpoint = resolve_checkpoint(str(write_checkpoint(tmp_path / family, family)))
    tokeniser = ResidueTokeniser.from_checkpoint(checkpoint)

    def fresh(seed: int) -> torch.nn.Module:
        return build_model(checkpoint, tiny_task("sequence-classification"), load_recipe(recipe, {}), tokeniser, seed)

    trained, other = fresh(1), fresh(2)
    with torch.no_grad():
        for tensor in trained.parameters():
            if tensor.requires_grad:
                tensor.add_(torch.randn(tensor.shape))
    before, expected = other.state_dict(), {name: value.clone() for name, value in trained.state_dict().items()}
    assert any(not torch.equal(before[name], value) for name, value in expected.items())
    resume.write_checkpoint(tmp_path / "work", Progress(step=3, best_step=3), trained, {})
    load_weights(other, tmp_path / "work" / "checkpoint-3")
    assert other.state_dict().keys() == expected.keys()
    for name, value in other.state_dict().items():
        assert torch.equal(value, expected[name]), name
    assert set(learnt(other)) >= {name for name, value in other.named_parameters() if value.requires_grad}
    assert not any(name.endswith(".packed") for name in learnt(other)), "weights of four bits are frozen"


def test_only_the_newest_and_the_best_are_kept(tmp_path: Path) -> None:
    model = torch.nn.Linear(2, 1)
    for step, best in ((5, 5), (10, 5), (15, 5), (20, 20)):
        resume.write_checkpoint(tmp_path, Progress(step=step, best_step=best), model, {})
        there = {int(path.name.removeprefix("checkpoint-")) for path in tmp_path.glob("checkpoint-*")}
        assert there == {step, best}


def test_an_undefined_score_is_kept_and_what_is_cut_off_is_passed_over(tmp_path: Path) -> None:
    model = torch.nn.Linear(2, 1)
    progress = Progress(epoch=1, step=5, best_step=5, best_score=float("-inf"))
    resume.write_checkpoint(tmp_path, progress, model, {})
    newer = tmp_path / "checkpoint-10"
    newer.mkdir()
    (newer / "state.json").write_text(json.dumps({"epoch": 2})[:-3])
    found = last_whole_checkpoint(tmp_path)
    assert found == tmp_path / "checkpoint-5" and read_progress(found) == progress
