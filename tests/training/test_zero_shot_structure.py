"""Zero-shot scores of SaProt: against a plain loop over variants and 3Di letters with transformers alone."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from datasets import Dataset
from tiny_checkpoints import SAPROT_STRUCTURE, write_checkpoint
from transformers import AutoModelForMaskedLM, AutoTokenizer

from hubtools.models import ResidueTokeniser, resolve_checkpoint
from hubtools.models.masked_lm import load_masked_lm
from hubtools.models.windows import pieces
from hubtools.specs.recipe import Window
from hubtools.training.variant_scores import log_probabilities, marginals, mutated_positions

WILD, FOLD = "MKTAYIAKQRQISFVKSHFSRQ", "dvpvllvcqqpd##avvvsddd"
SHORT = "GSHMWY"
VARIANTS = [(WILD, "M1A"), (WILD, "K2R:Q22N"), (WILD, "S13F"), (SHORT, "W5F"), (WILD, ""), (WILD, "K2A")]
ROWS = Dataset.from_dict(
    {
        "id": [f"v{i}" for i in range(len(VARIANTS))],
        "label": [float(i) for i in range(len(VARIANTS))],
        "wildtype": [wild for wild, _ in VARIANTS],
        "mutations": [mutations for _, mutations in VARIANTS],
        **{key: ["a"] * len(VARIANTS) for key in ("group", "protein", "category")},
    }
)


def scores(folder: Path, structures: dict[str, str], masked: bool) -> np.ndarray:
    checkpoint = resolve_checkpoint(str(folder))
    tables = log_probabilities(
        load_masked_lm(checkpoint),
        ResidueTokeniser.from_checkpoint(checkpoint),
        mutated_positions([ROWS]),
        Window(),
        masked=masked,
        structures=structures,
        token_budget=400,
        device=torch.device("cpu"),
    )
    return marginals(ROWS, tables).scores


def by_hand(folder: Path, structures: dict[str, str], masked: bool) -> list[float]:
    """As SaProt's authors say it: the residue is hidden, its 3Di letter stays, and the pairs of a residue are added up."""
    model, tokenizer = AutoModelForMaskedLM.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    found = []
    for wild, mutations in VARIANTS:
        fold, total = structures.get(wild, "#" * len(wild)), 0.0
        for change in filter(None, mutations.split(":")):
            at, tokens = int(change[1:-1]) - 1, [a + s for a, s in zip(wild, fold, strict=True)]
            assert tokens[at][0] == change[0]
            if masked:
                tokens[at] = "#" + tokens[at][1]
            ids = torch.tensor([[0, *tokenizer.convert_tokens_to_ids(tokens), 2]])
            with torch.no_grad():
                probable = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[0, at + 1].softmax(-1)
            of = {
                residue: sum(float(probable[tokenizer.convert_tokens_to_ids(residue + s)]) for s in SAPROT_STRUCTURE)
                for residue in (change[0], change[-1])
            }
            total += math.log(of[change[-1]] / of[change[0]])
        found.append(total)
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("m") / "saprot", "saprot")


@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("structures", [{WILD: FOLD}, {}], ids=["structure", "none"])
def test_scores_are_those_of_a_plain_loop(folder: Path, structures: dict[str, str], masked: bool) -> None:
    expected = by_hand(folder, structures, masked)
    assert np.ptp(expected) > 1e-2, "a model that says the same of everything would pass any test"
    found = scores(folder, structures, masked)
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert found[4] == 0, "the wild type"


def test_structure_changes_what_it_says_of_its_own_wild_type_alone(folder: Path) -> None:
    known, unknown = scores(folder, {WILD: FOLD}, True), scores(folder, {}, True)
    assert np.abs(known - unknown)[[0, 1, 2, 5]].min() > 1e-4
    assert known[3] == pytest.approx(unknown[3], abs=1e-6)


def test_a_window_reads_the_structure_of_its_own_residues(folder: Path) -> None:
    checkpoint = resolve_checkpoint(str(folder))
    model, tokeniser = load_masked_lm(checkpoint), ResidueTokeniser.from_checkpoint(checkpoint)
    window = Window(residues=16, overlap=4)

    def table(wild: str, fold: str) -> np.ndarray:
        asked = {wild: np.arange(len(wild))}
        options = {"masked": True, "token_budget": 400, "device": torch.device("cpu")}
        return log_probabilities(model, tokeniser, asked, window, structures={wild: fold}, **options)[wild]

    whole, cut = table(WILD, FOLD), pieces(len(WILD), 16, 4)
    assert len(cut) > 1
    for piece in cut:
        alone = table(WILD[piece.start : piece.stop], FOLD[piece.start : piece.stop])
        core = slice(piece.core_start, piece.core_stop)
        np.testing.assert_allclose(
            whole[core], alone[piece.core_start - piece.start : piece.core_stop - piece.start], atol=1e-5
        )
