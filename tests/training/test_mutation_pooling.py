"""Pooling over the positions that vary between training sequences, in training and in the published model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from datasets import Dataset
from tiny_checkpoints import write_checkpoint
from tiny_tasks import LETTERS, tiny_task

from hubtools.common.errors import UserError
from hubtools.models import ResidueTokeniser, build_model, load_model, resolve_checkpoint, save_model
from hubtools.specs.recipe import Recipe, Window
from hubtools.training.batches import micro_batches
from hubtools.training.encoding import encode, varying_positions
from hubtools.training.loss import Loss
from hubtools.training.prediction import predict

TASK = tiny_task("sequence-regression")
RECIPE = Recipe(name="r", adaptation="probe", head={"pooling": "mutations"})
BASE = "MKTAYIAKQRQISFVKSHFSRQLEERLGLIEVQAPILSRVGD"
SITES = [3, 17, 40]


def library(n: int = 6, seed: int = 0) -> list[str]:
    rng = np.random.default_rng(seed)
    rows = np.array([list(BASE)] * n)
    for site in SITES:
        rows[:, site] = rng.permutation(list(LETTERS))[:n]
    return ["".join(row) for row in rows]


def dataset(sequences: list[str]) -> Dataset:
    n = len(sequences)
    return Dataset.from_dict(
        {"id": [f"p{i}" for i in range(n)], "sequence": sequences, "label": [float(i) for i in range(n)]}
    )


@pytest.fixture
def made(tmp_path: Path):
    checkpoint = resolve_checkpoint(str(write_checkpoint(tmp_path / "esm", "esm")))
    tokeniser = ResidueTokeniser.from_checkpoint(checkpoint)
    return build_model(checkpoint, TASK, RECIPE, tokeniser, 1, SITES).eval(), tokeniser


def test_positions_are_those_that_differ_in_train_alone():
    other = "A" + BASE[1:]
    assert varying_positions({"train": library(), "test": [other]}, "t") == SITES
    with pytest.raises(UserError, match="train has one of 42 residues, test one of 41"):
        varying_positions({"train": library(), "test": [BASE[1:]]}, "t")
    with pytest.raises(UserError, match="no position that varies"):
        varying_positions({"train": [BASE, BASE], "test": [other]}, "t")


def by_hand(model, tokeniser, sequence: str, window: slice | None = None) -> torch.Tensor:
    ids = torch.from_numpy(tokeniser.with_special(tokeniser.encode(sequence)))[None]
    hidden = model.residue_representations(ids, torch.ones_like(ids))
    return model.head(hidden[0, [site + 1 for site in SITES]].mean(0))


@torch.no_grad()
def test_the_mean_runs_over_these_positions_and_no_other(made):
    model, tokeniser = made
    split = encode(dataset(library()), TASK, tokeniser, Window(), SITES)
    expected = [float(by_hand(model, tokeniser, sequence)) for sequence in library()]
    assert np.ptp(expected) > 1e-5
    got = predict(model, split, Loss("regression"), token_budget=100, device=torch.device("cpu"))
    np.testing.assert_allclose(got.scores, expected, atol=1e-6)
    plain = encode(dataset(library()), TASK, tokeniser, Window())
    other = predict(model, plain, Loss("regression"), token_budget=100, device=torch.device("cpu"))
    assert np.abs(other.scores - got.scores).max() > 1e-5, "the mean over all residues is another number"


@torch.no_grad()
def test_the_published_model_does_the_same_by_itself(made, tmp_path):
    model, tokeniser = made
    save_model(model, tokeniser, TASK, tmp_path / "model")
    loaded, again = load_model(tmp_path / "model", TASK)
    assert loaded.config.pool_positions == SITES
    tokens = again.tokenizer(library(), return_tensors="pt", padding=True)
    got = loaded(input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"]).logits[:, 0]
    expected = [float(by_hand(model, tokeniser, sequence)) for sequence in library()]
    np.testing.assert_allclose(got.numpy(), expected, atol=1e-6)
    short = again.tokenizer([BASE[:20]], return_tensors="pt")
    with pytest.raises(ValueError, match="shorter than those"):
        loaded(input_ids=short["input_ids"])


def test_in_windows_each_position_counts_once_and_windows_without_any_are_not_read(made):
    _, tokeniser = made
    split = encode(dataset(library(2)), TASK, tokeniser, Window(residues=16, overlap=4), SITES)
    assert all(1 < len(windows) <= 3 for windows in split.windows)
    batch = next(micro_batches(split, range(2), 10_000))
    sites = []
    rows = [(protein, piece) for protein, windows in enumerate(split.windows) for piece in windows]
    assert len(rows) == len(batch.inputs["input_ids"])
    assert int(batch.inputs["residue_mask"].sum()) == 2 * len(SITES)
    for (_, piece), _ in zip(rows, range(len(split.windows[0])), strict=False):
        sites += [site for site in SITES if piece.core_start <= site < piece.core_stop]
    assert sorted(sites) == SITES


def test_a_model_without_pooling_is_as_before(tmp_path):
    checkpoint = resolve_checkpoint(str(write_checkpoint(tmp_path / "esm", "esm")))
    tokeniser = ResidueTokeniser.from_checkpoint(checkpoint)
    model = build_model(
        checkpoint, TASK, RECIPE.model_copy(update={"head": Recipe.model_fields["head"].default}), tokeniser, 1
    )
    assert model.config.pool_positions is None
    ids = torch.from_numpy(tokeniser.with_special(tokeniser.encode(BASE)))[None]
    assert int(model.residue_mask(ids, torch.ones_like(ids)).sum()) == len(BASE)
