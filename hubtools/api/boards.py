"""What the runs say side by side: the board, for a notebook, as a page, as a site, and on the Hub."""

from __future__ import annotations

from dataclasses import dataclass
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING

from hubtools.api.asked import Names, Say, names_of, silent
from hubtools.api.found_runs import RunResults, results
from hubtools.common.errors import UserError
from hubtools.common.notebook import line_html, lines_html, table_html

if TYPE_CHECKING:
    import pandas

    from hubtools.findings.board.arms_apart import BoardArm
    from hubtools.findings.board.board_rows import Table
    from hubtools.findings.board.leaderboard import Board
    from hubtools.findings.board.overall import Overall
    from hubtools.publishing.commit import PushedCommit
    from hubtools.reporting.board_tables import Column
    from hubtools.runs.store import OpenRun


@dataclass(frozen=True)
class RunBoard:
    """Comparable runs in tables, best first.

    Attributes:
        board: what stands on it.
        found: the runs that it was made of.
        notes: what addresses were resolved to, what was left out, and why.
    """

    board: Board
    found: tuple[OpenRun, ...]
    notes: tuple[str, ...] = ()

    @property
    def tables(self) -> tuple[Table, ...]:
        """One a task (and version, data, subset, share of the training data), each with its rows, best first."""
        return self.board.tables

    @property
    def overall(self) -> Overall | None:
        """The rows over all tasks, where there are several."""
        return self.board.overall

    def to_pandas(self) -> pandas.DataFrame:
        """One row a row of the board, split and metric, with the columns of ``bench board --format csv``; of a run that did not
        finish one row without a value.
        """
        import pandas as pd

        from hubtools.reporting.board_tables import CSV_FIELDS, csv_rows

        return pd.DataFrame(csv_rows(self.board), columns=list(CSV_FIELDS))

    def html(self, path: str | PathLike[str], *, notice: str | None = None) -> Path:
        """Write all of it as one page.

        Args:
            path: of the file.
            notice: what stands above everything, in each view: what whoever sees a score must know.
        """
        from hubtools.common.files import write_atomic
        from hubtools.reporting.site import page_file

        target = Path(path)
        write_atomic(target, page_file(self.board, notice))
        return target

    def latex(self) -> str:
        """The tables for a paper, in LaTeX with booktabs."""
        from hubtools.reporting.paper.latex_board import latex_board

        return latex_board(self.board)

    def figure(self, path: str | PathLike[str]) -> Path:
        """Draw scores with their intervals, a panel a task, for a paper: .png, .pdf or .svg.

        Raises:
            UserError: the name ends in no format of figures, or there is nothing to draw.
        """
        from hubtools.common.files import write_atomic
        from hubtools.reporting.figures.board_figure import board_figure
        from hubtools.reporting.figures.plots import paper_file, paper_format

        target, suffix = Path(path), paper_format(fspath(path))
        write_atomic(target, paper_file(board_figure(self.board), suffix))
        return target

    def site(self, folder: str | PathLike[str], *, notice: str | None = None) -> list[Path]:
        """Write the same as a site for a web server; the files that were written."""
        from hubtools.reporting.site import write_site

        return write_site(self.board, Path(folder), notice)

    def push(self, space: str, *, private: bool = False, notice: str | None = None) -> PushedCommit:
        """Publish the site as a static Space ``owner/name``.

        Raises:
            UserError: the Hub does not allow it.
        """
        from hubtools.publishing.board_space import push_board

        return push_board(self.board, space, private=private, notice=notice)

    def push_results(self, dataset: str, *, private: bool = False) -> PushedCommit:
        """Publish the records as a data set ``owner/name``.

        Raises:
            UserError: the Hub does not allow it.
        """
        from hubtools.publishing.results_repository import push_results

        return push_results(list(self.found), dataset, private=private)

    def write_results(self, folder: str | PathLike[str]) -> list[Path]:
        """Write the same data set into a folder, of which a board can be made again; the files that were written.

        Raises:
            UserError: no run is complete, or the folder cannot be written.
        """
        from hubtools.publishing.results_repository import write_results

        return [Path(folder) / file.path for file in write_results(list(self.found), Path(folder), None)]

    def __repr__(self) -> str:
        from hubtools.findings.wording import plural

        return f"{plural(len(self.tables), 'table')}, {plural(self.board.n_runs, 'run')}"

    def _repr_html_(self) -> str:
        from hubtools.findings.wording import BEST_SET_MEANING, SHORT_INTERVAL_MEANING, plural
        from hubtools.reporting import board_tables

        parts = []
        if self.overall:
            parts.append(line_html(f"Over {plural(len(self.overall.tasks), 'task')}", strong=True))
            parts.append(_columns_html(board_tables.overall_columns(self.overall)))
        for table in self.tables:
            parts += [line_html(table.title, strong=True), line_html(board_tables.facts(table))]
            parts.append(line_html(f"Not for ranking: {table.not_for_ranking}" if table.not_for_ranking else ""))
            parts.append(_columns_html(board_tables.columns(table)))
        parts += [line_html(BEST_SET_MEANING), line_html(SHORT_INTERVAL_MEANING)] if self.tables else []
        parts.append(lines_html("Not finished", [board_tables.unfinished_line(one) for one in self.board.unfinished]))
        return "".join([*parts, lines_html("Notes", [*self.notes, *self.board.notes])])


def _columns_html(shown: list[Column]) -> str:
    rows = list(zip(*(column.cells for column in shown), strict=True))
    return table_html([c.heading for c in shown], rows, numbers=[c.heading for c in shown if c.right])


def board(
    runs: Names | RunResults = "runs",
    *,
    task: str | None = None,
    split: str = "test",
    arm: BoardArm | None = None,
    on_note: Say = silent,
) -> RunBoard:
    """What the runs say: comparable runs side by side, best first, with intervals.

    Args:
        runs: names as for :func:`hubtools.results`, or what it gave.
        task: only this task.
        split: the test split that rows are ranked on.
        arm: ``default``: only what no suite tuned; ``tuned``: only what one did; by default both, in tables of their own.
        on_note: as for :func:`hubtools.results`.

    Raises:
        UserError: there is no run, no run of that task or arm, or on that split, or the split is one that choices were made on.

    >>> import hubtools
    >>> board = hubtools.board("benchmarks/baselines/golden", task="golden-value")
    >>> board
    1 table, 3 runs
    >>> [row.recipe for row in board.tables[0].rows][:1], board.to_pandas().shape[0]
    (['golden-probe'], 3)
    """
    from hubtools.findings.board.leaderboard import build_board

    found = runs if isinstance(runs, RunResults) else results(runs, on_note=on_note)
    if not found.runs:
        where = "what was given" if isinstance(runs, RunResults) else ", ".join(names_of(runs))
        raise UserError(f"there is no run in {where}", fix="Run something first: bench run --checkpoint … --task …")
    return RunBoard(build_board(found.runs, task=task, split=split, arm=arm), found.runs, found.notes)
