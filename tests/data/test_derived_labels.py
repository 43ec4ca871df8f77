"""Labels of residues that structures give, against biotite called directly, and against the records of real files."""

from __future__ import annotations

import hashlib
import os
import shutil
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_structures import THREE, chain_atoms, write_structure

from hubtools.common.errors import UserError
from hubtools.data import DataCache, load_task_data, source_digest
from hubtools.data.sources.table_files import read_table
from hubtools.data.structures.chains import whole_structure
from hubtools.data.structures.derived_labels import LARGEST_AREA, derived_rows
from hubtools.specs.data_sources import LocalFile
from hubtools.specs.lookup.content import shipped_root
from hubtools.specs.task import Task

SEQUENCE = "MKTAYGAKQRQISFVKSHFSRQLEERLGLIEVQAPILSRVGD"
_MIRROR = Path(os.environ.get("BENCH_DATA_MIRROR") or shipped_root().parent / "shared" / "mirror")
REAL = _MIRROR.parent / "data" / "structures"


def wound(sequence: str, helix: slice) -> Any:
    """A chain of α carbons on a line as in a strand, but on an α helix (100° and 1.5 Å a residue, 2.3 Å wide) in a stretch."""
    atoms, at = chain_atoms(sequence), np.zeros(3)
    for place in range(len(sequence)):
        inside = helix.start <= place < helix.stop
        turn = np.deg2rad(100 * place)
        at = at + ([0, 0, 1.5] if inside else [0, 0, 3.3])
        sideways = [2.3 * np.cos(turn), 2.3 * np.sin(turn), 0] if inside else [0.9 * (-1) ** place, 0, 0]
        own = atoms.res_id == place + 1
        atoms.coord[own] += at + sideways - atoms.coord[own & (atoms.atom_name == "CA")]
    return atoms


def row(path: Path, derives: str) -> dict[str, Any]:
    (found,) = read_table(LocalFile(path=path, derives=derives), path).to_dict("records")
    return dict(found)


@pytest.mark.parametrize("ending", [".pdb", ".cif", ".bcif", ".pdb.gz"])
def test_secondary_structure_is_biotites_and_finds_the_helix(tmp_path: Path, ending: str) -> None:
    from biotite.structure import annotate_sse

    atoms = wound(SEQUENCE, slice(10, 30))
    found = row(write_structure(tmp_path / f"x{ending}", atoms), "secondary-structure")
    assert found["label"] == [{"a": "H", "b": "E", "c": "C"}[state] for state in annotate_sse(atoms).tolist()]
    assert set(found["label"][12:28]) == {"H"} and "H" not in found["label"][:9] + found["label"][31:]
    assert (found["id"], found["file"], found["chain"], found["sequence"]) == ("x", "x", "A", SEQUENCE)


def test_a_residue_that_is_missing_is_x_without_a_label_whatever_residues_are_numbered(tmp_path: Path) -> None:
    numbers = [place + 501 for place in range(len(SEQUENCE))]
    atoms = chain_atoms(SEQUENCE, numbers=numbers, left_out=(20, 21))
    # One has no α carbon, so that nothing is known of it.
    atoms = atoms[~((atoms.res_id == 505) & (atoms.atom_name == "CA"))]
    found = row(write_structure(tmp_path / "x.pdb", atoms), "secondary-structure")
    assert found["sequence"] == SEQUENCE[:20] + "XX" + SEQUENCE[22:]
    assert [place for place, label in enumerate(found["label"]) if not label] == [4, 20, 21]
    assert len(found["3di"]) == len(SEQUENCE) and found["3di"][20:22] == "##" and "#" not in found["3di"][:20]


def test_two_helices_that_a_gap_divides_are_not_measured_across_it(tmp_path: Path) -> None:
    atoms = wound(SEQUENCE, slice(0, len(SEQUENCE)))
    # Three residues before the gap, and three behind it: too few for a helix on either side.
    whole = whole_structure(
        write_structure(tmp_path / "x.pdb", atoms[~np.isin(atoms.res_id, (4, 5, 6, 7)) & (atoms.res_id < 11)])
    )
    (found,) = derived_rows(whole, "x", "secondary-structure", "x.pdb")
    assert found["label"] == ["C"] * 3 + [""] * 4 + ["C"] * 3


def full_atoms(sequence: str) -> Any:
    """Residues with all heavy atoms, 9 Å from each other, by the dictionary of the PDB's components."""
    import biotite.structure as structure
    from biotite.structure.info import residue

    found = []
    for place, letter in enumerate(sequence):
        one = residue(THREE[letter])
        one = one[(one.element != "H") & (one.atom_name != "OXT")]
        one.coord = np.round(one.coord + np.array([9.0 * place, 0, 0]), 3)
        one.res_id[:], one.chain_id[:], one.hetero[:] = place + 1, "A", False
        one.set_annotation("b_factor", np.zeros(len(one)))
        found.append(one)
    return structure.concatenate(found)


def test_accessibility_is_biotites_area_over_the_largest_and_needs_the_whole_side_chain(tmp_path: Path) -> None:
    from biotite.structure import apply_residue_wise, sasa

    atoms = full_atoms("MKTAYWGDE")
    atoms = atoms[~((atoms.res_id == 2) & (atoms.atom_name == "NZ"))]
    found = row(write_structure(tmp_path / "x.pdb", atoms), "accessibility")
    areas = apply_residue_wise(atoms, sasa(atoms), np.nansum)
    for place, (letter, area, label) in enumerate(zip("MKTAYWGDE", areas, found["label"], strict=True)):
        if place == 1:
            assert label == ""
        else:
            assert label == pytest.approx(area / LARGEST_AREA[letter], rel=1e-3)
    assert 0.3 < found["label"][4] < 1.5
    # The atoms of each residue are counted against the dictionary.
    every = "".join(THREE)
    assert "" not in row(write_structure(tmp_path / "y.pdb", full_atoms(every)), "accessibility")["label"]
    for letter in every:
        one = full_atoms(letter)
        assert row(write_structure(tmp_path / "z.pdb", one[:-1]), "accessibility")["label"] == [""], letter


HELIX = "HELIX    1   1 {} A  {:>3}  {} A  {:>3}  1".format
SHEET = "SHEET    1   A 1 {} A {:>3}  {} A {:>3}  0".format


def recorded(tmp_path: Path, ending: str) -> Path:
    """A file whose records name a helix from 3 to 9 and a strand from 12 to 15, numbered from 101."""
    atoms = chain_atoms(SEQUENCE, numbers=[place + 101 for place in range(len(SEQUENCE))])
    path = write_structure(tmp_path / f"x{ending}", atoms)
    names = [THREE[letter] for letter in SEQUENCE]
    if ending == ".pdb":
        lines = [HELIX(names[2], 103, names[8], 109), SHEET(names[11], 112, names[14], 115)]
        path.write_text("\n".join(lines) + "\n" + path.read_text())
        return path
    from biotite.structure.io import pdbx

    file = pdbx.CIFFile.read(path)
    blank = {f"pdbx_{end}_PDB_ins_code": ["?"] for end in ("beg", "end")}
    spans = lambda first, last: {  # noqa: E731
        "beg_auth_asym_id": ["A"],
        "beg_auth_seq_id": [first],
        "end_auth_asym_id": ["A"],
        "end_auth_seq_id": [last],
        **blank,
    }
    file.block["struct_conf"] = pdbx.CIFCategory({"conf_type_id": ["HELX_P"], **spans(103, 109)})
    file.block["struct_sheet_range"] = pdbx.CIFCategory(spans(112, 115))
    file.write(path)
    return path


@pytest.mark.parametrize("ending", [".pdb", ".cif"])
def test_records_of_the_file_are_read_in_either_format(tmp_path: Path, ending: str) -> None:
    found = row(recorded(tmp_path, ending), "recorded-secondary-structure")
    assert "".join(found["label"]) == "CC" + "H" * 7 + "CC" + "EEEE" + "C" * (len(SEQUENCE) - 15)


def test_a_file_without_records_or_with_those_of_another_is_refused(tmp_path: Path) -> None:
    plain = write_structure(tmp_path / "plain.pdb", chain_atoms(SEQUENCE))
    with pytest.raises(UserError, match="no records of secondary structure"):
        row(plain, "recorded-secondary-structure")
    plain.write_text(HELIX("ALA", 3, "ALA", 99) + "\n" + plain.read_text())
    with pytest.raises(UserError, match="name residue 99 of chain A, which it does not have"):
        row(plain, "recorded-secondary-structure")


@pytest.mark.skipif(
    not REAL.is_dir(), reason="the structures of the PDB are not beside the folder that BENCH_DATA_MIRROR names"
)
def test_on_real_files_the_ways_agree_as_far_as_they_are_known_to() -> None:
    """P-SEA looks at α carbons alone, DSSP at hydrogen bonds, as the records do."""
    same = {"secondary-structure": 0, "dssp": 0}
    residues = 0
    for path in sorted(REAL.glob("*.pdb.gz")):
        truth = row(path, "recorded-secondary-structure")["label"]
        residues += len(truth)
        for derives in same:
            if derives == "dssp" and shutil.which("mkdssp") is None:
                continue
            states = row(path, derives)["label"]
            coarse = [{"G": "H", "I": "H", "H": "H", "E": "E"}.get(state, "C") for state in states]
            same[derives] += sum(a == b for a, b in zip(coarse, truth, strict=True))
    assert residues > 600 and same["secondary-structure"] / residues > 0.65
    assert shutil.which("mkdssp") is None or same["dssp"] / residues > 0.85


def task(folder: Path, derives: str, **more: Any) -> Task:
    kind = "residue-regression" if derives == "accessibility" else "residue-classification"
    labels = {} if derives == "accessibility" else {"labels": {"H": "helix", "E": "strand", "C": "coil"}}
    files = [{"path": folder / name, "name": name, "derives": derives} for name in ("train", "test")]
    return Task.model_validate(
        {
            "name": "t", "version": 1, "title": "t", "summary": "s", "problem": kind, **labels,
            "data": {"source": "structures", "files": files, "splits": {n: {"files": [n]} for n in ("train", "test")}, **more},
            "metrics": {"primary": "spearman" if derives == "accessibility" else "accuracy"},
            "licence": "CC0-1.0", "citation": "c", "trust": {"colour": "red", "reason": "made up for a test"},
        }
    )  # fmt: skip


def test_a_task_takes_its_labels_and_its_3di_letters_from_folders(tmp_path: Path) -> None:
    for number in range(6):
        atoms = chain_atoms(SEQUENCE[number:], seed=number, left_out=(5,) if number == 5 else ())
        write_structure(tmp_path / ("test" if number > 3 else "train") / f"p{number}.pdb", atoms)
    asked, cache = task(tmp_path, "secondary-structure", columns={"structure": "3di"}), DataCache(tmp_path / "cache")
    data = load_task_data(asked, cache)
    assert data.splits["test"]["id"][:] == ["p4", "p5"]
    labels = dict(zip(data.splits["test"]["id"][:], data.splits["test"]["label"][:], strict=True))
    assert [place for place, label in enumerate(labels["p5"]) if label == -100] == [5] and -100 not in labels["p4"]
    assert data.facts.structures is not None and data.facts.structures.unknown == 1
    assert data.facts.files[0].name == "train" and data.facts.source == "structures"
    before = source_digest(asked, cache)
    # Another structure under the name of one that was read.
    write_structure(tmp_path / "test" / "p4.pdb", chain_atoms(SEQUENCE, seed=9))
    assert source_digest(asked, cache) != before
    assert load_task_data(asked, cache).splits["test"]["sequence"][0] == SEQUENCE


def packed(folder: Path, archive: Path, prefix: str = "", order: int = 1) -> Path:
    """An archive of the files of a folder, as zip and tar programs make them."""
    files = sorted(folder.iterdir())[::order]
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as zipped:
            for path in files:
                zipped.write(path, prefix + path.name)
            zipped.writestr("__MACOSX/._p0.pdb", "x")
            zipped.writestr("README.txt", "no structure")
    else:
        with tarfile.open(archive, "w:gz" if archive.name.endswith("gz") else "w") as tarred:
            for path in files:
                tarred.add(path, prefix + path.name)
    return archive


@pytest.mark.parametrize(
    ("name", "prefix"), [("a.zip", "inner/"), ("a.tar", "./"), ("a.tar.gz", ""), ("a.tgz", "x/y/")]
)
def test_an_archive_gives_the_rows_of_its_folder(tmp_path: Path, name: str, prefix: str) -> None:
    endings = (".pdb", ".cif.gz", ".bcif")
    for number in range(6):
        part, ending = ("test", ".pdb") if number > 3 else ("train", endings[number % 3])
        write_structure(tmp_path / part / f"p{number}{ending}", chain_atoms(SEQUENCE[number:], seed=number))
    folders = task(tmp_path, "secondary-structure")
    cache = DataCache(tmp_path / "cache")
    expected = load_task_data(folders, cache)
    archive = packed(tmp_path / "train", tmp_path / name, prefix, order=-1)
    sha256 = hashlib.sha256(archive.read_bytes()).hexdigest()
    # In the folder of fetched files, as if an address had given it.
    (tmp_path / "mirror").mkdir()
    shutil.copy(archive, tmp_path / "mirror" / sha256)
    address = {"url": f"https://example.org/{name}", "sha256": sha256}
    for place in ({"path": archive}, {"path": archive, "sha256": sha256}, address):
        train, test = folders.data.files
        file = type(train).model_validate({"name": "train", "derives": "secondary-structure", **place})
        asked = folders.model_copy(update={"data": folders.data.model_copy(update={"files": [file, test]})})
        data = load_task_data(asked, DataCache(tmp_path / "cache", [tmp_path / "mirror"]))
        for split in ("train", "test"):
            assert data.splits[split].to_dict() == expected.splits[split].to_dict()
        assert data.facts.files[0].sha256 == sha256


@pytest.mark.parametrize(
    ("problem", "metric"), [("contact-prediction", "precision_l_long"), ("structure-prediction", "lddt")]
)
def test_contacts_and_places_of_a_folder_are_those_of_its_files(tmp_path: Path, problem: str, metric: str) -> None:
    path = write_structure(tmp_path / "f" / "p.pdb", chain_atoms(SEQUENCE, left_out=(5,)))
    about = {
        "name": "t", "version": 1, "title": "t", "summary": "s", "problem": problem, "metrics": {"primary": metric},
        "licence": "CC0-1.0", "citation": "c", "trust": {"colour": "red", "reason": "made up for a test"},
    }  # fmt: skip
    told = [
        {"source": "structures", "files": [{"path": path.parent, "derives": "contacts"}], "splits": {"test": {}}},
        {"source": "file", "files": [{"path": path}], "splits": {"test": {}}},
    ]
    cache = DataCache(tmp_path / "cache")
    of_folder, of_file = (
        load_task_data(Task.model_validate(about | {"data": one}), cache).splits["test"] for one in told
    )
    assert of_folder["sequence"][:] == of_file["sequence"][:]
    np.testing.assert_array_equal(of_folder["label"][0], of_file["label"][0])


def test_the_task_of_the_documentation_runs(tmp_path: Path) -> None:
    from hubtools.specs.lookup.spec_files import load_task

    text = (Path(__file__).resolve().parents[2] / "docs" / "structures.md").read_text()
    task_file = tmp_path / "my-secondary-structure.yaml"
    task_file.write_text(text.split("```yaml\n")[1].split("```")[0])
    for number in range(8):
        sequence = "".join(np.random.default_rng(number).choice(list(THREE), 40))
        write_structure(tmp_path / "structures" / f"p{number}.cif.gz", wound(sequence, slice(5, 25)))
    data = load_task_data(load_task(str(task_file)), DataCache(tmp_path / "cache"))
    assert sum(len(data.splits[name]) for name in ("train", "validation", "test")) == 8
    assert {0, 2} <= {label for row in data.splits["test"]["label"][:] for label in row}


def test_without_structures_it_says_so(tmp_path: Path) -> None:
    asked, cache = task(tmp_path, "accessibility"), DataCache(tmp_path / "cache")
    with pytest.raises(UserError, match="there is no folder"):
        load_task_data(asked, cache)
    (tmp_path / "train").mkdir()
    with pytest.raises(UserError, match="no structure file is in it"):
        load_task_data(asked, cache)
    with pytest.raises(ValueError, match="this is for structure files"):
        LocalFile(path=tmp_path / "x.csv", derives="accessibility")


def test_numbers_that_no_protein_reaches_are_refused_before_memory_is_taken_for_them(tmp_path: Path) -> None:
    atoms = chain_atoms("AAAAAAAA", numbers=[1, 2, 3, 4, 2_000_000_000, 2_000_000_001, 2_000_000_002, 2_000_000_003])
    atoms.coord[atoms.res_id > 9000] += 500
    with pytest.raises(UserError, match=r"2,000,000,003 residues are more than a protein has \(at most 1,000,000"):
        row(write_structure(tmp_path / "x.cif", atoms), "secondary-structure")
