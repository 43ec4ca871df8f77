"""``bench fold``: files, table and note; what was there stays; what does not fit is said before; scores against known structures."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from optional_packages import needs_biotite
from tiny_folding import KINDS, write_folding_checkpoint
from tiny_structures import write_structure

import hubtools
from hubtools.common.errors import UserError
from hubtools.data.structures.chains import read_chains
from hubtools.inference.asking import Protein
from hubtools.inference.folding.folds_folder import fold_stems
from hubtools.models.folding.folding_models import FoldingModel
from hubtools.training.folding import fold_limits

pytestmark = [needs_biotite, pytest.mark.slow]
CPU = hubtools.ExecutionOptions(device="cpu")
PROTEINS = {"sp|P1|A_HUMAN": "MKTAYIAKQRWG", "two": "GGWCMKLVHE", "dimer": "MKTAY:MKTAY"}
Bench = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("fold")
    return {kind: write_folding_checkpoint(folder / kind, kind) for kind in KINDS}


@pytest.fixture
def fasta(tmp_path: Path) -> Path:
    path = tmp_path / "proteins.fasta"
    path.write_text("".join(f">{name}\n{sequence}\n" for name, sequence in PROTEINS.items()))
    return path


@pytest.fixture
def folds(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The chains of every protein that is folded from here on."""
    asked: list[list[str]] = []
    fold = FoldingModel.fold
    monkeypatch.setattr(
        FoldingModel, "fold", lambda self, chains, seed: asked.append(chains) or fold(self, chains, seed)
    )
    return asked


@pytest.mark.parametrize("form", ["pdb", "mmcif"])
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_written(bench: Bench, checkpoints: dict[str, Path], fasta: Path, kind: str, form: str) -> None:
    out = fasta.with_name("folds")
    code, said, told = bench(
        "fold", fasta, "-o", out, "--checkpoint", checkpoints[kind], "--format", form, "--device", "cpu"
    )
    assert code == 0 and f"wrote {out / 'folds.tsv'}" in told and "about" in told and "of memory at" in told, told
    assert "sp|P1|A_HUMAN" in said and "mean pLDDT" in said
    ending = {"pdb": ".pdb", "mmcif": ".cif"}[form]
    assert {path.name for path in out.iterdir()} == {
        *("fold.json", "folds.tsv"),
        *(f"{stem}{end}" for stem in ("sp_P1_A_HUMAN", "two", "dimer") for end in (ending, ".pae.npz")),
    }
    table = pd.read_csv(out / "folds.tsv", sep="\t")
    assert list(table.columns[:6]) == ["id", "file", "length", "chains", "mean_plddt", "ptm"]
    assert table["id"].tolist() == list(PROTEINS) and table["length"].tolist() == [12, 10, 10]
    assert table["seed"].isna().all() == (kind == "esmfold") and (table["iptm"].notna().sum() == 0) == (
        kind == "esmfold"
    )
    for row in table.itertuples():
        chains = read_chains(out / str(row.file))
        assert ":".join(chain.residues for chain in chains) == PROTEINS[str(row.id)]
        confidence = np.concatenate([chain.confidence for chain in chains])
        # The B factor of the file; two digits of it.
        assert row.mean_plddt == pytest.approx(confidence.mean(), abs=0.01) and (confidence > 1).all()
        with np.load(out / f"{Path(str(row.file)).stem}.pae.npz") as kept:
            assert kept["pae"].shape == (row.length, row.length) and kept["pae"].dtype == np.float32
    note = json.loads((out / "fold.json").read_text())
    assert note["settings"]["checkpoint sha256"] and note["settings"]["model"] and note["about"]["transformers"]


def test_what_is_there_is_not_folded_again(
    bench: Bench, checkpoints: dict[str, Path], fasta: Path, folds: list[list[str]]
) -> None:
    given = ("fold", fasta, "-o", fasta.with_name("folds"), "--checkpoint", checkpoints["esmfold"], "--device", "cpu")
    bench(*given)
    first = {path.name: path.read_bytes() for path in fasta.with_name("folds").glob("*.pdb")}
    folds.clear()
    _, _, told = bench(*given)
    assert not folds and "0 structures by esmfold, 3 there already" in told and "to fold" not in told
    # Other residues, a file that was cut, and a new protein are folded.
    fasta.write_text(fasta.read_text().replace("GGWCMKLVHE", "GGWCMKLVHH") + ">new\nMKV\n")
    (fasta.with_name("folds") / "dimer.pdb").write_bytes(first["dimer.pdb"][:500])
    _, _, told = bench(*given)
    assert folds == [["GGWCMKLVHH"], ["MKTAY", "MKTAY"], ["MKV"]] and "1 there already" in told
    assert (fasta.with_name("folds") / "dimer.pdb").read_bytes() == first["dimer.pdb"]


def test_one_folder_is_of_one_model(bench: Bench, checkpoints: dict[str, Path], fasta: Path) -> None:
    out = fasta.with_name("folds")
    bench("fold", fasta, "-o", out, "--checkpoint", checkpoints["esmfold"], "--device", "cpu")
    for options, what in (
        (("--checkpoint", checkpoints["esmfold2"]), "another checkpoint (esmfold, now esmfold2)"),
        (("--checkpoint", checkpoints["esmfold"], "--format", "mmcif"), "another format (pdb, now mmcif)"),
    ):
        code, _, told = bench("fold", fasta, "-o", out, *options, "--device", "cpu")
        assert code == 2 and what in told, told
    (fasta.parent / "mine").mkdir()
    (fasta.parent / "mine" / "thesis.txt").write_text("all of it")
    code, _, told = bench("fold", fasta, "-o", fasta.parent / "mine", "--checkpoint", checkpoints["esmfold"])
    assert code == 2 and "there is something else in it" in told
    (out / "fold.json").write_text("{")
    code, _, told = bench("fold", fasta, "-o", out, "--checkpoint", checkpoints["esmfold"])
    assert code == 2 and "no note of bench fold" in told


def test_a_seed_is_of_the_protein_and_not_of_its_place(checkpoints: dict[str, Path], tmp_path: Path) -> None:
    both = {"a": "MKTAYIAK", "b": "GGWCMKLV"}
    given: dict[str, Any] = {"checkpoint": checkpoints["esmfold2"], "execution": CPU}
    hubtools.fold(both, tmp_path / "both", **given)
    hubtools.fold({"b": both["b"]}, tmp_path / "alone", **given)
    hubtools.fold({"b": both["b"]}, tmp_path / "other", seed=1, **given)
    texts = [(tmp_path / name / "b.pdb").read_text() for name in ("both", "alone", "other")]
    assert texts[0] == texts[1] != texts[2]


def test_what_is_too_long_is_said_before_anything_is_loaded(
    checkpoints: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folds: list[list[str]]
) -> None:
    proteins = {"short": "MKTAYIAK", "long": "MK" * 10, "longer": "MK" * 15}
    given: dict[str, Any] = {"checkpoint": checkpoints["esmfold"], "execution": CPU}
    monkeypatch.setattr(fold_limits, "LONGEST_ON_CPU", 20)
    with pytest.raises(
        UserError, match=r"1 of 3 proteins have more than 20 residues, and that many take long"
    ) as caught:
        hubtools.fold(proteins, tmp_path / "folds", **given)
    assert "--max-length" in str(caught.value) and not folds and not (tmp_path / "folds").exists()
    # What fits into so much memory: the weights alone do not, weights and some residues do.
    monkeypatch.setattr(fold_limits, "free_memory", lambda: 1000)
    with pytest.raises(UserError, match=r"3 of 3 proteins have more than 0 residues, and more do not fit into memory"):
        hubtools.fold(proteins, tmp_path / "folds", **given)
    # Who says so goes on, and leaves out what is longer than they said.
    done = hubtools.fold(proteins, tmp_path / "folds", max_length=20, **given)
    assert [row.id for row in done] == ["short", "long"] and done.left_out == (
        "longer: 30 residues, more than --max-length 20",
    )


def test_out_of_memory_is_one_line_and_what_was_folded_stays(
    checkpoints: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fold = FoldingModel.fold

    def full(self: FoldingModel, chains: Any, seed: int) -> Any:
        if len(chains[0]) > 10:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")
        return fold(self, chains, seed)

    monkeypatch.setattr(FoldingModel, "fold", full)
    given: dict[str, Any] = {"checkpoint": checkpoints["esmfold"], "execution": CPU}
    with pytest.raises(
        UserError, match=r"^long: out of memory with its 12 residues\. 1 structures stay in .*--max-length 11"
    ):
        hubtools.fold({"short": "MKTAY", "long": "MK" * 6}, tmp_path / "folds", **given)
    assert (tmp_path / "folds" / "short.pdb").is_file() and len(
        pd.read_csv(tmp_path / "folds" / "folds.tsv", sep="\t")
    ) == 1


@pytest.mark.parametrize("form", [".pdb", ".cif", ".bcif", ".pdb.gz"])
def test_against_known_structures(bench: Bench, checkpoints: dict[str, Path], fasta: Path, form: str) -> None:
    out, known = fasta.with_name("folds"), fasta.with_name("known")
    given = ("fold", fasta, "-o", out, "--checkpoint", checkpoints["esmfold2"], "--device", "cpu")
    bench(*given)
    # What was predicted, moved and turned, is what is known; of one protein with noise, of another without some residues.
    import biotite.structure as structure
    from biotite.structure.io.pdb import PDBFile

    for stem, noise in (("two", 0.0), ("sp_P1_A_HUMAN", 2.0), ("dimer", 0.0)):
        atoms = PDBFile.read(out / f"{stem}.pdb").get_structure(model=1, extra_fields=["b_factor"])
        atoms = structure.rotate(structure.translate(atoms, [5, 6, 7]), [0.1, 0.2, 0.3])
        atoms.coord += np.random.default_rng(0).normal(0, noise, atoms.coord.shape) if noise else 0
        write_structure(known / f"{stem}{form}", atoms[atoms.res_id != 4] if stem == "two" else atoms)
    code, _, told = bench(*given, "--against", known)
    assert code == 0 and "3 there already" in told and "against 3 known structures" in told and "TM-score:" in told, (
        told
    )
    scores = pd.read_csv(out / "scores.tsv", sep="\t").set_index("id")
    assert scores["compared"].to_dict() == {"two": 9, "sp|P1|A_HUMAN": 12, "dimer": 10}
    for name in ("two", "dimer"):
        found = scores.loc[name, ["lddt", "tm_score", "gdt_ts", "rmsd"]].tolist()
        assert found == pytest.approx([1, 1, 1, 0], abs=0.01)
    worse = scores.loc["sp|P1|A_HUMAN"]
    assert worse["lddt"] < 0.95 and worse["tm_score"] < 0.95 and worse["gdt_ts"] < 0.95 and worse["rmsd"] > 0.5
    means = json.loads((out / "scores.json").read_text())["means"]
    assert means["rmsd"]["mean"] == pytest.approx(scores["rmsd"].mean(), abs=1e-3)
    assert means["lddt"]["low"] < means["lddt"]["mean"] <= means["lddt"]["high"] <= 1


def test_what_is_known_is_looked_at_before_anything_is_folded(
    checkpoints: dict[str, Path], tmp_path: Path, folds: list[list[str]]
) -> None:
    from tiny_structures import chain_atoms

    given: dict[str, Any] = {"checkpoint": checkpoints["esmfold"], "execution": CPU, "against": tmp_path / "known"}
    one = {"one": "MKTAYIAKQR"}
    with pytest.raises(UserError, match="there is no folder"):
        hubtools.fold(one, tmp_path / "folds", **given)
    write_structure(tmp_path / "known" / "other.pdb", chain_atoms("MKTAYIAKQR"))
    with pytest.raises(UserError, match=r"none of its 1 structures is called as one of 1 proteins.*such as one\.pdb"):
        hubtools.fold(one, tmp_path / "folds", **given)
    write_structure(tmp_path / "known" / "one.pdb", chain_atoms("GGWWGGWWGGWW"))
    with pytest.raises(UserError, match="the structure is not the protein's"):
        hubtools.fold(one, tmp_path / "folds", **given)
    assert not folds
    write_structure(tmp_path / "known" / "one.pdb", chain_atoms("MKTAYIAKQR"))
    done = hubtools.fold(one | {"two": "GGWC"}, tmp_path / "folds", **given)
    assert done.scores is not None and done.scores.without == 1
    assert "1 proteins have no known structure" in done.notes[0] and done.to_pandas()["rmsd"].notna().tolist() == [
        True,
        False,
    ]


def test_names_of_files() -> None:
    assert fold_stems([Protein("../../x", "M"), Protein("con", "M"), Protein("a/b", "M")]) == [
        "x",
        "protein_con",
        "a_b",
    ]
    for second in ("a|b", "A_b", "a_b"):
        with pytest.raises(UserError, match=r"two proteins, a_b and .* would be one file"):
            fold_stems([Protein("a_b", "M"), Protein(second, "M")])


def test_mistakes_are_one_line(bench: Bench, checkpoints: dict[str, Path], fasta: Path) -> None:
    given = ("fold", fasta, "-o", fasta.with_name("folds"), "--checkpoint")
    code, _, told = bench(*given, "embedded")
    assert code == 2 and "predicts no structures (its model type is esm)" in told
    fasta.write_text(">a\nMKV1\n")
    code, _, told = bench(*given, checkpoints["esmfold"], "--device", "cpu")
    assert code == 2 and "Or go on: --skip-bad" in told
    fasta.write_text(">a\n" + ":".join(["MKV"] * 63) + "\n")
    code, _, told = bench(*given, checkpoints["esmfold"], "--device", "cpu")
    assert code == 2 and "more than 62 chains" in told
    assert not fasta.with_name("folds").exists()
