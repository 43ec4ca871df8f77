"""Contacts from structure files to the card: nothing trained, nothing chosen, nothing saved."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from tiny_checkpoints import write_checkpoint
from tiny_structures import chain_atoms, write_structure

from hubtools.common.errors import UserError
from hubtools.data import DataCache, load_task_data
from hubtools.evaluation import read_predictions
from hubtools.evaluation.metrics.contact_precision import by_protein
from hubtools.findings.board.leaderboard import build_board
from hubtools.reporting.card.card_lint import lint_card
from hubtools.reporting.card.model_card import build_card
from hubtools.runs.execute import Outcome, execute
from hubtools.runs.plan import AskedRecipe, PlannedRun, expand
from hubtools.runs.run_estimate import Estimator
from hubtools.runs.session import Session
from hubtools.runs.store import find_records
from hubtools.runs.workload import StatedDevice
from hubtools.specs.lookup.spec_files import load_recipe, load_task
from hubtools.training.compute.device import Execution
from hubtools.training.trivial_baselines import labelled_rows

LETTERS = list("ACDEFGHIKLMNPQRSTVWY")
RECIPES = ("separation", "random-categorical-jacobian", "categorical-jacobian", "contact-head")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, rng = tmp_path_factory.mktemp("contacts"), np.random.default_rng(0)
    write_checkpoint(folder / "esm", "esm")
    files = [
        write_structure(folder / f"{n}.pdb", chain_atoms("".join(rng.choice(LETTERS, 28)), seed=n)) for n in (1, 2)
    ]
    sequence = "".join(rng.choice(LETTERS, 30))
    (folder / "more.csv").write_text(f"id,sequence,label\nlisted,{sequence},1-28;2-27;3-15;4-12;30\n")
    task = {
        "name": "touching",
        "version": 1,
        "title": "Touching",
        "problem": "contact-prediction",
        "summary": "Which touch?",
        "data": {
            "source": "file",
            "files": [*({"path": path.name} for path in files), {"path": "more.csv"}],
            "columns": {"id": "id"},
            "splits": {"test": {}},
        },
        "metrics": {"primary": "precision_l_long", "also": ["precision_l5_short", "precision_l2_medium"]},
        "licence": "CC0-1.0",
        "citation": "none",
    }
    (folder / "touching.yaml").write_text(yaml.safe_dump(task))
    return folder


def session_of(project: Path) -> Session:
    return Session(project / "runs", DataCache(project / "cache"), Execution(torch.device("cpu"), 4096))


def planned(project: Path, recipe: str) -> PlannedRun:
    found = load_recipe(recipe)
    checkpoint = str(project / "esm") if found.needs_checkpoint else None
    return PlannedRun(load_task(str(project / "touching.yaml")), found, checkpoint, 1)


@pytest.fixture(scope="module")
def outcomes(project: Path) -> dict[str, Outcome]:
    session = session_of(project)
    found = {recipe: execute(planned(project, recipe), session) for recipe in RECIPES}
    assert all(outcome.record.status == "complete" for outcome in found.values()), [
        outcome.record.failure for outcome in found.values()
    ]
    return found


def test_every_way_has_a_record_of_the_same_rows(project: Path, outcomes: dict[str, Outcome]) -> None:
    rows = [read_predictions(outcome.folder / "predictions.parquet")["test"] for outcome in outcomes.values()]
    task = load_task(str(project / "touching.yaml"))
    data = load_task_data(task, DataCache(project / "cache"))
    assert data.facts.splits["test"].labelled == len(rows[0])
    for found, outcome in zip(
        [*rows, labelled_rows(data.splits["test"], task)], [*outcomes.values(), None], strict=True
    ):
        for name in ("ids", "positions", "truth", "residues"):
            assert np.array_equal(getattr(found, name), getattr(rows[0], name)), name
        if outcome is not None:
            score = outcome.record.results["test"].scores["precision_l_long"].value
            assert score == pytest.approx(np.nanmean(by_protein("precision_l_long", found)))
    assert len({found.scores.tobytes() for found in rows}) == len(RECIPES), "each says something else"


def test_the_record_says_that_nothing_was_trained(outcomes: dict[str, Outcome]) -> None:
    for recipe, outcome in outcomes.items():
        record = outcome.record
        assert list(record.results) == ["test"] and record.results["test"].n_proteins == 3
        assert record.training is not None and record.training.parameters_trained == 0
        assert [file.path for file in record.outputs] == ["predictions.parquet", "replicates.safetensors"]
        if recipe != "separation":
            assert str(record.alignment) == "86 of 86 residues aligned"
    assert outcomes["contact-head"].record.environment.attention == "eager"


def test_card_and_board(project: Path, outcomes: dict[str, Outcome]) -> None:
    for recipe, said in (
        ("separation", "minus their separation"),
        ("categorical-jacobian", "symmetrised Jacobian of the logits"),
        ("contact-head", "through its own contact head"),
    ):
        card = build_card(outcomes[recipe].folder)
        text = card.read_text()
        assert lint_card(text) == []
        for part in (said, "### By protein on test", "figures/contact-map.png", "mean over proteins"):
            assert part in text, (recipe, part)
        assert "ProteinGym" not in text and "wild type" not in text
        assert (card.parent / "figures" / "contact-map.png").stat().st_size > 1000
    (table,) = build_board(find_records([project / "runs"])[0]).tables
    assert len(table.rows) == len(RECIPES) == len({row.recipe for row in table.rows}), [
        row.recipe for row in table.rows
    ]


def test_the_cost_is_said_beforehand(project: Path) -> None:
    estimator = Estimator(session_of(project), StatedDevice(1e12, 1 << 34), lambda line: None, force=True)
    jacobian = estimator.estimate(planned(project, "categorical-jacobian"))
    assert "20 passes a residue, 1,720 in all" in jacobian.note
    assert jacobian.workload is not None
    assert jacobian.workload.tokens_per_epoch == 20 * (2 * 28 * 30 + 30 * 32)
    head = estimator.estimate(planned(project, "contact-head")).workload
    assert head is not None and head.tokens_per_epoch == 2 * 30 + 32


def test_a_longer_protein_is_read_in_windows(project: Path, caplog: pytest.LogCaptureFixture) -> None:
    run = planned(project, "categorical-jacobian")
    window = run.recipe.window.model_copy(update={"residues": 26, "overlap": 8})
    run = PlannedRun(run.task, run.recipe.model_copy(update={"window": window}), run.checkpoint, 1)
    record = (outcome := execute(run, session_of(project))).record
    assert record.status == "complete" and record.windows is not None and record.training is not None
    assert (record.windows.proteins_cut, record.windows.windows, record.windows.residues_scored) == (3, 6, 86)
    # Of 28 residues two at either end are in no window with the other two, of 30 four.
    apart = 2 * 2 * 2 + 4 * 4
    assert record.training.choices == {"pairs_in_no_window": apart}
    assert f"{apart} pairs of residues are farther apart than a window is long, and score lowest" in caplog.text
    found = read_predictions(outcome.folder / "predictions.parquet")["test"]
    here = found.ids == "listed"
    (first_with_29th,) = np.flatnonzero(here & (found.positions == 28 * 27 // 2 + 1))
    assert found.scores[first_with_29th] == found.scores[here].min() < np.median(found.scores[here]) - 0.9
    estimator = Estimator(session_of(project), StatedDevice(1e12, 1 << 34), lambda line: None, force=True)
    assert f"20 passes a residue, {20 * 6 * 26:,} in all" in estimator.estimate(run).note


def test_recipes_of_variants_and_of_training_are_not_for_contacts(project: Path) -> None:
    task = load_task(str(project / "touching.yaml"))
    known = [load_recipe("masked-marginals"), load_recipe("categorical-jacobian")]
    (run,) = expand({"touching": task}, ["a"], [AskedRecipe(load_recipe("full"))], [1], [], zero_shot=known)
    assert run.recipe.name == "categorical-jacobian"
    with pytest.raises(UserError, match="masked-marginals is for a variant"):
        expand({"touching": task}, ["a"], [AskedRecipe(known[0])], [1], [])
    with pytest.raises(UserError, match="contact-head reads weights that were trained"):
        load_recipe("contact-head", {"weights": "random"})
