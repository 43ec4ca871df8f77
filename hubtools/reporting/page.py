"""The board as one self-contained HTML page: no request leaves it, and it reads well without scripts too."""

from __future__ import annotations

import math
from typing import Any

from hubtools.evaluation.seeds import ArmScore
from hubtools.reporting import wording
from hubtools.reporting.board import Board, Row, Table
from hubtools.reporting.overall import Ends, Overall
from hubtools.reporting.tables import facts, labels, names, provenance
from hubtools.reporting.templates import render
from hubtools.reporting.wording import BEST_SET_MEANING, INTERVAL_MEANING
from hubtools.specs.metric_names import METRICS


def board_page(board: Board) -> str:
    """The page as text. The same records give the same page, byte for byte."""
    records = [record for table in board.tables for row in table.rows for _, record in row.runs]
    latest = max((record.finished or record.started for record in records), default=None)
    checkpoints = {row.name for table in board.tables for row in table.rows if not row.is_baseline}
    tasks = {table.question.task: table.task.get("title") or table.question.task for table in reversed(board.tables)}
    summary = [
        wording.plural(board.n_runs, "run"),
        wording.plural(len(tasks), "task"),
        wording.plural(len(checkpoints), "checkpoint"),
    ]
    return render(
        "board.html.j2",
        summary=" · ".join(summary),
        latest=latest.strftime("%Y-%m-%d %H:%M UTC") if latest else None,
        tasks=dict(sorted(tasks.items())),
        overall=_overall(board.overall) if board.overall else None,
        tables=[_table(table) for table in board.tables],
        unfinished=[{"record": record, "folder": folder} for folder, record in board.unfinished],
        interval_meaning=INTERVAL_MEANING,
        best_set_meaning=BEST_SET_MEANING,
    )


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round numbers from low to high: steps of 1, 2 or 5 times a power of ten, at most ``about`` of them."""
    span = high - low
    if span <= 0:
        return [low]
    power = 10.0 ** math.floor(math.log10(span / about))
    step = next(m * power for m in (1, 2, 5, 10, 20) if span / (m * power) <= about)
    first = math.ceil(low / step - 1e-9)
    return [round(i * step, 12) for i in range(first, math.floor(high / step + 1e-9) + 1)]


def _table(table: Table) -> dict[str, Any]:
    low, high = _axis(table)

    def place(value: float) -> float:
        return round(100 * (value - low) / (high - low), 2)

    baselines = [row for row in table.rows if row.is_baseline and row.scores[table.primary].value is not None]
    best, baseline = table.best, baselines[0] if baselines else None
    return {
        "task": table.question.task,
        "title": table.task.get("title") or table.question.task,
        "remarks": [f"version {table.question.version}", *table.remarks],
        "summary": table.task.get("summary", ""),
        "facts": facts(table),
        "not_for_ranking": table.not_for_ranking,
        "licence": table.task.get("licence", "unknown"),
        "question": table.question,
        "metric": _unbroken(table.heading(table.primary)),
        "direction": _direction(table.metrics[0]),
        "columns": [
            {"heading": _unbroken(table.heading(column)), "direction": _direction(column[1])}
            for column in table.columns
        ],
        "ticks": [{"at": place(tick), "text": f"{tick:g}".replace("-", "−")} for tick in ticks(low, high)],
        "best_at": place(best.scores[table.primary].value) if best else None,  # type: ignore[arg-type]
        "baseline_at": place(baseline.scores[table.primary].value) if baseline else None,  # type: ignore[arg-type]
        "rows": [_row(table, row, label, place) for row, label in zip(table.rows, labels(table), strict=True)],
    }


def _overall(overall: Overall) -> dict[str, Any]:
    """The section over tasks: the best mean rank stands left."""
    ends = [x for one in overall.rows for x in (one.mean_rank.value, one.mean_rank.low, one.mean_rank.high)]
    defined = [x for x in ends if math.isfinite(x)]
    low, high = min(defined) - 0.15, max(defined) + 0.15

    def place(value: float) -> float:
        return round(100 * (value - low) / (high - low), 2)

    def written(of: Ends, form: str) -> dict[str, Any]:
        value, first, last = (form.format(x) for x in (of.value, of.low, of.high))
        return {"value": of.value, "text": value, "interval": f"{first} to {last}"}

    return {
        "tasks": overall.tasks,
        "notes": overall.notes,
        "ticks": [{"at": place(tick), "text": f"{tick:g}"} for tick in ticks(low, high)],
        "rows": [
            {
                "row": one.row,
                "label": label,
                "best_set": one.best_set,
                "place": index,
                "missing": one.missing,
                "coverage": one.coverage,
                "there": len(one.ranks) - len(one.missing),
                "rank": written(one.mean_rank, "{:.2f}"),
                "borda": written(one.borda, "{:.2f}"),
                "improvability": written(one.improvability, "{:.1f}"),
                "bar": {
                    "at": place(one.mean_rank.value),
                    "low": place(one.mean_rank.low),
                    "high": place(one.mean_rank.high),
                },
                "tip": "\n".join(
                    f"{task}: {'no result' if rank is None else f'rank {rank:g}'}" for task, rank in one.ranks.items()
                ),
            }
            for index, (one, label) in enumerate(
                zip(overall.rows, names([one.row for one in overall.rows]), strict=True), start=1
            )
        ],
    }


def _axis(table: Table) -> tuple[float, float]:
    """Common axis of a table's intervals, with a little air, inside the metric's bounds."""
    estimates = [row.scores[table.primary] for row in table.rows]
    ends = [x for e in estimates for x in (e.value, e.low, e.high) if x is not None]
    if not ends:
        return 0.0, 1.0
    low, high = min(ends), max(ends)
    air = (high - low) * 0.04 or max(abs(high) * 0.05, 0.01)
    info = METRICS.get(table.metrics[0])
    inside_low = max(low - air, info.low) if info and low > info.low else low - air
    inside_high = min(high + air, info.high) if info and high < info.high else high + air
    return inside_low, inside_high


def _unbroken(heading: str) -> str:
    """A heading that may break after the name of its split, and nowhere else."""
    return heading.replace(" ", "\N{NO-BREAK SPACE}").replace(":\N{NO-BREAK SPACE}", ": ")


def _direction(metric: str) -> str:
    """The order of a first click on the heading: best first."""
    info = METRICS.get(metric)
    return "descending" if info is None or info.higher_is_better else "ascending"


def _row(table: Table, row: Row, label: str, place: Any) -> dict[str, Any]:
    estimate = row.scores[table.primary]
    bar = None
    if estimate.value is not None:
        bar = {"at": place(estimate.value), "low": None, "high": None}
        if estimate.low is not None and estimate.high is not None:
            bar |= {"low": place(estimate.low), "high": place(estimate.high)}
    record = row.record
    return {
        "row": row,
        "label": label,
        "record": record,
        "estimate": estimate,
        "interval": wording.interval(estimate.low, estimate.high),
        "spoken": _spoken(estimate),
        "tip": _tip(table, table.primary, estimate),
        "bar": bar,
        "cells": [
            {"estimate": row.scores[column], "tip": _tip(table, column, row.scores[column])} for column in table.columns
        ],
        "runs": [
            provenance(found) | {"value": found[1].score(*table.primary).value}  # type: ignore[union-attr]
            for found in row.runs
        ],
        "files": record.data.files if record.data else [],
    }


def _spoken(estimate: ArmScore) -> str:
    if estimate.value is None:
        return "not defined"
    interval = wording.interval(estimate.low, estimate.high)
    return wording.number(estimate.value) + (f", 95 % interval {interval}" if interval else "")


def _tip(table: Table, column: tuple[str, str], estimate: ArmScore) -> str:
    """Exact figures, as shown when pointing at a number."""
    split, metric = column
    lines = [f"{wording.metric_title(metric)} on {split}"]
    if estimate.value is None:
        return "\n".join([*lines, "not defined in every seed"])
    lines.append(f"{estimate.value:.5f}")
    if estimate.low is not None and estimate.high is not None:
        lines.append(f"95 % interval {estimate.low:.5f} to {estimate.high:.5f}")
    if len(estimate.by_seed) > 1:
        lines += [f"seed {seed}: {value:.5f}" for seed, value in estimate.by_seed if value is not None]
    return "\n".join(lines)
