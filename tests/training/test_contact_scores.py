"""Contacts without training: the Jacobian and the contact head against transformers used by hand."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from datasets import Dataset
from tiny_checkpoints import write_checkpoint
from transformers import AutoModel, AutoModelForMaskedLM, AutoTokenizer

from hubtools.common.errors import UserError
from hubtools.data.structures.contacts import NOT_SCORED, listed, places_of
from hubtools.models import ResidueTokeniser, resolve_checkpoint
from hubtools.models.masked_lm import load_contact_model, load_masked_lm
from hubtools.specs.recipe import Window
from hubtools.training.contacts.contact_scores import (
    contact_predictions,
    corrected,
    head_maps,
    jacobian_maps,
    joined,
    rounded,
    separation,
    unseen,
    windows_of,
)

SEQUENCES = ["MKTAYIAKQR", "GSHMWYXC"]
LETTERS = "ACDEFGHIKLMNPQRSTVWY"
CPU = torch.device("cpu")
REAL = Path(os.environ.get("BENCH_REAL_CHECKPOINT", "/nowhere"))


def plain_jacobian(folder: Path, sequence: str, spaced: bool) -> np.ndarray:
    """One sequence at a time as text, the change from the protein as it is, all four means at once, and the whole array."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForMaskedLM.from_pretrained(folder).eval()
    columns = tokenizer.convert_tokens_to_ids(list(LETTERS))

    def logits(letters: list[str]) -> np.ndarray:
        text = " ".join(letters) if spaced else "".join(letters)
        with torch.no_grad():
            found = model(**tokenizer(text, return_tensors="pt")).logits[0]
        return found[1 : len(letters) + 1][:, columns].double().numpy()

    wild = logits(list(sequence))
    jacobian = np.zeros((len(sequence), 20, len(sequence), 20))
    for i in range(len(sequence)):
        for a, letter in enumerate(LETTERS):
            changed = list(sequence)
            changed[i] = letter
            jacobian[i, a] = logits(changed) - wild
    for axis in range(4):
        jacobian = jacobian - jacobian.mean(axis, keepdims=True)
    jacobian = (jacobian + jacobian.transpose(2, 3, 0, 1)) / 2
    norm = np.sqrt((jacobian**2).sum((1, 3)))
    np.fill_diagonal(norm, 0)
    return norm - norm.sum(0, keepdims=True) * norm.sum(1, keepdims=True) / norm.sum()


@pytest.mark.parametrize("family", ["esm", "bert"])
def test_the_jacobian_is_what_a_plain_loop_gives(family: str, tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / family, family)
    checkpoint = resolve_checkpoint(str(folder))
    tokeniser, model = ResidueTokeniser.from_checkpoint(checkpoint), load_masked_lm(checkpoint)
    units = [(sequence, place) for sequence in SEQUENCES for place in range(len(sequence))]
    found = jacobian_maps(model, tokeniser, units, 64, CPU)
    for sequence in SEQUENCES:
        first, second = places_of(len(sequence))
        expected = plain_jacobian(folder, sequence, family == "bert")
        assert found[sequence] == pytest.approx(expected[first, second], rel=1e-3, abs=1e-6)
        assert np.allclose(expected, expected.T)
    alone = jacobian_maps(model, tokeniser, units[:3], 4096, CPU)
    assert alone == {}, "a protein that is exchanged in part has no scores"


def test_the_average_product_is_taken_off() -> None:
    rows = np.array([1.0, 2, 3, 4])
    square = np.outer(rows, rows) + np.diag([9.0] * 4)
    found = corrected(square)
    off = square - np.diag(np.diag(square))
    assert found == pytest.approx(off - np.outer(off.sum(0), off.sum(0)) / off.sum())
    assert not corrected(np.zeros((3, 3))).any()


def test_the_contact_head_is_transformers_own(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "esm", "esm")
    checkpoint = resolve_checkpoint(str(folder))
    tokeniser, model = ResidueTokeniser.from_checkpoint(checkpoint), load_contact_model(checkpoint)
    found = head_maps(model, tokeniser, SEQUENCES, CPU)
    plain = AutoModel.from_pretrained(folder, attn_implementation="eager", add_pooling_layer=False).eval()
    for sequence in SEQUENCES:
        asked = AutoTokenizer.from_pretrained(folder)(sequence, return_tensors="pt")
        with torch.no_grad():
            square = plain.predict_contacts(asked["input_ids"], asked["attention_mask"])[0].numpy()
        first, second = places_of(len(sequence))
        assert found[sequence] == pytest.approx(square[first, second], abs=1e-6)


def test_a_head_that_was_not_trained_is_refused(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = write_checkpoint(tmp_path / "esm", "esm")
    kept = {key: value for key, value in load_file(folder / "model.safetensors").items() if "contact_head" not in key}
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match="hold no trained contact head: 2 weights would be random"):
        load_contact_model(resolve_checkpoint(str(folder)))
    with pytest.raises(UserError, match="bert has no contact head"):
        load_contact_model(resolve_checkpoint(str(write_checkpoint(tmp_path / "bert", "bert"))))


@pytest.mark.skipif(not REAL.is_dir(), reason="set BENCH_REAL_CHECKPOINT to a folder of ESM-2 with its contact head")
def test_the_head_of_a_real_checkpoint_is_trained() -> None:
    weight = load_contact_model(resolve_checkpoint(str(REAL))).contact_head.regression.weight
    assert float(weight.detach().norm()) > 10, "of random weights it is below 1"


def test_rows_of_predictions_are_the_scored_pairs() -> None:
    sequence = LETTERS
    labels = listed("1-9;3-20;7", 20, "p")
    rows = Dataset.from_dict({"id": ["p"], "sequence": [sequence], "label": [labels.tolist()], "cluster": ["c"]})
    first, second = places_of(20)
    found = contact_predictions(rows, {sequence: (100 * first + second).astype(np.float32)})
    assert len(found) == (labels != NOT_SCORED).sum() and found.truth.sum() == 2
    assert set(found.residues) == {20} and set(found.clusters) == {"c"}
    at = int(np.flatnonzero((first == 2) & (second == 19))[0])
    (row,) = np.flatnonzero(found.positions == at + 1)
    assert found.truth[row] == 1 and found.scores[row] == 219
    near = separation(rows)
    assert near.scores.max() == -6 and near.scores[row] == -17


def test_scores_keep_twelve_bits() -> None:
    values = np.random.default_rng(0).normal(size=1000).astype(np.float32)
    assert (np.abs(rounded(values) - values) <= np.abs(values) / 4096).all()
    assert not (rounded(values).view(np.int32) & 0xFFF).any()
    assert rounded(np.array([0.0, 1.0, -6.0])).tolist() == [0, 1, -6]


@pytest.mark.parametrize(("length", "residues", "overlap"), [(30, 20, 8), (57, 20, 6), (20, 20, 5)])
def test_of_windows_a_pair_has_the_mean_over_those_that_hold_it(length: int, residues: int, overlap: int) -> None:
    windows = windows_of(length, Window(residues=residues, overlap=overlap))
    rng = np.random.default_rng(0)
    maps = [rng.normal(size=residues * (residues - 1) // 2).astype(np.float32) for _ in windows]
    held: dict[tuple[int, int], list[float]] = {}
    for piece, scores in zip(windows, maps, strict=True):
        for score, i, j in zip(scores, *places_of(residues), strict=True):
            held.setdefault((piece.start + i, piece.start + j), []).append(float(score))
    pairs = list(zip(*places_of(length), strict=True))
    assert unseen(windows) == len(pairs) - len(held)
    lowest = min(map(np.mean, held.values())) - 1
    expected = [np.mean(held[pair]) if pair in held else lowest for pair in pairs]
    assert joined(length, windows, maps) == pytest.approx(expected, abs=1e-5)
