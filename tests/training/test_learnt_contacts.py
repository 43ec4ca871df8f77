"""What is fitted on known structures, against loops, transformers' own contact head and the conditions of an optimum."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset
from scipy.optimize import minimize
from tiny_checkpoints import write_checkpoint
from transformers import AutoModel, AutoTokenizer

from hubtools.common.errors import UserError
from hubtools.data.structures.contacts import NOT_SCORED, labels_of, places_of
from hubtools.models import ResidueTokeniser, resolve_checkpoint
from hubtools.models.encoder import load_encoder
from hubtools.specs.lookup.spec_files import load_recipe, load_task
from hubtools.specs.recipe import Window
from hubtools.training.compute.device import Execution
from hubtools.training.contacts.attention_regression import (
    MapReader,
    by_eager_attention,
    fit_attention_regression,
    predict_by_attention,
)
from hubtools.training.contacts.contact_scores import scored_places
from hubtools.training.contacts.pair_odds import PSEUDO, STARTS, fit_pair_odds, log_odds
from hubtools.training.encoding import encode
from hubtools.training.job import Job
from hubtools.training.loss import Loss, loss_for
from hubtools.training.trivial_baselines import read_plain

LETTERS = "ACDEFGHIKLMNPQRSTVWY"
CPU = torch.device("cpu")
TASK = load_task("contacts-smoke-trained")


def rows_of(*lengths: int, seed: int = 0) -> Dataset:
    """Proteins of random letters in which cysteines touch, and some other pairs, too."""
    rng, made = np.random.default_rng(seed), []
    for length in lengths:
        letters = rng.choice(list(LETTERS[:6]), length)
        touching = (letters[:, None] == "C") & (letters[None] == "C") | (rng.random((length, length)) < 0.05)
        known = rng.random(length) > 0.05
        labels = labels_of(np.triu(touching) | np.triu(touching).T, known)
        made.append({"id": f"p{len(made)}", "sequence": "".join(letters), "label": labels.tolist()})
    return Dataset.from_list(made)


def test_log_odds_are_those_of_a_loop_over_all_pairs() -> None:
    rows = rows_of(40, 33, 27)
    found = log_odds(read_plain(rows, TASK))
    assert np.array_equal(found, found.transpose(0, 2, 1))
    counts: dict[tuple[int, str, str], list[int]] = {}
    totals: dict[int, list[int]] = {}
    ends = [*pairwise(STARTS), (STARTS[-1], 10**9)]
    for row in rows:
        for label, i, j in zip(row["label"], *places_of(len(row["sequence"])), strict=True):
            if label == NOT_SCORED:
                continue
            (part,) = [number for number, (least, beyond) in enumerate(ends) if least <= j - i < beyond]
            counts.setdefault((part, *sorted((row["sequence"][i], row["sequence"][j]))), []).append(label)
            totals.setdefault(part, []).append(label)
    for (part, a, b), labels in counts.items():
        share = (sum(totals[part]) + 0.5) / (len(totals[part]) + 1)
        p = (sum(labels) + PSEUDO * share) / (len(labels) + PSEUDO)
        assert found[part, LETTERS.index(a), LETTERS.index(b)] == pytest.approx(np.log(p / (1 - p)))
    cysteine = found[:, 1, 1]
    assert (cysteine > np.delete(found[:, 1], 1, axis=1).max(1)).all(), "cysteines touch cysteines"


def test_a_split_is_scored_by_the_table() -> None:
    train, test = read_plain(rows_of(40, 33), TASK), read_plain(rows_of(30, seed=1), TASK)
    predict, told = fit_pair_odds(train)
    assert told["pairs_counted"] == sum(len(scored_places(label)) for label in train.labels)
    found = predict(test)
    table, sequence = log_odds(train), rows_of(30, seed=1)[0]["sequence"]
    first, second = (ends[found.positions - 1] for ends in places_of(30))
    expected = [
        table[sum(start <= j - i for start in STARTS) - 1, LETTERS.index(sequence[i]), LETTERS.index(sequence[j])]
        for i, j in zip(first, second, strict=True)
    ]
    assert found.scores == pytest.approx(expected, rel=1e-3)
    nothing = replace(train, labels=[np.full_like(label, NOT_SCORED) for label in train.labels])
    with pytest.raises(UserError, match="no pair of residues of train is scored"):
        fit_pair_odds(nothing)


def reader_of(folder: Path) -> tuple[MapReader, Any]:
    checkpoint = resolve_checkpoint(str(folder))
    encoder = by_eager_attention(load_encoder(checkpoint), folder.name).eval()
    return MapReader(encoder, folder.name, CPU), ResidueTokeniser.from_checkpoint(checkpoint)


@pytest.mark.parametrize("family", ["esm", "esmc", "bert", "t5", "modernbert"])
def test_every_family_shows_symmetric_maps_of_each_head(family: str, tmp_path: Path) -> None:
    reader, tokeniser = reader_of(write_checkpoint(tmp_path / family, family))
    split = encode(rows_of(24), TASK, tokeniser, Window(residues=64, overlap=16))
    found, shape = reader.features(split, 0, 0, np.arange(24 * 23 // 2))
    assert found.shape == (24 * 23 // 2, shape[0] * shape[1]) and np.isfinite(found).all() and found.std() > 0


def test_features_of_esm_are_those_of_its_own_contact_head(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "esm", "esm")
    reader, tokeniser = reader_of(folder)
    rows = rows_of(24)
    split = encode(rows, TASK, tokeniser, Window(residues=64, overlap=16))
    found, _ = reader.features(split, 0, 0, np.arange(24 * 23 // 2))
    plain = AutoModel.from_pretrained(folder, attn_implementation="eager", add_pooling_layer=False).eval()
    asked = AutoTokenizer.from_pretrained(folder)(rows[0]["sequence"], return_tensors="pt")
    with torch.no_grad():
        square = plain.predict_contacts(asked["input_ids"], asked["attention_mask"])[0].numpy()
    head = plain.contact_head.regression
    logits = found @ head.weight[0].detach().numpy() + head.bias.item()
    first, second = places_of(24)
    assert 1 / (1 + np.exp(-logits)) == pytest.approx(square[first, second], abs=1e-5)


def job_of(tmp_path: Path, **options: Any) -> Job:
    recipe = load_recipe("attention-regression", {f"head.options.{name}": value for name, value in options.items()})
    return Job(TASK, recipe, Loss("multilabel"), 1, Execution(CPU, 4096), tmp_path, tmp_path / "log")


@pytest.mark.slow
def test_the_regression_is_the_optimum_of_its_sum(tmp_path: Path) -> None:
    reader, tokeniser = reader_of(write_checkpoint(tmp_path / "esm", "esm"))
    train = encode(rows_of(30, 28, 70, 32), TASK, tokeniser, Window(residues=40, overlap=10))
    # The features of a tiny model with random weights are small, so that little is enough.
    strength = 300.0
    fitted, found = fit_attention_regression(reader, train, job_of(tmp_path, inverse_regularisation=strength))
    assert found.structures == ["p0", "p1", "p3"], "what is longer than a window is not learnt from"
    chosen = [0, 1, 3]
    places = [scored_places(train.labels[protein]) for protein in chosen]
    features = np.concatenate([reader.features(train, p, 0, at)[0] for p, at in zip(chosen, places, strict=True)])
    truth = np.concatenate([train.labels[p][at] for p, at in zip(chosen, places, strict=True)])
    assert fitted.choices["pairs_of_residues"] == len(truth)
    # The same sum by another solver; liblinear counts the intercept among the weights.
    columns = np.c_[features.astype(np.float64), np.ones(len(truth))]

    def objective(halves: np.ndarray) -> tuple[float, np.ndarray]:
        up, down = np.split(halves, 2)
        logits = columns @ (up - down)
        slope = strength * (1 / (1 + np.exp(-logits)) - truth) @ columns
        value = halves.sum() + strength * (np.logaddexp(0, logits) - truth * logits).sum()
        return value, np.r_[1 + slope, 1 - slope]

    given = np.r_[found.weights.ravel(), found.intercept]
    mine = objective(np.maximum(np.r_[given, -given], 0))[0]
    best = minimize(objective, np.zeros(2 * columns.shape[1]), jac=True, bounds=[(0, None)] * 2 * columns.shape[1])
    assert best.fun - 1e-6 <= mine <= best.fun * (1 + 1e-4)
    zero = objective(np.zeros(2 * columns.shape[1]))[0]
    assert zero - best.fun > 100 * (mine - best.fun), "it is much better than nothing"
    one, two = (
        fit_attention_regression(reader, train, replace(job_of(tmp_path, structures=1), seed=s))[1] for s in (1, 2)
    )
    assert len(one.structures) == len(two.structures) == 1

    # Of several windows a pair has the mean of what each gives; here a window is the whole of a shorter protein.
    scores = predict_by_attention(reader, found, train, "train")
    (row, *_) = np.flatnonzero(scores.ids == "p1")
    at = scores.positions[row] - 1
    expected = found.probabilities(reader.features(train, 1, 0, np.array([at]))[0])
    assert scores.scores[row] == pytest.approx(expected[0], rel=1e-3)
    assert (scores.ids == "p2").sum() == len(scored_places(train.labels[2]))


def test_an_encoder_without_maps_is_refused(tmp_path: Path) -> None:
    class Silent(torch.nn.Module):
        def forward(self, input_ids: Any, attention_mask: Any, output_attentions: bool) -> Any:
            return type("Output", (), {"attentions": None})()

    _, tokeniser = reader_of(write_checkpoint(tmp_path / "esm", "esm"))
    split = encode(rows_of(24), TASK, tokeniser, Window(residues=64, overlap=16))
    with pytest.raises(UserError, match="silent: it gives no attention maps"):
        MapReader(Silent(), "silent", CPU).features(split, 0, 0, np.arange(3))
    with pytest.raises(UserError, match="gives no attention maps"):
        by_eager_attention(torch.nn.Linear(1, 1), "linear")


def test_whether_two_residues_touch_is_one_label() -> None:
    split = read_plain(rows_of(30), TASK)
    assert loss_for(split, 1, "none") == Loss("multilabel")
    counts = np.bincount(split.labels[0][scored_places(split.labels[0])])
    assert loss_for(split, 1, "balanced").weights == pytest.approx((counts[0] / counts[1],))
