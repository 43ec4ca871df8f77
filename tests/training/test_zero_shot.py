"""Zero-shot scores: against transformers used by hand, one variant at a time."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from datasets import Dataset
from tiny_checkpoints import _modernbert, write_checkpoint
from transformers import AutoConfig, AutoModelForMaskedLM, AutoTokenizer

from hubtools.common.errors import UserError
from hubtools.data.rows.variants import STANDARD
from hubtools.models import ResidueTokeniser, resolve_checkpoint
from hubtools.models.families import PLAIN, SPACED
from hubtools.models.masked_lm import load_masked_lm
from hubtools.specs.recipe import Window
from hubtools.training.variant_scores import (
    BLOSUM62,
    blosum62,
    log_probabilities,
    marginals,
    mutated_positions,
    window_facts_of,
)

WILD = "MKTAYIAKQRQISFVKSHFSRQLEERLGLIEVQAPILSRVGD"
SHORT = "GSHMWY"
CPU = torch.device("cpu")
FAMILIES = ("esm", "esm1b", "bert", "modernbert", "esmc")


def rows(*variants: tuple[str, str]) -> Dataset:
    """Canonical rows of (wild type, mutations)."""
    n = range(len(variants))
    return Dataset.from_dict(
        {
            "id": [f"v{i}" for i in n],
            "label": [float(i) for i in n],
            "wildtype": [wild for wild, _ in variants],
            "mutations": [mutations for _, mutations in variants],
            **{key: ["a"] * len(variants) for key in ("group", "protein", "category")},
        }
    )


VARIANTS = rows((WILD, "M1A"), (WILD, "K2R:D42N"), (SHORT, "W5F"), (WILD, ""), (WILD, "K2A"), (SHORT, "G1A:S2T:Y6F"))


def scores(folder: Path, masked: bool, budget: int = 4096, window: Window | None = None, **options) -> np.ndarray:
    checkpoint = resolve_checkpoint(str(folder))
    tokeniser = ResidueTokeniser.from_checkpoint(checkpoint)
    tables = log_probabilities(
        load_masked_lm(checkpoint, **options),
        tokeniser,
        mutated_positions([VARIANTS]),
        window or Window(),
        masked=masked,
        token_budget=budget,
        device=CPU,
    )
    return marginals(VARIANTS, tables).scores


def by_hand(folder: Path, family: str, masked: bool) -> list[float]:
    """One variant, one substitution at a time, with nothing but transformers."""
    model, tokenizer = AutoModelForMaskedLM.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    found = []
    for wild, mutations in zip(VARIANTS["wildtype"], VARIANTS["mutations"], strict=True):
        total = 0.0
        for change in filter(None, mutations.split(":")):
            ids = tokenizer((SPACED if family == "bert" else PLAIN).write(wild), return_tensors="pt")["input_ids"]
            at = int(change[1:-1])  # One token before the first residue, and mutants count from one.
            if masked:
                ids[0, at] = tokenizer.mask_token_id
            with torch.no_grad():
                logits = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[0, at]
            known = logits.log_softmax(-1)
            before, after = (tokenizer.convert_tokens_to_ids(letter) for letter in (change[0], change[-1]))
            total += float(known[after] - known[before])
        found.append(total)
    return found


@pytest.mark.parametrize(("family", "masked"), list(itertools.product(FAMILIES, (True, False))))
def test_scores_are_those_of_transformers_by_hand(tmp_path, family, masked):
    folder = write_checkpoint(tmp_path / family, family)
    expected = by_hand(folder, family, masked)
    assert np.ptp(expected) > 1e-3, "a model that says the same of everything would pass any test"
    np.testing.assert_allclose(scores(folder, masked), expected, atol=2e-5)
    assert scores(folder, masked)[3] == 0, "the wild type"


@pytest.mark.parametrize("kind", ["roformer", "roberta", "deberta-v2", "albert", "electra", "mpnet"])
def test_any_class_with_such_a_head_is_asked(tmp_path, kind):
    torch.manual_seed(0)
    _, tokenizer = _modernbert(tmp_path, 16)
    settings = AutoConfig.for_model(
        kind, vocab_size=len(tokenizer), hidden_size=16, embedding_size=16, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=32, max_position_embeddings=64, pad_token_id=0,
    )  # fmt: skip
    model = AutoModelForMaskedLM.from_config(settings)
    for parameter in model.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.2)
    model.save_pretrained(tmp_path / kind)
    tokenizer.save_pretrained(tmp_path / kind)
    expected = by_hand(tmp_path / kind, kind, True)
    assert np.ptp(expected) > 1e-3
    np.testing.assert_allclose(scores(tmp_path / kind, True), expected, atol=1e-4)


def test_how_rows_are_cut_into_batches_changes_nothing(tmp_path):
    folder = write_checkpoint(tmp_path / "m", "esm")
    np.testing.assert_allclose(scores(folder, True, budget=64), scores(folder, True, budget=100_000), atol=1e-5)


def test_each_position_of_a_wild_type_is_read_once(tmp_path):
    assert mutated_positions([VARIANTS])[WILD].tolist() == [0, 1, 41]
    read = []
    checkpoint = resolve_checkpoint(str(write_checkpoint(tmp_path / "m", "esm")))
    tokeniser, model = ResidueTokeniser.from_checkpoint(checkpoint), load_masked_lm(checkpoint)
    model.register_forward_pre_hook(
        lambda module, arguments, named: read.append(int(named["attention_mask"].sum())), with_kwargs=True
    )
    tables = log_probabilities(
        model, tokeniser, mutated_positions([VARIANTS, VARIANTS]), Window(), masked=True, token_budget=1000, device=CPU
    )
    assert sum(read) == 3 * (len(WILD) + 2) + 4 * (len(SHORT) + 2)
    assert np.isfinite(tables[WILD][[0, 1, 41]]).all()
    assert np.isnan(tables[WILD][2:41]).all()


@pytest.mark.slow
def test_what_does_not_fit_in_memory_is_read_in_smaller_batches(tmp_path, capsys):
    checkpoint = resolve_checkpoint(str(write_checkpoint(tmp_path / "m", "esm")))
    tokeniser, model = ResidueTokeniser.from_checkpoint(checkpoint), load_masked_lm(checkpoint)

    def look(module, arguments, named):
        if named["input_ids"].numel() > 100:
            raise torch.OutOfMemoryError("CUDA out of memory")

    model.register_forward_pre_hook(look, with_kwargs=True)
    tables = log_probabilities(
        model, tokeniser, mutated_positions([VARIANTS]), Window(), masked=True, token_budget=400, device=CPU
    )
    np.testing.assert_allclose(marginals(VARIANTS, tables).scores, scores(tmp_path / "m", True), atol=1e-5)
    assert "out of memory in scoring at 400 tokens a batch; going on with 200" in capsys.readouterr().err


def test_a_long_protein_is_read_in_the_window_where_the_position_lies_most_centrally(tmp_path):
    folder = write_checkpoint(tmp_path / "m", "esm")
    checkpoint = resolve_checkpoint(str(folder))
    tokeniser, model = ResidueTokeniser.from_checkpoint(checkpoint), load_masked_lm(checkpoint)
    table = log_probabilities(
        model, tokeniser, {WILD: np.array([20])}, Window(residues=20, overlap=10),
        masked=True, token_budget=1000, device=CPU,
    )[WILD]  # fmt: skip
    # Four windows of 20 start at 0, 7, 15 and 22; residue 20 (from 0) is farthest from an end in 15:35 or 7:27.
    near = []
    for start in (7, 15):
        ids = torch.from_numpy(tokeniser.with_special(tokeniser.encode(WILD[start : start + 20])))[None]
        ids[0, 1 + 20 - start] = 32
        with torch.no_grad():
            logits = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[0, 1 + 20 - start]
        near.append(logits.log_softmax(-1)[[tokeniser.table[ord(letter)] for letter in STANDARD]].numpy())
    assert min(np.abs(table[20] - expected).max() for expected in near) < 1e-5
    facts = window_facts_of([WILD, SHORT], Window(residues=20, overlap=10))
    assert (facts.proteins_cut, facts.residues_scored) == (1, len(WILD) + len(SHORT))


def test_random_weights_depend_on_the_seed_and_are_not_the_checkpoint(tmp_path):
    folder = write_checkpoint(tmp_path / "m", "esm")
    first, again, other = (scores(folder, True, weights="random", seed=seed) for seed in (1, 1, 2))
    assert (first == again).all()
    assert not np.allclose(first, other, atol=1e-6)
    assert not np.allclose(first, scores(folder, True), atol=1e-6)


def test_half_precision_weights_are_read_as_float32(tmp_path):
    model = load_masked_lm(resolve_checkpoint(str(write_checkpoint(tmp_path / "m", "esm", half=True))))
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


def test_a_checkpoint_without_its_head_is_refused(tmp_path):
    folder = write_checkpoint(tmp_path / "m", "esm")
    AutoModelForMaskedLM.from_pretrained(folder).esm.save_pretrained(folder)
    with pytest.raises(UserError, match="language-model head is not in it, or not all of it: 5 weights"):
        load_masked_lm(resolve_checkpoint(str(folder)))


@pytest.mark.parametrize("family", ["t5", "ankh"])
def test_an_architecture_without_such_a_head_is_refused(tmp_path, family):
    with pytest.raises(UserError, match="t5 has no masked-language-model head"):
        load_masked_lm(resolve_checkpoint(str(write_checkpoint(tmp_path / "m", family))))


# S. Henikoff and J. G. Henikoff, "Amino acid substitution matrices from protein blocks", PNAS 89, 10915–10919 (1992),
# doi:10.1073/pnas.89.22.10915.
ORDER = "ARNDCQEGHILKMFPSTWYV"
ROWS = """
 4 -1 -2 -2  0 -1 -1  0 -2 -1 -1 -1 -1 -2 -1  1  0 -3 -2  0
-1  5  0 -2 -3  1  0 -2  0 -3 -2  2 -1 -3 -2 -1 -1 -3 -2 -3
-2  0  6  1 -3  0  0  0  1 -3 -3  0 -2 -3 -2  1  0 -4 -2 -3
-2 -2  1  6 -3  0  2 -1 -1 -3 -4 -1 -3 -3 -1  0 -1 -4 -3 -3
 0 -3 -3 -3  9 -3 -4 -3 -3 -1 -1 -3 -1 -2 -3 -1 -1 -2 -2 -1
-1  1  0  0 -3  5  2 -2  0 -3 -2  1  0 -3 -1  0 -1 -2 -1 -2
-1  0  0  2 -4  2  5 -2  0 -3 -3  1 -2 -3 -1  0 -1 -3 -2 -2
 0 -2  0 -1 -3 -2 -2  6 -2 -4 -4 -2 -3 -3 -2  0 -2 -2 -3 -3
-2  0  1 -1 -3  0  0 -2  8 -3 -3 -1 -2 -1 -2 -1 -2 -2  2 -3
-1 -3 -3 -3 -1 -3 -3 -4 -3  4  2 -3  1  0 -3 -2 -1 -3 -1  3
-1 -2 -3 -4 -1 -2 -3 -4 -3  2  4 -2  2  0 -3 -2 -1 -2 -1  1
-1  2  0 -1 -3  1  1 -2 -1 -3 -2  5 -1 -3 -1  0 -1 -3 -2 -2
-1 -1 -2 -3 -1  0 -2 -3 -2  1  2 -1  5  0 -2 -1 -1 -1 -1  1
-2 -3 -3 -3 -2 -3 -3 -3 -1  0  0 -3  0  6 -4 -2 -2  1  3 -1
-1 -2 -2 -1 -3 -1 -1 -2 -2 -3 -3 -1 -2 -4  7 -1 -1 -4 -3 -2
 1 -1  1  0 -1  0  0  0 -1 -2 -2  0 -1 -2 -1  4  1 -3 -2 -2
 0 -1  0 -1 -1 -1 -1 -2 -2 -1 -1 -1 -1 -2 -1  1  5 -2 -2  0
-3 -3 -4 -4 -2 -2 -3 -2 -2 -3 -2 -3 -1  1 -4 -3 -2 11  2 -3
-2 -2 -2 -3 -2 -1 -2 -3  2 -1 -1 -2 -1  3 -3 -2 -2  2  7 -1
 0 -3 -3 -3 -1 -2 -2 -3 -3  3  1 -2  1 -1 -2 -2  0 -3 -1  4
"""


def test_blosum62_as_published():
    published = [[int(value) for value in row.split()] for row in ROWS.split("\n") if row]
    assert sorted(ORDER) == sorted(STANDARD) and len(published) == 20
    assert [[BLOSUM62[a, b] for b in ORDER] for a in ORDER] == published
    assert blosum62(VARIANTS).scores.tolist() == [-1, 3, 1, 0, -1, 0 + 1 + 3]


def test_blosum62_against_biopython():
    matrices = pytest.importorskip("Bio.Align.substitution_matrices", reason="Biopython is not installed")
    theirs = matrices.load("BLOSUM62")
    assert all(BLOSUM62[a, b] == theirs[a, b] for a in STANDARD for b in STANDARD)
