"""Batches: labels sit on their residues, budgets hold, order is random but repeatable."""

import numpy as np
import pytest
from tiny_checkpoints import write_checkpoint
from tiny_tasks import tiny_split, tiny_task

from hubtools.models import ResidueTokeniser, resolve_checkpoint
from hubtools.specs.recipe import Window
from hubtools.training.batches import BucketedBatches, micro_batches
from hubtools.training.encoding import encode, window_facts


@pytest.fixture(scope="module")
def tokeniser(tmp_path_factory):
    return ResidueTokeniser.from_checkpoint(
        resolve_checkpoint(str(write_checkpoint(tmp_path_factory.mktemp("checkpoint") / "bert", "bert")))
    )


def encoded(tokeniser, problem="residue-classification", window=(20, 6), **options):
    split = tiny_split(problem, 30, longest=70, **options)
    return split, encode(split, tiny_task(problem), tokeniser, Window(residues=max(16, window[0]), overlap=window[1]))


def test_each_label_is_beside_the_token_of_its_own_residue(tokeniser):
    """The label says aromatic or not; the token must say the same. A shift by one fails at once."""
    aromatic = set(tokeniser.encode("FWY").tolist())
    _, split = encoded(tokeniser)
    seen = 0
    for batch in micro_batches(split, range(len(split)), 200):
        tokens = batch.inputs["input_ids"][batch.inputs["residue_mask"]]
        assert [int(t) in aromatic for t in tokens] == batch.labels.bool().tolist()
        seen += len(tokens)
    assert seen == split.lengths.sum()


def test_positions_point_back_into_the_sequence(tokeniser):
    dataset, split = encoded(tokeniser)
    for batch in micro_batches(split, range(len(split)), 200):
        tokens = batch.inputs["input_ids"][batch.inputs["residue_mask"]].numpy()
        letters = [dataset["sequence"][int(p)][i] for p, i in zip(batch.proteins, batch.positions, strict=True)]
        assert tokeniser.encode("".join(letters)).tolist() == tokens.tolist()


@pytest.mark.parametrize("problem", ["residue-classification", "sequence-classification"])
def test_budget_holds_and_every_protein_comes_once(tokeniser, problem):
    _, split = encoded(tokeniser, problem)
    owners = []
    for batch in micro_batches(split, range(len(split)), 150):
        rows, width = batch.inputs["input_ids"].shape
        assert rows * width <= 150 or len(set(batch.proteins)) == 1
        owners += sorted(set(batch.proteins.tolist()))
    assert set(owners) == set(range(len(split)))


def test_windows_of_a_protein_stay_together_and_count_each_residue_once(tokeniser):
    _, split = encoded(tokeniser, "sequence-classification")
    for batch in micro_batches(split, range(len(split)), 100):
        per_protein = np.zeros(batch.inputs["n_proteins"])
        np.add.at(per_protein, batch.inputs["protein"].numpy(), batch.inputs["residue_mask"].sum(1).numpy())
        assert per_protein.tolist() == split.lengths[batch.proteins].tolist()


@pytest.mark.parametrize("budget", [1, 150, 10**6])
def test_pairs_come_once_with_each_protein_once_in_a_batch(tokeniser, budget):
    dataset, split = encoded(tokeniser, "pair-classification")
    assert len(split.tokens) == len({*dataset["protein"], *dataset["partner_protein"]}) < 2 * len(split)
    seen = []
    for batch in micro_batches(split, range(len(split)), budget):
        rows, width = batch.inputs["input_ids"].shape
        assert rows * width <= budget or len(batch.proteins) == 1
        proteins = batch.inputs["protein"].numpy()
        letters = {}
        for row, protein in enumerate(proteins):
            residues = batch.inputs["residue_mask"][row]
            letters.setdefault(protein, []).extend(batch.inputs["input_ids"][row][residues].tolist())
        assert len(letters) == batch.inputs["n_proteins"] == len({*map(tuple, letters.values())})
        for (first, second), pair, label in zip(
            batch.inputs["pairs"].tolist(), batch.proteins, batch.labels, strict=True
        ):
            row = dataset[int(pair)]
            assert letters[first] == tokeniser.encode(row["sequence"]).tolist()
            assert letters[second] == tokeniser.encode(row["partner"]).tolist()
            assert int(label) == row["label"]
        seen += batch.proteins.tolist()
    assert sorted(seen) == list(range(len(split)))


def test_the_record_counts_windows(tokeniser):
    dataset, split = encoded(tokeniser)
    facts = window_facts([split], Window(residues=20, overlap=6))
    assert facts.residues_scored == facts.residues_total == sum(map(len, dataset["sequence"]))
    assert facts.proteins_cut == sum(len(s) > 20 for s in dataset["sequence"])


def test_order_is_a_permutation_that_follows_seed_and_epoch():
    lengths = np.random.default_rng(0).integers(10, 500, 103)
    sampler = BucketedBatches(lengths, 8, 4, seed=1)
    first = list(sampler)
    assert len(first) == len(sampler) == 13
    assert sorted(i for batch in first for i in batch) == list(range(103))
    assert list(BucketedBatches(lengths, 8, 4, seed=1)) == first
    sampler.set_epoch(1)
    assert list(sampler) != first
    assert list(BucketedBatches(lengths, 8, 4, seed=2)) != first


def test_buckets_save_padding():
    lengths = np.random.default_rng(0).integers(10, 1000, 1000)

    def padding(bucket):
        batches = list(BucketedBatches(lengths, 8, bucket, seed=1))
        return 1 - lengths.sum() / sum(len(b) * lengths[b].max() for b in batches)

    assert padding(16) < 0.1 < 0.3 < padding(1)
