"""Rows over the tasks of a board, and the best sets of its tables."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from sample_records import (
    BASELINES,
    FULL,
    LOCALISATION,
    OLD_STRUCTURE,
    PHOSPHO,
    STRUCTURE,
    Found,
    make_record,
    ranked_runs,
    write_runs,
)

from hubtools.findings.board.leaderboard import Board, build_board
from hubtools.reporting.board_tables import as_csv, as_json, markdown
from hubtools.reporting.site import page_file
from hubtools.runs.store import REPLICATES

ESM8, ESM650, BERT = "facebook/esm2_t6_8M_UR50D", "facebook/esm2_t33_650M_UR50D", "Rostlab/prot_bert"


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> list[Found]:
    return write_runs(tmp_path_factory.mktemp("runs"), ranked_runs(), replicates=True)


@pytest.fixture(scope="module")
def board(written: list[Found]) -> Board:
    return build_board(written)


def test_tables_have_best_sets_by_paired_differences_and_say_so(board: Board, written: list[Found]) -> None:
    table = next(t for t in board.tables if t.question.task == "localisation")
    assert [row.rank for row in table.rows] == list(range(1, 8))
    by_intervals = build_board([(Path("none") / folder.name, record) for folder, record in written])
    blunt = next(t for t in by_intervals.tables if t.question.task == "localisation")
    for shown in (table, blunt):
        inside = [row.best_set for row in shown.rows]
        assert inside == sorted(inside, reverse=True) and inside[0] and not inside[-1]
    assert "question" not in blunt.basis and "of recipes where" in table.basis and "by intervals" in blunt.basis
    assert {row.basis for row in table.rows if row.name == "composition"} == {"weights"}
    assert {row.basis for row in table.rows if row.name != "composition"} == {"recipe"}


def test_one_run_without_resamplings_leaves_its_table_to_intervals(written: list[Found]) -> None:
    lost = next(folder for folder, record in written if record.identity.task.name == "gb1-fitness")
    kept = lost / REPLICATES
    aside = kept.rename(kept.with_suffix(".aside"))
    try:
        tables = {table.question.task: table for table in build_board(written).tables}
    finally:
        aside.rename(kept)
    assert "by intervals" in tables["gb1-fitness"].basis
    assert "paired" in tables["localisation"].basis


def test_the_row_that_lacks_a_task_stands_below_and_says_which(board: Board) -> None:
    assert board.overall and len(board.overall.tasks) == 5
    *complete, last = board.overall.rows
    assert (last.row.name, last.missing, last.best_set) == (BERT, ["phosphotyrosine"], None)
    assert last.coverage == "4 of 5, not phosphotyrosine"
    assert [row.mean_rank.value for row in complete] == sorted(row.mean_rank.value for row in complete)
    assert complete[0].best_set is True and complete[-1].row.name == "composition"
    assert any("neither as zero nor as last" in note for note in board.overall.notes)
    without = build_board([])
    assert without.overall is None


def test_only_the_latest_version_on_all_data_counts_and_red_tasks_do_not() -> None:
    red = PHOSPHO.model_validate(
        PHOSPHO.model_dump() | {"trust": {"colour": "red", "reason": "Test proteins are in train."}}
    )
    records = [
        make_record(task, recipe, score, checkpoint=checkpoint, **more)
        for checkpoint, recipe, score in ((ESM8, FULL, 0.5), (ESM650, FULL, 0.6), (None, BASELINES["majority"], 0.1))
        for task, more in (
            (LOCALISATION, {}),
            (LOCALISATION, {"subset": 100}),
            (LOCALISATION, {"fraction": 0.1}),
            (STRUCTURE, {}),
            (OLD_STRUCTURE, {}),
            (red, {}),
        )
    ]
    overall = build_board([(Path("runs") / record.run_id, record) for record in records]).overall
    assert overall and overall.tasks == ("localisation", "secondary-structure")
    assert overall.left_out == (("phosphotyrosine", "its trust is red"),)
    assert [row.mean_rank.value for row in overall.rows] == [1, 2, 3]
    assert any("coarse" in note for note in overall.notes)
    assert any("kept no resamplings" in note for note in overall.notes)


def test_text_and_page_carry_best_sets_and_the_overall_table(board: Board) -> None:
    content = json.loads(as_json(board))
    assert content["overall"]["rows"][-1]["missing"] == ["phosphotyrosine"]
    assert content["tables"][0]["rows"][0]["best_set"] is True
    assert content["overall"]["rows"][-1]["best_set"] is None
    lines = list(csv.DictReader(io.StringIO(as_csv(board))))
    assert list(lines[0])[-3:] == ["best_set", "question", "arm"]
    assert {line["best_set"] for line in lines if line["primary"] == "True"} == {"True", "False"}
    assert {line["question"] for line in lines if line["primary"] == "True"} == {"recipe", "weights"}
    assert markdown(board).startswith("## Over 5 tasks")
    page = page_file(board)
    # For scripts, and without them.
    assert page.count("4 of 5, not phosphotyrosine") == 2
    assert page == page_file(board)
