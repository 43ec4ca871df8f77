"""Variant effects from the task file to the card: nothing trained, nothing chosen, nothing saved."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from scipy.stats import spearmanr
from tiny_checkpoints import write_checkpoint
from tiny_decoders import write_decoder

from hubtools.common.errors import UserError
from hubtools.data import DataCache
from hubtools.evaluation import read_predictions
from hubtools.findings.board.leaderboard import build_board
from hubtools.publishing.contents import plan_publication
from hubtools.reporting.card.card_lint import lint_card
from hubtools.reporting.card.model_card import build_card
from hubtools.reporting.site import page_file
from hubtools.runs.execute import Outcome, execute
from hubtools.runs.plan import PlannedRun
from hubtools.runs.session import Session
from hubtools.runs.store import find_records
from hubtools.specs.lookup.spec_files import load_recipe, load_task
from hubtools.training.compute.device import Execution

LETTERS = "ACDEFGHIKLMNPQRSTVWY"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two assays of one protein and one of another, and a checkpoint."""
    folder, rng = tmp_path_factory.mktemp("variants"), np.random.default_rng(0)
    write_checkpoint(folder / "esm", "esm")
    write_decoder(folder / "gpt2")
    wild = {name: "".join(rng.choice(list(LETTERS), 30)) for name in ("one", "two")}
    (folder / "wt.fasta").write_text("".join(f">{name}\n{sequence}\n" for name, sequence in wild.items()))
    lines = ["mutant,fitness,of,assay,kind"]
    for assay, name, kind in (("a", "one", "binding"), ("b", "one", "stability"), ("c", "two", "binding")):
        for _ in range(25):
            changes = sorted(rng.choice(30, rng.integers(1, 3), replace=False))
            mutant = ":".join(f"{wild[name][i]}{i + 11}{rng.choice(list(LETTERS))}" for i in changes)
            lines.append(f"{mutant},{rng.normal():.3f},{name},{assay},{kind}")
    (folder / "v.csv").write_text("\n".join(lines) + "\n")
    task: dict[str, Any] = {
        "name": "effects",
        "version": 1,
        "title": "Effects",
        "problem": "variant-effect",
        "summary": "Which survive?",
        "data": {
            "source": "file",
            "files": [{"path": "v.csv"}, {"path": "wt.fasta", "lookup": True}],
            "columns": {
                "mutant": "mutant", "label": "fitness", "reference": "of", "group": "assay", "protein": "of",
                "category": "kind",
            },
            "first_residue": 11,
            "splits": {"test": {"files": ["v"]}},
        },
        "metrics": {"primary": "spearman", "also": ["auroc", "ndcg"], "cutoff": "median"},
        "licence": "CC0-1.0",
        "citation": "none",
    }  # fmt: skip
    (folder / "effects.yaml").write_text(yaml.safe_dump(task))
    return folder


def run(project: Path, recipe: str, root: Path, checkpoint: str | None = "esm", seed: int = 1) -> Outcome:
    task = load_task(str(project / "effects.yaml"))
    asked = PlannedRun(task, load_recipe(recipe), str(project / checkpoint) if checkpoint else None, seed)
    session = Session(root, DataCache(project / "cache"), Execution(torch.device("cpu"), 512))
    outcome = execute(asked, session)
    assert outcome.record.status == "complete", outcome.record.failure
    return outcome


@pytest.fixture(scope="module")
def outcome(project: Path) -> Outcome:
    root = project / "runs"
    run(project, "substitution-matrix", root, None)
    run(project, "random-masked-marginals", root)
    return run(project, "masked-marginals", root)


def test_the_record_says_that_nothing_was_trained(outcome: Outcome) -> None:
    record = outcome.record
    assert list(record.results) == ["test"]
    assert record.training is not None and record.training.parameters_trained == 0
    assert record.training.choices == {} and "nothing was trained" in record.training.selected_by
    assert record.environment.precision == "float32"
    assert str(record.alignment) == "60 of 60 residues aligned", "the two wild types are what is read"
    assert record.checkpoint is not None and record.checkpoint.architecture == "EsmForMaskedLM"
    assert [file.path for file in record.outputs] == ["predictions.parquet", "replicates.safetensors"]
    assert not (outcome.folder / "model").exists()


def test_scores_are_means_over_assays_of_the_predictions_on_file(outcome: Outcome) -> None:
    predictions = read_predictions(outcome.folder / "predictions.parquet")["test"]
    assert predictions.assays is not None
    result = outcome.record.results["test"]
    rho = {
        assay: spearmanr(predictions.truth[here], predictions.scores[here].astype(float)).statistic
        for assay in "abc"
        if (here := predictions.assays.group == assay).any()
    }
    # Binding has assay a of protein one and c of protein two; stability has b.
    expected = np.mean([np.mean([rho["a"], rho["c"]]), rho["b"]])
    assert result.scores["spearman"].value == pytest.approx(expected, abs=1e-9)
    assert {row["name"]: row["spearman"] for row in result.per_class} == pytest.approx(rho, abs=1e-9)
    assert (result.n_proteins, result.n_labelled) == (2, 75)
    assert "75 variants within 3 assays (only 2 proteins)" in result.interval


def test_masked_and_wild_type_marginals_and_seeds(project: Path, outcome: Outcome, tmp_path: Path) -> None:
    score = outcome.record.score()
    other = run(project, "wildtype-marginals", tmp_path).record.score()
    assert score is not None and other is not None and score.value != other.value
    values = {seed: run(project, "random-masked-marginals", tmp_path, seed=seed).record.score() for seed in (1, 2)}
    assert values[1] != values[2], "random weights do depend on the seed"


def test_card_and_board(outcome: Outcome) -> None:
    card = build_card(outcome.folder)
    text = card.read_text()
    assert lint_card(text) == []
    for said in (
        "nothing was trained",
        "log p(mutated residue) − log p(wild type's residue)",
        "which is masked",
        "(2 proteins, 75 variants)",
        "### By assay on test",
        "| a |",
        "as in ProteinGym",
        "figures/score-against-measured.png",
        "AutoModelForMaskedLM",
    ):
        assert said in text, said
    for wrong in ("fine-tuned", "validation", "epoch", "trained on (", "probability is the model's"):
        assert wrong not in text.split("## Environment")[0], wrong
    board = build_board(find_records([outcome.folder.parent])[0])
    assert [row.kind for row in board.tables[0].rows].count("baseline") == 1
    assert len(board.tables[0].rows) == 3
    assert "nothing; scored by masked marginals" in page_file(board)


def test_a_decoder_is_asked_for_the_likelihood_of_whole_variants(project: Path, tmp_path: Path) -> None:
    decoder = run(project, "log-likelihood", tmp_path, "gpt2")
    record = decoder.record
    assert record.context is not None and record.checkpoint is not None
    assert (record.context.follows, record.context.read, record.context.first_scored) == (False, ["forward"], True)
    assert record.checkpoint.architecture == "GPT2LMHeadModel"
    assert str(record.alignment) == "60 of 60 residues aligned"
    text = build_card(decoder.folder).read_text()
    assert lint_card(text) == []
    for said in (
        "log p(variant) − log p(wild type) in nats",
        "**A residue does not see what follows it**, which was measured",
        "Proteins were read forward",
        "AutoModelForCausalLM",
        "| scoring | log-likelihood |",
        "pipeline_tag: text-generation",
    ):
        assert said in text, said
    assert "add up" not in text
    board = build_board(find_records([tmp_path])[0])
    assert "nothing; scored by log likelihood" in page_file(board)


@pytest.mark.parametrize(
    ("recipe", "checkpoint", "said"),
    [
        ("log-likelihood", "esm", "esm has no causal-language-model head"),
        ("log-likelihood", "bert", "its residues see what follows them, so that it tells no log-likelihood"),
        ("masked-marginals", "gpt2", "its tokenizer has no mask token"),
        ("wildtype-marginals", "gpt2", "gpt2 has no masked-language-model head"),
    ],
)
def test_what_a_checkpoint_cannot_be_asked(
    project: Path, tmp_path: Path, recipe: str, checkpoint: str, said: str
) -> None:
    if checkpoint == "bert" and not (project / "bert").exists():
        write_checkpoint(project / "bert", "bert")
    task = load_task(str(project / "effects.yaml"))
    asked = PlannedRun(task, load_recipe(recipe), str(project / checkpoint), 1)
    outcome = execute(asked, Session(tmp_path, DataCache(project / "cache"), Execution(torch.device("cpu"), 512)))
    assert outcome.record.failure is not None and said in outcome.record.failure.message


def test_there_is_nothing_to_publish(outcome: Outcome) -> None:
    with pytest.raises(UserError, match="nothing was trained, so there is no new model to publish"):
        plan_publication(outcome.folder, "me/effects")
