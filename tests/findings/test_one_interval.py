"""The interval of an arm is one number: everything that shows it is asked about the same runs."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from sample_records import PEPTIDES, PROBE, STRUCTURE, make_record
from scipy import stats

from hubtools.cli.main import cli
from hubtools.evaluation.metrics.scoring import score_and_resample
from hubtools.evaluation.predictions import Assays, Predictions, write_predictions
from hubtools.evaluation.statistics.arm_interval import arm_interval
from hubtools.evaluation.statistics.equivalence import Reported, of_reported
from hubtools.evaluation.statistics.resampled import write_replicates
from hubtools.findings import wording
from hubtools.findings.arm_comparison import ComparisonRequest, compared
from hubtools.findings.arms import Arm, arms_of
from hubtools.findings.board.leaderboard import build_board
from hubtools.findings.board.learning_curve import build_curves
from hubtools.findings.frozen_baseline import open_baseline
from hubtools.reporting.board_tables import as_csv, as_json
from hubtools.reporting.card.model_card import build_card
from hubtools.reporting.site_data import site_data
from hubtools.runs.store import PREDICTIONS, REPLICATES, OpenRun, find_records, run_folder, write_record
from hubtools.specs.task import Task

_PEPTIDES = PEPTIDES.model_dump(mode="json")
PAIRS = Task.model_validate(
    _PEPTIDES
    | {"name": "interaction", "problem": "pair-classification"}
    | {"data": _PEPTIDES["data"] | {"columns": {"sequence": "first", "partner": "second", "label": "label"}}}
)
RARE = PEPTIDES.model_copy(
    update={"name": "rare", "metrics": PEPTIDES.metrics.model_copy(update={"primary": "auroc", "also": ["mcc"]})}
)
VARIANTS = Task.model_validate(
    {name: _PEPTIDES[name] for name in ("version", "summary", "licence", "citation")}
    | {"name": "variants", "title": "Variants", "problem": "variant-effect", "metrics": {"primary": "spearman"}}
    | {
        "data": {
            "source": "url",
            "files": [
                {"url": "https://example.org/v.csv", "sha256": "0" * 64},
                {"url": "https://example.org/wt.fasta", "sha256": "1" * 64, "lookup": True},
            ],
            "columns": {"mutant": "m"},
            "splits": {"test": {"files": ["v"]}},
        }
    }
)


def logits(truth: np.ndarray, noise: np.random.Generator, skill: float = 1.2) -> np.ndarray:
    odds = np.exp(skill * np.eye(truth.max() + 1)[truth] + noise.normal(size=(len(truth), truth.max() + 1)))
    return odds / odds.sum(1, keepdims=True)


def clusters(noise: np.random.Generator) -> Predictions:
    n, truth = 120, np.random.default_rng(0).integers(0, 2, 120)
    families = np.array([f"c{i // 3}" for i in range(n)])
    ids = np.array([f"P{i}" for i in range(n)])
    return Predictions(PEPTIDES.problem, ids, None, families, truth, logits(truth, noise))


def residues(noise: np.random.Generator) -> Predictions:
    n, per = 30, 6
    truth = np.random.default_rng(1).integers(0, 3, n * per)
    ids, places = np.repeat([f"P{i}" for i in range(n)], per), np.tile(np.arange(1, per + 1), n)
    return Predictions(STRUCTURE.problem, ids, places, None, truth, logits(truth, noise))


def pairs(noise: np.random.Generator) -> Predictions:
    rows = np.random.default_rng(2)
    truth = rows.integers(0, 2, 150)
    both = np.array([f"P{i}" for i in range(40)])[rows.integers(0, 40, (150, 2))]
    ids = np.array([f"{a}-{b}" for a, b in both])
    return Predictions(PAIRS.problem, ids, None, None, truth, logits(truth, noise), proteins=both)


def variants(noise: np.random.Generator) -> Predictions:
    assays, n = 24, 20
    assay = np.repeat(np.arange(assays), n)
    truth = np.random.default_rng(3).normal(size=assays * n)
    where = Assays(
        np.array([f"assay{a}" for a in assay]), np.array([f"P{a}" for a in assay]), np.array(["binding"] * len(assay))
    )
    ids = np.array([f"v{i}" for i in range(len(assay))])
    scores = truth + noise.normal(size=len(truth))
    return Predictions(VARIANTS.problem, ids, None, None, truth, scores, assays=where)


def rare(noise: np.random.Generator) -> Predictions:
    """Three positives: some replicates have none, and the area under the curve is undefined there."""
    truth = np.zeros(90, dtype=int)
    truth[[4, 40, 77]] = 1
    families, ids = np.array([f"c{i // 3}" for i in range(90)]), np.array([f"P{i}" for i in range(90)])
    return Predictions(RARE.problem, ids, None, families, truth, logits(truth, noise))


CASES: dict[str, tuple[Task, Callable[[np.random.Generator], Predictions]]] = {
    "clusters": (PEPTIDES, clusters),
    "residues": (STRUCTURE, residues),
    "pairs": (PAIRS, pairs),
    "variants": (VARIANTS, variants),
    "undefined replicates": (RARE, rare),
}


def write_runs(root: Path, task: Task, made: Callable[[np.random.Generator], Predictions], seeds: int) -> list[OpenRun]:
    """Two arms, as runs leave them: on all of train and on a half; where nothing is trained, of two checkpoints."""
    splits = ["validation", "test"] if "train" in task.data.splits else ["test"]
    for second in (False, True):
        half = {"fraction": 0.5} if second and len(splits) > 1 else {}
        for seed in range(1, seeds + 1):
            noise = np.random.default_rng([seed, second])
            predicted = {name: made(noise) for name in splits}
            thresholds = [0.5] if task.positive_index is not None else None
            scored = {name: score_and_resample(task, split, thresholds) for name, split in predicted.items()}
            results = {name: result for name, (result, _, _) in scored.items()}
            name = "b/model" if second and not half else "a/model"
            record = make_record(task, PROBE, 0.0, checkpoint=name, seed=seed, results=results, **half)
            assert record.training is not None
            record.training.choices = {"thresholds": thresholds}
            folder = run_folder(root, record.identity)
            write_record(folder, record)
            write_predictions(folder / PREDICTIONS, predicted, task.label_names)
            drawn = {name: kept for name, (_, kept, _) in scored.items()}
            write_replicates(folder / REPLICATES, drawn, {name: units for name, (_, _, units) in scored.items()})
    return find_records([root])[0]


def bench(*words: str) -> Any:
    done = CliRunner().invoke(cli, list(words))
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.mark.parametrize("seeds", [1, 3, pytest.param(10, marks=pytest.mark.slow)])
@pytest.mark.parametrize("case", CASES)
def test_everything_that_shows_an_arm_shows_one_interval(case: str, seeds: int, tmp_path: Path) -> None:
    task, made = CASES[case]
    found = write_runs(tmp_path / "runs", task, made, seeds)
    trains = case != "variants"
    one, other = [Arm(arm.runs) for arm in arms_of(found)]
    whole, half = (one, other) if one.record.identity.fraction is None and "a/" in one.name else (other, one)
    score = whole.score()
    expected = (score.value, score.low, score.high)
    assert None not in expected and score.low < score.value < score.high  # type: ignore[operator]
    if case == "undefined replicates":
        assert whole.record.results["test"].undefined_replicates[task.metrics.primary] > 0

    board = build_board(found)
    rows = {row.record.run_id: (table, row) for table in board.tables for row in table.rows}
    table, row = rows[whole.record.run_id]
    assert (row.scores[table.primary].value, row.scores[table.primary].low, row.scores[table.primary].high) == expected
    shown = [one for t in site_data(board)[0]["tables"] for one in t["rows"]]
    # What goes to browsers, and a file that people read, have six digits.
    six_digits = tuple(round(number, 6) for number in expected if number is not None)
    assert six_digits in [(one["v"], one["l"], one["h"]) for one in shown]

    assert {one["o"] for one in shown} == {seeds == 1}

    lines = [line for line in csv.DictReader(io.StringIO(as_csv(board))) if line["primary"] == "True"]
    assert expected in [tuple(float(line[name]) for name in ("value", "low", "high")) for line in lines]
    assert {line["interval_of"] for line in lines} == {"weights" if seeds == 1 else "recipe"}
    told = json.dumps(json.loads(as_json(board)))
    assert all(repr(number) in told for number in expected)

    card = build_card(whole.runs[0][0]).read_text(encoding="utf-8")
    text = wording.interval(score.low, score.high)
    assert text in card or text.replace(" to ", "–") in card

    if trains:
        (curve,), _ = build_curves(found)
        points = [point.estimate for line in curve.series for point in line.pretrained]
        assert expected in [(point.value, point.low, point.high) for point in points]

    both = compared(half, whole, request=ComparisonRequest(replicates=200))
    assert both.scores[1] == score and both.scores[0] == half.score()

    runs = tmp_path / "runs"
    selected, rest = (
        [f"{runs}:fraction={share}" for share in (1, 0.5)] if trains else [f"{runs}:checkpoint={x}/*" for x in "ab"]
    )
    bench("baseline", "create", "main", "--runs", selected, "--to", str(tmp_path / "frozen"))
    frozen = open_baseline(tmp_path / "frozen" / "main")
    kept = frozen.file.arms[0].scores["test"]
    assert kept is not None
    assert (kept.mean, kept.low, kept.high) == pytest.approx(six_digits, abs=1e-9)
    # Frozen runs keep predictions and no replicates: the same are drawn again.
    (again,) = arms_of(find_records([tmp_path / "frozen" / "main"])[0])
    again_score = again.score()
    assert (again_score.value, again_score.low, again_score.high) == expected

    side = json.loads(bench("compare", selected, rest, "--format", "json"))["pairs"][0]
    assert tuple(side["a"][name] for name in ("mean", "low", "high")) == expected

    (one,) = json.loads(bench("check", "--baseline", selected, "--candidate", selected, "--format", "json"))[
        "comparisons"
    ]
    assert tuple(one["baseline"][name] for name in ("score", "low", "high")) == expected

    resampled = whole.kept()
    assert resampled is not None
    if seeds >= 3:
        # Held against a number from a paper on other rows: the same standard error, about the difference.
        published = of_reported(resampled, Reported(0.5, None), 0.01, same_test=False)
        of_arm = arm_interval(resampled)
        assert published.low is not None and published.high is not None and of_arm.standard_error is not None
        half = stats.t.ppf(0.975, of_arm.degrees) * of_arm.standard_error
        assert (published.high - published.low) / 2 == pytest.approx(half, rel=1e-9)
