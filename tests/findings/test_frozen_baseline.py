"""Frozen baselines: small, the same bytes each time, a folder of runs like any other, and watched."""

from __future__ import annotations

import json

import numpy as np
import pytest
import yaml
from frozen_runs import BASELINES, PEPTIDES, PROBE, STRUCTURE, write_seed, write_seeds

from hubtools.common.errors import UserError
from hubtools.evaluation.predictions import read_predictions
from hubtools.evaluation.statistics.difference import Question, difference
from hubtools.findings.arms import arms_of
from hubtools.findings.baseline_update import compared, renewals
from hubtools.findings.frozen_baseline import arms_to_freeze, freeze, new_baseline, open_baseline, sources
from hubtools.findings.naming.named_runs import arms_at
from hubtools.findings.naming.selectors import Selector
from hubtools.runs.store import PREDICTIONS, RECORD, find_records, read_record, write_record


def arms_in(root, **wanted):
    return arms_to_freeze(find_records([root])[0], Selector.of(**wanted))


def frozen(root, target, question="recipe", tolerance=None, **wanted):
    arms = arms_in(root, **wanted)
    return freeze(target, new_baseline(target.name, question, arms, tolerance), sources(arms))


def content(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_file_says_what_the_runs_scored(tmp_path):
    folders = write_seeds(tmp_path / "runs")
    made = frozen(tmp_path / "runs", tmp_path / "main")
    (arm,) = made.file.arms
    scores = [read_record(folder).score().value for folder in folders]
    assert [run.scores["test"] for run in arm.runs] == pytest.approx(scores, abs=1e-6)
    assert [run.seed for run in arm.runs] == [1, 2, 3]
    (source,) = arms_of(find_records([tmp_path / "runs"])[0])
    shown = source.score()
    assert (arm.scores["test"].mean, arm.scores["test"].low, arm.scores["test"].high) == pytest.approx(
        (np.mean(scores), shown.low, shown.high), abs=1e-6
    )
    assert (arm.budgets.wall_seconds, arm.budgets.tokens_per_second) == (240, 91_000)
    assert arm.checkpoint == "facebook/esm2_t6_8M_UR50D@c731040fcd8d73dceaa04b0a8e6329b345b0f5df"
    assert open_baseline(tmp_path / "main").file == made.file


def test_one_fact_a_line(tmp_path):
    write_seeds(tmp_path / "runs")
    text = frozen(tmp_path / "runs", tmp_path / "main").file.text()
    assert list(yaml.safe_load(text)) == ["name", "question", "tolerances", "arms"]
    assert all(line.count(": ") <= 1 and "{" not in line and "[" not in line for line in text.splitlines())
    assert "202" not in text.replace("c731040fcd8d73dceaa04b0a8e6329b345b0f5df", "").split("arms:")[0]


def test_the_same_runs_give_the_same_bytes(tmp_path):
    write_seeds(tmp_path / "runs", task=STRUCTURE)
    first = content(frozen(tmp_path / "runs", tmp_path / "a" / "main").folder)
    assert first == content(frozen(tmp_path / "runs", tmp_path / "b" / "main").folder)
    # As often as it is frozen, also from a baseline.
    assert first == content(frozen(tmp_path / "a" / "main", tmp_path / "c" / "main").folder)


def test_test_splits_alone_are_kept_bit_for_bit(tmp_path):
    (folder,) = write_seeds(tmp_path / "runs", seeds=1, task=STRUCTURE)
    made = frozen(tmp_path / "runs", tmp_path / "main")
    (run,) = made.file.arms[0].runs
    kept, whole = read_predictions(made.folder / run.folder / PREDICTIONS), read_predictions(folder / PREDICTIONS)
    assert list(kept) == ["test"] and list(whole) == ["validation", "test"]
    for name in ("ids", "positions", "clusters", "truth", "scores"):
        np.testing.assert_array_equal(getattr(kept["test"], name), getattr(whole["test"], name))
    assert set(content(made.folder / run.folder)) == {RECORD, PREDICTIONS}
    assert [output.path for output in read_record(made.folder / run.folder).outputs] == [PREDICTIONS]


def test_nothing_of_the_machine_is_told(tmp_path):
    folder = write_seed(tmp_path / "runs")
    record = read_record(folder)
    record.command += " --recipe /home/ann/own.yaml"
    write_record(folder, record)
    made = frozen(tmp_path / "runs", tmp_path / "main")
    assert not [name for name, data in content(made.folder).items() if b"/home/ann" in data]


def test_a_token_is_never_frozen(tmp_path):
    folder = write_seed(tmp_path / "runs")
    # As an earlier version of bench may have written it; this one takes it out.
    record = json.loads((folder / RECORD).read_text())
    record["command"] += " --checkpoint hf_abcdefgh1234567890"
    (folder / RECORD).write_text(json.dumps(record))
    made = frozen(tmp_path / "runs", tmp_path / "main")
    written = b"".join(path.read_bytes() for path in made.folder.rglob("*") if path.is_file())
    assert b"--checkpoint" in written and b"hf_abcdefgh" not in written


def test_a_baseline_is_a_folder_of_runs(tmp_path):
    write_seeds(tmp_path / "runs")
    made = frozen(tmp_path / "runs", tmp_path / "main")
    (arm,), notes = arms_at(str(made.folder))
    (source,), _ = arms_at(str(tmp_path / "runs"))
    assert (arm.seeds, notes.notes, notes.left_out) == ([1, 2, 3], [], [])
    found = difference(source.resampled(replicates=200), arm.resampled(replicates=200), Question.RECIPE)
    assert found.identical


@pytest.mark.parametrize("name", [PREDICTIONS, RECORD])
def test_an_altered_file_is_noticed_by_all_who_read_it(tmp_path, name):
    write_seeds(tmp_path / "runs")
    made = frozen(tmp_path / "runs", tmp_path / "main")
    assert made.altered() == []
    path = made.folder / made.file.arms[0].runs[1].folder / name
    path.write_bytes(path.read_bytes() + b"\n")
    assert made.altered() == [f"{path.parent.name}/{name} is not what was frozen"]
    with pytest.raises(UserError, match="is not what was frozen"):
        arms_at(str(made.folder))
    path.unlink()
    assert made.altered()[0] == f"{path.parent.name}/{name} is gone"


def test_a_run_that_was_put_beside_is_noticed(tmp_path):
    write_seeds(tmp_path / "runs")
    made = frozen(tmp_path / "runs", tmp_path / "main")
    write_seed(made.folder, 7)
    assert len(made.altered()) == 1 and "is not in baseline.yaml" in made.altered()[0]


def test_an_incomplete_run_is_not_frozen(tmp_path):
    write_seeds(tmp_path / "runs")
    write_seed(tmp_path / "runs", 4, status="interrupted")
    with pytest.raises(UserError, match=r"1 of 4 runs are not complete, the first is interrupted. Finish it first"):
        frozen(tmp_path / "runs", tmp_path / "main")


def test_a_task_without_runs_is_said(tmp_path):
    write_seeds(tmp_path / "runs")
    with pytest.raises(UserError, match="no run of the task secondary-structure"):
        frozen(tmp_path / "runs", tmp_path / "main", task=[PEPTIDES.name, STRUCTURE.name])
    with pytest.raises(UserError, match="there is no such run"):
        frozen(tmp_path / "runs", tmp_path / "main", recipe=["lora"])


def test_a_name_is_a_name(tmp_path):
    write_seed(tmp_path / "runs")
    with pytest.raises(UserError, match=r"'Main.1' is not a name for a baseline"):
        frozen(tmp_path / "runs", tmp_path / "Main.1")


def test_too_large_for_a_repository(tmp_path, monkeypatch):
    write_seeds(tmp_path / "runs")
    monkeypatch.setattr("hubtools.findings.frozen_baseline.TOO_LARGE", 1000)
    with pytest.raises(UserError, match="hub://"):
        frozen(tmp_path / "runs", tmp_path / "main")
    arms = arms_in(tmp_path / "runs")
    file = new_baseline("main", "recipe", arms, None)
    assert freeze(tmp_path / "main", file, sources(arms), any_size=True).bytes > 1000


# Updates.


def test_an_update_without_change_changes_nothing(tmp_path):
    write_seeds(tmp_path / "runs")
    made = frozen(tmp_path / "runs", tmp_path / "main")
    # Run again, elsewhere, later and slower: the predictions are the same.
    write_seeds(tmp_path / "again", minutes=9)
    found = renewals(made, arms_in(tmp_path / "again"))
    assert [one.changed for one in found] == [False]
    assert [row.why_not for row in compared(made, found)] == ["as it was"]


def test_what_agrees_within_the_tolerance_stays(tmp_path):
    write_seeds(tmp_path / "runs", task=STRUCTURE)
    write_seeds(tmp_path / "again", task=STRUCTURE, shift=5e-4)
    for name, tolerance, changed in (("loose", 1e-3, False), ("tight", 1e-4, True), ("exact", None, True)):
        made = frozen(tmp_path / "runs", tmp_path / name, tolerance=tolerance)
        (one,) = renewals(made, arms_in(tmp_path / "again"))
        assert one.changed is changed


def test_only_costs(tmp_path):
    write_seeds(tmp_path / "runs")
    made = frozen(tmp_path / "runs", tmp_path / "main")
    write_seeds(tmp_path / "again", minutes=9)
    (one,) = renewals(made, arms_in(tmp_path / "again"), only_cost=True)
    assert one.after.budgets.wall_seconds == 540
    assert one.after.model_copy(update={"budgets": one.before.budgets}) == one.before
    write_seeds(tmp_path / "other", skill=1.0)
    with pytest.raises(UserError, match="their cost is that of something else"):
        renewals(made, arms_in(tmp_path / "other"), only_cost=True)


def test_a_worse_model_is_called_that(tmp_path):
    write_seeds(tmp_path / "runs")
    made = frozen(tmp_path / "runs", tmp_path / "main")
    write_seeds(tmp_path / "worse", skill=0.6)
    found = renewals(made, arms_in(tmp_path / "worse"))
    (row,) = compared(made, found)
    assert row.comparison.verdict == "worse" and row.comparison.difference.value < -0.1
    (before,), (after,) = arms_at(str(made.folder))[0], arms_at(str(tmp_path / "worse"))[0]
    assert row.comparison.difference == difference(before.resampled(), after.resampled(), Question.RECIPE)


def test_what_has_nothing_random_needs_no_seeds(tmp_path):
    majority = BASELINES["majority"]
    write_seed(tmp_path / "runs", task=STRUCTURE, recipe=majority, checkpoint=None)
    made = frozen(tmp_path / "runs", tmp_path / "main", question="recipe")
    assert made.file.arms[0].checkpoint is None and made.file.arms[0].title == "majority"
    write_seed(tmp_path / "worse", task=STRUCTURE, recipe=majority, checkpoint=None, skill=0.3)
    (row,) = compared(made, renewals(made, arms_in(tmp_path / "worse")))
    assert (row.comparison.question, row.comparison.verdict) == (Question.WEIGHTS, "worse")


def test_arms_without_newer_runs_stay_and_new_ones_are_added_where_asked_for(tmp_path):
    write_seeds(tmp_path / "runs")
    write_seeds(tmp_path / "runs", recipe=PROBE)
    made = frozen(tmp_path / "runs", tmp_path / "main")
    write_seeds(tmp_path / "newer", skill=2.5)
    write_seeds(tmp_path / "newer", task=STRUCTURE)
    arms = arms_in(tmp_path / "newer")
    changed = {(one.after.task, one.after.recipe): one.changed for one in renewals(made, arms)}
    assert changed == {("antimicrobial-peptide", "full"): True, ("antimicrobial-peptide", "probe"): False}
    found = renewals(made, arms, add=True)
    changed = {(one.after.task, one.after.recipe): one.changed for one in found}
    assert changed[("secondary-structure", "full")] and len(changed) == 3
    file = made.file.model_copy(update={"arms": [one.after for one in found]})
    kept = {name: source for one in found for name, source in one.runs.items()}
    before = content(made.folder)
    after = content(freeze(made.folder, file, kept).folder)
    stays = [name for name in before if "--probe--" in name]
    assert len(stays) == 6 and all(before[name] == after[name] for name in stays)
    assert open_baseline(made.folder).altered() == []


def test_runs_of_something_else_are_no_update(tmp_path):
    write_seeds(tmp_path / "runs")
    made = frozen(tmp_path / "runs", tmp_path / "main")
    write_seeds(tmp_path / "other", task=STRUCTURE)
    with pytest.raises(UserError, match="none of these runs is in the baseline"):
        renewals(made, arms_in(tmp_path / "other"))
