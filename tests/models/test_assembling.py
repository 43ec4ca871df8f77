"""A head (or adapter) and the name of an encoder: put together, the model is the one that would have been saved whole, bit for bit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from optional_packages import four_bits
from safetensors.torch import load_file, save_file
from tiny_checkpoints import FAMILIES, write_checkpoint
from tiny_tasks import tiny_task

from hubtools.common.errors import UserError
from hubtools.models import Checkpoint, ResidueTokeniser, build_model, resolve_checkpoint, save_model
from hubtools.models.adapters import is_adapter, merge_adapter
from hubtools.models.assembling import put_together, require_same, write_weights
from hubtools.models.encoder_note import names_encoder, note_of, read_note, weights_sha256
from hubtools.models.saved import load_model, save_adapter
from hubtools.specs.lookup.spec_files import load_recipe

PROBLEMS = ("residue-classification", "sequence-multilabel", "pair-regression")


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Checkpoint]:
    folder = tmp_path_factory.mktemp("families")
    return {f: resolve_checkpoint(str(write_checkpoint(folder / f, f))) for f in FAMILIES}


def saved_both(
    checkpoint: Checkpoint, folder: Path, problem: str = PROBLEMS[1], recipe: str = "probe", **settings: Any
) -> tuple[Any, Any]:
    """Task and recipe of a model that was written twice: ``whole`` as a run of full fine-tuning writes it, and ``model`` as its own does."""
    task, asked = tiny_task(problem), load_recipe(recipe, settings)
    tokeniser = ResidueTokeniser.from_checkpoint(checkpoint)
    model: Any = build_model(checkpoint, task, asked, tokeniser, 7)
    drawn = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, value in model.named_parameters():
            if is_adapter(name) or name.startswith("head."):
                value.add_(torch.randn(value.shape, generator=drawn), alpha=0.1)
    note = note_of(checkpoint.identity, asked, 7, model.encoder)
    if asked.adapter is not None:
        save_adapter(model, tokeniser, folder / "adapter", checkpoint.identity)
        merge_adapter(model)
    save_model(model, tokeniser, task, folder / "whole")
    save_model(model, tokeniser, task, folder / "model", note)
    return task, asked


def put(checkpoint: Checkpoint, folder: Path, task: Any, recipe: Any) -> Any:
    return put_together(folder / "model", task, recipe, checkpoint, folder / "adapter")[0]


CASES: list[Any] = [
    *((family, problem, "probe") for family in FAMILIES for problem in PROBLEMS[:2]),
    ("esm", "pair-regression", "probe"),
    ("esm", "sequence-classification", "probe-attention"),
    ("esm", "sequence-classification", "random-probe"),
    *(("esm", PROBLEMS[0], kind) for kind in ("lora", "rslora", "dora", "ia3")),
    *((family, PROBLEMS[1], "lora") for family in ("t5", "modernbert")),
    four_bits("esm", PROBLEMS[1], "qlora"),
]


@pytest.mark.parametrize(("family", "problem", "recipe"), CASES)
def test_it_is_the_model_that_would_have_been_saved_whole(
    checkpoints: dict[str, Checkpoint], tmp_path: Path, family: str, problem: str, recipe: str
) -> None:
    checkpoint = checkpoints[family]
    task, asked = saved_both(checkpoint, tmp_path, problem, recipe)
    assert not (tmp_path / "model" / "model.safetensors").exists()
    before = torch.random.get_rng_state()
    model = put(checkpoint, tmp_path, task, asked)
    assert torch.equal(torch.random.get_rng_state(), before), "nothing is drawn for whoever asks"
    expected = load_model(tmp_path / "whole", task)[0].state_dict()
    assert expected.keys() == model.state_dict().keys()
    assert all(torch.equal(value, expected[name]) for name, value in model.state_dict().items())
    # As a file, too.
    write_weights(model, tmp_path / "again")
    weights, config = "model.safetensors", "config.json"
    assert (tmp_path / "again" / weights).read_bytes() == (tmp_path / "whole" / weights).read_bytes()
    assert (tmp_path / "model" / config).read_bytes() == (tmp_path / "whole" / config).read_bytes()


def test_the_note_says_whose_encoder_it_is(checkpoints: dict[str, Checkpoint], tmp_path: Path) -> None:
    saved_both(checkpoints["esm"], tmp_path)
    note, encoder = read_note(tmp_path / "model"), load_file(checkpoints["esm"].files() / "model.safetensors")
    assert note.checkpoint == checkpoints["esm"].identity and note.base == note.sha256
    # Everything that is kept besides is the head.
    assert all(name.startswith("head.") for name in load_file(tmp_path / "model" / "head.safetensors"))
    assert len(encoder) > 20


@pytest.mark.parametrize(
    ("recipe", "settings", "trusted", "named"),
    [
        ("probe", {}, False, True),
        ("random-probe", {}, False, True),
        ("lora", {}, False, True),
        ("full", {}, False, False),
        ("lora", {"weights": "random"}, False, False),
        ("probe", {}, True, False),
    ],
)
def test_who_keeps_the_encoder(
    checkpoints: dict[str, Checkpoint], recipe: str, settings: dict[str, Any], trusted: bool, named: bool
) -> None:
    identity = checkpoints["esm"].identity.model_copy(update={"trust_remote_code": trusted})
    assert names_encoder(identity, load_recipe(recipe, settings)) is named


def test_another_encoder_is_refused(checkpoints: dict[str, Checkpoint], tmp_path: Path) -> None:
    task, asked = saved_both(checkpoints["esm"], tmp_path)
    folder = write_checkpoint(tmp_path / "esm", "esm")
    state = load_file(folder / "model.safetensors")
    name = next(name for name in state if name.endswith("layer.1.output.dense.weight"))
    state[name][0, 0] = torch.nextafter(state[name][0, 0], torch.tensor(9.0))
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match="its encoder has other weights than in the run"):
        put(resolve_checkpoint(str(folder)), tmp_path, task, asked)


def test_random_weights_that_are_drawn_otherwise_are_refused(
    checkpoints: dict[str, Checkpoint], tmp_path: Path
) -> None:
    task, asked = saved_both(checkpoints["esm"], tmp_path, recipe="random-probe")
    path = tmp_path / "model" / "encoder.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"seed": 8, "torch": "1.0"}))
    with pytest.raises(UserError, match=r"random weights are drawn otherwise here .* in the run by 1\.0"):
        put(checkpoints["esm"], tmp_path, task, asked)


@pytest.mark.parametrize("broken", ["{", "[]", '{"checkpoint": 1}'])
def test_a_note_that_bench_did_not_write_is_one_line(tmp_path: Path, broken: str) -> None:
    (tmp_path / "encoder.json").write_text(broken)
    with pytest.raises(UserError, match=r"encoder\.json is not as bench writes it"):
        read_note(tmp_path)


def test_what_is_read_back_is_held_against_the_model(checkpoints: dict[str, Checkpoint], tmp_path: Path) -> None:
    task, asked = saved_both(checkpoints["esm"], tmp_path)
    model = put(checkpoints["esm"], tmp_path, task, asked)
    require_same(model, tmp_path / "whole", task)
    with torch.no_grad():
        next(model.encoder.parameters())[3, 3] += 1
    with pytest.raises(UserError, match="what is read back is not what was written"):
        require_same(model, tmp_path / "whole", task)


def test_a_changed_weight_is_another_sum() -> None:
    layer = torch.nn.Linear(3, 2)
    first = weights_sha256(layer)
    assert weights_sha256(layer) == first
    with torch.no_grad():
        layer.bias[0] += 1
    second = weights_sha256(layer)
    assert second != first
    layer.bias.data = layer.bias.data.clone()
    assert weights_sha256(layer) == second, "where it lies makes no difference"
