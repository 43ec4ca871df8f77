"""A record held against itself made again, and a published number against ours."""

from __future__ import annotations

from pathlib import Path

import pytest
from check_cases import write_arm
from sample_records import FITNESS, FULL, make_record

from hubtools.runs.plan import PlannedRun
from hubtools.runs.reproduce import planned_for, planned_from, same_cell, same_record, what_differs
from hubtools.runs.store import PREDICTIONS, read_record
from hubtools.specs.errors import UserError
from hubtools.specs.loading import load_recipe
from hubtools.specs.metric_names import METRICS
from hubtools.specs.published import Cell, find_cell, load_published
from hubtools.specs.record import RunRecord


def one(root: Path, **more) -> tuple[Path, RunRecord]:
    (folder,) = write_arm(root, seeds=1, **more)
    return folder, read_record(folder)


def test_the_same_predictions_agree(tmp_path):
    found = same_record(one(tmp_path / "a"), one(tmp_path / "b"))
    assert (found.verdict, found.apart) == ("agree", 0.0)


def test_other_predictions_of_a_much_better_model_differ(tmp_path):
    found = same_record(one(tmp_path / "a", skill=0.3), one(tmp_path / "b", skill=2.0))
    assert (
        found.verdict == "differ"
        and found.low is not None
        and found.low > 0
        and "larger than the margin" in found.reason
    )


def test_other_predictions_just_as_good_agree_where_the_test_set_excludes_a_margin_and_else_cannot_tell(tmp_path):
    original, again = one(tmp_path / "a", rows=400), one(tmp_path / "b", rows=400, rng=1)
    found = same_record(original, again)
    assert found.apart is not None and found.apart > 1e-4
    assert found.low is not None and found.high is not None and found.low <= 0 <= found.high
    margin = FITNESS.margin
    assert (found.verdict == "agree") == (-margin < found.low and found.high < margin)
    loose = FITNESS.model_copy(update={"margin": 0.5})
    assert same_record(one(tmp_path / "c", task=loose), one(tmp_path / "d", task=loose, rng=1)).verdict == "agree"
    tight = FITNESS.model_copy(update={"margin": 1e-6})
    assert same_record(one(tmp_path / "e", task=tight), one(tmp_path / "f", task=tight, rng=1)).verdict == "cannot tell"


def test_without_predictions_the_recorded_interval_is_all_there_is(tmp_path):
    def scored(score: float, root: Path) -> tuple[Path, RunRecord]:
        folder, _ = one(root)
        (folder / PREDICTIONS).unlink()
        return folder, make_record(FITNESS, FULL, score, checkpoint="facebook/esm2_t6_8M_UR50D", half_width=0.01)

    original = scored(0.7, tmp_path / "a")
    verdicts = [same_record(original, scored(score, tmp_path / str(score))).verdict for score in (0.7, 0.705, 0.75)]
    assert verdicts == ["agree", "cannot tell", "differ"]


def test_other_rows_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"not of the same rows: prediction ids: 400 and 300 rows"):
        same_record(one(tmp_path / "a", rows=400), one(tmp_path / "b", rows=300))


def test_a_record_gives_the_run_that_made_it():
    task, recipe = FITNESS, load_recipe("probe", {"epochs": 3})
    record = make_record(task, recipe, 0.8, checkpoint="a/b", seed=4, subset=50, overrides={"epochs": 3})
    planned = planned_from(record)
    assert isinstance(planned, PlannedRun)
    assert (planned.task.hash, planned.recipe.hash) == (record.identity.task.hash, record.identity.recipe.hash)
    assert (planned.seed, planned.subset, planned.overrides) == (4, 50, {"epochs": 3})
    assert record.identity.checkpoint is not None
    assert planned.checkpoint == f"a/b@{record.identity.checkpoint.commit}"


def test_weights_of_a_folder_that_is_gone_are_asked_for():
    record = make_record(FITNESS, FULL, 0.8, checkpoint="my-esm", local=True)
    with pytest.raises(UserError, match=r"the weights are not at .*--checkpoint"):
        planned_from(record)
    assert planned_from(record, checkpoint="elsewhere").checkpoint == "elsewhere"


def test_other_weights_or_data_are_another_question_and_another_protocol_is_not():
    record = make_record(FITNESS, FULL, 0.8, checkpoint="a/b")
    assert what_differs(record.identity, record.identity) == ([], [])
    other = record.identity.model_copy(deep=True)
    assert other.checkpoint is not None
    other.checkpoint.commit, other.data, other.protocol = "0" * 40, "1" * 64, record.identity.protocol + 1
    refused, noted = what_differs(record.identity, other)
    assert [line.split(" are ")[0] for line in refused] == ["the data", "the weights"]
    assert noted == [
        f"the code is another one: protocol {record.identity.protocol} then, {record.identity.protocol + 1} now"
    ]


def cell(**changes) -> Cell:
    values = {"id": "a", "paper": "p", "task": "gb1-fitness", "version": 1, "checkpoint": "a/b", "recipe": "full"}
    values |= {"seeds": [1, 2, 3], "metric": "spearman", "value": 0.8, "tolerance": 0.02, "source": "Table 1"}
    return Cell.model_validate(values | changes)


def ours(*scores: float) -> list[RunRecord]:
    return [make_record(FITNESS, FULL, score, checkpoint="a/b", seed=seed) for seed, score in enumerate(scores, 1)]


def test_a_published_number_agrees_differs_or_cannot_be_told():
    assert same_cell(cell(), ours(0.801, 0.802, 0.803)).verdict == "agree"
    assert same_cell(cell(), ours(0.901, 0.902, 0.903)).verdict == "differ"
    assert same_cell(cell(), ours(0.7, 0.8, 0.9)).verdict == "cannot tell"
    # Alike, but what was published may itself have come out otherwise.
    assert same_cell(cell(spread=0.05), ours(0.801, 0.802, 0.803)).verdict == "cannot tell"


def test_the_interval_joins_ours_over_seeds_and_the_published_one():
    from scipy import stats

    scores = [0.79, 0.81, 0.82]
    found = same_cell(cell(spread=0.01), ours(*scores))
    half = stats.t.ppf(0.975, 2) * stats.sem(scores)
    gain = sum(scores) / 3 - 0.8
    expected = (gain - (half**2 + 0.01**2) ** 0.5, gain + (half**2 + 0.01**2) ** 0.5)
    assert (found.low, found.high) == pytest.approx(expected)


def test_one_seed_says_nothing_of_what_another_would_change():
    found = same_cell(cell(), ours(0.8))
    assert found.verdict == "cannot tell" and "three or more" in found.reason


def test_another_version_of_the_task_is_refused():
    with pytest.raises(UserError, match="version 7 of gb1-fitness"):
        planned_for(cell(version=7))


def test_every_shipped_result_names_what_is_there_and_fits():
    table = load_published()
    assert len({row.id for row in table.cells}) == len(table.cells) > 20
    for row in table.cells:
        planned = planned_for(row)
        task = planned[0].task
        assert planned[0].recipe.why_not(task.problem) is None, row.id
        assert row.metric in task.metrics.names and row.split in task.data.test_splits, row.id
        assert METRICS[row.metric].low <= row.value <= METRICS[row.metric].high
        # The same number stands on the task's own page, with its source.
        assert any(p.value == row.value and p.split == row.split for p in task.published), row.id
        assert row.checkpoint.count("/") == 1


def test_an_unknown_result_names_near_misses():
    with pytest.raises(UserError, match=r"Did you mean .*schmirler2024-disorder-esm2-8m-frozen"):
        find_cell("schmirler2024-disorder-esm2-8m-probe")
