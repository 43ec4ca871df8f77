"""Log-likelihoods of variants by decoders: against transformers used by hand, one variant and one residue at a time."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset
from tiny_checkpoints import write_checkpoint
from tiny_decoders import DECODERS, write_decoder
from tiny_own_code import write_like
from transformers import AutoModelForCausalLM, AutoTokenizer

from hubtools.common.errors import UserError
from hubtools.models import ResidueTokeniser, resolve_checkpoint
from hubtools.models.decoders.causal_lm import Direction, directions_of, first_is_told, load_causal_lm
from hubtools.models.families import family_of
from hubtools.models.masked_lm import load_masked_lm
from hubtools.specs.recipe import Window
from hubtools.training.compute.context import context_of
from hubtools.training.likelihoods import Line, likelihood_differences, lines_of, log_likelihoods

WILD = "MKTAYIAKQRQISFVKSHFSRQLEERLGLIEVQAPILSRVGD"
SHORT = "GSHMWY"
ROWS = [(WILD, "M1A"), (WILD, "K2R:D42N"), (SHORT, "W5F"), (WILD, ""), (WILD, "K2A"), (SHORT, "G1A:S2T:Y6F")]
CPU = torch.device("cpu")


def rows(variants: list[tuple[str, str]]) -> Dataset:
    return Dataset.from_dict({"wildtype": [wild for wild, _ in variants], "mutations": [m for _, m in variants]})


def scores(
    folder: Path,
    directions: tuple[Direction, ...] = ("forward",),
    backwards: str | None = None,
    window: Window | None = None,
    budget: int = 4096,
) -> np.ndarray:
    checkpoint, window = resolve_checkpoint(str(folder)), window or Window()
    tokeniser = ResidueTokeniser.from_checkpoint(checkpoint)
    known = log_likelihoods(
        load_causal_lm(checkpoint),
        tokeniser,
        lines_of([rows(ROWS)], window, directions),
        backwards=backwards,
        token_budget=budget,
        device=CPU,
    )
    return np.array(likelihood_differences(rows(ROWS), known, window, directions))


def mutated(wild: str, mutations: str) -> str:
    letters = list(wild)
    for change in filter(None, mutations.split(":")):
        assert letters[int(change[1:-1]) - 1] == change[0]
        letters[int(change[1:-1]) - 1] = change[-1]
    return "".join(letters)


def by_hand(folder: Path, text: str) -> float:
    """Σ log p of the letters of a text that are residues, token by token, with nothing but transformers."""
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    ids = tokenizer.convert_tokens_to_ids(list(text))
    total = 0.0
    for place in range(1, len(ids)):
        if text[place] in "12":
            continue
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([ids[:place]])).logits[0, -1]
        total += float(logits.double().log_softmax(-1)[ids[place]])
    return total


@pytest.mark.parametrize("kind", DECODERS)
def test_scores_are_those_of_transformers_by_hand(tmp_path: Path, kind: str) -> None:
    folder = write_decoder(tmp_path / kind, kind)
    expected = [by_hand(folder, f"1{mutated(*row)}2") - by_hand(folder, f"1{row[0]}2") for row in ROWS[1:3]]
    assert np.abs(expected).min() > 1e-2, "a model that says the same of everything would pass any test"
    found = scores(folder)
    np.testing.assert_allclose(found[1:3], expected, atol=1e-4)
    assert found[3] == 0, "the wild type"


@pytest.mark.parametrize("backwards", ["all", "residues"])
def test_both_directions_are_read_and_averaged(tmp_path: Path, backwards: str) -> None:
    folder = write_decoder(tmp_path / "m")

    def reversed_text(sequence: str) -> str:
        return f"2{sequence[::-1]}1" if backwards == "all" else f"1{sequence[::-1]}2"

    variant = mutated(*ROWS[2])
    forward = by_hand(folder, f"1{variant}2") - by_hand(folder, f"1{SHORT}2")
    backward = by_hand(folder, reversed_text(variant)) - by_hand(folder, reversed_text(SHORT))
    assert abs(forward - backward) > 1e-2
    found = scores(folder, ("forward", "backward"), backwards)
    np.testing.assert_allclose(found[2], (forward + backward) / 2, atol=1e-4)
    np.testing.assert_allclose(scores(folder, ("backward",), backwards)[2], backward, atol=1e-4)


def test_a_residue_before_which_nothing_is_read_has_no_likelihood(tmp_path: Path) -> None:
    folder = write_decoder(tmp_path / "m", around=False)
    expected = by_hand(folder, mutated(WILD, "M1A")) - by_hand(folder, WILD)
    np.testing.assert_allclose(scores(folder)[0], expected, atol=1e-4)


def test_a_long_protein_is_read_in_windows_that_hold_a_substitution(tmp_path: Path) -> None:
    window = Window(residues=20, overlap=10)
    lines = lines_of([rows([(WILD, "M1A"), (WILD, "K2A")])], window, ("forward",))
    assert [(line.mutations, line.piece.start) for line in lines] == [("", 0), ("M1A", 0), ("K2A", 0)], "each once"
    folder = write_decoder(tmp_path / "m")
    checkpoint = resolve_checkpoint(str(folder))
    tokeniser, model = ResidueTokeniser.from_checkpoint(checkpoint), load_causal_lm(checkpoint)
    every = lines_of([rows([(WILD, "L23A")])], window, ("forward",))
    found = log_likelihoods(model, tokeniser, every, backwards=None, token_budget=1000, device=CPU)
    total = 0.0
    for line in every:
        start, stop, core_start, core_stop = line.piece
        text = mutated(WILD, line.mutations)[start:stop]
        with torch.no_grad():
            ids = torch.from_numpy(tokeniser.with_special(tokeniser.encode(text)))[None]
            said = model(input_ids=ids).logits[0].double().log_softmax(-1)
        each = [float(said[place - start, ids[0, 1 + place - start]]) for place in range(core_start, core_stop)]
        assert found[line] == pytest.approx(sum(each), abs=1e-4)
        total += sum(each) * (1 if line.mutations else -1)
    assert len(every) == 6, "three of four windows hold residue 23"
    assert likelihood_differences(rows([(WILD, "L23A")]), found, window, ("forward",))[0] == pytest.approx(
        total, abs=1e-4
    )


def test_how_rows_are_cut_into_batches_changes_nothing(tmp_path: Path) -> None:
    folder = write_decoder(tmp_path / "m", "llama")
    np.testing.assert_allclose(scores(folder, budget=50), scores(folder, budget=100_000), atol=1e-4)


def test_batches_stay_within_the_budget(tmp_path: Path) -> None:
    checkpoint = resolve_checkpoint(str(write_decoder(tmp_path / "m")))
    tokeniser, model = ResidueTokeniser.from_checkpoint(checkpoint), load_causal_lm(checkpoint)
    read: list[int] = []
    model.register_forward_pre_hook(
        lambda module, arguments, named: read.append(named["input_ids"].numel()), with_kwargs=True
    )
    lines = lines_of([rows(ROWS)], Window(), ("forward",))
    log_likelihoods(model, tokeniser, lines, backwards=None, token_budget=100, device=CPU)
    assert max(read) <= 100 and len(read) > 2


def test_a_line_is_read_as_it_is_written() -> None:
    line = lines_of([rows([(WILD, "K2A:D42N")])], Window(residues=20, overlap=4), ("forward",))
    assert {one.residues[0] for one in line if one.mutations} == {"M", WILD[line[-1].piece.start]}
    last = [one for one in line if one.mutations][-1]
    assert isinstance(last, Line) and last.residues.endswith("N")


@pytest.mark.parametrize(
    ("write", "load", "said"),
    [
        (lambda folder: write_checkpoint(folder, "esm"), load_causal_lm, "esm has no causal-language-model head.*masked-marginals"),
        (lambda folder: write_checkpoint(folder, "t5"), load_causal_lm, "t5 has no causal-language-model head.*give a decoder"),
        (write_decoder, load_masked_lm, "gpt2 has no masked-language-model head.*--recipe log-likelihood"),
    ],
)  # fmt: skip
def test_the_other_head_is_named(tmp_path: Path, write: Any, load: Any, said: str) -> None:
    with pytest.raises(UserError) as error:
        load(resolve_checkpoint(str(write(tmp_path / "m"))))
    assert re.search(said, str(error.value))


@pytest.mark.parametrize(("kind", "back"), [("progen", "2{}1"), ("rita", "{}<EOS>")])
def test_decoders_of_code_of_their_own_are_read_in_both_directions(tmp_path: Path, kind: str, back: str) -> None:
    """As their authors read them: ProGen2 turns its terminal tokens, too, RITA's end stays behind."""
    folder = write_like(tmp_path / kind, kind)
    checkpoint = resolve_checkpoint(str(folder), trust_remote_code=True)
    tokeniser, model = ResidueTokeniser.from_checkpoint(checkpoint), load_causal_lm(checkpoint)
    assert not context_of(model.base_model, tokeniser, CPU).follows
    backwards, directions = family_of(checkpoint.config).backwards, directions_of(checkpoint.config)
    assert directions == ("forward", "backward")
    lines = lines_of([rows([ROWS[2]])], Window(), directions)
    found = log_likelihoods(model, tokeniser, lines, backwards=backwards, token_budget=100, device=CPU)
    plain = AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=True).eval()
    own = AutoTokenizer.from_pretrained(folder)

    def likelihood(text: str) -> float:
        ids = own.convert_tokens_to_ids(re.findall(r"<EOS>|.", text))
        assert own.unk_token_id not in ids
        with torch.no_grad():
            said = plain(torch.tensor([ids])).logits[0].double().log_softmax(-1)
        letters = [place for place in range(1, len(ids)) if own.convert_ids_to_tokens(ids[place]) in set(WILD + SHORT)]
        return float(sum(said[place - 1, ids[place]] for place in letters))

    forth = "1{}2" if kind == "progen" else back
    expected = 0.0
    for sequence, sign in ((mutated(*ROWS[2]), 1), (SHORT, -1)):
        expected += sign * (likelihood(forth.format(sequence)) + likelihood(back.format(sequence[::-1]))) / 2
    assert abs(expected) > 1e-4
    (score,) = likelihood_differences(rows([ROWS[2]]), found, Window(), directions)
    assert score == pytest.approx(expected, abs=1e-4)
    assert first_is_told(tokeniser, directions, backwards) == (kind == "progen")
