"""Cutting a batch, padding it or accumulating gradients changes nothing, for every family (design rule 5)."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny_checkpoints import FAMILIES, write_checkpoint
from tiny_tasks import PROBLEMS, tiny_split, tiny_task
from torch.nn import functional

from hubtools.models import ResidueTokeniser, build_model, resolve_checkpoint
from hubtools.specs.lookup.spec_files import load_recipe
from hubtools.specs.recipe import Window
from hubtools.training.batches import micro_batches
from hubtools.training.compute.device import Execution
from hubtools.training.compute.engine import engine
from hubtools.training.encoding import encode
from hubtools.training.loss import Loss, balanced_weights, loss_for


def gradients(model, split, loss, token_budget):
    """Gradient of the mean loss over all proteins, cut by a token budget."""
    model.zero_grad()
    batches = list(micro_batches(split, range(len(split)), token_budget))
    denominator = sum(loss.denominator(batch.labels) for batch in batches)
    for batch in batches:
        logits = model(**batch.inputs).logits
        if "protein" not in batch.inputs:
            logits = logits[batch.inputs["residue_mask"]]
        (loss.total(logits, batch.labels) / denominator).backward()
    return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None]), len(batches)


@pytest.mark.parametrize("problem", PROBLEMS)
@pytest.mark.parametrize("family", FAMILIES)
def test_accumulation_changes_nothing(family, problem, tmp_path):
    checkpoint = resolve_checkpoint(str(write_checkpoint(tmp_path / family, family)))
    tokeniser, task = ResidueTokeniser.from_checkpoint(checkpoint), tiny_task(problem)
    model = build_model(checkpoint, task, load_recipe("full"), tokeniser, 0).eval()
    # Windows of 20 residues, so that some proteins are cut too.
    split = encode(tiny_split(problem, 12, shortest=3, longest=60), task, tokeniser, Window(residues=20, overlap=4))
    loss = loss_for(split, task.n_outputs, "balanced")
    whole, one = gradients(model, split, loss, 10**9)
    pieces, many = gradients(model, split, loss, 1)
    assert one == 1
    assert many >= 12
    torch.testing.assert_close(pieces, whole, atol=1e-5 * float(whole.abs().max()), rtol=1e-3)
    # Nor does packing, for the architectures that pass its test.
    with engine(model, tokeniser, Execution(torch.device("cpu"), 300), bf16=False, trains=True) as made:
        assert made.packed == (family not in {"t5", "ankh"})
        packed, several = gradients(model, replace(split, packed=made.packed), loss, 300)
    assert several > 1
    torch.testing.assert_close(packed, whole, atol=1e-5 * float(whole.abs().max()), rtol=1e-3)


def test_classification_equals_torchs_mean_cross_entropy():
    torch.manual_seed(0)
    logits, labels = torch.randn(50, 4), torch.randint(0, 4, (50,))
    labels[::7] = -100
    for weights in (None, (0.5, 1.0, 2.0, 4.0)):
        loss = Loss("classification", weights=weights)
        expected = functional.cross_entropy(
            logits, labels, weight=None if weights is None else torch.tensor(weights), ignore_index=-100
        )
        torch.testing.assert_close(loss.total(logits, labels) / loss.denominator(labels), expected)


def test_multilabel_equals_torchs_mean_over_known_labels():
    torch.manual_seed(0)
    logits, labels = torch.randn(30, 3), torch.randint(0, 2, (30, 3))
    labels[4, 1] = labels[9] = -100
    known = labels != -100
    expected = functional.binary_cross_entropy_with_logits(logits[known], labels[known].float())
    loss = Loss("multilabel")
    torch.testing.assert_close(loss.total(logits, labels) / loss.denominator(labels), expected)


def test_regression_is_learnt_standardised_and_reported_in_its_own_unit():
    values = torch.tensor([300.0, 310.0, float("nan"), 290.0], dtype=torch.float64)
    loss = Loss("regression", mean=300.0, std=10.0)
    logits = torch.tensor([[0.0], [1.0], [123.0], [-1.0]])
    assert float(loss.total(logits, values)) == pytest.approx(0.0, abs=1e-6)
    assert loss.denominator(values) == 3
    np.testing.assert_allclose(loss.to_scores(logits)[[0, 1, 3]], [300, 310, 290])


def test_balanced_weights_equal_scikit_learns():
    from sklearn.utils.class_weight import compute_class_weight

    labels = [np.array([0, 0, 0, 1, -100]), np.array([2, 0, 0, 1, 0])]
    flat = np.concatenate(labels)
    flat = flat[flat >= 0]
    expected = compute_class_weight("balanced", classes=np.arange(3), y=flat)
    np.testing.assert_allclose(balanced_weights(labels, 3, "classification"), expected)
