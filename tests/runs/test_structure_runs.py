"""A run with structures and the same without: what is read, kept, recorded, said on the card and asked of the model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from click.testing import CliRunner
from optional_packages import needs_biotite
from tiny_checkpoints import write_checkpoint
from tiny_project import task_name, tiny_rows, write_rows, write_task
from tiny_structures import chain_atoms, letters_of, write_structure

import hubtools
from hubtools.cli.predict import predict
from hubtools.common.errors import UserError
from hubtools.data import DataCache, load_task_data
from hubtools.evaluation import read_predictions
from hubtools.inference.asking import Protein
from hubtools.publishing.card_lines import blocks, largest_difference, run_lines
from hubtools.publishing.contents import lay_out, plan_publication
from hubtools.publishing.reload import predict_again
from hubtools.reporting.card.model_card import build_card
from hubtools.runs.execute import execute
from hubtools.runs.plan import PlannedRun
from hubtools.runs.session import Session
from hubtools.runs.store import PREDICTIONS, open_run
from hubtools.runs.whole_model import make_whole
from hubtools.specs.lookup.spec_files import load_recipe, load_task
from hubtools.training.compute.device import Execution

PROBLEM = "residue-classification"
pytestmark = pytest.mark.slow


def task_of(folder: Path, structure: bool) -> Any:
    """A task whose labels are in the structure alone: a residue is of the second class where its letter is v."""
    write_task(folder, PROBLEM)
    rng, rows = np.random.default_rng(0), tiny_rows(PROBLEM)
    for number, row in enumerate(rows):
        letters = rng.choice(list("vd"), len(row["sequence"]))
        row["label"] = json.dumps([int(letter == "v") for letter in letters])
        row["fold"] = "".join(letters) if number != 3 else ""
    write_rows(folder, PROBLEM, rows)
    path = folder / "tasks" / f"{task_name(PROBLEM)}.yaml"
    if structure:
        task = yaml.safe_load(path.read_text())
        task["data"]["columns"]["structure"] = "fold"
        path.write_text(yaml.safe_dump(task, sort_keys=False))
    return load_task(str(path))


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A probe of a tiny SaProt with structures and without, and one of a tiny ESM-2 with; one store of embeddings."""
    base, found = tmp_path_factory.mktemp("structure"), {}
    # Wide enough for a line between the twenty residues with one letter and those with the other.
    saprot, esm = (str(write_checkpoint(base / name, name, width=64)) for name in ("saprot", "esm"))
    for name, checkpoint, structure in (("with", saprot, True), ("without", saprot, False), ("esm", esm, True)):
        settings = {"epochs": 30, "learning_rate": 0.01}
        planned = PlannedRun(
            task_of(base / name, structure), load_recipe("probe", settings), checkpoint, 1, overrides=settings
        )
        session = Session(base / name / "runs", DataCache(base / "cache"), Execution(torch.device("cpu"), 512))
        outcome = execute(planned, session)
        assert outcome.record.status == "complete", outcome.record.failure
        found[name] = open_run(outcome.folder)
    return found


def test_only_a_checkpoint_that_reads_structure_learns_what_is_in_it(runs: dict[str, Any]) -> None:
    score = {name: run.record.score().value for name, run in runs.items()}
    assert score["with"] > 0.8 > score["without"] and score["esm"] < 0.8


def test_the_record_says_what_was_shown(runs: dict[str, Any]) -> None:
    records = {name: run.record for name, run in runs.items()}
    shown = records["with"].structure
    assert shown.source == "3Di letters of the column fold"
    assert 0 < shown.unknown < 100 < shown.residues and shown.without == 1
    alone = records["without"].structure
    assert (alone.source, alone.unknown, alone.without) == ("none", alone.residues, alone.proteins)
    assert records["esm"].structure is None, "it reads sequences alone"
    assert records["esm"].data.structures is not None and records["without"].data.structures is None


def test_the_card_says_it_in_a_sentence(runs: dict[str, Any]) -> None:
    said = {name: build_card(run.folder).read_text() for name, run in runs.items()}
    assert "**Structure**: 3Di letters of" in said["with"] and "the column fold" in said["with"]
    assert "**Structure**: none: each of" in said["without"]
    assert "**Structure**" not in said["esm"]
    assert "The model learnt with 3Di letters" in said["with"] and "The model learnt with" not in said["without"]


def test_embeddings_of_a_protein_with_another_structure_are_others(runs: dict[str, Any]) -> None:
    kept = {name: run.record.training.embeddings for name, run in runs.items()}
    # Of the same checkpoint and the same sequences; one of them has no structure in either.
    assert kept["without"].cached <= 1 < kept["without"].computed


def test_the_reload_check_reads_the_structures_again(runs: dict[str, Any]) -> None:
    run = runs["with"]
    make_whole(run)
    again = predict_again(run.model, run.record, ["test"])["test"]
    np.testing.assert_allclose(again.scores, read_predictions(run.folder / PREDICTIONS)["test"].scores, atol=1e-5)


def proteins(run: Any, structure: bool = True) -> list[Protein]:
    """The proteins of the test split."""
    rows = load_task_data(run.record.task_spec, DataCache(run.folder.parents[2] / "cache")).splits["test"]
    return [Protein(row["id"], row["sequence"], structure=row["structure"] if structure else None) for row in rows]


def test_the_model_asked_again_says_the_same_with_structures_and_a_note_without(runs: dict[str, Any]) -> None:
    run = runs["with"]
    recorded = read_predictions(run.folder / PREDICTIONS)["test"].scores.reshape(-1)
    table = hubtools.predict(run.folder, proteins(run))
    told = np.concatenate([decided.scores.reshape(len(decided.scores), -1) for decided in table])
    np.testing.assert_allclose(told.reshape(recorded.shape), recorded, atol=1e-5)
    assert not [note for note in table.notes if "without structure" in note] or run.record.structure.unknown
    bare = hubtools.predict(run.folder, proteins(run, False))
    assert any(
        "were read without structure (#); the model was trained with 3Di letters of" in note for note in bare.notes
    )
    assert not np.allclose(bare[0].scores, table[0].scores)


def test_a_model_that_learnt_without_says_that_structures_are_new_to_it(runs: dict[str, Any]) -> None:
    table = hubtools.predict(runs["without"].folder, [Protein("a", "MKTAY", structure="dvpld")])
    assert any("trained without structures" in note for note in table.notes)
    assert not any("structure" in note for note in hubtools.predict(runs["without"].folder, ["MKTAY"]).notes)


def test_letters_that_are_none_are_refused(runs: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="a: 3 3Di letters for 5 residues"):
        hubtools.predict(runs["with"].folder, [Protein("a", "MKTAY", structure="dvp")])


@needs_biotite
def test_files_beside_proteins(runs: dict[str, Any], tmp_path: Path) -> None:
    sequence, folder = "MKTAYIAKQRQISFVKSHFSRQ", tmp_path / "s"
    atoms = chain_atoms(sequence)
    write_structure(folder / "one.pdb", atoms)
    (tmp_path / "p.fasta").write_text(f">one\n{sequence}\n>two\n{sequence}\n")
    out = CliRunner().invoke(
        predict,
        [
            str(runs["with"].folder),
            str(tmp_path / "p.fasta"),
            "-o",
            str(tmp_path / "o.tsv"),
            "--structures",
            str(folder),
        ],
    )
    assert out.exit_code == 0, out.output
    assert "22 of 44 residues were read without structure" in out.output
    given = [Protein("one", sequence, structure=letters_of(atoms)), Protein("two", sequence)]
    written = [line.split("\t") for line in (tmp_path / "o.tsv").read_text().splitlines()[1:]]
    expected = hubtools.predict(runs["with"].folder, given).to_pandas()
    assert [float(row[-1]) for row in written] == pytest.approx(expected.iloc[:, -1].tolist(), abs=1e-4)
    one, two = expected[expected.id == "one"].iloc[:, -1], expected[expected.id == "two"].iloc[:, -1]
    assert not np.allclose(one, two)


@needs_biotite
def test_a_model_of_sequences_alone_refuses_files(runs: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="reads sequences alone"):
        hubtools.predict(runs["esm"].folder, ["MKTAY"], structures=tmp_path)


def test_the_lines_of_the_card_read_without_structure_and_say_so(runs: dict[str, Any], tmp_path: Path) -> None:
    """They read every residue with #, and so does bench where it is told no structure."""
    publication = plan_publication(runs["with"].folder, "me/model", licence="mit")
    assert not publication.failed, publication.failed
    with lay_out(publication.files) as laid_out:
        stage = Path(laid_out)
        answers = run_lines(stage, runs["with"].record)
        assert answers and largest_difference(answers, stage, runs["with"].record) < 1e-4
        assert "# stands in their place: structure not known" in blocks((stage / "README.md").read_text())[0]


def variants(folder: Path, structure: bool) -> Any:
    """A task of variants of one wild type, whose structure a column has."""
    wild, rng = "MKTAYIAKQRQISFVKSHFSRQ", np.random.default_rng(0)
    fold = "".join(rng.choice(list("dvpl#"), len(wild)))
    lines = ["mutant,label,fold"]
    lines += [f"{letter}{place}W,{rng.normal():.3f},{fold}" for place, letter in enumerate(wild, 1)]
    folder.mkdir()
    (folder / "v.csv").write_text("\n".join(lines) + "\n")
    (folder / "wt.fasta").write_text(f">wt\n{wild}\n")
    task: dict[str, Any] = {
        "name": "effects",
        "version": 1,
        "title": "Effects",
        "problem": "variant-effect",
        "summary": "Which survive?",
        "data": {
            "source": "file",
            "files": [{"path": "v.csv"}, {"path": "wt.fasta", "lookup": True}],
            "columns": {"mutant": "mutant", **({"structure": "fold"} if structure else {})},
            "splits": {"test": {"files": ["v"]}},
        },
        "metrics": {"primary": "spearman"},
        "licence": "CC0-1.0",
        "citation": "none",
    }
    (folder / "effects.yaml").write_text(yaml.safe_dump(task))
    return load_task(str(folder / "effects.yaml"))


def test_zero_shot_scores_with_structure_and_without(tmp_path: Path) -> None:
    saprot, scores = str(write_checkpoint(tmp_path / "saprot", "saprot")), {}
    for structure in (True, False):
        planned = PlannedRun(variants(tmp_path / str(structure), structure), load_recipe("masked-marginals"), saprot, 1)
        session = Session(tmp_path / "runs", DataCache(tmp_path / "cache"), Execution(torch.device("cpu"), 512))
        outcome = execute(planned, session)
        assert outcome.record.status == "complete", outcome.record.failure
        scores[structure] = read_predictions(outcome.folder / PREDICTIONS)["test"].scores
        shown = outcome.record.structure
        assert shown is not None and shown.residues == 22
        assert (0 < shown.unknown < 22) if structure else (shown.source, shown.unknown) == ("none", 22)
    assert np.abs(scores[True] - scores[False]).max() > 1e-3
