"""Embeddings of a split: what transformers says, once for each protein, and the same bit for bit from the store."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset
from tiny_checkpoints import FAMILIES, write_checkpoint
from tiny_tasks import tiny_split, tiny_task

from hubtools.common.errors import UserError
from hubtools.models import ResidueTokeniser, build_model, resolve_checkpoint
from hubtools.models.checkpoint import Checkpoint
from hubtools.specs.lookup.spec_files import load_recipe
from hubtools.specs.recipe import Window
from hubtools.training.compute.device import Execution
from hubtools.training.encoding import Encoded, encode
from hubtools.training.frozen import embedding
from hubtools.training.frozen.embedding import Features, FrozenEncoder, embed
from hubtools.training.frozen.embedding_store import EmbeddingSource, EmbeddingStore, KeptEmbeddings

PROBLEMS = ["sequence-classification", "residue-classification", "residue-multilabel", "pair-classification"]


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Checkpoint]:
    folder = tmp_path_factory.mktemp("families")
    return {family: resolve_checkpoint(str(write_checkpoint(folder / family, family))) for family in FAMILIES}


class Setting:
    """A model with an encoder that counts its calls, and a way to embed."""

    def __init__(self, checkpoint: Checkpoint, problem: str, folder: Path, seed: int = 1, **overrides: Any) -> None:
        self.checkpoint, self.problem, self.folder = checkpoint, problem, folder
        self.task, self.recipe = tiny_task(problem), load_recipe("probe", overrides)
        self.tokeniser = ResidueTokeniser.from_checkpoint(checkpoint)
        self.model: Any = build_model(checkpoint, self.task, self.recipe, self.tokeniser, seed)
        self.source = EmbeddingSource.of(checkpoint.identity, self.recipe.weights, seed, "float32", "cpu")
        self.calls = 0
        forward = self.model.encoder.forward

        def counted(*arguments: Any, **options: Any) -> Any:
            self.calls += 1
            return forward(*arguments, **options)

        self.model.encoder.forward = counted

    def split(self, rows: Dataset | None = None, window: Window | None = None) -> Encoded:
        rows = tiny_split(self.problem, 24, longest=60) if rows is None else rows
        return encode(rows, self.task, self.tokeniser, window or Window(residues=30, overlap=8))

    def kept(self) -> KeptEmbeddings:
        """As a new process would open it."""
        return KeptEmbeddings(EmbeddingStore(self.folder / "store"), self.source)

    def embed(
        self, split: Encoded, layers: tuple[int, ...] = (2,), kept: KeptEmbeddings | None = None, budget: int = 256,
        **options: Any,
    ) -> Features:  # fmt: skip
        execution = Execution(torch.device("cpu"), budget)
        encoder = FrozenEncoder(self.model, execution, False, layers)
        return embed(encoder, split, self.folder / "t.npy", "s", kept=kept, **options)


Make = Callable[..., Setting]


@pytest.fixture
def make(checkpoints: dict[str, Checkpoint], tmp_path: Path) -> Make:
    def setting(problem: str = "sequence-classification", family: str = "esm", **overrides: Any) -> Setting:
        return Setting(checkpoints[family], problem, tmp_path, **overrides)

    return setting


def values(features: Features, layer: int = 2) -> np.ndarray:
    return np.asarray(features.tables[layer][np.arange(len(features.tables[layer]))])


def equal(first: Features, second: Features) -> bool:
    parts = [(getattr(first, name), getattr(second, name)) for name in ("labels", "owners", "positions")]
    return all(a is b is None or np.array_equal(a, b) for a, b in parts) and all(
        np.array_equal(values(first, layer), values(second, layer)) for layer in first.tables
    )


# What an embedding is


@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_layers_are_transformers_own_hidden_states(make: Make, family: str) -> None:
    setting = make(family=family)
    split = setting.split(window=Window())
    means = setting.embed(split, (0, 1, 2), budget=150)
    residues = setting.embed(split, (0, 1, 2), budget=150, pooled=True)
    before, n = len(setting.tokeniser.prefix), split.lengths
    for protein in range(len(split)):
        ids = torch.from_numpy(setting.tokeniser.with_special(split.tokens[protein]))[None]
        out = setting.model.encoder(input_ids=ids, attention_mask=torch.ones_like(ids), output_hidden_states=True)
        hidden = [*out.hidden_states[:-1], out.last_hidden_state]
        for layer in range(3):
            expected = hidden[layer][0, before : before + n[protein]].numpy()
            np.testing.assert_allclose(means.tables[layer][protein], expected.mean(0), atol=2e-5)
            np.testing.assert_allclose(residues.tables[layer][residues.owners == protein], expected, atol=2e-5)
    assert np.abs(values(means, 0) - values(means, 2)).max() > 1e-3


def test_residues_of_labelled_proteins_come_with_their_owners_and_the_labels_of_proteins(make: Make) -> None:
    setting = make()
    split = setting.split()
    found = setting.embed(split, pooled=True)
    assert found.owners.tolist() == np.repeat(np.arange(24), split.lengths).tolist()
    assert found.positions is not None
    assert found.positions.tolist() == [i for length in split.lengths for i in range(length)]
    assert found.labels.tolist() == [int(label) for label in split.labels]
    # Windows of 30: each residue once, and their mean is the protein's.
    means = np.stack([values(found)[found.owners == protein].mean(0) for protein in range(24)])
    np.testing.assert_allclose(means, values(setting.embed(split)), atol=1e-6)


def test_rows_are_the_residues_whose_label_counts(make: Make) -> None:
    setting = make("residue-classification")
    split = setting.split()
    all_of_them = setting.embed(split)
    rng = np.random.default_rng(0)
    hidden = [np.where(rng.random(len(label)) < 0.3, -100, label) for label in split.labels]
    found = setting.embed(replace(split, labels=hidden))
    keep = np.concatenate(hidden) != -100
    assert 0 < keep.sum() < len(keep)
    np.testing.assert_array_equal(values(found), values(all_of_them)[keep])
    assert found.labels.tolist() == all_of_them.labels[keep].tolist()
    np.testing.assert_array_equal(found.owners, all_of_them.owners[keep])
    np.testing.assert_array_equal(found.positions, all_of_them.positions[keep])  # type: ignore[index]


def test_equal_sequences_are_read_once(make: Make) -> None:
    setting = make()
    sequence = "MKTAYIAKQRQISFVKSHFSRQ"
    rows = Dataset.from_dict({"id": ["a", "b", "c"], "sequence": [sequence, "MKW", sequence], "label": [0, 1, 1]})
    found = setting.embed(setting.split(rows, Window()))
    assert found.tokens == len(sequence) + 3 + 2 * 2
    np.testing.assert_array_equal(found.tables[2][0], found.tables[2][2])
    assert found.labels.tolist() == [0, 1, 1] and found.owners.tolist() == [0, 1, 2]


def test_hidden_states_are_asked_for_only_where_they_are_needed(make: Make) -> None:
    setting = make()
    forward = setting.model.encoder.forward

    def last_only(input_ids: Any, attention_mask: Any) -> Any:
        return forward(input_ids=input_ids, attention_mask=attention_mask)

    setting.model.encoder.forward = last_only
    assert setting.embed(setting.split()).tables[2].shape == (24, 16)
    with pytest.raises(UserError, match=r"EsmModel gives the representation after its last layer only.*layers=last"):
        setting.embed(setting.split(), (1,))


# What the store changes: time


@pytest.mark.parametrize("pooled", [False, True])
@pytest.mark.parametrize("problem", PROBLEMS)
def test_from_the_store_is_the_same_bit_for_bit(make: Make, problem: str, pooled: bool) -> None:
    if pooled and problem.startswith("pair"):
        pytest.skip("pairs are read by their means")
    setting = make(problem)
    split = setting.split()
    without = setting.embed(split, (0, 2), pooled=pooled)
    first = setting.kept()
    filled = setting.embed(split, (0, 2), first, pooled=pooled)
    ran = setting.calls
    second = setting.kept()
    again = setting.embed(split, (0, 2), second, pooled=pooled, budget=99)
    assert setting.calls == ran > 0, "the encoder did not run again"
    assert equal(without, filled) and equal(filled, again)
    distinct = len({tokens.tobytes() for tokens in split.tokens})
    assert (first.computed, first.read, second.computed, second.read) == (distinct, 0, 0, distinct)
    assert filled.tokens == without.tokens > 0 == again.tokens


def test_only_what_is_missing_is_read(make: Make) -> None:
    setting = make()
    rows = tiny_split("sequence-classification", 24, longest=60)
    setting.embed(setting.split(rows.select(range(20))), kept=setting.kept())
    kept, split = setting.kept(), setting.split(rows)
    found = setting.embed(split, kept=kept)
    assert (kept.computed, kept.read) == (4, 20)
    tokens = sum(len(split.windows[i]) * 2 + sum(p.stop - p.start for p in split.windows[i]) for i in range(20, 24))
    assert found.tokens == tokens
    np.testing.assert_allclose(values(found), values(setting.embed(split)), atol=1e-6)


def test_one_pass_for_the_layers_that_are_missing(make: Make) -> None:
    setting = make()
    split = setting.split()
    first = setting.embed(split, (2,), setting.kept())
    ran = setting.calls
    both = setting.embed(split, (1, 2), setting.kept())
    assert setting.calls == 2 * ran, "as many batches as for one layer"
    np.testing.assert_array_equal(values(both, 2), values(first, 2))
    setting.embed(split, (1, 2), setting.kept())
    assert setting.calls == 2 * ran


def test_what_an_encoder_reads_differently_is_another_entry(make: Make) -> None:
    """Windows, special tokens, pooled positions; a task with other labels reads the same."""
    setting = make()
    rows = tiny_split("sequence-classification", 24, longest=60, shortest=50)
    setting.embed(setting.split(rows), kept=setting.kept())
    prefixed = replace(setting.tokeniser, prefix=(*setting.tokeniser.prefix, 5))
    split = setting.split(rows)
    others = [
        setting.split(rows, Window(residues=40, overlap=8)),
        replace(split, tokeniser=prefixed),
        replace(split, pool=np.array([3, 40])),
        replace(split, pool=np.array([3, 41])),
    ]
    for other in others:
        kept = setting.kept()
        found = setting.embed(other, kept=kept)
        assert kept.read == 0 and np.abs(values(found) - values(setting.embed(split))).max() > 1e-6
    kept = setting.kept()
    setting.embed(replace(split, labels=split.labels[::-1], ids=split.ids[::-1]), kept=kept)
    assert kept.computed == 0
    # Another setting that cuts a protein in the same way is the same for this protein.
    overlapping, kept = setting.split(rows, Window(residues=30, overlap=10)), setting.kept()
    setting.embed(overlapping, kept=kept)
    assert kept.read == sum(a == b for a, b in zip(overlapping.windows, split.windows, strict=True)) > 0
    assert kept.computed > 0


def test_random_weights_of_another_seed_and_pretrained_ones_never_hit(
    checkpoints: dict[str, Checkpoint], tmp_path: Path
) -> None:
    tables = []
    for overrides in ({"weights": "random", "seed": 1}, {"weights": "random", "seed": 2}, {"seed": 1}):
        setting = Setting(checkpoints["esm"], "sequence-classification", tmp_path, **overrides)  # type: ignore[arg-type]
        kept = setting.kept()
        tables.append(values(setting.embed(setting.split(), kept=kept)))
        assert kept.read == 0
    assert all(np.abs(tables[a] - tables[b]).max() > 1e-3 for a, b in ((0, 1), (0, 2), (1, 2)))


def test_what_a_stopped_run_has_computed_is_kept(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedding, "CHUNK_RESIDUES", 100)
    monkeypatch.setattr(embedding, "CHUNK_BATCHES", 0)
    setting = make()
    split, stopped_at = setting.split(), 4
    forward = setting.model.encoder.forward

    def stopping(*arguments: Any, **options: Any) -> Any:
        if setting.calls == stopped_at:
            raise KeyboardInterrupt
        return forward(*arguments, **options)

    setting.model.encoder.forward = stopping
    with pytest.raises(KeyboardInterrupt):
        setting.embed(split, kept=setting.kept())
    setting.model.encoder.forward = forward
    kept = setting.kept()
    found = setting.embed(split, kept=kept)
    assert kept.read > 0 and kept.computed > 0
    np.testing.assert_array_equal(values(found), values(setting.embed(split)))


def test_tables_too_large_for_memory_are_files_with_the_same_content(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    setting = make("residue-classification")
    split = setting.split()
    in_memory = setting.embed(split, (1, 2))
    monkeypatch.setattr(embedding, "IN_MEMORY", 100)
    # Parts of a few proteins each: how the work is cut changes nothing.
    on_disk = setting.embed(split, (1, 2))
    assert isinstance(on_disk.tables[1], np.memmap) and (setting.folder / "t-1.npy").is_file()
    assert equal(in_memory, on_disk)


def test_parts_hold_every_protein_once_and_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedding, "CHUNK_BYTES", 4 * 10 * 700)
    lengths = np.random.default_rng(0).integers(5, 300, 200)
    parts = list(embedding._parts(lengths, 64, 10))
    assert sorted(np.concatenate(parts).tolist()) == list(range(200))
    assert max(lengths[part].sum() for part in parts) <= 700 and len(parts) > 10
    assert len(list(embedding._parts(lengths, 64, 0))) == 1
    assert list(embedding._parts(lengths[:0], 64, 0)) == []
