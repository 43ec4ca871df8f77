"""What a table says of residues, on the right residues of a structure: by sequence, whatever numbers say."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tiny_structures import chain_atoms, write_structure

from hubtools.common.errors import UserError
from hubtools.data.structures.chains import whole_structure
from hubtools.reporting.structures.residue_predictions import residue_predictions

SEQUENCE = "MKTAYGAKQRQISFVKSHFSRQLEERLGLIEVQAPILSRVGD"


def table(name: str, sequence: str = SEQUENCE, **columns: Any) -> pd.DataFrame:
    """A row a residue; by default its value is its position."""
    places = list(range(1, len(sequence) + 1))
    return pd.DataFrame({"id": name, "position": places, "residue": list(sequence)} | (columns or {"value": places}))


def test_values_are_on_the_residues_they_are_of(tmp_path: Path) -> None:
    numbers = [place + 301 for place in range(len(SEQUENCE))]
    atoms = chain_atoms(SEQUENCE, numbers=numbers, left_out=(0, 20, 21))
    whole = whole_structure(write_structure(tmp_path / "x.pdb", atoms))
    said = residue_predictions(table("x"), "t.tsv")
    (values,) = said.of(whole, False, "x").values()
    assert values.tolist() == [place for place in range(1, 43) if place not in (1, 21, 22)]
    # As a B factor, read back by biotite from the atoms' own numbers.
    from biotite.structure.io import pdb

    text, kind = whole.text({0: said.factors(values)}, remark="what they are")
    read = pdb.PDBFile.read(io.StringIO(text)).get_structure(model=1, extra_fields=["b_factor"])
    assert kind == "pdb" and text.startswith("REMARK   1 what they are\n")
    assert np.array_equal(read.b_factor, read.res_id - 300)


def test_copies_have_the_same_other_chains_their_own_or_nothing(tmp_path: Path) -> None:
    other = SEQUENCE[::-1]
    chains = [chain_atoms(SEQUENCE), chain_atoms(SEQUENCE, chain="B", seed=1), chain_atoms(other, chain="C", seed=2)]
    whole = whole_structure(write_structure(tmp_path / "x.cif", *chains))
    found = residue_predictions(table("x"), "t.tsv").of(whole, False, "x")
    assert sorted(found) == [0, 1] and np.array_equal(found[0], found[1])
    both = pd.concat([table("x_A"), table("x_C", other, value=[-1.0] * len(other)), table("y")])
    found = residue_predictions(both, "t.tsv").of(whole, False, "x")
    # A is named, so that B, which is a copy of it, is not meant.
    assert sorted(found) == [0, 2] and set(found[2]) == {-1.0}
    assert residue_predictions(table("z"), "t.tsv").of(whole, False, "x") == {}
    assert sorted(residue_predictions(table("z"), "t.tsv").of(whole, True, "x")) == [0, 1]


def test_labels_are_places_in_the_legend_and_a_probability_is_percent() -> None:
    labels = ["binding" if place % 2 else "" for place in range(42)]
    frame = table("x", predicted=labels, p_none=[0.75] * 42, p_binding=[0.25] * 42)
    said = residue_predictions(frame, "t.tsv")
    assert said.names == ("none", "binding") and np.isnan(said.proteins["x"].values[0])
    assert said.factors(said.proteins["x"].values)[1] == 2 and "1 none, 2 binding; 0 nothing" in said.factors_said
    share = residue_predictions(frame, "t.tsv", label="binding")
    assert share.factors(share.proteins["x"].values).tolist() == [25.0] * 42 and share.bounds == (0.0, 1.0)
    several = residue_predictions(table("x", predicted=["b;a"] * 42), "t.tsv")
    assert several.names == ("b",) and several.several == 42


def test_another_protein_is_refused(tmp_path: Path) -> None:
    whole = whole_structure(write_structure(tmp_path / "x.pdb", chain_atoms("GGGGSGGGGSGGGGSGGGGS")))
    with pytest.raises(UserError, match=r"x\.pdb, x: the structure is not the protein's") as refused:
        residue_predictions(table("x"), "t.tsv").of(whole, False, "x.pdb")
    assert refused.value.fix == "Name the structure of this protein."
    # Of a table of many proteins, those that are of the only structure.
    both = pd.concat([table("other"), table("mine", "GGGGSGGGGSGGGGSGGGGS")])
    (values,) = residue_predictions(both, "t.tsv").of(whole, True, "x.pdb").values()
    assert values.tolist() == list(range(1, 21))
    with pytest.raises(UserError, match="the structure is not the protein's"):
        residue_predictions(table("other"), "t.tsv").of(whole, True, "x.pdb")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"position": None}, "there is no column 'position'"),
        ({"value": None}, "there is no column 'value' or 'predicted'"),
        ({"position": ["0", *range(2, 43)]}, "'0' is no position"),
        ({"position": [2, *range(2, 43)]}, "'x' has a residue twice"),
        ({"residue": ["MK", *SEQUENCE[1:]]}, "'MK' is no residue"),
        ({"value": ["high", *range(2, 43)]}, "a value is no number"),
    ],
)
def test_what_is_no_such_table_is_one_line(change: dict[str, Any], said: str) -> None:
    frame = table("x", value=list(range(42)))
    for name, cells in change.items():
        frame = frame.drop(columns=name) if cells is None else frame.assign(**{name: cells})
    with pytest.raises(UserError, match=said):
        residue_predictions(frame, "t.tsv")
