"""hubtools.predict: proteins in each form that a notebook has them in, and answers of the documented shapes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import hubtools
from hubtools.inference.predictor import Protein

GOLDEN = Path(__file__).resolve().parents[2] / "benchmarks" / "golden"
CPU = hubtools.ExecutionOptions(device="cpu", embedding_cache=False)
A, B = "MKTAYIAKQRQISFVK", "VIYVFVTWYVVFYIWT"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A probe of golden-class, golden-residues and golden-pairs, opened."""
    runs = tmp_path_factory.mktemp("runs")
    opened = {}
    for name in ("class", "residues", "pairs"):
        done = hubtools.run(
            "embedded",
            GOLDEN / "tasks" / f"golden-{name}.yaml",
            str(GOLDEN / "recipes" / "golden-probe.yaml"),
            runs=runs,
            execution=CPU,
        )
        assert not done.problems
        opened[name] = hubtools.open_model(done[0][0], CPU)
    return opened


@pytest.mark.parametrize(
    ("given", "ids"),
    [
        (A, ["protein_1"]),
        (A.lower(), ["protein_1"]),
        ([A, B], ["protein_1", "protein_2"]),
        ({"a": A, "b": B}, ["a", "b"]),
        (Protein("mine", A), ["mine"]),
        (iter([A]), ["protein_1"]),
        (f">a of mine.\n{A}\n>b\n{B}\n", ["a", "b"]),
    ],
    ids=["sequence", "small letters", "list", "dictionary", "protein", "iterator", "FASTA"],
)
def test_proteins_in_any_form(models: dict[str, Any], given: Any, ids: list[str]) -> None:
    said = hubtools.predict(models["class"], given)
    frame = said.to_pandas()
    assert frame["id"].tolist() == ids and len(said) == len(ids) and said.tally.proteins == len(ids)
    assert list(frame.columns) == list(said.columns)
    assert (frame[["p_helical", "p_stranded"]].sum(axis=1) - 1).abs().max() < 1e-5
    assert said[0].scores.shape == (1, 2) and said[0].answer.protein.sequence == A


def test_a_file_and_the_same_sequences_get_the_same_answers(models: dict[str, Any], tmp_path: Path) -> None:
    fasta = tmp_path / "two.fasta"
    fasta.write_text(f">a\n{A}\n>b\n{B}\n")
    held = hubtools.predict(models["class"], {"a": A, "b": B}).to_pandas()
    for given in (fasta, str(fasta)):
        read = hubtools.predict(models["class"], given).to_pandas()
        assert read["predicted"].tolist() == held["predicted"].tolist()
        assert (read["probability"] - held["probability"]).abs().max() < 1e-5
    written = hubtools.predict(models["class"], fasta, out=tmp_path / "out.tsv")
    assert len(written) == 0 and written.tally.proteins == 2
    assert (tmp_path / "out.tsv").read_text().count("\n") == 3 and (tmp_path / "out.tsv.json").is_file()


def test_of_residues_there_is_a_row_each(models: dict[str, Any]) -> None:
    frame = hubtools.predict(models["residues"], {"a": A}).to_pandas()
    assert frame["position"].tolist() == list(range(1, len(A) + 1)) and "".join(frame["residue"]) == A


def test_of_pairs_two_belong_together(models: dict[str, Any]) -> None:
    for given in ((A, B), [(A, B)], {"both": (A, B)}, Protein("both", A, B)):
        frame = hubtools.predict(models["pairs"], given).to_pandas()
        assert frame[["length", "partner_length"]].values.tolist() == [[len(A), len(B)]]
    with pytest.raises(hubtools.UserError, match="about pairs"):
        hubtools.predict(models["pairs"], A)
    with pytest.raises(hubtools.UserError, match="about single proteins"):
        hubtools.predict(models["class"], [(A, B)])


def test_what_is_no_protein_is_said_or_left_out(models: dict[str, Any]) -> None:
    with pytest.raises(hubtools.UserError, match="b"):
        hubtools.predict(models["class"], {"a": A, "b": "M1K"})
    said = hubtools.predict(models["class"], {"a": A, "b": "M1K"}, skip_bad=True)
    assert len(said) == 1 and len(said.left_out) == 1 and "Left out" in said._repr_html_()
    for wrong in (5, [5], {"a": None}):
        with pytest.raises(hubtools.UserError, match="Give a sequence"):
            hubtools.predict(models["class"], wrong)
