"""A task of structures, from files to a board: what a folding model says of each sequence, scored against where the α carbons are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from optional_packages import needs_biotite
from tiny_checkpoints import write_checkpoint
from tiny_folding import KINDS, write_folding_checkpoint
from tiny_structures import chain_atoms, write_structure

import hubtools
from hubtools.evaluation import read_predictions
from hubtools.evaluation.metrics.structure_scores import SCORES, compare_structures
from hubtools.runs.store import PREDICTIONS
from hubtools.training.folding import fold_limits
from hubtools.training.folding.structure_predictions import helix_places

pytestmark = [needs_biotite, pytest.mark.slow]
CPU = hubtools.ExecutionOptions(device="cpu")
PROTEINS = {
    name: "".join(np.random.default_rng(length).choice(list("ACDEFGHIKLMNPQRSTVWY"), length))
    for name, length in (("one", 20), ("two", 26), ("three", 31))
}
Bench = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a task of three structures, one of which lacks a residue and has an unknown one, and checkpoints."""
    folder = tmp_path_factory.mktemp("structures")
    for seed, (name, sequence) in enumerate(PROTEINS.items()):
        left_out, names = ((4,), {9: "UNK"}) if name == "two" else ((), None)
        atoms = chain_atoms(sequence, seed=seed, left_out=left_out, names=names)
        write_structure(folder / f"{name}.pdb", atoms)
    task = {
        "name": "folds-of-three",
        "version": 1,
        "title": "Folds of three proteins",
        "problem": "structure-prediction",
        "summary": "Where are the residues?",
        "data": {
            "source": "file",
            "files": [{"path": f"{name}.pdb"} for name in PROTEINS],
            "splits": {"test": {}},
        },
        "metrics": {"primary": "lddt", "also": ["tm_score", "gdt_ts", "rmsd"]},
        "licence": "CC0-1.0",
        "citation": "none",
    }
    (folder / "folds-of-three.yaml").write_text(yaml.safe_dump(task, sort_keys=False))
    for kind in KINDS:
        write_folding_checkpoint(folder / kind, kind)
    return folder


@pytest.fixture(scope="module")
def done(project: Path) -> dict[str, hubtools.FinishedRuns]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("BENCH_CACHE", str(project / "cache"))
        return {
            kind: hubtools.run(
                project / kind,
                project / "folds-of-three.yaml",
                baselines=["helix"],
                runs=project / "runs",
                execution=CPU,
            )
            for kind in KINDS
        }


def test_the_record_has_what_the_files_say(done: dict[str, hubtools.FinishedRuns], project: Path) -> None:
    for kind in KINDS:
        run = next(one for one in done[kind] if one.record.identity.checkpoint)
        record = run.record
        assert (record.status, record.identity.recipe.name) == ("complete", "fold"), record.failure
        found = read_predictions(run.folder / PREDICTIONS)["test"]
        result = record.results["test"]
        assert result.n_proteins == 3
        # Three coordinates of each residue; of one protein a residue is not in the file, and one is not known.
        assert len(found) == 3 * (20 + 26 - 2 + 31) == result.n_labelled
        two = found.positions[found.ids == "two"]
        assert not {13, 14, 15, 28, 29, 30} & set(two.tolist()) and {12, 16, 27, 31} < set(two.tolist())
        expected = [
            compare_structures(*(values[found.ids == name].reshape(-1, 3) for values in (found.truth, found.scores)))
            for name in PROTEINS
        ]
        for name in SCORES:
            assert result.scores[name].value == pytest.approx(np.mean([one[name] for one in expected]), abs=1e-4)
            assert result.scores[name].low < result.scores[name].value < result.scores[name].high
        assert "3 proteins" in result.interval
        assert record.checkpoint.architecture == {"esmfold": "EsmForProteinFolding", "esmfold2": "EsmFold2Model"}[kind]


def test_a_run_is_what_bench_fold_says(done: dict[str, hubtools.FinishedRuns], project: Path, tmp_path: Path) -> None:
    run = next(one for one in done["esmfold"] if one.record.identity.checkpoint)
    folded = hubtools.fold(PROTEINS, tmp_path / "folds", project / "esmfold", against=project, execution=CPU)
    assert folded.scores is not None
    of_run = {row["name"]: row for row in run.record.results["test"].per_class}
    for one in folded.scores.scored:
        if one.id != "two":  # Which the task reads with X where the file has none.
            assert of_run[one.id]["lddt"] == pytest.approx(one.scores["lddt"], abs=1e-3)
            assert of_run[one.id]["rmsd"] == pytest.approx(one.scores["rmsd"], abs=0.01)


def test_a_board_a_card_and_the_same_again(
    bench: Bench, done: dict[str, hubtools.FinishedRuns], project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(project / "cache"))
    code, said, told = bench("board", project / "runs")
    assert code == 0 and all(name in said for name in ("esmfold", "esmfold2", "helix", "lDDT-Cα")), said + told
    code, _, told = bench(
        *("run", "--checkpoint", project / "esmfold", "--task", project / "folds-of-three.yaml"),
        *("--runs", project / "runs", "--device", "cpu"),
    )
    assert code == 0 and "already done" in told, told
    run = next(one for one in done["esmfold2"] if one.record.identity.checkpoint)
    code, said, told = bench("card", run.folder)
    assert code == 0, told
    (card,) = (run.folder / "card").glob("*.md")
    text = card.read_text()
    assert "TM-score" in text and "folding" in text
    assert 'src="figures/structures.png"' in text and (card.parent / "figures" / "structures.png").is_file()
    code, said, told = bench("card", run.folder, "--methods")
    assert code == 0 and "structures were predicted by the checkpoint as it was published" in said
    assert bench("compare", f"{project / 'runs'}:checkpoint=esmfold", f"{project / 'runs'}:checkpoint=esmfold2")[0] == 0


def test_the_baseline_is_one_straight_helix(done: dict[str, hubtools.FinishedRuns]) -> None:
    run = next(one for one in done["esmfold"] if one.record.identity.checkpoint is None)
    assert run.record.identity.recipe.name == "helix"
    found = read_predictions(run.folder / PREDICTIONS)["test"]
    np.testing.assert_allclose(found.scores[found.ids == "one"].reshape(-1, 3), helix_places(20), atol=1e-4)
    # As Pauling had it: 3.6 residues a turn of 5.4 Å, neighbours 3.8 Å apart, right-handed.
    places = helix_places(37)
    assert places[36] - places[0] == pytest.approx([0, 0, 54]) and np.linalg.norm(np.diff(places, axis=0)[0]) == (
        pytest.approx(3.8, abs=0.05)
    )
    assert np.cross(places[1], places[2])[2] > 0


def test_what_cannot_be_done_is_said(
    bench: Bench, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(project / "cache"))
    runs = ("--task", project / "folds-of-three.yaml", "--runs", tmp_path / "runs", "--device", "cpu", "--no-baselines")
    encoder = write_checkpoint(tmp_path / "esm", "esm")
    code, said, told = bench("run", "--checkpoint", encoder, *runs)
    assert code and "predicts no structures (its model type is esm)" in said + told
    code, said, told = bench("run", "--checkpoint", project / "esmfold", "--recipe", "probe", *runs)
    assert code and "nothing is trained in it" in said + told
    monkeypatch.setattr(fold_limits, "free_memory", lambda: 150_000)
    code, said, told = bench("run", "--checkpoint", project / "esmfold", *runs)
    assert code and "more do not fit into memory" in said + told
    code, said, told = bench("estimate", "--checkpoint", project / "esmfold", "--task", project / "folds-of-three.yaml")
    assert "bench fold says what memory it takes" in said + told
    table = tmp_path / "rows.csv"
    table.write_text("id,sequence,label\na,MKV,1\n")
    other = yaml.safe_load((project / "folds-of-three.yaml").read_text())
    other["data"]["files"] = [{"path": "rows.csv"}]
    (tmp_path / "folds-of-three.yaml").write_text(yaml.safe_dump(other))
    code, said, told = bench("tasks", "check", tmp_path / "folds-of-three.yaml")
    assert code and "a structure task needs structure files" in said + told
