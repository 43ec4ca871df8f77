"""Light attention: what a protein gets alone it gets in any batch, in windows too, in training and when published."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tiny_checkpoints import FAMILIES, write_checkpoint
from tiny_tasks import tiny_data, tiny_task
from torch import nn

from hubtools.models import ResidueTokeniser, build_model, load_model, resolve_checkpoint, save_model
from hubtools.models.modeling_protein_task import LightAttention, PooledHead
from hubtools.specs.lookup.spec_files import load_recipe
from hubtools.specs.problem import Problem
from hubtools.specs.recipe import Window
from hubtools.training.encoding import encode
from hubtools.training.frozen.examples import Scale
from hubtools.training.loss import Loss
from hubtools.training.prediction import predict

SEQUENCES = ["MKTAYIAKQRQISFVKSHFSRQ", "ACDEFG", "M"]
TASK = tiny_task("sequence-classification")


def model_of(folder: Path, family: str = "esm"):
    checkpoint = resolve_checkpoint(str(write_checkpoint(folder / family, family)))
    tokeniser = ResidueTokeniser.from_checkpoint(checkpoint)
    recipe = load_recipe("full", {"head.pooling": "attention", "head.hidden": 8})
    return build_model(checkpoint, TASK, recipe, tokeniser, 1).eval(), tokeniser


def padded(tokeniser, sequences: list[str], extra: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    rows = [torch.from_numpy(tokeniser.with_special(tokeniser.encode(s))) for s in sequences]
    ids = torch.full((len(rows), max(map(len, rows)) + extra), tokeniser.pad_id)
    mask = torch.zeros_like(ids)
    for i, row in enumerate(rows):
        ids[i, : len(row)], mask[i, : len(row)] = row, 1
    return ids, mask


def by_hand(pool: LightAttention, residues: torch.Tensor) -> torch.Tensor:
    """One protein, with torch's own padded convolution and softmax: (residues, width) -> (2 × width,)."""
    row, kernel = residues.T[None], pool.KERNEL // 2
    values = nn.functional.conv1d(row, pool.value.weight, pool.value.bias, padding=kernel)[0]
    attention = nn.functional.conv1d(row, pool.attention.weight, pool.attention.bias, padding=kernel)[0]
    return torch.cat([(values * attention.softmax(-1)).sum(-1), values.max(-1).values])


def test_it_is_two_convolutions_a_softmax_a_sum_and_a_maximum_of_each_protein() -> None:
    torch.manual_seed(0)
    pool = LightAttention(6)
    proteins = [torch.randn(n, 6, requires_grad=True) for n in (13, 1, 4)]
    owners = torch.tensor([0] * 13 + [1] + [2] * 4)
    together = pool(torch.cat(proteins), owners, 3)
    expected = torch.stack([by_hand(pool, protein) for protein in proteins])
    torch.testing.assert_close(together, expected, atol=1e-6, rtol=1e-5)
    weight = torch.randn_like(expected)
    inputs = [*proteins, pool.value.weight, pool.attention.weight]
    ours, theirs = (torch.autograd.grad((out * weight).sum(), inputs) for out in (together, expected))
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_neither_padding_nor_special_tokens_nor_neighbours_count(family: str, tmp_path: Path) -> None:
    model, tokeniser = model_of(tmp_path, family)
    ids, mask = padded(tokeniser, SEQUENCES, extra=5)
    together = model(ids, mask).logits
    for i, sequence in enumerate(SEQUENCES):
        alone = padded(tokeniser, [sequence])
        torch.testing.assert_close(together[i : i + 1], model(*alone).logits, atol=2e-5, rtol=1e-4)
        hidden = model.residue_representations(*alone)[0, model.residue_mask(*alone)[0]]
        assert len(hidden) == len(sequence)
        pooled = by_hand(model.head[0], hidden)
        torch.testing.assert_close(together[i], nn.Sequential(*model.head[1:])(pooled), atol=2e-5, rtol=1e-4)
    save_model(model, tokeniser, TASK, tmp_path / "model")
    loaded, _ = load_model(tmp_path / "model", TASK)
    torch.testing.assert_close(loaded(ids, mask).logits, together, atol=1e-6, rtol=1e-5)


@torch.no_grad()
def test_windows_of_a_protein_are_one_sequence_whatever_the_budget(tmp_path: Path) -> None:
    model, tokeniser = model_of(tmp_path)
    split = encode(tiny_data("sequence-classification", 9)["train"], TASK, tokeniser, Window(residues=16, overlap=8))
    assert max(map(len, split.windows)) > 2
    loss, device = Loss("classification"), torch.device("cpu")
    scores = [predict(model, split, loss, token_budget=budget, device=device).scores for budget in (40, 2000)]
    torch.testing.assert_close(torch.tensor(scores[0]), torch.tensor(scores[1]), atol=1e-6, rtol=1e-5)
    for protein in range(3):
        cores = []
        for piece in split.windows[protein]:
            ids = torch.from_numpy(tokeniser.with_special(split.tokens[protein][piece.start : piece.stop]))[None]
            hidden = model.residue_representations(ids, torch.ones_like(ids))[0, 1:-1]
            cores.append(hidden[piece.core_start - piece.start : piece.core_stop - piece.start])
        assert sum(map(len, cores)) == len(split.tokens[protein])
        logits = nn.Sequential(*model.head[1:])(by_hand(model.head[0], torch.cat(cores)))
        torch.testing.assert_close(torch.tensor(scores[1][protein]), logits.softmax(-1), atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_a_standardisation_folds_in_exactly_at_the_ends_too() -> None:
    torch.manual_seed(0)
    head = PooledHead(LightAttention(5), nn.Dropout(0.0), nn.Linear(10, 2)).eval()
    residues, owners = torch.randn(7, 5) * 3 + 10, torch.tensor([0, 0, 0, 1, 1, 1, 1])
    scale = Scale(residues.numpy())
    before = head((residues - scale.mean) / scale.std, owners, 2)
    assert not torch.allclose(before, head(residues, owners, 2), atol=1e-2)
    scale.fold_into(head)
    torch.testing.assert_close(head(residues, owners, 2), before, atol=1e-5, rtol=1e-4)


def test_pairs_have_none_and_say_why() -> None:
    recipe = load_recipe("probe-attention", {})
    assert recipe.why_not(Problem("sequence-classification")) is None
    assert "head.pooling" in str(recipe.why_not(Problem("pair-classification")))
    assert "head.pooling" in str(recipe.why_not(Problem("residue-classification")))
