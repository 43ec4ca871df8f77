"""The last residue alone as what the head reads: in training, in windows, and in the published model; and chosen on validation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset
from pydantic import ValidationError
from tiny_decoders import write_decoder
from tiny_tasks import tiny_split, tiny_task

from hubtools.models import ResidueTokeniser, build_model, load_model, resolve_checkpoint, save_model
from hubtools.specs.problem import Problem
from hubtools.specs.recipe import Recipe, Window
from hubtools.training.compute.device import Execution
from hubtools.training.encoding import LAST, encode
from hubtools.training.frozen.probe import fit_probe, predict_probe
from hubtools.training.job import Job
from hubtools.training.loss import Loss, loss_for
from hubtools.training.prediction import predict

TASK = tiny_task("sequence-regression")
CPU = torch.device("cpu")
SEQUENCES = ["MKTAYIAKQRQISFVKSHFSRQLEERLGLIEVQAPILSRVGD", "GSHMWY", "MKTAYIAKQRQI", "A"]


def dataset(sequences: list[str]) -> Dataset:
    n = range(len(sequences))
    return Dataset.from_dict({"id": [f"p{i}" for i in n], "sequence": sequences, "label": [float(i) for i in n]})


@pytest.fixture
def made(tmp_path: Path) -> Any:
    checkpoint = resolve_checkpoint(str(write_decoder(tmp_path / "m")))
    tokeniser = ResidueTokeniser.from_checkpoint(checkpoint)
    recipe = Recipe(name="r", adaptation="probe", head={"pooling": "last"})
    return build_model(checkpoint, TASK, recipe, tokeniser, 1, list(LAST)).eval(), tokeniser


@torch.no_grad()
def by_hand(model: Any, tokeniser: ResidueTokeniser, sequence: str) -> float:
    ids = torch.from_numpy(tokeniser.with_special(tokeniser.encode(sequence)))[None]
    hidden = model.encoder(input_ids=ids).last_hidden_state[0]
    return float(model.head(hidden[len(sequence)]))


@torch.no_grad()
def test_the_last_residue_is_read_and_no_special_token(made: Any) -> None:
    model, tokeniser = made
    expected = [by_hand(model, tokeniser, sequence) for sequence in SEQUENCES]
    assert np.ptp(expected) > 1e-4
    split = encode(dataset(SEQUENCES), TASK, tokeniser, Window(), LAST)
    got = predict(model, split, Loss("regression"), token_budget=100, device=CPU)
    np.testing.assert_allclose(got.scores, expected, atol=1e-5)
    mean = encode(dataset(SEQUENCES), TASK, tokeniser, Window())
    other = predict(model, mean, Loss("regression"), token_budget=100, device=CPU)
    assert np.abs(other.scores[:3] - got.scores[:3]).max() > 1e-4
    assert other.scores[3] == pytest.approx(got.scores[3], abs=1e-5), "of one residue both are the same"


@torch.no_grad()
def test_of_a_long_protein_the_last_window_is_read_alone(made: Any) -> None:
    model, tokeniser = made
    split = encode(dataset(SEQUENCES[:1]), TASK, tokeniser, Window(residues=20, overlap=10), LAST)
    assert [(piece.start, piece.stop) for piece in split.windows[0]] == [(22, 42)]
    got = predict(model, split, Loss("regression"), token_budget=100, device=CPU)
    assert got.scores[0] == pytest.approx(by_hand(model, tokeniser, SEQUENCES[0][22:]), abs=1e-5)


@torch.no_grad()
def test_the_published_model_does_the_same_by_itself(made: Any, tmp_path: Path) -> None:
    model, tokeniser = made
    save_model(model, tokeniser, TASK, tmp_path / "saved")
    saved, _ = load_model(tmp_path / "saved", TASK)
    rows = [tokeniser.with_special(tokeniser.encode(sequence)) for sequence in SEQUENCES]
    ids = torch.full((len(rows), max(map(len, rows))), tokeniser.pad_id)
    mask = torch.zeros_like(ids)
    for index, row in enumerate(rows):
        ids[index, : len(row)], mask[index, : len(row)] = torch.from_numpy(row), 1
    logits = saved(input_ids=ids, attention_mask=mask).logits[:, 0]
    np.testing.assert_allclose(logits, [by_hand(model, tokeniser, s) for s in SEQUENCES], atol=1e-5)


def fitted(tmp_path: Path, pooling: str, follows: bool) -> tuple[Any, Any, np.ndarray]:
    """A probe's model, what fitting it said, and its predictions of validation as anybody else would make them."""
    task = tiny_task("sequence-classification")
    checkpoint = resolve_checkpoint(str(write_decoder(tmp_path / "m")))
    tokeniser = ResidueTokeniser.from_checkpoint(checkpoint)
    head = {"pooling": pooling, "dropout": 0.0}
    recipe = Recipe(name="r", adaptation="probe", head=head, epochs=4, batch_size=8, learning_rate=3e-2)
    pool = list(LAST) if pooling == "last" else None
    train, validation = (
        encode(tiny_split("sequence-classification", 30, seed), task, tokeniser, Window(), pool) for seed in (0, 1)
    )
    loss = loss_for(train, task.n_outputs, "none")
    model = build_model(checkpoint, task, recipe, tokeniser, 1, pool)
    (tmp_path / "work").mkdir(exist_ok=True)
    job = Job(task, recipe, loss, 1, Execution(CPU, 512), tmp_path / "work", tmp_path / "log.jsonl")
    found = fit_probe(model, train, validation, job, follows=follows)
    scores = predict_probe(model, validation, loss, job, "validation").scores
    np.testing.assert_allclose(scores, found.validation.scores, atol=1e-6)
    return model, found, scores


def test_auto_takes_what_is_better_on_validation(tmp_path: Path) -> None:
    alone = {name: fitted(tmp_path, name, follows=False) for name in ("mean", "last")}
    model, found, scores = fitted(tmp_path, "auto", follows=False)
    told = found.choices["pooling_validation"]
    assert told["mean"] != told["last"]
    best = max(told, key=lambda name: told[name])
    assert found.choices["pooling"] == best
    np.testing.assert_allclose(scores, alone[best][2], atol=1e-6)
    assert model.config.pool_positions == (list(LAST) if best == "last" else None)
    assert found.tokens == alone["mean"][1].tokens + alone["last"][1].tokens, "both were read"


def test_auto_is_the_mean_where_a_residue_sees_all_of_its_protein(tmp_path: Path) -> None:
    model, found, scores = fitted(tmp_path, "auto", follows=True)
    assert found.choices == {} and model.config.pool_positions is None
    np.testing.assert_allclose(scores, fitted(tmp_path, "mean", follows=True)[2], atol=0)


def test_recipes_that_cannot_choose_say_so() -> None:
    with pytest.raises(ValidationError, match=r"head.pooling: auto chooses between probes. Use adaptation: probe"):
        Recipe(name="r", adaptation="full", head={"pooling": "auto"})
    probe = Recipe(name="r", adaptation="probe", head={"pooling": "auto"})
    assert probe.why_not(Problem("residue-classification")) == "head.pooling is for per-protein tasks"
