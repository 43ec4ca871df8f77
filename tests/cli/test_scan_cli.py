"""``bench scan``: the numbers of variant-effect tasks, or of the model for each mutant, as a table and as a map."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from tiny_checkpoints import write_checkpoint
from tiny_runs import made
from transformers import AutoTokenizer, EsmForMaskedLM

import hubtools
from hubtools.common.errors import UserError
from hubtools.data.rows.variants import STANDARD
from hubtools.reporting.figures.substitution_map import ORDER, substitution_map

CPU = hubtools.ExecutionOptions(device="cpu")
WILD = "MKTAYIXKQRQISFVKSHFSRQ"
Bench = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_checkpoint(tmp_path_factory.mktemp("scan") / "esm", "esm")
    # With the head of its pre-training.
    torch.manual_seed(0)
    EsmForMaskedLM(EsmForMaskedLM.config_class.from_pretrained(folder)).save_pretrained(folder)
    return folder


def expected(checkpoint: Path, *, masked: bool) -> np.ndarray:
    """(residues, 20) by transformers alone, one position after the other."""
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    model: Any = EsmForMaskedLM.from_pretrained(checkpoint).eval()
    amino = tokenizer.convert_tokens_to_ids(list(STANDARD))
    ids = tokenizer(WILD, return_tensors="pt").input_ids
    rows = []
    for place, letter in enumerate(WILD, 1):
        asked = ids.clone()
        if masked:
            asked[0, place] = tokenizer.mask_token_id
        with torch.no_grad():
            told = (
                model(input_ids=asked, attention_mask=torch.ones_like(asked)).logits[0, place].double().log_softmax(-1)
            )
        rows.append((told[amino] - told[tokenizer.convert_tokens_to_ids(letter)]).numpy())
    return np.array(rows)


@pytest.mark.parametrize("scoring", ["masked-marginals", "wildtype-marginals"])
def test_a_checkpoint_is_asked_as_tasks_ask_it(checkpoint: Path, scoring: Any) -> None:
    (one,) = hubtools.scan(WILD, checkpoint, scoring=scoring, execution=CPU)
    by_hand = expected(checkpoint, masked=scoring == "masked-marginals")
    known = [place for place, letter in enumerate(WILD) if letter in STANDARD]
    np.testing.assert_allclose(one.scores[known], by_hand[known], atol=1e-5)
    assert np.isnan(one.scores[WILD.index("X")]).all()
    part = hubtools.scan(WILD, checkpoint, scoring=scoring, region="3-9", execution=CPU)
    np.testing.assert_allclose(part[0].scores, one.scores[2:9], atol=1e-6)
    table = part.to_pandas()
    assert len(table) == 6 * 19 and table["mutation"][0] == "T3A" and "none of the 20" in part.notes[0]


@pytest.mark.slow
@pytest.mark.parametrize("problem", ["sequence-regression", "sequence-classification"])
def test_a_model_is_asked_about_each_mutant(tmp_path: Path, problem: str) -> None:
    run = made(tmp_path / "run", problem)
    wild = WILD.replace("X", "A")
    predictor = hubtools.open_model(run, CPU)
    label = None if problem == "sequence-regression" else predictor.labels[0]
    (one,) = hubtools.scan(wild, model=predictor, label=label, region="2-4", execution=CPU)
    asked = {"wild": wild, "K2W": f"{wild[0]}W{wild[2:]}"}
    column = "value" if label is None else f"p_{label}"
    said = hubtools.predict(predictor, asked, execution=CPU).to_pandas().set_index("id")[column]
    assert one.scores[0, STANDARD.index("W")] == pytest.approx(said["K2W"] - said["wild"], abs=1e-5)
    assert one.wild_type == pytest.approx(said["wild"], abs=1e-5)
    assert one.scores.shape == (3, 20) and (one.scores[[0, 1, 2], [STANDARD.index(x) for x in wild[1:4]]] == 0).all()


def test_tables_and_maps(bench: Bench, checkpoint: Path, tmp_path: Path) -> None:
    one, two = tmp_path / "one.fasta", tmp_path / "two.fasta"
    one.write_text(f">../a/b\n{WILD}\n")
    two.write_text(f">../a/b\n{WILD}\n>c\nMKV\n")
    options = ("--checkpoint", checkpoint, "--device", "cpu", "--scoring", "wildtype-marginals", "--region", "1-3")
    for suffix, read in ((".csv", pd.read_csv), (".parquet", pd.read_parquet)):
        code, said, told = bench("scan", one, *options, "-o", tmp_path / f"t{suffix}", "--figure", tmp_path / "m.svg")
        assert code == 0 and not said and "57 substitutions of 1 protein" in told, told
        table = read(tmp_path / f"t{suffix}")
        assert list(table.columns) == ["id", "position", "wildtype", "mutant", "mutation", "score"] and len(table) == 57
    assert (tmp_path / "m.svg").read_text().startswith("<?xml")
    assert bench("scan", two, *options, "--figure", tmp_path / "maps")[0] == 0
    assert sorted(path.name for path in (tmp_path / "maps").iterdir()) == ["001-a_b.png", "002-c.png"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("-o", "t.csv"), "one of checkpoint and model must be named"),
        (("--checkpoint", "embedded"), "nothing would be written"),
        (("--checkpoint", "embedded", "-o", "t.gff3"), "GFF3 holds labels"),
        (("--checkpoint", "embedded", "--figure", "t.jpg"), ".jpg is no format of figures"),
        (("--checkpoint", "embedded", "-o", "t.csv", "--region", "5-99"), "ends behind its 22 residues"),
        (("--checkpoint", "embedded", "-o", "t.csv", "--region", "9-5"), "'9-5' is no region"),
    ],
)
def test_mistakes_are_one_line(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "p.fasta").write_text(f">a\n{WILD}\n")
    code, _, told = bench("scan", "p.fasta", *options)
    assert code == 2 and message in told and not list(tmp_path.glob("t.*")), told


def test_one_file_is_not_for_several_proteins(checkpoint: Path, tmp_path: Path) -> None:
    both = hubtools.scan(["MKV", "MKL"], checkpoint, scoring="wildtype-marginals", execution=CPU)
    with pytest.raises(UserError, match="one file is named for the figures of 2 proteins"):
        both.draw(tmp_path / "m.png")


@pytest.mark.parametrize(("residues", "blocks"), [(60, 1), (230, 3), (500, 5)])
def test_the_map_wraps_to_a_page(residues: int, blocks: int) -> None:
    wild = (ORDER * 25)[:residues]
    drawn = substitution_map(np.full((residues, 20), -1.0), wild, STANDARD, 1, "a protein", "a score")
    width, height = drawn.get_size_inches()
    *axes, bar = drawn.axes
    assert width == pytest.approx(7.2) and height < 11 and len(axes) == blocks
    # The wild type's letters stand above its residues, and colours are white at 0.
    assert "".join(text.get_text() for one in axes for text in one.texts) == wild
    low, high = bar.get_xlim()
    assert low == -high
