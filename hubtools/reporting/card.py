"""The model card of a run, from its record, its predictions and the records beside it."""

from __future__ import annotations

import contextlib
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hubtools.reporting import tables, wording
from hubtools.reporting.board import Row, Table, table_of
from hubtools.reporting.estimate import SHORT_INTERVAL_MEANING, Estimate
from hubtools.reporting.lint import lint_card
from hubtools.reporting.metadata import (
    front_matter,
    metadata,
    metric_names,
    test_splits,
)
from hubtools.reporting.reliability_figure import reliability_figure, verdict
from hubtools.reporting.snippet import has_model, needs_custom_code, usage_snippet
from hubtools.reporting.templates import render
from hubtools.runs.public import public_record
from hubtools.runs.store import CARD, MODEL, PREDICTIONS, TRAINING_LOG, find_records, read_record
from hubtools.specs.errors import UserError
from hubtools.specs.files import write_atomic
from hubtools.specs.problem import Problem
from hubtools.specs.record import RunRecord

if TYPE_CHECKING:
    from hubtools.reporting.plots import CardFigure

__all__ = ["build_card", "lint_card"]

README, FIGURES = "README.md", "figures"
MAX_LABELS_IN_PROSE = 12
# What a reader takes in: larger tables and matrices are in run.json.
MAX_CLASSES_IN_TABLE = 30
MAX_CLASSES_IN_MATRIX = 30
MAX_ROWS_BESIDE = 30


def build_card(folder: Path, *, repo_id: str | None = None, licence: str | None = None) -> Path:
    """Write ``card/README.md`` and ``card/figures/*.png`` into a run's folder.

    Args:
        folder: of a complete run.
        repo_id: where the model will be on the Hub; by default the card loads it from the folder.
        licence: under which it is published; by default what base model and data imply.

    Returns:
        The path of the card.

    Raises:
        UserError: there is no such run, it is not complete, or the folder cannot be written.
    """
    record = read_record(folder)
    if record.status != "complete":
        raise UserError(
            f"this run is {record.status}: there is no result to put on a card",
            where=str(folder),
            fix=f"Finish it first: {record.command}",
        )
    table, row = _beside(folder, record)
    shown = table.around(record.run_id, MAX_ROWS_BESIDE)
    figures = _figures(folder, record, shown)
    text = _text(folder, public_record(record), shown, len(table.rows), row, figures, repo_id, licence)
    target = folder / CARD
    for figure in figures.values():
        write_atomic(target / FIGURES / figure.name, figure.png)
    write_atomic(target / README, text)
    for stale in set((target / FIGURES).glob("*.png")) - {
        target / FIGURES / figure.name for figure in figures.values()
    }:
        stale.unlink()
    return target / README


def _beside(folder: Path, record: RunRecord) -> tuple[Table, Row]:
    """The board's table that the run stands in, of the runs in the same folder, and its row."""
    found, _ = find_records([folder.resolve().parent], task=record.identity.task.name)
    others = [(path, other) for path, other in found if other.run_id != record.run_id]
    table = table_of([*others, (folder, record)], record, split=test_splits(record)[0])
    row = next(row for row in table.rows if any(other.run_id == record.run_id for _, other in row.runs))
    return table, row


def _figures(folder: Path, record: RunRecord, table: Table) -> dict[str, CardFigure]:
    """The figures that fit the problem, by the place in the card that they go to."""
    from hubtools.evaluation import read_predictions
    from hubtools.reporting import plots

    figures: dict[str, CardFigure] = {}
    problem, labels = Problem(record.task["problem"]), list(dict.fromkeys(record.task["labels"].values()))
    split, positive = test_splits(record)[0], record.task["metrics"].get("positive")
    confusion = record.results[split].confusion
    readable = len(labels) <= MAX_CLASSES_IN_MATRIX
    if problem.kind == "classification" and confusion and readable and not (positive and len(labels) == 2):
        figures["confusion"] = plots.confusion_figure(confusion, labels, split)
    if problem.kind != "classification" or positive:
        predictions = read_predictions(folder / PREDICTIONS)[split]
        if problem.zero_shot:
            figures["scatter"] = plots.variants_figure(predictions, record.task.get("unit"), split)
        elif problem.kind == "regression":
            figures["scatter"] = plots.regression_figure(predictions, record.task.get("unit"), split)
        else:
            outputs = [labels.index(positive)] if positive else list(range(len(labels)))
            figures["curve"] = plots.precision_recall_figure(predictions, labels, outputs, split)
    if (calibration := record.results[split].calibration) is not None:
        figures["reliability"] = reliability_figure(calibration, split)
    if len(table.rows) > 1:
        figures["comparison"] = plots.comparison_figure(table, record.run_id)
    best_epoch = record.training.best_epoch if record.training else None
    training = plots.training_figure(_training_log(folder), record.primary_metric, best_epoch)
    if training:
        figures["training"] = training
    return figures


def _training_log(folder: Path) -> list[dict[str, Any]]:
    """Lines of ``training.jsonl``; a last line cut short by a kill is left out."""
    path, lines = folder / TRAINING_LOG, []
    if path.is_file():
        for line in path.read_text(encoding="utf-8").splitlines():
            with contextlib.suppress(ValueError):
                lines.append(json.loads(line))
    return [line for line in lines if isinstance(line, dict) and "epoch" in line]


def _text(
    folder: Path,
    record: RunRecord,
    table: Table,
    n_rows: int,
    row: Row,
    figures: dict[str, CardFigure],
    repo_id: str | None,
    licence: str | None,
) -> str:
    model = folder / MODEL
    loadable = has_model(model)
    subject = record.subject.rstrip("/").split("/")[-1]
    name = repo_id.split("/")[-1] if repo_id else f"{record.identity.task.name}-{subject}"
    values = metadata(record, name, licence, "transformers" if loadable else None)
    task, splits = record.task, test_splits(record)
    labels = list(dict.fromkeys(task["labels"].values()))
    measured = {split: record.results[split].calibration for split in splits}
    calibrations = {split: found for split, found in measured.items() if found is not None}
    body = render(
        "model_card.md.j2",
        record=record,
        task=task,
        problem=Problem(task["problem"]),
        labels=labels,
        shown_labels=labels[:MAX_LABELS_IN_PROSE],
        splits=splits,
        primary=record.primary_metric,
        metrics=metric_names(record),
        score=_score,
        calibrations=calibrations,
        calibration_verdict="".join(verdict(found, split) for split, found in list(calibrations.items())[:1]),
        trust=wording.trust(task),
        # That it is a part of the data is said above them.
        findings=[
            f for f in (record.data.findings if record.data else []) if not f.startswith(("subset:", "fraction:"))
        ],
        largest_classes=_largest_classes,
        headline=record.results[splits[0]].scores[record.primary_metric],
        row=row,
        mean=row.scores[table.primary],
        table=table,
        comparison=_comparison(table, record) if len(table.rows) > 1 else None,
        rows_on_board=n_rows,
        figures=figures,
        snippet=usage_snippet(record, model, repo_id or model.as_posix()) if loadable else None,
        custom_code=needs_custom_code(model),
        adapted=_adapter(record.recipe),
        settings=_settings(record.recipe),
        choices=_choices(record, labels),
        licence=values["license"] if values["license"] != "other" else values["license_name"],
        hub_checkpoint=values.get("base_model"),
        citation=str(task["citation"]).strip(),
        short_interval_meaning=SHORT_INTERVAL_MEANING,
    )
    return (
        front_matter(values)
        + "\n"
        + re.sub(r"\n{3,}", "\n\n", re.sub(r"[ \t]+$", "", body, flags=re.MULTILINE)).rstrip()
        + "\n"
    )


def _score(score: Any) -> str:
    """A score or estimate with its interval; a word where it is not defined."""
    if score is None or score.value is None:
        return "not defined"
    interval = wording.interval(score.low, score.high)
    return f"{wording.number(score.value)} ({interval})" if interval else wording.number(score.value)


def _largest_classes(classes: list[dict[str, Any]]) -> dict[str, Any]:
    """The rows that a card shows, those with most support where there are many, and how many it leaves out."""
    rows = classes
    if len(classes) > MAX_CLASSES_IN_TABLE:
        largest = sorted(classes, key=lambda row: -(row.get("support") or 0))[:MAX_CLASSES_IN_TABLE]
        rows = [row for row in classes if row in largest]
    left_out = [row for row in classes if row not in rows]
    return {
        "rows": rows,
        "left_out": len(left_out),
        "absent": sum(row.get("support") == 0 for row in left_out),
    }


def _comparison(table: Table, record: RunRecord) -> list[dict[str, Any]]:
    """Rows of the table for Markdown, with this model's in bold."""
    rows = []
    for row, label in zip(table.rows, tables.labels(table), strict=True):
        estimate: Estimate = row.scores[table.primary]
        own = any(other.run_id == record.run_id for _, other in row.runs)
        cells = [
            label + (" (this model)" if own else ""),
            row.recipe,
            wording.number(estimate.value),
            wording.interval(estimate.low, estimate.high) or wording.MISSING,
            str(len(row.seeds)),
        ]
        rows.append({"cells": cells, "own": own})
    return rows


def _adapter(recipe: dict[str, Any]) -> str | None:
    """The adapter of a recipe in words, None where it has none."""
    adapter = recipe.get("adapter")
    if adapter is None:
        return None
    name = {"lora": "LoRA", "dora": "DoRA", "rslora": "rank-stabilised LoRA", "ia3": "IA3", "qlora": "QLoRA"}
    rank = "" if adapter["kind"] == "ia3" else f" of rank {adapter['rank']}"
    bits = " (on weights of four bits)" if adapter["kind"] == "qlora" else ""
    return f"{name[adapter['kind']]}{rank}{bits}"


def _settings(recipe: dict[str, Any]) -> dict[str, Any]:
    """Every field of the recipe that is set, nested ones with a dot."""
    flat: dict[str, Any] = {}
    for key, value in recipe.items():
        if key in {"name", "title", "summary"}:
            continue
        inner = {f"{key}.{name}": part for name, part in value.items()} if isinstance(value, dict) else {key: value}
        flat |= {name: part for name, part in inner.items() if part is not None}
    if recipe.get("adaptation") == "zero-shot":
        # The rest of a recipe is about training.
        read = {"adaptation", "scoring", "weights", "window.residues", "window.overlap"}
        flat = {name: part for name, part in flat.items() if name in read}
    return flat


def _choices(record: RunRecord, labels: list[str]) -> dict[str, str]:
    """What was chosen on validation, in words."""
    chosen: dict[str, str] = {}
    if record.training is None:
        return chosen
    if record.training.best_epoch is not None:
        chosen["epoch"] = f"{record.training.best_epoch} of {record.training.epochs_run}"
    for key, value in record.training.choices.items():
        if key == "thresholds" and isinstance(value, list):
            positive = record.task["metrics"].get("positive")
            names = [positive] if positive else labels
            shown = list(zip(names, value, strict=False))[:MAX_LABELS_IN_PROSE]
            more = [f"and {len(value) - len(shown):,} more, in run.json"] if len(value) > len(shown) else []
            chosen["decision thresholds"] = ", ".join([*(f"{n} {threshold:.3g}" for n, threshold in shown), *more])
        elif key == "pool_positions" and isinstance(value, list):
            chosen["residues pooled, those that vary in train"] = _listed(value)
        elif key == "temperature_log_loss" and isinstance(value, dict):
            chosen["log loss on validation"] = (
                f"{value['before']:.4f} before, {value['after']:.4f} with the temperature"
            )
        elif key == "temperature_bound":
            chosen["temperature, why there"] = f"at {value}"
        elif key == "candidates" and isinstance(value, list):
            chosen["candidates compared"] = f"{len(value):,}, their scores in run.json"
        else:
            chosen[key] = f"{value:.6g}" if isinstance(value, float) else str(value)
    return chosen


def _listed(positions: list[int]) -> str:
    """Positions with runs of neighbours as ranges: 3, 7 to 12, 40."""
    runs: list[list[int]] = []
    for position in positions:
        if runs and position == runs[-1][-1] + 1:
            runs[-1].append(position)
        else:
            runs.append([position])
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]} to {run[-1]}" for run in runs)
