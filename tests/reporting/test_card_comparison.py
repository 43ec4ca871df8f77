"""A model beside the best baseline and beside its checkpoint's other recipes: the differences of ``bench compare``."""

from __future__ import annotations

from pathlib import Path

import pytest
from sample_records import (
    BASELINES,
    FULL,
    PROBE,
    SCRATCH,
    STRUCTURE,
    make_record,
    scored_worse,
    write_full_run,
    write_runs,
)

from hubtools.evaluation.statistics.difference import Question, difference
from hubtools.evaluation.statistics.resampled import KEPT_REPLICATES
from hubtools.findings.arms import Arm, arms_of
from hubtools.findings.board.leaderboard import table_of
from hubtools.findings.side_by_side import Verdict, compare
from hubtools.reporting.card.card_comparison import Comparisons, comparisons
from hubtools.reporting.card.model_card import build_card
from hubtools.runs.store import find_records, read_record

pytestmark = pytest.mark.usefixtures("blank_figures")


def held(folder: Path) -> Comparisons:
    record = read_record(folder)
    found, _ = find_records([folder.parent])
    table = table_of(found, record)
    own = next(row for row in table.rows if any(r.run_id == record.run_id for _, r in row.runs))
    return comparisons(own, table)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A model, another recipe nearly as good, random weights, two baselines, and somebody else's checkpoint."""
    scored_worse(write_full_run(tmp_path, STRUCTURE, PROBE), STRUCTURE, 0.3)
    scored_worse(write_full_run(tmp_path, STRUCTURE, SCRATCH), STRUCTURE, 0.9)
    scored_worse(write_full_run(tmp_path, STRUCTURE, BASELINES["composition"]), STRUCTURE, 0.7)
    scored_worse(write_full_run(tmp_path, STRUCTURE, BASELINES["majority"]), STRUCTURE, 5.0)
    scored_worse(write_full_run(tmp_path, STRUCTURE, FULL, checkpoint="Rostlab/prot_bert"), STRUCTURE, 0.1, seed=5)
    return write_full_run(tmp_path, STRUCTURE)


def test_the_difference_to_the_best_baseline_is_the_paired_one(model: Path) -> None:
    found = held(model).baseline
    assert found is not None and found.found is not None
    assert found.row.name == "composition" and found.verdict is Verdict.BETTER
    arms = {arm.name: arm for arm in arms_of(find_records([model.parent])[0])}
    own = next(arm for arm in arms.values() if arm.runs[0][0] == model)
    expected = difference(
        arms["composition"].resampled(replicates=KEPT_REPLICATES),
        own.resampled(replicates=KEPT_REPLICATES),
        Question.WEIGHTS,
    )
    assert (found.found.value, found.found.low, found.found.high) == (expected.value, expected.low, expected.high)
    ((pair),) = compare([(arms["composition"], own)], ("A", "B")).pairs
    assert pair.found.verdict is found.verdict
    assert pair.found.difference.value == pytest.approx(found.found.value)
    assert pair.found.difference.low == pytest.approx(found.found.low, abs=0.02), "ten times the replicates"


def test_other_recipes_are_those_of_the_same_weights(model: Path) -> None:
    found = held(model).recipes
    assert [against.row.recipe for against in found] == ["probe", "scratch, random weights"]
    assert found[-1].verdict is Verdict.BETTER
    assert all(against.found is not None and against.found.value > 0 for against in found)


def test_the_card_tells_both(model: Path) -> None:
    text = build_card(model).read_text(encoding="utf-8")
    glance, section = text.split("## How to use it")[0], text.split("## Beside other runs")[1].split("\n## ")[0]
    baseline = held(model).baseline
    assert baseline is not None
    assert f"{baseline.gain}: this model **is better** |" in glance
    assert (
        f"**Against the best baseline** (composition, baseline): {baseline.gain}. This model is better: a gain is shown"
        in section
    )
    assert "the interval covers which proteins were tested, not other seeds." in section
    table = section.split("### The same checkpoint under other recipes")[1]
    rows = [line for line in table.splitlines() if line.startswith("|")]
    assert len(rows) == 2 + 3 and "**full (this model)**" in rows[2] and "| 3.2 k |" in rows[3]
    assert len({row.count("|") for row in rows}) == 1
    assert "| 4\N{NO-BREAK SPACE}min\N{NO-BREAK SPACE}00\N{NO-BREAK SPACE}s |" in rows[3]


def test_three_seeds_each_ask_about_the_recipe(tmp_path: Path) -> None:
    for seed in (1, 2, 3):
        folder = scored_worse(write_full_run(tmp_path, STRUCTURE, seed=seed), STRUCTURE, 0.05, seed)
        scored_worse(write_full_run(tmp_path, STRUCTURE, SCRATCH, seed=seed), STRUCTURE, 0.9, seed)
    found = held(folder).baseline
    assert found is not None and found.found is not None
    assert found.found.question is Question.RECIPE and found.found.seeds == (3, 3)
    assert found.about == (
        "scores are means over seeds, and the interval covers which proteins were tested and which seeds were drawn"
    )


def test_runs_that_kept_nothing_to_pair_are_not_judged(tmp_path: Path) -> None:
    folder = write_full_run(tmp_path, STRUCTURE)
    write_runs(tmp_path, [(tmp_path, make_record(STRUCTURE, BASELINES["composition"], 0.1))])
    found = held(folder).baseline
    assert found is not None and found.found is None and found.verdict is Verdict.CANNOT_TELL
    text = build_card(folder).read_text(encoding="utf-8")
    assert "composition, baseline: 0.100. Not compared in pairs |" in text
    assert "no paired difference, since the runs kept no resamplings that could be paired." in text


def test_a_baseline_is_held_against_none(tmp_path: Path) -> None:
    write_full_run(tmp_path, STRUCTURE)
    folder = write_full_run(tmp_path, STRUCTURE, BASELINES["composition"])
    assert held(folder) == Comparisons(None, ())
    assert "| Best baseline | this is one |" in build_card(folder).read_text(encoding="utf-8")


def test_nothing_beside_is_nothing_to_compare(tmp_path: Path) -> None:
    folder = write_full_run(tmp_path, STRUCTURE)
    assert held(folder) == Comparisons(None, ())
    assert isinstance(Arm(((folder, read_record(folder)),)).name, str)
    assert "| Best baseline | none was run beside it |" in build_card(folder).read_text(encoding="utf-8")
