"""The board as tables of a paper: LaTeX with booktabs, the best set marked, every score with its interval."""

from __future__ import annotations

from collections.abc import Sequence

from hubtools.common.escaping import latex
from hubtools.evaluation.statistics.arm_interval import ArmScore
from hubtools.findings import wording
from hubtools.findings.board.board_rows import Row, Table
from hubtools.findings.board.leaderboard import Board
from hubtools.findings.wording import BEST_SET_MEANING, SHORT_INTERVAL_MEANING
from hubtools.reporting import board_tables

# Further metrics beside the primary one that fit on a page.
_FURTHER = 3


def latex_board(board: Board) -> str:
    """A ``table`` for each table of the board; it needs ``\\usepackage{booktabs}``."""
    parts = ["% \\usepackage{booktabs}", ""]
    if board.overall:
        parts += [_overall(board), ""]
    parts += [f"{_table(table, number)}\n" for number, table in enumerate(board.tables, 1)]
    return "\n".join(parts)


def _table(table: Table, number: int) -> str:
    columns = table.columns[:_FURTHER]
    head = ["Model", "Recipe", f"{table.heading(table.primary)} [95 % interval]"]
    head += [*(table.heading(column) for column in columns), "Seeds"]
    rows = [
        [
            _stressed(name, row),
            latex(row.recipe),
            _stressed(_score(row.scores[table.primary], row.of_weights), row, escaped=True)
            + (r"\,$\bullet$" if row.best_set else ""),
            *(latex(wording.number(row.scores[column].value)) for column in columns),
            str(len(row.seeds)),
        ]
        for name, row in zip(board_tables.labels(table), table.rows, strict=True)
    ]
    said = f"{table.title}: {board_tables.facts(table)}."
    if table.not_for_ranking:
        said += f" Not for ranking: {table.not_for_ranking}"
    label = f"tab:{_key(table.question.task)}-{number}"
    return _tabular(head, rows, "ll" + "r" * (len(head) - 2), said, label, _meaning(table.rows))


def _overall(board: Board) -> str:
    overall = board.overall
    assert overall is not None
    shown = board_tables.overall_columns(overall)
    kept = [column for column in shown if column.priority == 0]
    cells = [[latex(cell) for cell in row] for row in zip(*(column.cells for column in kept), strict=True)]
    rows = [
        [f"\\textbf{{{cell}}}" if one.best_set and cell else cell for cell in row]
        for row, one in zip(cells, overall.rows, strict=True)
    ]
    said = f"Over {wording.plural(len(overall.tasks), 'task')}: {', '.join(overall.tasks)}."
    align = "".join("r" if column.right else "l" for column in kept)
    return _tabular([column.heading for column in kept], rows, align, said, "tab:overall", " ".join(overall.notes))


def _tabular(head: Sequence[str], rows: Sequence[Sequence[str]], align: str, said: str, label: str, below: str) -> str:
    lines = [
        r"\begin{table}",
        r"  \centering",
        f"  \\caption{{{latex(said)}}}",
        f"  \\label{{{label}}}",
        f"  \\begin{{tabular}}{{{align}}}",
        r"    \toprule",
        f"    {' & '.join(map(latex, head))} \\\\",
        r"    \midrule",
        *(f"    {' & '.join(row)} \\\\" for row in rows),
        r"    \bottomrule",
        r"  \end{tabular}",
        r"",
        r"  \smallskip",
        f"  {{\\footnotesize {latex(below)}\\par}}",
        r"\end{table}",
    ]
    return "\n".join(lines)


def _score(score: ArmScore, of_weights: bool) -> str:
    """A score with its interval, as every other view has it."""
    value = latex(wording.number(score.value))
    between = wording.interval(score.low, score.high, of_weights)
    return f"{value} [{latex(between)}]" if between else value


def _stressed(text: str, row: Row, *, escaped: bool = False) -> str:
    """The row that leads in bold, baselines in italics."""
    shown = text if escaped else latex(text)
    if row.best_set_place == "best":
        return f"\\textbf{{{shown}}}"
    return f"\\textit{{{shown}}}" if row.is_baseline else shown


def _meaning(rows: Sequence[Row]) -> str:
    said = [BEST_SET_MEANING] if len(rows) > 1 else []
    if any(len(row.runs) > 1 or row.of_weights for row in rows):
        said.append(SHORT_INTERVAL_MEANING)
    return " ".join([*said, "Bold: best score. Italics: baselines and random weights."])


def _key(text: str) -> str:
    return "".join(letter if letter.isalnum() else "-" for letter in text.lower())
