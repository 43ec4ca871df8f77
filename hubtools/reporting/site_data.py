"""What the leaderboard site shows, as plain values: nothing of Python is left in them, and nothing is computed anew."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from hubtools.evaluation.statistics.arm_interval import ArmScore, Interval
from hubtools.findings import wording
from hubtools.findings.board.board_rows import Row, Table
from hubtools.findings.board.leaderboard import Board
from hubtools.findings.board.overall import Overall
from hubtools.findings.wording import BEST_SET_MEANING, INTERVAL_MEANING
from hubtools.reporting.board_tables import facts, names, provenance
from hubtools.runs.public_record import public_command, public_failure, public_files
from hubtools.runs.store import OpenRun
from hubtools.specs.metric_names import METRICS
from hubtools.specs.record import RunRecord

# More are in the tables: scores and costs of six digits are what they are read with.
_DIGITS = 6


def site_data(board: Board, notice: str | None = None) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """The board for the page, and the provenance of each table's rows, which is read when it is looked at.

    Args:
        board: of any number of tasks.
        notice: what whoever sees a score must know.

    Returns:
        What is in the page; and by id of a table, for each of its ``rows``, its runs. What rows and runs have in common is
        in ``shared``, and they have its place there.
    """
    arms: dict[Any, int] = {}
    listed: list[Row] = []
    for table in board.tables:
        for row in table.rows:
            if arms.setdefault(row.key, len(listed)) == len(listed):
                listed.append(row)
    tables = {_slug(table, number): table for number, table in enumerate(board.tables)}
    records = [record for table in board.tables for row in table.rows for _, record in row.runs]
    latest = max((record.finished or record.started for record in records), default=None)
    checkpoints = {row.name for row in listed if not row.is_baseline}
    data = {
        "notice": notice,
        "counts": {
            "runs": board.n_runs,
            "tasks": len({table.question.task for table in board.tables}),
            "checkpoints": len(checkpoints),
            "unfinished": len(board.unfinished),
        },
        "latest": latest.strftime("%Y-%m-%d %H:%M UTC") if latest else None,
        "bench": sorted({record.environment.bench for record in records}),
        "meanings": {"interval": INTERVAL_MEANING, "best_set": BEST_SET_MEANING},
        "notes": list(board.notes),
        "unfinished": [_unfinished(record) for _, record in board.unfinished],
        "arms": [_arm(row, label) for row, label in zip(listed, names(listed), strict=True)],
        "overall": _overall(board.overall, arms) if board.overall else None,
        "tables": [_table(key, table, arms) for key, table in tables.items()],
    }
    return data, {key: _details(table) for key, table in tables.items()}


def _slug(table: Table, number: int) -> str:
    """An id that stays the same for the same question, unless a page holds it twice."""
    q = table.question
    parts = [q.task, f"v{q.version}"]
    parts += [f"subset{q.subset}"] if q.subset is not None else []
    parts += [f"fraction{q.fraction:g}"] if q.fraction is not None else []
    return "-".join([*parts, str(number)])


def _arm(row: Row, label: str) -> dict[str, Any]:
    record, checkpoint = row.record, row.record.identity.checkpoint
    return {
        "name": label,
        "model": row.name,
        "kind": row.kind,
        "recipe": row.recipe_anywhere,
        "adaptation": row.adaptation if row.kind != "baseline" else "baseline",
        "parameters": row.parameters,
        "revision": row.revision,
        "hub": row.name if checkpoint is not None and checkpoint.source == "hub" else None,
        "family": record.checkpoint.family if record.checkpoint else None,
        "licence": record.checkpoint.licence if record.checkpoint else None,
    }


def _table(key: str, table: Table, arms: Mapping[Any, int]) -> dict[str, Any]:
    q, task, record = table.question, table.task, table.rows[0].record
    result = record.results[table.split]
    problem = record.task_spec.problem
    stated = wording.trust(task)
    best, low = table.rows[0].scores[table.primary].value, [r for r in table.rows if r.is_baseline]
    return {
        "id": key,
        "task": q.task,
        "title": task.title or q.task,
        "version": q.version,
        "remarks": list(table.remarks),
        "summary": task.summary or "",
        "problem": problem.value,
        "facts": facts(table),
        "trust": stated,
        "licence": task.licence or "unknown",
        "homepage": task.homepage,
        "citation": (task.citation or "").strip(),
        "notes": list(task.notes),
        "proteins": result.n_proteins,
        "metric": _metric(table.metrics[0]),
        "split": table.split,
        "columns": [
            _metric(table.metrics[0]) | {"name": arm, "title": arm, "split": table.split} for arm in table.beside
        ]
        + [_metric(metric) | {"split": split} for split, metric in table.columns],
        "splits": _splits(record),
        "published": [
            {
                key: getattr(known, key)
                for key in ("what", "how", "metric", "value", "spread", "split", "source", "note")
            }
            for known in task.published
        ],
        "hash": q.task_hash,
        "data": q.data,
        "protocol": q.protocol,
        "best": _plain(best),
        "baseline": _plain(low[0].scores[table.primary].value) if low else None,
        "rows": [_row(table, row, arms) for row in table.rows],
    }


def _splits(record: RunRecord) -> list[dict[str, Any]]:
    if record.data is None:
        return []
    return [
        {"name": name, "proteins": split.proteins, "residues": split.residues, "labelled": split.labelled}
        for name, split in record.data.splits.items()
    ]


def _metric(name: str) -> dict[str, Any]:
    info = METRICS.get(name)
    return {
        "name": name,
        "title": wording.metric_title(name),
        "higher": info is None or info.higher_is_better,
        "means": info.means if info else "",
    }


def _row(table: Table, row: Row, arms: Mapping[Any, int]) -> dict[str, Any]:
    estimate = row.scores[table.primary]
    return {
        "arm": arms[row.key],
        "best_set": row.best_set,
        "o": row.of_weights,
        "v": _plain(estimate.value),
        "l": _plain(estimate.low),
        "h": _plain(estimate.high),
        "n": len(row.runs),
        "c": [_cell(of) if of else [None] * 3 for of in row.beside]
        + [_cell(row.scores[column]) for column in table.columns],
        "w": _plain(row.wall_seconds),
        "p": row.record.training.parameters_trained if row.record.training else None,
        "e": _mean([record.cost.energy.kwh for _, record in row.runs if record.cost and record.cost.energy]),
    }


def _cell(estimate: ArmScore) -> Any:
    return [_plain(estimate.value), _plain(estimate.low), _plain(estimate.high)]


def _overall(overall: Overall, arms: Mapping[Any, int]) -> dict[str, Any]:
    def with_interval(of: Interval) -> list[float | None]:
        return [_plain(of.value), _plain(of.low), _plain(of.high)]

    return {
        "tasks": list(overall.tasks),
        "notes": list(overall.notes),
        "rows": [
            {
                "arm": arms[one.row.key],
                "best_set": one.best_set,
                "rank": with_interval(one.mean_rank),
                "borda": with_interval(one.borda),
                "improvability": with_interval(one.improvability),
                "ranks": [one.ranks[task] for task in overall.tasks],
                "coverage": one.coverage,
            }
            for one in overall.rows
        ],
    }


def _unfinished(record: RunRecord) -> dict[str, Any]:
    """A run that stands nowhere, and why."""
    identity = record.identity
    return {
        "what": record.subject,
        "run": record.run_id,
        "task": f"{identity.task.name} version {identity.task.version}",
        "recipe": identity.recipe.name,
        "seed": identity.seed,
        "status": "running, or killed" if record.status == "running" else record.status,
        "why": public_failure(record),
        "command": public_command(record),
    }


class _Shared:
    """Values that many rows have in common, each once."""

    def __init__(self) -> None:
        self.values: list[Any] = []
        self._places: dict[str, int] = {}

    def place(self, value: Any) -> int:
        """Where it stands."""
        place = self._places.setdefault(json.dumps(value), len(self.values))
        if place == len(self.values):
            self.values.append(value)
        return place


def _details(table: Table) -> dict[str, Any]:
    """Where the numbers of a table's rows are from."""
    shared = _Shared()
    rows = [
        {"about": shared.place(_about(table, row)), "runs": [_run(table, found, shared) for found in row.runs]}
        for row in table.rows
    ]
    return {"shared": shared.values, "rows": rows}


def _about(table: Table, row: Row) -> dict[str, Any]:
    """What the runs of a row have in common."""
    record = row.record
    return {
        "recipe": {"name": record.identity.recipe.name, "hash": record.identity.recipe.hash, "set": record.overrides},
        "how": _how(record),
        "rows_sha256": record.data.splits[table.split].rows_sha256 if record.data else None,
        "files": [
            {"name": file.name, "location": file.location, "sha256": file.sha256} for file in public_files(record)
        ],
    }


def _how(record: RunRecord) -> list[tuple[str, str]]:
    """What a reader asks of a run besides its identity: name and text."""
    told, recipe = [], record.recipe_spec
    if record.training and recipe.adaptation == "zero-shot":
        told.append(("Trained", f"nothing; scored by {str(recipe.scoring).replace('-', ' ')}"))
    elif record.training:
        told.append(("Selected by", record.training.selected_by))
    if record.alignment:
        told.append(("Alignment", str(record.alignment)))
    if record.together:
        told.append(("Batches", str(record.together)))
    if record.windows:
        cut = wording.plural(record.windows.proteins_cut, "protein")
        told.append(("Windows", f"{cut} cut into windows of {record.windows.residues_per_window:,} residues"))
    return told


def _run(table: Table, found: OpenRun, shared: _Shared) -> dict[str, Any]:
    record = found[1]
    score, environment = record.score(*table.primary), record.environment
    known = provenance(found)
    packages = {name: environment.packages[name] for name in ("torch", "transformers") if name in environment.packages}
    where = {key: known[key] for key in ("bench", "git_commit", "git_dirty", "device", "precision")}
    return {
        "run": record.run_id,
        "seed": record.identity.seed,
        "score": [_plain(score.value), _plain(score.low), _plain(score.high)] if score else None,
        # Where a machine keeps its files is nobody else's business.
        "command": public_command(record),
        "when": (record.finished or record.started).strftime("%Y-%m-%d %H:%M"),
        "seconds": known["wall_seconds"],
        "where": shared.place(where | {"packages": packages}),
    }


def _mean(values: Sequence[float]) -> float | None:
    return _plain(fmean(values)) if values else None


def _plain(value: float | None) -> float | None:
    """A number that JSON has, of six digits."""
    if value is None or not math.isfinite(value):
        return None
    return float(f"{value:.{_DIGITS}g}")
