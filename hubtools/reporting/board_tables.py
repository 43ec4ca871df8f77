"""The board as text: for a terminal, as Markdown, CSV and JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hubtools.common import escaping
from hubtools.evaluation.statistics.arm_interval import ArmScore, Interval
from hubtools.findings import wording
from hubtools.findings.board.board_rows import Row, Table
from hubtools.findings.board.leaderboard import Board
from hubtools.findings.board.overall import Overall
from hubtools.findings.wording import BEST_SET_MEANING, INTERVAL_MEANING, SHORT_INTERVAL_MEANING
from hubtools.runs.store import OpenRun
from hubtools.specs.record import RunRecord

if TYPE_CHECKING:
    from rich.console import Console

BAR_WIDTH = 26


@dataclass(frozen=True)
class Column:
    """One column of a printed table.

    Attributes:
        heading: its heading.
        cells: one text a row.
        priority: columns with the largest number go first when the terminal is too narrow; 0 always stays.
        right: aligned to the right.
    """

    heading: str
    cells: list[str]
    priority: int = 0
    right: bool = True


def columns(table: Table, bars: bool = False) -> list[Column]:
    """What a table shows, left to right."""
    rows, primary = table.rows, table.primary
    best = [row.scores[primary] for row in rows]
    shown = [
        Column("", [str(row.rank) for row in rows]),
        Column("Best set", [wording.mark(row.best_set) for row in rows], right=False),
        Column("Model", labels(table), right=False),
        Column("Recipe", [row.recipe for row in rows], right=False),
        Column(table.heading(primary), [wording.number(e.value) for e in best]),
        Column(
            "95 % interval",
            [wording.interval(e.low, e.high, row.of_weights) for e, row in zip(best, rows, strict=True)],
            right=False,
        ),
    ]
    for index, arm in enumerate(table.beside):
        shown.append(Column(arm, [wording.number(of.value) if (of := row.beside[index]) else "" for row in rows]))
    if bars:
        shown.append(Column("", _bars(best), priority=2, right=False))
    for index, column in enumerate(table.columns):
        further = column[0] != table.split
        cells = [wording.number(row.scores[column].value) for row in rows]
        shown.append(Column(table.heading(column), cells, priority=1 if further else 5 + index))
    shown += [
        Column("Seeds", [str(len(row.seeds)) for row in rows], priority=1),
        Column("Parameters", [wording.count(row.parameters) for row in rows], priority=3),
        Column("Time", [wording.duration(row.wall_seconds) for row in rows], priority=4),
    ]
    return shown


def overall_columns(overall: Overall) -> list[Column]:
    """What the table over tasks shows, left to right; rows with missing results have no place in the best set."""
    rows = overall.rows

    def shown(of: Sequence[Interval], write: Any) -> tuple[list[str], list[str]]:
        return [write(e.value) for e in of], [f"{write(e.low)} to {write(e.high)}" for e in of]

    ranks, of_ranks = shown([row.mean_rank for row in rows], "{:.2f}".format)
    bordas, of_bordas = shown([row.borda for row in rows], "{:.2f}".format)
    better, of_better = shown([row.improvability for row in rows], "{:.1f}".format)
    return [
        Column("Best set", [wording.mark(row.best_set) for row in rows], right=False),
        Column("Model", names([row.row for row in rows]), right=False),
        Column("Recipe", [row.row.recipe_anywhere for row in rows], right=False),
        Column("Mean rank ↓", ranks),
        Column("95 % interval", of_ranks, right=False),
        Column("Tasks", [row.coverage for row in rows], right=False),
        Column("Borda ↑", bordas, priority=2),
        Column("Borda, 95 %", of_bordas, priority=3, right=False),
        Column("Improvability % ↓", better, priority=4),
        Column("Improvability, 95 %", of_better, priority=5, right=False),
    ]


def labels(table: Table) -> list[str]:
    """Name of each row, with its revision where a name occurs at several."""
    return names(table.rows)


def names(rows: Sequence[Row]) -> list[str]:
    """Name of each row, with its revision where a name occurs at several."""
    revisions: dict[str, set[str]] = {}
    for row in rows:
        revisions.setdefault(row.name, set()).add(row.revision)
    return [f"{r.name} @{r.revision[:7]}" if len(revisions[r.name]) > 1 else r.name for r in rows]


def facts(table: Table) -> str:
    """One line on what was measured: problem, test set, how the interval was made."""
    record = table.rows[0].record
    result = record.results[table.split]
    problem = record.task_spec.problem
    noun = problem.level.counted
    labelled = f", {wording.plural(result.n_labelled, noun)}" if noun else ""
    parts = [
        f"{problem.value}, ranked by {wording.metric_title(table.metrics[0])} on {table.split}",
        f"{wording.plural(result.n_proteins, 'protein')}{labelled}",
        result.interval,
        table.basis,
    ]
    return "; ".join(part for part in parts if part)


def unfinished_line(found: OpenRun) -> str:
    """One line on a run that did not finish: which, and why."""
    folder, record = found
    status = "running, or killed" if record.status == "running" else record.status
    why = f": {record.failure.kind}: {record.failure.message}" if record.failure else ""
    task = f"{record.identity.task.name} v{record.identity.task.version}"
    return f"{record.subject}, {task}, {record.identity.recipe.name}, seed {record.identity.seed}: {status}{why} ({folder})"


def print_board(board: Board, console: Console) -> None:
    """Print the board to a terminal; columns that do not fit are left out and named."""
    from rich.text import Text

    if board.overall:
        _print_overall(board.overall, console)
    for table in board.tables:
        console.print(Text(table.title, style="bold"))
        console.print(Text(facts(table), style="dim"))
        if table.not_for_ranking:
            console.print(Text(f"Not for ranking: {table.not_for_ranking}", style="red"))
        styles = ["bold" if row.best_set_place == "best" else "dim" if row.is_baseline else "" for row in table.rows]
        _print_columns(columns(table, bars=True), styles, console, "csv")
        console.print()
    if any(len(table.rows) > 1 for table in board.tables):
        console.print(Text(BEST_SET_MEANING, style="dim"))
    if any(len(row.runs) > 1 or row.of_weights for table in board.tables for row in table.rows):
        console.print(Text(SHORT_INTERVAL_MEANING, style="dim"))
    if board.unfinished:
        console.print()
        console.print(Text(f"Not finished: {wording.plural(len(board.unfinished), 'run')}", style="bold"))
        for found in board.unfinished:
            console.print(Text(f"  {unfinished_line(found)}"))


def _print_overall(overall: Overall, console: Console) -> None:
    from rich.text import Text

    console.print(Text(f"Over {wording.plural(len(overall.tasks), 'task')}: {', '.join(overall.tasks)}", style="bold"))
    styles = ["bold" if row.best_set else "dim" if row.row.is_baseline else "" for row in overall.rows]
    _print_columns(overall_columns(overall), styles, console, "json")
    for note in overall.notes:
        console.print(Text(note, style="dim"))
    console.print()


def _print_columns(kept: list[Column], styles: list[str], console: Console, complete: str) -> None:
    """Print what fits, and name what does not.

    Args:
        kept: the columns.
        styles: of each row.
        console: where to.
        complete: format that holds all of it.
    """
    from rich import box
    from rich.cells import cell_len
    from rich.measure import Measurement
    from rich.table import Table as RichTable
    from rich.text import Text

    def drawn(shown: list[Column], rows: list[tuple[list[str], str]]) -> RichTable:
        printed = RichTable(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
        for column in shown:
            printed.add_column(
                column.heading,
                justify="right" if column.right else "left",
                overflow="fold",
                no_wrap=column.heading not in {"Best set", "Model", "Recipe", "Tasks"},
            )
        for cells, style in rows:
            printed.add_row(*map(Text, cells), style=style)
        return printed

    left_out: list[str] = []
    while True:
        # One row of the widest cells is as wide as the whole table, which may have thousands of rows.
        widest_cells = [max(column.cells, key=cell_len) for column in kept]
        measured = Measurement.get(console, console.options.update(width=10_000), drawn(kept, [(widest_cells, "")]))
        last = max(kept, key=lambda column: column.priority)
        if measured.maximum <= console.width or last.priority == 0:
            break
        kept = [column for column in kept if column is not last]
        if last.heading:
            left_out.append(last.heading)
    cells = zip(*(column.cells for column in kept), strict=True)
    console.print(drawn(kept, [(list(row), style) for row, style in zip(cells, styles, strict=True)]))
    if left_out:
        told = f"Not shown in this width: {', '.join(left_out)}. All of it: --format {complete}."
        console.print(Text(told, style="dim"))


def _bars(estimates: Sequence[ArmScore]) -> list[str]:
    """Intervals drawn in characters on one axis."""
    ends = [x for e in estimates for x in (e.value, e.low, e.high) if x is not None]
    if not ends:
        return ["" for _ in estimates]
    low, span = min(ends), (max(ends) - min(ends)) or 1.0

    def place(value: float) -> int:
        return round((value - low) / span * (BAR_WIDTH - 1))

    drawn = []
    for estimate in estimates:
        cells = [" "] * BAR_WIDTH
        if estimate.value is not None:
            if estimate.low is not None and estimate.high is not None:
                first, last = place(estimate.low), place(estimate.high)
                cells[first : last + 1] = "─" * (last + 1 - first)
            cells[place(estimate.value)] = "●"
        drawn.append("".join(cells))
    return drawn


def markdown(board: Board) -> str:
    """The board as Markdown: one section a table."""
    parts = []
    if overall := board.overall:
        parts += [
            f"## Over {wording.plural(len(overall.tasks), 'task')}: {escaping.markdown(', '.join(overall.tasks))}",
            "",
        ]
        best = [bool(row.best_set) for row in overall.rows]
        parts += [
            *_markdown_columns(overall_columns(overall), best),
            "",
            *(f"{escaping.markdown(note)}\n" for note in overall.notes),
        ]
    for table in board.tables:
        parts += [
            f"## {escaping.markdown(table.title)}",
            "",
            escaping.markdown(facts(table)),
            "",
            *_warning(table),
            *_markdown_table(table),
            "",
        ]
    parts += [BEST_SET_MEANING, "", INTERVAL_MEANING, ""]
    if board.unfinished:
        parts += [
            "## Not finished",
            "",
            *(f"- {escaping.markdown(unfinished_line(found))}" for found in board.unfinished),
            "",
        ]
    return "\n".join(parts)


def _warning(table: Table) -> list[str]:
    return [f"**Not for ranking:** {escaping.markdown(table.not_for_ranking)}", ""] if table.not_for_ranking else []


def _markdown_table(table: Table) -> list[str]:
    return _markdown_columns(columns(table), [row.best_set_place == "best" for row in table.rows])


def _markdown_columns(shown: list[Column], bold: Sequence[bool]) -> list[str]:
    lines = [
        "| " + " | ".join(escaping.markdown(column.heading) or "#" for column in shown) + " |",
        "| " + " | ".join("---:" if column.right else "---" for column in shown) + " |",
    ]
    for index, stressed in enumerate(bold):
        cells = [escaping.markdown(column.cells[index]) for column in shown]
        if stressed:
            cells = [f"**{cell}**" if cell else cell for cell in cells]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


CSV_FIELDS = (
    "task", "task_version", "task_hash", "data", "subset", "fraction", "split", "metric", "primary", "rank", "standing",
    "subject", "revision", "kind", "recipe", "recipe_hash", "sweep_trials",
    "value", "low", "high", "interval_of", "higher_is_better", "seeds", "parameters",
    "wall_seconds", "status", "failure", "run_ids", "best_set", "question", "arm",
)  # fmt: skip


def as_csv(board: Board) -> str:
    """One line a row, split and metric; one line for a run that did not finish, without a value."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, CSV_FIELDS, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: escaping.spreadsheet_cell(value) for key, value in row.items()} for row in csv_rows(board))
    return stream.getvalue()


def csv_rows(board: Board) -> Iterator[dict[str, Any]]:
    """What :func:`as_csv` writes, as values; a field that does not apply is None or not there."""
    for table in board.tables:
        for row in table.rows:
            for (split, metric), estimate in row.scores.items():
                primary = (split, metric) == table.primary
                yield _identity_fields(row.record) | {
                    "split": split,
                    "metric": metric,
                    "primary": primary,
                    "rank": row.rank if primary else None,
                    "standing": row.best_set_place if primary else None,
                    "kind": row.kind,
                    "value": estimate.value,
                    "low": estimate.low,
                    "high": estimate.high,
                    "interval_of": None if estimate.low is None else "weights" if row.of_weights else "recipe",
                    "higher_is_better": estimate.higher_is_better,
                    "seeds": " ".join(map(str, row.seeds)),
                    "parameters": row.parameters,
                    "wall_seconds": row.wall_seconds,
                    "status": "complete",
                    "run_ids": " ".join(record.run_id for _, record in row.runs),
                    "best_set": row.best_set if primary else None,
                    "question": row.basis if primary else None,
                    "arm": table.arm,
                }
    for _, record in board.unfinished:
        failure = f"{record.failure.kind}: {record.failure.message}" if record.failure else ""
        yield _identity_fields(record) | {
            "seeds": record.identity.seed,
            "status": record.status,
            "failure": failure,
            "run_ids": record.run_id,
        }


def _identity_fields(record: Any) -> dict[str, Any]:
    identity = record.identity
    checkpoint = identity.checkpoint
    return {
        "task": identity.task.name,
        "task_version": identity.task.version,
        "task_hash": identity.task.hash,
        "data": identity.data,
        "subset": identity.subset,
        "fraction": identity.fraction,
        "subject": record.subject,
        "revision": (checkpoint.commit or checkpoint.sha256) if checkpoint else "",
        "recipe": identity.recipe.name,
        "recipe_hash": identity.recipe.hash,
        "sweep_trials": record.sweep.trials if record.sweep else "",
    }


def as_json(board: Board) -> str:
    """Everything the board knows, with the provenance of each row."""
    tables = [
        {
            "title": table.title,
            "task": table.question.task,
            "version": table.question.version,
            "task_hash": table.question.task_hash,
            "data": table.question.data,
            "rows_sha256": table.question.rows,
            "subset": table.question.subset,
            "fraction": table.question.fraction,
            "not_for_ranking": table.not_for_ranking,
            "arm": table.arm,
            "beside": list(table.beside),
            "split": table.split,
            "metrics": list(table.metrics),
            "other_splits": list(table.other_splits),
            "rows": [_row_dict(row) for row in table.rows],
        }
        for table in board.tables
    ]
    unfinished = [
        provenance(found) | {"status": found[1].status, "subject": found[1].subject, "task": found[1].identity.task.name}
        | {"recipe": found[1].identity.recipe.name, "failure": found[1].failure.model_dump() if found[1].failure else None}
        for found in board.unfinished
    ]  # fmt: skip
    content = {
        "tables": tables,
        "unfinished": unfinished,
        "notes": list(board.notes),
        "interval": INTERVAL_MEANING,
        "overall": _overall_dict(board.overall) if board.overall else None,
    }
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _row_dict(row: Row) -> dict[str, Any]:
    scores: dict[str, dict[str, Any]] = {}
    for (split, metric), estimate in row.scores.items():
        scores.setdefault(split, {})[metric] = {
            "value": estimate.value,
            "low": estimate.low,
            "high": estimate.high,
            "higher_is_better": estimate.higher_is_better,
            "by_seed": {str(seed): value for seed, value in estimate.by_seed},
        }
    return {
        "rank": row.rank,
        "standing": row.best_set_place,
        "best_set": row.best_set,
        "question": row.basis,
        "subject": row.record.subject,
        "kind": row.kind,
        "revision": row.revision,
        "adaptation": row.adaptation,
        "recipe": row.record.identity.recipe.name,
        "overrides": row.record.overrides,
        "recipe_hash": row.record.identity.recipe.hash,
        "sweep_trials": row.trials,
        "chosen": row.sweep.chosen if row.sweep else {},
        "beside": [of.value if of else None for of in row.beside],
        "seeds": row.seeds,
        "parameters": row.parameters,
        "wall_seconds": row.wall_seconds,
        "scores": scores,
        "runs": [provenance(found) | {"calibration": _calibration(found[1])} for found in row.runs],
    }


def _calibration(record: RunRecord) -> dict[str, dict[str, Any]]:
    """Calibration of a run by split, without the bins."""
    shown = {"of", "ece", "low", "high", "noise", "adaptive", "brier", "log_loss"}
    return {
        split: result.calibration.model_dump(include=shown)
        for split, result in record.results.items()
        if result.calibration is not None
    }


def _overall_dict(overall: Overall) -> dict[str, Any]:
    def with_interval(of: Interval) -> dict[str, float | None]:
        measured = {"value": of.value, "low": of.low, "high": of.high}
        return {key: value if value == value else None for key, value in measured.items()}

    return {
        "tasks": list(overall.tasks),
        "left_out": [{"task": task, "why": why} for task, why in overall.left_out],
        "notes": list(overall.notes),
        "rows": [
            {
                "subject": one.row.name,
                "kind": one.row.kind,
                "revision": one.row.revision,
                "recipe": one.row.recipe_anywhere,
                "recipe_hash": one.row.record.identity.recipe.hash,
                "best_set": one.best_set,
                "mean_rank": with_interval(one.mean_rank),
                "borda": with_interval(one.borda),
                "improvability": with_interval(one.improvability),
                "ranks": one.ranks,
                "missing": one.missing,
            }
            for one in overall.rows
        ],
    }


def provenance(found: OpenRun) -> dict[str, Any]:
    """What makes one run findable and repeatable."""
    folder, record = found
    environment = record.environment
    return {
        "run_id": record.run_id,
        "seed": record.identity.seed,
        "folder": str(folder),
        "command": record.command,
        "bench": environment.bench,
        "git_commit": environment.git_commit,
        "git_dirty": environment.git_dirty,
        "device": environment.device_name,
        "precision": environment.precision,
        "started": record.started.isoformat(),
        "finished": record.finished.isoformat() if record.finished else None,
        "wall_seconds": record.cost.wall_seconds if record.cost else None,
    }
