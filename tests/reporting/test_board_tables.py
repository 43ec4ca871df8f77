"""The board as text."""

from __future__ import annotations

import csv
import io
import json

import pytest
from rich.console import Console
from sample_records import sample_runs

from hubtools.findings.board.leaderboard import Board, build_board
from hubtools.reporting.board_tables import as_csv, as_json, markdown, print_board


@pytest.fixture(scope="module")
def board() -> Board:
    return build_board(sample_runs())


def printed(board: Board, width: int) -> str:
    console = Console(width=width, file=io.StringIO(), force_terminal=False)
    print_board(board, console)
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_terminal_shows_rows_the_best_set_and_what_did_not_finish(board: Board) -> None:
    text = printed(board, 170)
    assert "Subcellular localisation · version 1 · subset of at most 500 proteins a split" in text
    assert "●          facebook/esm2_t33_650M_UR50D" in text
    assert "best set by intervals" in text and "Over 5 tasks" in text
    assert "0.626 to 0.668" in text
    assert "Not finished: 3 runs" in text
    assert "CUDA out of memory" in text


@pytest.mark.parametrize("width", [60, 80, 100, 140])
def test_a_narrow_terminal_keeps_the_result_and_names_what_it_leaves_out(board: Board, width: int) -> None:
    text = printed(board, width)
    assert all(len(line) <= width for line in text.splitlines())
    assert "Macro F1 ↑" in text and "95 % interval" in text
    assert "Not shown in this width" in text


def test_markdown_tables_are_rectangular(board: Board) -> None:
    text = markdown(board)
    blocks = [block for block in text.split("\n\n") if block.startswith("|")]
    assert len(blocks) == len(board.tables) + 1
    for block in blocks:
        assert len({line.replace("\\|", "").count("|") for line in block.splitlines()}) == 1
    assert "## Not finished" in text


def test_a_name_with_a_bar_does_not_break_markdown() -> None:
    runs = [run for run in sample_runs() if run[1].identity.checkpoint][:1]
    runs[0][1].identity.checkpoint.name = "a|b"  # type: ignore[union-attr]
    assert "a\\|b" in markdown(build_board(runs))


def test_csv_has_a_line_for_every_score_and_every_stopped_run(board: Board) -> None:
    lines = list(csv.DictReader(io.StringIO(as_csv(board))))
    scores = sum(len(row.scores) for table in board.tables for row in table.rows)
    assert len(lines) == scores + len(board.unfinished)
    best = next(line for line in lines if line["task"] == "localisation" and line["standing"] == "best")
    assert float(best["value"]) == pytest.approx(0.647)
    assert best["seeds"] == "1 2 3"
    assert len(best["revision"]) == 40
    assert {line["status"] for line in lines} == {"complete", "failed", "interrupted", "running"}


def test_json_carries_provenance_and_reads_back(board: Board) -> None:
    content = json.loads(as_json(board))
    row = content["tables"][0]["rows"][0]
    assert row["runs"][0]["command"].startswith("bench run ")
    assert set(row["scores"]["test"]) == set(content["tables"][0]["metrics"])
    assert len(content["unfinished"]) == 3
