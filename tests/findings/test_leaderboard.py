"""What stands beside what on a board, and in which order."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from sample_records import (
    BASELINES,
    FITNESS,
    FULL,
    LOCALISATION,
    OLD_STRUCTURE,
    PROBE,
    SCRATCH,
    STRUCTURE,
    Found,
    make_record,
    sample_runs,
)

from hubtools.common.errors import UserError
from hubtools.findings.arms import arms_of
from hubtools.findings.board.leaderboard import build_board, table_of
from hubtools.reporting import board_tables as tables
from hubtools.specs.record import RunRecord, SweepFacts

ESM8, ESM650 = "facebook/esm2_t6_8M_UR50D", "facebook/esm2_t33_650M_UR50D"


def found(*records: RunRecord) -> list[Found]:
    return [(Path("runs") / record.run_id, record) for record in records]


def test_seeds_become_one_row() -> None:
    board = build_board(found(*(make_record(LOCALISATION, FULL, s / 10, checkpoint=ESM8, seed=s) for s in (3, 1, 2))))
    (table,) = board.tables
    (row,) = table.rows
    assert row.seeds == [1, 2, 3]
    assert row.scores[table.primary].value == pytest.approx(0.2)
    assert board.n_runs == 3


def test_versions_data_subsets_and_protocols_are_never_mixed() -> None:
    base = make_record(STRUCTURE, FULL, 0.8, checkpoint=ESM8)
    others = {
        "older than version 2": make_record(OLD_STRUCTURE, FULL, 0.9, checkpoint=ESM8),
        "subset of at most 500 proteins a split": make_record(STRUCTURE, FULL, 0.7, checkpoint=ESM8, subset=500),
        "10 % of the training data": make_record(STRUCTURE, FULL, 0.75, checkpoint=ESM8, fraction=0.1),
    }
    for attribute, value in {"data": "f" * 64, "protocol": 99}.items():
        identity = base.identity.model_copy(update={attribute: value})
        others[f"{attribute} "] = base.model_copy(update={"identity": identity, "run_id": identity.run_id})
    task = base.identity.task.model_copy(update={"hash": "e" * 64})
    identity = base.identity.model_copy(update={"task": task})
    others["task file eeeeeee"] = base.model_copy(update={"identity": identity, "run_id": identity.run_id})
    for remark, other in others.items():
        tables = build_board(found(base, other)).tables
        assert [len(table.rows) for table in tables] == [1, 1], remark
        assert any(remark in table.title for table in tables), remark
        assert tables[0].title != tables[1].title


def test_seeds_in_bfloat16_and_in_float32_are_not_one_row() -> None:
    """One recipe leaves the precision to the device: on one machine bf16, on another float32."""
    records = [make_record(LOCALISATION, FULL, 0.5, checkpoint=ESM8, seed=seed) for seed in (1, 2)]
    for record, precision in zip(records, ("float32", "bf16"), strict=True):
        record.identity.precision = precision
        record.run_id = record.identity.run_id
    # In records of before protocol 4 it stands in the environment alone.
    old = make_record(LOCALISATION, FULL, 0.5, checkpoint=ESM8, seed=3)
    old.environment.precision = "bf16"
    (table,) = build_board(found(*records, old)).tables
    assert sorted((row.recipe, row.seeds) for row in table.rows) == [("full, bf16", [2, 3]), ("full, float32", [1])]
    assert [arm.name for arm in arms_of(found(*records, old))] == [
        f"{ESM8} · full, {which}" for which in ("bf16", "float32")
    ]
    assert len({record.run_id for record in records}) == 2


def test_runs_whose_test_rows_differ_are_not_mixed_even_if_all_else_agrees() -> None:
    one = make_record(LOCALISATION, FULL, 0.5, checkpoint=ESM8)
    other = make_record(LOCALISATION, FULL, 0.6, checkpoint=ESM650)
    assert other.data is not None
    other.data.splits["test"].rows_sha256 = "0" * 64
    tables = build_board(found(one, other)).tables
    assert len(tables) == 2
    assert any("test rows 0000000" in table.title for table in tables)


def test_a_row_is_one_commit_and_one_recipe() -> None:
    same = make_record(LOCALISATION, FULL, 0.5, checkpoint=ESM8)
    checkpoint = same.identity.checkpoint.model_copy(update={"commit": "d" * 40})  # type: ignore[union-attr]
    identity = same.identity.model_copy(update={"checkpoint": checkpoint})
    moved = same.model_copy(update={"identity": identity, "run_id": identity.run_id})
    rate = FULL.model_copy(update={"learning_rate": 3e-5})
    set_rate = make_record(LOCALISATION, rate, 0.4, checkpoint=ESM8, overrides={"learning_rate": 3e-5})
    (table,) = build_board(found(same, moved, set_rate)).tables
    assert len(table.rows) == 3
    assert {row.recipe for row in table.rows} == {"full", "full, learning_rate=3e-05"}


def test_a_local_folder_is_its_content_under_any_name() -> None:
    one = make_record(LOCALISATION, FULL, 0.5, checkpoint="mine", local=True, seed=1)
    two = make_record(LOCALISATION, FULL, 0.6, checkpoint="mine", local=True, seed=2)
    two.identity.checkpoint.name = "moved"  # type: ignore[union-attr]
    (table,) = build_board(found(one, two)).tables
    assert [row.seeds for row in table.rows] == [[1, 2]]


def test_best_first_and_what_is_within_its_interval() -> None:
    records = [
        make_record(LOCALISATION, FULL, 0.60, checkpoint=ESM650, half_width=0.02),
        make_record(LOCALISATION, PROBE, 0.59, checkpoint=ESM650, half_width=0.02),
        make_record(LOCALISATION, FULL, 0.50, checkpoint=ESM8, half_width=0.02),
        make_record(LOCALISATION, BASELINES["majority"], 0.1),
    ]
    (table,) = build_board(found(*reversed(records))).tables
    assert [row.best_set_place for row in table.rows] == ["best", "within", "", ""]
    assert [row.rank for row in table.rows] == [1, 2, 3, 4]
    assert [row.is_baseline for row in table.rows] == [False, False, False, True]


def test_by_intervals_every_row_above_one_of_the_best_set_is_in_it() -> None:
    records = [
        make_record(LOCALISATION, FULL, score, checkpoint=f"lab/{score}", half_width=width)
        for score, width in ((0.60, 0.02), (0.57, 0.01), (0.55, 0.06), (0.50, 0.02))
    ]
    (table,) = build_board(found(*records)).tables
    assert [row.best_set for row in table.rows] == [True, True, True, False]
    assert table.basis.startswith("best set by intervals")


def test_a_long_table_is_cut_to_the_best_the_own_and_the_best_baselines() -> None:
    records = [make_record(LOCALISATION, FULL, 0.9 - i / 100, checkpoint=f"lab/{i}") for i in range(40)]
    baselines = [make_record(LOCALISATION, BASELINES[name], 0.1 + i / 100) for i, name in enumerate(BASELINES)]
    (table,) = build_board(found(*records, *baselines)).tables
    run_id = records[30].run_id
    cut = table.around(run_id, 10)
    assert [row.rank for row in cut.rows] == [1, 2, 3, 4, 5, 31, 41, 42, 43, 44]
    assert cut.best == table.best and cut.columns == table.columns
    assert table.around(run_id, 44) is table


def test_lower_is_better_puts_the_lowest_first() -> None:
    task = FITNESS.model_copy(
        update={"metrics": FITNESS.metrics.model_copy(update={"primary": "rmse", "also": ["r2"]})}
    )
    records = [make_record(task, FULL, score, checkpoint=c) for score, c in ((0.5, ESM8), (0.9, ESM650))]
    for record in records:
        value = 2 * (1 - record.results["test"].scores["r2"].value)  # type: ignore[operator]
        score = record.results["test"].scores["rmse"]
        score.value, score.low, score.high, score.higher_is_better = value, value - 0.01, value + 0.01, False
    (table,) = build_board(found(*records)).tables
    values = [row.scores[table.primary].value for row in table.rows]
    assert values == sorted(values)  # type: ignore[type-var]
    assert table.heading(table.primary) == "RMSE ↓"


def test_a_score_that_is_not_defined_comes_last_and_is_in_no_best_set() -> None:
    records = [
        make_record(LOCALISATION, FULL, 0.4, checkpoint=ESM8),
        make_record(LOCALISATION, FULL, 0.9, checkpoint=ESM650),
    ]
    undefined = records[1].results["test"].scores["macro_f1"]
    undefined.value = undefined.low = undefined.high = None
    (table,) = build_board(found(*records)).tables
    assert [row.name for row in table.rows] == [ESM8, ESM650]
    assert [row.best_set_place for row in table.rows] == ["best", ""]


def test_random_weights_count_as_a_baseline() -> None:
    board = build_board(found(make_record(LOCALISATION, SCRATCH, 0.2, checkpoint=ESM8)))
    row = board.tables[0].rows[0]
    assert (row.kind, row.is_baseline, row.recipe) == ("random", True, "scratch, random weights")


def test_what_did_not_finish_is_listed_and_not_ranked() -> None:
    done = make_record(LOCALISATION, FULL, 0.5, checkpoint=ESM8)
    stopped = [
        make_record(LOCALISATION, FULL, 0.0, checkpoint=ESM650, status=s, seed=i)
        for i, s in enumerate(("failed", "interrupted", "running"))
    ]
    board = build_board(found(done, *stopped))
    assert board.n_runs == 1
    assert {record.status for _, record in board.unfinished} == {"failed", "interrupted", "running"}


def test_a_copied_run_counts_once_and_the_finished_one_wins() -> None:
    complete = make_record(LOCALISATION, FULL, 0.5, checkpoint=ESM8)
    failed = make_record(LOCALISATION, FULL, 0.0, checkpoint=ESM8, status="failed")
    assert complete.run_id == failed.run_id
    board = build_board([(Path("b"), complete), (Path("a"), failed), (Path("c"), complete)])
    assert board.n_runs == 1
    assert not board.unfinished
    assert "3 times" in board.notes[0]


def test_further_test_splits_are_columns_and_can_be_ranked_on() -> None:
    records = found(
        make_record(LOCALISATION, FULL, 0.5, checkpoint=ESM8), make_record(STRUCTURE, FULL, 0.5, checkpoint=ESM8)
    )
    table = next(t for t in build_board(records).tables if t.question.task == "localisation")
    assert table.columns[0] == ("hpa", "macro_f1")
    assert table.heading(("hpa", "macro_f1")) == "hpa: Macro F1 ↑"
    board = build_board(records, split="hpa")
    assert [t.question.task for t in board.tables] == ["localisation"]
    assert board.tables[0].columns[0] == ("test", "macro_f1")
    assert "1 of 2" in board.notes[0]


def test_validation_is_never_ranked_on() -> None:
    with pytest.raises(UserError, match="choices were made on it"):
        build_board(found(make_record(LOCALISATION, FULL, 0.5, checkpoint=ESM8)), split="validation")


def test_an_unknown_task_or_split_names_the_known_ones() -> None:
    records = found(make_record(LOCALISATION, FULL, 0.5, checkpoint=ESM8))
    with pytest.raises(UserError, match="There are runs of: localisation"):
        build_board(records, task="locali")
    with pytest.raises(UserError, match="hpa, test"):
        build_board(records, split="tset")


def test_the_sample_board_holds_every_run_once() -> None:
    runs = sample_runs()
    board = build_board(runs)
    assert board.n_runs + len(board.unfinished) == len(runs)
    assert len(board.tables) == 7


def test_a_run_finds_its_table() -> None:
    runs = sample_runs()
    record = next(record for _, record in runs if record.identity.subset)
    table = table_of(runs, record)
    assert table.question.subset == record.identity.subset
    assert len(table.rows) == 2


def test_shares_of_the_training_data_follow_all_of_it_the_larger_first() -> None:
    shares = [0.01, None, 0.3]
    records = [make_record(LOCALISATION, FULL, 0.5, checkpoint=ESM8, fraction=share) for share in shares]
    assert [table.question.fraction for table in build_board(found(*records)).tables] == [None, 0.3, 0.01]


def test_a_row_tells_that_a_sweep_chose_its_recipe() -> None:
    sweep = SweepFacts(
        trials=20, fields={"learning_rate": "1e-05..0.001 log"}, chosen={"learning_rate": 3e-5}, validation=0.52,
        seed=1, sampler="TPE",
    )  # fmt: skip
    rate = FULL.model_copy(update={"learning_rate": 3e-5})
    swept = make_record(LOCALISATION, rate, 0.53, checkpoint=ESM8, overrides=sweep.chosen, sweep=sweep)
    plain = make_record(LOCALISATION, FULL, 0.5, checkpoint=ESM8)
    board = build_board(found(swept, plain))
    assert [row.recipe for row in board.tables[0].rows] == ["full, learning_rate=3e-05, best of 20 trials", "full"]
    assert [row["sweep_trials"] for row in json.loads(tables.as_json(board))["tables"][0]["rows"]] == [20, 0]
    lines = list(csv.DictReader(io.StringIO(tables.as_csv(board))))
    assert {line["sweep_trials"] for line in lines if line["recipe_hash"] == rate.hash} == {"20"}


def tuned_by(budget: int, *, own: bool = False, **chosen: float) -> SweepFacts:
    fields = dict.fromkeys(chosen, "0.0001, 0.003")
    facts: dict[str, Any] = {"trials": budget, "fields": fields, "chosen": chosen, "validation": 0.5, "seed": 1}
    return SweepFacts(**facts, sampler="TPE", budget=budget, own_values=own)


def test_what_a_suite_tuned_ranks_apart_and_stands_beside() -> None:
    rate = PROBE.model_copy(update={"learning_rate": 3e-3})
    plain = [make_record(LOCALISATION, PROBE, value, checkpoint=name) for name, value in ((ESM8, 0.5), (ESM650, 0.6))]
    tuned = tuned_by(6, learning_rate=3e-3)
    fitted = make_record(LOCALISATION, rate, 0.7, checkpoint=ESM8, overrides=tuned.chosen, sweep=tuned)
    # The larger one's own rate was the best of its trials: one run is both.
    both = plain[1].model_copy(update={"sweep": tuned_by(6, own=True, learning_rate=1e-3)})
    baseline = make_record(LOCALISATION, BASELINES["majority"], 0.2)
    records = found(plain[0], both, fitted, baseline)
    first, second = build_board(records).tables
    assert (first.arm, second.arm) == ("as published", "tuned: 6 trials on validation")
    value = {
        table.arm: {(r.name, r.rank): r.scores[table.primary].value for r in table.rows} for table in (first, second)
    }
    assert value[first.arm] == {(ESM650, 1): 0.6, (ESM8, 2): 0.5, ("majority", 3): 0.2}
    assert value[second.arm] == {(ESM8, 1): 0.7, (ESM650, 2): 0.6, ("majority", 3): 0.2}
    assert [[of.value if of else None for of in row.beside] for row in first.rows] == [[0.6], [0.7], [None]]
    assert [[of.value if of else None for of in row.beside] for row in second.rows] == [[0.5], [0.6], [None]]
    assert [row.recipe for row in first.rows] == ["probe", "probe", "baseline"]
    assert second.rows[0].recipe == "probe, learning_rate=0.003, tuned: 6 trials on validation"
    assert build_board(records).n_runs == 4 and table_of(records, fitted).arm == second.arm
    assert [table.arm for table in build_board(records, arm="tuned").tables] == [second.arm]
    assert "tuned: 6 trials on validation" in tables.markdown(build_board(records, arm="default"))
    with pytest.raises(UserError, match="no run was tuned by a suite"):
        build_board(found(plain[0]), arm="tuned")


def test_other_budgets_and_lone_sweeps_rank_with_nobody_elses() -> None:
    records = [make_record(LOCALISATION, PROBE, 0.5, checkpoint=ESM8)]
    for value, sweep in ((0.6, tuned_by(6, epochs=5)), (0.7, tuned_by(20, epochs=6)), (0.8, tuned_by(9, epochs=7))):
        alone = sweep.model_copy(update={"budget": None}) if sweep.budget == 9 else sweep
        recipe = PROBE.model_copy(update=sweep.chosen)
        records.append(make_record(LOCALISATION, recipe, value, checkpoint=ESM8, overrides=sweep.chosen, sweep=alone))
    board = build_board(found(*records))
    assert [(table.arm, len(table.rows)) for table in board.tables] == [
        ("as published", 1),
        ("tuned: 6 trials on validation", 1),
        ("tuned: 20 trials on validation", 1),
        ("of sweeps without a common budget", 1),
    ]
    assert board.tables[0].beside == ("tuned: 6 trials on validation", "tuned: 20 trials on validation")


def test_over_tasks_a_tuned_row_is_one_whatever_each_task_chose() -> None:
    records = []
    for task, rate in ((LOCALISATION, 1e-4), (STRUCTURE, 3e-3)):
        for name, value in ((ESM8, 0.5), (ESM650, 0.6)):
            tuned = tuned_by(6, learning_rate=rate)
            recipe = PROBE.model_copy(update=tuned.chosen)
            records.append(make_record(task, PROBE, value - 0.1, checkpoint=name))
            records.append(make_record(task, recipe, value, checkpoint=name, overrides=tuned.chosen, sweep=tuned))
    for arm, said in (("default", "probe"), ("tuned", "probe, tuned: 6 trials on validation")):
        overall = build_board(found(*records), arm=arm).overall
        assert overall is not None and [one.row.name for one in overall.rows] == [ESM650, ESM8]
        assert {one.row.recipe_anywhere for one in overall.rows} == {said}
        assert all(not one.missing for one in overall.rows)
