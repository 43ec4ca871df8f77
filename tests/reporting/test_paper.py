"""What a paper takes from runs: tables that LaTeX reads, a figure, a paragraph, and references; the numbers are the board's."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from sample_records import sample_runs, write_runs

import hubtools
from hubtools.common.escaping import latex
from hubtools.findings.wording import number
from hubtools.reporting.paper.literature import keys_of


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> str:
    root = tmp_path_factory.mktemp("runs")
    write_runs(root, sample_runs())
    return str(root)


def test_the_tables_are_the_board(runs: str) -> None:
    board = hubtools.board(runs)
    text = board.latex()
    assert text.count(r"\begin{tabular}") == text.count(r"\bottomrule") == len(board.tables) + bool(board.overall)
    for table in board.tables:
        for row in table.rows:
            score = row.scores[table.primary]
            if score.low is not None:
                assert f"{latex(number(score.value))} [{latex(number(score.low))} to" in text, row.name
    # Braces are balanced, and nothing that LaTeX acts on stands in a cell unescaped.
    plain = re.sub(r"\\[\\{}%&_#$]", "", text)
    assert plain.count("{") == plain.count("}") and plain.count("$") % 2 == 0
    for line in text.splitlines():
        assert "%" not in re.sub(r"\\%", "", line) or line.startswith("%")


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("a_b & 50 % of {x}", r"a\_b \& 50 \% of \{x\}"),
        ("\\input{x}\n~", r"\textbackslash{}input\{x\} \textasciitilde{}"),
    ],
)
def test_latex_shows_text_as_it_is(given: str, shown: str) -> None:
    assert latex(given) == shown


@pytest.mark.figures
def test_the_figure_has_every_format(runs: str, tmp_path: Path) -> None:
    board = hubtools.board(runs, task="gb1-fitness")
    starts = {"png": b"\x89PNG", "pdf": b"%PDF", "svg": b"<?xml"}
    for suffix, start in starts.items():
        assert board.figure(tmp_path / f"b.{suffix}").read_bytes().startswith(start)
    with pytest.raises(hubtools.UserError, match="no format of figures"):
        board.figure(tmp_path / "b.gif")


def test_every_reference_of_the_paragraphs_is_cited(runs: str) -> None:
    references = hubtools.cite(runs)
    keys = keys_of(references)
    assert len(keys) == len(set(keys)) and "plm-hubtools" in keys
    paragraphs = hubtools.methods(runs)
    named = {key for text in paragraphs for key in re.findall(r"@([\w-]+)", text)}
    assert named <= set(keys), named - set(keys)
    for text in paragraphs:
        assert "was scored once" in text or "were scored once" in text
