"""Contacts of coordinates, against plain numpy; listed ones; what a file lacks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tiny_structures import chain_atoms, write_structure

from hubtools.common.errors import UserError
from hubtools.data.sources.table_files import read_table
from hubtools.data.structures.chains import read_chains
from hubtools.data.structures.contacts import NOT_SCORED, chain_rows, listed, pairs_of, places_of
from hubtools.specs.data_sources import LocalFile

SEQUENCE = "MKTAYGAKQRQISFVKSHFSRQLEERLGLIEVQAPILSRVGD"


def plain(atoms: object, sequence: str, lacking: tuple[int, ...] = ()) -> np.ndarray:
    """Labels from the atoms of a chain, pair by pair; -100 where a residue is not there."""
    place = {}
    for atom in atoms:  # type: ignore[attr-defined]
        if atom.atom_name == ("CA" if atom.res_name == "GLY" else "CB"):
            place[atom.res_id - 1] = atom.coord.astype(float)
    labels = []
    for j in range(len(sequence)):
        for i in range(j):
            known = i in place and j in place and i not in lacking and j not in lacking
            if j - i < 6 or not known:
                labels.append(NOT_SCORED)
            else:
                labels.append(int(np.sqrt(((place[i] - place[j]) ** 2).sum()) < 8))
    return np.array(labels)


@pytest.mark.parametrize("ending", [".pdb", ".cif", ".bcif", ".pdb.gz"])
def test_contacts_of_every_format_are_those_of_plain_numpy(tmp_path: Path, ending: str) -> None:
    atoms = chain_atoms(SEQUENCE, seed=3)
    path = write_structure(tmp_path / f"x{ending}", atoms)
    (row,) = read_table(LocalFile(path=path), path).to_dict("records")
    assert (row["id"], row["sequence"], row["chain"]) == ("x", SEQUENCE, "A")
    labels = listed(row["label"], len(SEQUENCE), "x")
    assert np.array_equal(labels, plain(atoms, SEQUENCE))
    assert (labels == 1).sum() > 10 and (labels == 0).sum() > 10


def test_what_a_file_lacks_is_x_and_has_no_label(tmp_path: Path) -> None:
    atoms = chain_atoms(SEQUENCE, seed=3, left_out=(0, 10, 11, 12))
    atoms = atoms[~((atoms.res_id == 20) & (atoms.atom_name == "CB"))]
    (row,) = chain_rows(read_chains(write_structure(tmp_path / "x.pdb", atoms)), "x", "x.pdb")
    # The first residue is not missing between others: the sequence begins with the second.
    assert row["sequence"] == SEQUENCE[1:10] + "XXX" + SEQUENCE[13:]
    expected = plain(atoms, SEQUENCE)
    first, second = places_of(len(SEQUENCE))
    assert np.array_equal(listed(row["label"], len(SEQUENCE) - 1, "x"), expected[(first > 0) & (second > 0)])
    assert row["label"].endswith(";10;11;12;19".replace("10;11;12", "10;11;12"))


def test_numbers_that_jump_between_bonded_residues_are_no_gap(tmp_path: Path) -> None:
    numbers = [*range(1, 21), *range(101, 101 + len(SEQUENCE) - 20)]
    atoms = chain_atoms(SEQUENCE, seed=3, numbers=numbers)
    (row,) = chain_rows(read_chains(write_structure(tmp_path / "x.pdb", atoms)), "x", "x.pdb")
    assert row["sequence"] == SEQUENCE


def test_copies_of_a_chain_are_one_row_and_others_have_the_chains_name(tmp_path: Path) -> None:
    chains = [chain_atoms(SEQUENCE), chain_atoms(SEQUENCE, chain="B", seed=1), chain_atoms(SEQUENCE[:20], chain="C")]
    rows = chain_rows(read_chains(write_structure(tmp_path / "x.pdb", *chains)), "x", "x.pdb")
    assert [(row["id"], row["chain"], len(row["sequence"])) for row in rows] == [("x_A", "A", 42), ("x_C", "C", 20)]


def test_listed_pairs_and_residues_of_which_nothing_is_known() -> None:
    labels = listed("1-9; 10-3;2-4;5", 10, "p")
    first, second = places_of(10)
    of = {(i + 1, j + 1): int(label) for i, j, label in zip(first, second, labels, strict=True)}
    assert of[1, 9] == of[3, 10] == 1 and of[2, 9] == 0
    assert of[2, 4] == NOT_SCORED, "neighbours have no label"
    assert all(label == NOT_SCORED for pair, label in of.items() if 5 in pair)
    assert (labels != NOT_SCORED).sum() == 4 + 3 + 2 + 1
    assert not (listed("", 10, "p") == 1).any()


@pytest.mark.parametrize("cell", ["1-11", "0-8", "1-2-3", "a-7", "1,9", "1-99999999999", "-3", "²-9"])
def test_what_is_no_pair_is_one_line(cell: str) -> None:
    with pytest.raises(UserError) as error:
        listed(cell, 10, "task t, p")
    assert error.value.where == "task t, p"


def test_numbers_of_pairs_and_back() -> None:
    first, second = pairs_of(np.arange(50_000))
    assert np.array_equal(second * (second - 1) // 2 + first, np.arange(50_000)) and (first < second).all()
    far = np.array([2**31 - 2, 65_000 * 64_999 // 2 - 1, 65_000 * 64_999 // 2])
    first, second = pairs_of(far)
    assert np.array_equal(second * (second - 1) // 2 + first, far) and (first < second).all() and (first >= 0).all()


def test_a_chain_of_too_many_residues_is_refused(tmp_path: Path) -> None:
    atoms = chain_atoms("AAAAAAAA", numbers=[1, 2, 3, 4, 9996, 9997, 9998, 9999])
    atoms.coord[atoms.res_id > 9000] += 500
    with pytest.raises(UserError, match="too many pairs"):
        chain_rows(read_chains(write_structure(tmp_path / "x.pdb", atoms)), "x", "x.pdb")
