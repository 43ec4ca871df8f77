"""``bench view`` and ``bench predict --paint``: pages and painted structures, and one line for each mistake."""

from __future__ import annotations

import csv
import hashlib
import json
import re
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from tiny_runs import made
from tiny_structures import chain_atoms, write_structure

from hubtools.cli.predict import predict
from hubtools.cli.proteins.view import view
from hubtools.common.errors import UserError
from hubtools.data.structures.chains import read_chains
from hubtools.reporting.structures import viewer_program

SEQUENCE = "MKTAYGAKQRQISFVKSHFSRQLEERLGLIEVQAPILSRVGD"


@pytest.fixture(autouse=True)
def no_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In place of 3Dmol.js, so that nothing is fetched: a file that does nothing."""
    from dataclasses import replace

    from hubtools.data.npm_package import NpmPackage

    text = b"// nothing\n"
    (tmp_path / "runtime").mkdir()
    (tmp_path / "runtime" / viewer_program.SCRIPT).write_bytes(text)
    package = replace(viewer_program.MOL_3D, checksums={viewer_program.SCRIPT: hashlib.sha256(text).hexdigest()})
    files = NpmPackage.files
    monkeypatch.setattr(viewer_program, "MOL_3D", package)
    monkeypatch.setattr(
        NpmPackage, "files", lambda self, given, mirrors=(): files(self, given or tmp_path / "runtime", mirrors)
    )
    monkeypatch.chdir(tmp_path)


def asked(command: object, *arguments: str) -> str:
    done = CliRunner().invoke(command, arguments, catch_exceptions=False)  # type: ignore[arg-type]
    assert done.exit_code == 0, done.output
    return done.output


def paintings(page: Path) -> list[str]:
    data = re.search(r'id="data">(.*?)</script>', page.read_text(), re.DOTALL)
    assert data is not None
    return [one["title"] for one in json.loads(data[1])["paintings"]]


def test_a_folder_of_structures_is_a_page() -> None:
    for name in ("a", "b"):
        write_structure(Path("folds") / f"{name}.cif.gz", chain_atoms(SEQUENCE, confidence=[80.0] * len(SEQUENCE)))
    np.savez("folds/a.pae.npz", pae=np.ones((5, 5), dtype=np.float32))
    Path("folds/folds.tsv").write_text("id\tfile\tptm\na|1\ta.cif.gz\t0.77\n")
    said = asked(view, "folds", "-o", "page.html", "--figure", "figures")
    assert "2 structures" in said and "a: its aligned error is of 5 residues, the file has 42: not shown" in said
    assert '"pTM":"0.77"' in Path("page.html").read_text()
    assert sorted(path.name for path in Path("figures").iterdir()) == ["001-a.png", "002-b.png"]
    assert paintings(Path("page.html")) == ["confidence (pLDDT)", "place in the chain"]


@pytest.mark.slow
@pytest.mark.parametrize("problem", ["residue-classification", "residue-regression"])
def test_predictions_are_painted_on_the_structure_that_was_read(tmp_path: Path, problem: str) -> None:
    run = made(tmp_path / "made", problem)
    numbers = [place + 101 for place in range(len(SEQUENCE))]
    write_structure(Path("p.pdb"), chain_atoms(SEQUENCE, numbers=numbers, left_out=(10,)))
    said = asked(predict, str(run), "p.pdb", "-o", "sites.tsv", "--paint", "p.pdb", "--device", "cpu")
    assert "painted on structures: sites.tsv.html" in said
    rows = list(csv.DictReader(Path("sites.tsv").read_text().splitlines(), delimiter="\t"))
    # The residue that the file lacks is read as X, and predicted; it has no place on the structure.
    assert "".join(row["residue"] for row in rows) == SEQUENCE[:10] + "X" + SEQUENCE[11:]
    (chain,) = read_chains(Path("sites.tsv.structures/p.pdb"))
    kept = [row for place, row in enumerate(rows) if place != 10]
    if problem == "residue-regression":
        expected = [float(row["value"]) for row in kept]
    else:
        names = [name.removeprefix("p_") for name in rows[0] if name.startswith("p_")]
        expected = [names.index(row["predicted"]) + 1.0 for row in kept]
    assert chain.numbers.tolist() == [number for number in numbers if number != 111]
    np.testing.assert_allclose(chain.confidence, expected, atol=0.006)
    assert paintings(Path("sites.tsv.html"))[0] == (
        "predicted value" if problem == "residue-regression" else "predicted label"
    )


@pytest.mark.slow
def test_what_cannot_be_painted_is_refused_before_anything_is_predicted(tmp_path: Path) -> None:
    write_structure(Path("p.pdb"), chain_atoms(SEQUENCE))
    run = str(made(tmp_path / "made", "sequence-classification"))
    for options, message in (
        (["-o", "t.tsv", "--paint", "p.pdb"], "says nothing of single residues"),
        (["-o", "t.tsv", "--paint", "none.pdb"], "says nothing of single residues"),
    ):
        with pytest.raises(UserError, match=message):
            asked(predict, run, "p.pdb", *options)
    run = str(made(tmp_path / "other", "residue-classification"))
    for options, message in (
        (["--paint", "p.pdb"], "read from the table"),
        (["-o", "t.gff3", "--paint", "p.pdb"], "read from the table"),
        (["-o", "t.tsv", "--paint", "none.pdb"], "no such file or folder"),
    ):
        with pytest.raises(UserError, match=message):
            asked(predict, run, "p.pdb", *options)
    assert not Path("t.tsv").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none"], "no such file or folder"),
        (["empty"], "no structure file is in it"),
        (["p.pdb", "--painted", "out"], "--painted writes predictions"),
        (["p.pdb", "--predictions", "none.tsv"], "there is no such file"),
        (["p.pdb", "--predictions", "t.tsv", "--label", "bindin"], "Did you mean binding"),
        (["folds", "--predictions", "t.tsv"], "is called as a structure"),
        (["p.pdb", "--runtime", "empty"], "does not hold 3Dmol-min.js"),
    ],
)
def test_a_mistake_is_one_line(arguments: list[str], message: str) -> None:
    Path("empty").mkdir()
    write_structure(Path("p.pdb"), chain_atoms(SEQUENCE))
    write_structure(Path("folds/a.pdb"), chain_atoms(SEQUENCE))
    write_structure(Path("folds/b.pdb"), chain_atoms(SEQUENCE))
    rows = "".join(f"x\t{place}\t{letter}\tbinding\t0.5\n" for place, letter in enumerate(SEQUENCE, 1))
    Path("t.tsv").write_text("id\tposition\tresidue\tpredicted\tp_binding\n" + rows)
    with pytest.raises(UserError) as refused:
        asked(view, *arguments)
    assert message in str(refused.value) and "\n" not in str(refused.value)
